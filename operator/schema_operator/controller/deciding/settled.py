"""No run is in flight: the last recorded one decides what comes next."""

from __future__ import annotations

from dataclasses import replace

from schema_operator.api.duration import seconds
from schema_operator.api.request import Mode
from schema_operator.api.schema_migration import ConditionType, RunOutcome, RunStatus, SchemaMigrationStatus, State
from schema_operator.api.target_database import Retries
from schema_operator.controller import names
from schema_operator.controller.deciding.approvals import keeping_to, plan_is_missing, plan_of
from schema_operator.controller.deciding.attempts import (
    CONNECTION_REASONS,
    PROBLEM_RECHECK_SECONDS,
    RECHECKED,
    RECHECKED_SLOWLY,
    SECRET_RECHECK_SECONDS,
    backoff,
    due,
    uncounted_wait,
)
from schema_operator.controller.deciding.decision import Decision, Event
from schema_operator.controller.deciding.gates import Passages, passages, soonest
from schema_operator.controller.deciding.history import GOES_ON, has_moved, is_news, only_forward
from schema_operator.controller.deciding.statuses import (
    Verdict,
    not_yet,
    observed,
    ready,
    stalled,
    timestamp,
    with_state,
)
from schema_operator.controller.deciding.work import scripts_image, work_of
from schema_operator.controller.jobs import Start
from schema_operator.controller.observation import Observation, Target
from schema_operator.errors import Reason

_MOVED = (
    "what is applied in the database is not what the last run left (an older backup was restored, or somebody went "
    "back or ahead); a run looks at it"
)


def settle(seen: Observation, base: SchemaMigrationStatus) -> Decision:
    """Decide by the last recorded run."""
    base = _without_old_plan(seen, base)
    name = seen.migration.spec.database.name
    if seen.target is None and not _invalid(seen):
        message = (
            f"the TargetDatabase {name} does not exist in namespace {seen.migration.namespace}; "
            "create it, or make a SchemaMigration that names another"
        )
        return stalled(seen, base, Reason.TARGET_NOT_FOUND, message, requeue=PROBLEM_RECHECK_SECONDS, validated=False)
    if seen.problem is not None:
        waits = seen.problem.reason is Reason.CONFIG_MAP_NOT_FOUND
        requeue = PROBLEM_RECHECK_SECONDS if waits else None
        return stalled(seen, base, seen.problem.reason, str(seen.problem), requeue=requeue, validated=False)
    work = work_of(seen)
    last = base.runs[0] if base.runs else None
    if work is None or seen.target is None or last is None or last.work != work or last.outcome is None:
        return start(seen, base, failures=0)
    moved = last.outcome not in GOES_ON and is_news(seen, last) and has_moved(seen, base)
    if moved and not seen.migration.undo:
        unplanned = base.model_copy(update={"plan": None})
        return start(seen, unplanned, failures=0, why=Verdict("False", "HistoryMoved", _MOVED))
    return _after(seen, base, seen.target, last, last.outcome)


def _without_old_plan(seen: Observation, base: SchemaMigrationStatus) -> SchemaMigrationStatus:
    """Forget the plan of what is no longer asked for; where that cannot be told now, it stays."""
    work = work_of(seen)
    old = work is not None and base.plan is not None and base.plan.work != work
    return base.model_copy(update={"plan": None}) if old else base


def _invalid(seen: Observation) -> bool:
    return seen.problem is not None and seen.problem.reason is Reason.INVALID_SPEC


def _after(
    seen: Observation, base: SchemaMigrationStatus, target: Target, last: RunStatus, outcome: RunOutcome
) -> Decision:
    retries = target.spec.policy.retries
    match outcome:
        case RunOutcome.DONE:
            return start(seen, base, failures=0) if last.mode is Mode.PLAN else ready(seen, base, last)
        case RunOutcome.REFUSED | RunOutcome.FAILED | RunOutcome.VERIFICATION_FAILED | RunOutcome.PARTLY_APPLIED:
            return _stalled_by_run(seen, base, last, retries)
        case RunOutcome.RETRYABLE | RunOutcome.KILLED:
            if last.failures > retries.limit:
                return _exhausted(seen, base, last, retries)
            wait = backoff(last.failures, retries) if last.failures else uncounted_wait(outcome, last.number)
            return _again(seen, base, last, wait)
        case RunOutcome.LOCK_HELD | RunOutcome.STOPPED | RunOutcome.UNKNOWN:
            return _again(seen, base, last, uncounted_wait(outcome, last.number))


def start(
    seen: Observation,
    base: SchemaMigrationStatus,
    *,
    failures: int,
    recheck: bool = False,
    why: Verdict | None = None,
) -> Decision:
    """Start a run, unless a gate holds it; `why` is what is said of it where it is not simply the next."""
    work = work_of(seen)
    if work is None or seen.scripts_digest is None:
        return Decision()
    migration = seen.migration
    number = _next_number(seen, base, work)
    through = passages(seen, base)
    if through.hold is not None:
        # A run that would only look again at what made the resource Stalled: it stays so.
        if recheck:
            return Decision(status=base, requeue=through.again, in_line=through.hold.in_line)
        return _held(seen, base, through)
    plan = plan_of(seen, base)
    mode = Mode.PLAN if plan_is_missing(seen, base) else Mode.RUN
    begun = Start(
        name=names.job_name(migration.name, migration.uid, work, number),
        work=work,
        number=number,
        failures=failures,
        recheck=recheck,
        scripts_digest=seen.scripts_digest,
        mode=mode,
        planned=keeping_to(seen, plan, through.approved_by),
        approved_by=through.approved_by,
        only_forward=not migration.undo and only_forward(seen, base, work),
        emergency=through.emergency,
        scripts_image=scripts_image(seen, base, work),
    )
    current = RunStatus(
        name=begun.name,
        work=work,
        number=number,
        failures=failures,
        generation=migration.generation,
        mode=begun.status_mode,
        approved_by=begun.approved_by,
        started_at=timestamp(seen.now),
        scripts_image=begun.scripts_image,
    )
    following = base.model_copy(
        update={
            "current_run": current,
            "retry_at": None,
            "scripts_digest": seen.scripts_digest,
            "progress": None,
            "plan": plan,
        }
    )
    events = (*_approved(through, begun), *_emergency(begun))
    if recheck:
        return Decision(status=observed(seen, following), start=begun, events=events)
    verdict = why or Verdict("False", "Progressing", f"run {begun.name} is starting")
    verdicts = through.verdicts | not_yet(verdict)
    told = () if why is None else (Event(type="Warning", reason=why.reason, message=why.message, run=begun.name),)
    told = (*told, *events)
    return Decision(status=with_state(seen, following, State.PENDING, verdicts), start=begun, events=told)


def _approved(through: Passages, begun: Start) -> tuple[Event, ...]:
    """Tell who has approved what a run is about to do."""
    verdict = through.verdicts.get(ConditionType.APPROVED)
    if verdict is None or begun.approved_by is None:
        return ()
    return (Event(type="Normal", reason=verdict.reason, message=verdict.message, run=begun.name),)


def _emergency(begun: Start) -> tuple[Event, ...]:
    if begun.emergency is None:
        return ()
    message = f"run {begun.name} begins outside of maintenance windows: {begun.emergency}"
    return (Event(type="Warning", reason="Emergency", message=message, run=begun.name),)


def _held(seen: Observation, base: SchemaMigrationStatus, through: Passages) -> Decision:
    """Say why no run is started."""
    hold = through.hold
    if hold is None:
        return Decision()
    if hold.stalled:
        return stalled(
            seen,
            base,
            hold.reason,
            hold.message,
            requeue=through.again,
            validated=None,
            state=hold.state,
            beside=through.verdicts,
        )
    verdict = Verdict("False", hold.reason, hold.message)
    verdicts = through.verdicts | not_yet(verdict)
    following = base.model_copy(update={"retry_at": None, "scripts_digest": seen.scripts_digest})
    events = () if hold.event is None else (hold.event,)
    status = with_state(seen, following, hold.state, verdicts)
    return Decision(status=status, events=events, requeue=through.again, in_line=hold.in_line)


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
        said = stalled(seen, base, reason, message, requeue=None, validated=False)
    else:
        verdicts = not_yet(Verdict("False", reason, message))
        said = Decision(status=with_state(seen, base, State.PENDING, verdicts), requeue=again)
    return replace(said, target_report=recorded.target_report, events=(*recorded.events, *said.events))


def _again(seen: Observation, base: SchemaMigrationStatus, last: RunStatus, wait: float) -> Decision:
    """Try once more when the wait is over."""
    when = due(seen, last, wait)
    through = passages(seen, base)
    held = through.hold is not None and not through.hold.in_line  # nobody stands in line before it is due
    if seen.now >= when or held:
        return start(seen, base, failures=last.failures)
    reason = last.reason or last.outcome or "Retrying"
    verdict = Verdict("False", reason, f"{last.message or reason}; the next attempt is due at {timestamp(when)}")
    following = base.model_copy(update={"retry_at": timestamp(when)})
    return Decision(
        status=with_state(seen, following, State.PENDING, through.verdicts | not_yet(verdict)),
        requeue=soonest((when - seen.now).total_seconds(), through.again),
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
    said = stalled(seen, base, reason, message, requeue=None, validated=validated, last=last)
    if wait is None or said.status is None:
        return said
    when = due(seen, last, max(wait, SECRET_RECHECK_SECONDS))
    if seen.now >= when:
        return start(seen, said.status, failures=last.failures, recheck=True)
    return Decision(status=said.status, events=said.events, requeue=(when - seen.now).total_seconds())
