"""A script that is done in batches: one statement, again and again, each time for another range of a column. Pure.

::

    -- schema-operator: batch=item.id
    UPDATE item SET total = price * quantity WHERE id > :batch_after AND id <= :batch_upto;

`:batch_after` and `:batch_upto` are sent as parameters, `$1` and `$2`. They are only taken where they bound the column
itself, each with its own operator. So ranges neither overlap (as with BETWEEN) nor leave a gap; and for the first
range, below which nothing is, `>` can be made `>=`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NoReturn

from schema_operator.api.request import TransactionMode
from schema_operator.errors import Location, Reason, Refused
from schema_operator.scripts.names import folded, name_at
from schema_operator.scripts.placeholders import BATCH_BOUNDS, Placeholder, placeholders_in
from schema_operator.scripts.tokens import tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from schema_operator.scripts.script import BatchKey, Source
    from schema_operator.scripts.statements import Statement

AFTER, UPTO = BATCH_BOUNDS
_OPERATORS: Final = {AFTER: (">",), UPTO: ("<", "=")}
_CHANGES: Final = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE"})
_EXAMPLE: Final = f"WHERE {{column}} > :{AFTER} AND {{column}} <= :{UPTO}"


@dataclass(frozen=True, slots=True)
class Target:
    """The table whose rows a statement changes."""

    names: tuple[str, ...]
    """Its name, schema first where it has one."""
    known_as: str
    """What the statement calls it: the alias, or the name without its schema."""
    inserts: bool


@dataclass(frozen=True, slots=True)
class Counting:
    """A statement with what counts its rows."""

    sql: str
    offset: int
    """Characters before the statement itself."""


def batched_statement(source: Source, statements: Sequence[Statement]) -> Statement:
    """Give the one statement of a script that is done in batches.

    Raises `Refused(InvalidBatch)`, with the place of the statement, for a script that cannot be.
    """
    if source.batch is None:
        raise ValueError("the script does not say batch=")
    if source.transaction is TransactionMode.REQUIRED:
        _refuse("is done in batches with a COMMIT each, and says transaction=required; take one of them away")
    if len(statements) != 1:
        place = statements[1] if len(statements) > 1 else None
        _refuse(
            f"is done in batches, so it holds one statement, not {len(statements)}; move the others to a version of "
            "their own",
            place,
        )
    (statement,) = statements
    target_of(replace(statement, sql=_with_names(statement.sql)))
    _require_range(statement, source.batch)
    return statement


def target_of(statement: Statement) -> Target:
    """Give the table a statement changes; raises `Refused(InvalidBatch)` for one that cannot be done in batches."""
    symbols = tuple(tokens(statement.sql))
    outer = tuple(_outer(symbols))
    command = _command(symbols, outer)
    _require_plain(statement, symbols, outer, command)
    target = _target(symbols, command) if command is not None else None
    if target is None:
        _refuse(
            "is done in batches, so its statement is an UPDATE, a DELETE or an INSERT … SELECT; write one of these, or "
            "take batch= away",
            statement,
        )
    return target


def with_parameters(statement: Statement, *, first: bool) -> Statement:
    """Put parameters in the place of the placeholders, of the same length: what the server points at stays in place.

    In the `first` range the lower bound belongs to it.
    """
    sql = statement.sql
    for place in _placeholders(sql):
        if place.name == UPTO:
            sql = _put(sql, place.start, place.end, "$2")
        elif first:
            sign = sql.rindex(">", 0, place.start)
            between = sql[sign + 1 : place.start]
            sql = _put(sql, sign, place.end, f">={between}$1")
        else:
            sql = _put(sql, place.start, place.end, "$1")
    return replace(statement, sql=sql)


def in_one_go(statement: Statement) -> Statement:
    """Let a statement do all rows at once, for whoever must do so in one transaction: every key is in its range."""
    sql = statement.sql
    for place in _placeholders(sql):
        sign = "".join(_OPERATORS[place.name])
        at = sql.rindex(sign, 0, place.start)
        between = sql[at + len(sign) : place.start]
        sql = _put(sql, at, place.end, f" IS NOT NULL{between}")
    return replace(statement, sql=sql)


def counting(sql: str, target: Target, key: str, outside: str) -> Counting:
    """Let a statement count the rows it changed, and those of them for which a condition holds, `outside`.

    In the condition, `key` is the column of that name of the rows as they are afterwards. What is given goes on with
    another statement, which reads `counted (changed, strayed)`.
    """
    return _counting(sql, f"{_quoted(target.known_as)}.{_quoted(key)}", outside)


def counting_all(sql: str) -> Counting:
    """Let a statement count the rows it changed, of which none is to be looked at."""
    return _counting(sql, "true", "false")


def _counting(sql: str, key: str, outside: str) -> Counting:
    prefix = "WITH changed AS (\n"
    count = f"SELECT pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE {outside}) FROM changed"
    return Counting(f"{prefix}{sql}\nRETURNING {key} AS key), counted (changed, strayed) AS ({count})", len(prefix))


def _put(sql: str, start: int, end: int, text: str) -> str:
    return f"{sql[:start]}{text:{end - start}}{sql[end:]}"


def _with_names(sql: str) -> str:
    """Put something in the place of variables, so that what kind of statement it is can be read."""
    for place in reversed(tuple(placeholders_in(sql))):
        value = "''" if place.quote == "'" else "a"
        sql = f"{sql[: place.start]} {value} {sql[place.end :]}"
    return sql


def _placeholders(sql: str) -> tuple[Placeholder, ...]:
    return tuple(place for place in placeholders_in(sql) if place.name in _OPERATORS)


def _require_range(statement: Statement, key: BatchKey) -> None:
    """Refuse placeholders that are missing, or stand anywhere but where they bound the column."""
    example = _EXAMPLE.format(column=key.column)
    found = _placeholders(statement.sql)
    for place in found:
        if not _bounds(statement.sql, place, key.column):
            sign = "".join(_OPERATORS[place.name])
            _refuse(
                f"uses :{place.name} in another way than right behind {key.column} {sign}, so its ranges could overlap "
                f"or leave rows out; write {example}",
                statement,
                place,
            )
    for name in _OPERATORS:
        if all(place.name != name for place in found):
            _refuse(f"is done in batches, but its statement has no :{name}; write {example}", statement)


def _bounds(sql: str, place: Placeholder, column: str) -> bool:
    """Whether a placeholder stands right behind the column and its operator, with nothing but blanks between."""
    signs = _OPERATORS[place.name]
    at = sql.rfind("".join(signs), 0, place.start)
    before = tuple(tokens(sql, 0, max(at, 0)))
    # A comment may hold such a sign as well.
    behind = (*before, *signs) == tuple(tokens(sql, 0, place.start)) and not sql[at + len(signs) : place.start].strip()
    return behind and not place.quote and not place.tags and folded(before[-1] if before else "") == column


def _outer(symbols: Sequence[str]) -> Iterator[int]:
    """Give where the symbols are that stand outside of parentheses."""
    depth = 0
    for at, symbol in enumerate(symbols):
        depth -= symbol == ")"
        if depth == 0 and symbol not in {"(", ")"}:
            yield at
        depth += symbol == "("


def _command(symbols: Sequence[str], outer: Sequence[int]) -> int | None:
    """Find the word that says what a statement does, at its beginning or behind a WITH; None for none of ours."""
    if symbols[0] != "WITH":
        return 0 if symbols[0] in _CHANGES else None
    behind = (at for at in outer if symbols[at - 1] == ")" and symbols[at] != ",")
    found = next((at for at in behind if symbols[at] in _CHANGES | {"SELECT", "VALUES", "TABLE"}), None)
    return found if found is not None and symbols[found] in _CHANGES else None


def _require_plain(statement: Statement, symbols: Sequence[str], outer: Sequence[int], command: int | None) -> None:
    """Refuse what comes in the way of counting the rows that a batch has changed."""
    if command is not None and any(symbols[at] == "RETURNING" and symbols[at - 1] != "." for at in outer):
        _refuse("is done in batches, and nobody takes the rows of its RETURNING; leave it out", statement)
    within = zip(symbols, symbols[1:], symbols[2:], strict=False)
    if any(one in {"AS", "MATERIALIZED"} and two == "(" and three in _CHANGES for one, two, three in within):
        _refuse(
            "is done in batches, and its WITH changes rows of its own, which no range would bound; use one statement "
            "for each in versions of their own",
            statement,
        )


def _target(symbols: Sequence[str], command: int) -> Target | None:
    match tuple(symbols[command : command + 2]):
        case ("UPDATE", _):
            return _named(symbols, command + 1, ends={"SET"})
        case ("DELETE", "FROM"):
            return _named(symbols, command + 2, ends={"USING", "WHERE"})
        case ("INSERT", "INTO"):
            selects = any(symbols[at] == "SELECT" for at in range(command, len(symbols)))
            values = any(symbols[at] == "VALUES" for at in _outer(symbols) if at > command)
            target = _named(symbols, command + 2, ends={"SELECT", "WITH", "OVERRIDING", "("})
            return replace(target, inserts=True) if target is not None and selects and not values else None
        case _:
            return None


def _named(symbols: Sequence[str], at: int, ends: set[str]) -> Target | None:
    """Read `[ONLY] name [*] [[AS] alias]`."""
    at += symbols[at] == "ONLY"
    names, at = name_at(symbols, at)
    if not names:
        return None
    at += symbols[at : at + 1] == ("*",)
    has_as = symbols[at : at + 1] == ("AS",)
    rest = symbols[at + has_as :]
    alias = folded(rest[0]) if rest and (has_as or rest[0] not in ends) else None
    return Target(names, alias or names[-1], inserts=False)


def _quoted(name: str) -> str:
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def _refuse(problem: str, statement: Statement | None = None, place: Placeholder | None = None) -> NoReturn:
    if statement is None:
        raise Refused(Reason.INVALID_BATCH, f"this script {problem}")
    line, column = statement.line, statement.column
    if place is not None:
        line, column = statement.line_column(place.start + 1)
    location = Location(statement=statement.number, line=line, column=column)
    raise Refused(Reason.INVALID_BATCH, f"this script {problem}", location)
