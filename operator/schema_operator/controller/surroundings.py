"""What was seen around one SchemaMigration: who is before it on its database, and the migrations it is tied to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from schema_operator.api.version import NOTHING, NOTHING_PATTERN

_NOTHING = re.compile(NOTHING_PATTERN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """Another SchemaMigration of the namespace: one that this one requires, or that requires this one."""

    name: str
    exists: bool = True
    ready: bool = False
    """Whether it is Ready at its own generation."""
    state: str = ""
    """Its state and, where it is not Ready, why: for sentences."""
    applied: bool = False
    """Whether something of it is applied, as far as its status says, or a run of it may be applying something."""
    requires: tuple[str, ...] = ()
    """Names of the migrations it requires."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """The migration that is before this one on the same database."""

    name: str
    """Namespace and name."""
    at_work: bool
    """Whether a run of it is in flight; else it waits too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What must be known of others before a run is started."""

    required: tuple[Neighbour, ...] = ()
    circle: tuple[str, ...] = ()
    """Names of migrations that require each other, from this one back to this one; empty where there is no circle."""
    dependents: tuple[Neighbour, ...] = ()
    """Those that require this one; looked for only where all of this one is to be rolled back."""
    ahead: Ahead | None = None
    namespace_ends: bool = False
    """Whether the namespace is being deleted; looked at only where the deletion waits for a rollback."""


ALONE = Surroundings()


def is_nothing(version: str | None) -> bool:
    """Whether a version says that nothing is applied."""
    return version is not None and _NOTHING.match(version) is not None


def required_by(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """Name the migrations that a spec, as plain data, requires."""
    return tuple(item["name"] for item in (spec.get("requires") or {}).get("migrations") or ())


def neighbour_of(name: str, body: Mapping[str, Any] | None) -> Neighbour:
    """Read a migration from plain data, of whatever release it is; `body` is None where it does not exist."""
    if body is None:
        return Neighbour(name=name, exists=False)
    meta, status = body["metadata"], body.get("status") or {}
    ready: Mapping[str, Any] = next(
        (item for item in status.get("conditions") or () if item.get("type") == "Ready"), {}
    )
    current = status.get("observedGeneration") == ready.get("observedGeneration") == meta["generation"]
    deleting = "deletionTimestamp" in meta
    is_ready = current and ready.get("status") == "True" and not deleting
    return Neighbour(
        name=name,
        ready=is_ready,
        state="being deleted" if deleting else _state(status, ready, current=current),
        applied="currentRun" in status or not is_nothing(status.get("version") or NOTHING),
        requires=required_by(body["spec"]),
    )


def _state(status: Mapping[str, Any], ready: Mapping[str, Any], *, current: bool) -> str:
    if not current:
        return "not looked at yet"
    state, reason = str(status.get("state") or "Unknown"), ready.get("reason")
    return state if reason in (None, state, "Progressing") else f"{state}, {reason}"


def told_apart(body: Mapping[str, Any]) -> tuple[object, ...]:
    """Give what others, who require this migration or are required by it, see of it: when it changes, they look."""
    meta = body["metadata"]
    return meta["uid"], meta["generation"], neighbour_of("", body)


def circle(start: str, known: Mapping[str, Neighbour]) -> tuple[str, ...]:
    """Find the shortest circle of migrations, none of them Ready, that leads from one back to itself."""
    paths: list[tuple[str, ...]] = [(start,)]
    visited: set[str] = set()
    for path in paths:
        following: Iterable[str] = known[path[-1]].requires if path[-1] in known else ()
        for name in following:
            if name == start:
                return (*path, name)
            if name not in visited:
                visited.add(name)
                paths.append((*path, name))
    return ()
