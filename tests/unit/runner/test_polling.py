"""Waiting without a flood of lines."""

from __future__ import annotations

from schema_operator.runner.polling import Lines


def test_a_line_is_due_when_what_is_waited_for_changes_and_every_five_seconds() -> None:
    lines = Lines()
    asked = [("a", 0.0), ("a", 0.05), ("a", 4.9), ("b", 4.95), ("b", 9.9), ("b", 9.96), ("a", 9.97), ("a", 9.98)]
    assert [lines.due(*one) for one in asked] == [True, False, False, True, False, True, True, False]
