"""Which statements commit by themselves, because a DO block or a procedure they run holds COMMIT or ROLLBACK.

Only PL/pgSQL is read. What another language does, or a procedure that no script creates, is not known from the text;
the server then says 2D000, and nothing is left behind.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Final

from schema_operator.scripts.names import folded, name_at
from schema_operator.scripts.tokens import tokens

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from schema_operator.scripts.statements import Statement

    Tokens = Sequence[str]

_LANGUAGE: Final = "plpgsql"
_PROCEDURE: Final = "PROCEDURE"
_BEGINNING: Final = 4
"""CREATE OR REPLACE PROCEDURE."""
_MAY_COMMIT = re.compile(r"\b(?:commit|rollback|call)\b", re.IGNORECASE)
_STATEMENT_FOLLOWS: Final = frozenset({";", "BEGIN", "THEN", "ELSE", "LOOP"})
"""What stands before a statement of PL/pgSQL: the end of the one before, or the beginning of a block."""


def commits(statement: Statement, procedures: Collection[str] = ()) -> bool:
    """Whether a statement commits or rolls back while it runs, so that it cannot be part of a transaction.

    `procedures` are names that `committing_procedures` gave.
    """
    match statement.words[:1]:
        case ("DO",):
            return _body_commits(_body(tuple(tokens(statement.sql)), "DO"), procedures)
        case ("CALL",) if procedures:
            return _calls(tuple(tokens(statement.sql)), 0, procedures)
        case _:
            return False


def committing_procedures(statements: Iterable[Statement], known: Collection[str] = ()) -> frozenset[str]:
    """Give the names of procedures that commit, after the statements have been run in their order.

    Names are lower case as the server stores them, with their schema where it is written. A procedure commits too where
    it calls one that does. `known` are those that commit before.
    """
    bodies = {}
    for statement in statements:
        if statement.words[:1] == ("CREATE",) and _PROCEDURE in islice(tokens(statement.sql), _BEGINNING):
            symbols = tuple(tokens(statement.sql))
            bodies[_dotted(symbols, symbols.index(_PROCEDURE) + 1)] = _body(symbols, "AS")
    found = frozenset(known) - bodies.keys()
    while True:
        more = found | {name for name, body in bodies.items() if _body_commits(body, found)}
        if more == found:
            return found
        found = more


def _body(symbols: Tokens, before: str) -> str:
    """Give the text of a PL/pgSQL body, which is the string behind a word; empty where there is none to read."""
    named = [symbols[at + 1] for at, symbol in enumerate(symbols[:-1]) if symbol == "LANGUAGE"]
    language = folded(named[0]) or named[0].strip("'") if named else _LANGUAGE
    if language != _LANGUAGE:
        return ""
    # DO [LANGUAGE name] 'body', and AS 'body' anywhere in CREATE PROCEDURE: the language may be a string, too.
    strings = [
        symbol
        for at, symbol in enumerate(symbols)
        if symbol[0] in "'$" and len(symbol) > 1 and (before == "DO" or symbols[at - 1] == before)
    ]
    texts = [text for text in map(_inside, strings) if text.strip().lower() != _LANGUAGE]
    return texts[0] if texts else ""


def _inside(string: str) -> str:
    if string.startswith("'"):
        return string[1:-1].replace("''", "'")
    tag = string[: string.index("$", 1) + 1]
    return string[len(tag) : -len(tag)]


def _body_commits(body: str, procedures: Collection[str]) -> bool:
    if _MAY_COMMIT.search(body) is None:
        return False
    symbols = tuple(tokens(body))
    return any(
        _ends_transaction(symbols, at) or _calls(symbols, at, procedures)
        for at in range(1, len(symbols))
        if symbols[at - 1] in _STATEMENT_FOLLOWS
    )


def _ends_transaction(symbols: Tokens, at: int) -> bool:
    """Whether COMMIT or ROLLBACK stands there as a statement; `commit := 1` is an assignment."""
    return symbols[at] in {"COMMIT", "ROLLBACK"} and symbols[at + 1 : at + 2] in {(";",), ("AND",)}


def _calls(symbols: Tokens, at: int, procedures: Collection[str]) -> bool:
    if symbols[at] != "CALL":
        return False
    called = _dotted(symbols, at + 1)
    return any(_same(called, procedure) for procedure in procedures)


def _same(called: str, procedure: str) -> bool:
    """Whether two names may be the same procedure: one without a schema may be in any."""
    if "." in called and "." in procedure:
        return called == procedure
    return called.rpartition(".")[2] == procedure.rpartition(".")[2]


def _dotted(symbols: Tokens, at: int) -> str:
    return ".".join(name_at(symbols, at)[0][-2:])
