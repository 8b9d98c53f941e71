"""Which rows of a list the tests say that they prove, read without running them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path


def marked_in(folder: Path, mark: str) -> list[tuple[str, list[int]]]:
    """Give the tests of a folder with the rows they are marked with, `mark` being `fault` or `bad_input`."""
    return [one for path in sorted(folder.rglob("test_*.py")) for one in _marked(path, mark)]


def _marked(path: Path, mark: str) -> Iterator[tuple[str, list[int]]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            calls = (one for one in node.decorator_list if isinstance(one, ast.Call))
            rows = [one.args for one in calls if ast.unparse(one.func) == f"pytest.mark.{mark}"]
            yield node.name, [row.value for args in rows for row in args if isinstance(row, ast.Constant)]  # type: ignore[misc]
