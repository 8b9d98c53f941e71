"""Runs that are broken at a random moment, hundreds of times; `make soak` does it ten thousand times.

After every break, what the history says is what is there, and what a report says is what the history says; after a few
of them the next run completes. The moments come from a seed ($SCHEMA_OPERATOR_SEED), the number of breaks from
$SCHEMA_OPERATOR_KILLS.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
from dev.postgres.packages import MAJORS
from dev.postgres.server import PostgresServer

from support.faults import State, numbers, prepare, quiet, require_true_report, scripts
from support.forked import Forker, Order
from support.postgres import Ended, new_database, write
from support.proxy import AtByte, Break, Proxy

# What is random here is the runner's side: one server is enough.
pytestmark = [
    pytest.mark.postgres,
    pytest.mark.parametrize("server", [MAJORS[-1]], indirect=True, ids=lambda major: f"postgres{major}"),
]

KILLS = int(os.environ.get("SCHEMA_OPERATOR_KILLS", "300"))
SEED = int(os.environ.get("SCHEMA_OPERATOR_SEED", "4"))
VERSIONS = 6
COMMITS = VERSIONS + 1
"""That of the control schema comes first."""
MOST_KILLS_IN_ONE_DATABASE = 4


@dataclass
class Loop:
    """Databases that are broken one after another."""

    server: PostgresServer
    forkers: tuple[Forker, Forker]
    folder: Path
    chance: random.Random
    usual_seconds: float = 0.0
    usual_bytes: dict[bool, int] = field(default_factory=dict)
    """By whether they go to the server."""
    kills: int = 0

    def measure(self) -> None:
        """Learn what a run that nothing breaks takes."""
        with new_database(self.server) as database, Proxy(self.server.port, Break.WHEN_TOLD) as proxy:
            prepare(database, self.folder)
            began = time.monotonic()
            assert self.run(proxy.through(database.uri)).code == 0
            self.usual_seconds = time.monotonic() - began
            self.usual_bytes = {True: proxy.to_server, False: proxy.to_client}

    def begin(self, uri: str, kill_after: float | None = None, forker: int = 0) -> Path:
        """Start a run, and give the file with its output."""
        output = self.folder.with_name(f"output-{forker}")
        arguments = ["run", "--log-format", "json", "--scripts", str(self.folder)]
        self.forkers[forker].begin(Order(uri, arguments, str(output), kill_after))
        return output

    def run(self, uri: str, kill_after: float | None = None) -> Ended:
        output = self.begin(uri, kill_after)
        return Ended(self.forkers[0].end(), output.read_text(), "")

    def moment(self) -> float:
        """Give a moment of a run."""
        return self.chance.uniform(0, self.usual_seconds)


def _killed(loop: Loop, uri: str) -> Ended:
    ended = loop.run(uri, kill_after=loop.moment())
    loop.kills += ended.code < 0
    return ended


def _killed_beside_another(loop: Loop, uri: str) -> Ended:
    """Two runs at once, of which one is killed."""
    output = loop.begin(uri, forker=1)
    killed = loop.run(uri, kill_after=loop.moment())
    loop.kills += killed.code < 0
    return Ended(loop.forkers[1].end(), output.read_text(), "")


def _cut_at_commit(when: Break) -> Callable[[Loop, str], Ended]:
    def cut(loop: Loop, uri: str) -> Ended:
        with Proxy(loop.server.port, when, loop.chance.randint(1, COMMITS)) as proxy:
            ended = loop.run(proxy.through(uri))
            loop.kills += proxy.broken.is_set()
        return ended

    return cut


def _cut_at_a_byte(loop: Loop, uri: str) -> Ended:
    to_server = loop.chance.random() < 1 / 2
    offset = loop.chance.randrange(loop.usual_bytes[to_server])
    with Proxy(loop.server.port, AtByte(to_server, offset)) as proxy:
        ended = loop.run(proxy.through(uri))
        loop.kills += proxy.broken.is_set()
    return ended


def _round(loop: Loop, breaks: Callable[[Loop, str], Ended], allowed: set[int]) -> None:
    """One database: it is broken a few times, then completed."""
    with new_database(loop.server) as database:
        prepare(database, loop.folder)
        with database.connect() as connection:
            for _ in range(loop.chance.randint(1, MOST_KILLS_IN_ONE_DATABASE)):
                ended = breaks(loop, database.uri)
                assert ended.code in allowed, ended
                if len(_proved(connection, ended).applied) == VERSIONS:
                    break
            ended = loop.run(database.uri)
            assert ended.code == 0, ended
            assert _proved(connection, ended).applied == numbers(VERSIONS)


def _proved(connection: psycopg.Connection[tuple[object, ...]], ended: Ended) -> State:
    quiet(connection)
    state = State.read(connection)
    state.require_true()
    if ended.code >= 0:
        require_true_report(ended, state)
    return state


@pytest.fixture
def loop(server: PostgresServer, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Loop]:
    folder = write(tmp_path / "scripts", scripts(VERSIONS))
    chance = random.Random(f"{SEED} {request.node.name}")
    with Forker.start() as first, Forker.start() as second:
        made = Loop(server, (first, second), folder, chance)
        made.measure()
        yield made


KINDS = {
    "killed": (_killed, {-9, 0}, 0.3),
    "killed beside another": (_killed_beside_another, {0, 10}, 0.1),
    "cut before COMMIT": (_cut_at_commit(Break.BEFORE_COMMIT), {0, 10}, 0.2),
    "cut after COMMIT": (_cut_at_commit(Break.AFTER_COMMIT), {0}, 0.2),
    "cut at a byte": (_cut_at_a_byte, {0, 10}, 0.2),
}
"""How a run is broken, the exit codes it may end with, and the share of all breaks."""


@pytest.mark.fault(1, 8, 10, 11)
@pytest.mark.parametrize("kind", KINDS)
def test_random_kills(loop: Loop, kind: str) -> None:
    breaks, allowed, share = KINDS[kind]
    began = time.monotonic()
    while loop.kills < KILLS * share:
        _round(loop, breaks, allowed)
    print(f"{loop.kills} times {kind} in {time.monotonic() - began:.0f} s, seed {SEED}: nothing lost, nothing double")  # noqa: T201
