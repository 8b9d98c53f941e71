"""The disk of a tablespace is full, and the disk the server keeps its log on."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from dev.postgres.packages import MAJORS
from dev.postgres.server import PostgresServer

from support.disk import SmallDisk, Tablespace, small_disk
from support.faults import Scene, assert_nothing_lost, numbers, prepare
from support.postgres import Database

pytestmark = pytest.mark.postgres

ROWS_OF_A_KILOBYTE = "CREATE TABLE big {place} AS SELECT repeat('x', 1000) AS filler FROM generate_series(1, {rows});"
FREE_KIBIBYTES = 64
LOG_MEBIBYTES = 56
"""Three files of the server's log, and a bit."""


@pytest.mark.fault(27)
def test_the_disk_of_a_tablespace_is_full(tablespace: Tablespace, scene: Scene) -> None:
    # The tablespace is made before the database and so dropped after it.
    filler = tablespace.disk.fill(FREE_KIBIBYTES)
    scene.write(3, up={2: ROWS_OF_A_KILOBYTE.format(place=f"TABLESPACE {tablespace.name}", rows=2000)})
    ended = scene.run()
    assert (ended.code, ended.report.reason) == (21, "DiskFull"), ended
    assert ended.report.place is not None
    assert (ended.report.place.version, ended.report.place.sqlstate) == ("2", "53100")
    assert scene.state().history == numbers(1)
    filler.unlink()
    assert_nothing_lost(scene, numbers(3), ended=ended)


@contextmanager
def _server_with_a_small_disk_for_its_log(major: int) -> Iterator[tuple[PostgresServer, SmallDisk]]:
    # No other process writes to the log while a run does, so that it is the run's own that finds the disk full.
    server = PostgresServer(major, {"min_wal_size": "32MB", "max_wal_size": "1GB", "wal_writer_delay": "10s"})
    with ExitStack() as at_the_end:
        at_the_end.push(server)
        server.create()
        disk = at_the_end.enter_context(small_disk(server, "log-disk", LOG_MEBIBYTES))
        log = server.home / "data" / "pg_wal"
        subprocess.run(["cp", "-a", f"{log}/.", disk.folder], check=True)
        shutil.rmtree(log)
        log.symlink_to(disk.folder)
        at_the_end.callback(server.crash)
        server.start()
        yield server, disk


@pytest.mark.fault(28)
# Servers of their own: the oldest and the newest version.
@pytest.mark.parametrize("major", [MAJORS[0], MAJORS[-1]], ids=lambda major: f"postgres{major}")
def test_the_disk_of_the_log_is_full_and_the_server_goes_down(major: int, tmp_path: Path) -> None:
    with _server_with_a_small_disk_for_its_log(major) as (server, disk):
        scene = prepare(Database(server, "postgres"), tmp_path / "scripts")
        # A version that is sent by itself, so that it is known what became of the one before.
        scene.write(3, up={2: f"SELECT 2; {ROWS_OF_A_KILOBYTE.format(place='', rows=LOG_MEBIBYTES * 1024)}"})
        ended = scene.run()
        assert (ended.code, ended.report.versions) == (10, ("1",)), ended
        assert ended.report.reason == "DiskFull", ended
        assert "disk" in ended.report.message
        server.crash()
        disk.resize(LOG_MEBIBYTES * 4)
        server.start()
        assert_nothing_lost(scene, numbers(3), ended=ended)
