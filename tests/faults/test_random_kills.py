"""Runs that are broken at a random moment, hundreds of times; `make soak` does it ten thousand times.

After every break, what the history says is what is there, and what a report says is what the history says; after a few
of them the next run completes.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import psycopg
import pytest
from dev.postgres.packages import MAJORS

from support.faults import State, numbers, quiet, require_true_report, scripts
from support.loops import KILLS, MOST_KILLS_IN_ONE_DATABASE, Loop
from support.postgres import Ended, write
from support.proxy import AtByte, Break, Proxy

# What is random here is the runner's side: one server is enough.
pytestmark = [
    pytest.mark.postgres,
    pytest.mark.parametrize("server", [MAJORS[-1]], indirect=True, ids=lambda major: f"postgres{major}"),
]

VERSIONS = 6
BY_THEMSELVES = {3: "SELECT 3;", 4: "SELECT 4;"}
"""Versions with a statement that is not sent together with others, so there are some of each kind."""
COMMITS = VERSIONS + 1
"""That of the control schema comes first."""


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
        with Proxy(loop.port, when, loop.chance.randint(1, COMMITS)) as proxy:
            ended = loop.run(proxy.through(uri))
            loop.kills += proxy.broken.is_set()
        return ended

    return cut


def _cut_at_a_byte(loop: Loop, uri: str) -> Ended:
    to_server = loop.chance.random() < 1 / 2
    offset = loop.chance.randrange(loop.usual_bytes[to_server])
    with Proxy(loop.port, AtByte(to_server, offset)) as proxy:
        ended = loop.run(proxy.through(uri))
        loop.kills += proxy.broken.is_set()
    return ended


def _round(loop: Loop, breaks: Callable[[Loop, str], Ended], allowed: set[int]) -> None:
    """An empty database: it is broken a few times, then completed."""
    uri = loop.database.uri
    loop.empty()
    with loop.database.connect() as connection:
        for _ in range(loop.chance.randint(1, MOST_KILLS_IN_ONE_DATABASE)):
            ended = breaks(loop, uri)
            assert ended.code in allowed, ended
            if len(_proved(connection, ended).applied) == VERSIONS:
                break
        ended = loop.run(uri)
        assert ended.code == 0, ended
        assert _proved(connection, ended).applied == numbers(VERSIONS)


def _proved(connection: psycopg.Connection[tuple[object, ...]], ended: Ended) -> State:
    quiet(connection)
    state = State.read(connection)
    state.require_true()
    if ended.code >= 0:
        require_true_report(ended, state)
    return state


KINDS = {
    "killed": (_killed, {-9, 0}, 0.3),
    "killed beside another": (_killed_beside_another, {0, 10}, 0.1),
    "cut before COMMIT": (_cut_at_commit(Break.BEFORE_COMMIT), {0, 10}, 0.2),
    "cut after COMMIT": (_cut_at_commit(Break.AFTER_COMMIT), {0, 10}, 0.2),
    "cut at a byte": (_cut_at_a_byte, {0, 10}, 0.2),
}
"""How a run is broken, the exit codes it may end with, and the share of all breaks."""


@pytest.mark.fault(1, 8, 10, 11)
@pytest.mark.parametrize("kind", KINDS)
def test_random_kills(loop: Loop, kind: str) -> None:
    breaks, allowed, share = KINDS[kind]
    write(loop.folder, scripts(VERSIONS, up=BY_THEMSELVES))
    loop.measure()
    began = time.monotonic()
    while loop.kills < KILLS * share:
        _round(loop, breaks, allowed)
    loop.report(kind, began)
