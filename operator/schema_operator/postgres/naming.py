"""Names as SQL writes them, for commands that people copy out of messages."""

from __future__ import annotations

import re
from typing import Final

_PLAIN: Final = re.compile(r"[a-z_][a-z0-9_$]*")
# pg_get_keywords() of PostgreSQL 13 and 18, where catcode is R or T: what is no name of a table or column unquoted.
_RESERVED_WORDS: Final = """
    all analyse analyze and any array as asc asymmetric authorization binary both case cast check collate collation
    column concurrently constraint create cross current_catalog current_date current_role current_schema
    current_time current_timestamp current_user default deferrable desc distinct do else end except false fetch for
    foreign freeze from full grant group having ilike in initially inner intersect into is isnull join lateral
    leading left like limit localtime localtimestamp natural not notnull null offset on only or order outer overlaps
    placing primary references returning right select session_user similar some symmetric system_user table
    tablesample then to trailing true union unique user using variadic verbose when where window with
    """
_RESERVED: Final = frozenset(_RESERVED_WORDS.split())


def quoted(name: str) -> str:
    """Write a name, in quotes where it needs them."""
    if _PLAIN.fullmatch(name) and name not in _RESERVED:
        return name
    return '"' + name.replace('"', '""') + '"'


def qualified(*parts: str | None) -> str:
    """Write a name with those before it that are known, with dots between."""
    return ".".join(quoted(part) for part in parts if part)


def listed(names: tuple[str, ...], most: int) -> str:
    """Write names with commas between, at most so many, and say how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
