"""Statements that no transaction may hold: what is left of an index that is built concurrently and not finished.

While a transaction that has written to the table is open, CREATE INDEX CONCURRENTLY waits, and its index is there and
INVALID: that is when the faults come.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
import pytest
from dev.postgres.packages import MAJORS

from support.disk import Tablespace
from support.faults import END_OURS, Scene, numbers, quiet, scripts
from support.loops import KILLS, MOST_KILLS_IN_ONE_DATABASE, Loop
from support.postgres import Database, Ended, write

pytestmark = pytest.mark.postgres

ITEMS = "CREATE TABLE item (id int); INSERT INTO item SELECT generate_series(1, 1000)"
INDEXES = (
    "SELECT c.relname, i.indisvalid FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid "
    "WHERE i.indrelid = 'item'::regclass ORDER BY 1"
)
LEFT_BEHIND = "SELECT count(*) > 0 FROM pg_index WHERE indrelid = 'item'::regclass AND NOT indisvalid"
AT_THE_INDEX = "SELECT count(*) > 0 FROM pg_stat_activity WHERE state = 'active' AND query ~ '^(CREATE|DROP) INDEX'"
BUILDS = {
    "index": "CREATE INDEX CONCURRENTLY item_id ON item (id);",
    "index if not exists": "CREATE INDEX CONCURRENTLY IF NOT EXISTS item_id ON item (id);",
    "unique index": "CREATE UNIQUE INDEX CONCURRENTLY item_id ON item (id);",
}
INDEX_VERSION = "2"
LATER = {10, 30}
"""Exit codes of a run that was stopped in the middle of a version that is no transaction; the next goes on."""


@pytest.fixture
def building(scene: Scene) -> Scene:
    """Version 2 is an index, built concurrently; versions 1 and 3 are as everywhere."""
    scene.database.execute(ITEMS)
    write(scene.folder, _scripts(BUILDS["index"]))
    return scene


def _scripts(build: str) -> dict[str, str]:
    return {**scripts(3), "2_x.up.sql": f"{build}\n", "2_x.down.sql": "DROP INDEX item_id;\n"}


@contextmanager
def _held_up(database: Database) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Keep the table written to, so that an index is not finished."""
    with database.connect("application") as other, other.transaction():
        other.execute("INSERT INTO item VALUES (0)")
        yield other


def assert_index_built(scene: Scene, ended: Ended | None = None) -> None:
    """The three promises, for a version that is an index instead of a table."""
    with scene.database.connect() as connection:
        versions = _proved(connection)
        assert ended is None or {*ended.report.versions} <= {*versions}
        again = scene.run()
        assert (again.code, again.report.version) == (0, "3"), again
        assert _proved(connection) == numbers(3)
        assert connection.execute(INDEXES).fetchall() == [("item_id", True)]


def _proved(connection: psycopg.Connection[Any]) -> list[str]:
    """Wait for the end of every run, and give what the history says, once it is proved to be true."""
    quiet(connection)
    has_history = connection.execute("SELECT to_regclass('schema_operator.schema_versions') IS NOT NULL").fetchall()
    rows = (
        connection.execute("SELECT version FROM schema_operator.applied_versions").fetchall()
        if has_history[0][0]
        else []
    )
    versions = [version for (version,) in rows]
    assert versions == numbers(len(versions))
    evidence = [version for (version,) in connection.execute("SELECT version FROM evidence ORDER BY position")]
    assert evidence == [one for one in versions if one != INDEX_VERSION]
    # What is in the history is finished: an index that is not valid is in none.
    valid = ("item_id", True) in connection.execute(INDEXES).fetchall()
    assert valid or INDEX_VERSION not in versions
    return versions


@pytest.mark.fault(3)
@pytest.mark.parametrize("build", BUILDS)
def test_killed_while_an_index_is_built(building: Scene, build: str) -> None:
    write(building.folder, _scripts(BUILDS[build]))
    with _held_up(building.database):
        run = building.start()
        building.database.wait_for(LEFT_BEHIND)
        run.process.kill()
        run.finish()
    assert_index_built(building)


@pytest.mark.fault(3)
def test_killed_again_and_again_while_an_index_is_built_and_while_its_remains_are_dropped(building: Scene) -> None:
    for _ in range(3):
        with _held_up(building.database), building.database.connect() as connection:
            run = building.start()
            building.database.wait_for(AT_THE_INDEX)
            building.database.wait_for(LEFT_BEHIND)
            run.process.kill()
            run.finish()
            # An old server would go on, and finish the index when nothing holds it up any more.
            connection.execute(END_OURS)
            quiet(connection)
            assert connection.execute(INDEXES).fetchall() == [("item_id", False)]
    assert_index_built(building)


@pytest.mark.fault(9)
def test_paused_while_an_index_is_built_and_another_run_has_been_there(building: Scene) -> None:
    with _held_up(building.database):
        first = building.start()
        building.database.wait_for(LEFT_BEHIND)
        first.process.send_signal(signal.SIGSTOP)
        building.database.rows(END_OURS)
    assert building.run().code == 0
    first.process.send_signal(signal.SIGCONT)
    ended = first.finish()
    assert ended.code in LATER, ended
    assert_index_built(building, ended)


@pytest.mark.fault(14)
def test_the_session_is_ended_while_an_index_is_built(building: Scene) -> None:
    with _held_up(building.database):
        run = building.start()
        building.database.wait_for(LEFT_BEHIND)
        building.database.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'CREATE%INDEX%'"
        )
        ended = run.finish()
    assert ended.code in LATER, ended
    assert ended.report.reason == "ServerShutdown"
    assert_index_built(building, ended)


@pytest.mark.fault(16)
def test_the_server_crashes_while_an_index_is_built(building: Scene) -> None:
    with suppress(psycopg.OperationalError), _held_up(building.database):
        run = building.start()
        building.database.wait_for(LEFT_BEHIND)
        building.database.server.crash()
    ended = run.finish()
    building.database.server.start()
    assert ended.code in LATER, ended
    assert_index_built(building, ended)


@pytest.mark.fault(25)
# A run tries for five seconds to drop what is left: once is enough.
@pytest.mark.parametrize("server", [MAJORS[-1]], indirect=True, ids=lambda major: f"postgres{major}")
def test_a_statement_that_somebody_cancels_while_an_index_is_built(building: Scene) -> None:
    with _held_up(building.database):
        run = building.start()
        building.database.wait_for(LEFT_BEHIND)
        building.database.rows("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'CREATE%INDEX%'")
        ended = run.finish()
    assert ended.code in {21, 30}, ended
    assert ended.report.reason == "StatementTimeout"
    assert_index_built(building, ended)


@pytest.mark.fault(2)
def test_asked_to_stop_while_an_index_is_built(building: Scene) -> None:
    with _held_up(building.database):
        run = building.start()
        building.database.wait_for(LEFT_BEHIND)
        run.process.terminate()
        ended = run.finish()
    assert ended.code in {143, 30}, ended
    assert_index_built(building, ended)


@pytest.mark.fault(27)
def test_the_disk_is_full_while_an_index_is_built(tablespace: Tablespace, scene: Scene) -> None:
    scene.database.execute(f"{ITEMS.replace('1000)', '50000)')}")
    write(scene.folder, _scripts(f"CREATE INDEX CONCURRENTLY item_id ON item (id) TABLESPACE {tablespace.name};"))
    filler = tablespace.disk.fill(64)
    ended = scene.run()
    assert ended.code in {21, 30}, ended
    assert ended.report.reason == "DiskFull"
    filler.unlink()
    assert_index_built(scene, ended)


@pytest.mark.fault(3)
@pytest.mark.parametrize("server", [MAJORS[-1]], indirect=True, ids=lambda major: f"postgres{major}")
def test_random_kills_while_indexes_are_built(loop: Loop) -> None:
    write(loop.folder, _scripts(BUILDS["index"]))
    loop.also = ITEMS
    loop.measure()
    began = time.monotonic()
    while loop.kills < KILLS / 10:
        loop.empty()
        with loop.database.connect() as connection:
            for _ in range(loop.chance.randint(1, MOST_KILLS_IN_ONE_DATABASE)):
                ended = loop.run(loop.database.uri, kill_after=loop.moment())
                loop.kills += ended.code < 0
                assert ended.code in {-9, 0}, ended
                if len(_proved(connection)) == 3:
                    break
            assert loop.run(loop.database.uri).code == 0
            assert _proved(connection) == numbers(3)
            assert connection.execute(INDEXES).fetchall() == [("item_id", True)]
    loop.report("killed while an index is built", began)
