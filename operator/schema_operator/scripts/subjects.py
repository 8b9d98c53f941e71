"""What statements that cannot be in a transaction are about: an index, a table, a partition, a database. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from schema_operator.scripts.names import folded, name_at
from schema_operator.scripts.tokens import tokens

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Name:
    """A name of a database object: its parts, schema first where it has one."""

    parts: tuple[str, ...]

    @property
    def last(self) -> str:
        """The name without its schema."""
        return self.parts[-1]


@dataclass(frozen=True, slots=True)
class BuiltIndex:
    """What a CREATE INDEX CONCURRENTLY is about."""

    table: Name
    name: str | None
    """Absent where the server chooses one."""
    if_not_exists: bool


def built_index(sql: str) -> BuiltIndex:
    """Read `CREATE [UNIQUE] INDEX CONCURRENTLY [[IF NOT EXISTS] name] ON [ONLY] table …`.

    Raises `ValueError` for anything else.
    """
    symbols = list(tokens(sql))
    rest = symbols[symbols.index("CONCURRENTLY") + 1 :]
    if_not_exists = rest[:3] == ["IF", "NOT", "EXISTS"]
    rest = rest[3:] if if_not_exists else rest
    on = rest.index("ON")
    table = rest[on + 1 :]
    table = table[1:] if table[:1] == ["ONLY"] else table
    return BuiltIndex(_name_at(table), _last(rest[0]) if on else None, if_not_exists)


def dropped_indexes(sql: str) -> tuple[Name, ...]:
    """Read the names of `DROP INDEX CONCURRENTLY [IF EXISTS] name, …`."""
    symbols = list(tokens(sql))
    rest = symbols[symbols.index("CONCURRENTLY") + 1 :]
    rest = rest[2:] if rest[:2] == ["IF", "EXISTS"] else rest
    starts = [0, *(place + 1 for place, symbol in enumerate(rest) if symbol == ",")]
    return tuple(_name_at(rest[start:]) for start in starts)


@dataclass(frozen=True, slots=True)
class Detached:
    """What an ALTER TABLE … DETACH PARTITION … CONCURRENTLY is about."""

    table: Name
    partition: Name


def detached(sql: str) -> Detached:
    """Read `ALTER TABLE [IF EXISTS] [ONLY] table DETACH PARTITION partition CONCURRENTLY`."""
    symbols = list(tokens(sql))
    rest = symbols[2:]
    rest = rest[2:] if rest[:2] == ["IF", "EXISTS"] else rest
    rest = rest[1:] if rest[:1] == ["ONLY"] else rest
    partition = symbols[symbols.index("PARTITION") + 1 :]
    return Detached(_name_at(rest), _name_at(partition))


def third_name(sql: str) -> str:
    """Read the name after two words, as in `CREATE DATABASE name` and `DROP TABLESPACE [IF EXISTS] name`."""
    rest = list(tokens(sql))[2:]
    rest = rest[2:] if rest[:2] == ["IF", "EXISTS"] else rest
    return _last(rest[0])


def _name_at(symbols: Sequence[str]) -> Name:
    parts, _ = name_at(symbols, 0)
    return Name(parts)


def _last(token: str) -> str:
    return folded(token) or token
