"""No row of the list of bad inputs is without a test."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from support.bad_input_resources import CONNECTIONS, SCRIPTS
from support.bad_input_rows import BEFORE_CONNECTING, BY_THE_CONNECTION, BY_THE_SERVER, IN_THE_HISTORY
from support.marks import marked_in

TESTS: Final = Path(__file__).parents[1]
HERE: Final = {17, 18}
"""Rows of tests/postgres/test_bad_inputs.py that are in no table."""
ELSEWHERE: Final = {
    1: ("cluster/test_bad_input.py", "test_the_api_server_refuses_at_once"),
    2: ("cluster/test_bad_input.py", "test_the_api_server_refuses_at_once"),
    9: ("postgres/test_refusals.py", "test_credentials_come_from_mounted_secrets"),
    10: ("cluster/test_bad_input.py", "another namespace"),
    29: ("unit/controller/test_jobs.py", "TOO_LARGE"),
    45: ("postgres/test_in_parts.py", "test_if_not_exists_does_not_take_an_invalid_index_for_the_one_that_is_wanted"),
    50: ("cluster/test_bad_input.py", "test_the_api_server_refuses_a_bad_target"),
}
OF_THE_CONTROLLER: Final = {1, 2, 4, 5, 6, 7, 8, 9, 10, 16, 17, 18, 29, 44, 50}
"""What the controller or the API server answers, or what a resource shows in its own way: also proved in a cluster."""
LATER: Final = {
    42: "the pre-update checks",
    43: "the pre-update checks",
    49: "notifications",
}
"""Rows whose part of the product is not there."""


def _rows() -> set[int]:
    tables = (BEFORE_CONNECTING, IN_THE_HISTORY, BY_THE_SERVER, BY_THE_CONNECTION)
    return {bad.row for table in tables for bad in table.values() if bad.row is not None}


def test_every_row_is_tested_somewhere_and_only_once_said_where() -> None:
    found = _rows() | HERE
    assert found | set(ELSEWHERE) | set(LATER) == set(range(1, 51))
    assert not found & (set(ELSEWHERE) | set(LATER))


@pytest.mark.parametrize(("file", "name"), ELSEWHERE.values(), ids=map(str, ELSEWHERE))
def test_the_place_elsewhere_exists(file: str, name: str) -> None:
    assert name in (TESTS / file).read_text()


def test_the_rows_of_the_controller_are_proved_in_a_cluster_by_the_tests_that_say_so() -> None:
    marked = {name: set(rows) for name, rows in marked_in(TESTS / "cluster", "bad_input") if rows}
    assert set.union(*marked.values()) >= OF_THE_CONTROLLER
    for test, table in (("scripts", SCRIPTS), ("connections", CONNECTIONS)):
        (rows,) = [rows for name, rows in marked.items() if name.startswith(f"test_bad_{test}_")]
        assert rows == {bad.row for bad in table.values()} - {None}
