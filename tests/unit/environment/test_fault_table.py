"""Every row of the table of faults has a test, and every test names rows that are there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).parents[3]
TABLE = CHECKOUT / "docs/design/faults.md"
TESTS = CHECKOUT / "tests/faults"
_ROW = re.compile(r"^\| (\d+) \|", re.MULTILINE)


def marked(path: Path) -> Iterator[tuple[str, list[int]]]:
    """Give the tests of a module with the rows they are marked with."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            calls = (one for one in node.decorator_list if isinstance(one, ast.Call))
            rows = [one.args for one in calls if ast.unparse(one.func) == "pytest.mark.fault"]
            yield node.name, [row.value for args in rows for row in args if isinstance(row, ast.Constant)]  # type: ignore[misc]


def test_every_row_of_the_table_has_a_test_and_every_test_has_a_row() -> None:
    tests = [one for path in sorted(TESTS.glob("test_*.py")) for one in marked(path)]
    assert [name for name, rows in tests if not rows] == []
    documented = [int(row) for row in _ROW.findall(TABLE.read_text())]
    assert sorted({row for _, rows in tests for row in rows}) == documented
