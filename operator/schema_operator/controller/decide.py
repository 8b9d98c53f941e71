"""What to do next about one SchemaMigration. Pure: an observation in, a decision out.

A piece of *work* is what is asked for: the generation of the resource and of its target, and the scripts. The runs at
the same work are its attempts. The last recorded run decides:

======================  ====================================================================================
no run at this work     start the first
Done                    Ready
Refused, Failed,        Stalled until the work changes; reasons that lie outside the resource
VerificationFailed,     (`RECHECKED`) are looked at again by a run from time to time
PartlyApplied
Retryable, Killed       next attempt after a wait that doubles; Stalled when the limit is used up
LockHeld, Stopped       next attempt, none counted
Unknown                 ask again until the history can be read; neither applied nor failed
======================  ====================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from schema_operator.api.duration import seconds
from schema_operator.api.model import CONDITION_MESSAGE_LIMIT, Condition
from schema_operator.api.report import Action, Outcome, Progress, RunReport, VerificationResult
from schema_operator.api.schema_migration import (
    ConditionType,
    ProgressStatus,
    RunOutcome,
    RunStatus,
    SchemaMigrationStatus,
    State,
    StatementStatus,
    VerificationStatus,
)
from schema_operator.api.target_database import Retries
from schema_operator.controller import names
from schema_operator.controller.jobs import Start
from schema_operator.controller.observation import Ended, Observation, Run, Target
from schema_operator.errors import Reason

RUNS_KEPT = 10
JOBS_KEPT = 3
"""Finished Jobs kept for their logs."""
PROGRESS_SECONDS = 1.0
"""How often progress is read while a run works."""
PROBLEM_RECHECK_SECONDS = 15.0
"""How often the controller looks again for an object that does not exist; costs one read."""
SECRET_RECHECK_SECONDS = 30.0
"""How often a run looks again at a Secret. The operator may not read Secrets, so only a run can tell."""
LOCK_HELD_SECONDS = 2.0
STOPPED_SECONDS = 1.0
UNKNOWN_SECONDS = 5.0
UNCOUNTED_LIMIT_SECONDS = 60.0

RECHECKED = {
    Reason.SECRET_NOT_FOUND: SECRET_RECHECK_SECONDS,
    Reason.SECRET_KEY_NOT_FOUND: SECRET_RECHECK_SECONDS,
    Reason.AUTH_FAILED: SECRET_RECHECK_SECONDS,
}
"""Refusals whose cause is in a Secret, and how often they are looked at again. Others whose cause is outside the
resource are looked at again after the longest backoff."""
RECHECKED_SLOWLY = frozenset(
    {
        Reason.DATABASE_NOT_FOUND,
        Reason.TLS_FAILED,
        Reason.INVALID_CONNECTION,
        Reason.POOLER_DETECTED,
        Reason.PERMISSION_DENIED,
        Reason.VERSION_IN_THE_WAY,
        Reason.MISSING_DEPENDENCY,
        Reason.RETRIES_EXHAUSTED,
        Reason.DISK_FULL,
    }
)
CONNECTION_REASONS = frozenset(
    {
        Reason.SECRET_NOT_FOUND,
        Reason.SECRET_KEY_NOT_FOUND,
        Reason.AUTH_FAILED,
        Reason.DATABASE_NOT_FOUND,
        Reason.UNREACHABLE,
        Reason.TLS_FAILED,
        Reason.INVALID_CONNECTION,
        Reason.NOT_PRIMARY,
        Reason.POOLER_DETECTED,
        Reason.UNSUPPORTED_SERVER,
        Reason.UNSUPPORTED_ENCODING,
    }
)
"""Reasons that say something about the way to the database and nothing about the scripts."""

_STATES = {
    "Applying": State.APPLYING,
    "Verifying": State.VERIFYING,
    "RollingBack": State.ROLLING_BACK,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing to tell, once a run."""

    type: str
    reason: str
    message: str
    run: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do: a status to show, a run to start, Jobs to delete, things to tell, when to look again (seconds)."""

    status: SchemaMigrationStatus | None = None
    target_report: tuple[Ended, str] | None = None
    """What a run that has just ended says of its target, and the run's name."""
    start: Start | None = None
    delete: tuple[str, ...] = ()
    events: tuple[Event, ...] = ()
    requeue: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """One condition to be: its status, reason and sentence."""

    status: str
    reason: str
    message: str


Verdicts = dict[ConditionType, Verdict]


def decide(seen: Observation) -> Decision:
    """Decide the next step for one migration."""
    if seen.migration.deleting:
        return Decision()
    waiting = _unrecorded(seen)
    if waiting:
        run = waiting[0]
        return _in_flight(seen, run) if run.ended is None else _recorded(seen, run, run.ended)
    lost = seen.migration.status.current_run
    if lost is not None and all(lost.name != item.name for item in seen.runs):
        return _lost(seen, lost)
    return _settle(seen, seen.migration.status)


def work_of(seen: Observation) -> str | None:
    """Give the digest of what is asked for now; None where target or scripts cannot be read."""
    if seen.target is None or seen.scripts_digest is None:
        return None
    return names.work_digest(
        migration=(seen.migration.uid, seen.migration.generation),
        target=(seen.target.uid, seen.target.generation),
        scripts=seen.scripts_digest,
        requested_at=seen.migration.requested_at,
    )


def _unrecorded(seen: Observation) -> tuple[Run, ...]:
    """Give the runs whose end is not in the status yet, oldest first.

    Those older than the last recorded one have been recorded and forgotten, except where the status names one as the
    run in flight or it still works: times of the API server and of the controller cannot be compared.
    """
    status = seen.migration.status
    recorded = status.runs or []
    known = {item.name for item in recorded}
    last_started = recorded[0].started_at or "" if recorded else ""
    current = status.current_run.name if status.current_run else None
    return tuple(
        run
        for run in seen.runs
        if run.name not in known and (run.ended is None or run.name == current or run.created >= last_started)
    )


# A run in flight


def _in_flight(seen: Observation, run: Run) -> Decision:
    current = work_of(seen)
    if run.work != current and not run.started:
        # Nothing has been done yet, and what it would do is no longer asked for. It is taken out of the status too, or
        # its Job would be missed.
        dropped = Verdict("False", "Progressing", f"run {run.name} had not begun; a newer one takes its place")
        without = seen.migration.status.model_copy(update={"current_run": None, "progress": None, "retry_at": None})
        return Decision(
            status=_with(seen, without, State.PENDING, _reconciling(dropped)), delete=(run.name,), requeue=0.2
        )
    status = seen.migration.status
    base = status.model_copy(
        update={
            "current_run": _run_status(run),
            "progress": _progress_status(seen.progress) if seen.progress else None,
            "retry_at": None,
        }
    )
    requeue = PROGRESS_SECONDS if run.started else None
    if run.recheck and run.work == current and _is_true(status, ConditionType.STALLED):
        return Decision(status=_observed(seen, base), requeue=requeue)
    verdict = _working(seen, run, current)
    return Decision(
        status=_with(seen, base, _state_of(status.state, seen.progress), _reconciling(verdict)),
        events=_trouble_event(seen, run),
        requeue=requeue,
    )


def _working(seen: Observation, run: Run, current: str | None) -> Verdict:
    if run.trouble is not None:
        return Verdict("False", run.trouble.reason, f"{run.trouble.message} (Job {run.name})")
    if run.work != current:
        return Verdict(
            "False",
            "WaitingForRun",
            f"run {run.name} of generation {run.generation} is still at work; what has changed since follows "
            f"(generation {seen.migration.generation})",
        )
    message = seen.progress.message if seen.progress else f"run {run.name} is starting"
    return Verdict("False", "Progressing", message)


def _state_of(before: State | None, progress: Progress | None) -> State:
    if progress is None:
        return State.PENDING
    waits = progress.step == "WaitingForLock" and progress.version is not None
    if waits and before is not None and before in _STATES.values():
        return before  # a version that waits for a table is still being applied, or rolled back
    return _STATES.get(progress.step, State.PLANNING)


def _trouble_event(seen: Observation, run: Run) -> tuple[Event, ...]:
    if run.trouble is None or _said(seen, ConditionType.RECONCILING, run.trouble.reason):
        return ()
    return (Event(type="Warning", reason=run.trouble.reason, message=run.trouble.message, run=run.name),)


def _progress_status(progress: Progress) -> ProgressStatus:
    return ProgressStatus(
        step=progress.step,
        version=progress.version,
        statement=progress.statement,
        statements=progress.statements,
        percent=None if progress.percent is None else min(max(progress.percent, 0), 100),
        message=progress.message,
    )


# A run that has ended


def _lost(seen: Observation, lost: RunStatus) -> Decision:
    """Record that a Job is gone before its end was read: nothing is known, but the history knows everything."""
    run = Run(
        name=lost.name,
        work=lost.work,
        number=lost.number,
        failures=lost.failures,
        generation=lost.generation,
        recheck=False,
        created=lost.started_at or timestamp(seen.now),
        started=True,
        pod=None,
        ended=None,
        trouble=None,
    )
    message = (
        f"Job {lost.name} was deleted before its result was read; "
        "the history in the database decides what is left to do"
    )
    return _recorded(seen, run, Ended(outcome=RunOutcome.KILLED, reason=Reason.RUNNER_KILLED, message=message))


def _recorded(seen: Observation, run: Run, ended: Ended) -> Decision:
    """Put the end of a run into the status, and go on from there."""
    status = seen.migration.status
    entry = _run_status(run, ended, seen.now)
    report = ended.report
    update: dict[str, object] = {
        "current_run": None,
        "progress": None,
        "runs": _with_run(status.runs or [], entry, recheck=run.recheck),
    }
    if report is not None and report.version is not None:
        update["version"] = report.version
    if report is not None:
        update["verification"] = _verification_after(status, report)
    base = status.model_copy(update=update)
    others = {item.name for item in _unrecorded(seen)} - {run.name}
    settled = _waiting(seen, base) if others else _settle(seen, base)
    kept = {item.name for item in (base.runs or [])[:JOBS_KEPT]}
    return Decision(
        status=settled.status,
        target_report=(ended, run.name) if run.work == work_of(seen) else None,
        start=settled.start,
        delete=tuple(item.name for item in seen.runs if item.name not in kept | others),
        events=(_end_event(entry, ended), *settled.events),
        requeue=settled.requeue,
    )


def _waiting(seen: Observation, base: SchemaMigrationStatus) -> Decision:
    """Start nothing, because another run has not been looked at yet."""
    verdict = Verdict("False", "Progressing", "another run of this resource is looked at")
    return Decision(status=_with(seen, base, State.PENDING, _reconciling(verdict)), requeue=0.0)


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


def _run_status(run: Run, ended: Ended | None = None, now: datetime | None = None) -> RunStatus:
    report = ended.report if ended else None
    return RunStatus(
        name=run.name,
        work=run.work,
        number=run.number,
        failures=run.failures + (1 if ended and ended.counted else 0),
        generation=run.generation,
        action=report.action if report else None,
        outcome=ended.outcome if ended else None,
        reason=ended.reason if ended else None,
        message=ended.message if ended else None,
        version=report.version if report else None,
        versions=list(report.versions) if report and report.versions else None,
        place=_place(report) if report else None,
        blocker=report.blocker if report else None,
        started_at=run.created,
        finished_at=timestamp(now) if now else None,
    )


def _place(report: RunReport) -> StatementStatus | None:
    place = report.place
    if place is None:
        return None
    return StatementStatus(
        version=place.version,
        file=place.file,
        statement=place.statement,
        statements=place.statements,
        line=place.line,
        column=place.column,
        sqlstate=place.sqlstate,
    )


def _end_event(entry: RunStatus, ended: Ended) -> Event:
    if ended.outcome is RunOutcome.DONE:
        reason = {Action.APPLY: "Applied", Action.ROLLBACK: "RolledBack"}.get(entry.action or Action.NONE, "UpToDate")
        return Event(type="Normal", reason=reason, message=ended.message, run=entry.name)
    return Event(type="Warning", reason=ended.reason or ended.outcome, message=ended.message, run=entry.name)


# No run in flight


def _settle(seen: Observation, base: SchemaMigrationStatus) -> Decision:
    """Decide by the last recorded run."""
    name = seen.migration.spec.database.name
    if seen.target is None and not _invalid(seen):
        message = (
            f"the TargetDatabase {name} does not exist in namespace {seen.migration.namespace}; "
            "create it, or make a SchemaMigration that names another"
        )
        return _stalled(seen, base, Reason.TARGET_NOT_FOUND, message, requeue=PROBLEM_RECHECK_SECONDS, validated=False)
    if seen.problem is not None:
        waits = seen.problem.reason is Reason.CONFIG_MAP_NOT_FOUND
        requeue = PROBLEM_RECHECK_SECONDS if waits else None
        return _stalled(seen, base, seen.problem.reason, str(seen.problem), requeue=requeue, validated=False)
    work = work_of(seen)
    last = base.runs[0] if base.runs else None
    if work is None or seen.target is None or last is None or last.work != work or last.outcome is None:
        return _start(seen, base, failures=0)
    return _after(seen, base, seen.target, last, last.outcome)


def _invalid(seen: Observation) -> bool:
    return seen.problem is not None and seen.problem.reason is Reason.INVALID_SPEC


def _after(
    seen: Observation, base: SchemaMigrationStatus, target: Target, last: RunStatus, outcome: RunOutcome
) -> Decision:
    retries = target.spec.policy.retries
    match outcome:
        case RunOutcome.DONE:
            return _ready(seen, base, last)
        case RunOutcome.REFUSED | RunOutcome.FAILED | RunOutcome.VERIFICATION_FAILED | RunOutcome.PARTLY_APPLIED:
            return _stalled_by_run(seen, base, last, retries)
        case RunOutcome.RETRYABLE | RunOutcome.KILLED:
            if last.failures > retries.limit:
                return _exhausted(seen, base, last, retries)
            wait = _backoff(last.failures, retries) if last.failures else _uncounted_wait(outcome, last.number)
            return _again(seen, base, last, wait)
        case RunOutcome.LOCK_HELD | RunOutcome.STOPPED | RunOutcome.UNKNOWN:
            return _again(seen, base, last, _uncounted_wait(outcome, last.number))


def _start(seen: Observation, base: SchemaMigrationStatus, *, failures: int, recheck: bool = False) -> Decision:
    work = work_of(seen)
    if work is None or seen.scripts_digest is None:
        return Decision()
    migration = seen.migration
    number = _next_number(seen, base, work)
    start = Start(
        name=names.job_name(migration.name, migration.uid, work, number),
        work=work,
        number=number,
        failures=failures,
        recheck=recheck,
        scripts_digest=seen.scripts_digest,
    )
    current = RunStatus(
        name=start.name,
        work=work,
        number=number,
        failures=failures,
        generation=migration.generation,
        started_at=timestamp(seen.now),
    )
    following = base.model_copy(
        update={"current_run": current, "retry_at": None, "scripts_digest": seen.scripts_digest, "progress": None}
    )
    if recheck:
        return Decision(status=_observed(seen, following), start=start)
    verdict = Verdict("False", "Progressing", f"run {start.name} is starting")
    return Decision(status=_with(seen, following, State.PENDING, _reconciling(verdict)), start=start)


def _next_number(seen: Observation, base: SchemaMigrationStatus, work: str) -> int:
    """Give the number of the next run.

    Not simply from 1 where the last run was at other work: a ConfigMap that is changed and changed back, or an
    annotation that is taken away again, gives the same work once more, and a Job's name must not be used twice.
    """
    numbers = [item.number for item in (*seen.runs, *(base.runs or ())) if item.work == work]
    return max(numbers, default=0) + 1


def not_started(
    seen: Observation, reason: str, message: str, *, again: float | None, instead_of: Decision | None = None
) -> Decision:
    """Say that a run could not be started: tried again after `again` seconds, or Stalled where that is None.

    What `instead_of` has recorded of the run before stays recorded.
    """
    recorded = instead_of or Decision()
    base = (recorded.status or seen.migration.status).model_copy(update={"current_run": None, "progress": None})
    if again is None:
        said = _stalled(seen, base, reason, message, requeue=None, validated=False)
    else:
        verdicts = _reconciling(Verdict("False", reason, message))
        said = Decision(status=_with(seen, base, State.PENDING, verdicts), requeue=again)
    return replace(said, target_report=recorded.target_report, events=(*recorded.events, *said.events))


def unreadable(status: SchemaMigrationStatus, generation: int, now: datetime, message: str) -> SchemaMigrationStatus:
    """Give the status of a resource whose spec the API server accepts and we do not: its CRD is of another release."""
    verdict = Verdict("False", Reason.INVALID_SPEC, message)
    unknown = Verdict("Unknown", Reason.INVALID_SPEC, message)
    verdicts = {
        ConditionType.STALLED.value: Verdict("True", Reason.INVALID_SPEC, message),
        ConditionType.VALIDATED.value: verdict,
        ConditionType.APPLIED.value: unknown,
        ConditionType.VERIFIED.value: unknown,
        ConditionType.READY.value: verdict,
    }
    conditions = succeeded(status.conditions, verdicts, generation, now)
    return status.model_copy(
        update={"observed_generation": generation, "state": State.STALLED, "retry_at": None, "conditions": conditions}
    )


def _again(seen: Observation, base: SchemaMigrationStatus, last: RunStatus, wait: float) -> Decision:
    """Try once more when the wait is over."""
    due = _due(seen, last, wait)
    if seen.now >= due:
        return _start(seen, base, failures=last.failures)
    reason = last.reason or last.outcome or "Retrying"
    verdict = Verdict("False", reason, f"{last.message or reason}; the next attempt is due at {timestamp(due)}")
    following = base.model_copy(update={"retry_at": timestamp(due)})
    return Decision(
        status=_with(seen, following, State.PENDING, _reconciling(verdict)),
        requeue=(due - seen.now).total_seconds(),
    )


def _exhausted(seen: Observation, base: SchemaMigrationStatus, last: RunStatus, retries: Retries) -> Decision:
    message = (
        f"given up after {last.failures} failed attempts, the last one because of {last.reason}: {last.message}; "
        f"remove the cause; it is tried again by itself, or at once when the annotation {names.REQUESTED_AT} "
        "gets a new value"
    )
    return _stalled_or_recheck(
        seen, base, last, Reason.RETRIES_EXHAUSTED, message, wait=seconds(retries.max_backoff), validated=None
    )


def _stalled_by_run(seen: Observation, base: SchemaMigrationStatus, last: RunStatus, retries: Retries) -> Decision:
    reason = last.reason or last.outcome or "Failed"
    wait = RECHECKED.get(Reason(reason)) if reason in RECHECKED else None
    if wait is None and reason in RECHECKED_SLOWLY:
        wait = seconds(retries.max_backoff)
    refused = last.outcome is RunOutcome.REFUSED and reason not in CONNECTION_REASONS
    return _stalled_or_recheck(
        seen, base, last, reason, last.message or reason, wait=wait, validated=False if refused else None
    )


def _stalled_or_recheck(
    seen: Observation,
    base: SchemaMigrationStatus,
    last: RunStatus,
    reason: str,
    message: str,
    *,
    wait: float | None,
    validated: bool | None,
) -> Decision:
    stalled = _stalled(seen, base, reason, message, requeue=None, validated=validated, last=last)
    if wait is None or stalled.status is None:
        return stalled
    due = _due(seen, last, max(wait, SECRET_RECHECK_SECONDS))
    if seen.now >= due:
        return _start(seen, stalled.status, failures=last.failures, recheck=True)
    return Decision(status=stalled.status, events=stalled.events, requeue=(due - seen.now).total_seconds())


def _due(seen: Observation, last: RunStatus, wait: float) -> datetime:
    finished = _time(last.finished_at or "1970-01-01T00:00:00Z")
    # A time to come was written by a controller whose clock was ahead; waiting for it could take for ever.
    return seen.now if finished > seen.now else finished + timedelta(seconds=wait)


def _uncounted_wait(outcome: RunOutcome, number: int) -> float:
    """Give the wait after a run that used up no attempt; it grows, because such runs have no limit.

    Not while another run holds the lock: the run itself has waited for it.
    """
    if outcome is RunOutcome.LOCK_HELD:
        return LOCK_HELD_SECONDS
    first = UNKNOWN_SECONDS if outcome is RunOutcome.UNKNOWN else STOPPED_SECONDS
    return min(first * 2.0 ** min(number - 1, 10), UNCOUNTED_LIMIT_SECONDS)


def _backoff(failures: int, retries: Retries) -> float:
    return min(seconds(retries.backoff) * 2.0 ** min(failures - 1, 20), seconds(retries.max_backoff))


# Statuses


def _ready(seen: Observation, base: SchemaMigrationStatus, last: RunStatus) -> Decision:
    changes = (run.action for run in base.runs or [] if run.outcome is RunOutcome.DONE)
    last_change = next((action for action in changes if action in (Action.APPLY, Action.ROLLBACK)), Action.APPLY)
    state = State.ROLLED_BACK if last_change is Action.ROLLBACK else State.APPLIED
    message = last.message or f"version {base.version} is reached"
    verdicts = {
        ConditionType.VALIDATED: Verdict("True", "ScriptsValid", "the scripts can be run"),
        ConditionType.APPLIED: Verdict("True", state, f"the schema is at version {base.version}"),
        ConditionType.VERIFIED: Verdict("True", "Verified", _verified_sentence(base)),
        ConditionType.READY: Verdict("True", state, message),
    }
    following = base.model_copy(update={"retry_at": None, "scripts_digest": seen.scripts_digest})
    return Decision(status=_with(seen, following, state, verdicts))


def _verified_sentence(base: SchemaMigrationStatus) -> str:
    passed = sum(item.result is VerificationResult.PASSED for item in base.verification or [])
    if not passed:
        return "no verification was asked for"
    return "1 verification passed" if passed == 1 else f"{passed} verifications passed"


def _stalled(
    seen: Observation,
    base: SchemaMigrationStatus,
    reason: str,
    message: str,
    *,
    requeue: float | None,
    validated: bool | None,
    last: RunStatus | None = None,
) -> Decision:
    outcome = last.outcome if last else None
    verdict = Verdict("False", reason, message)
    verdicts: Verdicts = {
        ConditionType.STALLED: Verdict("True", reason, message),
        ConditionType.VALIDATED: _validated(validated=validated, outcome=outcome, verdict=verdict),
        ConditionType.APPLIED: _applied(base, outcome, verdict),
        ConditionType.VERIFIED: Verdict("Unknown", reason, "nothing was verified"),
        ConditionType.READY: verdict,
    }
    if reason == Reason.VERIFICATION_FAILED:
        verdicts[ConditionType.VERIFIED] = verdict
    following = base.model_copy(update={"retry_at": None})
    event = Event(
        type="Warning", reason=reason, message=message, run=last.name if last else str(seen.migration.generation)
    )
    return Decision(
        status=_with(seen, following, State.STALLED, verdicts),
        events=() if last or _said(seen, ConditionType.STALLED, reason) else (event,),
        requeue=requeue,
    )


def _applied(base: SchemaMigrationStatus, outcome: RunOutcome | None, verdict: Verdict) -> Verdict:
    """Say how far a migration got that is Stalled because of `verdict`."""
    match outcome:
        case RunOutcome.VERIFICATION_FAILED:
            return Verdict("True", State.APPLIED, f"the schema is at version {base.version}")
        case RunOutcome.PARTLY_APPLIED:
            return Verdict("False", Reason.PARTLY_APPLIED, f"applied in part: {verdict.message}")
        case _:
            return verdict


def _validated(*, validated: bool | None, outcome: RunOutcome | None, verdict: Verdict) -> Verdict:
    if validated is False:
        return verdict
    if outcome in (RunOutcome.FAILED, RunOutcome.VERIFICATION_FAILED, RunOutcome.PARTLY_APPLIED):
        return Verdict("True", "ScriptsValid", "the scripts can be run")
    return Verdict("Unknown", verdict.reason, "the scripts have not been compared with the database yet")


def _reconciling(verdict: Verdict) -> Verdicts:
    unknown = Verdict("Unknown", verdict.reason, verdict.message)
    return {
        ConditionType.RECONCILING: Verdict("True", verdict.reason, verdict.message),
        ConditionType.VALIDATED: unknown,
        ConditionType.APPLIED: unknown,
        ConditionType.VERIFIED: unknown,
        ConditionType.READY: verdict,
    }


def _observed(seen: Observation, base: SchemaMigrationStatus) -> SchemaMigrationStatus:
    return base.model_copy(update={"observed_generation": seen.migration.generation})


def _with(seen: Observation, base: SchemaMigrationStatus, state: State, verdicts: Verdicts) -> SchemaMigrationStatus:
    conditions = succeeded(
        seen.migration.status.conditions,
        {kind.value: verdict for kind, verdict in verdicts.items()},
        seen.migration.generation,
        seen.now,
    )
    return _observed(seen, base.model_copy(update={"state": state, "conditions": conditions}))


def succeeded(before: list[Condition], verdicts: dict[str, Verdict], generation: int, now: datetime) -> list[Condition]:
    """Give the conditions that follow.

    Those named, with the time of the last change kept where the status is the same.
    """
    old = {item.type: item for item in before}
    return [
        Condition(
            type=kind,
            status=verdict.status,
            reason=verdict.reason,
            message=verdict.message[:CONDITION_MESSAGE_LIMIT],
            observed_generation=generation,
            last_transition_time=(
                old[kind].last_transition_time if kind in old and old[kind].status == verdict.status else timestamp(now)
            ),
        )
        for kind, verdict in verdicts.items()
    ]


def _said(seen: Observation, kind: ConditionType, reason: str) -> bool:
    """Tell whether the status says this of this generation already, so that an Event would say it again."""
    return any(
        item.type == kind and item.reason == reason and item.observed_generation == seen.migration.generation
        for item in seen.migration.status.conditions
    )


def _is_true(status: SchemaMigrationStatus, kind: ConditionType) -> bool:
    return any(item.type == kind and item.status == "True" for item in status.conditions)


def timestamp(moment: datetime) -> str:
    """Write a time as Kubernetes does: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
