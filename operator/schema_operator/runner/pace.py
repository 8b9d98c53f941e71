"""How many rows a batch takes, and how long to rest before the next one. Pure.

Two things are kept small. A client that wants a row waits until the batch that has changed it is committed, so a batch
lasts about as long as the target says. And what is written faster than a standby can replay, or while an old
transaction keeps vacuum from removing the old rows, makes the one late and the table large: so there is a rest between
batches.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from schema_operator.api.request import BatchLimits

_FIRST_SIZE: Final = 1000
_MOST_GROWTH: Final = 2.0
_LEAST_GROWTH: Final = 0.25
_SAMPLES_SECONDS: Final = 0.05
_MOST_SAMPLES: Final = 4096
_BEGIN_TO_WAIT: Final = 0.5
"""Of the lag that is allowed: what was written until then is still on its way."""
_LOOK_AGAIN_SECONDS: Final = 0.1
_SLOWER: Final = 3.0
"""Times the length of a batch to rest after it while an old transaction is open: a quarter of the pace."""


def first_size(limits: BatchLimits) -> int:
    """Give the rows of the first batch, of which nothing is known."""
    return min(max(_FIRST_SIZE, limits.min_size), limits.max_size)


def next_size(size: int, seconds: float, limits: BatchLimits) -> int:
    """Give the rows of the next batch after one of `size` took some seconds.

    It changes step by step, because one that was fast or slow may have been so by chance (a checkpoint, a busy disk).
    """
    growth = min(max(limits.target_seconds / max(seconds, 1e-6), _LEAST_GROWTH), _MOST_GROWTH)
    return min(max(round(size * growth), limits.min_size, 1), limits.max_size)


class Log:
    """When the write-ahead log was how long: by it a position becomes a time.

    The server's own `replay_lag` stands still where a standby replays nothing.
    """

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque(maxlen=_MOST_SAMPLES)

    def note(self, now: float, position: int) -> None:
        """Take note of the log's end at a time; of those close together, the first says enough."""
        if self._samples:
            last_time, last_position = self._samples[-1]
            if position <= last_position or now - last_time < _SAMPLES_SECONDS:
                return
        self._samples.append((now, position))

    def lag(self, now: float, replayed: int) -> float:
        """Give the seconds since when there has been something to replay; 0.0 where all is replayed."""
        return next((now - time for time, position in self._samples if position > replayed), 0.0)

    def forget(self, replayed: int) -> None:
        """Forget what all standbys have replayed."""
        while self._samples and self._samples[0][1] <= replayed:
            self._samples.popleft()


@dataclass(frozen=True, slots=True)
class Rest:
    """What to do before the next batch."""

    seconds: float = 0.0
    """How long to rest."""
    waits: bool = False
    """Whether to look again afterwards, instead of going on."""
    why: str = ""
    """For progress; empty where nothing is in the way."""


def rest(lags: Mapping[str, float], old: str, seconds: float, limits: BatchLimits) -> Rest:
    """Decide on the rest after a batch of some seconds.

    `lags` are the seconds by which standbys are behind, `old` names the transactions that are open for too long.
    Nothing is a reason to fail: who is late for ever is waited for.
    """
    name = max(lags, key=lambda one: lags[one], default="")
    if name and lags[name] > limits.max_lag_seconds * _BEGIN_TO_WAIT:
        return Rest(_LOOK_AGAIN_SECONDS, waits=True, why=_late(name, lags[name], limits))
    if old:
        return Rest(limits.pause_seconds + seconds * _SLOWER, why=f"slower while a transaction is open for long: {old}")
    return Rest(limits.pause_seconds)


def _late(name: str, lag: float, limits: BatchLimits) -> str:
    return f"waiting for the standby {name}, which is {lag:.1f} s behind ({limits.max_lag_seconds:g} s are allowed)"
