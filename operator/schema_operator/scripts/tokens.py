r"""The words and signs of SQL, as PostgreSQL's own lexer reads them.

Source of the rules: PostgreSQL 18, src/backend/parser/scan.l and src/fe_utils/psqlscan.l. Two are easily forgotten:
a name may contain `$` (so `a$b$` opens no dollar quote), and every character beyond ASCII, blanks included, is part
of a name. `standard_conforming_strings` is on, so a backslash means nothing in a plain string.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

SPACE: Final = r"[ \t\n\r\f\v]"
BLANK: Final = rf"(?:{SPACE}++|--[^\n\r]*+)"
"""White space or a comment to the end of the line. Comments of the other kind nest: see `comment_end`."""
NAME_START: Final = r"[^\x00-@\[-^`{-\x7f]"
NAME_PART: Final = r"[^\x00-#%-/:-@\[-^`{-\x7f]"
"""A letter, `_`, a digit, `$` or anything beyond ASCII; written as what it is not, which compiles ten times faster."""
WORD: Final = rf"(?![eE]'){NAME_START}{NAME_PART}*+"
"""The guard is for `E'…` that never ends: without it, `E` would be a name and the rest a plain string."""
QUOTED_NAME: Final = r'"[^"]*+(?:""[^"]*+)*+"'
PLAIN_STRING: Final = r"'[^']*+(?:''[^']*+)*+'"
"""Also what follows the prefix of `B'…'`, `X'…'`, `N'…'` and `U&'…'`."""
_ESCAPE_PART: Final = r"'[^'\\]*+(?:(?:''|\\[\s\S])[^'\\]*+)*+'"
CONTINUED: Final = rf"(?:[ \t\f\v]++|--[^\n\r]*+)*+[\n\r](?:{SPACE}++|--[^\n\r]*+[\n\r])*+"
"""What may stand between the parts of a string: blanks with a line break."""
ESCAPE_STRING: Final = rf"[eE]{_ESCAPE_PART}(?:{CONTINUED}{_ESCAPE_PART})*+(?!{CONTINUED}')"
"""A string that goes on after a line break keeps the rules of its first part; if it goes on it must also end."""
NAME_CHARACTER: Final = r"[^\x00-/:-@\[-^`{-\x7f]"
"""A part of a name without `$`."""
DOLLAR_QUOTE: Final = rf"\$(?:{NAME_START}{NAME_CHARACTER}*+)?\$"
"""The tag is a name without `$`."""

_MOST_TOKENS: Final = 16
"""How far `words` looks: far enough for every statement's beginning, near enough for a row of a thousand values."""

_BLANKS = re.compile(rf"{BLANK}*+")
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_TOKEN = re.compile(
    rf"{BLANK}*+(?:(?P<word>{WORD})|(?P<escape>{ESCAPE_STRING})|(?P<dollar>{DOLLAR_QUOTE})|(?P<comment>/\*)"
    rf"|(?P<plain>{PLAIN_STRING}|{QUOTED_NAME}|[0-9]++|[\s\S])|\Z)",
)
_THREE_WORDS = re.compile(rf"{BLANK}*+({WORD}){BLANK}*+({WORD}){BLANK}*+({WORD})")
"""How most statements begin; a short cut for `words`."""


def comment_end(text: str, start: int, end: int) -> int | None:
    """Give where the comment that begins with `/*` at `start` ends, or None when it does not end before `end`."""
    depth = 0
    for edge in _COMMENT_EDGE.finditer(text, start, end):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    return None


def header_spans(text: str) -> Iterator[tuple[int, int]]:
    """Give where the blanks and comments to the end of a line stand, from and to, with which a text begins.

    Between two of them is a comment of the other kind; one that is never closed is none.
    """
    position: int | None = 0
    while position is not None:
        # The pattern matches anywhere, at least nothing.
        end = cast("re.Match[str]", _BLANKS.match(text, position)).end()
        yield position, end
        position = comment_end(text, end, len(text)) if text.startswith("/*", end) else None


def header_end(text: str) -> int:
    """Give where the blanks and comments end with which a text begins."""
    *_, (_, end) = header_spans(text)
    return end


def dollar_quote_end(text: str, start: int, tag: str, end: int) -> int | None:
    """Give where the string that begins with `tag` at `start` ends, or None when it does not end before `end`."""
    closing = text.find(tag, start + len(tag), end)
    return None if closing < 0 else closing + len(tag)


def tokens(text: str, start: int = 0, end: int | None = None) -> Iterator[str]:
    """Give what is significant between two offsets, one after the other, without blanks and comments.

    Keywords and names come in upper case; quoted names as written, from the `"`; strings as written, from the `'` or
    `$` (the E of `E'…'` is left out); numbers by their digits; anything else one character at a time.
    """
    position, limit = start, len(text) if end is None else end
    while position < limit:
        # The pattern matches anything: its last alternatives are any character and the end.
        match = cast("re.Match[str]", _TOKEN.match(text, position, limit))
        kind, position = match.lastgroup, match.end()
        if kind == "comment":
            position = comment_end(text, position - 2, limit) or limit
        elif kind == "dollar":
            opening = match.start("dollar")
            position = dollar_quote_end(text, opening, match["dollar"], limit) or limit
            yield text[opening:position]
        elif kind is not None:
            yield _as_token(kind, match[kind])


def _as_token(kind: str, found: str) -> str:
    match kind:
        case "word":
            return _upper(found)
        case "escape":
            return found[1:]
        case _:
            return found


def _upper(word: str) -> str:
    # Only ASCII, as the server does it: the upper case of some other letters is a keyword's.
    return word.upper() if word.isascii() else word


def is_word(token: str) -> bool:
    """Whether a token is a keyword or a name without quotes."""
    return token[0] == "_" or token[0].isalpha() or token[0] >= "\x80"


def outside_parentheses(sequence: Iterator[str]) -> Iterator[str]:
    """Leave out what stands between parentheses, and the parentheses."""
    depth = 0
    for symbol in sequence:
        if symbol == "(":
            depth += 1
        elif symbol == ")":
            depth -= 1
        elif depth <= 0:
            yield symbol


def words(text: str, start: int = 0, end: int | None = None, *, most: int) -> tuple[str, ...]:
    """Give the first keywords and names in upper case, without what is quoted, commented or between parentheses.

    Looks at the first 16 tokens only, so that a long list of values costs nothing.
    """
    limit = len(text) if end is None else end
    leading = _THREE_WORDS.match(text, start, limit)
    if leading and most <= len(leading.groups()):
        return tuple(map(_upper, leading.groups()[:most]))
    beginning = islice(tokens(text, start, limit), _MOST_TOKENS)
    return tuple(islice((symbol for symbol in outside_parentheses(beginning) if is_word(symbol)), most))
