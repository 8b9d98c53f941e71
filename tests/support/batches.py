"""A version that is done in batches, so that it can be seen of each row how often it was changed."""

from __future__ import annotations

from typing import Any, Final

import psycopg

ROWS: Final = 20_000
TABLE: Final = (
    "CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL DEFAULT 0);"
    f"INSERT INTO item (id) SELECT generate_series(1, {ROWS}); ANALYZE item"
)
SCRIPT: Final = (
    "-- schema-operator: batch=item.id\nUPDATE item SET n = n + 1 WHERE id > :batch_after AND id <= :batch_upto;\n"
)
OF_100: Final = ("--batch-max-size", "100")
_HAS_BATCHES: Final = "SELECT to_regclass('schema_operator.batch_positions') IS NOT NULL"
_BATCHES: Final = (
    "SELECT batch, after_key::int, upto_key::int, rows_walked, rows_changed FROM schema_operator.batch_positions "
    "WHERE batch > 0 ORDER BY position"
)
_CHANGED: Final = "SELECT count(*) FILTER (WHERE n = 1 AND id <= {0}), count(*) FILTER (WHERE n <> 0) FROM item"


def require_each_row_once(connection: psycopg.Connection[Any]) -> int:
    """Prove that the batches written down follow each other, and that their rows, and only these, are changed once.

    Gives the number of the last batch.
    """
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        known = connection.execute(_HAS_BATCHES).fetchall() == [(True,)]
        batches = connection.execute(_BATCHES).fetchall() if known else []
        upto = batches[-1][2] if batches else 0
        changed = connection.execute(_CHANGED.format(upto).encode()).fetchall()
    assert [number for number, *_ in batches] == [*range(1, len(batches) + 1)], batches
    assert [after for _, after, *_ in batches] == [None, *(one[2] for one in batches)][: len(batches)], batches
    assert sum(one[4] for one in batches) == sum(one[3] for one in batches) == upto, batches
    assert changed == [(upto, upto)], batches
    return len(batches)
