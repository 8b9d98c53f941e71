"""Every server gets its share of the tests, and every test runs on three servers."""

from collections import Counter

import pytest
from dev.postgres.packages import MAJORS

from support.versions import chosen

TESTS = [f"test_{number}[postgres%d-case {number}]" for number in range(400)]


def test_each_test_runs_on_the_oldest_the_newest_and_one_between() -> None:
    runs = Counter(
        major for test in TESTS for major in MAJORS if chosen(test % major, {"server": major}, everywhere=False)
    )
    assert runs[MAJORS[0]] == runs[MAJORS[-1]] == len(TESTS)
    between = [runs[major] for major in MAJORS[1:-1]]
    assert sum(between) == len(TESTS)
    assert min(between) > len(TESTS) // len(between) // 2


@pytest.mark.parametrize("parameters", [{}, {"server": "none"}, {"major": 15}])
def test_what_has_no_server_runs(parameters: dict[str, object]) -> None:
    assert chosen("test_it", parameters, everywhere=False)


def test_everything_runs_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(chosen(test % major, {"server": major}, everywhere=True) for test in TESTS for major in MAJORS)
    monkeypatch.setenv("SERVERS", "all")
    assert all(chosen(test % major, {"server": major}) for test in TESTS for major in MAJORS)
