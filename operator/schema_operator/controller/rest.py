"""Is there nothing to do about a migration? Told from what the watches have shown, without a request.

After a restart every object is heard of once, and each event of a thousand resources that are done would otherwise
cost four reads. What is told here may be old: a wrong No costs reads, and a wrong Yes is mended by the event that made
the view old, or by the next round over everything.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from schema_operator.api.schema_migration import State
from schema_operator.controller import names
from schema_operator.controller.decide import decide
from schema_operator.controller.deciding.decision import Decision
from schema_operator.controller.observation import Observation, Target, migration_of, target_of
from schema_operator.controller.queue import Key

_DONE = (State.APPLIED, State.ROLLED_BACK)


@dataclass(frozen=True, slots=True)
class _Rest:
    uid: str
    runs: frozenset[str]
    """Names of its recorded runs."""


@dataclass(slots=True)
class Resting:
    """The migrations about which there is nothing to do, and what the watches have shown that this is told from."""

    _targets: dict[Key, Target] = field(default_factory=dict)
    _jobs: dict[str, set[str]] = field(default_factory=dict)
    """Names of the Jobs of each migration, by its uid."""
    _resting: dict[Key, _Rest] = field(default_factory=dict)
    _relying: dict[Key, frozenset[str]] = field(default_factory=dict)
    """Other owners whose versions count as its own, of each migration of which some do, at rest or not."""

    def target_seen(self, body: Mapping[str, Any]) -> None:
        """Note a TargetDatabase."""
        key = (body["metadata"]["namespace"], body["metadata"]["name"])
        try:
            self._targets[key] = target_of(body)
        except ValidationError:
            self._targets.pop(key, None)

    def target_gone(self, key: Key) -> None:
        """Forget a TargetDatabase."""
        self._targets.pop(key, None)

    def rests(self, key: Key, body: Mapping[str, Any], now: datetime) -> bool:
        """Note a migration; tell whether nothing is to be done about it."""
        uid = body["metadata"]["uid"]
        self._relying.pop(key, None)
        if relies_on := (body.get("status") or {}).get("reliesOn"):
            self._relying[key] = frozenset(relies_on)
        target = self._targets.get((key[0], body["spec"].get("database", {}).get("name", "")))
        if not is_at_rest(body, target, self._jobs.get(uid, ()), now):
            self._resting.pop(key, None)
            return False
        status = body["status"]
        runs = frozenset(run["name"] for run in status.get("runs") or ())
        self._resting[key] = _Rest(uid, runs)
        return True

    def knows(self, key: Key) -> bool:
        """Tell whether nothing was to be done about a migration when it was last heard of."""
        return key in self._resting

    def job_seen(self, key: Key, uid: str, name: str) -> bool:
        """Note a Job of a migration; tell whether it is news: not one that is recorded while nothing is to be done."""
        self._jobs.setdefault(uid, set()).add(name)
        rest = self._resting.get(key)
        if rest is not None and (rest.uid != uid or name not in rest.runs):
            self._resting.pop(key)
            return True
        return rest is None

    def job_gone(self, uid: str, name: str) -> None:
        """Forget a Job."""
        names_of = self._jobs.get(uid, set())
        names_of.discard(name)
        if not names_of:
            self._jobs.pop(uid, None)

    def relying_on(self, owner: str) -> list[Key]:
        """Give those for which versions of an owner count as their own."""
        return [key for key, owners in self._relying.items() if owner in owners]

    def forget(self, key: Key) -> None:
        """Forget a migration that is deleted."""
        self._resting.pop(key, None)
        self._relying.pop(key, None)


def is_at_rest(body: Mapping[str, Any], target: Target | None, jobs: Collection[str], now: datetime) -> bool:
    """Tell whether a migration is done and recorded as such, so that looking at it would change nothing.

    `jobs` are the names of its Jobs. Scripts in ConfigMaps may have changed unheard; the next round looks at them.
    """
    if target is None or not _is_recorded(body, jobs):
        return False
    try:
        migration = migration_of(body)
    except ValidationError:
        return False
    seen = Observation(
        migration=migration,
        target=target,
        scripts_digest=migration.status.scripts_digest,
        problem=None,
        runs=(),
        progress=None,
        now=now,
    )
    ours = frozenset(migration.finalizers) & frozenset(names.FINALIZERS)
    return decide(seen) == Decision(status=migration.status, finalizers=ours)


def _is_recorded(body: Mapping[str, Any], jobs: Collection[str]) -> bool:
    """Tell it from plain data: what is at work has many events, and few are worth to be validated."""
    meta, status = body["metadata"], body.get("status") or {}
    return (
        "deletionTimestamp" not in meta
        and status.get("observedGeneration") == meta["generation"]
        and status.get("state") in _DONE
        and not status.get("currentRun")
        and set(jobs) <= {run.get("name") for run in status.get("runs") or ()}
    )
