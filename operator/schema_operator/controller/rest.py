"""Is there nothing to do about a migration? Told from what the watches have shown, without a request.

After a restart every object is heard of once, and each event of a thousand resources that are done would otherwise
cost four reads. What is told here may be old: a wrong No costs reads, and a wrong Yes is mended by the event that made
the view old, or by the next round over everything.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from schema_operator.api.schema_migration import State
from schema_operator.controller.decide import decide
from schema_operator.controller.deciding.decision import Decision
from schema_operator.controller.observation import Migration, Observation, Target, migration_of

_DONE = (State.APPLIED, State.ROLLED_BACK)


def is_at_rest(body: Mapping[str, Any], target: Target | None, jobs: Collection[str], now: datetime) -> bool:
    """Tell whether a migration is done and recorded as such, so that looking at it would change nothing.

    `jobs` are the names of its Jobs. Scripts in ConfigMaps may have changed unheard; the next round looks at them.
    """
    try:
        migration = migration_of(body)
    except ValidationError:
        return False
    if target is None or not _is_recorded(migration, jobs):
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
    return decide(seen) == Decision(status=migration.status)


def _is_recorded(migration: Migration, jobs: Collection[str]) -> bool:
    status = migration.status
    return (
        not migration.deleting
        and status.observed_generation == migration.generation
        and status.state in _DONE
        and status.current_run is None
        and set(jobs) <= {run.name for run in status.runs or ()}
    )
