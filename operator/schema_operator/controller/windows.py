"""Maintenance windows and freezes: may a run begin now, and if not, when? Pure; every instant is given.

A window opens at the times of a cron expression, read in its own time zone, and is open for its duration, which is
counted in real time: a window of two hours is two hours long in the night the clocks change, too. A time of day that
such a night skips opens at the time it is skipped to, one that it repeats opens once (cronsim's rules, which are those
of Debian's cron). Freezes are taken away from windows; without windows, it is open whenever there is no freeze.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from schema_operator.api.duration import seconds
from schema_operator.api.target_database import Freeze, Window

FIELDS = 5
"""Minute, hour, day of month, month, day of week; cronsim would take a sixth, of seconds."""
OPENINGS = 1000
"""How many openings of one window are looked at: of a daily one, the next two years and a half."""
HORIZON = timedelta(days=366 * 5)
"""How far ahead is looked at all: the 29th of February comes in less."""
NAMED = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
"""Names of schedules, as crontab(5) has them."""


class InvalidWindow(Exception):
    """A schedule, a time zone or a freeze that cannot be read; the message says which, and what is wrong."""


@dataclass(frozen=True, slots=True)
class Span:
    """From one instant up to another; `end` is none of it."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Opening:
    """Whether a run that needs some time may begin now."""

    until: datetime | None = None
    """Open until then; absent where it is closed, or open without an end."""
    next: datetime | None = None
    """Closed, and open from then on for long enough; absent where it is open, or never is for that long."""
    open: bool = False
    frozen: str | None = None
    """The reason of the freeze that is on now."""
    longest: timedelta | None = None
    """The longest span that was found where none is long enough."""


def opening(
    windows: Iterable[Window], freezes: Iterable[Freeze], now: datetime, need: timedelta = timedelta()
) -> Opening:
    """Tell whether a run that takes `need` may begin now, and otherwise when; raises `InvalidWindow`."""
    closed = [_freeze(freeze) for freeze in freezes]
    frozen = next((reason for span, reason in closed if span.start <= now < span.end), None)
    spans = _without(_joined(_spans(windows, now)), sorted((span for span, _ in closed), key=lambda span: span.start))
    longest: timedelta | None = None
    for span in spans:
        start = max(span.start, now)
        if span.end <= now:
            continue
        if span.end - start >= max(need, timedelta(microseconds=1)):
            until = None if span.end == _FOREVER else span.end
            return Opening(open=True, until=until) if start == now else Opening(next=start, frozen=frozen)
        longest = max(span.end - start, longest or timedelta())
    return Opening(frozen=frozen, longest=longest)


_PAST = datetime.min.replace(tzinfo=UTC)
_FOREVER = datetime.max.replace(tzinfo=UTC)


def _spans(windows: Iterable[Window], now: datetime) -> Iterator[Span]:
    each = [_openings(window, now) for window in windows]
    if not each:
        return iter([Span(_PAST, _FOREVER)])
    return heapq.merge(*each, key=lambda span: span.start)


def _openings(window: Window, now: datetime) -> Iterator[Span]:
    """Give the spans of one window, from the one that may have begun before now."""
    length = timedelta(seconds=seconds(window.duration))
    try:
        zone = ZoneInfo(window.time_zone)
    except (KeyError, ValueError, OSError):
        # ZoneInfo raises each of these for a name that is none; OSError for that of a folder, such as Europe.
        raise InvalidWindow(
            f"the time zone {window.time_zone} of a window is not known; write it as the IANA database has it, "
            "for example Europe/Berlin or UTC"
        ) from None
    # A day earlier: where the clocks change, a time of day is not a safe distance from another.
    times = _times(window.schedule, (now - length - timedelta(days=1)).astimezone(zone))
    starts = (time.astimezone(UTC) for time in times)
    return _until(now + HORIZON, (Span(start, start + length) for start in starts), now)


def _times(schedule: str, after: datetime) -> CronSim:
    expression = NAMED.get(schedule.lower(), schedule)
    fields = len(expression.split())
    wrong = "" if fields == FIELDS else f"it has {fields} fields instead of {FIELDS}"
    try:
        if not wrong:
            return CronSim(expression, after)
    except CronSimError as error:
        wrong = str(error)
    raise InvalidWindow(
        f"the schedule {schedule} of a window is no cron expression ({wrong}); write minute, hour, day of month, month "
        "and day of week, for example 0 22 * * SAT"
    )


def _until(horizon: datetime, spans: Iterator[Span], now: datetime) -> Iterator[Span]:
    try:
        for span in islice((one for one in spans if one.end > now), OPENINGS):
            if span.start > horizon:
                return
            yield span
    except CronSimError:
        return  # no time within fifty years


def _freeze(freeze: Freeze) -> tuple[Span, str]:
    try:
        start, end = datetime.fromisoformat(freeze.from_), datetime.fromisoformat(freeze.until)
    except ValueError as error:
        raise InvalidWindow(f"a freeze has a time that cannot be read: {error}") from None
    if start >= end:
        raise InvalidWindow(f"a freeze begins at {freeze.from_} and ends at {freeze.until}, which is not later")
    return Span(start, end), freeze.reason


def _joined(spans: Iterator[Span]) -> Iterator[Span]:
    """Join spans that touch or overlap; they come in the order of their starts."""
    current: Span | None = None
    for span in spans:
        if current is None:
            current = span
        elif span.start <= current.end:
            current = Span(current.start, max(current.end, span.end))
        else:
            yield current
            current = span
    if current is not None:
        yield current


def _without(spans: Iterator[Span], closed: list[Span]) -> Iterator[Span]:
    """Take freezes, in the order of their starts, out of spans."""
    for span in spans:
        start = span.start
        for freeze in closed:
            if freeze.end <= start or freeze.start >= span.end:
                continue
            if freeze.start > start:
                yield Span(start, freeze.start)
            start = max(start, freeze.end)
        if start < span.end:
            yield Span(start, span.end)
