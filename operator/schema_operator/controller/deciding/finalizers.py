"""Which of our finalizers a SchemaMigration has, and what is said while its deletion waits. Pure.

`run` is there only while a run is in flight, so that what is deleted in the middle of one is stopped and recorded
first, and what is at rest can be deleted without the operator. `rollback` is there where the schema is to be rolled
back before the resource goes.
"""

from __future__ import annotations

from dataclasses import replace

from schema_operator.api.model import CONDITION_MESSAGE_LIMIT, Condition
from schema_operator.api.request import Mode
from schema_operator.api.schema_migration import (
    ConditionType,
    DeletionPolicy,
    RunOutcome,
    RunStatus,
    SchemaMigrationStatus,
)
from schema_operator.controller import names
from schema_operator.controller.deciding.attempts import CONNECTION_REASONS
from schema_operator.controller.deciding.decision import Decision
from schema_operator.controller.deciding.harvest import RUNS_KEPT
from schema_operator.controller.deciding.work import unrecorded, work_of
from schema_operator.controller.observation import Observation

WAITS = (
    "; the deletion waits for the rollback that spec.deletionPolicy asks for: remove the cause, or set the policy to "
    "Retain to let the resource go and the schema stay"
)
_SPEAKING = (ConditionType.RECONCILING, ConditionType.STALLED, ConditionType.READY)


def with_finalizers(seen: Observation, decision: Decision) -> Decision:
    """Give the decision with the finalizers that are there once it is carried out."""
    wanted = set()
    if _run_is_left(seen, decision):
        wanted.add(names.RUN_FINALIZER)
    if _must_be_rolled_back(
        seen,
        decision.status or seen.migration.status,
        begins=decision.start is not None and decision.start.mode is Mode.RUN,
    ):
        wanted.add(names.ROLLBACK_FINALIZER)
    migration = seen.migration
    if not migration.deleting:
        return replace(decision, finalizers=frozenset(wanted))
    left = frozenset(wanted & set(migration.finalizers))
    if wanted and not left:
        # None can be added any more, and one of ours is enough to hold it: the rollback's, until its run has stopped.
        left = frozenset(migration.finalizers) & {names.ROLLBACK_FINALIZER}
    if not left and decision.status is not None and decision.status.runs == migration.status.runs:
        return replace(decision, status=None, events=(), finalizers=left)  # it goes now, and nobody would read it
    return replace(decision, status=_waiting(seen, decision.status), finalizers=left)


def _run_is_left(seen: Observation, decision: Decision) -> bool:
    """Whether a run is in flight afterwards, or has ended and is not in the status."""
    recorded = {run.name for run in (decision.status or seen.migration.status).runs or ()}
    runs = [run for run in unrecorded(seen) if run.name not in recorded]
    left = [run for run in runs if run.name not in decision.delete]
    another_follows = len(left) < len(runs) and not seen.migration.deleting
    return bool(decision.start is not None or left or another_follows)


def _must_be_rolled_back(seen: Observation, status: SchemaMigrationStatus, *, begins: bool) -> bool:
    migration = seen.migration
    if migration.spec.deletion_policy is not DeletionPolicy.ROLLBACK:
        return False
    runs = [run for run in status.runs or [] if run.mode is not Mode.PLAN]
    works = status.current_run is not None and status.current_run.mode is not Mode.PLAN
    if migration.deleting:
        return migration.undo and not (runs and runs[0].work == work_of(seen) and runs[0].outcome is RunOutcome.DONE)
    return begins or works or (bool(runs) and not _never_there(status, runs))


def _never_there(status: SchemaMigrationStatus, runs: list[RunStatus]) -> bool:
    """Whether no run has ever come as far as the history, so that nothing can be applied."""
    return (
        status.version is None
        and len(runs) < RUNS_KEPT
        and all(
            run.outcome in (RunOutcome.REFUSED, RunOutcome.RETRYABLE) and run.reason in CONNECTION_REASONS
            for run in runs
        )
    )


def _waiting(seen: Observation, status: SchemaMigrationStatus | None) -> SchemaMigrationStatus | None:
    """Say in the conditions that the deletion waits, where it waits for a rollback."""
    if status is None or not seen.migration.undo:
        return status
    return status.model_copy(update={"conditions": [_said(item) for item in status.conditions]})


def _said(item: Condition) -> Condition:
    holds_up = item.type in _SPEAKING and not (item.type == ConditionType.READY and item.status == "True")
    if not holds_up or item.message.endswith(WAITS):
        return item
    return item.model_copy(update={"message": item.message[: CONDITION_MESSAGE_LIMIT - len(WAITS)] + WAITS})
