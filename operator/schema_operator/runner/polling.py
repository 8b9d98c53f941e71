"""Waiting by asking again: pauses that grow, until time is up, and lines that do not become a flood."""

from __future__ import annotations

import time
from typing import Final

LINE_SECONDS: Final = 5.0
"""Between lines that say the same."""


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


class Lines:
    """Which lines of one wait are worth writing: one when what is waited for changes, and one every five seconds."""

    def __init__(self) -> None:
        self._about: object = None
        self._written = 0.0

    def due(self, about: object, elapsed: float) -> bool:
        """Say whether a line about something is due, `elapsed` seconds after the wait began."""
        if about == self._about and elapsed - self._written < LINE_SECONDS:
            return False
        self._about, self._written = about, elapsed
        return True
