"""Processes as other runs find them again: by their id and the time they started, so that a reused id is no match."""

from __future__ import annotations

import os
import select
import signal
from dataclasses import dataclass
from pathlib import Path

# Field 22 of /proc/PID/stat, counted from behind the program's name (proc_pid_stat(5)).
_START_TIME = 22 - 3


@dataclass(frozen=True, slots=True)
class Record:
    """A process that was started earlier."""

    pid: int
    started: int

    def alive(self) -> bool:
        """Say whether that very process is still there."""
        return start_time(self.pid) == self.started

    def kill(self, patience: float) -> None:
        """Kill that very process, and wait until it is gone; a process that has taken over its id is left alone.

        The first process of a PID namespace is gone when all others of it are. Raises TimeoutError.
        """
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            # The handle is held before the times are compared, so the id cannot change hands in between.
            if self.alive():
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                _wait_until_gone(handle, patience)
        finally:
            os.close(handle)


def start_time(pid: int) -> int | None:
    """Give when a process started, in the kernel's ticks since boot; None where there is none, or only a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else int(fields[_START_TIME])


def _wait_until_gone(handle: int, patience: float) -> None:
    ended = select.poll()
    ended.register(handle, select.POLLIN)
    if not ended.poll(patience * 1000):
        raise TimeoutError(f"a process did not end within {patience:.0f} s of being killed")
