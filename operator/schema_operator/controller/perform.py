"""Looks at one migration and carries out what was decided: observe, decide, perform."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from schema_operator.api.model import API_VERSION, GROUP
from schema_operator.api.report import LogLine, Progress
from schema_operator.api.schema_migration import ScriptSource
from schema_operator.controller import jobs, names, source
from schema_operator.controller.cluster import ApiError, Cluster
from schema_operator.controller.decide import Decision, Event, decide, not_started, timestamp
from schema_operator.controller.observation import (
    CONTAINER,
    Migration,
    Observation,
    Run,
    Target,
    migration_of,
    runs_of,
    target_of,
)
from schema_operator.controller.queue import Key
from schema_operator.controller.source import SourceSeen
from schema_operator.controller.target import first_status, status_after
from schema_operator.errors import Refused

LOG_LINES = 20
JOB_RETRY_SECONDS = 10.0
"""How soon a Job that a quota or an admission rule refused is tried again."""
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Performer:
    """Carries out decisions with one cluster and one default image for runners."""

    cluster: Cluster
    image: str
    _sources: dict[str, tuple[object, SourceSeen]] = field(default_factory=dict)
    """What was last seen of each migration's scripts, so that they are read again only when they change."""

    async def migration(self, key: Key) -> float | None:
        """Look at one SchemaMigration; give the seconds after which to look again."""
        body = await self.cluster.migration(*key)
        if body is None:
            return None
        seen = await self._observe(migration_of(body))
        decision = decide(seen)
        await self._perform(seen, decision)
        return decision.requeue

    async def target(self, key: Key) -> float | None:
        """Look at one TargetDatabase that has changed."""
        body = await self.cluster.target(*key)
        if body is not None:
            target = target_of(body)
            await self._write_target(target, first_status(target, datetime.now(UTC)))
        return None

    def forget(self, uid: str) -> None:
        """Drop what is remembered of a migration that was deleted."""
        self._sources.pop(uid, None)

    async def _observe(self, migration: Migration) -> Observation:
        selector = f"{names.SELECTOR},{names.MIGRATION_UID}={migration.uid}"
        target, job_list, pod_list, seen = await asyncio.gather(
            self.cluster.target(migration.namespace, migration.spec.database.name),
            self.cluster.jobs(migration.namespace, selector),
            self.cluster.pods(migration.namespace, selector),
            self._source(migration),
        )
        runs = runs_of(job_list, pod_list)
        return Observation(
            migration=migration,
            target=target_of(target) if target is not None else None,
            scripts_digest=seen.digest,
            problem=seen.problem,
            runs=runs,
            progress=await self._progress(migration, runs),
            now=datetime.now(UTC),
        )

    async def _source(self, migration: Migration) -> SourceSeen:
        scripts = migration.spec.scripts
        maps = source.config_map_names(scripts)
        found = await asyncio.gather(*(self.cluster.config_map(migration.namespace, name) for name in maps))
        config_maps = dict(zip(maps, found, strict=True))
        key = (
            migration.generation,
            [(item or {}).get("metadata", {}).get("resourceVersion") for item in found],
        )
        known = self._sources.get(migration.uid)
        if known is not None and known[0] == key:
            return known[1]
        seen = await _see(scripts, config_maps)
        self._sources[migration.uid] = (key, seen)
        return seen

    async def _progress(self, migration: Migration, runs: tuple[Run, ...]) -> Progress | None:
        working = [run for run in runs if run.started and run.ended is None and run.pod is not None]
        if not working or working[-1].pod is None:
            return None
        try:
            text = await self.cluster.log_tail(migration.namespace, working[-1].pod, CONTAINER, LOG_LINES)
        except ApiError as error:
            _log.info("no progress of %s: %s", working[-1].name, error)
            return None
        return newest_progress(text)

    async def _perform(self, seen: Observation, decision: Decision) -> None:
        migration = seen.migration
        for name in decision.delete:
            await self.cluster.delete_job(migration.namespace, name)
        if decision.start is not None and seen.target is not None:
            decision = await self._start(seen, seen.target, decision, decision.start)
        if decision.status is not None:
            await self._write_migration(migration, decision)
        if decision.target_report is not None and seen.target is not None:
            ended, run = decision.target_report
            await self._write_target(seen.target, status_after(seen.target, migration.name, run, ended, seen.now))
        await self._tell(migration, decision.events, seen.now)

    async def _tell(self, migration: Migration, events: tuple[Event, ...], now: datetime) -> None:
        for event in events:
            try:
                await self.cluster.create_event(event_manifest(migration, event, now))
            except ApiError as error:
                # Events are a courtesy: the status has been written and says the same.
                _log.warning(
                    "event %s of %s/%s not written: %s", event.reason, migration.namespace, migration.name, error
                )

    async def _start(self, seen: Observation, target: Target, decision: Decision, start: jobs.Start) -> Decision:
        """Create the Job; when that is not possible, the decision becomes to say so and to try again."""
        try:
            await self.cluster.create_job(jobs.manifest(seen.migration, target, start, self.image))
        except Refused as error:
            return not_started(seen, error.reason, str(error), again=None)
        except ApiError as error:
            if error.status not in (400, 403, 404, 422):
                raise
            message = f"the Job {start.name} could not be created: {error.message}"
            return not_started(seen, "JobNotCreated", message, again=JOB_RETRY_SECONDS)
        _log.info("started run %s of %s/%s", start.name, seen.migration.namespace, seen.migration.name)
        return decision

    async def _write_migration(self, migration: Migration, decision: Decision) -> None:
        if decision.status is None or decision.status == migration.status:
            return
        status = decision.status.model_dump(by_alias=True, exclude_none=True, mode="json")
        await self.cluster.apply_migration_status(migration.namespace, migration.name, status)

    async def _write_target(self, target: Target, status: Any) -> None:
        if status != target.status:
            data = status.model_dump(by_alias=True, exclude_none=True, mode="json")
            await self.cluster.apply_target_status(target.namespace, target.name, data)


async def _see(scripts: ScriptSource, config_maps: dict[str, dict[str, Any] | None]) -> SourceSeen:
    # In a thread: lexing a megabyte takes long enough to hold up every other migration.
    return await asyncio.to_thread(source.see, scripts, config_maps)


def newest_progress(text: str) -> Progress | None:
    """Find the newest line of progress in the end of a log; what is no such line is passed over."""
    for line in reversed(text.splitlines()):
        try:
            found = msgspec.json.decode(line.encode(), type=LogLine)
        except (msgspec.DecodeError, msgspec.ValidationError):
            continue
        if found.progress is not None:
            return found.progress
    return None


def event_manifest(migration: Migration, event: Event, now: datetime) -> dict[str, Any]:
    """Give an Event as plain data; its name is the same for the same thing told of the same run."""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": names.event_name(migration.name, migration.uid, event.reason, event.run),
            "namespace": migration.namespace,
        },
        "involvedObject": {
            "apiVersion": f"{GROUP}/{API_VERSION}",
            "kind": "SchemaMigration",
            "namespace": migration.namespace,
            "name": migration.name,
            "uid": migration.uid,
        },
        "type": event.type,
        "reason": event.reason,
        "message": event.message[:1024],
        "source": {"component": names.OPERATOR},
        "reportingComponent": names.OPERATOR,
        "reportingInstance": names.OPERATOR,
        "firstTimestamp": timestamp(now),
        "lastTimestamp": timestamp(now),
        "count": 1,
    }
