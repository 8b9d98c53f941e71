"""Runs that meet each other, and runs that have lost what keeps others away."""

from __future__ import annotations

import signal

import pytest

from support.faults import END_OURS, SLEEPING, SLOW, Scene, assert_nothing_lost, numbers

pytestmark = pytest.mark.postgres

GUARD = (
    "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = 1 AND objsubid = 2 AND granted "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
END_GUARD = f"SELECT pg_terminate_backend(pid) FROM ({GUARD}) AS guard"


@pytest.mark.fault(8)
@pytest.mark.parametrize("runs", [2, 4, 8])
def test_runs_at_once_on_an_empty_database(scene: Scene, runs: int) -> None:
    scene.sleeps(0.2)
    scene.write(2, up={1: SLOW})
    ended = [run.finish() for run in [scene.start() for _ in range(runs)]]
    assert [one.code for one in ended] == [0] * runs, ended
    assert sorted(one.report.action for one in ended) == ["Apply"] + ["None"] * (runs - 1)
    installed = "SELECT count(*) = count(DISTINCT version) FROM schema_operator.events WHERE event = 'Installed'"
    assert scene.database.value(installed)
    assert_nothing_lost(scene, numbers(2))


@pytest.mark.fault(8)
def test_runs_at_once_of_which_only_one_may_wait(scene: Scene) -> None:
    scene.write(2, up={1: SLOW})
    first = scene.start()
    scene.database.wait_for(SLEEPING)
    others = [run.finish() for run in [scene.start_limited(lock_wait=0.2) for _ in range(3)]]
    assert [(one.code, one.report.reason, one.report.versions) for one in others] == [(40, "LockHeld", ())] * 3
    scene.sleeps(0)
    scene.database.rows("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
    assert first.finish().code == 21
    assert_nothing_lost(scene, numbers(2))


@pytest.mark.fault(8)
def test_a_run_that_has_to_wait_too_long_names_the_holder(scene: Scene) -> None:
    scene.sleeps(8)
    scene.write(2, up={1: SLOW})
    first = scene.start("--as", "shop/first")
    scene.database.wait_for(SLEEPING)
    second = scene.limited(lock_wait=0.5)
    assert (second.code, second.report.reason) == (40, "LockHeld")
    (pid,) = scene.database.rows(GUARD)[0]
    since = scene.database.value(
        f"SELECT to_char(backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') "
        f"FROM pg_stat_activity WHERE pid = {pid}"
    )
    holder = f"schema-operator/shop/first (session {pid}), since {since}"
    assert second.report.blocker == holder
    sentence = f"another run of schema-operator is at work: {holder}; "
    assert second.report.message.startswith(sentence)
    waiting = {line.message for line in second.progress if line.step == "WaitingForLock"}
    assert waiting == {sentence + "waiting"}
    assert "idle" not in second.stdout
    assert first.finish().code == 0
    assert_nothing_lost(scene, numbers(2))


@pytest.mark.fault(9)
@pytest.mark.parametrize("versions", [1, 2], ids=["in its last version", "before its next version"])
def test_a_paused_run_notices_that_another_has_been_there(scene: Scene, versions: int) -> None:
    scene.sleeps(0.3)
    scene.write(versions, up={1: SLOW})
    first = scene.start()
    scene.database.wait_for(SLEEPING)
    first.process.send_signal(signal.SIGSTOP)
    # What a server does to a node that does not answer.
    scene.database.rows(END_OURS)
    assert scene.run().code == 0
    first.process.send_signal(signal.SIGCONT)
    ended = first.finish()
    assert (ended.code, ended.report.versions) == (10, ())
    assert scene.state().history == numbers(versions)
    assert_nothing_lost(scene, numbers(versions))


@pytest.mark.fault(9, 15)
def test_a_paused_run_whose_guard_is_lost_begins_nothing_more(scene: Scene) -> None:
    scene.sleeps(0.3)
    scene.write(3, up={1: SLOW})
    first = scene.start()
    scene.database.wait_for(SLEEPING)
    first.process.send_signal(signal.SIGSTOP)
    scene.database.rows(END_GUARD)
    # The replacement waits for the open transaction, and then sees to what is left of it.
    second = scene.start()
    second.wait_for("WaitingForLock")
    first.process.send_signal(signal.SIGCONT)
    ended = first.finish()
    assert (ended.code, ended.report.reason, ended.report.versions) == (10, "GuardLost", ("1",))
    assert second.finish().report.versions == ("2", "3")
    assert_nothing_lost(scene, numbers(3))


@pytest.mark.fault(15)
def test_the_guard_is_ended_in_the_middle(scene: Scene) -> None:
    scene.sleeps(0.5)
    scene.write(2, up={1: SLOW})
    run = scene.start()
    scene.database.wait_for(SLEEPING)
    scene.database.rows(END_GUARD)
    ended = run.finish()
    assert (ended.code, ended.report.reason) == (10, "GuardLost")
    # The open transaction was ours by the fence; the next one was not begun.
    assert (scene.state().history, ended.report.versions) == (["1"], ("1",))
    assert_nothing_lost(scene, numbers(2), ended=ended)


@pytest.mark.fault(15)
def test_a_run_that_got_the_guard_waits_for_the_fence(scene: Scene) -> None:
    scene.sleeps(1)
    scene.write(2, up={1: SLOW})
    first = scene.start()
    scene.database.wait_for(SLEEPING)
    scene.database.rows(END_GUARD)
    second = scene.run()
    assert (second.code, second.report.versions) == (0, ("2",))
    assert first.finish().report.reason == "GuardLost"
    assert_nothing_lost(scene, numbers(2))
