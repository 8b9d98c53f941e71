"""Whether the history in the database is still as the last run of a migration left it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from schema_operator.api.history_state import NOTHING_APPLIED, fingerprint
from schema_operator.api.report import RunReport
from schema_operator.api.request import Mode
from schema_operator.api.schema_migration import RunOutcome, RunStatus, SchemaMigrationStatus
from schema_operator.api.target_database import TargetDatabaseStatus
from schema_operator.controller.observation import Migration, Observation
from schema_operator.errors import Reason

GOES_ON = (
    RunOutcome.RETRYABLE,
    RunOutcome.KILLED,
    RunOutcome.LOCK_HELD,
    RunOutcome.STOPPED,
    RunOutcome.UNKNOWN,
)
"""Outcomes after which another run comes anyway."""


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


def only_forward(seen: Observation, base: SchemaMigrationStatus, work: str) -> bool:
    """Tell whether the next run may not roll anything back, because what is there beyond the wish came from elsewhere.

    That is so where the same was asked for and reached before, and where a run has come to a stop and the history has
    moved since. An attempt that was cut short in the middle of rollbacks has moved it itself, and is gone on with.
    """
    same = [run for run in takewhile(lambda run: run.work == work, base.runs or []) if run.mode is not Mode.PLAN]
    if any(run.outcome is RunOutcome.DONE or run.reason == Reason.HISTORY_AHEAD for run in same):
        return True
    reader = next((run for run in same if run.version is not None), None)
    return reader is not None and reader.outcome not in GOES_ON and has_moved(seen, base)


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
