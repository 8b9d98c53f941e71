r"""Cut a script into statements the way psql does, without a grammar.

What psql does and we do: a semicolon ends a statement unless it stands in a string, a quoted name, a comment, in
parentheses (`CREATE RULE … DO ALSO (a; b)`) or in the body of a routine (`BEGIN ATOMIC … END`); a backslash outside of
these begins a command of psql; after `COPY … FROM STDIN;` the next lines are data, up to a line `\.`.

What psql does worse: it counts CASE and END in a body and is led astray by `t.end` and `AS end`. Every statement of a
body ends with a semicolon, and END is a reserved word, so the END that closes a body is the one that directly follows a
semicolon (or ATOMIC itself), and no other can (PostgreSQL 18, gram.y, routine_body_stmt_list).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from enum import Enum, unique
from functools import cache
from typing import TYPE_CHECKING, Final, NoReturn, cast

from schema_operator.errors import Location, Reason, Refused
from schema_operator.scripts.copying import CopyForm, copy_form
from schema_operator.scripts.tokens import (
    BLANK,
    DOLLAR_QUOTE,
    ESCAPE_STRING,
    NAME_PART,
    PLAIN_STRING,
    QUOTED_NAME,
    WORD,
    comment_end,
    dollar_quote_end,
    tokens,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Piece", "PieceKind", "lex", "position_to_line_column", "tokens", "words"]

_ROUTINES: Final = (
    ("CREATE", "FUNCTION"),
    ("CREATE", "PROCEDURE"),
    ("CREATE", "OR", "REPLACE", "FUNCTION"),
    ("CREATE", "OR", "REPLACE", "PROCEDURE"),
)
_BODY_WORD: Final = rf"(?:[bB][eE][gG][iI][nN]|[eE][nN][dD]|[aA][tT][oO][mM][iI][cC])(?!{NAME_PART})"
_UNEVENTFUL: Final = (
    rf"(?:(?!{_BODY_WORD}){WORD}|{ESCAPE_STRING}|{PLAIN_STRING}|{QUOTED_NAME}|(?!{DOLLAR_QUOTE})\$|-(?!-)|/(?!\*)"
    r"|[\x00-\x08\x0e-\x1f!#%&*+,.0-9:<=>?@\[\]^`{|}~\x7f]++)"
)
# One match runs to the next event, over everything that can neither end a statement nor change how one ends. That is
# what makes this quick: a statement is a handful of events, whatever its length.
_TO_EVENT = re.compile(
    rf"{BLANK}*+(?P<run>{_UNEVENTFUL}(?:{BLANK}*+{_UNEVENTFUL})*+)?+{BLANK}*+"
    rf"(?:[eE](?='))?+(?P<event>[;()\\'\"]|/\*|{DOLLAR_QUOTE}|{_BODY_WORD}|\Z)",
)
_LINE_BREAK = re.compile(r"\r\n?|\n")
_END_OF_DATA = re.compile(r"^\\\.\r?$", re.MULTILINE)
_LONG: Final = 64 * 1024
"""Characters from which on it pays to compile the pattern of `_plain_statement`, which takes 3 ms."""


@unique
class PieceKind(Enum):
    """What a piece of a script is."""

    STATEMENT = "statement"
    COPY_DATA = "COPY data"
    META_COMMAND = "meta command"


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a script, `text[start:end]`; offsets count characters from 0, lines and columns from 1.

    A statement is without what surrounds it: blanks, comments, its semicolon. COPY data are whole lines without the
    closing backslash and dot. A meta command runs to the end of its line.
    """

    kind: PieceKind
    start: int
    end: int
    line: int
    column: int
    interrupts: bool = False
    """Whether a meta command stands inside a statement; the statement's two parts are then pieces of their own."""


def lex(text: str) -> tuple[Piece, ...]:
    """Cut a script into its pieces, in their order.

    Raises `Refused(SyntaxError)` with the line and column of what is opened and never closed.
    """
    return _Lexer(text).run()


def position_to_line_column(text: str, position: int) -> tuple[int, int]:
    """Give line and column, from 1, of an offset from 0. Lines end as in any editor: LF, CR LF or CR."""
    return _line_column(_line_starts(text), position)


def _line_starts(text: str) -> list[int]:
    return [0, *(line_break.end() for line_break in _LINE_BREAK.finditer(text))]


def _line_column(line_starts: list[int], position: int) -> tuple[int, int]:
    line = bisect_right(line_starts, position)
    return line, position - line_starts[line - 1] + 1


@cache
def _plain_statement() -> re.Pattern[str]:
    """Give what matches a whole statement at once, where it holds nothing that must be looked at: most of them.

    Long scripts are cut twice as fast by it. What it does not match is cut event by event, with the same result.
    """
    inside = rf"(?:{BLANK}|{_UNEVENTFUL})"
    part = rf"(?:{_UNEVENTFUL}|\((?:{inside}|\({inside}*+\))*+\))"
    return re.compile(
        rf"{BLANK}*+(?![cC][oO][pP][yY])(?P<statement>{part}(?:{BLANK}*+{part})*+){BLANK}*+;",
    )


class _Lexer:
    """One pass over one text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.limit = len(text)
        """Where to stop for the time being: at the end of the line while COPY data are to follow it."""
        self.copies = 0
        """How many COPY … FROM STDIN of the present line wait for their data."""
        self.plain = _plain_statement() if len(text) > _LONG else None
        self.line_starts = _line_starts(text)
        self.pieces: list[Piece] = []
        self.forget_statement()

    def forget_statement(self) -> None:
        self.start: int | None = None
        self.end = 0
        self.previous = ""
        """The event before, unless something significant followed it."""
        self.parentheses: list[int] = []
        self.body: int | None = None
        """Where BEGIN of a routine's body is, while inside it."""

    def run(self) -> tuple[Piece, ...]:
        while self.position < self.limit or self.limit < len(self.text) or self.copies:
            if self.start is None and not self.copies and self.plain_statement():
                continue
            # The pattern matches anywhere: what it does not run over is an event, and so is the limit.
            match = cast("re.Match[str]", _TO_EVENT.match(self.text, self.position, self.limit))
            if match["run"]:
                self.significant("", *match.span("run"))
            self.position = match.end()
            event = match["event"]
            _ACTIONS[event[:1]](self, event, match.start("event"))
        self.finish_statement()
        return tuple(self.pieces)

    def plain_statement(self) -> bool:
        match = self.plain.match(self.text, self.position) if self.plain else None
        if match is None:
            return False
        self.add(PieceKind.STATEMENT, *match.span("statement"))
        self.position = match.end()
        return True

    def significant(self, event: str, start: int, end: int) -> None:
        if self.start is None:
            self.start = start
        self.end = end
        self.previous = event

    def add(self, kind: PieceKind, start: int, end: int, *, interrupts: bool = False) -> None:
        self.pieces.append(Piece(kind, start, end, *_line_column(self.line_starts, start), interrupts))

    def semicolon(self, event: str, at: int) -> None:
        if self.parentheses or self.body is not None:
            self.significant(event, at, at + 1)
            return
        start = self.start
        self.finish_statement()
        if start is not None and copy_form(tokens(self.text, start, at)) is CopyForm.FROM_CLIENT:
            self.copies += 1
            self.limit = self.end_of_line(at)

    def finish_statement(self) -> None:
        if self.parentheses:
            self.refuse("parenthesis opened here is never closed; close it", self.parentheses[-1])
        if self.body is not None:
            self.refuse("BEGIN ATOMIC here has no END; write END after the last semicolon of the body", self.body)
        self.cut_statement()

    def cut_statement(self) -> None:
        if self.start is not None:
            self.add(PieceKind.STATEMENT, self.start, self.end)
        self.forget_statement()

    def open_parenthesis(self, event: str, at: int) -> None:
        self.significant(event, at, at + 1)
        self.parentheses.append(at)

    def close_parenthesis(self, event: str, at: int) -> None:
        self.significant(event, at, at + 1)
        if self.parentheses:
            self.parentheses.pop()

    def body_word(self, event: str, at: int) -> None:
        word, before, begin = event.upper(), self.previous, self.end - len("BEGIN")
        if word == "ATOMIC" and before == "BEGIN" and self.body is None and self.is_routine(at):
            self.body = begin
        elif word == "END" and before in {";", "ATOMIC"} and not self.parentheses:
            self.body = None
        self.significant(word, at, at + len(event))

    def is_routine(self, at: int) -> bool:
        beginning = words(self.text, self.start or 0, at, most=4)
        return not self.parentheses and any(beginning[: len(routine)] == routine for routine in _ROUTINES)

    def comment(self, event: str, at: int) -> None:
        end = comment_end(self.text, at, self.limit)
        self.position = end or self.refuse(
            f"comment opened here is never closed; close it with */ (comments nest: each {event} needs its own)", at
        )

    def dollar_quote(self, event: str, at: int) -> None:
        end = dollar_quote_end(self.text, at, event, self.limit)
        self.position = end or self.refuse(f"string opened here is never closed; close it with {event}", at)
        self.significant("", at, self.position)

    def quote(self, event: str, at: int) -> None:
        what = "string" if event == "'" else "quoted name"
        self.refuse(f"{what} opened here is never closed; close it with {event} (inside, write it twice)", at)

    def meta_command(self, _event: str, at: int) -> None:
        interrupts = self.start is not None
        self.cut_statement()
        self.position = self.end_of_line(at)
        command = self.text[at : self.position].rstrip(" \t\f\v")
        self.add(PieceKind.META_COMMAND, at, at + len(command), interrupts=interrupts)

    def reach_limit(self, _event: str, _at: int) -> None:
        if self.copies:
            self.finish_statement()
        for _ in range(self.copies):
            self.copy_data()
        self.copies, self.limit = 0, len(self.text)

    def copy_data(self) -> None:
        line_break = _LINE_BREAK.match(self.text, self.position)
        start = line_break.end() if line_break else self.position
        end_of_data = _END_OF_DATA.search(self.text, start)
        self.add(PieceKind.COPY_DATA, start, end_of_data.start() if end_of_data else len(self.text))
        self.position = end_of_data.end() if end_of_data else len(self.text)

    def end_of_line(self, position: int) -> int:
        line_break = _LINE_BREAK.search(self.text, position, self.limit)
        return line_break.start() if line_break else self.limit

    def refuse(self, sentence: str, at: int) -> NoReturn:
        line, column = _line_column(self.line_starts, at)
        raise Refused(Reason.SYNTAX_ERROR, f"the {sentence}", Location(line=line, column=column))


_ACTIONS: Final[dict[str, Callable[[_Lexer, str, int], None]]] = {
    ";": _Lexer.semicolon,
    "(": _Lexer.open_parenthesis,
    ")": _Lexer.close_parenthesis,
    "/": _Lexer.comment,
    "$": _Lexer.dollar_quote,
    "'": _Lexer.quote,
    '"': _Lexer.quote,
    "\\": _Lexer.meta_command,
    "": _Lexer.reach_limit,
    **dict.fromkeys("aAbBeE", _Lexer.body_word),
}
