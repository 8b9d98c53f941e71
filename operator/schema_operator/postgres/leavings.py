"""What statements outside of transactions make and leave: indexes, databases, detached partitions.

All is asked on the working session with the search_path of the script, because the names are the script's; the
functions and operators asked with are PostgreSQL's own by their full names where another could stand in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg import sql

from schema_operator.postgres.session import QUERIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schema_operator.postgres.session import Session, Tick

Parts = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Index:
    """An index."""

    oid: int
    name: str
    qualified: str
    """Its name with its schema, quoted where needed."""
    valid: bool


def indexes_of(session: Session, table: Parts) -> tuple[Index, ...]:
    """Give the indexes of a table; none where there is no such table."""
    return tuple(Index(*row) for row in session.query(QUERIES["indexes_of"], {"table": _text(table)}))


def transient_indexes(session: Session) -> tuple[Index, ...]:
    """Give the invalid indexes that REINDEX CONCURRENTLY makes for the time being."""
    return tuple(Index(*row) for row in session.query(QUERIES["transient_indexes"]))


def drop(session: Session, index: Index, tick: Tick) -> None:
    """Drop an index without keeping anybody from reading or writing its table; raises `ServerFailure`."""
    session.run(f"DROP INDEX CONCURRENTLY IF EXISTS {index.qualified}", tick)


def any_relation(session: Session, names: Sequence[Parts]) -> bool:
    """Say whether one of some relations is there."""
    return bool(session.query(QUERIES["any_relation"], {"names": [_text(name) for name in names]})[0][0])


def exists(session: Session, what: str, name: str) -> bool:
    """Say whether there is a database, tablespace or subscription of a name."""
    return bool(session.query(QUERIES["object_exists"], {"what": what, "name": name})[0][0])


def is_attached(session: Session, table: Parts, partition: Parts) -> bool:
    """Say whether a table is a partition of another."""
    return bool(session.query(QUERIES["is_attached"], _pair(table, partition))[0][0])


def detach_is_pending(session: Session, table: Parts, partition: Parts) -> bool:
    """Say whether a partition was begun to be detached; servers before 14 cannot."""
    return bool(session.query(QUERIES["detach_is_pending"], _pair(table, partition))[0][0])


def finish_detaching(session: Session, table: Parts, partition: Parts, tick: Tick) -> None:
    """Bring a detachment to its end that was begun; raises `ServerFailure`."""
    session.run(f"ALTER TABLE {_text(table)} DETACH PARTITION {_text(partition)} FINALIZE", tick)


def _pair(table: Parts, partition: Parts) -> dict[str, object]:
    return {"table": _text(table), "partition": _text(partition)}


def _text(name: Parts) -> str:
    return sql.Identifier(*name).as_string(None)
