"""Durations, as resources and options write them."""

import re

import pytest

from schema_operator.api.duration import PATTERN, POSITIVE_PATTERN, parse, seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("500ms", 0.5),
        ("2s", 2.0),
        ("1m", 60.0),
        ("1h30m", 5400.0),
        ("0s", 0.0),
        ("0", 0.0),
        ("30", 30.0),
        ("0.25", 0.25),
        ("99999999999999999h", 366 * 86_400.0),
    ],
)
def test_a_duration_is_read_in_gos_form_or_as_seconds(text: str, expected: float) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize("text", ["", "x", "s", "-1", "nan", "inf", "1.5s", "1 s", "2d", "1s ", "1e12", "1s2"])
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "form", "positive"),
    [
        ("100ms", True, True),
        ("010s", True, True),
        ("0m1s", True, True),
        ("1s0ms", True, True),
        ("0s", True, False),
        ("0h0m", True, False),
        ("00ms", True, False),
        ("1", False, False),
        ("", False, False),
        ("1.5s", False, False),
        ("s", False, False),
    ],
)
def test_the_patterns_of_the_resources(text: str, form: bool, positive: bool) -> None:
    assert bool(re.search(PATTERN, text)) is form
    assert bool(re.search(POSITIVE_PATTERN, text)) is positive
    assert not positive or seconds(text) > 0
