"""What is done with a migration that is being deleted, whatever it is doing, and which finalizers it has."""

from dataclasses import replace
from typing import Any

import pytest

from schema_operator.api.request import Mode
from schema_operator.api.schema_migration import PlanStatus, RunOutcome, RunStatus, SchemaMigrationStatus
from schema_operator.api.target_database import OwnerStatus, TargetDatabaseStatus
from schema_operator.controller import names
from schema_operator.controller.decide import decide
from schema_operator.controller.deciding.decision import Decision
from schema_operator.controller.deciding.finalizers import WAITS
from schema_operator.controller.observation import Approval, Migration, Observation, Trouble
from schema_operator.controller.surroundings import Surroundings
from schema_operator.errors import Reason, Refused
from unit.controller.scenes import (
    NO,
    SCRIPTS,
    UID,
    ago,
    ended,
    migration,
    observation,
    plan,
    recorded,
    report,
    run,
    says,
    target,
)

RUN, ROLLBACK = names.RUN_FINALIZER, names.ROLLBACK_FINALIZER
POLICY: dict[str, Any] = {"deletionPolicy": "Rollback"}
UNDONE = names.work_digest(
    migration=(UID, "asked 1 undone"), target=("target-uid", "asked 1"), scripts=SCRIPTS, requested_at=None
)


def going(status: SchemaMigrationStatus | None = None, *finalizers: str, **spec: object) -> Migration:
    return migration(status=status, deleting=True, finalizers=finalizers or (RUN,), **spec)  # type: ignore[arg-type]  # as in scenes


def undoing(outcome: RunOutcome, **extra: object) -> SchemaMigrationStatus:
    """A status whose last run was the rollback before the deletion, and ended so."""
    return recorded(outcome, **({"work": UNDONE, "name": names.job_name("shop", UID, UNDONE, 1)} | extra))  # type: ignore[arg-type]  # as in scenes


FLIGHT = SchemaMigrationStatus(
    observed_generation=1, current_run=RunStatus(name=run().name, work=run().work, number=1, generation=1)
)
BOTH = (RUN, ROLLBACK)
# Each line: what was seen, and of the decision: the version a run is started for, Jobs stopped and deleted (number of
# them), the finalizers that are left, and Ready's reason where a status is written.
LEAVING: list[tuple[str, Observation, bool, int, int, set[str], str | None]] = [
    ("nothing was run", observation(going()), False, 0, 0, set(), None),
    ("a run works", observation(going(FLIGHT), runs=(run(),)), False, 1, 0, {RUN}, "Stopping"),
    ("it was told to stop", observation(going(FLIGHT), runs=(run(stopping=True),)), False, 0, 0, {RUN}, "Stopping"),
    ("its pod waits", observation(going(FLIGHT), runs=(run(started=False),)), False, 0, 1, set(), None),
    (
        "its pod cannot start",
        observation(
            going(FLIGHT), runs=(run(started=False, trouble=Trouble(reason=Reason.UNSCHEDULABLE, message="full")),)
        ),
        False,
        0,
        1,
        set(),
        None,
    ),
    (
        "it has stopped",
        observation(going(FLIGHT), runs=(run(ended=ended(RunOutcome.STOPPED, reason=Reason.STOPPED)),)),
        False,
        0,
        0,
        set(),
        "Deleting",
    ),
    (
        "it was done before it was told",
        observation(going(FLIGHT), runs=(run(ended=ended()),)),
        False,
        0,
        0,
        set(),
        "Applied",
    ),
    ("its Job is gone, as in a namespace that ends", observation(going(FLIGHT)), False, 0, 0, set(), "Deleting"),
    (
        "done, and the finalizer was left by a crash",
        observation(going(recorded(RunOutcome.DONE))),
        False,
        0,
        0,
        set(),
        None,
    ),
    (
        "an attempt is due",
        observation(going(recorded(RunOutcome.RETRYABLE, failures=1, seconds_ago=60))),
        False,
        0,
        0,
        set(),
        None,
    ),
    ("stalled", observation(going(recorded(RunOutcome.FAILED, reason="SyntaxError"))), False, 0, 0, set(), None),
    ("suspended", observation(going(suspend=True)), False, 0, 0, set(), None),
    ("the target is gone", replace(observation(going()), target=None), False, 0, 0, set(), None),
    (
        "a run works and the target is gone",
        replace(observation(going(FLIGHT), runs=(run(),)), target=None),
        False,
        1,
        0,
        {RUN},
        "Stopping",
    ),
    # And those that are rolled back first.
    (
        "done, to be rolled back",
        observation(going(recorded(RunOutcome.DONE), ROLLBACK, **POLICY)),
        True,
        0,
        0,
        {ROLLBACK},
        "Progressing",
    ),
    (
        "a run works, to be rolled back",
        observation(going(FLIGHT, *BOTH, **POLICY), runs=(run(),)),
        False,
        1,
        0,
        {RUN, ROLLBACK},
        "Stopping",
    ),
    (
        "a pod waits, to be rolled back",
        observation(going(FLIGHT, *BOTH, **POLICY), runs=(run(started=False),)),
        False,
        0,
        1,
        {ROLLBACK},
        "Progressing",
    ),
    (
        "it has stopped, to be rolled back",
        observation(
            going(FLIGHT, *BOTH, **POLICY), runs=(run(ended=ended(RunOutcome.STOPPED, reason=Reason.STOPPED)),)
        ),
        True,
        0,
        0,
        {RUN, ROLLBACK},
        "Progressing",
    ),
    (
        "the rollback works",
        observation(going(FLIGHT, *BOTH, **POLICY), runs=(run(work=UNDONE),)),
        False,
        0,
        0,
        {RUN, ROLLBACK},
        "Progressing",
    ),
    (
        "the rollback works and the target is gone",
        replace(observation(going(FLIGHT, *BOTH, **POLICY), runs=(run(work=UNDONE),)), target=None),
        False,
        0,
        0,
        {RUN, ROLLBACK},
        "WaitingForRun",
    ),
    (
        "the rollback is done",
        observation(going(FLIGHT, *BOTH, **POLICY), runs=(run(work=UNDONE, ended=ended()),)),
        False,
        0,
        0,
        set(),
        "Applied",
    ),
    (
        "the rollback was recorded and the controller restarted",
        observation(going(undoing(RunOutcome.DONE), ROLLBACK, **POLICY)),
        False,
        0,
        0,
        set(),
        None,
    ),
    (
        "the rollback was refused",
        observation(going(undoing(RunOutcome.REFUSED, reason="NotReversible"), ROLLBACK, **POLICY)),
        False,
        0,
        0,
        {ROLLBACK},
        "NotReversible",
    ),
    (
        "the rollback may pass later",
        observation(going(undoing(RunOutcome.RETRYABLE, failures=1, reason="LockTimeout"), ROLLBACK, **POLICY)),
        False,
        0,
        0,
        {ROLLBACK},
        "LockTimeout",
    ),
    (
        "to be rolled back, and suspended",
        observation(going(recorded(RunOutcome.DONE), ROLLBACK, suspend=True, **POLICY)),
        False,
        0,
        0,
        {ROLLBACK},
        "Suspended",
    ),
    (
        "to be rolled back, and the target is gone",
        replace(observation(going(recorded(RunOutcome.DONE), ROLLBACK, **POLICY)), target=None),
        False,
        0,
        0,
        {ROLLBACK},
        "TargetNotFound",
    ),
    (
        "to be rolled back, and the namespace ends",
        observation(going(recorded(RunOutcome.DONE), ROLLBACK, **POLICY), around=Surroundings(namespace_ends=True)),
        False,
        0,
        0,
        set(),
        None,
    ),
    (
        "the rollback works, and the namespace ends",
        observation(going(FLIGHT, *BOTH, **POLICY), runs=(run(work=UNDONE),), around=Surroundings(namespace_ends=True)),
        False,
        1,
        0,
        {RUN},
        "Stopping",
    ),
    (
        "the policy was set back to Retain while the rollback stalled",
        observation(going(undoing(RunOutcome.REFUSED, reason="NotReversible"), ROLLBACK)),
        False,
        0,
        0,
        set(),
        None,
    ),
    (
        "the policy was set back to Retain while the rollback works",
        observation(going(FLIGHT, *BOTH), runs=(run(work=UNDONE),)),
        False,
        1,
        0,
        {RUN},
        "Stopping",
    ),
    (
        "the same, where no other finalizer could be added",
        observation(going(FLIGHT, ROLLBACK), runs=(run(work=UNDONE),)),
        False,
        1,
        0,
        {ROLLBACK},
        "Stopping",
    ),
    (
        "the policy was set when it was too late",
        observation(going(recorded(RunOutcome.DONE), RUN, **POLICY)),
        False,
        0,
        0,
        set(),
        None,
    ),
]


@pytest.mark.parametrize(
    ("seen", "starts", "stopped", "deleted", "left", "reason"),
    [row[1:] for row in LEAVING],
    ids=[row[0] for row in LEAVING],
)
def test_deletion(  # noqa: PLR0917 (a row of the table)
    seen: Observation, starts: bool, stopped: int, deleted: int, left: set[str], reason: str | None
) -> None:
    decision = decide(seen)
    assert (decision.start is not None, len(decision.stop), len(decision.delete)) == (starts, stopped, deleted)
    assert decision.finalizers == left
    assert decision.start is None or decision.start.work == UNDONE
    assert _reason(decision) == reason
    if reason is None:
        assert decision.events == ()


def _reason(decision: Decision) -> str | None:
    if decision.status is None:
        return None
    return next(item.reason for item in decision.status.conditions if item.type == "Ready")


def test_what_has_no_finalizer_of_ours_is_left_to_go() -> None:
    gone = migration(deleting=True, finalizers=("foregroundDeletion",), **POLICY)
    assert decide(observation(gone, runs=(run(),))) == Decision()


@pytest.mark.parametrize(
    "status",
    [recorded(RunOutcome.DONE), undoing(RunOutcome.REFUSED, reason="NotReversible"), FLIGHT],
    ids=["begins", "refused", "stopping"],
)
def test_it_is_said_that_the_deletion_waits_and_how_to_end_that(status: SchemaMigrationStatus) -> None:
    seen = observation(going(status, *BOTH, **POLICY), runs=(run(),) if status is FLIGHT else ())
    decision = decide(seen)
    assert decision.status is not None
    said = {item.type: item.message for item in decision.status.conditions}
    assert said["Ready"].endswith(WAITS)
    again = decide(replace(seen, migration=replace(seen.migration, status=decision.status)))
    assert again.status is None or all(item.message.count(WAITS) <= 1 for item in again.status.conditions)


def test_a_rollback_before_the_deletion_asks_for_nothing_but_that() -> None:
    asked = going(
        None,
        ROLLBACK,
        **POLICY,
        verify=[{"name": "v", "sql": "SELECT true"}],
        requires={"migrations": [{"name": "other"}]},
        baseline="1.0.0",
    ).spec
    assert (asked.version, asked.verify, asked.requires, asked.baseline) == ("0", None, None, None)


# Each line: what was seen of a migration that stays, and the finalizers it has afterwards.
STAYING = [
    ("a run is started", observation(), {RUN}),
    ("a run is started, Rollback", observation(migration(**POLICY)), {RUN, ROLLBACK}),
    ("a run works", observation(migration(status=FLIGHT), runs=(run(),)), {RUN}),
    ("a run works, not in the status yet", observation(runs=(run(),)), {RUN}),
    ("a run has ended and the next follows", observation(migration(generation=2), runs=(run(ended=ended()),)), {RUN}),
    ("the last run has ended", observation(runs=(run(ended=ended(report=report())),)), set()),
    ("done", observation(migration(status=recorded(RunOutcome.DONE))), set()),
    ("done, Rollback", observation(migration(status=recorded(RunOutcome.DONE), **POLICY)), {ROLLBACK}),
    ("stalled, Rollback", observation(migration(status=recorded(RunOutcome.FAILED), **POLICY)), {ROLLBACK}),
    (
        "never reached a database, Rollback",
        observation(
            migration(
                status=recorded(RunOutcome.REFUSED, reason="AuthFailed").model_copy(update={"version": None}), **POLICY
            )
        ),
        set(),
    ),
    (
        "was there before, Rollback",
        observation(migration(status=recorded(RunOutcome.REFUSED, reason="AuthFailed"), **POLICY)),
        {ROLLBACK},
    ),
    ("held before its first run, Rollback", observation(migration(suspend=True, **POLICY)), set()),
    (
        "two runs have ended and one is recorded",
        observation(
            runs=(
                run(1, ended=ended(RunOutcome.LOCK_HELD), created=ago(5)),
                run(2, ended=ended(), created=ago(5)),
            )
        ),
        {RUN},
    ),
    (
        "a run that had not begun is dropped for another",
        observation(migration(generation=2), runs=(run(started=False),)),
        {RUN},
    ),
    ("a script is wrong", observation(problem=Refused(Reason.EMPTY_MIGRATION, "no")), set()),
]


@pytest.mark.parametrize(("seen", "left"), [row[1:] for row in STAYING], ids=[row[0] for row in STAYING])
def test_a_finalizer_is_there_only_while_it_is_needed(seen: Observation, left: set[str]) -> None:
    assert decide(seen).finalizers == left


@pytest.mark.parametrize("undone", [True, False])
def test_a_rollback_before_the_deletion_is_not_told_to_go_forward_only(undone: bool) -> None:
    """A history that has moved makes a run look, which only goes forward: that could never take anything back."""
    came: dict[str, Any] = {"reason": "NotReversible", "version": "1.0.0"}
    status = undoing(RunOutcome.REFUSED, **came) if undone else recorded(RunOutcome.FAILED, **came)
    status = status.model_copy(update={"history_digest": "left"})
    owner = OwnerStatus(owner="shop/shop", version="1.0.0", versions=1, digest="moved")
    told = TargetDatabaseStatus(history_seen_at=ago(0), owners=[owner])
    of = going(status, ROLLBACK, **POLICY) if undone else migration(status=status)
    decision = decide(observation(of, at=replace(target(), status=told)))
    assert (decision.start is None) is undone
    assert decision.start is None or decision.start.only_forward


def test_a_plan_is_no_rollback_and_makes_none_due() -> None:
    planned = undoing(RunOutcome.DONE, mode="Plan")
    going_on = decide(observation(going(planned, ROLLBACK, **POLICY)))
    assert going_on.finalizers == {ROLLBACK}
    only_planned = recorded(RunOutcome.DONE, mode="Plan")
    asking = target(approval={"apply": "Required"})
    assert decide(observation(migration(**POLICY), at=asking)).finalizers == {RUN}
    held = decide(observation(migration(status=only_planned, suspend=True, **POLICY), at=asking))
    assert held.finalizers == frozenset()


BOTH_WAIT: dict[str, Any] = {"apply": "Required", "rollback": "Required"}
BACK = plan(0, 2).model_copy(update={"work": UNDONE})
# Each line: what waits for approvals, the plan there is, what was said of it; and of the decision: the reason of Ready,
# how a run is started, and who is said to have approved it.
APPROVING: list[tuple[str, dict[str, Any], PlanStatus, tuple[Approval, ...], str, Mode | None, str | None]] = [
    ("what was applied was planned", BOTH_WAIT, plan(2), (says(),), "Progressing", Mode.PLAN, None),
    ("nobody has said anything", BOTH_WAIT, BACK, (), "AwaitingApproval", None, None),
    ("the yes is that to what was applied", BOTH_WAIT, BACK, (says(digest="b" * 64),), "AwaitingApproval", None, None),
    ("a no", BOTH_WAIT, BACK, (says(NO),), "Rejected", None, None),
    ("a yes", BOTH_WAIT, BACK, (says(),), "Progressing", Mode.RUN, "alice"),
    ("only applying waits", {"apply": "Required"}, BACK, (), "Progressing", Mode.RUN, None),
]


@pytest.mark.parametrize(
    ("policy", "of", "approvals", "reason", "mode", "approver"),
    [row[1:] for row in APPROVING],
    ids=[row[0] for row in APPROVING],
)
def test_a_rollback_before_the_deletion_waits_for_a_yes_of_its_own(
    *,
    policy: dict[str, Any],
    of: PlanStatus,
    approvals: tuple[Approval, ...],
    reason: str,
    mode: Mode | None,
    approver: str | None,
) -> None:
    last = undoing(RunOutcome.DONE, mode="Plan") if of is BACK else recorded(RunOutcome.DONE)
    going_back = going(last.model_copy(update={"plan": of}), ROLLBACK, **POLICY)
    decision = decide(observation(going_back, at=target(approval=policy), approvals=approvals))
    assert decision.status is not None
    (ready,) = [item for item in decision.status.conditions if item.type == "Ready"]
    assert (ready.status, ready.reason) == ("False", reason)
    assert ready.message.endswith(WAITS)
    assert (decision.start.mode if decision.start else None) is mode
    assert (decision.start.approved_by if decision.start else None) == approver
    assert ROLLBACK in decision.finalizers
