"""Names in a statement: as parts, folded the way the server folds them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from schema_operator.scripts.tokens import is_word, tokens

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
    return BuiltIndex(name_at(table), fold(rest[0]) if on else None, if_not_exists)


def dropped_indexes(sql: str) -> tuple[Name, ...]:
    """Read the names of `DROP INDEX CONCURRENTLY [IF EXISTS] name, …`."""
    symbols = list(tokens(sql))
    rest = symbols[symbols.index("CONCURRENTLY") + 1 :]
    rest = rest[2:] if rest[:2] == ["IF", "EXISTS"] else rest
    starts = [0, *(place + 1 for place, symbol in enumerate(rest) if symbol == ",")]
    return tuple(name_at(rest[start:]) for start in starts)


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
    return Detached(name_at(rest), name_at(partition))


def third_name(sql: str) -> str:
    """Read the name after two words, as in `CREATE DATABASE name` and `DROP TABLESPACE [IF EXISTS] name`."""
    rest = list(tokens(sql))[2:]
    rest = rest[2:] if rest[:2] == ["IF", "EXISTS"] else rest
    return fold(rest[0])


def name_at(symbols: Sequence[str]) -> Name:
    """Read the name at the beginning of some tokens."""
    parts = [fold(symbols[0])]
    place = 1
    while symbols[place : place + 1] == ["."]:
        parts.append(fold(symbols[place + 1]))
        place += 2
    return Name(tuple(parts))


def fold(token: str) -> str:
    """Give a name as the catalog has it: what is quoted as it stands, else with ASCII letters in lower case."""
    if token.startswith('"'):
        return token[1:-1].replace('""', '"')
    return "".join(letter.lower() if letter.isascii() else letter for letter in token) if is_word(token) else token
