"""Looks at one TargetDatabase: starts and reads its inspections, and records in its status what was learnt of it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from schema_operator.api.target_database import TargetDatabaseStatus
from schema_operator.controller import inspection_job
from schema_operator.controller.cluster import Cluster
from schema_operator.controller.connection import CONFLICT, NOT_FOUND, ApiError
from schema_operator.controller.deciding.inspecting import FLIGHT_SECONDS, StartInspection, TargetSeen, decide_target
from schema_operator.controller.observation import Target
from schema_operator.controller.queue import Key
from schema_operator.controller.target_observation import observe_target, read_target
from schema_operator.controller.target_status import not_inspected
from schema_operator.controller.writing import at, plain

INSPECTIONS_AT_ONCE = 10
"""So that a thousand targets that are made at once, or are due after a restart, do not start a thousand pods."""
CROWDED_SECONDS = 2.0
INSPECTIONS_A_SECOND = 5.0
"""About as many as end in a second when so many are at work; those that wait ask again no more often."""
INSPECTION_RETRY_SECONDS = 30.0
TARGET_WRITES = 5
"""How often the status of a target is tried to be written when it changes meanwhile."""
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Targets:
    """Carries out what is decided about TargetDatabases, with one default image for inspections."""

    cluster: Cluster
    image: str
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _at_work: dict[Key, Key] = field(default_factory=dict)
    """The target of each migration of which a run is in flight; as far as was seen since the start."""
    _inspecting: set[Key] = field(default_factory=set)
    """Targets with an inspection in flight."""
    _crowd: set[Key] = field(default_factory=set)
    """Targets with an inspection that is due and was not started, because too many are in flight."""

    async def look(self, key: Key) -> float | None:
        """Look at one TargetDatabase that has changed."""
        target, problem = await read_target(self.cluster, *key)
        if problem is not None:
            _log.warning("TargetDatabase %s/%s: %s", *key, problem)
        if target is None:
            self.forget(key)
            return None
        seen = await observe_target(self.cluster, target, busy=key in self._at_work.values())
        decision = decide_target(seen)
        if decision.status is not None:
            await self.record(target, lambda newest: decide_target(replace(seen, target=newest)).status)
        again = decision.requeue
        if decision.start is not None:
            following = replace(seen, target=_with_status(target, decision.status))
            again = await self._inspect(key, following, decision.start)
        elif any(one.run.ended is None for one in seen.inspections):
            self._inspecting.add(key)
        else:
            self.forget(key)
        for name in decision.delete:
            await self.cluster.delete_job(target.namespace, name)
        return again

    def forget(self, key: Key) -> None:
        """Drop what is remembered of a target that was deleted, or of which no inspection is due."""
        self._inspecting.discard(key)
        self._crowd.discard(key)

    def note(self, migration: Key, works_on: Key | None) -> None:
        """Note on which target a run of a migration is in flight: no inspection is needed beside it."""
        if works_on is None:
            self._at_work.pop(migration, None)
        else:
            self._at_work[migration] = works_on

    async def record(self, target: Target, change: Callable[[Target], TargetDatabaseStatus | None]) -> None:
        """Write what `change` makes of the newest status.

        Migrations of one target write it one after the other; what another hand has changed is read again.
        """
        newest: Target | None = target
        async with self._writing:
            for attempt in range(1, TARGET_WRITES + 1):
                status = change(newest) if newest is not None else None
                if newest is None or status is None or status == newest.status:
                    return
                try:
                    await self.cluster.apply_target_status(at(newest), plain(status))
                except ApiError as error:
                    if error.status not in (CONFLICT, NOT_FOUND) or attempt == TARGET_WRITES:
                        raise
                    newest, _ = await read_target(self.cluster, target.namespace, target.name)
                else:
                    return

    async def _inspect(self, key: Key, seen: TargetSeen, start: StartInspection) -> float:
        """Create the Job of an inspection, unless too many are at work; give the seconds after which to look again."""
        if len(self._inspecting - {key}) >= INSPECTIONS_AT_ONCE:
            self._crowd.add(key)
            return random.uniform(1.0, CROWDED_SECONDS + len(self._crowd) / INSPECTIONS_A_SECOND)  # noqa: S311 (jitter)
        self._crowd.discard(key)
        self._inspecting.add(key)
        try:
            await self.cluster.create_job(inspection_job.manifest(seen.target, start, self.image))
        except ApiError as error:
            self._inspecting.discard(key)
            if error.status not in (400, 403, 404, 422):
                raise
            message = f"the Job {start.name} could not be created: {error.message}"
            _log.warning("TargetDatabase %s/%s: %s", *key, message)
            await self.record(seen.target, lambda newest: not_inspected(newest, message, seen.now))
            return INSPECTION_RETRY_SECONDS
        return FLIGHT_SECONDS


def _with_status(target: Target, status: TargetDatabaseStatus | None) -> Target:
    return target if status is None else replace(target, status=status)
