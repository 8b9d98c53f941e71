"""Every row of the table of faults has a test, and every test names rows that are there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).parents[3]
TABLE = CHECKOUT / "docs/design/faults.md"
TESTS = CHECKOUT / "tests"
OF_THE_CLUSTER = "## The controller and the cluster"
_ROW = re.compile(r"^\| (\d+) \|", re.MULTILINE)
_PROVED = re.compile(r"^\| (\d+) \|.*\| ([^|]+) \|$", re.MULTILINE)


def marked(path: Path) -> Iterator[tuple[str, list[int]]]:
    """Give the tests of a module with the rows they are marked with."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            calls = (one for one in node.decorator_list if isinstance(one, ast.Call))
            rows = [one.args for one in calls if ast.unparse(one.func) == "pytest.mark.fault"]
            yield node.name, [row.value for args in rows for row in args if isinstance(row, ast.Constant)]  # type: ignore[misc]


def marked_in(folder: Path) -> list[tuple[str, list[int]]]:
    return [one for path in sorted(folder.rglob("test_*.py")) for one in marked(path)]


def test_every_row_of_the_runner_has_a_test_and_every_test_has_a_row() -> None:
    found = marked_in(TESTS / "faults")
    assert [name for name, rows in found if not rows] == []
    documented = [int(row) for row in _ROW.findall(TABLE.read_text().partition(OF_THE_CLUSTER)[0])]
    assert sorted({row for _, rows in found for row in rows}) == documented


def test_every_row_of_the_cluster_names_the_tests_that_prove_it() -> None:
    runner, _, cluster = TABLE.read_text().partition(OF_THE_CLUSTER)
    of_the_runner = {int(row) for row in _ROW.findall(runner)}
    documented = {int(row): sorted(re.findall(r"`(\w+)`", names)) for row, names in _PROVED.findall(cluster)}
    proved: dict[int, list[str]] = {}
    for folder in ("cluster", "postgres", "unit"):
        for name, rows in marked_in(TESTS / folder):
            for row in set(rows) - of_the_runner:
                proved.setdefault(row, []).append(name)
    assert documented == {row: sorted(names) for row, names in proved.items()}
