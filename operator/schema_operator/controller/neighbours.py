"""Looks at the migrations that one is tied to: those it requires, and those that require it."""

from __future__ import annotations

import asyncio

from schema_operator.api.version import NOTHING
from schema_operator.controller.cluster import Cluster
from schema_operator.controller.observation import Migration
from schema_operator.controller.surroundings import (
    ALONE,
    Neighbour,
    Surroundings,
    circle,
    is_nothing,
    neighbour_of,
    required_by,
)


async def look_around(cluster: Cluster, migration: Migration) -> Surroundings:
    """See what others say to a run of this migration; the line of its database is for the caller."""
    if is_nothing(migration.spec.version):
        ends = migration.undo and await cluster.is_ending(migration.namespace)
        stands = not is_nothing(migration.status.version or NOTHING)
        dependents = await _dependents(cluster, migration) if stands and not ends else ()
        return Surroundings(dependents=dependents, namespace_ends=ends)
    required = migration.spec.requires.migrations if migration.spec.requires else None
    if not required:
        return ALONE
    names = tuple(item.name for item in required)
    known = {migration.name: Neighbour(name=migration.name, requires=names)}
    # Those that are Ready hold nobody back, so no circle that matters leads through them.
    unread = [name for name in names if name not in known]
    while unread:
        bodies = await asyncio.gather(*(cluster.migration(migration.namespace, name) for name in unread))
        read = [neighbour_of(name, body) for name, body in zip(unread, bodies, strict=True)]
        known |= {one.name: one for one in read}
        unread = sorted({name for one in read if not one.ready for name in one.requires} - known.keys())
    waiting = {name: one for name, one in known.items() if not one.ready}
    return Surroundings(required=tuple(known[name] for name in names), circle=circle(migration.name, waiting))


async def _dependents(cluster: Cluster, migration: Migration) -> tuple[Neighbour, ...]:
    bodies = await cluster.migrations(migration.namespace)
    return tuple(
        neighbour_of(body["metadata"]["name"], body)
        for body in bodies
        if migration.name in required_by(body["spec"]) and body["metadata"]["name"] != migration.name
    )
