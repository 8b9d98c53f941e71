"""Whether the history in the database is still as the last run of a migration left it."""

from __future__ import annotations

from collections.abc import Sequence

from schema_operator.api.history_state import NOTHING_APPLIED, fingerprint
from schema_operator.api.report import RunReport
from schema_operator.api.schema_migration import RunStatus, SchemaMigrationStatus
from schema_operator.api.target_database import TargetDatabaseStatus
from schema_operator.controller.observation import Migration, Observation


def remembered(migration: Migration, report: RunReport) -> dict[str, object]:
    """Give what a status keeps of the history a run has left; nothing where the run could not tell."""
    history = report.history
    if history is None:
        return {}
    counted = {one.owner: one.digest for one in history.owners if one.counted}
    own = _owner(migration)
    if own not in counted or len(counted) != history.counted:
        return {"history_digest": None, "relies_on": None}
    others = [one for one in counted if one != own]
    return {"history_digest": _together([counted[own], *(counted[one] for one in others)]), "relies_on": others or None}


def has_moved(seen: Observation, base: SchemaMigrationStatus) -> bool:
    """Tell whether something else is applied now than the last run that read the history has left."""
    told = seen.target.status if seen.target else None
    if told is None or told.history_seen_at is None or base.history_digest is None:
        return False
    reader = next((run for run in base.runs or [] if run.version is not None), None)
    if reader is not None and told.history_seen_at <= (reader.finished_at or ""):
        return False
    found = _digest(told, [_owner(seen.migration), *(base.relies_on or ())])
    return found is not None and found != base.history_digest


def is_news(seen: Observation, last: RunStatus) -> bool:
    """Tell whether the history was seen after the last run has ended, so that another would find something else."""
    told = seen.target.status.history_seen_at if seen.target else None
    return told is not None and told > (last.finished_at or "")


def _owner(migration: Migration) -> str:
    return f"{migration.namespace}/{migration.name}"


def _digest(told: TargetDatabaseStatus, owners: Sequence[str]) -> str | None:
    """Give the fingerprint of some owners; None where one is not told of."""
    known = {one.owner: one.digest for one in told.owners or []}
    absent = None if told.owners_left_out else NOTHING_APPLIED
    found = [known.get(one, absent) for one in owners]
    return None if None in found else _together([one for one in found if one is not None])


def _together(digests: Sequence[str]) -> str:
    """Give one fingerprint for those of several owners; of a single one, that is its own."""
    return digests[0] if len(digests) == 1 else fingerprint((one,) for one in digests)
