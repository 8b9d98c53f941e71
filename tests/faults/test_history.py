"""The database is not as the last run left it: an older one was restored; and scripts are not as they were."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from support.faults import Scene, assert_nothing_lost, numbers
from support.postgres import Database, Product, new_database

pytestmark = pytest.mark.postgres

_SETTINGS_OF_NEWER_SERVERS = re.compile(r"^SET transaction_timeout = .*\n", re.MULTILINE)


def _restore(dump: str, database: Database) -> None:
    """Do what psql does with a dump."""
    database.execute(_SETTINGS_OF_NEWER_SERVERS.sub("", dump))


@pytest.mark.fault(21)
def test_an_older_dump_is_restored(scene: Scene, tmp_path: Path) -> None:
    scene.apply(2)
    dump = scene.database.dump("--inserts")
    scene.apply(4)
    with new_database(scene.database.server) as restored:
        _restore(dump, restored)
        there = Scene(restored, Product(restored), tmp_path / "scripts")
        ended = there.run("--version", "2")
        assert (ended.code, ended.report.action, ended.report.version) == (0, "None", "2"), ended
        ended = there.run()
        assert (ended.code, ended.report.versions) == (0, ("3", "4")), ended
        assert_nothing_lost(there, numbers(4), ended=ended)
        assert there.state() == scene.state()


@pytest.mark.fault(21)
def test_an_older_copy_of_the_files_is_restored(scene: Scene, tmp_path: Path) -> None:
    scene.apply(2)
    scene.state()
    with new_database(scene.database.server) as copy:
        _replace(copy, scene.database)
        scene.apply(4)
        there = Scene(copy, Product(copy), tmp_path / "scripts")
        ended = there.run()
        assert (ended.code, ended.report.version_before, ended.report.versions) == (0, "2", ("3", "4")), ended
        assert_nothing_lost(there, numbers(4), ended=ended)


def _replace(database: Database, template: Database) -> None:
    names = {"name": sql.Identifier(database.name), "template": sql.Identifier(template.name)}
    with psycopg.connect(database.server.uri(), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {name}").format(**names))
        connection.execute(sql.SQL("CREATE DATABASE {name} TEMPLATE {template}").format(**names))


@pytest.mark.fault(40)
def test_an_applied_script_was_changed_and_nothing_is_run(scene: Scene) -> None:
    scene.apply(2)
    before = scene.database.dump()
    scene.write(4, up={2: "SELECT 2;"})
    ended = scene.run()
    assert (ended.code, ended.report.reason) == (20, "ChecksumMismatch"), ended
    assert "2" in str(ended.report.place)
    assert scene.database.dump() == before
    scene.write(4)
    assert_nothing_lost(scene, numbers(4), ended=ended)
