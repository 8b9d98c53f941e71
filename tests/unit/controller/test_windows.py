"""Maintenance windows and freezes as tables of instants."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schema_operator.api.target_database import Freeze, Window
from schema_operator.controller.windows import InvalidWindow, opening


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def window(schedule: str, duration: str = "2h", zone: str = "UTC") -> Window:
    return Window(schedule=schedule, duration=duration, time_zone=zone)


def freeze(start: str, until: str, reason: str = "year end") -> Freeze:
    return Freeze.model_validate({"from": start, "until": until, "reason": reason})


SATURDAY = [window("0 22 * * SAT")]
BERLIN = [window("30 2 * * *", "1h", "Europe/Berlin")]
NEW_YORK = [window("30 1 * * *", "1h", "America/New_York")]
XMAS = [freeze("2026-12-20T00:00:00Z", "2027-01-03T00:00:00Z")]

# Each line: windows, freezes, now, how long the run takes; then "open until" or "closed until" with an instant.
CASES: list[tuple[str, list[Window], list[Freeze], str, str, str]] = [
    ("no windows, no freezes", [], [], "2026-11-28T12:00:00Z", "0m", "open"),
    ("before a window", SATURDAY, [], "2026-11-28T21:59:59Z", "0m", "closed until 2026-11-28T22:00Z"),
    ("at its first instant", SATURDAY, [], "2026-11-28T22:00:00Z", "0m", "open until 2026-11-29T00:00Z"),
    ("in its last second", SATURDAY, [], "2026-11-28T23:59:59Z", "0m", "open until 2026-11-29T00:00Z"),
    ("at its end", SATURDAY, [], "2026-11-29T00:00:00Z", "0m", "closed until 2026-12-05T22:00Z"),
    ("it fits exactly", SATURDAY, [], "2026-11-28T23:00:00Z", "1h", "open until 2026-11-29T00:00Z"),
    ("too late to fit", SATURDAY, [], "2026-11-28T23:00:01Z", "1h", "closed until 2026-12-05T22:00Z"),
    ("it never fits", SATURDAY, [], "2026-11-28T22:00:00Z", "3h", "never, 2:00:00"),
    ("a freeze alone", [], XMAS, "2026-12-24T12:00:00Z", "0m", "closed until 2027-01-03T00:00Z, year end"),
    ("before a freeze", [], XMAS, "2026-12-19T12:00:00Z", "0m", "open until 2026-12-20T00:00Z"),
    (
        "a run that would reach into a freeze",
        [],
        XMAS,
        "2026-12-19T23:00:00Z",
        "2h",
        "closed until 2027-01-03T00:00Z",
    ),
    ("after a freeze", [], XMAS, "2027-01-03T00:00:00Z", "0m", "open"),
    (
        "a freeze over the next two openings",
        SATURDAY,
        XMAS,
        "2026-12-21T12:00:00Z",
        "0m",
        "closed until 2027-01-09T22:00Z, year end",
    ),
    (
        "a freeze that begins in a window",
        SATURDAY,
        [freeze("2026-11-28T23:00:00Z", "2026-11-30T00:00:00Z")],
        "2026-11-28T22:30:00Z",
        "0m",
        "open until 2026-11-28T23:00Z",
    ),
    (
        "a freeze that ends in a window",
        SATURDAY,
        [freeze("2026-11-28T00:00:00Z", "2026-11-28T23:00:00Z")],
        "2026-11-28T22:30:00Z",
        "0m",
        "closed until 2026-11-28T23:00Z, year end",
    ),
    (
        "freezes that overlap, the longer one first",
        [],
        [*XMAS, freeze("2026-12-22T00:00:00Z", "2026-12-23T00:00:00Z", "audit")],
        "2026-12-22T12:00:00Z",
        "0m",
        "closed until 2027-01-03T00:00Z, year end",
    ),
    (
        "two windows that touch are one",
        [window("0 22 * * SAT"), window("0 0 * * SUN", "1h")],
        [],
        "2026-11-28T23:00:00Z",
        "2h",
        "open until 2026-11-29T01:00Z",
    ),
    (
        "two windows that overlap, the second inside of the first",
        [window("0 22 * * SAT", "6h"), window("0 23 * * SAT", "1h")],
        [],
        "2026-11-29T01:00:00Z",
        "0m",
        "open until 2026-11-29T04:00Z",
    ),
    (
        "a window that opens again before it ends is always open",
        [window("0 0 * * *", "25h")],
        [],
        "2026-11-28T23:59:59Z",
        "100h",
        "open until long after",
    ),
    (
        "a window over midnight",
        [window("0 23 * * *", "3h")],
        [],
        "2026-11-29T01:30:00Z",
        "0m",
        "open until 2026-11-29T02:00Z",
    ),
    (
        "a window of a week",
        [window("0 0 * * MON", "160h")],
        [],
        "2026-11-28T12:00:00Z",
        "0m",
        "open until 2026-11-29T16:00Z",
    ),
    (
        "the last Friday",
        [window("0 20 * * 5L")],
        [],
        "2026-11-28T12:00:00Z",
        "0m",
        "closed until 2026-12-25T20:00Z",
    ),
    (
        "the 29th of February",
        [window("0 0 29 2 *")],
        [],
        "2026-11-28T12:00:00Z",
        "0m",
        "closed until 2028-02-29T00:00Z",
    ),
    ("by name", [window("@daily")], [], "2026-11-28T01:00:00Z", "0m", "open until 2026-11-28T02:00Z"),
    # Berlin, 29 March 2026: 02:00 becomes 03:00. 02:30 does not exist; it opens once, at 03:00, which is 01:00 UTC.
    ("spring, before", BERLIN, [], "2026-03-29T00:45:00Z", "0m", "closed until 2026-03-29T01:00Z"),
    ("spring, open", BERLIN, [], "2026-03-29T01:59:59Z", "0m", "open until 2026-03-29T02:00Z"),
    ("spring, over", BERLIN, [], "2026-03-29T02:00:00Z", "0m", "closed until 2026-03-30T00:30Z"),
    # Berlin, 25 October 2026: 03:00 becomes 02:00. 02:30 is there twice; it opens once, at the first, 00:30 UTC.
    ("autumn, before", BERLIN, [], "2026-10-25T00:29:59Z", "0m", "closed until 2026-10-25T00:30Z"),
    ("autumn, open", BERLIN, [], "2026-10-25T01:29:59Z", "0m", "open until 2026-10-25T01:30Z"),
    ("autumn, not again", BERLIN, [], "2026-10-25T01:30:00Z", "0m", "closed until 2026-10-26T01:30Z"),
    # A window over the whole night is as long as it says, so it ends at another time of day.
    (
        "autumn, six hours are six hours",
        [window("0 23 * * *", "6h", "Europe/Berlin")],
        [],
        "2026-10-25T02:59:59Z",
        "0m",
        "open until 2026-10-25T03:00Z",
    ),
    ("New York is another night", NEW_YORK, [], "2026-11-01T05:00:00Z", "0m", "closed until 2026-11-01T05:30Z"),
    (
        "New York, autumn, not again",
        NEW_YORK,
        [],
        "2026-11-01T06:30:00Z",
        "0m",
        "closed until 2026-11-02T06:30Z",
    ),
]


@pytest.mark.parametrize(
    ("windows", "freezes", "now", "need", "expected"), [row[1:] for row in CASES], ids=[row[0] for row in CASES]
)
def test_when_a_run_may_begin(windows: list[Window], freezes: list[Freeze], now: str, need: str, expected: str) -> None:
    takes = timedelta(**{{"m": "minutes", "h": "hours"}[need[-1]]: int(need[:-1])})
    found = opening(windows, freezes, at(now), takes)
    if expected == "open until long after":
        assert found.until is not None
        assert found.until - at(now) > timedelta(days=300)
        return
    said = "open" if found.open else "closed"
    when = found.until if found.open else found.next
    if not found.open and found.next is None:
        said = f"never, {found.longest}"
    reason = f", {found.frozen}" if found.frozen else ""
    assert said + (f" until {when:%Y-%m-%dT%H:%MZ}" if when else "") + reason == expected


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
def test_what_opens_next_is_open_then_and_not_before(zone: str) -> None:
    """Over the nights of a year in which clocks change, from every half of an hour."""
    windows = [window("15 2 * * *", "90m", zone), window("0 1 * * SUN", "3h", zone)]
    for month, day in ((3, 7), (3, 28), (4, 4), (10, 3), (10, 24), (10, 31)):
        now = datetime(2026, month, day, tzinfo=UTC)
        while now < datetime(2026, month, day, tzinfo=UTC) + timedelta(days=2):
            found = opening(windows, [], now)
            assert found.open != (found.next is not None)
            if found.next is not None:
                assert found.next > now
                assert opening(windows, [], found.next).open
                assert not opening(windows, [], found.next - timedelta(seconds=1)).open
            elif found.until is not None:
                assert not opening(windows, [], found.until).open
                assert opening(windows, [], found.until - timedelta(seconds=1)).open
            now += timedelta(minutes=30)


INVALID: list[tuple[str, Any, str]] = [
    ("no cron expression", window("every night"), "every night of a window is no cron expression (it has 2 fields"),
    ("six fields", window("0 0 0 * * *"), "it has 6 fields instead of 5"),
    ("a minute that is none", window("60 0 * * *"), "is no cron expression (Bad minute)"),
    ("a day that never comes", window("0 0 31 2 *"), "is no cron expression (Bad day-of-month)"),
    (
        "a zone that is none",
        window("0 0 * * *", zone="Europe/Bonn"),
        "the time zone Europe/Bonn of a window is not",
    ),
    ("a zone that is a folder", window("0 0 * * *", zone="Europe"), "the time zone Europe of a window is not"),
    (
        "a zone that leads away",
        window("0 0 * * *", zone="../passwd"),
        "the time zone ../passwd of a window is not",
    ),
    (
        "a freeze that ends too early",
        freeze("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"),
        "which is not later",
    ),
]


@pytest.mark.parametrize(("item", "sentence"), [row[1:] for row in INVALID], ids=[row[0] for row in INVALID])
def test_what_cannot_be_read_is_said(item: Any, sentence: str) -> None:
    windows, freezes = ([item], []) if isinstance(item, Window) else ([], [item])
    with pytest.raises(InvalidWindow) as raised:
        opening(windows, freezes, at("2026-11-28T12:00:00Z"))
    assert sentence in str(raised.value)
