"""A rollback is as safe as an application: killed, cut off at COMMIT, ended by an administrator."""

from __future__ import annotations

import pytest

from support.faults import SLEEPING, SLOW, Scene, assert_nothing_lost, numbers, quiet
from support.proxy import Break, Proxy

pytestmark = pytest.mark.postgres

TO_FIRST = ("--version", "1")
ROLLED_BACK = [*numbers(3), "3-rollback", "2-rollback"]


def _applied(scene: Scene) -> None:
    """Versions 1 to 3 applied; to roll 2 back takes a while."""
    scene.write(3, down={2: SLOW})
    ended = scene.run()
    assert ended.code == 0, ended


@pytest.mark.fault(45, 1)
def test_killed_in_a_rollback(scene: Scene) -> None:
    _applied(scene)
    scene.sleeps(1)
    run = scene.start(*TO_FIRST)
    scene.database.wait_for(SLEEPING)
    run.process.kill()
    run.finish()
    with scene.database.connect() as connection:
        quiet(connection)
    assert scene.state().history == [*numbers(3), "3-rollback"]
    assert_nothing_lost(scene, numbers(1), *TO_FIRST)
    assert scene.state().history == ROLLED_BACK


@pytest.mark.fault(45, 10, 11)
@pytest.mark.parametrize(
    ("when", "commit", "code", "rows"),
    [
        (Break.AFTER_COMMIT, 1, 0, 5),
        (Break.AFTER_COMMIT, 2, 0, 5),
        (Break.BEFORE_COMMIT, 1, 10, 3),
        (Break.BEFORE_COMMIT, 2, 10, 4),
    ],
    ids=["first, done", "last, done", "first, not done", "last, not done"],
)
def test_the_connection_is_lost_at_the_commit_of_a_rollback(
    scene: Scene, when: Break, commit: int, code: int, rows: int
) -> None:
    _applied(scene)
    scene.sleeps(0)
    with Proxy(scene.database.server.port, when, commit) as proxy:
        ended = scene.run(*TO_FIRST, uri=proxy.through(scene.database.uri))
        assert proxy.broken.is_set()
    assert (ended.code, ended.report.action) == (code, "Rollback"), ended
    assert scene.state().history == ROLLED_BACK[:rows]
    assert_nothing_lost(scene, numbers(1), *TO_FIRST, ended=ended)
    assert scene.state().history == ROLLED_BACK


@pytest.mark.fault(45, 12)
def test_the_database_cannot_be_reached_after_the_commit_of_a_rollback(scene: Scene) -> None:
    _applied(scene)
    scene.sleeps(0)
    with Proxy(scene.database.server.port, Break.FOR_GOOD) as proxy:
        ended = scene.limited(give_up=1.0, version="1", uri=proxy.through(scene.database.uri))
    assert (ended.code, ended.report.reason) == (31, "OutcomeUnknown"), ended
    assert "rollback of " in ended.report.message
    assert_nothing_lost(scene, numbers(1), *TO_FIRST, ended=ended)


@pytest.mark.fault(45, 14)
def test_the_session_is_ended_in_a_rollback(scene: Scene) -> None:
    _applied(scene)
    run = scene.start(*TO_FIRST)
    scene.database.wait_for(SLEEPING)
    scene.database.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
    ended = run.finish()
    assert (ended.code, ended.report.reason, ended.report.versions) == (10, "ServerShutdown", ("3",)), ended
    assert ended.report.place is not None
    assert (ended.report.place.version, ended.report.place.statement) == ("2", 2)
    assert_nothing_lost(scene, numbers(1), *TO_FIRST, ended=ended)
    assert scene.state().history == ROLLED_BACK


@pytest.mark.fault(45)
def test_a_rollback_that_fails_names_its_statement_and_goes_on_when_it_can(scene: Scene) -> None:
    scene.database.execute("CREATE TABLE in_the_way ()")
    scene.write(3, down={2: "CREATE TABLE in_the_way ();"})
    assert scene.run().code == 0
    ended = scene.run(*TO_FIRST)
    assert (ended.code, ended.report.reason, ended.report.versions) == (21, "AlreadyExists", ("3",)), ended
    assert ended.report.place is not None
    assert (ended.report.place.version, ended.report.place.file) == ("2", "2_x.down.sql")
    assert (ended.report.place.statement, ended.report.place.statements) == (2, 3)
    assert scene.state().history == [*numbers(3), "3-rollback"]
    scene.database.execute("DROP TABLE in_the_way")
    assert_nothing_lost(scene, numbers(1), *TO_FIRST, ended=ended)
    assert scene.state().history == ROLLED_BACK
