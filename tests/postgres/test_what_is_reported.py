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
