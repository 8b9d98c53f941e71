"""The states of a SchemaMigration, and what leads from one to another.

Two tables, and nothing else says the same: the conditions of a status follow from `STATES`, the pages of the
documentation are made of both, and a test goes through every state and every cause and compares what `decide` does with
`TRANSITIONS`: what is not in it must change nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum, unique

from schema_operator.api.schema_migration import ConditionType, State


@unique
class Health(StrEnum):
    """What Argo CD is to show (Argo CD documentation, "Resource Health")."""

    PROGRESSING = "Progressing"
    HEALTHY = "Healthy"
    DEGRADED = "Degraded"
    SUSPENDED = "Suspended"


@unique
class Kstatus(StrEnum):
    """What Flux and others read (sigs.k8s.io/cli-utils, pkg/kstatus)."""

    IN_PROGRESS = "InProgress"
    CURRENT = "Current"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a state means, and how programs see it."""

    meaning: str
    abnormal: ConditionType | None = None
    """The condition that is True beside it, of those that are there only while they are True."""
    ready: bool = False
    health: Health = Health.PROGRESSING

    @property
    def kstatus(self) -> Kstatus:
        """What kstatus makes of the conditions."""
        if self.abnormal is ConditionType.STALLED:
            return Kstatus.FAILED
        return Kstatus.CURRENT if self.ready else Kstatus.IN_PROGRESS


_WORKS = ConditionType.RECONCILING

STATES: dict[State, Shape] = {
    State.PENDING: Shape(
        meaning="a run is about to start, or the next attempt (`retryAt`), another migration or the database is waited "
        "for",
        abnormal=_WORKS,
    ),
    State.PLANNING: Shape(meaning="a run connects, waits for a lock or reads the history", abnormal=_WORKS),
    State.AWAITING_APPROVAL: Shape(
        meaning="what is left to do is planned, and waits for an [approval](approvals.md)", health=Health.SUSPENDED
    ),
    State.REJECTED: Shape(
        meaning="somebody has [rejected](approvals.md) the plan",
        abnormal=ConditionType.STALLED,
        health=Health.DEGRADED,
    ),
    State.AWAITING_WINDOW: Shape(
        meaning="something is left to do, and no [maintenance window](windows.md) is open", health=Health.SUSPENDED
    ),
    State.APPLYING: Shape(meaning="a run applies a version", abnormal=_WORKS),
    State.VERIFYING: Shape(meaning="a run checks what it has done", abnormal=_WORKS),
    State.ROLLING_BACK: Shape(meaning="a run rolls a version back", abnormal=_WORKS),
    State.APPLIED: Shape(meaning="done: the wanted version is reached and verified", ready=True, health=Health.HEALTHY),
    State.ROLLED_BACK: Shape(meaning="the same, and the last change led back", ready=True, health=Health.HEALTHY),
    State.STALLED: Shape(
        meaning="it cannot go on until something changes", abnormal=ConditionType.STALLED, health=Health.DEGRADED
    ),
    State.SUSPENDED: Shape(meaning="something is left to do, and `spec.suspend` is true", health=Health.SUSPENDED),
}


@unique
class Cause(StrEnum):
    """What can happen to a migration; the value says it in words."""

    WORK_CHANGED = "something else is asked for"
    RUN_CREATED = "a run is created"
    RUN_PLANS = "the run connects and plans"
    RUN_APPLIES = "the run applies a version"
    RUN_VERIFIES = "the run checks"
    RUN_ROLLS_BACK = "the run rolls a version back"
    DONE = "the run has ended well"
    DONE_ROLLING_BACK = "the run has ended well, and led back"
    REFUSED = "the run was refused, or failed for a cause that does not pass by itself"
    MAY_PASS = "the run failed for a cause that may pass, or was killed"
    EXHAUSTED = "the last attempt has failed"
    LOST = "the Job is gone before its end was read"
    SUSPENDED = "`spec.suspend` is set, and no run works"
    RESUMED = "`spec.suspend` is taken away"
    PLANNED = "a plan is made that nobody has approved yet, and somebody must"
    APPROVED = "somebody approves the plan"
    DISAPPROVED = "somebody rejects the plan"
    WINDOW_CLOSED = "the time to begin has come, and no window is open"
    WINDOW_OPENED = "a window opens"
    HISTORY_MOVED = "something else is applied in the database than the last run has left"
    TARGET_GONE = "the TargetDatabase is deleted"
    SCRIPTS_WRONG = "the scripts are changed, and cannot be run"


@dataclass(frozen=True, slots=True)
class Transition:
    """Something happens in one of some states, and another follows."""

    before: frozenset[State]
    cause: Cause
    after: State


def _lead(before: Iterable[State], cause: Cause, after: State) -> Transition:
    return Transition(frozenset(before) - {after}, cause, after)


AT_WORK = frozenset({State.PENDING, State.PLANNING, State.APPLYING, State.VERIFYING, State.ROLLING_BACK})
"""A run is in flight, or about to be."""
AT_REST = frozenset(STATES) - AT_WORK
_ALL = frozenset(STATES)
_BEGUN = AT_WORK - {State.PENDING}
_ASKED = frozenset({State.AWAITING_APPROVAL, State.REJECTED})
_HELD = frozenset({State.AWAITING_WINDOW, State.SUSPENDED}) | _ASKED
_ENDED = frozenset({State.APPLIED, State.ROLLED_BACK, State.STALLED})

TRANSITIONS: tuple[Transition, ...] = (
    _lead(_ENDED | _ASKED, Cause.WORK_CHANGED, State.PENDING),
    _lead(_ENDED | _ASKED, Cause.HISTORY_MOVED, State.PENDING),
    # What is seen of a run counts, whatever the status said before: a status may be old, a Job is not.
    _lead(_ALL, Cause.RUN_CREATED, State.PENDING),
    _lead(_ALL, Cause.RUN_PLANS, State.PLANNING),
    _lead(_ALL, Cause.RUN_APPLIES, State.APPLYING),
    _lead(_ALL, Cause.RUN_VERIFIES, State.VERIFYING),
    _lead(_ALL, Cause.RUN_ROLLS_BACK, State.ROLLING_BACK),
    _lead(_ALL, Cause.DONE, State.APPLIED),
    _lead(_ALL, Cause.DONE_ROLLING_BACK, State.ROLLED_BACK),
    _lead(_ALL, Cause.REFUSED, State.STALLED),
    _lead(_ALL - _HELD, Cause.MAY_PASS, State.PENDING),
    _lead(_ALL, Cause.EXHAUSTED, State.STALLED),
    _lead(_BEGUN, Cause.LOST, State.PENDING),
    _lead({State.PENDING, State.AWAITING_WINDOW} | _ASKED, Cause.SUSPENDED, State.SUSPENDED),
    _lead({State.SUSPENDED}, Cause.RESUMED, State.PENDING),
    _lead(_ALL - {State.SUSPENDED}, Cause.PLANNED, State.AWAITING_APPROVAL),
    _lead(_ASKED, Cause.APPROVED, State.PENDING),
    _lead({State.AWAITING_APPROVAL}, Cause.DISAPPROVED, State.REJECTED),
    _lead({State.PENDING}, Cause.WINDOW_CLOSED, State.AWAITING_WINDOW),
    _lead({State.AWAITING_WINDOW}, Cause.WINDOW_OPENED, State.PENDING),
    _lead(AT_REST | {State.PENDING}, Cause.TARGET_GONE, State.STALLED),
    _lead(AT_REST | {State.PENDING}, Cause.SCRIPTS_WRONG, State.STALLED),
)
