"""A run is in flight: show what it does, and stop it where it is not wanted any more."""

from __future__ import annotations

from schema_operator.api.report import Progress
from schema_operator.api.schema_migration import ConditionType, ProgressStatus, State
from schema_operator.controller.deciding.decision import Decision, Event
from schema_operator.controller.deciding.gates import said_before
from schema_operator.controller.deciding.statuses import (
    Verdict,
    is_true,
    not_yet,
    observed,
    said,
    with_state,
)
from schema_operator.controller.deciding.work import run_status, work_of
from schema_operator.controller.observation import Observation, Run

PROGRESS_SECONDS = 1.0
"""How often progress is read while a run works."""


_STATES = {
    "Applying": State.APPLYING,
    "Verifying": State.VERIFYING,
    "RollingBack": State.ROLLING_BACK,
}


def in_flight(seen: Observation, run: Run) -> Decision:
    """Say what a run does."""
    current = work_of(seen)
    goes = _goes(seen, run, current)
    if (run.work != current or goes) and not run.started:
        # Nothing has been done yet, and what it would do is no longer asked for. It is taken out of the status too, or
        # its Job would be missed.
        instead = "the resource is being deleted" if goes else "a newer one takes its place"
        dropped = Verdict("False", "Progressing", f"run {run.name} had not begun; {instead}")
        without = seen.migration.status.model_copy(update={"current_run": None, "progress": None, "retry_at": None})
        return Decision(
            status=with_state(seen, without, State.PENDING, not_yet(dropped)), delete=(run.name,), requeue=0.2
        )
    status = seen.migration.status
    base = status.model_copy(
        update={
            "current_run": run_status(run),
            "progress": _progress_status(seen.progress) if seen.progress else _progress_before(seen, run),
            "retry_at": None,
        }
    )
    unread = seen.progress is None and base.progress is not None
    state = status.state if unread and status.state is not None else _state_of(status.state, seen.progress)
    requeue = PROGRESS_SECONDS if run.started else None
    if goes or seen.migration.spec.suspend:
        why = "the resource is being deleted" if goes else "spec.suspend is true"
        stopping = Verdict("False", "Stopping", f"{why}; run {run.name} is stopped at a safe point")
        verdicts = said_before(status) | not_yet(stopping)
        return Decision(
            status=with_state(seen, base, state, verdicts),
            stop=() if run.stopping else (run.name,),
            requeue=PROGRESS_SECONDS,
        )
    if run.recheck and run.work == current and is_true(status, ConditionType.STALLED):
        return Decision(status=observed(seen, base), requeue=requeue)
    verdict = _working(seen, run, current, base.progress)
    return Decision(
        status=with_state(seen, base, state, said_before(status) | not_yet(verdict)),
        events=_trouble_event(seen, run),
        requeue=requeue,
        passing=run.trouble is None,
    )


def _goes(seen: Observation, run: Run, current: str | None) -> bool:
    """Whether the resource is being deleted, and the run is not the rollback before that."""
    migration = seen.migration
    return migration.deleting and (not migration.undo or (current is not None and run.work != current))


def _working(seen: Observation, run: Run, current: str | None, progress: ProgressStatus | None) -> Verdict:
    if run.trouble is not None:
        return Verdict("False", run.trouble.reason, f"{run.trouble.message} (Job {run.name})")
    if run.work != current:
        return Verdict(
            "False",
            "WaitingForRun",
            f"run {run.name} of generation {run.generation} is still at work; what has changed since follows "
            f"(generation {seen.migration.generation})",
        )
    message = progress.message if progress and progress.message else f"run {run.name} is starting"
    return Verdict("False", "Progressing", message)


def _progress_before(seen: Observation, run: Run) -> ProgressStatus | None:
    """Give what was last seen of the same run: a log that cannot be read now does not mean that it begins anew."""
    status = seen.migration.status
    same = run.started and status.current_run is not None and status.current_run.name == run.name
    return status.progress if same else None


def _state_of(before: State | None, progress: Progress | None) -> State:
    if progress is None:
        return State.PENDING
    waits = progress.step == "WaitingForLock" and progress.version is not None
    if waits and before is not None and before in _STATES.values():
        return before  # a version that waits for a table is still being applied, or rolled back
    return _STATES.get(progress.step, State.PLANNING)


def _trouble_event(seen: Observation, run: Run) -> tuple[Event, ...]:
    if run.trouble is None or said(seen, ConditionType.RECONCILING, run.trouble.reason):
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
