"""Being asked to stop (SIGTERM, SIGINT): noted at once, obeyed where nothing is left half done."""

from __future__ import annotations

import select
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from schema_operator.errors import Reason, Stopped

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """Whether the run was asked to stop. Who works looks (`check`) between steps and cancels what the server does."""

    def __init__(self) -> None:
        self.requested = False
        self._at_once = False
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals for the length of a block."""
        before = {number: signal.signal(number, self._asked) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Stop in the middle of a block that changes nothing, for example while connecting."""
        self.check()
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False
        self.check()

    def check(self) -> None:
        """Raise `Stopped` if asked."""
        if self.requested:
            raise Stopped(Reason.STOPPED, "the run was asked to stop; nothing is half done, the next run goes on")

    def sleep(self, seconds: float) -> None:
        """Sleep, unless and until asked to stop; then raise `Stopped`."""
        self.check()
        select.select([self._woken], [], [], seconds)
        self.check()

    def _asked(self, _number: int, _frame: FrameType | None) -> None:
        self.requested = True
        # A byte in a socket wakes a sleeper even if the signal came between its look and its sleep.
        self._wake.send(b"!")
        if self._at_once:
            self.check()
