"""A run has ended: put it into the status, and go on from there."""

from __future__ import annotations

from schema_operator.api.report import Action, Outcome, RunReport, VerificationResult
from schema_operator.api.request import Mode
from schema_operator.api.schema_migration import (
    DatabaseStatus,
    RunOutcome,
    RunStatus,
    SchemaMigrationStatus,
    State,
    VerificationStatus,
)
from schema_operator.api.version import NOTHING
from schema_operator.controller.deciding.approvals import planned
from schema_operator.controller.deciding.decision import Decision, Event
from schema_operator.controller.deciding.history import remembered
from schema_operator.controller.deciding.settled import settle
from schema_operator.controller.deciding.statuses import Verdict, not_yet, timestamp, with_state
from schema_operator.controller.deciding.work import run_status, unrecorded, work_of
from schema_operator.controller.observation import Ended, Observation, Run
from schema_operator.controller.surroundings import is_nothing
from schema_operator.errors import Reason

RUNS_KEPT = 10
JOBS_KEPT = 3
"""Finished Jobs kept for their logs."""


def lost(seen: Observation, entry: RunStatus) -> Decision:
    """Record that a Job is gone before its end was read: nothing is known, but the history knows everything."""
    run = Run(
        name=entry.name,
        work=entry.work,
        number=entry.number,
        failures=entry.failures,
        generation=entry.generation,
        recheck=False,
        created=entry.started_at or timestamp(seen.now),
        mode=entry.mode or Mode.RUN,
        approved_by=entry.approved_by,
        started=True,
        pod=None,
        ended=None,
        trouble=None,
        scripts_image=entry.scripts_image,
    )
    message = (
        f"Job {entry.name} was deleted before its result was read; "
        "the history in the database decides what is left to do"
    )
    return recorded(seen, run, Ended(outcome=RunOutcome.KILLED, reason=Reason.RUNNER_KILLED, message=message))


def recorded(seen: Observation, run: Run, ended: Ended) -> Decision:
    """Put the end of a run into the status, and go on from there."""
    status = seen.migration.status
    entry = run_status(run, ended, seen.now)
    report = ended.report
    update: dict[str, object] = {
        "current_run": None,
        "progress": None,
        "runs": _with_run(status.runs or [], entry, recheck=run.recheck),
    }
    if report is not None and report.version is not None:
        update["version"] = report.version
    if report is not None and run.mode is Mode.PLAN:
        update["plan"] = planned(report, run.work, timestamp(seen.now))
    elif report is not None:
        update["verification"] = _verification_after(status, report)
        update["database"] = _database_after(status, report)
    if report is not None:
        update |= remembered(seen.migration, report)
    if ended.reason is Reason.PLAN_CHANGED:
        update["plan"] = None
    base = status.model_copy(update=update)
    others = {item.name for item in unrecorded(seen)} - {run.name}
    settled = _waiting(seen, base) if others else settle(seen, base)
    kept = {item.name for item in (base.runs or [])[:JOBS_KEPT]}
    return Decision(
        status=settled.status,
        target_report=(ended, run.name) if run.work == work_of(seen) else None,
        start=settled.start,
        delete=tuple(item.name for item in seen.runs if item.name not in kept | others),
        events=(_end_event(entry, ended), *settled.events),
        requeue=settled.requeue,
        in_line=settled.in_line,
    )


def _database_after(status: SchemaMigrationStatus, report: RunReport) -> DatabaseStatus | None:
    """Give the database that is worked on: where something was done or found, not merely where a run has been."""
    at_home = report.outcome in (Outcome.DONE, Outcome.PARTLY_APPLIED) or not is_nothing(report.version or NOTHING)
    if report.server is None or not at_home:
        return status.database
    return DatabaseStatus(system_identifier=report.server.system_identifier or None, name=report.server.database)


def _waiting(seen: Observation, base: SchemaMigrationStatus) -> Decision:
    """Start nothing, because another run has not been looked at yet."""
    verdict = Verdict("False", "Progressing", "another run of this resource is looked at")
    return Decision(status=with_state(seen, base, State.PENDING, not_yet(verdict)), requeue=0.0)


def _verification_after(status: SchemaMigrationStatus, report: RunReport) -> list[VerificationStatus] | None:
    """Give the results that follow; a run that ends well without any leaves only what versions have passed."""
    if report.verification:
        return [
            VerificationStatus(
                name=item.name, result=item.result, version=item.version, expected=item.expected, found=item.found
            )
            for item in report.verification
        ]
    if report.outcome is not Outcome.DONE:
        return status.verification
    if report.action is not Action.NONE:
        return None
    passed = (VerificationResult.PASSED,)
    return [item for item in status.verification or () if item.version and item.result in passed] or None


def _with_run(runs: list[RunStatus], entry: RunStatus, *, recheck: bool) -> list[RunStatus]:
    """Add a run; one that only looked again and found the same replaces the one before it."""
    same = bool(runs) and recheck and (runs[0].work, runs[0].reason) == (entry.work, entry.reason)
    return [entry, *(runs[1:] if same else runs)][:RUNS_KEPT]


def _end_event(entry: RunStatus, ended: Ended) -> Event:
    if entry.mode is Mode.PLAN and ended.outcome is RunOutcome.DONE:
        return Event(type="Normal", reason="Planned", message=ended.message, run=entry.name)
    if ended.outcome is RunOutcome.DONE:
        reason = {Action.APPLY: "Applied", Action.ROLLBACK: "RolledBack"}.get(entry.action or Action.NONE, "UpToDate")
        return Event(type="Normal", reason=reason, message=ended.message, run=entry.name)
    return Event(type="Warning", reason=ended.reason or ended.outcome, message=ended.message, run=entry.name)
