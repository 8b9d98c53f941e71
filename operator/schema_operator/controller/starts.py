"""How many runs may be starting at once, over all databases: who came first is first.

Two hundred pods that start together on a small node take longer than one after the other, and the servers beside them
are starved: runs would fail because nobody answers in time. A run counts until its container runs, so one that takes
hours keeps nobody away; nor does one whose pod cannot start. Kept in memory, filled as migrations are looked at.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from schema_operator.controller.queue import Key

STARTS_AT_ONCE = 20
START_SECONDS = 30.0
"""How long a run counts as starting at most: what is the matter with its pod then is not known to be anything."""


@dataclass(slots=True)
class Starts:
    """Who is starting, and who waits. `woken` is called with who may start now."""

    woken: Callable[[Key], None]
    clock: Callable[[], float] = time.monotonic
    _starting: dict[Key, float] = field(default_factory=dict)
    """Since when."""
    _waiting: dict[Key, None] = field(default_factory=dict)
    """In the order in which they came."""

    def crowded(self, key: Key) -> bool:
        """Tell whether others must start first."""
        if key in self._starting:
            return False
        before = 0
        for other in self._waiting:
            if other == key:
                break
            before += 1
        return before >= self._room()

    def starting(self, key: Key) -> None:
        """Say that a run of a migration is starting, or about to."""
        self._waiting.pop(key, None)
        self._starting.setdefault(key, self.clock())

    def wait(self, key: Key) -> None:
        """Put a migration at the end of those that wait, unless it is among them."""
        self._starting.pop(key, None)
        self._waiting.setdefault(key)

    def leave(self, key: Key) -> None:
        """Say that a migration neither starts nor waits for it; as many as there is room for now are woken."""
        was_there = key in self._starting or key in self._waiting
        self._starting.pop(key, None)
        self._waiting.pop(key, None)
        if was_there:
            for other, _ in zip(tuple(self._waiting), range(self._room()), strict=False):
                self.woken(other)

    def _room(self) -> int:
        since = self.clock() - START_SECONDS
        return STARTS_AT_ONCE - sum(began > since for began in self._starting.values())
