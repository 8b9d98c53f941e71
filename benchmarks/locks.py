"""What a migration costs the application that works meanwhile: ours beside the statement as psql runs it.

The application is that of `benchmarks.load`: 16 clients, 400 transactions a second, a table of a million rows. Each
case has a run with psql and a run with `schema-operator run`, and all are preceded by a run without any migration,
whose highest latency is the noise of the machine. What is added is the highest latency of the transactions that
overlap the migration, less that noise; of several rounds, the medians count.

A case that does not end well is shown with the reason, and keeps to no bound.

python -m benchmarks.locks [rounds, 3]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
from benchmarks.load import CLIENTS, PER_SECOND, ROWS, TABLES, Transaction, load
from benchmarks.measuring import PROGRAM, deployed, rounds_asked, verdict
from benchmarks.peers import psql

ROUNDS: Final = 3
READER_SECONDS: Final = 8.0
READER_LEAD_SECONDS: Final = 0.5
SECONDS: Final = 12
SECONDS_WITH_READER: Final = 15
APPLIED_AFTER_READER: Final = 1.5
_SETTLE_SECONDS: Final = 0.2
"""After a migration, in which transactions that waited for it may still end."""
_FAILED_AFTER_MILLISECONDS: Final = 1000.0
_RESET: Final = """\
DROP SCHEMA IF EXISTS schema_operator CASCADE;
DROP INDEX IF EXISTS hot_shop;
ALTER TABLE hot DROP CONSTRAINT IF EXISTS hot_shop_fkey, DROP CONSTRAINT IF EXISTS hot_value_check;
ALTER TABLE hot DROP CONSTRAINT IF EXISTS hot_note_check, DROP COLUMN IF EXISTS extra, ALTER note DROP NOT NULL;
VACUUM hot;
CHECKPOINT
"""


@dataclass(frozen=True, slots=True)
class Case:
    """A change: as written without care, and as versions of ours; the bound is in milliseconds."""

    name: str
    naive: str
    ours: tuple[str, ...]
    bound: float
    behind_reader: bool = False

    @property
    def seconds(self) -> int:
        """How long the application works."""
        return SECONDS_WITH_READER if self.behind_reader else SECONDS


CASES: Final = (
    Case(
        "ADD COLUMN behind an 8 s reader",
        "ALTER TABLE hot ADD COLUMN extra text",
        ("ALTER TABLE hot ADD COLUMN extra text",),
        bound=50.0,
        behind_reader=True,
    ),
    Case(
        "index",
        "CREATE INDEX hot_shop ON hot (shop_id)",
        ("CREATE INDEX CONCURRENTLY hot_shop ON hot (shop_id)",),
        bound=25.0,
    ),
    Case(
        "foreign key",
        "ALTER TABLE hot ADD CONSTRAINT hot_shop_fkey FOREIGN KEY (shop_id) REFERENCES shop",
        (
            "ALTER TABLE hot ADD CONSTRAINT hot_shop_fkey FOREIGN KEY (shop_id) REFERENCES shop NOT VALID",
            "ALTER TABLE hot VALIDATE CONSTRAINT hot_shop_fkey",
        ),
        bound=25.0,
    ),
    Case(
        "CHECK",
        "ALTER TABLE hot ADD CONSTRAINT hot_value_check CHECK (value >= 0)",
        (
            "ALTER TABLE hot ADD CONSTRAINT hot_value_check CHECK (value >= 0) NOT VALID",
            "ALTER TABLE hot VALIDATE CONSTRAINT hot_value_check",
        ),
        bound=25.0,
    ),
    Case(
        "NOT NULL",
        "ALTER TABLE hot ALTER note SET NOT NULL",
        (
            "ALTER TABLE hot ADD CONSTRAINT hot_note_check CHECK (note IS NOT NULL) NOT VALID",
            "ALTER TABLE hot VALIDATE CONSTRAINT hot_note_check",
            "ALTER TABLE hot ALTER note SET NOT NULL",
            "ALTER TABLE hot DROP CONSTRAINT hot_note_check",
        ),
        bound=25.0,
    ),
)


@dataclass(frozen=True, slots=True)
class Deed:
    """What was done while the application worked: from when to when, and why it failed, if it did."""

    began: float
    ended: float
    error: str = ""
    after_reader: float = 0.0
    """Seconds between the reader's end and its own."""

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.began


@dataclass(frozen=True, slots=True)
class Felt:
    """What the application felt of one deed, in milliseconds."""

    deed: Deed
    median: float
    p99: float
    highest: float
    window_p99: float
    window_highest: float
    failed: int
    """How many transactions took longer than a second."""

    @classmethod
    def of(cls, transactions: Sequence[Transaction], deed: Deed) -> Felt:
        """Sum up the transactions of a run, and those that overlap the deed."""
        all_of_them = sorted(one.milliseconds for one in transactions)
        overlap = [one for one in transactions if one.ended >= deed.began and one.scheduled <= deed.ended]
        window = sorted(one.milliseconds for one in overlap) or [0.0]
        return cls(
            deed,
            _quantile(all_of_them, 0.5),
            _quantile(all_of_them, 0.99),
            all_of_them[-1],
            _quantile(window, 0.99),
            window[-1],
            sum(one > _FAILED_AFTER_MILLISECONDS for one in all_of_them),
        )


def main() -> None:
    """Print what the application felt of each case, naive and ours, and the bounds."""
    rounds = rounds_asked(ROUNDS)
    print(f"{CLIENTS} clients, {PER_SECOND} transactions/s, {ROWS} rows, {rounds} rounds; milliseconds; medians")
    with deployed() as server:
        uri = server.uri()
        _execute(uri, TABLES)
        found = [_round(uri, number, rounds) for number in range(1, rounds + 1)]
    felt = {key: [one[key] for one in found] for key in found[0]}
    _print_table(felt)
    _print_verdicts(felt)


Key = tuple[str, str]
"""A case and who does it."""
_BASELINE: Final = ("no migration", "")


def _round(uri: str, number: int, rounds: int) -> dict[Key, Felt]:
    found = {_BASELINE: _under_load(uri, SECONDS, lambda: Deed(time.time(), time.time() + SECONDS))}
    for case in CASES:
        for who, act in (("naive", _naive(uri, case)), ("ours", _ours(uri, case))):
            found[case.name, who] = _under_load(uri, case.seconds, act, behind_reader=case.behind_reader)
    print(f"  round {number} of {rounds}", file=sys.stderr, flush=True)
    return found


Act = Callable[[], Deed]


def _naive(uri: str, case: Case) -> Act:
    return lambda: timed(psql(uri, "--command", case.naive), {})


def _ours(uri: str, case: Case) -> Act:
    def act() -> Deed:
        with tempfile.TemporaryDirectory() as folder:
            for number, statement in enumerate(case.ours, start=1):
                (Path(folder) / f"{number}_change.up.sql").write_text(statement + ";\n")
            return timed([PROGRAM, "run", "--scripts", folder], {"SCHEMA_OPERATOR_URI": uri})

    return act


def timed(command: Sequence[str | Path], environment: dict[str, str]) -> Deed:
    """Let a program work, and say from when to when, and its last words where it fails."""
    began = time.time()
    done = subprocess.run(command, check=False, capture_output=True, text=True, env={**os.environ, **environment})
    return Deed(began, time.time(), done.stderr.strip() if done.returncode else "")


def _under_load(uri: str, seconds: int, act: Act, *, behind_reader: bool = False) -> Felt:
    """Let something be done while the application works; afterwards all is as before."""
    with load(uri, seconds) as found:
        deed = _behind_reader(uri, act) if behind_reader else act()
    _execute(uri, _RESET)
    settled = Deed(deed.began, deed.ended + _SETTLE_SECONDS, deed.error, deed.after_reader)
    felt = Felt.of(found.transactions, settled)
    return Felt(deed, felt.median, felt.p99, felt.highest, felt.window_p99, felt.window_highest, felt.failed)


def _behind_reader(uri: str, act: Act) -> Deed:
    with _reader(uri) as ended:
        time.sleep(READER_LEAD_SECONDS)
        deed = act()
    return Deed(deed.began, deed.ended, deed.error, deed.ended - ended[0])


@contextmanager
def _reader(uri: str) -> Iterator[list[float]]:
    """Keep a transaction open that has read the table; the list then holds when it ended."""
    ended: list[float] = []
    reading = threading.Event()

    def read() -> None:
        with psycopg.connect(uri) as connection:
            connection.execute("SELECT value FROM hot WHERE id = 1")
            reading.set()
            time.sleep(READER_SECONDS)
        ended.append(time.time())

    thread = threading.Thread(target=read)
    thread.start()
    reading.wait()
    try:
        yield ended
    finally:
        thread.join()


def _execute(uri: str, statements: str) -> None:
    with psycopg.connect(uri, autocommit=True) as connection:
        for statement in statements.split(";\n"):
            connection.execute(statement.encode())


def _print_table(felt: dict[Key, list[Felt]]) -> None:
    columns = ("seconds", "p50", "p99", "highest", "window p99", "window highest", "over 1 s")
    print(f"{'':34}{'':8}" + "".join(f"{name:>16}" for name in columns))
    for (case, who), runs in felt.items():
        numbers = [
            _median(run.deed.seconds for run in runs),
            _median(run.median for run in runs),
            _median(run.p99 for run in runs),
            _median(run.highest for run in runs),
            _median(run.window_p99 for run in runs),
            _median(run.window_highest for run in runs),
            _median(run.failed for run in runs),
        ]
        print(f"{case:34}{who:8}" + "".join(f"{number:16.1f}" for number in numbers))
        for error in {run.deed.error for run in runs if run.deed.error}:
            print(f"    {error}")


def _print_verdicts(felt: dict[Key, list[Felt]]) -> None:
    noise = _median(run.highest for run in felt[_BASELINE])
    for case in CASES:
        runs = felt[case.name, "ours"]
        if any(run.deed.error for run in runs):
            print(f"added by {case.name}: it was not done, see above: NOT KEPT")
            continue
        added = max(0.0, _median(run.window_highest for run in runs) - noise)
        print(verdict(f"added by {case.name}", added, case.bound, " ms"))
        if case.behind_reader:
            late = _median(run.deed.after_reader for run in runs)
            print(verdict("applied after the reader's end", late, APPLIED_AFTER_READER, " s"))


def _median(values: Iterator[float]) -> float:
    return statistics.median(values)


def _quantile(ordered: Sequence[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


if __name__ == "__main__":
    main()
