"""The server ends a session, crashes, restarts, or takes no connection."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from dev.postgres.server import PostgresServer

from support.faults import SLEEPING, SLOW, Scene, assert_nothing_lost, numbers, require_true_report
from support.postgres import Database
from support.proxy import Break, Proxy

pytestmark = pytest.mark.postgres

END_SLEEPER = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"


@pytest.mark.fault(14)
def test_the_working_session_is_ended_by_an_administrator(scene: Scene) -> None:
    scene.write(3, up={2: SLOW})
    run = scene.start()
    scene.database.wait_for(SLEEPING)
    scene.database.rows(END_SLEEPER)
    ended = run.finish()
    assert (ended.code, ended.report.reason) == (10, "ServerShutdown")
    assert "administrator" in ended.report.message
    assert ended.report.place is not None
    assert (ended.report.place.version, ended.report.place.sqlstate) == ("2", "57P01")
    assert_nothing_lost(scene, numbers(3), ended=ended)


@pytest.mark.fault(16)
def test_the_server_crashes_in_a_statement(scene: Scene) -> None:
    scene.write(3, up={2: SLOW})
    run = scene.start()
    scene.database.wait_for(SLEEPING)
    scene.database.server.crash()
    ended = run.finish()
    scene.database.server.start()
    assert (ended.code, ended.report.versions) == (10, ("1",)), ended
    assert_nothing_lost(scene, numbers(3), ended=ended)


@pytest.mark.fault(16)
@pytest.mark.parametrize(
    ("when", "code", "versions"), [(Break.UNANSWERED, 0, 2), (Break.BEFORE_COMMIT, 10, 1)], ids=["done", "not done"]
)
def test_the_server_crashes_at_commit(scene: Scene, when: Break, code: int, versions: int) -> None:
    scene.apply(1)
    # A COMMIT that is the last of its run waits for the disk.
    scene.write(2)
    with Proxy(scene.database.server.port, when) as proxy:
        run = scene.start(uri=proxy.through(scene.database.uri))
        assert (proxy.answered if when is Break.UNANSWERED else proxy.broken).wait(timeout=30)
        scene.database.server.crash()
        scene.database.server.start()
        ended = run.finish()
    assert (ended.code, scene.state().history) == (code, numbers(versions)), ended
    assert_nothing_lost(scene, numbers(2), ended=ended)


@pytest.mark.fault(17)
def test_the_server_is_stopped_for_a_while(scene: Scene) -> None:
    scene.write(2)
    scene.database.server.stop()
    ended = scene.run()
    scene.database.server.start()
    assert (ended.code, ended.report.reason, ended.report.version) == (10, "Unreachable", None)
    assert_nothing_lost(scene, numbers(2), ended=ended)


@pytest.mark.fault(17)
def test_the_server_is_restarted_in_a_statement(scene: Scene) -> None:
    scene.write(3, up={2: SLOW})
    run = scene.start()
    scene.database.wait_for(SLEEPING)
    scene.database.server.stop()
    scene.database.server.start()
    ended = run.finish()
    assert (ended.code, ended.report.reason) == (10, "ServerShutdown"), ended
    assert_nothing_lost(scene, numbers(3), ended=ended)


@pytest.mark.fault(17)
def test_the_server_has_no_free_connection(scene: Scene) -> None:
    scene.write(2)
    scene.database.execute(f'ALTER DATABASE "{scene.database.name}" CONNECTION LIMIT 0')
    scene.database.execute("CREATE ROLE crowded LOGIN PASSWORD 'crowded'")
    try:
        ended = scene.run(uri=scene.database.uri_of("crowded", "crowded"))
    finally:
        scene.database.execute("DROP ROLE crowded")
        scene.database.execute(f'ALTER DATABASE "{scene.database.name}" CONNECTION LIMIT -1')
    assert (ended.code, ended.report.reason) == (10, "Unreachable"), ended
    assert_nothing_lost(scene, numbers(2))


@pytest.fixture
def lazy_writer(server: PostgresServer) -> Iterator[None]:
    """Let what no COMMIT waits for stay in the server's memory."""
    database = Database(server, "postgres")
    database.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")
    database.execute("SELECT pg_reload_conf()")
    yield
    database.execute("ALTER SYSTEM RESET wal_writer_delay")
    database.execute("SELECT pg_reload_conf()")


@pytest.mark.fault(16)
@pytest.mark.usefixtures("lazy_writer")
@pytest.mark.parametrize(
    ("when", "commit", "third"),
    [(Break.UNANSWERED, 2, ""), (Break.BEFORE_COMMIT, 4, "CREATE TABLE made_1 ();")],
    ids=["before the last", "after one that failed"],
)
def test_the_server_crashes_between_versions_that_are_sent_together(
    scene: Scene, when: Break, commit: int, third: str
) -> None:
    scene.apply(1)
    scene.write(4, up={3: third})
    with Proxy(scene.database.server.port, when, commit) as proxy:
        run = scene.start(uri=proxy.through(scene.database.uri))
        assert (proxy.answered if when is Break.UNANSWERED else proxy.broken).wait(timeout=30)
        scene.database.server.crash()
        scene.database.server.start()
        ended = run.finish()
    # Only the last COMMIT waits for the disk, so what comes before it may be gone, and nobody may be told otherwise.
    assert ended.code == 10, ended
    require_true_report(ended, scene.state())
    scene.write(4)
    assert_nothing_lost(scene, numbers(4), ended=ended)
