"""The connection breaks: at COMMIT, before it, and so that one side does not hear of it."""

from __future__ import annotations

from contextlib import closing

import psycopg
import pytest
from dev.postgres.packages import MAJORS

from schema_operator.postgres.guard import Guard
from support.faults import SLEEPING, SLOW, Scene, assert_nothing_lost, numbers
from support.proxy import Break, Proxy

pytestmark = pytest.mark.postgres

GIVE_UP_SECONDS = 5.0


@pytest.mark.fault(10)
@pytest.mark.parametrize(
    ("commit", "code", "versions"),
    # Versions that are sent together are lost together with their connection, but for those that were committed.
    [(1, 0, 3), (2, 10, 1), (4, 0, 3)],
    ids=["control schema", "first version", "last version"],
)
def test_lost_at_commit_that_was_done(scene: Scene, commit: int, code: int, versions: int) -> None:
    scene.write(3)
    with Proxy(scene.database.server.port, Break.AFTER_COMMIT, commit) as proxy:
        ended = scene.run(uri=proxy.through(scene.database.uri))
        assert proxy.answered.is_set()
    assert (ended.code, ended.report.version) == (code, str(versions)), ended
    assert scene.state().history == numbers(versions)
    assert_nothing_lost(scene, numbers(3), ended=ended)


@pytest.mark.fault(11)
@pytest.mark.parametrize("commit", [1, 2, 4], ids=["control schema", "first version", "last version"])
def test_lost_at_commit_that_was_not_done(scene: Scene, commit: int) -> None:
    scene.write(3)
    with Proxy(scene.database.server.port, Break.BEFORE_COMMIT, commit) as proxy:
        ended = scene.run(uri=proxy.through(scene.database.uri))
        assert proxy.broken.is_set()
    assert (ended.code, ended.report.reason) == (10, "ConnectionLost"), ended
    assert scene.state().history == numbers(max(commit - 2, 0))
    assert_nothing_lost(scene, numbers(3), ended=ended)


@pytest.mark.fault(12)
def test_lost_at_commit_and_the_database_cannot_be_reached_since(scene: Scene) -> None:
    scene.apply(1)
    scene.write(3)
    with Proxy(scene.database.server.port, Break.FOR_GOOD) as proxy:
        ended = scene.limited(give_up=1.0, uri=proxy.through(scene.database.uri))
    assert (ended.code, ended.report.reason) == (31, "OutcomeUnknown"), ended
    assert scene.state().history == numbers(2)
    assert_nothing_lost(scene, numbers(3), ended=ended)


HANGS_AT_COMMIT = """
CREATE FUNCTION hang() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(600); RETURN NEW; END';
CREATE TABLE hanging (x int);
CREATE CONSTRAINT TRIGGER hang AFTER INSERT ON hanging DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
EXECUTE FUNCTION hang();
"""


@pytest.mark.fault(13)
# A run waits five seconds before it ends the session: once is enough.
@pytest.mark.parametrize("server", [MAJORS[-1]], indirect=True, ids=lambda major: f"postgres{major}")
def test_the_old_session_that_hangs_at_commit_is_ended(scene: Scene) -> None:
    scene.database.execute(HANGS_AT_COMMIT)
    scene.apply(1)
    scene.write(2, up={2: "INSERT INTO hanging VALUES (1);"})
    with Proxy(scene.database.server.port, Break.AFTER_COMMIT) as proxy:
        run = scene.start_limited(uri=proxy.through(scene.database.uri))
        scene.database.wait_for(SLEEPING)
        proxy.forget()
        ended = run.finish()
    assert (ended.code, ended.report.reason) == (10, "ConnectionLost"), ended
    assert scene.state().history == numbers(1)
    scene.database.execute("ALTER TABLE hanging DISABLE TRIGGER hang")
    assert_nothing_lost(scene, numbers(2), ended=ended)


@pytest.mark.fault(13)
def test_a_statement_of_a_lost_run_goes_on_and_the_next_run_does_not_wait_for_ever(scene: Scene) -> None:
    scene.write(2, up={1: SLOW})
    with Proxy(scene.database.server.port, Break.WHEN_TOLD) as proxy:
        run = scene.start(uri=proxy.through(scene.database.uri))
        scene.database.wait_for(SLEEPING)
        proxy.forget()
        ended = run.finish()
        assert (ended.code, ended.report.reason) == (10, "ConnectionLost"), ended
        second = scene.limited(lock_wait=0.5)
        assert (second.code, second.report.reason) == (40, "LockHeld"), second
        assert "schema-operator" in (second.report.blocker or "")
    # From here on the server knows, as after its keepalives.
    assert_nothing_lost(scene, numbers(2), ended=ended)


@pytest.mark.fault(13)
def test_only_the_session_that_was_recorded_is_ended(scene: Scene) -> None:
    uri = scene.database.uri
    with psycopg.connect(uri, autocommit=True) as old, closing(Guard(psycopg.connect(uri, autocommit=True))) as guard:
        pid = old.info.backend_pid
        guard.end_backend(pid, "2020-02-02 02:02:02+00")
        row = old.execute("SELECT backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid()").fetchone()
        assert row is not None
        guard.end_backend(pid, row[0])
        scene.database.wait_for(f"SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = {pid}")
