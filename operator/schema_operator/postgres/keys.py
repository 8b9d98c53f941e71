"""Going through a table by a column: what the column must be, and which keys bound so many rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from psycopg import sql

from schema_operator.errors import Reason, Refused
from schema_operator.postgres import queries
from schema_operator.postgres.naming import qualified, quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schema_operator.postgres.queries import Message
    from schema_operator.postgres.session import Session

QUERIES: Final = queries.load(Path(__file__).with_name("keys.sql"))
_TABLES: Final = frozenset({"r", "p"})


@dataclass(frozen=True, slots=True)
class Key:
    """A column by which a table can be gone through."""

    relation: int
    """Oid of the table."""
    schema: str
    table: str
    column: str
    type: int
    """Oid of its type."""
    type_name: tuple[str, str]
    """Schema and name of it."""
    operators: str
    """Schema of the operators by which it is ordered."""

    def above(self, value: str, *, itself: bool = False) -> str:
        """Write a condition: above a value, or at least that value (`itself`)."""
        return f"OPERATOR({queries.identifier(self.operators)}.{'>=' if itself else '>'}) {value}"

    def at_most(self, value: str) -> str:
        """Write the condition that goes with it."""
        return f"OPERATOR({queries.identifier(self.operators)}.<=) {value}"


@dataclass(frozen=True, slots=True)
class Span:
    """The rows of a batch: those up to a key, and how many they are."""

    upto: str
    rows: int


@dataclass(frozen=True, slots=True)
class _Column:
    schema: str
    table: str
    kind: str
    has_children: bool
    type: int | None
    type_name: str | None
    type_schema: str | None
    never_null: bool | None
    operators: str | None


def tables(session: Session, table: Sequence[str], target: Sequence[str]) -> tuple[int | None, int | None]:
    """Find two tables under the search_path that is in force; None for one that is not there."""
    ((found, changed),) = session.query(QUERIES["tables"], {"table": sql_name(table), "target": sql_name(target)})
    return found, changed


def sql_name(parts: Sequence[str]) -> str:
    """Write a name as SQL does."""
    return sql.Identifier(*parts).as_string(None)


def key_of(session: Session, relation: int, column: str) -> Key:
    """Look at a column of a table, given by its oid, with the search_path pinned.

    Raises `Refused`: ObjectNotFound, InvalidBatch where it is no table of its own, NoKey for a column without an order
    to go by.
    """
    rows = session.query(QUERIES["column"], {"table": relation, "column": column})
    found = _Column(*rows[0]) if rows else None
    if found is None or found.type is None or found.type_name is None or found.type_schema is None:
        raise Refused(Reason.OBJECT_NOT_FOUND, f"the table has no column {column}; correct batch= in the script")
    table, name = qualified(found.schema, found.table), qualified(found.schema, found.table, column)
    if found.kind not in _TABLES or found.has_children:
        raise Refused(
            Reason.INVALID_BATCH,
            f"{table} is no table, or others inherit from it, so no index has all its "
            "rows in order; name a table without any that inherit",
        )
    if not found.never_null:
        raise Refused(
            Reason.NO_KEY,
            f"{name} may be null, and rows without a key would be left out; name a column that is NOT NULL, as a "
            "primary key is, or make this one so",
        )
    if found.operators is None:
        raise Refused(
            Reason.NO_KEY,
            f"no index begins with {name} and has all rows in its order, so each batch would read the whole table; "
            "name a column that has one, as a primary key has, or build it before: CREATE INDEX CONCURRENTLY ON "
            f"{table} ({quoted(column)})",
        )
    type_name = (found.type_schema, found.type_name)
    return Key(relation, found.schema, found.table, column, found.type, type_name, found.operators)


PLAIN_TEXT: Final = QUERIES["plain_text"]
"""Settings with which keys are written so that they can be read whatever is set."""


def ends(session: Session, key: Key) -> tuple[str, str] | None:
    """Give the lowest and the highest key; None where the table is empty."""
    ((lowest, highest),) = session.query(QUERIES["ends"].format(**_names(key)))
    return None if highest is None else (str(lowest), str(highest))


def span(session: Session, key: Key, after: str | None, last: str, size: int) -> Span | None:
    """Give the next `size` rows above a key and up to the last, or what is left of them; None where nothing is.

    Without `after` they are the first.
    """
    query = QUERIES["upto"].format(**_names(key), range=_range(key, after))
    ((upto, left),) = session.query(query, {"after": after, "last": last, "before": size - 1})
    return found_span(upto, left, last, size)


def message_to_span(key: Key, after: str, last: str, size: int) -> Message:
    """Give the message of a pipeline that asks what `span` does."""
    return _numbered_span(key).message({"after": after, "last": last, "before": size - 1})


@lru_cache(maxsize=8)
def _numbered_span(key: Key) -> queries.Numbered:
    return queries.numbered(QUERIES["upto"].format(**_names(key), range=_range(key, "")))


def found_span(upto: str | None, left: int | None, last: str, size: int) -> Span | None:
    """Make a span of the answer: a key, or how many rows there are before the end."""
    if upto is not None:
        return Span(upto, size)
    return Span(last, left) if left else None


def estimate(session: Session, key: Key, after: str | None, last: str, walked: int) -> int:
    """Say how many rows there are, about, of which so many are gone through already, up to a key.

    What the planner expects of the whole table is right where it has never looked at it; what it expects of the rest is
    right where rows were deleted on the way.
    """
    whole = _expected(session, QUERIES["estimate"].format(**_names(key), range=sql.SQL("true")), {})
    rest = _expected(
        session,
        QUERIES["estimate"].format(**_names(key), range=_range(key, after)),
        {"after": after, "last": last},
    )
    return max(whole, walked + rest)


def _expected(session: Session, query: sql.Composed, parameters: dict[str, object]) -> int:
    (((plan, *_),),) = session.query(query, parameters)
    return int(plan["Plan"]["Plan Rows"])


def _names(key: Key) -> dict[str, sql.Composable]:
    return {"table": sql.Identifier(key.schema, key.table), "key": sql.Identifier(key.column)}


def _range(key: Key, after: str | None) -> sql.Composable:
    column, schema, kind = sql.Identifier(key.column), sql.Identifier(key.operators), sql.Identifier(*key.type_name)
    upper = sql.SQL("{} OPERATOR({}.<=) %(last)s::{}").format(column, schema, kind)
    if after is None:
        return upper
    return sql.SQL("{} OPERATOR({}.>) %(after)s::{} AND {}").format(column, schema, kind, upper)
