"""How many rows a batch takes and how long to rest after it, as tables."""

from __future__ import annotations

import pytest

from schema_operator.api.request import BatchLimits
from schema_operator.runner.pace import Log, Rest, first_size, next_size, rest

LIMITS = BatchLimits(target_seconds=0.1, min_size=10, max_size=5000, max_lag_seconds=4.0, pause_seconds=0.5)

SIZES = {
    "as long as wanted": (1000, 0.1, 1000),
    "a little too fast": (1000, 0.08, 1250),
    "a little too slow": (1000, 0.125, 800),
    "much too fast grows step by step": (1000, 0.001, 2000),
    "in no time at all": (1000, 0.0, 2000),
    "much too slow shrinks step by step": (1000, 60.0, 250),
    "never above the most": (4000, 0.01, 5000),
    "never below the least": (20, 60.0, 10),
    "one that was smaller than the least, because no more were left": (3, 60.0, 10),
}


@pytest.mark.parametrize(("size", "seconds", "wanted"), SIZES.values(), ids=SIZES)
def test_a_batch_lasts_about_as_long_as_wanted(size: int, seconds: float, wanted: int) -> None:
    assert next_size(size, seconds, LIMITS) == wanted


def test_the_size_settles_where_a_batch_takes_as_long_as_wanted() -> None:
    size = first_size(LIMITS)
    for _ in range(10):
        size = next_size(size, size * 0.00004, LIMITS)
    assert size == 2500


@pytest.mark.parametrize(("least", "most", "size"), [(10, 5000, 1000), (10, 50, 50), (3000, 5000, 3000)])
def test_the_first_batch_is_within_the_limits(least: int, most: int, size: int) -> None:
    assert first_size(BatchLimits(min_size=least, max_size=most)) == size


def log(*samples: tuple[float, int]) -> Log:
    made = Log()
    for now, position in samples:
        made.note(now, position)
    return made


LAGS = {
    "nothing is known yet": (log(), 100, 0.0),
    "all is replayed": (log((10.0, 100), (11.0, 200)), 200, 0.0),
    "more is replayed than was seen": (log((10.0, 100)), 300, 0.0),
    "the last is missing": (log((10.0, 100), (11.0, 200)), 150, 9.0),
    "all is missing": (log((10.0, 100), (11.0, 200)), 50, 10.0),
    "nothing was written since": (log((10.0, 100), (15.0, 100)), 100, 0.0),
    "what came shortly after is as old as what came next": (log((10.0, 100), (10.01, 150), (11.0, 200)), 120, 9.0),
}


@pytest.mark.parametrize(("known", "replayed", "lag"), LAGS.values(), ids=LAGS)
def test_a_standby_is_as_late_as_the_oldest_that_it_has_not_replayed(known: Log, replayed: int, lag: float) -> None:
    assert known.lag(20.0, replayed) == lag


def test_the_lag_grows_while_nothing_is_replayed_and_goes_when_it_is() -> None:
    known = log((10.0, 100), (11.0, 200))
    assert [known.lag(now, 100) for now in (11.0, 12.0, 60.0)] == [0.0, 1.0, 49.0]
    known.forget(200)
    assert known.lag(60.0, 100) == 0.0


@pytest.mark.parametrize("began", [0.0, 0.1, 1.0, 15_123.4, 15_123.456789, 1e6, 1e9], ids=str)
def test_the_first_sample_is_kept_whenever_it_comes(began: float) -> None:
    assert log((began, 100)).lag(began + 8.0, 99) == 8.0


def test_many_samples_are_not_kept_for_ever() -> None:
    known = Log()
    for number in range(10_000):
        known.note(float(number), number + 1)
    assert len(known._samples) == 4096
    # What is older than all that is kept is at least that late.
    assert known.lag(10_000.0, 1) == 10_000.0 - (10_000 - 4096)


RESTS = {
    "nothing is in the way": ({}, "", Rest(0.5)),
    "a standby that keeps up": ({"a": 2.0}, "", Rest(0.5)),
    "a standby that is late": (
        {"a": 1.0, "b": 2.1},
        "",
        Rest(0.1, waits=True, why="waiting for the standby b, which is 2.1 s behind (4 s are allowed)"),
    ),
    "an old transaction": (
        {"a": 1.0},
        "session 7",
        Rest(6.5, why="slower while a transaction is open for long: session 7"),
    ),
    "both": (
        {"a": 9.0},
        "session 7",
        Rest(0.1, waits=True, why="waiting for the standby a, which is 9.0 s behind (4 s are allowed)"),
    ),
}


@pytest.mark.parametrize(("lags", "old", "wanted"), RESTS.values(), ids=RESTS)
def test_batches_rest_for_those_who_are_late(lags: dict[str, float], old: str, wanted: Rest) -> None:
    assert rest(lags, old, 2.0, LIMITS) == wanted
