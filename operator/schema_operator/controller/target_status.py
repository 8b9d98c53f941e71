"""The status of a TargetDatabase: what runs and inspections have learnt of it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from schema_operator.api.history_state import NOTHING_APPLIED, HistoryState
from schema_operator.api.report import RunReport
from schema_operator.api.schema_migration import RunOutcome
from schema_operator.api.target_database import (
    InspectionStatus,
    OwnerStatus,
    TargetConditionType,
    TargetDatabaseStatus,
    TargetRun,
)
from schema_operator.api.version import NOTHING
from schema_operator.controller.deciding.attempts import CONNECTION_REASONS
from schema_operator.controller.deciding.statuses import Verdict, succeeded, timestamp
from schema_operator.controller.observation import Ended, Target
from schema_operator.errors import Reason

RUNS_KEPT = 50
OWNERS_KEPT = 50
PASSING = frozenset({Reason.UNREACHABLE, Reason.NOT_PRIMARY})
"""Reasons that may pass without a change of anything."""
UNWORKABLE = frozenset({Reason.PERMISSION_DENIED, Reason.CONTROL_SCHEMA_NEWER, Reason.CONTROL_SCHEMA_DAMAGED})
"""Reasons for which a database refuses whatever is asked of it, although it can be reached."""


_NOTHING_KNOWN: dict[str, object] = dict.fromkeys(
    (
        *("server_version", "system_identifier", "database", "inspected_at"),
        *("version", "version_owner", "applied_versions", "pending"),
        *("history_digest", "history_seen_at", "owners", "owners_left_out"),
    )
)
"""What was learnt through another connection, and may be of another database."""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What is said of a database: whether it can be reached, and whether runs can work there."""

    reachable: Verdict
    ready: Verdict


def first_status(target: Target, now: datetime) -> TargetDatabaseStatus:
    """Give the status of a target at a new generation; with the same connection, what is known stays."""
    status = target.status
    known = status.inspection.connection if status.inspection else None
    if status.observed_generation == target.generation:
        return status
    said = {item.type: Verdict(item.status, item.reason, item.message) for item in status.conditions}
    reachable, ready = said.get(TargetConditionType.REACHABLE), said.get(TargetConditionType.READY)
    if known == target.connection and reachable and ready:
        return _with(target, status, Verdicts(reachable, ready), now)
    elsewhere = known is not None and known != target.connection
    runs = [run.model_copy(update={"pending": None}) for run in status.runs or []] or None
    before = status.model_copy(update=_NOTHING_KNOWN | {"runs": runs}) if elsewhere else status
    return untried(target, before, Verdict("Unknown", "NotTried", _not_tried(target)), now)


def untried(target: Target, status: TargetDatabaseStatus, verdict: Verdict, now: datetime) -> TargetDatabaseStatus:
    """Give the status of a target of which nothing is known, and why."""
    return _with(target, status, Verdicts(verdict, verdict), now)


def not_inspected(target: Target, message: str, now: datetime) -> TargetDatabaseStatus:
    """Say that an inspection could not be started, where nothing else is known."""
    if any(item.type == TargetConditionType.READY and item.status != "Unknown" for item in target.status.conditions):
        return target.status
    return untried(target, target.status, Verdict("Unknown", "JobNotCreated", message), now)


def without_runs_of(status: TargetDatabaseStatus, gone: Collection[str]) -> TargetDatabaseStatus:
    """Give the status without the runs of migrations that are not there any more."""
    if not gone:
        return status
    left = [run for run in status.runs or [] if run.migration not in gone]
    return _counted(status.model_copy(update={"runs": left or None}))


def status_after(target: Target, migration: str, run: str, ended: Ended, now: datetime) -> TargetDatabaseStatus:
    """Give the status of a target after a run has ended."""
    report, status = ended.report, target.status
    entry = TargetRun(
        migration=migration,
        run=run,
        outcome=ended.outcome,
        version=report.version if report else None,
        wanted=report.wanted if report else None,
        pending=report.pending if report else None,
        finished_at=timestamp(now),
    )
    others = [item for item in status.runs or [] if item.migration != migration]
    following = status.model_copy(update={"runs": [entry, *others][:RUNS_KEPT]})
    if report is not None:
        following = _learnt(target, following, report, timestamp(now), now, of_run=migration)
    verdicts = _verdicts(ended)
    if verdicts is not None:
        before = following.inspection or InspectionStatus()
        following = following.model_copy(
            update={"inspection": before.model_copy(update={"connection": target.connection, "failures": 0})}
        )
    return _with(target, _counted(following), verdicts, now)


def status_after_inspection(
    target: Target, ended: Ended, inspection: InspectionStatus, began: str, now: datetime
) -> TargetDatabaseStatus:
    """Give the status of a target after an inspection; `inspection` is what is to be remembered of it.

    What it read of the history counts only where it began after all that is known was seen: it may have been
    overtaken by a run.
    """
    report, status = ended.report, target.status
    following = status.model_copy(update={"inspection": inspection})
    if report is not None:
        following = _learnt(target, following, report, began, now)
    return _with(target, _counted(following), _verdicts(ended), now)


def is_older(began: str, status: TargetDatabaseStatus, now: datetime) -> bool:
    """Tell whether an inspection began before the history was seen as the status has it.

    A time to come was written by a controller whose clock was ahead, and is not believed.
    """
    return began <= (status.history_seen_at or "") <= timestamp(now)


def _learnt(  # noqa: PLR0917 (what is known, what is told, and when)
    target: Target,
    status: TargetDatabaseStatus,
    report: RunReport,
    seen_at: str,
    now: datetime,
    of_run: str | None = None,
) -> TargetDatabaseStatus:
    """Put what a report tells of server and history into a status."""
    update: dict[str, object] = {}
    if report.server is not None:
        update |= {
            "server_version": report.server.version,
            "system_identifier": report.server.system_identifier or None,
            "database": report.server.database,
            "inspected_at": timestamp(now),
        }
    following = status.model_copy(update=update)
    if report.history is None or (of_run is None and is_older(seen_at, status, now)):
        return following
    return _with_history(target, following, report.history, seen_at, of_run)


def _with_history(
    target: Target, status: TargetDatabaseStatus, history: HistoryState, seen_at: str, of_run: str | None
) -> TargetDatabaseStatus:
    runs = status.runs or []
    owners = _owners(history, (_owner(target, run) for run in runs))
    digests = {one.owner: one.digest for one in owners}
    before = {one.owner: one.digest for one in status.owners or []}

    def settled(run: TargetRun) -> TargetRun:
        owner = _owner(target, run)
        moved = run.migration != of_run and owner in before and digests.get(owner) != before[owner]
        return run.model_copy(update={"pending": None}) if moved else run

    return status.model_copy(
        update={
            "version": history.version,
            "version_owner": history.owner,
            "applied_versions": history.versions,
            "history_digest": history.digest,
            "history_seen_at": seen_at,
            "owners": owners[:OWNERS_KEPT],
            "owners_left_out": history.left_out + max(len(owners) - OWNERS_KEPT, 0) or None,
            "runs": [settled(run) for run in runs] or None,
        }
    )


def _owners(history: HistoryState, known: Iterable[str]) -> list[OwnerStatus]:
    """Give what is applied by owner; those that are known and not named have nothing, where all that have are named."""
    found = [
        OwnerStatus(owner=one.owner, version=one.version, versions=one.versions, digest=one.digest)
        for one in history.owners
    ]
    if history.left_out:
        return found
    named = {one.owner for one in found}
    absent = dict.fromkeys(owner for owner in known if owner not in named)
    return [*found, *(OwnerStatus(owner=one, version=NOTHING, versions=0, digest=NOTHING_APPLIED) for one in absent)]


def _owner(target: Target, run: TargetRun) -> str:
    return f"{target.namespace}/{run.migration}"


def _counted(status: TargetDatabaseStatus) -> TargetDatabaseStatus:
    """Count what is pending, where that is known of all."""
    known = [run.pending for run in status.runs or [] if run.pending is not None]
    whole = bool(known) and len(known) == len(status.runs or [])
    return status.model_copy(update={"pending": sum(known) if whole else None})


def _verdicts(ended: Ended) -> Verdicts | None:
    """Say what the end of a run or an inspection tells of its database; None where it tells nothing."""
    refused = Verdict("False", ended.reason or RunOutcome.REFUSED, ended.message)
    if ended.reason in CONNECTION_REASONS:
        return Verdicts(refused, refused)
    if ended.report is None or ended.report.server is None:
        return None
    reached = Verdict("True", "Reachable", "the last run or inspection connected")
    unworkable = ended.outcome is RunOutcome.REFUSED and ended.reason in UNWORKABLE
    return Verdicts(reached, refused if unworkable else reached)


def _with(
    target: Target, status: TargetDatabaseStatus, verdicts: Verdicts | None, now: datetime
) -> TargetDatabaseStatus:
    if verdicts is None:
        return status
    said = {
        TargetConditionType.RECONCILING: _reconciling(target, verdicts.ready),
        TargetConditionType.STALLED: _stalled(verdicts.ready),
        TargetConditionType.REACHABLE: verdicts.reachable,
        TargetConditionType.READY: verdicts.ready,
    }
    present = {kind.value: verdict for kind, verdict in said.items() if verdict is not None}
    conditions = succeeded(target.status.conditions, present, target.generation, now)
    return status.model_copy(update={"observed_generation": target.generation, "conditions": conditions})


def _reconciling(target: Target, ready: Verdict) -> Verdict | None:
    """Say that something goes on by itself: the first look, or the next one at what may pass."""
    if target.spec.inspection.suspend or ready.status == "True":
        return None
    if ready.status == "Unknown" or ready.reason in PASSING:
        return Verdict("True", ready.reason, ready.message)
    return None


def _stalled(ready: Verdict) -> Verdict | None:
    if ready.status != "False" or ready.reason in PASSING:
        return None
    return Verdict("True", ready.reason, ready.message)


def _not_tried(target: Target) -> str:
    if target.spec.inspection.suspend:
        return "no run has connected with these settings yet, and spec.inspection.suspend is true"
    return "nobody has connected with these settings yet; an inspection is about to"
