"""The disk is full while something is copied that a script is about to destroy, or while it is put back."""

from __future__ import annotations

import pytest

from support.disk import Tablespace
from support.faults import Scene, assert_nothing_lost, numbers

pytestmark = pytest.mark.postgres

FREE_KIBIBYTES = 64
BIG = (
    "CREATE TABLE big (id int PRIMARY KEY, filler text);"
    "INSERT INTO big SELECT n, repeat('x', 1000) FROM generate_series(1, 2000) AS n"
)
SUM = "SELECT count(*), sum(length(filler)) FROM big"
DESTROYS = {
    "a column": "ALTER TABLE big DROP filler;",
    "a table": "DROP TABLE big;",
    "truncated rows": "TRUNCATE big;",
    "deleted rows": "DELETE FROM big;",
}


@pytest.mark.fault(27)
@pytest.mark.parametrize("script", DESTROYS.values(), ids=DESTROYS.keys())
def test_the_disk_is_full_while_something_is_archived(tablespace: Tablespace, scene: Scene, script: str) -> None:
    # The tablespace is made before the database and so dropped after it; archives go where new tables go.
    scene.database.execute(BIG)
    scene.apply(1)
    scene.database.execute(f"ALTER DATABASE {scene.database.name} SET default_tablespace = {tablespace.name}")
    filler = tablespace.disk.fill(FREE_KIBIBYTES)
    scene.write(3, up={2: script})
    ended = scene.run()
    assert (ended.code, ended.report.reason) == (21, "DiskFull"), ended
    assert "there is no room to archive what this statement destroys: could not" in ended.report.message
    assert ended.report.place is not None
    assert (ended.report.place.version, ended.report.place.sqlstate) == ("2", "53100")
    assert scene.state().history == numbers(1)
    assert scene.database.rows(SUM) == [(2000, 2_000_000)], "nothing is destroyed"
    assert scene.database.value("SELECT count(*) FROM schema_operator.archives") == 0
    filler.unlink()
    assert_nothing_lost(scene, numbers(3), ended=ended)
    assert scene.database.value("SELECT rows FROM schema_operator.archives") == 2000


@pytest.mark.fault(27)
def test_the_disk_is_full_while_rows_are_put_back(tablespace: Tablespace, scene: Scene) -> None:
    scene.database.execute(BIG)
    scene.write(2, up={2: "TRUNCATE big;"})
    assert scene.run().code == 0
    scene.database.execute(f"ALTER TABLE big SET TABLESPACE {tablespace.name}")
    filler = tablespace.disk.fill(FREE_KIBIBYTES)
    ended = scene.run("--version", "1")
    assert (ended.code, ended.report.reason) == (21, "DiskFull"), ended
    assert scene.state().history == numbers(2)
    assert scene.database.rows(SUM) == [(0, None)]
    filler.unlink()
    ended = scene.run("--version", "1")
    assert ended.code == 0, ended
    assert scene.database.rows(SUM) == [(2000, 2_000_000)]
