"""A new value of an enum cannot be used in the transaction that adds it (SQLSTATE 55P04).

Only what is certain is said before anything runs: the value cast to that type, or as the default of a column of that
type. The server refuses the rest.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from schema_operator.errors import Reason
from schema_operator.scripts.finding import Finding
from schema_operator.scripts.names import name_at
from schema_operator.scripts.tokens import tokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from schema_operator.scripts.statements import Statement

    Tokens = Sequence[str]
    Type = tuple[str, ...]

_MOST_TOKENS: Final = 16
_FINDING = Finding(
    Reason.ENUM_VALUE_NOT_USABLE,
    "this uses an enum value that the same transaction adds, and PostgreSQL allows that only once the value is "
    "committed; move the use to the next version",
)


def enum_value_used(statements: Iterable[Statement]) -> tuple[Statement, Finding] | None:
    """Give the first statement that uses an enum value added before it; the statements are those of one transaction.

    A type that they create themselves may be used at once (from PostgreSQL 17 on), and so may a value that was there
    already (IF NOT EXISTS): both are left to the server.
    """
    created: set[Type] = set()
    added: dict[str, set[Type]] = {}
    for statement in statements:
        match statement.words[:2]:
            case ("CREATE", "TYPE"):
                created.add(name_at(tuple(islice(tokens(statement.sql), _MOST_TOKENS)), 2)[0])
            case ("ALTER", "TYPE"):
                _add(tuple(islice(tokens(statement.sql), _MOST_TOKENS)), created, added)
            case _ if added and any(value in statement.sql for value in added):
                if _uses(tuple(tokens(statement.sql)), added):
                    return statement, _FINDING
    return None


def _add(symbols: Tokens, created: set[Type], added: dict[str, set[Type]]) -> None:
    name, at = name_at(symbols, 2)
    match symbols[at : at + 3]:
        case ("ADD", "VALUE", value) if value.startswith("'") and name not in created:
            added.setdefault(value, set()).add(name)
        case _:
            return


def _uses(symbols: Tokens, added: dict[str, set[Type]]) -> bool:
    return any(
        _type_of(symbols, at) in added[symbol] or _default_of(symbols, at) in added[symbol]
        for at, symbol in enumerate(symbols)
        if symbol in added
    )


def _type_of(symbols: Tokens, at: int) -> Type:
    """Read the type a string is cast to: `'a'::t`, `CAST('a' AS t)`, but not an array of it."""
    begin = at + 3 if symbols[at + 1 : at + 3] == (":", ":") else at + 2
    if begin == at + 2 and (symbols[at - 2 : at] != ("CAST", "(") or symbols[at + 1 : at + 2] != ("AS",)):
        return ()
    name, end = name_at(symbols, begin)
    return () if symbols[end : end + 1] == ("[",) else name


def _default_of(symbols: Tokens, at: int) -> Type:
    """Read the type of the column whose default a string is: `t DEFAULT 'a'`, with NOT NULL between or not."""
    if at < 2 or symbols[at - 1] != "DEFAULT":  # noqa: PLR2004 (a type, DEFAULT, the string)
        return ()
    end = at - 1
    if symbols[end - 2 : end] == ("NOT", "NULL"):
        end -= 2
    begin = end - 1
    while begin >= 2 and symbols[begin - 1] == ".":  # noqa: PLR2004 (a dot and a part before it)
        begin -= 2
    name, stop = name_at(symbols, begin)
    return name if stop == end else ()
