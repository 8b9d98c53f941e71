"""Waiting by asking again: pauses that grow, until time is up."""

from __future__ import annotations

import time


class Pauses:
    """The pauses of one wait, each twice as long as the one before, within limits."""

    def __init__(self, seconds: float, *, shortest: float, longest: float) -> None:
        self._began = time.monotonic()
        self._seconds = seconds
        self._pause = shortest
        self._longest = longest

    @property
    def elapsed(self) -> float:
        """Seconds since the wait began."""
        return time.monotonic() - self._began

    @property
    def over(self) -> bool:
        """Whether time is up."""
        return self.elapsed >= self._seconds

    def next(self) -> float:
        """Give the next pause, in seconds."""
        pause, self._pause = self._pause, min(self._pause * 2, self._longest)
        return pause
