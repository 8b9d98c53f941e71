"""Who works on which database, and who waits for it: first come, first served.

The lock in the database is what keeps two runs apart; this only keeps pods from being started to wait for it. It is
kept in memory, filled from the Jobs in flight when the controller starts, and knows nothing of runs by hand.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from schema_operator.controller.observation import Target
from schema_operator.controller.surroundings import Ahead

Key = tuple[str, str]
"""Namespace and name."""


@dataclass(frozen=True, slots=True)
class Place:
    """A database, by the TargetDatabase that leads there and, where a run has been there, by what the server says."""

    target: Key
    identity: tuple[str, str] | None = None
    """System identifier and name."""

    def is_same(self, other: Place) -> bool:
        """Whether two places are one database, as far as that is known."""
        return self.target == other.target or (self.identity is not None and self.identity == other.identity)


def place_of(target: Target) -> Place:
    """Give the database of a TargetDatabase."""
    status = target.status
    known = status.system_identifier and status.database
    identity = (status.system_identifier or "", status.database or "") if known else None
    return Place((target.namespace, target.name), identity)


@dataclass(slots=True)
class Line:
    """The line of every database. `woken` is called with whom must be looked at because somebody before it moved."""

    woken: Callable[[Key], None]
    _at_work: dict[Key, Place] = field(default_factory=dict)
    _since: dict[Key, float] = field(default_factory=dict)
    _waiting: dict[Key, Place] = field(default_factory=dict)
    """In the order in which they came."""

    def ahead(self, key: Key, place: Place) -> Ahead | None:
        """Give who is directly before a migration; None where it may be started."""
        before: Key | None = None
        for other, there in self._waiting.items():
            if other == key:
                break
            if there.is_same(place):
                before = other
        if before is not None:
            return Ahead(name="/".join(before), at_work=False)
        busy = next((other for other, there in self._at_work.items() if other != key and there.is_same(place)), None)
        return None if busy is None else Ahead(name="/".join(busy), at_work=True)

    def at_work(self, key: Key, place: Place) -> None:
        """Say that a run of a migration is in flight, or about to be."""
        self._since.setdefault(key, time.monotonic())
        self._at_work[key] = place
        self._leave(key, self._waiting)

    def wait(self, key: Key, place: Place) -> None:
        """Put a migration at the end of the line, unless it stands in it."""
        self._leave(key, self._at_work)
        self._waiting[key] = place

    def leave(self, key: Key) -> None:
        """Say that a migration neither works nor waits for its database."""
        self._leave(key, self._at_work)
        self._leave(key, self._waiting)

    def give_way(self, key: Key) -> None:
        """Take a migration out of the line; what is in flight stays at work."""
        self._leave(key, self._waiting)

    def seconds_at_work(self, key: Key) -> float:
        """Give for how long a run has been in flight, as far as this controller knows."""
        return time.monotonic() - self._since.get(key, -math.inf)

    def _leave(self, key: Key, those: dict[Key, Place]) -> None:
        if key not in those:
            return
        place = those[key]
        behind = _after(key, self._waiting, place) if those is self._waiting else _after(None, self._waiting, place)
        del those[key]
        if those is self._at_work:
            self._since.pop(key, None)
        if behind is not None:
            self.woken(behind)


def _after(key: Key | None, waiting: Mapping[Key, Place], place: Place) -> Key | None:
    """Give the next one at a place that waits behind `key`; the first of all where that is None."""
    passed = key is None
    for other, there in waiting.items():
        if passed and there.is_same(place):
            return other
        passed = passed or other == key
    return None
