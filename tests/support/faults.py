"""What every fault must leave behind: nothing lost, a history that is true, and a next run that needs no hand.

Each version of the scripts here makes a table of its own and writes a row of evidence, in the same transaction as the
history row. So what the history says can be compared with what is there, and "exactly once" with the number of rows.
"""

from __future__ import annotations

import os
import select
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from schema_operator.api import request as requests
from schema_operator.api.request import LockLimits, RunRequest, ScriptFolder
from support.postgres import WAIT_SECONDS, Database, Ended, Product, finish, write

_PREPARED = (
    "CREATE TABLE evidence (position bigint GENERATED ALWAYS AS IDENTITY, version text NOT NULL);"
    "CREATE TABLE patience AS SELECT 600.0::float8 AS seconds"
)
SLOW = "SELECT pg_sleep(seconds) FROM public.patience;"
"""A statement for the middle of a version that sleeps for as long as `Scene.sleeps` says, by itself very long."""
LOOKS_FOR_ITS_CLIENT = 14
"""The first major version that ends a statement whose client has gone (client_connection_check_interval)."""
SLEEPING = "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
_OURS = "application_name LIKE 'schema-operator%' AND datname = current_database()"
END_OURS = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {_OURS}"
_SESSIONS = f"SELECT count(*) FROM pg_stat_activity WHERE {_OURS}"
_HAS_HISTORY = "SELECT to_regclass('schema_operator.schema_versions') IS NOT NULL"
_EVIDENCE_ROWS = "SELECT version FROM public.evidence ORDER BY position"
_MADE = "SELECT substr(relname, 6) FROM pg_class WHERE relname LIKE 'made\\_%' AND relkind = 'r'"
_HISTORY = (
    "SELECT v.version FROM schema_operator.schema_versions v "
    "JOIN schema_operator.version_scripts s ON s.version_id = v.id ORDER BY s.position"
)
_APPLIED = "SELECT version FROM schema_operator.applied_versions"
_UNRESOLVED = 31


def scripts(count: int, up: Mapping[int, str] | None = None, down: Mapping[int, str] | None = None) -> dict[str, str]:
    """Give scripts of the versions 1 to `count`; `up` and `down` hold statements for the middle of some of them."""
    files = {}
    for number in range(1, count + 1):
        made = f"CREATE TABLE made_{number} ();"
        dropped = f"DROP TABLE made_{number};"
        files[f"{number}_x.up.sql"] = f"{made} {(up or {}).get(number, '')}\n{_evidence(str(number))}"
        files[f"{number}_x.down.sql"] = f"{dropped} {(down or {}).get(number, '')}\n{_evidence(f'{number}-rollback')}"
    return files


def _evidence(version: str) -> str:
    return f"INSERT INTO public.evidence (version) VALUES ('{version}');\n"


def numbers(count: int) -> list[str]:
    """Give the versions 1 to `count`."""
    return [str(number) for number in range(1, count + 1)]


@dataclass(frozen=True)
class State:
    """What a database says of itself (`history`, `applied`) and what is in it (`evidence`, `made`)."""

    history: list[str]
    evidence: list[str]
    applied: list[str]
    made: list[str]

    @classmethod
    def read(cls, connection: psycopg.Connection[Any]) -> State:
        def column(query: str) -> list[str]:
            return [value for (value,) in connection.execute(query.encode())]

        with connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            has_history = column(_HAS_HISTORY)[0]
            history, applied = (column(_HISTORY), column(_APPLIED)) if has_history else ([], [])
            return cls(history, column(_EVIDENCE_ROWS), applied, column(_MADE))

    def require_true(self) -> None:
        """Every change that happened is written down, and every change that is written down happened, once."""
        assert self.history == self.evidence, self
        assert sorted(self.applied) == sorted(self.made), self
        assert len({*self.applied}) == len(self.applied), self


def quiet(connection: psycopg.Connection[Any]) -> float:
    """Wait until no session of a run is left, and give the seconds it took."""
    began = time.monotonic()
    while connection.execute(_SESSIONS.encode()).fetchall() != [(0,)]:
        assert time.monotonic() - began < WAIT_SECONDS, "sessions of a run do not end"
        time.sleep(0.005)
    return time.monotonic() - began


def require_true_report(ended: Ended, state: State) -> None:
    """A report says what is in the database, unless it says that it does not know."""
    report = ended.report
    assert {*report.versions} <= {one.removesuffix("-rollback") for one in state.history}, (report, state)
    if report.version is not None and ended.code != _UNRESOLVED:
        assert report.version == max(state.applied, key=int, default="0"), (report, state)
    assert ended.code != 0 or report.reason == "", report


class Watched:
    """A run whose lines are read while it is at work."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._read = b""

    def wait_for(self, text: str) -> None:
        """Read until a text was written."""
        assert self.process.stdout is not None
        end = time.monotonic() + WAIT_SECONDS
        while text.encode() not in self._read:
            assert select.select([self.process.stdout], [], [], end - time.monotonic())[0], f"no {text}: {self._read!r}"
            # Not through the file object: what it keeps for later, `communicate` would not see.
            data = os.read(self.process.stdout.fileno(), 65536)
            assert data, f"the run ended and did not write {text}: {self._read!r}"
            self._read += data

    def finish(self) -> Ended:
        ended = finish(self.process)
        return Ended(ended.code, self._read.decode() + ended.stdout, ended.stderr)


@dataclass(frozen=True)
class Scene:
    """A database with room for evidence, a folder of scripts, and the product."""

    database: Database
    product: Product
    folder: Path
    started: list[Watched] = field(default_factory=list)

    def write(self, count: int, up: Mapping[int, str] | None = None, down: Mapping[int, str] | None = None) -> Path:
        """Make the folder hold the versions 1 to `count`."""
        return write(self.folder, scripts(count, up, down))

    def apply(self, count: int) -> None:
        """Apply the versions 1 to `count`, with nothing in the way."""
        ended = self.product.run("--scripts", self.write(count))
        assert ended.code == 0, ended

    def sleeps(self, seconds: float) -> None:
        """Say how long `SLOW` sleeps from now on."""
        self.database.execute(f"UPDATE public.patience SET seconds = {seconds}")

    def start(self, *arguments: str | Path, uri: str | None = None) -> Watched:
        return self._watched("--scripts", self.folder, *arguments, uri=uri)

    def start_limited(self, *, uri: str | None = None, **limits: Any) -> Watched:
        """Start a run with limits; see `request`."""
        return self._watched("--request", self.request(**limits), uri=uri)

    def _watched(self, *arguments: str | Path, uri: str | None) -> Watched:
        self.started.append(Watched(self.product.start(*arguments, uri=uri)))
        return self.started[-1]

    def kill_what_was_started(self) -> None:
        """Leave no run behind, whatever became of a test."""
        for run in self.started:
            run.process.kill()
            run.process.wait()

    def run(self, *arguments: str | Path, uri: str | None = None) -> Ended:
        return self.start(*arguments, uri=uri).finish()

    def request(
        self, *, give_up: float = 30.0, stall: float = 0.1, lock_wait: float = 30.0, version: str | None = None
    ) -> Path:
        """Write a request for the folder, with its limits in seconds, and give its file."""
        request = RunRequest(
            run=f"run-{uuid.uuid4()}",
            actor="a",
            folders=(ScriptFolder(path=str(self.folder), label=""),),
            locks=LockLimits(max_stall_seconds=stall, give_up_seconds=give_up),
            lock_wait_seconds=lock_wait,
            version=version,
        )
        path = self.folder.with_name(f"{request.run}.json")
        path.write_bytes(requests.encode(request))
        return path

    def limited(self, *, uri: str | None = None, **limits: Any) -> Ended:
        """Run with limits; see `request`."""
        return self.start_limited(uri=uri, **limits).finish()

    def state(self) -> State:
        """Wait for the end of every run's sessions and give what is there."""
        with self.database.connect() as connection:
            quiet(connection)
            return State.read(connection)


def assert_nothing_lost(scene: Scene, applied: list[str], *arguments: str, ended: Ended | None = None) -> None:
    """Prove the three promises that hold after every fault.

    (a) nothing is lost or half there and (b) the history and the report of the run that met the fault (`ended`) are
    true; (c) a run like any other, with these arguments, needs no help to get to what is wanted, `applied`.
    """
    state = scene.state()
    state.require_true()
    if ended is not None:
        require_true_report(ended, state)
    scene.sleeps(0)
    again = scene.run(*arguments)
    assert again.code == 0, again
    after = scene.state()
    after.require_true()
    require_true_report(again, after)
    assert after.applied == applied, after


def prepare(database: Database, folder: Path) -> Scene:
    """Make a database ready for evidence."""
    database.execute(_PREPARED)
    return Scene(database, Product(database), folder)


@pytest.fixture
def scene(database: Database, tmp_path: Path) -> Iterator[Scene]:
    prepared = prepare(database, tmp_path / "scripts")
    yield prepared
    prepared.kill_what_was_started()
