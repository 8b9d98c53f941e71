"""No decision of a run reads a clock that can jump: durations are monotonic, dates are the server's."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[3] / "operator/schema_operator"
RUNNER = ("runner", "postgres", "history", "scripts", "cli/run.py")
"""What a run is made of."""
JUMPING = {
    "time.time",
    "time.time_ns",
    "time.localtime",
    "time.gmtime",
    "datetime.now",
    "datetime.utcnow",
    "date.today",
}
LINES_OF_THE_LOG = ("report.py", "datetime.now")
"""The only use: the date of a line, for people."""


def sources() -> Iterator[Path]:
    for name in RUNNER:
        path = PACKAGE / name
        yield from path.rglob("*.py") if path.is_dir() else [path]


def uses(path: Path) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in JUMPING:
            yield path.name, ast.unparse(node)


def test_only_the_log_reads_the_clock() -> None:
    assert [use for path in sources() for use in uses(path)] == [LINES_OF_THE_LOG]
