"""Every row of the table of faults has a test, and every test names rows that are there."""

from __future__ import annotations

import re
from pathlib import Path

from support.marks import marked_in

CHECKOUT = Path(__file__).parents[3]
TABLE = CHECKOUT / "docs/design/faults.md"
TESTS = CHECKOUT / "tests"
OF_THE_CLUSTER = "## The controller and the cluster"
_ROW = re.compile(r"^\| (\d+) \|", re.MULTILINE)
_PROVED = re.compile(r"^\| (\d+) \|.*\| ([^|]+) \|$", re.MULTILINE)


def test_every_row_of_the_runner_has_a_test_and_every_test_has_a_row() -> None:
    found = marked_in(TESTS / "faults", "fault")
    assert [name for name, rows in found if not rows] == []
    documented = [int(row) for row in _ROW.findall(TABLE.read_text().partition(OF_THE_CLUSTER)[0])]
    assert sorted({row for _, rows in found for row in rows}) == documented


def test_every_row_of_the_cluster_names_the_tests_that_prove_it() -> None:
    runner, _, cluster = TABLE.read_text().partition(OF_THE_CLUSTER)
    of_the_runner = {int(row) for row in _ROW.findall(runner)}
    documented = {int(row): sorted(re.findall(r"`(\w+)`", names)) for row, names in _PROVED.findall(cluster)}
    proved: dict[int, list[str]] = {}
    for folder in ("cluster", "postgres", "unit"):
        for name, rows in marked_in(TESTS / folder, "fault"):
            for row in set(rows) - of_the_runner:
                proved.setdefault(row, []).append(name)
    assert documented == {row: sorted(names) for row, names in proved.items()}
