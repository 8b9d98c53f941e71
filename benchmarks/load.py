"""An application at work on a table of a million rows, and how long each of its transactions took.

pgbench with 16 clients starts 400 transactions a second on a schedule, whether or not those before have ended (an open
loop). A transaction's latency counts from when it was to start, so waiting in a queue is in it.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dev.postgres import install

ROWS: Final = 1_000_000
CLIENTS: Final = 16
PER_SECOND: Final = 400
WARM_UP_SECONDS: Final = 2.0
_TRANSACTION: Final = f"""\
\\set id random(1, {ROWS})
BEGIN;
SELECT value FROM hot WHERE id = :id;
UPDATE hot SET value = value + 1 WHERE id = :id;
COMMIT;
"""
TABLES: Final = f"""\
CREATE TABLE shop (id int PRIMARY KEY);
INSERT INTO shop SELECT generate_series(1, 1000);
CREATE TABLE hot (id int PRIMARY KEY, shop_id int NOT NULL, value int NOT NULL, note text) WITH (fillfactor = 90);
INSERT INTO hot SELECT id, 1 + id % 1000, 0, repeat('x', 80) FROM generate_series(1, {ROWS}) AS id;
VACUUM ANALYZE hot;
CHECKPOINT
"""
"""Statements that make what the application works on."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """One transaction: when it was to start and when it ended, in seconds of the clock."""

    scheduled: float
    ended: float

    @property
    def milliseconds(self) -> float:
        """How long it took, in its user's eyes."""
        return (self.ended - self.scheduled) * 1000


class Load:
    """The application, while it runs; what it did is known at its end."""

    def __init__(self) -> None:
        self.transactions: tuple[Transaction, ...] = ()
        """All of them, once the load is over, without those of the first seconds."""


@contextmanager
def load(uri: str, seconds: int) -> Iterator[Load]:
    """Let the application work for some seconds; the block begins when it is warm and may end before."""
    found = Load()
    with tempfile.TemporaryDirectory() as place:
        script = Path(place) / "transaction.sql"
        script.write_text(_TRANSACTION)
        what = ("--no-vacuum", "--protocol=prepared", f"--file={script}", "--log", f"--log-prefix={place}/log")
        rate = (f"--client={CLIENTS}", "--jobs=1", f"--rate={PER_SECOND}", f"--time={seconds}")
        command = [str(install.pgbench()), *what, *rate, uri]
        pgbench = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        time.sleep(WARM_UP_SECONDS)
        warm = time.time()
        try:
            yield found
        finally:
            _, said = pgbench.communicate()
        assert pgbench.returncode == 0, said
        known = (_transaction(line) for path in Path(place).glob("log*") for line in path.read_text().splitlines())
        found.transactions = tuple(one for one in known if one.ended > warm)


def _transaction(line: str) -> Transaction:
    """Read a line of pgbench's log: client, number, microseconds from the schedule, script, and when it ended."""
    _, _, took, _, seconds, microseconds, *_ = line.split()
    ended = int(seconds) + int(microseconds) / 1e6
    return Transaction(ended - int(took) / 1e6, ended)
