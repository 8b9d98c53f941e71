"""Look at everything that is known of one TargetDatabase."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from schema_operator.controller import names
from schema_operator.controller.cluster import Cluster
from schema_operator.controller.deciding.inspecting import TargetSeen
from schema_operator.controller.inspection_job import inspections_of
from schema_operator.controller.observation import Target


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
