"""A version that is done in batches is broken: it goes on behind the last batch, and each row is changed once."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from dev.postgres.packages import MAJORS
from dev.postgres.server import PostgresServer

from support.batches import OF_100, ROWS, SCRIPT, TABLE, require_each_row_once
from support.faults import END_OURS, Scene, quiet
from support.loops import KILLS, MOST_KILLS_IN_ONE_DATABASE, Loop
from support.postgres import Database, Product, until, write
from support.proxy import Break, Proxy

pytestmark = pytest.mark.postgres

BATCHES = ROWS // 100
OPEN = "SELECT event, batches FROM schema_operator.open_units"
DONE = "SELECT count(*) > {0} FROM schema_operator.batch_positions"
COMMITS_BEFORE = 2
"""That of the control schema, and that of the row which says that the statement is begun."""


def _in_batches(scene: Scene) -> Scene:
    scene.database.execute(TABLE)
    write(scene.folder, {"1_x.up.sql": SCRIPT})
    return scene


def _batches(scene: Scene) -> int:
    with scene.database.connect() as connection:
        quiet(connection)
        return require_each_row_once(connection)


def _completed(scene: Scene) -> None:
    """The next run, by anyone, needs no help."""
    again = scene.run(*OF_100)
    assert (again.code, again.report.versions) == (0, ("1",)), again
    assert _batches(scene) >= BATCHES
    assert scene.database.value("SELECT count(*) FROM item WHERE n = 1") == ROWS
    assert scene.database.rows(OPEN) == []


@pytest.mark.fault(4)
@pytest.mark.parametrize("server", [MAJORS[-1]], indirect=True, ids=lambda major: f"postgres{major}")
def test_random_kills_in_batches(loop: Loop) -> None:
    """A third of the kills of a test run: 100, each while batches are on their way."""
    loop.also, loop.options = TABLE, OF_100
    write(loop.folder, {"1_x.up.sql": SCRIPT})
    loop.measure()
    began = time.monotonic()
    while loop.kills < KILLS / 3:
        loop.empty()
        with loop.database.connect() as connection:
            for _ in range(loop.chance.randint(1, MOST_KILLS_IN_ONE_DATABASE)):
                killed = loop.run(loop.database.uri, kill_after=loop.moment())
                assert killed.code in {-signal.SIGKILL, 0}, killed
                quiet(connection)
                loop.kills += require_each_row_once(connection) > 0 and killed.code < 0
            ended = loop.run(loop.database.uri)
            assert ended.code == 0, ended
            quiet(connection)
            assert require_each_row_once(connection) == BATCHES
            assert connection.execute(OPEN.encode()).fetchall() == []
    loop.report("killed in batches", began)


@pytest.mark.fault(4)
def test_killed_and_gone_on_with_by_batches_of_another_size(scene: Scene) -> None:
    run = _in_batches(scene).start(*OF_100, "--batch-pause", "5ms")
    until(
        lambda: scene.database.value("SELECT to_regclass('schema_operator.batch_positions') IS NOT NULL"), "the table"
    )
    scene.database.wait_for(DONE.format(10))
    run.process.kill()
    run.finish()
    assert 0 < _batches(scene) < BATCHES
    ended = scene.run("--batch-max-size", "7000")
    assert ended.code == 0, ended
    _batches(scene)
    assert scene.database.value("SELECT count(*) FROM item WHERE n = 1") == ROWS


@pytest.mark.fault(10)
def test_lost_at_the_commit_of_a_batch_that_was_done(scene: Scene) -> None:
    _in_batches(scene)
    with Proxy(scene.database.server.port, Break.AFTER_COMMIT, COMMITS_BEFORE + 3) as proxy:
        ended = scene.run(*OF_100, uri=proxy.through(scene.database.uri))
        assert proxy.answered.is_set()
    assert (ended.code, ended.report.versions) == (0, ("1",)), ended
    assert _batches(scene) == BATCHES
    assert scene.database.value("SELECT count(*) FROM item WHERE n = 1") == ROWS


@pytest.mark.fault(11)
def test_lost_at_the_commit_of_a_batch_that_was_not_done(scene: Scene) -> None:
    _in_batches(scene)
    with Proxy(scene.database.server.port, Break.BEFORE_COMMIT, COMMITS_BEFORE + 3) as proxy:
        ended = scene.run(*OF_100, uri=proxy.through(scene.database.uri))
        assert proxy.broken.is_set()
    assert (ended.code, ended.report.reason) == (10, "ConnectionLost"), ended
    assert "2 batches are done, 200 of about 20000 rows" in ended.report.message
    assert _batches(scene) == 2
    _completed(scene)


@pytest.mark.fault(14)
def test_the_sessions_are_ended_in_the_middle(scene: Scene) -> None:
    run = _in_batches(scene).start(*OF_100, "--batch-pause", "5ms")
    run.wait_for("of about 20000 rows")
    scene.database.execute(END_OURS)
    ended = run.finish()
    assert ended.code == 10, ended
    assert "batches are done" in ended.report.message or "1 batch is done" in ended.report.message
    assert 0 < _batches(scene) < BATCHES
    _completed(scene)


def _scene(server: PostgresServer, folder: Path) -> Scene:
    database = Database(server, "postgres")
    return _in_batches(Scene(database, Product(database), folder / "scripts"))


@pytest.mark.fault(16)
@pytest.mark.parametrize("major", [MAJORS[0], MAJORS[-1]], ids=lambda major: f"postgres{major}")
def test_the_server_crashes_between_batches(major: int, tmp_path: Path) -> None:
    """What was committed without waiting for the disk may be gone, the rows together with the position."""
    with PostgresServer(major, {"wal_writer_delay": "10s", "fsync": "on"}) as server:
        scene = _scene(server, tmp_path)
        run = scene.start(*OF_100, "--batch-pause", "5ms")
        run.wait_for("of about 20000 rows")
        server.crash()
        ended = run.finish()
        assert ended.code == 10, ended
        server.start()
        assert _batches(scene) < BATCHES
        _completed(scene)


@pytest.fixture(params=[MAJORS[0], MAJORS[-1]], ids=lambda major: f"postgres{major}")
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[PostgresServer, PostgresServer]]:
    """A primary, and a standby that nobody waits for at COMMIT."""
    settings = {"max_connections": "100", "cluster_name": "reader"}
    primary, standby = PostgresServer(request.param, settings), PostgresServer(request.param, settings)
    with primary:
        primary.stop()
        standby.create_standby(primary)
        primary.start()
        try:
            standby.start()
            with psycopg.connect(primary.uri(), autocommit=True) as connection:
                streaming = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
                until(lambda: connection.execute(streaming).fetchall() == [(1,)], "a standby")
            yield primary, standby
        finally:
            standby.__exit__()


LIMIT = 3.0
STARTED = "SELECT to_regclass('schema_operator.batch_positions') IS NOT NULL"
NEWEST = "SELECT max(happened_at) FROM schema_operator.batch_positions"


@pytest.mark.fault(29)
def test_a_standby_that_does_not_replay_is_waited_for(
    pair: tuple[PostgresServer, PostgresServer], tmp_path: Path
) -> None:
    scene, reader = _scene(pair[0], tmp_path), Database(pair[1], "postgres")
    database = scene.database
    limits = ("--max-replication-lag", f"{LIMIT:.0f}", "--batch-pause", "40ms", "--give-up-after", "1")
    run = scene.start(*OF_100, *limits)
    run.wait_for("of about 20000 rows")
    until(lambda: bool(reader.value(STARTED)) and reader.value(NEWEST) is not None, "a batch on the standby")
    reader.rows("SELECT pg_wal_replay_pause()")
    paused = time.monotonic()
    run.wait_for("waiting for the standby reader, which is")
    assert time.monotonic() - paused < LIMIT
    done = database.rows(NEWEST)
    time.sleep(1.5 * LIMIT)
    assert database.rows(NEWEST) == done, "a batch while a standby is late"
    behind = done[0][0] - reader.value(NEWEST)
    assert 0.0 < behind.total_seconds() < LIMIT
    assert run.process.poll() is None
    reader.rows("SELECT pg_wal_replay_resume()")
    resumed = time.monotonic()
    until(lambda: database.rows(NEWEST) != done, "the next batch")
    assert time.monotonic() - resumed < LIMIT
    ended = run.finish()
    assert ended.code == 0, ended
    assert _batches(scene) == BATCHES
    until(lambda: bool(reader.value(f"SELECT count(*) = {ROWS} FROM item WHERE n = 1")), "all rows on the standby")


@pytest.mark.fault(20)
def test_the_next_run_reaches_the_standby_only(pair: tuple[PostgresServer, PostgresServer], tmp_path: Path) -> None:
    primary, standby = pair
    scene = _scene(primary, tmp_path)
    run = scene.start(*OF_100, "--batch-pause", "5ms")
    run.wait_for("of about 20000 rows")
    run.process.kill()
    run.finish()
    done = _batches(scene)
    ended = scene.run(uri=standby.uri())
    assert (ended.code, ended.report.reason) == (10, "NotPrimary"), ended
    assert _batches(scene) == done
    _completed(scene)
