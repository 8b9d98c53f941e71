"""Queries by name, kept in `.sql` files beside the code.

Format: a line `-- name --`, then lines of description, then the statement. A name is given once per file.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, LiteralString

from psycopg import sql

if TYPE_CHECKING:
    from pathlib import Path

_HEADING = re.compile(r"^-- ([a-z_]+) --\n", re.MULTILINE)
_COMMENT = re.compile(r"^--.*\n", re.MULTILINE)


def load(path: Path) -> dict[str, sql.SQL]:
    """Read the queries of a file, without their descriptions."""
    _, *parts = _HEADING.split(path.read_text(encoding="utf-8"))
    return {name: sql.SQL(_literal(text)) for name, text in zip(parts[::2], parts[1::2], strict=True)}


def identifier(name: str) -> str:
    """Write a name as SQL does, for commands that people copy out of messages."""
    return sql.Identifier(name).as_string(None)


def _literal(text: str) -> LiteralString:
    """Vouch for a query: the files are part of the program, so their text is as literal as text in the code."""
    return _COMMENT.sub("", text).strip()
