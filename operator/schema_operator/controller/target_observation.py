"""Look at everything that is known of one TargetDatabase."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from pydantic import ValidationError

from schema_operator.controller import names
from schema_operator.controller.cluster import Cluster
from schema_operator.controller.deciding.inspecting import TargetSeen
from schema_operator.controller.inspection_job import inspections_of
from schema_operator.controller.observation import Target, sentence, target_of
from schema_operator.errors import Reason, Refused


async def observe_target(cluster: Cluster, target: Target, *, busy: bool) -> TargetSeen:
    """Ask the API server for the inspections of a target, and which of its migrations are not there any more."""
    selector = f"{names.SELECTOR},{names.TARGET_UID}={target.uid}"
    jobs, gone = await asyncio.gather(cluster.jobs(target.namespace, selector), _gone(cluster, target))
    pods = await cluster.pods(target.namespace, selector) if jobs else []
    return TargetSeen(
        target=target, inspections=inspections_of(jobs, pods), busy=busy, gone=gone, now=datetime.now(UTC)
    )


async def _gone(cluster: Cluster, target: Target) -> frozenset[str]:
    named = [run.migration for run in target.status.runs or ()]
    there = await asyncio.gather(*(cluster.has_migration(target.namespace, name) for name in named))
    return frozenset(name for name, found in zip(named, there, strict=True) if not found)


async def read_target(cluster: Cluster, namespace: str, name: str) -> tuple[Target | None, Refused | None]:
    """Read a TargetDatabase: None where there is none, and what is wrong with it where it cannot be understood."""
    body = await cluster.target(namespace, name)
    try:
        return (target_of(body) if body is not None else None), None
    except ValidationError as error:
        return None, Refused(Reason.INVALID_SPEC, f"TargetDatabase {name}: {sentence(error)}")
