"""What kopf calls. Handlers are sentences: a decorator, and one call.

Only `on.event`: it leaves the objects untouched (no finalizer, no annotation with a copy of the spec) and is called for
the first listing too, so that a restart resumes by itself. What an event means is for the queue and `decide` to find
out.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import kopf

from schema_operator.api.model import API_VERSION, GROUP
from schema_operator.controller import names
from schema_operator.controller.cluster import Cluster
from schema_operator.controller.connection import ApiError, login
from schema_operator.controller.heard import Watch
from schema_operator.controller.perform import Performer
from schema_operator.controller.queue import Key, Queue
from schema_operator.controller.rest import Resting
from schema_operator.controller.surroundings import required_by, told_apart

RESYNC_SECONDS = 60.0
"""How often every migration is looked at although nothing was heard.

A net for lost events, and for ConfigMaps, of which only those are watched that ask for it.
"""

WATCH_SILENCE_SECONDS = 70.0
"""How long nothing may come from a watch before it is begun anew: the API server sends a bookmark every 60 s."""

CRD_SECONDS = 2.0
"""How soon the controller looks again for its CRDs before it starts."""

PAGE = 100
"""Objects that are read at once in the listing after a start: all of them would be in memory together."""

Handler = Callable[..., Awaitable[None]]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Heard:
    """What concerns others in a TargetDatabase."""

    generation: int
    requested_at: str | None = None
    owners: frozenset[tuple[str, str]] = frozenset()
    """What is applied of whom: owners with their fingerprints."""

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Heard:
        """Read it from plain data."""
        meta, owners = body["metadata"], (body.get("status") or {}).get("owners") or ()
        return cls(
            generation=meta["generation"],
            requested_at=(meta.get("annotations") or {}).get(names.REQUESTED_AT),
            owners=frozenset((str(one.get("owner", "")), str(one.get("digest", ""))) for one in owners),
        )

    def moved_since(self, before: Heard) -> set[str]:
        """Name the owners of whom something else is applied than before."""
        return {owner for owner, _ in self.owners ^ before.owners}


@dataclass(slots=True)
class Office:
    """What the handlers share while the controller runs."""

    cluster: Cluster
    performer: Performer
    migrations: Queue
    targets: Queue
    databases: dict[Key, str] = field(default_factory=dict)
    """The TargetDatabase of each SchemaMigration."""
    requires: dict[Key, tuple[Key, ...]] = field(default_factory=dict)
    """The SchemaMigrations that each SchemaMigration requires."""
    required_by: dict[Key, set[Key]] = field(default_factory=dict)
    """The same, the other way round."""
    shown: dict[Key, tuple[object, ...]] = field(default_factory=dict)
    """What others see of each SchemaMigration."""
    config_maps: dict[Key, frozenset[str]] = field(default_factory=dict)
    """The ConfigMaps of each SchemaMigration that has its scripts in some."""
    namespaces: Sequence[str | None] = (None,)
    """Where to look; None is everywhere."""
    watch: Watch = field(default_factory=Watch)
    heard: dict[Key, Heard] = field(default_factory=dict)
    """What was last heard of each TargetDatabase."""
    resting: Resting = field(default_factory=Resting)

    @classmethod
    async def open(cls, image: str, namespaces: Sequence[str] = ()) -> Office:
        """Connect to the cluster; `image` is what runners are started from."""
        cluster = Cluster.connect()
        performer = Performer(cluster, image)
        migrations = Queue(performer.migration)
        performer.line.woken = migrations.put
        return cls(cluster, performer, migrations, Queue(performer.targets.look), namespaces=namespaces or (None,))

    async def resume(self, namespaces: Sequence[str]) -> None:
        """See what is at work before anything is heard, so that nothing is started beside it.

        Targets are seen too: without them, none of their migrations could be told to be at rest when it is heard of.
        """
        for key in await self.performer.resume(namespaces):
            self.migrations.put(key)
        for namespace in self.namespaces:
            for body in await self.cluster.targets(namespace):
                self.target_heard(body)

    async def close(self) -> None:
        """Stop looking at anything; Jobs that run go on."""
        await self.migrations.close()
        await self.targets.close()
        await self.cluster.close()

    def migration_changed(self, key: Key, body: Mapping[str, Any]) -> None:
        """Look at a migration, and at those it is tied to where they see a change."""
        self.databases[key] = body["spec"].get("database", {}).get("name", "")
        named = frozenset(one.get("name", "") for one in body["spec"].get("scripts", {}).get("configMaps") or ())
        if named:
            self.config_maps[key] = named
        else:
            self.config_maps.pop(key, None)
        if not self.resting.rests(key, body, datetime.now(UTC)):
            self.migrations.put(key)
        shown = told_apart(body)
        if self.shown.get(key) != shown:
            self.shown[key] = shown
            self._tied_moved(key)
        self._require(key, tuple((key[0], name) for name in required_by(body["spec"])))

    def migration_deleted(self, key: Key) -> None:
        """Forget a migration, also in the status of its target, and look at those it was tied to."""
        self.performer.forget(key)
        self.resting.forget(key)
        self._tied_moved(key)
        self._require(key, ())
        database = self.databases.pop(key, None)
        self.config_maps.pop(key, None)
        self.shown.pop(key, None)
        if database and (key[0], database) in self.heard:
            self.targets.put((key[0], database))
        # A look that was under way may have noted it once more.
        self.migrations.put(key)

    def _tied_moved(self, key: Key) -> None:
        """Look at the migrations that require one, and at those that it requires and may be deleted after it."""
        below = [other for other in self.requires.get(key, ()) if other in self.databases]
        for other in (*self.required_by.get(key, ()), *below):
            self.migrations.put(other)

    def _require(self, key: Key, required: tuple[Key, ...]) -> None:
        for other in self.requires.pop(key, ()):
            self.required_by[other].discard(key)
            if not self.required_by[other]:
                self.required_by.pop(other)
        if required:
            self.requires[key] = required
        for other in required:
            self.required_by.setdefault(other, set()).add(key)

    def run_changed(self, key: Key, labels: Mapping[str, str], job: str, *, gone: bool) -> None:
        """Look at a migration whose Job or pod has changed, unless it is one of those that are done with."""
        uid = labels.get(names.MIGRATION_UID, "")
        news = self.resting.job_seen(key, uid, job)
        if gone:
            self.resting.job_gone(uid, job)
        if news:
            self.migrations.put(key)

    def target_heard(self, body: Mapping[str, Any]) -> None:
        """Note a target, and look at what its change concerns."""
        self.resting.target_seen(body)
        self.target_changed((body["metadata"]["namespace"], body["metadata"]["name"]), Heard.of(body))

    def target_changed(self, key: Key, heard: Heard) -> None:
        """Look at a target and at every migration of it that what has changed concerns.

        Of the status, that is what is applied of whom: a history that has moved is looked at by a run.
        """
        before = self.heard.get(key)
        if before == heard:
            return
        self.heard[key] = heard
        if before is None or (before.generation, before.requested_at) != (heard.generation, heard.requested_at):
            self.targets.put(key)
        if before is None or before.generation != heard.generation:
            self._target_moved(key)
        else:
            for owner in heard.moved_since(before):
                self._owner_moved(key, owner)

    def target_deleted(self, key: Key) -> None:
        """Look at every migration of a target that is gone."""
        self.heard.pop(key, None)
        self.resting.target_gone(key)
        self.performer.targets.forget(key)
        self._target_moved(key)

    def _owner_moved(self, key: Key, owner: str) -> None:
        migration = (key[0], owner.removeprefix(f"{key[0]}/"))
        for one in (migration, *self.resting.relying_on(owner)):
            if one[0] == key[0] and self.databases.get(one) == key[1]:
                self.migrations.put(one)

    def _target_moved(self, key: Key) -> None:
        for migration, database in self.databases.items():
            if (migration[0], database) == key:
                self.migrations.put(migration)

    def config_map_moved(self, key: Key) -> None:
        """Look at every migration that has scripts in a ConfigMap that was created, changed or deleted."""
        for migration, named in self.config_maps.items():
            if migration[0] == key[0] and key[1] in named:
                self.migrations.put(migration)

    async def resync(self) -> None:
        """Look at what is not at rest once in `RESYNC_SECONDS`, spread over it, and list what there is after it.

        What is at rest has not changed as long as the listing says so; but of ConfigMaps nothing is listed.
        """
        while True:
            keys = [key for key in self.databases if not self.resting.knows(key) or key in self.config_maps]
            random.shuffle(keys)
            for key in keys:
                self.migrations.put(key)
                await asyncio.sleep(RESYNC_SECONDS / len(keys))
            if not keys:
                await asyncio.sleep(RESYNC_SECONDS)
            try:
                await self.look_for_unheard()
            except Exception:  # noqa: BLE001 (whatever it is, the rounds go on)
                _log.exception("the SchemaMigrations could not be compared with what was heard")

    async def look_for_unheard(self) -> None:
        """Look at migrations of whose newest version the watch has not told."""
        asked = time.monotonic()
        versions: dict[Key, str] = {}
        try:
            for namespace in self.namespaces:
                versions |= await self.cluster.migration_versions(namespace)
        except ApiError as error:
            _log.warning("the SchemaMigrations could not be listed, next try in %.0f s: %s", RESYNC_SECONDS, error)
            return
        for key in [key for key, database in self.databases.items() if not database and key not in versions]:
            self.databases.pop(key)
        for key in self.watch.listed(versions, asked):
            self.databases.setdefault(key, "")
            self.migrations.put(key)

    def require_alive(self) -> None:
        """Raise `kopf.PermanentError` where the controller no longer hears of what happens."""
        if silent := self.watch.silent(time.monotonic()):
            names_of = ", ".join("/".join(key) for key in silent[:3])
            raise kopf.PermanentError(f"the watch is dead: it has not told of the newest version of {names_of}")


class NoMemory(kopf.DiffBaseStorage):
    """Nothing to compare objects with: `on.event` handlers need no differences, and copies of each object are dear."""

    def build(
        self,
        *,
        body: kopf.Body,  # noqa: ARG002 (kopf's signature)
        extra_fields: object = None,  # noqa: ARG002
    ) -> kopf.BodyEssence:
        """Give nothing."""
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> None:
        """Give nothing."""

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Store nothing."""


def register(
    registry: kopf.OperatorRegistry, image: str, namespaces: Sequence[str] = (), *, watch_config_maps: bool = False
) -> None:
    """Register all handlers.

    Without `namespaces`, for all of them; without `watch_config_maps`, the right to list ConfigMaps is not needed.
    """
    kopf.on.startup(registry=registry, id="settings")(_settings)
    kopf.on.login(registry=registry)(login)
    kopf.on.startup(registry=registry, id="open")(_opening(image, namespaces))
    kopf.on.probe(registry=registry, id="watch")(_alive)
    kopf.on.cleanup(registry=registry)(_close)
    kopf.on.event(GROUP, API_VERSION, "schemamigrations", registry=registry)(_migration)
    kopf.on.event(GROUP, API_VERSION, "targetdatabases", registry=registry)(_target)
    kopf.on.event(GROUP, API_VERSION, "migrationapprovals", registry=registry)(_approval)
    ours = {names.MANAGED_BY: names.OPERATOR}
    kopf.on.event("", "v1", "pods", labels=ours, registry=registry)(_owned)
    kopf.on.event("batch", "v1", "jobs", labels=ours, registry=registry)(_owned)
    if watch_config_maps:
        kopf.on.event("", "v1", "configmaps", registry=registry)(_config_map)


def _opening(image: str, namespaces: Sequence[str] = ()) -> Handler:
    async def opened(memo: kopf.Memo, **_: Any) -> None:
        office = await Office.open(image, namespaces)
        try:
            await _begin(office, namespaces)
        except BaseException:
            await office.close()
            raise
        memo.office = office
        memo.resync = asyncio.create_task(office.resync())

    return opened


async def _begin(office: Office, namespaces: Sequence[str]) -> None:
    """See what is at work; kopf tries again soon where that is not possible yet.

    Without the right to watch CRDs kopf looks for them once, at its start, and would then serve nothing and call itself
    healthy. While it waits here it does not answer its probes.
    """
    try:
        if not await office.cluster.serves_our_kinds():
            raise kopf.TemporaryError(f"the CRDs of {GROUP}/{API_VERSION} are not installed", delay=CRD_SECONDS)
        await office.resume(namespaces)
    except ApiError as error:
        raise kopf.TemporaryError(f"it is not known what is at work: {error}", delay=CRD_SECONDS) from error


async def _close(memo: kopf.Memo, **_: Any) -> None:
    if "office" in memo:
        memo.resync.cancel()
        await memo.office.close()


async def _alive(memo: kopf.Memo, **_: Any) -> str:
    memo.office.require_alive()
    if memo.resync.done():
        raise kopf.PermanentError("the controller no longer looks at everything once a minute")
    return "heard"


async def _migration(
    *, event: kopf.RawEvent, memo: kopf.Memo, namespace: str | None, name: str, uid: str, body: kopf.Body, **_: Any
) -> None:
    key = (namespace or "", name)
    if event["type"] == "DELETED":
        memo.office.watch.deleted(key, uid)
        memo.office.migration_deleted(key)
    else:
        memo.office.watch.told(key, uid, body["metadata"]["resourceVersion"], time.monotonic())
        memo.office.migration_changed(key, body)


async def _target(
    *, event: kopf.RawEvent, memo: kopf.Memo, namespace: str | None, name: str, body: kopf.Body, **_: Any
) -> None:
    key = (namespace or "", name)
    if event["type"] == "DELETED":
        memo.office.target_deleted(key)
    else:
        memo.office.target_heard(body)


async def _approval(*, memo: kopf.Memo, namespace: str | None, spec: kopf.Spec, **_: Any) -> None:
    memo.office.migrations.put((namespace or "", spec.get("migration", "")))


async def _owned(
    *,
    event: kopf.RawEvent,
    memo: kopf.Memo,
    namespace: str | None,
    name: str,
    annotations: kopf.Annotations,
    labels: kopf.Labels,
    **_: Any,
) -> None:
    gone = event["type"] == "DELETED"
    job = labels.get(names.JOB_NAME, name)  # of a pod, the Job it belongs to
    if names.MIGRATION in annotations:
        memo.office.run_changed((namespace or "", annotations[names.MIGRATION]), labels, job, gone=gone)
    elif names.TARGET in annotations:
        memo.office.targets.put((namespace or "", annotations[names.TARGET]))


async def _config_map(*, memo: kopf.Memo, namespace: str | None, name: str, **_: Any) -> None:
    memo.office.config_map_moved((namespace or "", name))


async def _settings(settings: kopf.OperatorSettings, **_: Any) -> None:
    settings.posting.enabled = False  # our Events are our own: one a transition, never a log line
    settings.persistence.finalizer = f"{GROUP}/finalizer"
    settings.persistence.diffbase_storage = NoMemory()
    settings.watching.server_timeout = 300  # a watch that died silently must not be believed for long
    settings.watching.client_timeout = 320
    settings.watching.inactivity_timeout = WATCH_SILENCE_SECONDS
    settings.watching.reconnect_backoff = 1.0
    settings.watching.label_selectors["", "v1", "pods"] = names.SELECTOR
    settings.watching.label_selectors["batch", "v1", "jobs"] = names.SELECTOR
    settings.watching.label_selectors["", "v1", "configmaps"] = f"{names.WATCH}=true"
    settings.networking.request_timeout = 30.0
    # worker_limit stays unlimited: with one, throughput falls to limit / idle_timeout.
    settings.watching.chunk_size = PAGE
    settings.queueing.idle_timeout = 0.2  # a worker keeps the object it was last given for as long
    settings.queueing.exit_timeout = 5.0
