"""Looks at one migration and carries out what was decided: observe, decide, perform."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import msgspec
from pydantic import ValidationError

from schema_operator.api.model import API_VERSION, GROUP
from schema_operator.api.report import LogLine, Progress
from schema_operator.api.request import Mode
from schema_operator.api.schema_migration import SchemaMigrationSpec, SchemaMigrationStatus
from schema_operator.controller import jobs, names, source
from schema_operator.controller.cluster import Cluster
from schema_operator.controller.connection import CONFLICT, NOT_FOUND, UNPROCESSABLE, ApiError
from schema_operator.controller.decide import decide
from schema_operator.controller.deciding.approvals import asks_for_plans
from schema_operator.controller.deciding.decision import Decision, Event
from schema_operator.controller.deciding.finalizers import with_finalizers
from schema_operator.controller.deciding.flight import PROGRESS_SECONDS
from schema_operator.controller.deciding.settled import not_started
from schema_operator.controller.deciding.statuses import timestamp, unreadable
from schema_operator.controller.line import Line, Place, place_of
from schema_operator.controller.logs import about
from schema_operator.controller.neighbours import look_around
from schema_operator.controller.observation import (
    CONTAINER,
    Ended,
    Migration,
    Observation,
    Run,
    Target,
    approvals_of,
    migration_of,
    migration_status_of,
    runs_of,
    sentence,
)
from schema_operator.controller.queue import Key
from schema_operator.controller.source import SourceSeen, Standing
from schema_operator.controller.surroundings import ALONE, Ahead
from schema_operator.controller.target_observation import read_target
from schema_operator.controller.target_status import status_after
from schema_operator.controller.targets import Targets
from schema_operator.controller.writing import at, plain
from schema_operator.errors import Refused

LOG_LINES = 20
LOGS_AT_ONCE = 3
"""Of eight connections. A node that is gone answers for none of its pods until time is up, and all others need
connections too: who finds these taken shows progress at the next look."""
JOB_RETRY_SECONDS = 10.0
"""How soon a Job that a quota or an admission rule refused is tried again."""
ENDING_SECONDS = 1.0
"""The same, where the namespace is being deleted: the migration will be too."""
FIRST_SIGHT_SECONDS = 3.0
"""How long a run works before its progress is shown: most are over by then, and a write is saved. That there is a run
is said at once."""
NO_SCRIPTS = SourceSeen("", None)
"""What a run needs that rolls back all there is."""
CHANGED_SECONDS = 0.1
"""How soon a migration is looked at again that has changed while it was looked at."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Known:
    """What was last seen of a migration's scripts: for which versions of objects, and how the database stood."""

    uid: str
    generation: int
    config_maps: list[str | None]
    standing: Standing | None
    seen: SourceSeen


@dataclass(slots=True)
class Performer:
    """Carries out decisions with one cluster and one default image for runners."""

    cluster: Cluster
    image: str
    targets: Targets = field(init=False)
    _sources: dict[Key, _Known] = field(default_factory=dict)
    """Scripts, which may be megabytes, are read again only when they change."""
    line: Line = field(default_factory=lambda: Line(lambda _: None))
    """Who works on which database, and who waits for it."""
    _logs: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LOGS_AT_ONCE))
    _shown: dict[Key, float] = field(default_factory=dict)
    """When it was last shown of a migration what its run does."""

    def __post_init__(self) -> None:
        """Share cluster and image."""
        self.targets = Targets(self.cluster, self.image)

    async def resume(self, namespaces: Sequence[str]) -> tuple[Key, ...]:
        """See which runs are in flight, before anything is started; give their migrations, to be looked at.

        `namespaces` are those the controller works in; none means all.
        """
        wheres: Sequence[str | None] = namespaces or (None,)
        found = [job for where in wheres for job in await self._unfinished(where)]
        keys = tuple({key for job in found if (key := _in_flight(job)) is not None})
        for key, place in zip(keys, await asyncio.gather(*map(self._place_of, keys)), strict=True):
            if place is not None:
                self.line.at_work(key, place)
        return keys

    async def _place_of(self, key: Key) -> Place | None:
        body = await self.cluster.migration(*key)
        database = (body or {}).get("spec", {}).get("database", {}).get("name")
        target = (await read_target(self.cluster, key[0], database))[0] if database else None
        return None if target is None else place_of(target)

    async def _unfinished(self, namespace: str | None) -> list[dict[str, Any]]:
        try:
            return await self.cluster.unfinished_jobs(namespace, names.SELECTOR)
        except ApiError as error:
            if namespace is None or error.status not in (403, NOT_FOUND):
                raise
            _log.warning("namespace %s cannot be looked at, so nothing is known of runs in it: %s", namespace, error)
            return []

    async def migration(self, key: Key) -> float | None:
        """Look at one SchemaMigration; give the seconds after which to look again."""
        try:
            return await self._migration(key)
        except Exception:
            self.line.give_way(key)
            raise

    async def _migration(self, key: Key) -> float | None:
        body = await self.cluster.migration(*key)
        if body is None:
            self.forget(key)
            return None
        try:
            migration = migration_of(body)
        except ValidationError as error:
            self.line.leave(key)
            return await self._write_unreadable(body, error)
        with about(generation=migration.generation):
            seen = await self._observe(migration)
            # Nothing is waited for between the look at the line and the place taken in it.
            seen = replace(seen, around=replace(seen.around, ahead=self._ahead(seen)))
            decision = decide(seen)
            self._take_place(seen, decision)
            return await self._perform(seen, decision)

    def _ahead(self, seen: Observation) -> Ahead | None:
        return None if seen.target is None else self.line.ahead(_key(seen.migration), place_of(seen.target))

    def _take_place(self, seen: Observation, decision: Decision) -> None:
        """Stand in the line of the database as was decided; a run whose pod cannot start keeps nobody away."""
        key = _key(seen.migration)
        working = [run for run in seen.runs if run.mode is Mode.RUN and run.ended is None and run.trouble is None]
        starts = decision.start is not None and decision.start.mode is Mode.RUN
        works = starts or any(run.name not in decision.delete for run in working)
        if seen.target is None or not (works or decision.in_line):
            self.line.leave(key)
        elif works:
            self.line.at_work(key, place_of(seen.target))
        else:
            self.line.wait(key, place_of(seen.target))

    def forget(self, key: Key) -> None:
        """Drop what is remembered of a migration that was deleted."""
        self._sources.pop(key, None)
        self._shown.pop(key, None)
        self.line.leave(key)
        self.targets.note(key, None)

    async def _observe(self, migration: Migration) -> Observation:
        selector = f"{names.SELECTOR},{names.MIGRATION_UID}={migration.uid}"
        reading = asyncio.ensure_future(read_target(self.cluster, migration.namespace, migration.spec.database.name))
        (target, problem), job_list, pod_list, found = await asyncio.gather(
            reading,
            self.cluster.jobs(migration.namespace, selector),
            self.cluster.pods(migration.namespace, selector),
            self._source(migration, reading),
        )
        runs = runs_of(job_list, pod_list)
        starts = all(run.ended is not None for run in runs) or migration.undo
        seen = Observation(
            migration=migration,
            target=target,
            scripts_digest=found.digest,
            problem=problem or found.problem,
            runs=runs,
            progress=await self._progress(migration, runs),
            now=datetime.now(UTC),
            around=await look_around(self.cluster, migration) if starts else ALONE,
        )
        if not asks_for_plans(seen):
            return seen
        approvals = approvals_of(await self.cluster.approvals(migration.namespace), migration.name)
        return replace(seen, approvals=approvals, now=datetime.now(UTC))

    async def _source(
        self, migration: Migration, reading: asyncio.Future[tuple[Target | None, Refused | None]]
    ) -> SourceSeen:
        if migration.undo:
            return NO_SCRIPTS
        maps = source.config_map_names(migration.spec.scripts)
        known = self._sources.get(_key(migration))
        target, _ = await reading
        # Who asks for a run by an annotation may know better than the status of the target what is applied.
        asked = migration.requested_at is not None or migration.accepts is not None
        standing = source.standing_of(target.status) if target is not None and not asked else None
        asked_of = (migration.uid, migration.generation, standing)
        if known is not None and (known.uid, known.generation, known.standing) == asked_of:
            versions = await asyncio.gather(
                *(self.cluster.config_map_version(migration.namespace, name) for name in maps)
            )
            if versions == known.config_maps:
                return known.seen
        found = await asyncio.gather(*(self.cluster.config_map(migration.namespace, name) for name in maps))
        seen = await _see(migration.spec, dict(zip(maps, found, strict=True)), standing)
        versions = [item["metadata"]["resourceVersion"] if item is not None else None for item in found]
        self._sources[_key(migration)] = _Known(migration.uid, migration.generation, versions, standing, seen)
        return seen

    async def _progress(self, migration: Migration, runs: tuple[Run, ...]) -> Progress | None:
        working = [run for run in runs if run.started and run.ended is None and run.pod is not None]
        if not working or working[-1].pod is None:
            return None
        if self._logs.locked():
            return None
        try:
            async with self._logs:
                text = await self.cluster.log_tail(migration.namespace, working[-1].pod, CONTAINER, LOG_LINES)
        except ApiError as error:
            _log.info("no progress of %s: %s", working[-1].name, error)
            return None
        return newest_progress(text)

    async def _perform(self, seen: Observation, decision: Decision) -> float | None:
        migration = seen.migration
        in_flight = decision.status is not None and decision.status.current_run is not None
        self.targets.note(_key(migration), (migration.namespace, migration.spec.database.name) if in_flight else None)
        for name in decision.delete:
            await self.cluster.delete_job(migration.namespace, name)
        for name in decision.stop:
            await self.cluster.stop_job(migration.namespace, name)
        if decision.start is not None and seen.target is not None:
            marked = await self._mark(migration, decision.finalizers)
            if marked is None:
                self.targets.note(_key(migration), None)
                self.line.leave(_key(migration))
                return CHANGED_SECONDS
            migration = marked
            decision = await self._start(seen, seen.target, decision, decision.start)
        if decision.target_report is not None and seen.target is not None:
            await self._report(seen, seen.target, *decision.target_report)
        if decision.passing and (left := self._may_wait(seen)) > 0:
            return left
        written = await self._write_migration(migration, decision.status)
        if written is None:
            return CHANGED_SECONDS
        if decision.passing or decision.start is not None:
            self._shown[_key(migration)] = time.monotonic()
        await self._tell(migration, decision.events, seen.now)
        _say_what_stays(seen)
        if await self._mark(written, decision.finalizers) is None:
            return CHANGED_SECONDS
        return decision.requeue

    def _may_wait(self, seen: Observation) -> float:
        """Give the seconds for which what a run does need not be shown: a while at first, then once a second."""
        pace = PROGRESS_SECONDS - (time.monotonic() - self._shown.get(_key(seen.migration), -math.inf))
        return max(pace, FIRST_SIGHT_SECONDS - self.line.seconds_at_work(_key(seen.migration)))

    async def _mark(self, migration: Migration, ours: frozenset[str]) -> Migration | None:
        """Let a migration have these of our finalizers; None where it has changed since it was looked at."""
        others = tuple(item for item in migration.finalizers if item not in names.FINALIZERS)
        wanted = (*others, *sorted(ours))
        if set(wanted) == set(migration.finalizers):
            return migration
        try:
            version = await self.cluster.set_finalizers(at(migration), wanted)
        except ApiError as error:
            if error.status not in (CONFLICT, NOT_FOUND, UNPROCESSABLE):
                raise
            return None
        return replace(migration, finalizers=wanted, resource_version=version)

    async def _report(self, seen: Observation, target: Target, ended: Ended, run: str) -> None:
        """Say in the status of the target what a run has learnt of it.

        Before the end of the run is recorded, because afterwards nobody would say it; and without holding that up.
        """
        try:
            await self.targets.record(
                target, lambda newest: status_after(newest, seen.migration.name, run, ended, seen.now)
            )
        except ApiError as error:
            _log.warning("status of TargetDatabase %s/%s not written: %s", target.namespace, target.name, error)

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
            said = not_started(seen, error.reason, str(error), again=None, instead_of=decision)
            return self._without_run(seen, said)
        except ApiError as error:
            if error.status not in (400, 403, 404, UNPROCESSABLE):
                raise
            message = f"the Job {start.name} could not be created: {error.message}"
            again = ENDING_SECONDS if error.ending else JOB_RETRY_SECONDS
            return self._without_run(
                seen, not_started(seen, "JobNotCreated", message, again=again, instead_of=decision)
            )
        with about(run=start.name):
            _log.info("started run %s of %s/%s", start.name, seen.migration.namespace, seen.migration.name)
        return decision

    def _without_run(self, seen: Observation, decision: Decision) -> Decision:
        self.targets.note(_key(seen.migration), None)
        self.line.leave(_key(seen.migration))
        return with_finalizers(seen, decision)

    async def _write_migration(self, migration: Migration, status: SchemaMigrationStatus | None) -> Migration | None:
        """Write a status; give None where the migration has changed since, so that it must be looked at again."""
        if status is None or status == migration.status:
            return migration
        try:
            version = await self.cluster.apply_migration_status(at(migration), plain(status))
        except ApiError as error:
            if error.status not in (CONFLICT, NOT_FOUND):
                raise
            return None
        return replace(migration, status=status, resource_version=version)

    async def _write_unreadable(self, body: dict[str, Any], error: ValidationError) -> float | None:
        before, meta = migration_status_of(body), body["metadata"]
        status = unreadable(before, meta["generation"], datetime.now(UTC), sentence(error))
        if status != before:
            at = {key: meta[key] for key in ("namespace", "name", "resourceVersion")}
            await self.cluster.apply_migration_status(at, plain(status))
        return None


def _key(migration: Migration) -> Key:
    return migration.namespace, migration.name


def _say_what_stays(seen: Observation) -> None:
    if seen.migration.undo and seen.around.namespace_ends:
        message = "%s/%s is not rolled back, although spec.deletionPolicy is Rollback: its namespace is being deleted"
        _log.warning(message, *_key(seen.migration))


def _in_flight(job: dict[str, Any]) -> Key | None:
    """Give the migration of a Job that has not ended."""
    ended = any(
        item["type"] in ("Complete", "Failed", "Suspended") and item["status"] == "True"
        for item in job.get("status", {}).get("conditions", ())
    )
    annotations = job["metadata"].get("annotations", {})
    name = None if annotations.get(names.MODE) == Mode.PLAN else annotations.get(names.MIGRATION)
    return None if ended or name is None else (job["metadata"]["namespace"], name)


async def _see(
    spec: SchemaMigrationSpec, config_maps: dict[str, dict[str, Any] | None], standing: Standing | None
) -> SourceSeen:
    # In a thread: lexing a megabyte takes long enough to hold up every other migration.
    return await asyncio.to_thread(source.see, spec, config_maps, standing)


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
