"""One worker per object: what happens to an object while it is being looked at makes it be looked at once more.

kopf keeps the events of one object in order, but a migration is also touched by its Jobs, pods and target and by
timers; here all of them come together under one key.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from schema_operator.controller.logs import about

Key = tuple[str, str]
"""Namespace and name."""

LOOKS_AT_ONCE = 16
"""A look takes milliseconds; a hundred at once after a restart would only hold a hundred answers in memory."""
PAUSE_SECONDS = 0.1
"""How long a key is left alone after a look, so that what the look has caused is looked at once: a started run makes
six events in that time, of the migration, the Job and the pod."""
ERROR_SECONDS = 1.0
ERROR_LIMIT_SECONDS = 60.0

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Slot:
    dirty: bool = False
    task: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None
    errors: int = 0


@dataclass(slots=True)
class Queue:
    """Calls `work` for a key that was put, never twice at the same time for one key nor within `pause` seconds.

    `work` gives the seconds after which it wants to be called again, or None. When it raises, it is called again after
    a wait that doubles from `ERROR_SECONDS` to `ERROR_LIMIT_SECONDS`.
    """

    work: Callable[[Key], Awaitable[float | None]]
    pause: float = PAUSE_SECONDS
    _seats: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LOOKS_AT_ONCE))
    _slots: dict[Key, _Slot] = field(default_factory=dict)
    _closed: bool = False

    def put(self, key: Key) -> None:
        """Ask for a key to be looked at, now or as soon as the present look is over; nothing once closed."""
        if self._closed:
            return
        slot = self._slots.setdefault(key, _Slot())
        slot.dirty = True
        if slot.timer is not None:
            slot.timer.cancel()
            slot.timer = None
        if slot.task is None:
            slot.task = asyncio.get_running_loop().create_task(self._run(key, slot))

    def keys(self) -> tuple[Key, ...]:
        """Give the keys that are being worked on or waited for."""
        return tuple(self._slots)

    async def close(self) -> None:
        """Stop all work; what was interrupted is looked at again after the next start."""
        self._closed = True
        slots = list(self._slots.values())
        self._slots.clear()
        for slot in slots:
            if slot.timer is not None:
                slot.timer.cancel()
            if slot.task is not None:
                slot.task.cancel()
        await asyncio.gather(*(slot.task for slot in slots if slot.task is not None), return_exceptions=True)

    async def _run(self, key: Key, slot: _Slot) -> None:
        again: float | None = None
        while slot.dirty:
            slot.dirty = False
            again = await self._attempt(key, slot)
            await asyncio.sleep(self.pause)
        slot.task = None
        if again is None:
            self._slots.pop(key, None)
        else:
            slot.timer = asyncio.get_running_loop().call_later(max(again, 0.0), self.put, key)

    async def _attempt(self, key: Key, slot: _Slot) -> float | None:
        with about(namespace=key[0], name=key[1]):
            return await self._tried(key, slot)

    async def _tried(self, key: Key, slot: _Slot) -> float | None:
        try:
            async with self._seats:
                again = await self.work(key)
        except Exception:  # noqa: BLE001 (whatever it is, it is logged and this object is looked at again)
            slot.errors += 1
            wait = min(ERROR_SECONDS * 2.0 ** min(slot.errors - 1, 10), ERROR_LIMIT_SECONDS)
            _log.exception("cannot look at %s/%s, next try in %.0f s", *key, wait)
            return wait * random.uniform(0.8, 1.2)  # noqa: S311 (jitter, not a secret)
        slot.errors = 0
        return again
