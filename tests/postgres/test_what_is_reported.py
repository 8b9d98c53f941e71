"""What a run tells while it is at work and at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from schema_operator.api import report as reports
from support.postgres import Database, Product, write

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.postgres


def test_progress_is_not_a_flood(product: Product, database: Database, tmp_path: Path) -> None:
    statements = "\n".join(f"CREATE TABLE t{number} ();" for number in range(300))
    ended = product.run("--scripts", write(tmp_path / "a", {"1_x.up.sql": statements}))
    assert ended.code == 0
    applying = [line for line in ended.progress if line.step == "Applying"]
    assert 1 <= len(applying) <= 10 * (ended.report.seconds + 1)
    assert applying[0].statements == 300
    assert len(database.relations()) == 300


def test_the_report_is_a_termination_message_too(product: Product, database: Database, tmp_path: Path) -> None:
    path = tmp_path / "termination-log"
    folder = write(tmp_path / "a", {"1_x.up.sql": "SELECT nothing_like_it;"})
    ended = product.run("--scripts", folder, "--termination-log", path)
    assert ended.code == 21
    assert ended.report.run.startswith("laptop-")
    assert reports.decode(path.read_bytes()) == ended.report
    assert path.stat().st_size <= 4096
    assert database.versions() == []


GRANT = "SET ROLE pg_monitor; GRANT SELECT ON item TO PUBLIC;"
NOTHING_GRANTED = 'the server says: no privileges were granted for "item"'


@pytest.mark.parametrize("neighbours", [0, 2], ids=["by itself", "sent together with others"])
def test_what_the_server_warns_of_is_said_and_what_scripts_raise_is_not(
    product: Product, database: Database, tmp_path: Path, neighbours: int
) -> None:
    database.execute("CREATE TABLE item (); GRANT SELECT ON item TO pg_monitor;")
    loud = "DO $$BEGIN RAISE WARNING 'canary'; PERFORM pg_advisory_unlock(7); END$$;"
    files = {"1_a.up.sql": loud, "2_b.up.sql": GRANT, **{f"{3 + n}_c.up.sql": "SELECT 1;" for n in range(neighbours)}}
    folder = write(tmp_path / "a", files)
    ended = product.run("--scripts", folder)
    assert ended.code == 0, ended
    assert ended.report.message.endswith(f"Warning: {NOTHING_GRANTED}.")
    said = [line for line in ended.progress if line.message.startswith("warning")]
    assert [(line.step, line.message) for line in said] == [("Applying", f"warning: {NOTHING_GRANTED}")]
    assert "canary" not in ended.stdout + ended.stderr
    assert "lock of type" not in ended.stdout
    assert "Warning" not in product.run("--scripts", folder).report.message


def test_notes_about_the_scripts_are_all_said(product: Product, tmp_path: Path) -> None:
    files = {"1_a.up.sql": "SELECT 1;", "1_a.down.sql": "SELECT 1;", "2_b.up.sql": "SELECT 1;", "README.md": ""}
    ended = product.run("--scripts", write(tmp_path / "a", files), "--var", "unused=1")
    notes = [line.message.partition(":")[0] for line in ended.progress if line.step == "Planning"]
    assert notes[:3] == [
        "ignored, because they are no scripts",
        "without a down script, so without a way back",
        "declared, but used by no script",
    ]
