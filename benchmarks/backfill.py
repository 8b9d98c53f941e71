"""What filling a column costs the application that works meanwhile: ours in batches, one UPDATE, batches of 10,000.

The application is that of `benchmarks.load`: 16 clients, 400 transactions a second, a table of a million rows, each of
which gets a value in a new column. What is added is the highest latency of the transactions that overlap the backfill,
less that of a run without any; of several rounds, the medians count. Speed is rows by the time of the whole process.

Then, without the application, tables of 10,000 to 5,000,000 rows: the time of a row, from batch to batch, and how it
grows with the table. The slope is that of the logarithms: 0 is flat, 1 would be twice the time for twice the rows.

python -m benchmarks.backfill [rounds, 3]
"""

from __future__ import annotations

import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import psycopg
from benchmarks.load import CLIENTS, PER_SECOND, ROWS, TABLES, load
from benchmarks.locks import Deed, Felt, timed
from benchmarks.measuring import PROGRAM, deployed, fresh_database, rounds_asked, verdict
from benchmarks.peers import psql
from dev.postgres.server import PostgresServer

ROUNDS: Final = 3
SECONDS: Final = 20
ADDED_MILLISECONDS: Final = 25.0
ROWS_A_SECOND: Final = 150_000
FIXED: Final = 10_000
SIZES: Final = (10_000, 100_000, 1_000_000, 5_000_000)
SLOPE: Final = 0.1
_SETTLE_SECONDS: Final = 0.2
_COLUMN: Final = "ALTER TABLE hot ADD COLUMN total bigint"
_FILL: Final = "UPDATE hot SET total = value * 2 + shop_id"
_BATCHED: Final = f"-- schema-operator: batch=hot.id\n{_FILL} WHERE id > :batch_after AND id <= :batch_upto;\n"
_GONE: Final = "DROP SCHEMA IF EXISTS schema_operator CASCADE;\nDROP TABLE IF EXISTS hot, shop"
_TABLE: Final = """\
CREATE TABLE hot (id bigint PRIMARY KEY, shop_id int NOT NULL, value int NOT NULL, note text) WITH (fillfactor = 90);
INSERT INTO hot SELECT id, 1 + id % 1000, 0, repeat('x', 80) FROM generate_series(1, {0}) AS id;
VACUUM ANALYZE hot;
CHECKPOINT"""
_WALKED: Final = """
    SELECT extract(epoch FROM max(happened_at) - min(happened_at))::float8, sum(rows_changed)::int8
    FROM schema_operator.batch_positions
"""
_UNFILLED: Final = "SELECT count(*) FROM hot WHERE total IS NULL"

Act = Callable[[str], Deed]


def main() -> None:
    """Print what the application felt of each way, how fast it was, and how the time of a row grows."""
    rounds = rounds_asked(ROUNDS)
    print(f"{CLIENTS} clients, {PER_SECOND} transactions/s, {ROWS} rows, {rounds} rounds; milliseconds; medians")
    with deployed() as server:
        found = [_round(server.uri(), number, rounds) for number in range(1, rounds + 1)]
        felt = {name: [one[name] for one in found] for name in found[0]}
        _print_table(felt)
        _print_verdicts(felt)
        _print_growth(_growth(server, rounds))


def _round(uri: str, number: int, rounds: int) -> dict[str, Felt]:
    found = {}
    for name, act in _WAYS.items():
        _execute(uri, f"{_GONE};\n{TABLES};\n{_COLUMN}")
        found[name] = _under_load(uri, act)
    print(f"  round {number} of {rounds}", file=sys.stderr, flush=True)
    return found


def _under_load(uri: str, act: Act) -> Felt:
    with load(uri, SECONDS) as found:
        deed = act(uri)
    assert act is _nothing or deed.error or not _value(uri, _UNFILLED), "rows were left out"
    settled = Deed(deed.began, deed.ended + _SETTLE_SECONDS, deed.error)
    felt = Felt.of(found.transactions, settled)
    return Felt(deed, felt.median, felt.p99, felt.highest, felt.window_p99, felt.window_highest, felt.failed)


def _nothing(_uri: str) -> Deed:
    return Deed(time.time(), time.time() + SECONDS)


def _plain(uri: str) -> Deed:
    return timed(psql(uri, "--command", _FILL), {})


def _fixed(uri: str) -> Deed:
    ranges = (f"{_FILL} WHERE id > {after} AND id <= {after + FIXED};" for after in range(0, ROWS, FIXED))
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write("\n".join(ranges))
        script.flush()
        return timed(psql(uri, "--file", script.name), {})


def _ours(uri: str) -> Deed:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "1_fill.up.sql").write_text(_BATCHED)
        return timed([PROGRAM, "run", "--scripts", folder], {"SCHEMA_OPERATOR_URI": uri})


_OURS: Final = "schema-operator run"
_NONE: Final = "no backfill"
_WAYS: Final[Mapping[str, Act]] = {
    _NONE: _nothing,
    "one UPDATE": _plain,
    f"batches of {FIXED}": _fixed,
    _OURS: _ours,
}


def _growth(server: PostgresServer, rounds: int) -> dict[int, float]:
    """Give the microseconds that a row takes, by the number of rows."""
    found: dict[int, list[float]] = {rows: [] for rows in SIZES}
    for number in range(1, rounds + 1):
        for rows, times in found.items():
            with fresh_database(server, "growth") as uri:
                _execute(uri, f"{_TABLE.format(rows)};\n{_COLUMN}")
                deed = _ours(uri)
                assert not deed.error, deed.error
                ((seconds, changed),) = _rows(uri, _WALKED)
                assert changed == rows, f"{changed} of {rows} rows were changed"
                times.append(seconds / rows * 1e6)
        print(f"  tables, round {number} of {rounds}", file=sys.stderr, flush=True)
    return {rows: statistics.median(times) for rows, times in found.items()}


def _slope(points: Mapping[int, float]) -> float:
    """Give the slope of the line through the logarithms, by least squares."""
    line = statistics.linear_regression([math.log(rows) for rows in points], [math.log(one) for one in points.values()])
    return line.slope


def _print_table(felt: Mapping[str, Sequence[Felt]]) -> None:
    columns = ("seconds", "rows/s", "p99", "window p99", "window highest", "over 1 s")
    print(f"{'':24}" + "".join(f"{name:>16}" for name in columns))
    for name, runs in felt.items():
        seconds = statistics.median(one.deed.seconds for one in runs)
        numbers = [
            seconds,
            0.0 if name == _NONE else ROWS / seconds,
            statistics.median(one.p99 for one in runs),
            statistics.median(one.window_p99 for one in runs),
            statistics.median(one.window_highest for one in runs),
            statistics.median(one.failed for one in runs),
        ]
        print(f"{name:24}" + "".join(f"{number:16.1f}" for number in numbers))
        for error in {one.deed.error for one in runs if one.deed.error}:
            print(f"    {error}")


def _print_verdicts(felt: Mapping[str, Sequence[Felt]]) -> None:
    noise = statistics.median(one.highest for one in felt[_NONE])
    runs = felt[_OURS]
    if any(one.deed.error for one in runs):
        print("the backfill was not done, see above: NOT KEPT")
        return
    added = max(0.0, statistics.median(one.window_highest for one in runs) - noise)
    rate = statistics.median(ROWS / one.deed.seconds for one in runs)
    print(verdict("added by the backfill", added, ADDED_MILLISECONDS, " ms"))
    kept = "kept" if rate >= ROWS_A_SECOND else "NOT KEPT"
    print(f"{'rows a second':44} {rate:8.0f} (bound at least {ROWS_A_SECOND}): {kept}")


def _print_growth(points: Mapping[int, float]) -> None:
    for rows, microseconds in points.items():
        print(f"{rows:>12} rows {microseconds:10.2f} µs a row")
    print(verdict("slope of the time of a row", abs(_slope(points)), SLOPE))


def _execute(uri: str, statements: str) -> None:
    with psycopg.connect(uri, autocommit=True) as connection:
        for statement in statements.split(";\n"):
            connection.execute(statement.encode())


def _rows(uri: str, query: str) -> list[tuple[float, int]]:
    with psycopg.connect(uri) as connection:
        return connection.execute(query.encode()).fetchall()


def _value(uri: str, query: str) -> int:
    with psycopg.connect(uri) as connection:
        row = connection.execute(query.encode()).fetchone()
    return 0 if row is None else int(row[0])


if __name__ == "__main__":
    main()
