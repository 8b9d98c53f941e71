"""Every server gets its share of the tests, and every test runs on the newest and on one of the others."""

from collections import Counter

import pytest
from dev.postgres.packages import MAJORS

from support.versions import left_out

ITEMS = [(f"a.py::test[postgres{major}-{case}]", {"server": major}) for case in range(500) for major in MAJORS]


def test_each_test_runs_on_the_newest_and_on_one_of_the_others() -> None:
    out = set(left_out(ITEMS, everywhere=False))
    runs = Counter(parameters["server"] for place, (_, parameters) in enumerate(ITEMS) if place not in out)
    assert runs[MAJORS[-1]] == 500
    older = [runs[major] for major in MAJORS[:-1]]
    assert sum(older) == 500
    assert min(older) > 500 // len(older) // 2


@pytest.mark.parametrize("parameters", [{}, {"server": "none"}, {"major": 15}, {"server": MAJORS[0]}])
def test_what_has_no_server_or_names_its_own_runs(parameters: dict[str, object]) -> None:
    assert not left_out([("a.py::test[postgres13]", parameters)], everywhere=False)


def test_what_names_two_servers_runs_on_both() -> None:
    named = [(f"a.py::test[postgres{major}]", {"server": major}) for major in (MAJORS[0], MAJORS[-1])]
    assert not left_out(named, everywhere=False)


def test_everything_runs_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not left_out(ITEMS, everywhere=True)
    assert left_out(ITEMS)
    monkeypatch.setenv("SERVERS", "all")
    assert not left_out(ITEMS)
