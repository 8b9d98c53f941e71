"""Queries by name, kept in `.sql` files beside the code.

Format: a line `-- name --`, then lines of description, then the statement. A name is given once per file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, LiteralString

from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_HEADING = re.compile(r"^-- ([a-z_]+) --\n", re.MULTILINE)
_PARAMETER = re.compile(r"%\(([a-z_]+)\)s")
_COMMENT = re.compile(r"^--.*\n", re.MULTILINE)


def load(path: Path) -> dict[str, sql.SQL]:
    """Read the queries of a file, without their descriptions."""
    _, *parts = _HEADING.split(path.read_text(encoding="utf-8"))
    return {name: sql.SQL(_literal(text)) for name, text in zip(parts[::2], parts[1::2], strict=True)}


@dataclass(frozen=True, slots=True)
class Message:
    """One statement as the extended protocol takes it: text, and parameters apart from it."""

    sql: bytes
    parameters: tuple[bytes | None, ...] = ()
    name: bytes = b""
    """Of the prepared statement to run, or to make where `prepares`; empty for one that is not prepared."""
    prepares: bool = False
    types: tuple[int, ...] = ()
    """Oids of the types of the first parameters; the server finds out those of the others."""


@dataclass(frozen=True, slots=True)
class Numbered:
    """A query whose parameters have numbers, and their names in that order; made once where it is sent often."""

    sql: bytes
    names: tuple[str, ...]

    def message(self, parameters: Mapping[str, object]) -> Message:
        """Give the message with values, which are sent as text, None as NULL."""
        return Message(self.sql, tuple(_value(parameters[name]) for name in self.names))


def numbered(query: sql.SQL | sql.Composed, *, first: int = 1) -> Numbered:
    """Give the parameters of a query, `%(name)s`, numbers from `first` on, which is above 1 behind other text."""
    names: list[str] = []

    def number(found: re.Match[str]) -> str:
        if found[1] not in names:
            names.append(found[1])
        return f"${names.index(found[1]) + first}"

    text = _PARAMETER.sub(number, query.as_string(None)).replace("%%", "%")
    return Numbered(text.encode(), tuple(names))


def message(query: sql.SQL, parameters: Mapping[str, object]) -> Message:
    """Make a message of a query with `%(name)s` for its parameters; values are sent as text, None as NULL."""
    return numbered(query).message(parameters)


def prepared(one: Message, name: bytes) -> tuple[Message, Message]:
    """Give the message that prepares a statement under a name, and the one that runs it with its parameters."""
    return Message(one.sql, name=name, prepares=True), Message(one.sql, one.parameters, name)


def _value(value: object) -> bytes | None:
    return None if value is None else str(value).encode()


def identifier(name: str) -> str:
    """Write a name as SQL does, for commands that people copy out of messages."""
    return sql.Identifier(name).as_string(None)


def _literal(text: str) -> LiteralString:
    """Vouch for a query: the files are part of the program, so their text is as literal as text in the code."""
    return _COMMENT.sub("", text).strip()
