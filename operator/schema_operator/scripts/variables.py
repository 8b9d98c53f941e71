r"""Variables of psql, filled in where they are declared, as names, literals or numbers; never pasted.

========== ================================================ ==========================================================
in a script with the value                                   becomes
========== ================================================ ==========================================================
`:'name'`  any text                                         a literal, `'it''s'`; `E'a\\b'` where it holds a backslash
`:"name"`  any text of 1 to 63 bytes                        a name, `"My table"`
`:name`    a plain name (`[A-Za-z_][A-Za-z0-9_$]*`)         that name, always in quotes: its case is kept, no value is
                                                            a keyword, so none can be a command
`:name`    an integer or decimal number                     that number
========== ================================================ ==========================================================

Whatever is not declared is left as it is. What is filled in stays one token: a variable that touches a name, a number
or a string is refused, and so is a value that would end the dollar quote it stands in. Which places count is said in
`placeholders`.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from schema_operator.errors import NOWHERE, Location, Reason, Refused
from schema_operator.scripts.lexer import PieceKind, lex, position_to_line_column
from schema_operator.scripts.placeholders import Placeholder, placeholders_in
from schema_operator.scripts.tokens import CONTINUED, NAME_CHARACTER, NAME_PART

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NAME_LIMIT: Final = 63
"""Bytes of a name that the server keeps (NAMEDATALEN - 1)."""
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_TOUCHING = re.compile(rf"{NAME_PART}|['\"]")
_STRING_GOES_ON = re.compile(rf"{CONTINUED}'")
_OPERATORS: Final = frozenset("+-*/<>=~!@#%^&|`?")


@dataclass(frozen=True, slots=True)
class _Filled:
    """A variable's place in the text as written and in the text that is sent; offsets count characters from 0."""

    written: tuple[int, int]
    sent: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Rendered:
    """A statement with its variables filled in."""

    sql: str
    """What is sent."""
    written: str
    """What the script says; the very same object where nothing was filled in."""
    filled: tuple[_Filled, ...] = ()

    def position(self, sent: int) -> int:
        """Give the offset in what is written of an offset in what is sent; inside a value, where its variable is."""
        index = bisect_right(self.filled, sent, key=lambda one: one.sent[0]) - 1
        if index < 0:
            return sent
        one = self.filled[index]
        return one.written[0] if sent < one.sent[1] else sent - one.sent[1] + one.written[1]


def render(sql: str, variables: Mapping[str, str]) -> Rendered:
    """Fill in the variables of one statement.

    Raises `Refused(PlaceholderError)` with line and column in the statement where a value does not fit its place; the
    sentence names the variable and never shows the value. The variables themselves have passed `require_usable`.
    """
    if not _mentions(sql, variables):
        return Rendered(sql, sql)
    parts, filled = [], []
    position = length = 0
    for place in _declared(sql, variables):
        unchanged, value = sql[position : place.start], _value(sql, place, variables[place.name])
        parts += [unchanged, value]
        begin = length + len(unchanged)
        position, length = place.end, begin + len(value)
        filled.append(_Filled((place.start, place.end), (begin, length)))
    if not filled:
        return Rendered(sql, sql)
    return Rendered("".join((*parts, sql[position:])), sql, tuple(filled))


def used(text: str, variables: Mapping[str, str]) -> frozenset[str]:
    """Give the declared variables that a script uses; raises `Refused(SyntaxError)` as `lex` does."""
    if not _mentions(text, variables):
        return frozenset()
    statements = (text[piece.start : piece.end] for piece in lex(text) if piece.kind is PieceKind.STATEMENT)
    return frozenset(place.name for sql in statements for place in _declared(sql, variables))


def require_usable(variables: Mapping[str, str]) -> None:
    """Raise `Refused(PlaceholderError)` for a variable that no script could use."""
    for name, value in variables.items():
        if _VARIABLE_NAME.fullmatch(name) is None:
            raise _refused(f"{name!r} is no name for a variable; use letters, digits and _, and no digit first")
        if "\0" in value:
            raise _refused(f"the value of the variable {name} holds a NUL, which PostgreSQL cannot keep; remove it")
        if not _is_unicode(value):
            raise _refused(f"the value of the variable {name} is not UTF-8; give it as UTF-8")


def _mentions(text: str, variables: Mapping[str, str]) -> bool:
    """Whether a declared variable may be there; quick, and right in most cases where the answer is no."""
    return bool(variables) and _mention(frozenset(variables)).search(text) is not None


@lru_cache(maxsize=8)
def _mention(names: frozenset[str]) -> re.Pattern[str]:
    return re.compile(rf":['\"]?(?:{'|'.join(map(re.escape, sorted(names)))})(?!{NAME_CHARACTER})")


def _declared(sql: str, variables: Mapping[str, str]) -> Iterator[Placeholder]:
    return (place for place in placeholders_in(sql) if place.name in variables)


def _value(sql: str, place: Placeholder, value: str) -> str:
    """Write a value for its place."""
    problem = _out_of_place(sql, place)
    text = "" if problem else _WRITTEN[place.quote](value)
    problem = problem or _unfit(place, text)
    if problem:
        line, column = position_to_line_column(sql, place.start)
        raise _refused(problem.format(name=place.name), Location(line=line, column=column))
    # So that no operator is made of an operator and a sign, and no U&"…" of an & and a name.
    return f" {text}" if place.before[-1:] in _OPERATORS else text


def _out_of_place(sql: str, place: Placeholder) -> str | None:
    """Say what is wrong with the place of a variable, whatever its value is."""
    if _TOUCHING.match(place.before[-1:]) or _TOUCHING.match(place.after):
        return (
            "the variable {name} touches what stands beside it, and values are never pasted into names, numbers or "
            "strings; put a blank between them or give the whole as the value (where no variable is meant, put the "
            "blank after the colon)"
        )
    if place.quote == "'" and _STRING_GOES_ON.match(sql, place.end):
        return "the string after the variable {name} would become part of its value; write || between them"
    return None


def _unfit(place: Placeholder, text: str) -> str | None:
    """Say why a value cannot stand there; `text` is how it would be written, or nothing where it cannot be."""
    if not text:
        return _UNFIT[place.quote]
    if any(tag in text for tag in place.tags):
        return "the value of the variable {name} holds the dollar quote around it and would end it; use another tag"
    beside = place.before[-1:] == "." != place.before[:1] or place.after[:1] == "." != place.after[1:]
    if text[0] in "-0123456789" and beside:
        return "the variable {name} stands beside a dot, so its value must be a name, not a number"
    return None


def _bare(value: str) -> str:
    if _NUMBER.fullmatch(value):
        return value
    return _name(value) if _PLAIN_NAME.fullmatch(value) else ""


def _name(value: str) -> str:
    """Write a name; nothing where it cannot be one."""
    doubled = value.replace('"', '""')
    return f'"{doubled}"' if 0 < len(value.encode()) <= NAME_LIMIT else ""


def _literal(value: str) -> str:
    """Write a string as PQescapeLiteral does, so that it means the same whatever standard_conforming_strings is."""
    escaped = value.replace("'", "''").replace("\\", "\\\\")
    return f"E'{escaped}'" if "\\" in value else f"'{escaped}'"


_WRITTEN: Final = {"": _bare, '"': _name, "'": _literal}
_UNFIT: Final = {
    "": "the variable {name} is written without quotes, so its value must be a name (letters, digits, _ and $, no "
    f"digit first, at most {NAME_LIMIT} bytes) or a number; write :'{{name}}' for a string, :\"{{name}}\" for any "
    "other name",
    '"': f"the variable {{name}} is used as a name, so its value must have 1 to {NAME_LIMIT} bytes",
}


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refused(sentence: str, location: Location = NOWHERE) -> Refused:
    return Refused(Reason.PLACEHOLDER_ERROR, sentence, location)
