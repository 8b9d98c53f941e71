"""Databases in which runs are broken at random moments, again and again.

The moments come from a seed ($SCHEMA_OPERATOR_SEED), the number of breaks from $SCHEMA_OPERATOR_KILLS.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support.faults import prepare
from support.forked import Forker, Order
from support.postgres import Database, Ended
from support.proxy import Break, Proxy

KILLS = int(os.environ.get("SCHEMA_OPERATOR_KILLS", "300"))
SEED = int(os.environ.get("SCHEMA_OPERATOR_SEED", "4"))
MOST_KILLS_IN_ONE_DATABASE = 4
_MEASURED = 3
_EMPTY = "DROP SCHEMA IF EXISTS schema_operator CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public"


@dataclass
class Loop:
    """A database that is broken, completed and emptied, again and again."""

    database: Database
    forkers: tuple[Forker, Forker]
    folder: Path
    chance: random.Random
    also: str = ""
    """What an empty database has besides."""
    options: tuple[str, ...] = ()
    """Further options of each run."""
    usual_seconds: float = 0.0
    usual_bytes: dict[bool, int] = field(default_factory=dict)
    """By whether they go to the server."""
    kills: int = 0

    @property
    def port(self) -> int:
        return self.database.server.port

    def measure(self) -> None:
        """Learn what a run that nothing breaks takes, once all is warm."""
        seconds = []
        for _ in range(_MEASURED):
            self.empty()
            with Proxy(self.port, Break.WHEN_TOLD) as proxy:
                began = time.monotonic()
                assert self.run(proxy.through(self.database.uri)).code == 0
                seconds.append(time.monotonic() - began)
                self.usual_bytes = {True: proxy.to_server, False: proxy.to_client}
        self.usual_seconds = min(seconds)

    def empty(self) -> None:
        """Make the database as if it were new, which is some tenths of a second cheaper than a new one."""
        with self.database.connect() as connection:
            connection.execute(_EMPTY)
        prepare(self.database, self.folder)
        if self.also:
            self.database.execute(self.also)

    def report(self, what: str, began: float) -> None:
        """Say what was done; pytest shows it with -rP, and where a test fails."""
        print(f"{self.kills} times {what} in {time.monotonic() - began:.0f} s, seed {SEED}")  # noqa: T201

    def begin(self, uri: str, kill_after: float | None = None, forker: int = 0) -> Path:
        """Start a run, and give the file with its output."""
        output = self.folder.with_name(f"output-{forker}")
        arguments = ["run", "--log-format", "json", "--scripts", str(self.folder), *self.options]
        self.forkers[forker].begin(Order(uri, arguments, str(output), kill_after))
        return output

    def run(self, uri: str, kill_after: float | None = None) -> Ended:
        output = self.begin(uri, kill_after)
        return Ended(self.forkers[0].end(), output.read_text(), "")

    def moment(self) -> float:
        """Give a moment of a run."""
        return self.chance.uniform(0, self.usual_seconds)


@pytest.fixture
def loop(database: Database, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Loop]:
    chance = random.Random(f"{SEED} {request.node.name}")  # noqa: S311 (to be repeatable is what it is for)
    with Forker.start() as first, Forker.start() as second:
        yield Loop(database, (first, second), tmp_path / "scripts", chance)
