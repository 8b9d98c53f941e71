"""Settings of the session that a statement changes: SET in its forms, and calls of set_config."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from schema_operator.scripts.tokens import tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from schema_operator.scripts.statements import Statement

_MOST_TOKENS: Final = 8
"""As many as a SET needs to be told."""
_CALL: Final = "SET_CONFIG"


def settings_of(statement: Statement) -> Iterator[tuple[str, str]]:
    """Give each setting a statement changes by name, and the value, both in upper case and without quotes.

    `SET TRANSACTION …` and `SET SESSION CHARACTERISTICS …` are the settings TRANSACTION and CHARACTERISTICS with what
    follows as their value. Settings whose names are computed are not found.
    """
    if statement.words[:1] == ("SET",):
        yield _set(list(islice(tokens(statement.sql), 1, _MOST_TOKENS)))
    elif _CALL in statement.sql.upper():
        yield from _calls(tuple(tokens(statement.sql)))


def _set(symbols: list[str]) -> tuple[str, str]:
    if symbols[:1] in (["SESSION"], ["LOCAL"]):
        symbols = symbols[1:]
    match symbols:
        case ["TRANSACTION" | "CHARACTERISTICS" as what, *value]:
            return what, " ".join(value)
        case ["NAMES", *value]:
            return "CLIENT_ENCODING", _plain(value[:1])
        case [name, "=" | "TO", *value]:
            return _plain([name]), _plain(value[:1])
        case _:
            return _plain(symbols[:1]), ""


def _calls(symbols: Sequence[str]) -> Iterator[tuple[str, str]]:
    for at, symbol in enumerate(symbols):
        match symbols[at : at + 5]:
            case (_, "(", name, ",", value) if symbol == _CALL:
                yield _plain([name]), _plain([value])
            case _:
                continue


def _plain(symbols: Sequence[str]) -> str:
    return "".join(symbols).strip("'\"").upper()
