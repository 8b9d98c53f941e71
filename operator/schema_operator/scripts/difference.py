r"""What an edit of a script amounts to: whether it can have changed what the script does.

Two texts do the same when their statements consist of the same words and signs. White space between them, line ends and
comments mean nothing, except where they do: inside strings and dollar quotes, in the data of COPY, between two strings
(`'a' 'b'` is an error, with a line break between them it is one string), between signs that are one operator when they
touch, and in comments that are directives. Where in doubt, the texts are different.
"""

from __future__ import annotations

import re
from enum import Enum, unique
from functools import cache
from itertools import zip_longest
from typing import TYPE_CHECKING, Final, NamedTuple

from schema_operator.errors import Refused
from schema_operator.scripts.lexer import Piece, PieceKind, lex
from schema_operator.scripts.tokens import (
    DOLLAR_QUOTE,
    ESCAPE_STRING,
    PLAIN_STRING,
    QUOTED_NAME,
    SPACE,
    WORD,
    comment_end,
    dollar_quote_end,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_DIRECTIVE: Final = r"--[ \t]*(?:schema-operator:|\+goose|migrate:|no-transaction)"
"""Comments that say how a script is run, here or in the tools whose folders are read."""
_BRACKETS: Final = frozenset("(),;[]")
"""Signs that are never part of another, whatever touches them."""
_OPERATORS: Final = frozenset("=<>+-*/%^|!~#@")
"""Signs that may touch a word or a number without a change of meaning. `&` may not: `U&'…'`."""
_QUOTES: Final = frozenset({"quote", "dollar"})
_WORDS: Final = frozenset({"word", "number", "quote", "dollar"})


@unique
class Edit(Enum):
    """What an edit amounts to; the value says it in words, as the subject of a sentence that ends in "differ"."""

    BYTES = "only bytes that are no part of the text (a byte-order mark)"
    LINE_ENDS = "only line ends (CR LF or LF)"
    WHITE_SPACE = "only blanks and line breaks between words"
    COMMENTS = "only comments, blanks or empty statements"
    QUOTED_LINE_ENDS = "only line ends (CR LF or LF), but also inside of strings or bodies, which hold them"
    TEXT = "statements"

    @property
    def harmless(self) -> bool:
        """Whether the edit cannot have changed what the script does."""
        return self not in {Edit.QUOTED_LINE_ENDS, Edit.TEXT}


def edit_of(stored: str, present: str) -> Edit:
    """Say what the edit amounts to that made the present text of the stored one; their bytes differ."""
    if stored == present:
        return Edit.BYTES
    same = _same(stored, present)
    if _with_plain_line_ends(stored) == _with_plain_line_ends(present):
        return Edit.LINE_ENDS if same else Edit.QUOTED_LINE_ENDS
    if not same:
        return Edit.TEXT
    return Edit.WHITE_SPACE if "".join(stored.split()) == "".join(present.split()) else Edit.COMMENTS


def first_difference(stored: str, present: str) -> int | None:
    """Give the number of the first line that differs; None where only the bytes differ (a byte-order mark)."""
    pairs = zip_longest(stored.split("\n"), present.split("\n"))
    return next((number for number, (old, new) in enumerate(pairs, start=1) if old != new), None)


def _with_plain_line_ends(text: str) -> str:
    return text.replace("\r\n", "\n")


def _same(stored: str, present: str) -> bool:
    try:
        return tuple(_meaning(stored)) == tuple(_meaning(present))
    except Refused:  # something is opened and never closed, so nobody knows what it means
        return False


class _Part(NamedTuple):
    kind: str
    text: str


def _meaning(text: str) -> Iterator[object]:
    """Give what a script does, piece by piece: statements by their words and signs, all else as it stands."""
    end = 0
    for piece in lex(text):
        yield from _directives(text, end, piece.start)
        yield piece.kind, piece.interrupts, _content(text, piece)
        end = piece.end
    yield from _directives(text, end, len(text))


def _content(text: str, piece: Piece) -> object:
    match piece.kind:
        case PieceKind.STATEMENT:
            return tuple(_significant(text, piece.start, piece.end))
        case PieceKind.META_COMMAND:
            return text[piece.start : piece.end].rstrip()
        case PieceKind.COPY_DATA:
            return text[piece.start : piece.end]


def _directives(text: str, start: int, end: int) -> Iterator[str]:
    """Give the comments between two pieces that are directives."""
    return (part.text for part in _parts(text, start, end) if part.kind == "directive")


def _significant(text: str, start: int, end: int) -> Iterator[str]:
    """Give words and signs, with what stands between two of them where that may mean something."""
    before, gap = _Part("", ""), ""
    for part in _parts(text, start, end):
        if part.kind == "gap":
            gap += part.text
            continue
        if gap and not _free(before, part):
            yield gap if before.kind in _QUOTES and part.kind in _QUOTES else " "
        yield part.text
        before, gap = part, ""


def _free(before: _Part, after: _Part) -> bool:
    """Whether it means nothing if there is a blank between two parts."""
    if before.text in _BRACKETS or after.text in _BRACKETS:
        return True
    return (before.kind in _WORDS and after.text in _OPERATORS) or (before.text in _OPERATORS and after.kind in _WORDS)


def _parts(text: str, start: int, end: int) -> Iterator[_Part]:
    """Cut a part of a text into words, signs, quotes, and the gaps between them: blanks and comments."""
    pattern = _pattern()
    position = start
    while match := pattern.match(text, position, end):
        kind, begin, position = match.lastgroup or "sign", match.start(), match.end()
        if kind in {"comment", "hint"}:
            position = comment_end(text, begin, end) or end
            kind = "gap" if kind == "comment" else "directive"
        elif kind == "dollar":
            position = dollar_quote_end(text, begin, match["dollar"], end) or end
        yield _Part(kind, text[begin:position])


@cache
def _pattern() -> re.Pattern[str]:
    """Compile what only a run with an edited script needs."""
    return re.compile(
        # /*+ … */ is a hint to the planner, for the extension that reads them.
        rf"(?P<hint>/\*(?=\+))|(?P<comment>/\*)|(?P<directive>{_DIRECTIVE}[^\n\r]*+)|(?P<gap>{SPACE}++|--[^\n\r]*+)"
        rf"|(?P<dollar>{DOLLAR_QUOTE})|(?P<quote>{ESCAPE_STRING}|{PLAIN_STRING}|{QUOTED_NAME})|(?P<word>{WORD})"
        r"|(?P<number>[0-9]++(?:\.[0-9]*+)?+(?:[eE][+-]?+[0-9]++)?+)|(?P<sign>[\s\S])"
    )
