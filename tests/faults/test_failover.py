"""Two servers, the second a synchronous standby of the first: what a run does when the first one dies.

Servers of their own, on the oldest and the newest version: two servers take seconds to make.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from dev.postgres.packages import MAJORS
from dev.postgres.server import PASSWORD, SUPERUSER, PostgresServer

from support.faults import SLEEPING, SLOW, Scene, assert_nothing_lost, numbers, prepare
from support.postgres import Database, Product, until

pytestmark = pytest.mark.postgres

DATABASE = "postgres"


class ByAddressOfBoth(Product):
    """The program, started for whichever of two servers can be written to."""

    def __init__(self, database: Database, uri: str) -> None:
        super().__init__(database)
        self._uri = uri

    def start(self, *arguments: str | Path, uri: str | None = None) -> subprocess.Popen[str]:
        return super().start(*arguments, uri=uri or self._uri)


@dataclass(frozen=True)
class Pair:
    """A primary and its synchronous standby."""

    primary: PostgresServer
    standby: PostgresServer

    @property
    def uri(self) -> str:
        """The address of both."""
        hosts = ",".join(f"127.0.0.1:{one.port}" for one in (self.primary, self.standby))
        return f"postgresql://{SUPERUSER}:{PASSWORD}@{hosts}/{DATABASE}"

    def of_the_standby(self, scene: Scene) -> Scene:
        """The scene on the standby, reached by the address of both."""
        database = Database(self.standby, DATABASE)
        return Scene(database, ByAddressOfBoth(database, self.uri), scene.folder)

    def promote(self) -> None:
        with psycopg.connect(self.standby.uri(), autocommit=True) as connection:
            assert connection.execute("SELECT pg_promote()").fetchall() == [(True,)]


@pytest.fixture(params=[MAJORS[0], MAJORS[-1]], ids=lambda major: f"postgres{major}")
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    with ExitStack() as at_the_end:
        # A standby must have room for as many connections as the primary had when it was made.
        primary, standby = (PostgresServer(request.param, {"max_connections": "100"}) for _ in range(2))
        for one in (primary, standby):
            at_the_end.push(one)
        primary.create()
        standby.create_standby(primary)
        primary.start()
        standby.start()
        made = Pair(primary, standby)
        with psycopg.connect(primary.uri(), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("SELECT pg_reload_conf()")
            synchronous = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
            until(lambda: connection.execute(synchronous).fetchall() == [(1,)], "a synchronous standby")
        yield made


@pytest.mark.fault(18)
def test_the_primary_dies_in_a_statement_and_the_standby_takes_over(pair: Pair, tmp_path: Path) -> None:
    scene = prepare(Database(pair.primary, DATABASE), tmp_path / "scripts")
    scene.write(3, up={2: SLOW})
    run = scene.start(uri=pair.uri)
    scene.database.wait_for(SLEEPING)
    pair.primary.crash()
    ended = run.finish()
    assert (ended.code, ended.report.versions) == (10, ("1",)), ended
    # Nobody can be written to yet.
    waiting = scene.run(uri=pair.uri)
    assert (waiting.code, waiting.report.reason) == (10, "NotPrimary"), waiting
    pair.promote()
    assert_nothing_lost(pair.of_the_standby(scene), numbers(3), ended=ended)


AT_COMMIT = "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


@pytest.mark.fault(18, 10)
def test_the_primary_dies_at_a_commit_that_the_standby_has(pair: Pair, tmp_path: Path) -> None:
    scene = prepare(Database(pair.primary, DATABASE), tmp_path / "scripts")
    scene.apply(1)
    scene.database.execute(f"ALTER DATABASE {DATABASE} SET synchronous_commit = remote_apply")
    standby = Database(pair.standby, DATABASE)
    standby.wait_for("SELECT to_regclass('made_1') IS NOT NULL")
    standby.execute("SELECT pg_wal_replay_pause()")
    scene.write(3)
    run = scene.start(uri=pair.uri)
    scene.database.wait_for(AT_COMMIT)
    pair.primary.crash()
    pair.promote()
    ended = run.finish()
    after = pair.of_the_standby(scene)
    assert (ended.code, ended.report.versions) == (0, ("2", "3")), ended
    assert after.state().history == numbers(3)
    assert_nothing_lost(after, numbers(3), ended=ended)


@pytest.mark.fault(18, 11)
def test_the_primary_dies_at_a_commit_that_the_standby_has_not(pair: Pair, tmp_path: Path) -> None:
    scene = prepare(Database(pair.primary, DATABASE), tmp_path / "scripts")
    scene.apply(1)
    pair.standby.stop()
    scene.write(3)
    run = scene.start(uri=pair.uri)
    scene.database.wait_for(AT_COMMIT)
    pair.primary.crash()
    pair.standby.start()
    pair.promote()
    ended = run.finish()
    after = pair.of_the_standby(scene)
    assert (ended.code, ended.report.reason) == (10, "ConnectionLost"), ended
    assert after.state().history == numbers(1)
    assert_nothing_lost(after, numbers(3), ended=ended)


@pytest.mark.fault(20)
@pytest.mark.parametrize("pair", [MAJORS[-1]], indirect=True, ids=lambda major: f"postgres{major}")
def test_only_a_standby_can_be_reached(pair: Pair, tmp_path: Path) -> None:
    scene = prepare(Database(pair.primary, DATABASE), tmp_path / "scripts")
    scene.write(2)
    ended = scene.run(uri=pair.standby.uri())
    assert (ended.code, ended.report.reason) == (10, "NotPrimary"), ended
    assert "name the primary" in ended.report.message
    assert scene.state().history == []
    assert_nothing_lost(Scene(scene.database, ByAddressOfBoth(scene.database, pair.uri), scene.folder), numbers(2))


@pytest.mark.fault(20)
def test_a_database_that_is_read_only_for_now(scene: Scene) -> None:
    scene.write(2)
    name = scene.database.name
    scene.database.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    ended = scene.run()
    assert (ended.code, ended.report.reason) == (10, "NotPrimary"), ended
    with scene.database.connect() as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only'.encode())
    assert_nothing_lost(scene, numbers(2), ended=ended)
