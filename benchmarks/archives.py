"""What archives cost: time, space and locks, for a table of a million rows.

Each contest begins with a copy of the same database, after a CHECKPOINT and with the table in memory. What is archived
and put back is measured beside the plain statement that does as much, in turn; medians of several rounds:

* a column: beside `CREATE TABLE … AS SELECT` of the key and the column, and beside `ALTER TABLE … ADD COLUMN` with the
  plain `UPDATE … FROM` of that copy;
* a table: beside `CREATE TABLE … AS` of all of it, and beside making the table again with `INSERT … SELECT` of that
  copy and its primary key.

Then whole runs, with and without archives, while somebody reads the table and somebody else writes to it: for how long
it was closed to them.

python -m benchmarks.archives [rounds, 5]
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
from benchmarks.measuring import PROGRAM, deployed, measure, rounds_asked, verdict
from dev.postgres.server import PostgresServer
from psycopg import sql

ROUNDS: Final = 5
ROWS: Final = 1_000_000
RATIO: Final = 1.5
_PAUSE_SECONDS: Final = 0.002
_READ: Final = b"SELECT price FROM item WHERE id = 1"
_WRITE: Final = b"UPDATE item SET price = price + 1 WHERE id = 2"
_TEMPLATE: Final = "archives_template"
_TABLE: Final = f"""\
CREATE TABLE item (id bigint PRIMARY KEY, name text NOT NULL, note text, price numeric(10, 2) NOT NULL);
INSERT INTO item SELECT n, 'item ' || n, repeat(md5(n::text), 2), n % 1000 / 10.0 FROM generate_series(1, {ROWS}) AS n;
VACUUM (FREEZE, ANALYZE) item
"""
_POLICY: Final = json.dumps({"max_bytes": None, "above": "Refuse", "keep_seconds": None, "no_key": "Refuse"})
_ARCHIVE: Final = """\
SELECT schema_operator.archive(
    schema_operator.resolve_destroyed('[{destroyed}]'), '2', 'apply', 'benchmark', '{policy}')
"""
_RESTORE: Final = "SELECT schema_operator.restore_archive(1, 'benchmark')"
_ARCHIVE_SIZE: Final = """\
SELECT pg_total_relation_size(format('schema_operator.%I', archive_table)::regclass)
FROM schema_operator.available_archives
"""
_SAME: Final = "SELECT count(*), count(note), sum(hashtext(note)::bigint), sum(price) FROM item"
_LOCKS: Final = """\
SELECT l.relation::regclass::text, string_agg(DISTINCT l.mode, ', ')
FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation
WHERE l.pid = pg_backend_pid() AND c.relkind = 'r' AND c.oid >= 16384 AND c.relname ~ '^(item|kept|archive_)'
GROUP BY l.relation ORDER BY 1
"""
_MEBIBYTE: Final = 1 << 20

Session = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Thing:
    """What is destroyed, and what people would write to keep it and to put it back."""

    name: str
    destroyed: Mapping[str, object]
    drop: str
    copy: str
    put_back: tuple[str, ...]


COLUMN: Final = Thing(
    "column",
    {"kind": "column", "name": "public.item", "column": "note", "cascade": False, "only": False},
    "ALTER TABLE item DROP COLUMN note",
    "CREATE TABLE kept AS SELECT id, note FROM item",
    ("ALTER TABLE item ADD COLUMN note text", "UPDATE item SET note = kept.note FROM kept WHERE kept.id = item.id"),
)
TABLE: Final = Thing(
    "table",
    {"kind": "table", "name": "public.item", "cascade": False, "only": False},
    "DROP TABLE item",
    "CREATE TABLE kept AS SELECT * FROM item",
    (
        "CREATE TABLE item (id bigint NOT NULL, name text NOT NULL, note text, price numeric(10, 2) NOT NULL)",
        "INSERT INTO item SELECT * FROM kept",
        "ALTER TABLE item ADD PRIMARY KEY (id)",
    ),
)


@dataclass(frozen=True, slots=True)
class Spent:
    """What one transaction cost: seconds, bytes written ahead, and the locks it held at its end, by relation."""

    seconds: float
    wal: int
    locks: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True, slots=True)
class Found:
    """What one contest cost: each half, and the bytes that what was kept takes on disk."""

    keep: Spent
    put_back: Spent
    size: int


def main() -> None:
    """Print what archiving and putting back cost, beside the plain statements, and their bounds."""
    rounds = rounds_asked(ROUNDS)
    with deployed() as server:
        _make_template(server)
        found = _in_turn(server, rounds)
        runs = {mode: [_run(server, mode) for _ in range(rounds)] for mode in ("Off", "Archive")}
    print(f"{ROWS} rows, {rounds} rounds; medians")
    for thing in (COLUMN, TABLE):
        _print(thing, found[thing.name, "plain"], found[thing.name, "archive"])
    heading = f"{'s':>8}{'closed to readers, s':>24}{'to writers, s':>16}"
    print(f"\n{'DROP COLUMN by schema-operator run':36}{heading}")
    for mode, all_of_it in runs.items():
        seconds, reading, writing = (_median(one[part] for one in all_of_it) for part in range(3))
        print(f"{'archives ' + mode:36}{seconds:8.2f}{reading:24.2f}{writing:16.2f}")


def _in_turn(server: PostgresServer, rounds: int) -> dict[tuple[str, str], list[Found]]:
    contests = {(thing.name, who): (thing, who) for thing in (COLUMN, TABLE) for who in ("plain", "archive")}
    found: dict[tuple[str, str], list[Found]] = {key: [] for key in contests}
    for number in range(1, rounds + 1):
        for key, (thing, who) in contests.items():
            with _database(server) as uri:
                found[key].append(_plain(uri, thing) if who == "plain" else _archived(uri, thing))
        print(f"  round {number} of {rounds}", file=sys.stderr, flush=True)
    return found


def _make_template(server: PostgresServer) -> None:
    """Make the database that contests begin with: our schema, and the table."""
    with psycopg.connect(server.uri(), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_TEMPLATE)))
    uri = server.uri(_TEMPLATE)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "1_first.up.sql").write_text("SELECT 1;")
        measure([PROGRAM, "run", "--scripts", folder], {"SCHEMA_OPERATOR_URI": uri})
    with psycopg.connect(uri, autocommit=True) as session:
        for statement in _TABLE.split(";\n"):
            session.execute(statement.encode())


@contextmanager
def _database(server: PostgresServer) -> Iterator[str]:
    name = sql.Identifier("archives")
    with psycopg.connect(server.uri(), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(name, sql.Identifier(_TEMPLATE)))
        uri = server.uri("archives")
        with psycopg.connect(uri, autocommit=True) as session:
            session.execute("SELECT count(*) FROM item WHERE note = ''")
        admin.execute("CHECKPOINT")
        yield uri
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def _plain(uri: str, thing: Thing) -> Found:
    return _contest(uri, thing, thing.copy, "SELECT pg_total_relation_size('kept')", thing.put_back)


def _archived(uri: str, thing: Thing) -> Found:
    archive = _ARCHIVE.format(destroyed=json.dumps(thing.destroyed), policy=_POLICY)
    return _contest(uri, thing, archive, _ARCHIVE_SIZE, (_RESTORE,))


def _contest(uri: str, thing: Thing, keep: str, size: str, put_back: Sequence[str]) -> Found:
    with psycopg.connect(uri, autocommit=True) as session:
        before = _row(session, _SAME)
        kept = _timed(session, keep)
        (bytes_kept,) = _row(session, size)
        session.execute(thing.drop.encode())
        session.execute("CHECKPOINT")
        back = _timed(session, *put_back)
        assert _row(session, _SAME) == before, f"{thing.name}: not everything was put back"
    return Found(kept, back, bytes_kept)


def _timed(session: Session, *statements: str) -> Spent:
    """Carry out one transaction, its COMMIT included."""
    (written,) = _row(session, "SELECT pg_current_wal_insert_lsn()::text")
    began = time.monotonic()
    session.execute("BEGIN")
    for statement in statements:
        session.execute(statement.encode())
    held = time.monotonic()
    locks = tuple(session.execute(_LOCKS).fetchall())
    looked = time.monotonic() - held
    session.execute("COMMIT")
    seconds = time.monotonic() - began - looked
    (wal,) = _row(session, f"SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '{written}')::bigint")
    return Spent(seconds, wal, locks)


def _row(session: Session, query: str) -> tuple[Any, ...]:
    row = session.execute(query.encode()).fetchone()
    assert row is not None, query
    return row


def _print(thing: Thing, plain: Sequence[Found], ours: Sequence[Found]) -> None:
    print(f"\n{thing.name:36}{'s':>8}{'MiB on disk':>14}{'MiB of WAL':>14}")
    for name, found in (("plain", plain), ("archive", ours)):
        keep, back = [one.keep for one in found], [one.put_back for one in found]
        size = _median(one.size for one in found) / _MEBIBYTE
        print(f"{name + ', kept':36}{_seconds(keep):8.2f}{size:14.1f}{_wal(keep):14.1f}")
        print(f"{name + ', put back':36}{_seconds(back):8.2f}{'':14}{_wal(back):14.1f}")
    _print_half(thing, "keeping", [one.keep for one in plain], [one.keep for one in ours])
    _print_half(thing, "putting back", [one.put_back for one in plain], [one.put_back for one in ours])


def _print_half(thing: Thing, what: str, plain: Sequence[Spent], ours: Sequence[Spent]) -> None:
    print(verdict(f"{thing.name}: {what}, ours / plain", _seconds(ours) / _seconds(plain), RATIO))
    for relation, modes in ours[-1].locks:
        print(f"    locks while {what}: {relation}: {modes}")


def _seconds(all_of_it: Iterable[Spent]) -> float:
    return _median(one.seconds for one in all_of_it)


def _wal(all_of_it: Iterable[Spent]) -> float:
    return _median(one.wal for one in all_of_it) / _MEBIBYTE


def _median(numbers: Iterable[float]) -> float:
    return statistics.median(numbers)


def _run(server: PostgresServer, mode: str) -> tuple[float, float, float]:
    """Drop the column by a run; give its seconds, and for how long the table was closed to readers and to writers."""
    with _database(server) as uri, tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "1_first.up.sql").write_text("SELECT 1;")
        (Path(folder) / "2_drop.up.sql").write_text(COLUMN.drop + ";")
        with _repeated(uri, _READ) as reads, _repeated(uri, _WRITE) as writes:
            cost = measure([PROGRAM, "run", "--scripts", folder, "--archives", mode], {"SCHEMA_OPERATOR_URI": uri})
    return cost.seconds, max(reads), max(writes)


@contextmanager
def _repeated(uri: str, statement: bytes) -> Iterator[list[float]]:
    """Do a short statement again and again; the list fills with how long each took."""
    waits: list[float] = []
    stopped = threading.Event()

    def work() -> None:
        with psycopg.connect(uri, autocommit=True) as session:
            while not stopped.wait(_PAUSE_SECONDS):
                began = time.monotonic()
                session.execute(statement)
                waits.append(time.monotonic() - began)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield waits
    finally:
        stopped.set()
        worker.join()


if __name__ == "__main__":
    main()
