"""Names that statements mention: for messages about statements that failed.

Told by tokens and not by a grammar, so where a statement is of an unusual form, nothing is found. Literals are never
given, except schema names in a search_path.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from schema_operator.scripts.tokens import (
    DOLLAR_QUOTE,
    ESCAPE_STRING,
    PLAIN_STRING,
    QUOTED_NAME,
    WORD,
    is_word,
    tokens,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_CHANGES_ROWS: Final = frozenset(
    {"INSERT", "UPDATE", "DELETE", "MERGE", "COPY", "WITH", "SELECT", "DO", "CALL", "EXECUTE"}
)
_CHANGES_TABLES: Final = frozenset({"ALTER", "CREATE"})


@dataclass(frozen=True, slots=True)
class Reference:
    """What a foreign key points to."""

    table: tuple[str, ...]
    """The name, with its schema where it is written."""
    columns: tuple[str, ...]
    """Empty where none are written: then the primary key is meant."""


def changes_table(sql: str) -> bool | None:
    """Say whether a statement defines things (True) or writes rows (False); None for others."""
    (first,) = words(sql, most=1) or ("",)
    return True if first in _CHANGES_TABLES else False if first in _CHANGES_ROWS else None


def reference(sql: str, table: str | None) -> Reference | None:
    """Give what the foreign key of a statement points to: the one to `table`, if that is known.

    None where there is none, or several that differ.
    """
    sequence = tuple(tokens(sql))
    starts = [index + 1 for index, symbol in enumerate(sequence) if symbol == "REFERENCES"]
    found = {_reference(sequence[start:]) for start in starts}
    fitting = [one for one in found if one.table and table in {None, one.table[-1]}]
    return fitting[0] if len(fitting) == 1 else None


def _reference(sequence: Sequence[str]) -> Reference:
    name, rest = _dotted(sequence)
    if rest[:1] != ("(",):
        return Reference(name, ())
    inner = rest[1 : rest.index(")")] if ")" in rest else ()
    return Reference(name, tuple(_name(symbol) for symbol in inner if symbol != ","))


def _dotted(sequence: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give a name with dots at the beginning of tokens, and what follows it."""
    parts: list[str] = []
    position = 0
    while position < len(sequence) and _is_name(sequence[position]):
        parts.append(_name(sequence[position]))
        position += 1
        if sequence[position : position + 1] != (".",):
            break
        position += 1
    return tuple(parts), tuple(sequence[position:])


def _is_name(token: str) -> bool:
    return is_word(token) or token.startswith('"')


def _name(token: str) -> str:
    """Give the name a token stands for: in lower case, unless it is quoted."""
    if token.startswith('"'):
        return token[1:-1].replace('""', '"')
    return token.lower() if token.isascii() else token


def altered_table(sql: str) -> tuple[str, ...]:
    """Give the name of the table that ALTER TABLE changes; empty for other statements."""
    sequence = tuple(tokens(sql))
    if sequence[:2] != ("ALTER", "TABLE"):
        return ()
    rest = [symbol for symbol in sequence[2:6] if symbol not in {"IF", "EXISTS", "ONLY"}]
    return _dotted((*rest, *sequence[6:]))[0]


def written_tables(sql: str) -> tuple[str, ...]:
    """Give the name of the table a statement writes rows to, without its schema, in a tuple; empty where it is none."""
    match [symbol for symbol in tokens(sql) if symbol != "ONLY"]:
        case ["INSERT", "INTO", *rest] | ["DELETE", "FROM", *rest] | ["UPDATE", *rest] | ["MERGE", "INTO", *rest]:
            return _dotted(tuple(rest))[0][-1:]
        case _:
            return ()


def privilege(sql: str, table: str) -> str | None:
    """Give what a statement needs on a table, as GRANT calls it; None where that is not told by its first words."""
    first, second = (*words(sql, most=2), "", "")[:2]
    writes = written_tables(sql)
    if first in _WRITES and writes:
        return _WRITES[first] if writes == (table,) else "SELECT"
    if first == "CREATE" and "TRIGGER" in tuple(words(sql, most=3)):
        return "TRIGGER"
    if first in _CHANGES_TABLES and second == "TABLE":
        return "REFERENCES" if reference(sql, table) else None
    return _READS.get(first)


_WRITES: Final = {
    "INSERT": "INSERT",
    "UPDATE": "SELECT, UPDATE",
    "DELETE": "SELECT, DELETE",
    "MERGE": "SELECT, INSERT, UPDATE, DELETE",
}
_READS: Final = {
    "SELECT": "SELECT",
    "WITH": "SELECT",
    "TABLE": "SELECT",
    "TRUNCATE": "TRUNCATE",
    "REFRESH": "MAINTAIN",
    "VACUUM": "MAINTAIN",
    "ANALYZE": "MAINTAIN",
    "CLUSTER": "MAINTAIN",
    "REINDEX": "MAINTAIN",
}


def creates(sql: str) -> bool:
    """Whether a statement makes something in a schema."""
    return words(sql, most=1) == ("CREATE",)


def search_path(statements: Iterable[str]) -> str | None:
    """Give the search_path that statements leave, where they set it in a usual form; None where they do not."""
    found = None
    for sql in statements:
        if "search_path" in sql.lower():
            found = _search_path(tuple(tokens(sql)), found)
    return found


def _search_path(sequence: Sequence[str], before: str | None) -> str | None:
    match [token for token in sequence if token not in {"SESSION", "LOCAL", "PG_CATALOG", "."}]:
        case ["SET", "SEARCH_PATH", "TO" | "=", *names]:
            return None if names == ["DEFAULT"] else _path(names)
        case ["RESET", "SEARCH_PATH"]:
            return None
        case ["SELECT", "SET_CONFIG", "(", "'search_path'", ",", text, ",", _, ")"]:
            return text[1:-1] if text.startswith("'") else before
        case _:
            return before


def _path(names: Iterable[str]) -> str:
    given = (one for one in names if one != ",")
    return ", ".join(one[1:-1] if one.startswith("'") else one if one.startswith('"') else one.lower() for one in given)


def role(statements: Iterable[str]) -> str | None:
    """Give the role that statements leave, where they set it with SET ROLE or SET SESSION AUTHORIZATION."""
    found = None
    for sql in statements:
        match [token for token in tokens(sql) if token not in {"SESSION", "LOCAL"}] if sql[:3].upper() == "SET" else []:
            case ["SET", "ROLE" | "AUTHORIZATION", name]:
                found = None if name in {"NONE", "DEFAULT"} else name[1:-1] if name.startswith("'") else _name(name)
            case _:
                continue
    return found


_PIECE: Final = re.compile(
    rf"(?P<comment>--[^\n\r]*|/\*.*?\*/)|(?P<literal>{ESCAPE_STRING}|(?:[bBxXnN]|[uU]&)?{PLAIN_STRING}"
    rf"|(?P<tag>{DOLLAR_QUOTE}).*?(?P=tag)|(?<![\w$])\.?[0-9][0-9a-zA-Z_]*(?:\.[0-9_]*)?(?:[eE][+-]?[0-9]+)?)"
    rf"|(?P<other>{QUOTED_NAME}|{WORD}|[\s\S])",
    re.DOTALL,
)


def without_literals(sql: str) -> str:
    """Give a statement with `…` for each literal, without comments, on one line."""
    parts = ("…" if found["literal"] else " " if found["comment"] else found[0] for found in _PIECE.finditer(sql))
    return " ".join("".join(parts).split())


def check_condition(sql: str, constraint: str) -> str | None:
    """Give the condition of a CHECK that a statement defines, with `…` for literals; None where it is not found."""
    text = without_literals(sql)
    name = re.escape(constraint)
    found = re.search(rf'\bCONSTRAINT (?:{name}|"{name}") CHECK ?\(', text, re.IGNORECASE)
    if found is None:
        checks = list(re.finditer(r"\bCHECK ?\(", text, re.IGNORECASE))
        found = checks[0] if len(checks) == 1 else None
    return None if found is None else _to_the_closing(text, found.end())


def _to_the_closing(text: str, start: int) -> str | None:
    depth = 1
    for index in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[index], 0)
        if depth == 0:
            return text[start:index].strip()
    return None


_FORMATS: Final = re.compile(
    r"\bRAISE\s+(?:(?:EXCEPTION|WARNING|NOTICE|INFO|LOG|DEBUG)\s+)?'(?P<format>(?:[^']|'')*)'"
    r"|\bMESSAGE\s*:?=\s*'(?P<message>(?:[^']|'')*)'\s*(?=[,;]|$)"
    r"|\bASSERT\b[^;]*?,\s*'(?P<assertion>(?:[^']|'')*)'\s*;",
    re.IGNORECASE,
)
_LETTERS_WANTED: Final = 3


def raised_text(message: str, texts: Iterable[str]) -> str | None:
    """Give what a RAISE said, with `…` for what was filled into its format, where the format is in one of the texts.

    What stands in the format is what the author of the function wants to be read; what is filled in may be a row's.
    """
    for text in texts:
        for found in _FORMATS.finditer(text):
            if (shown := _filled(found, message)) is not None:
                return shown
    return None


def _filled(found: re.Match[str], message: str) -> str | None:
    if found["format"] is None:
        fixed = (found["message"] or found["assertion"] or "").replace("''", "'")
        return message if message and fixed == message else None
    parts = re.split(r"%(?!%)", found["format"].replace("''", "'").replace("%%", "\0"))
    parts = [part.replace("\0", "%") for part in parts]
    if sum(map(str.isalpha, "".join(parts))) < _LETTERS_WANTED:
        return None
    pattern = ".*".join(map(re.escape, parts))
    return "…".join(parts) if re.fullmatch(pattern, message, re.DOTALL) else None
