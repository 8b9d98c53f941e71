"""Runs that are killed, and runs that are asked to stop."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from support.faults import SLEEPING, SLOW, Scene, Watched, assert_nothing_lost, numbers, quiet
from support.proxy import Break, Proxy

if TYPE_CHECKING:
    from support.postgres import Ended

pytestmark = pytest.mark.postgres

STOPPED_IN_SECONDS = 2.0
FREED_IN_SECONDS = 2.0
LOOKS_FOR_ITS_CLIENT = 14
"""The first major version that ends a statement whose client has gone (client_connection_check_interval)."""


@pytest.mark.fault(1)
def test_killed_in_a_statement_its_locks_are_free_in_two_seconds(scene: Scene) -> None:
    scene.database.execute("CREATE TABLE item ()")
    scene.write(3, up={2: f"LOCK TABLE item; {SLOW}"})
    # An older server lets the statement come to its end.
    rest = 0.0 if scene.database.server.major >= LOOKS_FOR_ITS_CLIENT else 1.5
    scene.sleeps(rest or 600)
    run = scene.start()
    scene.database.wait_for(SLEEPING)
    run.process.kill()
    run.finish()
    with scene.database.connect() as connection:
        assert quiet(connection) <= FREED_IN_SECONDS + rest
        connection.execute("BEGIN; LOCK TABLE item IN ACCESS EXCLUSIVE MODE NOWAIT; ROLLBACK")
    assert scene.state().history == ["1"]
    assert_nothing_lost(scene, numbers(3))


@pytest.mark.fault(1)
def test_killed_while_it_is_installed(scene: Scene) -> None:
    scene.write(2)
    with scene.database.connect() as other, other.transaction():
        other.execute("CREATE SCHEMA schema_operator")
        run = scene.start()
        # Two runs cannot both write the name of the schema: the second waits for the first.
        scene.database.wait_for("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted")
        run.process.kill()
        run.finish()
        other.execute("DROP SCHEMA schema_operator")
    assert_nothing_lost(scene, numbers(2))


@pytest.mark.fault(5)
def test_killed_after_its_last_commit_and_before_its_report(scene: Scene) -> None:
    scene.apply(1)
    scene.write(3)
    with Proxy(scene.database.server.port, Break.UNANSWERED, commit=2) as proxy:
        run = scene.start(uri=proxy.through(scene.database.uri))
        assert proxy.answered.wait(timeout=30)
        assert scene.database.versions() == numbers(3)
        run.process.kill()
        assert all(line.report is None for line in run.finish().lines)
    again = scene.run()
    assert (again.code, again.report.action, again.report.version) == (0, "None", "3")
    assert_nothing_lost(scene, numbers(3))


def _stop(run: Watched, number: signal.Signals) -> Ended:
    began = time.monotonic()
    run.process.send_signal(number)
    ended = run.finish()
    assert time.monotonic() - began <= STOPPED_IN_SECONDS
    assert (ended.code, ended.report.reason) == (143, "Stopped")
    return ended


@pytest.mark.fault(2)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_in_a_statement(scene: Scene, number: signal.Signals) -> None:
    scene.write(3, up={2: SLOW})
    run = scene.start()
    scene.database.wait_for(SLEEPING)
    ended = _stop(run, number)
    assert ended.report.versions == ("1",)
    scene.database.wait_for(f"SELECT NOT ({SLEEPING})")
    assert_nothing_lost(scene, numbers(3), ended=ended)


@pytest.mark.fault(2)
def test_asked_to_stop_while_it_waits_for_a_lock(scene: Scene) -> None:
    scene.database.execute("CREATE TABLE item ()")
    scene.write(2, up={2: "ALTER TABLE item ADD COLUMN name text;"})
    with scene.database.connect() as other, other.transaction():
        other.execute("LOCK TABLE item IN ACCESS SHARE MODE")
        run = scene.start()
        run.wait_for("WaitingForLock")
        _stop(run, signal.SIGTERM)
    assert_nothing_lost(scene, numbers(2))


@pytest.mark.fault(2)
def test_asked_to_stop_while_it_waits_for_another_run(scene: Scene) -> None:
    scene.write(2, up={1: SLOW})
    first = scene.start()
    scene.database.wait_for(SLEEPING)
    second = scene.start()
    second.wait_for("WaitingForLock")
    _stop(second, signal.SIGTERM)
    _stop(first, signal.SIGTERM)
    assert_nothing_lost(scene, numbers(2))
