r"""Where a statement holds variables of psql: `:name`, `:'name'`, `:"name"`.

As in psql they are looked for outside of quotes and comments only (PostgreSQL 18, src/fe_utils/psqlscan.l): `::type`
is a cast, `:=` an assignment, and a name is letters, digits, `_` and anything beyond ASCII, without `$`.

Other than psql, the dollar-quoted body of CREATE FUNCTION, CREATE PROCEDURE and DO is looked into where its language is
SQL or PL/pgSQL: it is code, and its own strings in single quotes, quoted names and comments are left alone like those
of the script. A dollar quote inside such a body is looked into as well: that is how dynamic SQL is written there.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final, cast

from schema_operator.scripts.tokens import (
    BLANK,
    DOLLAR_QUOTE,
    ESCAPE_STRING,
    NAME_CHARACTER,
    PLAIN_STRING,
    QUOTED_NAME,
    WORD,
    comment_end,
    dollar_quote_end,
    outside_parentheses,
    tokens,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNEVENTFUL: Final = (
    rf"(?:{BLANK}|{WORD}|{ESCAPE_STRING}|{PLAIN_STRING}|{QUOTED_NAME}|::|:(?!['\"]?{NAME_CHARACTER})"
    rf"|(?!{DOLLAR_QUOTE})\$|-(?!-)|/(?!\*)|[\x00-\x08\x0e-\x1f!#%&()*+,.0-9;<=>?@\[\\\]^`{{|}}~\x7f]++)"
)
_TO_EVENT: Final = (
    rf"{_UNEVENTFUL}*+(?:(?P<comment>/\*)|(?P<dollar>{DOLLAR_QUOTE})"
    rf"|(?P<variable>:(?P<quote>['\"]?)(?P<name>{NAME_CHARACTER}++)(?P=quote))|[\s\S]|\Z)"
)
BATCH_BOUNDS: Final = ("batch_after", "batch_upto")
"""What the bounds of a batch are called in a script that is done in batches."""
_BODY_LANGUAGES: Final = frozenset({"sql", "plpgsql"})
_JSON_CONSTRUCTORS: Final = frozenset({"JSON_OBJECT", "JSON_OBJECTAGG"})
_NAME_BEGINNING = re.compile(rf"(?<!:)(?:::)*+:['\"]?(?![0-9]){NAME_CHARACTER}")


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A variable in a statement, `sql[start:end]`; offsets count characters from 0."""

    start: int
    end: int
    quote: str
    """What stands around the name: `'`, `"` or nothing."""
    name: str
    before: str
    """The two characters before it; fewer at the beginning of the statement or of the body it stands in."""
    after: str
    """The two characters after it; likewise."""
    tags: tuple[str, ...]
    """The dollar quotes around it, the outermost first."""


def placeholders_in(sql: str) -> Iterator[Placeholder]:
    """Find the variables in one statement, in their order, whether anybody has declared them or not."""
    return _scan(sql, 0, len(sql), ())


def undeclared(sql: str) -> Placeholder | None:
    """Find the first variable that the server cannot take for anything else; declared ones have been filled in.

    Without one, a colon before a name means something in two places only (PostgreSQL 18, gram.y, `':'`): in brackets
    (`a[1:n]`) and between key and value in JSON_OBJECT. Bodies are left to the server.
    """
    if ":" not in sql or _NAME_BEGINNING.search(sql) is None:
        return None
    found = (place for place in placeholders_in(sql) if not place.tags and not place.name[0].isdigit())
    return next((place for place in found if not _may_hold_colons(sql, place.start)), None)


@cache
def _to_event() -> re.Pattern[str]:
    # Not compiled before somebody needs it: most runs have no variables, and their start counts.
    return re.compile(_TO_EVENT)


def _scan(sql: str, start: int, end: int, tags: tuple[str, ...]) -> Iterator[Placeholder]:
    position = start
    while position < end:
        # The pattern matches anywhere: its last alternatives are any character and the end.
        match = cast("re.Match[str]", _to_event().match(sql, position, end))
        position = match.end()
        if match["variable"]:
            at = match.start("variable")
            before, after = sql[max(start, at - 2) : at], sql[position : min(end, position + 2)]
            yield Placeholder(at, position, match["quote"], match["name"], before, after, tags)
        elif match["comment"]:
            position = comment_end(sql, position - 2, end) or end
        elif tag := match["dollar"]:
            opening, closed = position - len(tag), dollar_quote_end(sql, position - len(tag), tag, end)
            if closed is not None and (tags or _is_body(sql, opening)):
                yield from _scan(sql, position, closed - len(tag), (*tags, tag))
            position = closed or end


def _is_body(sql: str, opening: int) -> bool:
    """Whether a dollar quote that opens there, outside of any other, is a body in a language we can read."""
    match words(sql, most=4):
        case ("DO", *_):
            pass
        case ("CREATE", "FUNCTION" | "PROCEDURE", *_) | ("CREATE", "OR", "REPLACE", "FUNCTION" | "PROCEDURE"):
            before = deque(tokens(sql, 0, opening), maxlen=1)
            if before != deque(["AS"]):
                return False
        case _:
            return False
    language = next((name for word, name in pairwise(outside_parentheses(tokens(sql))) if word == "LANGUAGE"), None)
    return language is None or language.strip("'\"").lower() in _BODY_LANGUAGES


def _may_hold_colons(sql: str, at: int) -> bool:
    """Whether a position is between brackets, or between the parentheses of a constructor of JSON objects."""
    opened: list[bool] = []
    before = ""
    for symbol in tokens(sql, 0, at):
        if symbol in {"[", "("}:
            opened.append(symbol == "[" or before in _JSON_CONSTRUCTORS)
        elif symbol in {"]", ")"} and opened:
            opened.pop()
        before = symbol
    return any(opened)
