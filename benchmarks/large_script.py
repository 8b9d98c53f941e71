"""One script of 100,000 statements: how long it takes to check it, and to apply it beside psql.

The script is of about 10 MB: tables, comments, indexes, functions in dollar quotes, rows. Checked by a whole Python
process that reads the folder and says what could be said against it. Applied in one transaction, ours and psql in turn,
each on a fresh database, whole processes; every run is looked at for what it should have made.

python -m benchmarks.large_script [rounds, 3]
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import psycopg
from benchmarks.measuring import (
    HEADING,
    PROGRAM,
    Cost,
    deployed,
    fresh_database,
    interleaved,
    measure,
    rounds_asked,
    verdict,
)
from benchmarks.peers import psql
from dev.postgres.server import PostgresServer

ROUNDS: Final = 3
STATEMENTS: Final = 100_000
TABLES: Final = 500
_EACH: Final = STATEMENTS // TABLES
"""Statements for each table, and for what belongs to it."""
_FUNCTIONS: Final = 2
CHECK_SECONDS: Final = 4.0
CHECK_MEBIBYTES: Final = 200.0
APPLY_RATIO: Final = 1.3
_CHECK: Final = """
import sys
from schema_operator.api.request import ScriptFolder
from schema_operator.scripts import reading
from schema_operator.scripts.check import check
from schema_operator.scripts.pending import check_pending
from schema_operator.scripts.units import transactions_of
scripts = reading.require_not_empty(reading.from_folders((ScriptFolder(path=sys.argv[1], label=""),)))
check(scripts)
check_pending(scripts.scripts, 18, (), transactions_of)
"""
_TABLE: Final = """\
CREATE TABLE shop.orders_{table} (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer text NOT NULL, -- as written on the parcel; may hold anything
    amount numeric(12, 2) NOT NULL CHECK (amount >= 0),
    state text NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'paid', 'sent')),
    note text,
    created_at timestamptz NOT NULL DEFAULT now()
)"""
_FUNCTION: Final = """\
CREATE FUNCTION shop.total_{table}_{number}(wanted text) RETURNS numeric LANGUAGE plpgsql STABLE AS $body$
DECLARE
    total numeric := 0; -- a semicolon; and an apostrophe: it's
BEGIN
    SELECT coalesce(sum(amount), 0) INTO total FROM shop.orders_{table} WHERE state = wanted;
    RETURN total;
END;
$body$"""
_ROW: Final = """\
INSERT INTO shop.orders_{table} (customer, amount, state)
VALUES ('Customer {number}, 12 O''Hara; Road', {amount}, 'paid')"""


def main() -> None:
    """Print what checking and applying cost, beside their bounds."""
    rounds = rounds_asked(ROUNDS)
    with tempfile.TemporaryDirectory() as place, deployed() as server:
        script = Path(place) / "1_large.up.sql"
        script.write_text(";\n".join(statements()) + ";\n")
        print(f"{STATEMENTS} statements, {script.stat().st_size / 1e6:.1f} MB, {rounds} rounds")
        contestants = {
            "check": partial(measure, [sys.executable, "-c", _CHECK, script.parent]),
            "schema-operator run": partial(_ours, server, script),
            "psql -1": partial(_psql, server, script),
        }
        contestants["check"]()  # Once for nothing: byte code gets compiled.
        found = interleaved(rounds, contestants)
    print(f"{'':28}{HEADING}")
    for name, costs in found.items():
        print(f"{name:28}{costs}")
    ours, theirs = found["schema-operator run"], found["psql -1"]
    print(verdict("check", found["check"].seconds, CHECK_SECONDS, " s"))
    print(verdict("check, memory", found["check"].mebibytes, CHECK_MEBIBYTES, " MiB"))
    print(verdict("apply, ours / psql", ours.seconds / theirs.seconds, APPLY_RATIO))


def statements() -> Iterator[str]:
    """Give the statements of the script, in their order."""
    yield "CREATE SCHEMA shop"
    for table in range(TABLES):
        found = list(_of_table(table))
        yield from found
        # The very first statement counts too.
        for number in range(_EACH - len(found) - (table == 0)):
            yield _ROW.format(table=table, number=number, amount=f"{number}.50")


def _of_table(table: int) -> Iterator[str]:
    yield _TABLE.format(table=table)
    yield f"COMMENT ON TABLE shop.orders_{table} IS 'Orders of shop {table}; one row each.'"
    for column in ("customer", "amount", "state", "note"):
        yield f"COMMENT ON COLUMN shop.orders_{table}.{column} IS E'The {column} of an order;\\n see the manual'"
    yield f"CREATE INDEX orders_{table}_state ON shop.orders_{table} (state, created_at) WHERE state <> 'sent'"
    for number in range(_FUNCTIONS):
        yield _FUNCTION.format(table=table, number=number)
    yield f"/* rights */ GRANT SELECT ON shop.orders_{table} TO PUBLIC"


def _ours(server: PostgresServer, script: Path) -> Cost:
    with fresh_database(server, "large") as uri:
        cost = measure([PROGRAM, "run", "--scripts", script.parent], {"SCHEMA_OPERATOR_URI": uri})
        _require_all_done(uri)
    return cost


def _psql(server: PostgresServer, script: Path) -> Cost:
    with fresh_database(server, "large") as uri:
        cost = measure(psql(uri, "--single-transaction", "--file", script))
        _require_all_done(uri)
    return cost


def _require_all_done(uri: str) -> None:
    """Raise `AssertionError` where a database is not what the script makes."""
    query = """
        SELECT count(*) FILTER (WHERE relkind = 'r'), count(*) FILTER (WHERE relkind = 'i'),
               (SELECT count(*) FROM pg_proc WHERE pronamespace = 'shop'::regnamespace)
        FROM pg_class WHERE relnamespace = 'shop'::regnamespace
    """
    with psycopg.connect(uri) as connection:
        found = connection.execute(query).fetchone()
        rows = connection.execute(f"SELECT count(*) FROM shop.orders_{TABLES - 1}".encode()).fetchone()
    assert found == (TABLES, 2 * TABLES, _FUNCTIONS * TABLES), f"tables, indexes and functions are {found}"
    assert rows == (_EACH - len(list(_of_table(0))),), f"the last table has {rows} rows"


if __name__ == "__main__":
    main()
