"""Plans that wait for a person: what is planned, who has said what, and what is done then."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from schema_operator.api.report import Action, Outcome, VerificationResult
from schema_operator.api.request import Mode, PlannedWork
from schema_operator.api.schema_migration import (
    PlanStatus,
    RunOutcome,
    SchemaMigrationStatus,
    State,
    VerificationStatus,
)
from schema_operator.api.target_database import ApprovalPolicy, ApprovalRule, OwnerStatus, TargetDatabaseStatus
from schema_operator.controller.decide import decide
from schema_operator.controller.deciding.approvals import described
from schema_operator.controller.deciding.decision import Decision
from schema_operator.controller.observation import Approval, Observation, approvals_of
from schema_operator.errors import Reason
from unit.controller.scenes import (
    DIGEST,
    NO,
    NOW,
    ago,
    ended,
    migration,
    observation,
    plan,
    plan_report,
    recorded,
    report,
    run,
    says,
    target,
    work,
)

OTHER = "b" * 64
REQUIRED, AUTOMATIC = ApprovalRule.REQUIRED, ApprovalRule.AUTOMATIC


def at(apply: ApprovalRule = REQUIRED, rollback: ApprovalRule = REQUIRED, **policy: Any) -> Any:
    base = target()
    changed = base.spec.policy.model_copy(update={"approval": ApprovalPolicy(apply=apply, rollback=rollback), **policy})
    return replace(base, spec=base.spec.model_copy(update={"policy": changed}))


def planned(of: PlanStatus | None, *, last: SchemaMigrationStatus | None = None, **spec: Any) -> Any:
    """Give a migration whose last run has made this plan."""
    status = last or recorded(RunOutcome.DONE, mode="Plan", action="None")
    return migration(status=status.model_copy(update={"plan": of}), **spec)


def seen(of: PlanStatus | None = None, *approvals: Approval, where: Any = None, **extra: Any) -> Observation:
    return observation(planned(of, **extra), at=where or at(), approvals=approvals)


def conditions(decision: Decision) -> dict[str, Any]:
    assert decision.status is not None
    return {item.type: item for item in decision.status.conditions}


# Each line: what was seen, and of the decision: the state, the condition Approved, who is said to have approved what is
# started (False where nothing is), and the seconds after which to look again.
GATE = [
    ("nobody has said anything", seen(plan()), State.AWAITING_APPROVAL, "False AwaitingApproval", False, None),
    ("a yes", seen(plan(), says()), State.PENDING, "True Approved", "alice", None),
    ("a no", seen(plan(), says(NO)), State.REJECTED, "False Rejected", False, None),
    ("a yes after a no", seen(plan(), says(created=1), says(NO)), State.PENDING, "True Approved", "alice", None),
    ("a no after a yes", seen(plan(), says(NO, created=1), says()), State.REJECTED, "False Rejected", False, None),
    (
        "a yes to another plan",
        seen(plan(), says(digest=OTHER)),
        *(State.AWAITING_APPROVAL, "False AwaitingApproval", False, None),
    ),
    (
        "a no to another plan",
        seen(plan(), says(NO, digest=OTHER, created=1), says()),
        *(State.PENDING, "True Approved", "alice", None),
    ),
    (
        "a yes that has expired",
        seen(plan(), says(left=-1)),
        *(State.AWAITING_APPROVAL, "False AwaitingApproval", False, None),
    ),
    (
        "a yes that expires now",
        seen(plan(), says(left=0)),
        *(State.AWAITING_APPROVAL, "False AwaitingApproval", False, None),
    ),
    ("a yes that will expire", seen(plan(), says(left=90)), State.PENDING, "True Approved", "alice", None),
    ("a no that will expire", seen(plan(), says(NO, left=90)), State.REJECTED, "False Rejected", False, 90),
    (
        "an expired no after a yes",
        seen(plan(), says(NO, created=1, left=-1), says()),
        *(State.PENDING, "True Approved", "alice", None),
    ),
    ("nothing to do", seen(plan(0)), State.PENDING, None, None, None),
    ("only rollbacks wait, and this applies", seen(plan(), where=at(AUTOMATIC)), State.PENDING, None, None, None),
    (
        "only rollbacks wait",
        seen(plan(0, 1), where=at(AUTOMATIC)),
        *(State.AWAITING_APPROVAL, "False AwaitingApproval", False, None),
    ),
    (
        "only applying waits, and this rolls back",
        seen(plan(0, 1), where=at(rollback=AUTOMATIC)),
        *(State.PENDING, None, None, None),
    ),
    (
        "only applying waits, and this does both",
        seen(plan(1, 1), where=at(rollback=AUTOMATIC)),
        *(State.AWAITING_APPROVAL, "False AwaitingApproval", False, None),
    ),
    (
        "only rollbacks wait, and this does both",
        seen(plan(1, 1), where=at(AUTOMATIC)),
        *(State.AWAITING_APPROVAL, "False AwaitingApproval", False, None),
    ),
    ("nothing waits any more", seen(plan(), where=at(AUTOMATIC, AUTOMATIC)), State.PENDING, None, None, None),
    (
        "it is suspended, whatever was said",
        seen(plan(), says(), suspend=True),
        *(State.SUSPENDED, None, False, None),
    ),
]


@pytest.mark.parametrize(
    ("scene", "state", "approved", "starts", "again"), [row[1:] for row in GATE], ids=[row[0] for row in GATE]
)
def test_a_plan_waits_for_who_has_to_say_yes(
    scene: Observation, state: State, approved: str | None, starts: str | bool | None, again: float | None
) -> None:
    decision = decide(scene)
    found = conditions(decision)
    assert decision.status is not None
    assert decision.status.state is state
    said = found.get("Approved")
    assert (f"{said.status} {said.reason}" if said else None) == approved
    if starts is False:
        assert decision.start is None
        assert decision.requeue == again
        assert found["Ready"].reason == (said.reason if said else "Suspended")
    else:
        assert decision.start is not None
        assert (decision.start.mode, decision.start.approved_by) == (Mode.RUN, starts)
        assert decision.status.current_run is not None
        assert decision.status.current_run.approved_by == starts
    waits = state in (State.AWAITING_APPROVAL, State.SUSPENDED)
    assert ({"Reconciling", "Stalled"} & found.keys()) == (
        set() if waits else {"Stalled"} if state is State.REJECTED else {"Reconciling"}
    )


# Each line: the policy, the plan, and what a run may do of it: apply, roll back; None where it is as free as ever.
KEEPS = [
    (at(), plan(), (True, True)),
    (at(), plan(0), (False, False)),
    (at(AUTOMATIC), plan(), (True, False)),
    (at(rollback=AUTOMATIC), plan(0, 1), (False, True)),
    (at(AUTOMATIC), plan(1, 1), (True, True)),
    (at(AUTOMATIC, AUTOMATIC), plan(), None),
]


@pytest.mark.parametrize(("where", "of", "may"), KEEPS)
def test_a_run_keeps_to_its_plan_wherever_one_is_made(
    where: Any, of: PlanStatus, may: tuple[bool, bool] | None
) -> None:
    """Also where the plan has nothing that waits: whoever writes the status must not be who lets a run begin."""
    begun = decide(seen(of, says(), where=where)).start
    assert begun is not None
    kept = may and PlannedWork(digest=DIGEST, position=7, may_apply=may[0], may_roll_back=may[1])
    assert begun.planned == kept


def test_without_approvals_nothing_is_planned_and_no_run_is_more_than_it_was() -> None:
    decision = decide(observation(at=at(AUTOMATIC, AUTOMATIC)))
    assert decision.start is not None
    assert (decision.start.mode, decision.start.planned, decision.start.approved_by) == (Mode.RUN, None, None)
    assert decision.status is not None
    assert decision.status.plan is None
    assert decision.events == ()


@pytest.mark.parametrize(("apply", "rollback"), [(REQUIRED, AUTOMATIC), (AUTOMATIC, REQUIRED), (REQUIRED, REQUIRED)])
def test_what_may_have_to_wait_is_planned_first(apply: ApprovalRule, rollback: ApprovalRule) -> None:
    decision = decide(observation(at=at(apply, rollback)))
    assert decision.start is not None
    assert (decision.start.mode, decision.start.planned) == (Mode.PLAN, None)
    assert decision.status is not None
    assert decision.status.current_run is not None
    assert decision.status.current_run.mode is Mode.PLAN


def test_a_plan_needs_no_window_and_what_it_is_about_does() -> None:
    never = {"windows": [{"schedule": "0 0 29 2 *", "duration": "1m", "time_zone": "UTC"}]}
    policy = target().spec.policy.model_validate(never)
    closed = at(windows=policy.windows)
    assert decide(observation(at=closed)).start is not None
    assert decide(seen(plan(), where=closed)).status.state is State.AWAITING_APPROVAL  # type: ignore[union-attr]
    held = decide(seen(plan(), says(left=90), where=closed))
    assert held.status is not None
    assert (held.start, held.status.state, held.requeue) == (None, State.AWAITING_WINDOW, 90)
    assert conditions(held)["Approved"].status == "True"


def test_a_plan_of_what_is_no_longer_asked_for_is_forgotten() -> None:
    changed = planned(plan(), generation=2)
    decision = decide(observation(changed, at=at(), approvals=(says(),)))
    assert decision.start is not None
    assert decision.start.mode is Mode.PLAN
    assert decision.status is not None
    assert decision.status.plan is None
    assert "Approved" not in conditions(decision)
    held = decide(observation(planned(plan(), generation=2, suspend=True), at=at(), approvals=(says(),)))
    assert held.status is not None
    assert (held.status.state, held.status.plan) == (State.SUSPENDED, None)


def _ended_plan(**extra: Any) -> Observation:
    end = ended(report=plan_report(30), message="A run would apply 30 versions.")
    status = SchemaMigrationStatus(verification=[VerificationStatus(name="n", result=VerificationResult.PASSED)])
    return observation(
        migration(status=status), runs=(run(ended=end, mode=Mode.PLAN),), at=at(AUTOMATIC if extra else REQUIRED)
    )


def test_the_end_of_a_plan_is_a_plan_and_nothing_that_was_done() -> None:
    decision = decide(_ended_plan())
    assert decision.status is not None
    found = decision.status.plan
    assert found is not None
    assert (found.digest, found.work, found.action, found.count, found.applies) == (DIGEST, work(), "Apply", 30, 30)
    assert (len(found.steps), found.position, found.version_before) == (20, 7, "0")
    assert decision.status.runs is not None
    entry = decision.status.runs[0]
    assert (entry.mode, entry.action, entry.outcome) == (Mode.PLAN, Action.NONE, RunOutcome.DONE)
    assert decision.status.state is State.AWAITING_APPROVAL
    assert decision.status.verification is not None  # of what was applied before
    assert [event.reason for event in decision.events] == ["Planned", "AwaitingApproval"]
    assert decision.start is None
    assert DIGEST in conditions(decision)["Ready"].message


def test_a_plan_that_waits_for_nobody_is_carried_out_at_once() -> None:
    decision = decide(_ended_plan(automatic=True))
    assert decision.start is not None
    assert (decision.start.mode, decision.start.number) == (Mode.RUN, 2)
    assert [event.reason for event in decision.events] == ["Planned"]


@pytest.mark.parametrize(
    ("outcome", "reason", "state"),
    [
        (RunOutcome.REFUSED, Reason.CHECKSUM_MISMATCH, State.STALLED),
        (RunOutcome.RETRYABLE, Reason.UNREACHABLE, State.PENDING),
    ],
)
def test_what_cannot_be_planned_is_told_as_ever_and_nobody_is_asked(
    outcome: RunOutcome, reason: Reason, state: State
) -> None:
    end = ended(outcome, reason=reason, counted=outcome is RunOutcome.RETRYABLE, report=report(Outcome.REFUSED))
    decision = decide(observation(runs=(run(ended=end, mode=Mode.PLAN),), at=at()))
    assert decision.status is not None
    assert (decision.status.state, decision.status.plan) == (state, None)
    assert conditions(decision)["Ready"].reason == reason


def test_a_plan_that_has_changed_is_made_anew_and_waits_anew() -> None:
    end = ended(RunOutcome.RETRYABLE, reason=Reason.PLAN_CHANGED)
    status = planned(plan()).status
    first = observation(
        migration(status=status), runs=(run(2, ended=end, approved_by="alice"),), at=at(), approvals=(says(),)
    )
    decision = decide(first)
    assert decision.status is not None
    assert decision.status.plan is None
    assert decision.status.runs is not None
    assert (decision.status.runs[0].failures, decision.status.runs[0].approved_by) == (0, "alice")
    assert "Approved" not in conditions(decision)
    later = replace(first, migration=migration(status=decision.status), runs=(), now=NOW + timedelta(minutes=5))
    again = decide(later).start
    assert again is not None
    assert (again.mode, again.planned) == (Mode.PLAN, None)
    moved = planned(plan(digest=OTHER), last=recorded(RunOutcome.DONE, number=3, mode="Plan"))
    held = decide(replace(later, migration=moved))
    assert held.start is None
    assert "it is for the plan aaaaaaaaaaaa…" in conditions(held)["Ready"].message


def test_what_was_killed_goes_on_with_the_same_plan_and_the_same_yes() -> None:
    last = recorded(RunOutcome.KILLED, number=2, failures=1, seconds_ago=60, approved_by="alice", version="1.0.0")
    decision = decide(seen(plan(3), says(), last=last))
    assert decision.start is not None
    assert (decision.start.planned, decision.start.approved_by) == (PlannedWork(digest=DIGEST, position=7), "alice")
    assert decision.start.failures == 1
    over = decide(seen(plan(3), says(left=-1), last=last))
    assert over.status is not None
    assert (over.start, over.status.state) == (None, State.AWAITING_APPROVAL)
    assert conditions(over)["Approved"].status == "False"
    stopped = decide(seen(plan(3), says(NO, created=1), says(), last=last))
    assert stopped.status is not None
    assert stopped.status.state is State.REJECTED


def test_while_the_next_attempt_is_waited_for_the_yes_may_run_out() -> None:
    last = recorded(RunOutcome.RETRYABLE, number=2, failures=1, reason=Reason.UNREACHABLE, approved_by="alice")
    assert decide(seen(plan(), says(left=3), last=last)).requeue == 3
    assert decide(seen(plan(), says(left=300), last=last)).requeue == 9


@pytest.mark.parametrize("end", [None, ended()], ids=["at work", "ended"])
def test_a_run_says_who_approved_it_for_as_long_as_it_is_the_last(end: Any) -> None:
    status = planned(plan()).status
    at_work = run(2, ended=end, approved_by="alice")
    decision = decide(observation(migration(status=status), runs=(at_work,), at=at(), approvals=(says(),)))
    approved = conditions(decision)["Approved"]
    assert (approved.status, approved.reason) == ("True", "Approved")
    assert approved.message.startswith("alice approved the plan aaaaaaaaaaaa…")
    assert decision.status is not None
    if end is not None:
        assert decision.status.state is State.APPLIED
        once_more = decide(observation(migration(status=decision.status), at=at(), approvals=()))
        assert once_more.start is None
        assert once_more.status == decision.status


def test_a_run_in_flight_goes_on_whatever_is_said_or_over() -> None:
    status = planned(plan()).status
    for said in ((), (says(NO),), (says(left=-1),)):
        decision = decide(observation(migration(status=status), runs=(run(2, approved_by="alice"),), approvals=said))
        assert (decision.delete, decision.stop) == ((), ())


def test_who_approved_is_told_once_a_run_and_that_something_waits_once_a_plan() -> None:
    decision = decide(seen(plan(), says(reason="reviewed")))
    assert decision.start is not None
    (event,) = decision.events
    assert (event.type, event.reason, event.run) == ("Normal", "Approved", decision.start.name)
    assert event.message == "alice approved the plan aaaaaaaaaaaa… to apply version 1.0.0: reviewed"

    waits = decide(seen(plan()))
    (event,) = waits.events
    assert (event.reason, event.run) == ("AwaitingApproval", DIGEST)
    assert waits.status is not None
    assert decide(observation(migration(status=waits.status), at=at())).events == ()
    moved = waits.status.model_copy(update={"plan": plan(digest=OTHER)})
    assert decide(observation(migration(status=moved), at=at())).events == ()

    rejected = decide(seen(plan(), says(NO, reason="not on a Friday")))
    (event,) = rejected.events
    assert (event.type, event.reason) == ("Warning", "Rejected")
    assert "not on a Friday" in event.message


VOID = [
    ("another plan", (says(digest=OTHER),), "MigrationApproval yes of alice does not count: it is for the plan bbbb"),
    ("over", (says(left=-1),), f"MigrationApproval yes of alice does not count: it has expired at {ago(1)}"),
    ("the newest is named", (says(left=-1, created=1), says(digest=OTHER)), "it has expired"),
    ("none", (), None),
    ("one from before the last release", (says(digest=OTHER, created=500),), None),
]


@pytest.mark.parametrize(("said", "sentence"), [row[1:] for row in VOID], ids=[row[0] for row in VOID])
def test_what_does_not_count_is_said(said: tuple[Approval, ...], sentence: str | None) -> None:
    released = recorded(RunOutcome.DONE, seconds_ago=400).runs or []
    status = recorded(RunOutcome.DONE, number=2, mode="Plan")
    both = status.model_copy(update={"runs": [*(status.runs or ()), *released]})
    message = conditions(decide(seen(plan(), *said, last=both)))["Ready"].message
    if sentence is None:
        assert "does not count" not in message
    else:
        assert sentence in message


@pytest.mark.parametrize(
    ("of", "text"),
    [
        (plan(1), "apply version 1.0.0"),
        (plan(3), "apply versions 1.0.0, 2.0.0, 3.0.0"),
        (plan(40), "apply 40 versions, beginning with 1.0.0"),
        (plan(0, 1), "roll back version 9"),
        (plan(1, 2), "roll back versions 9, 8 and apply version 1.0.0"),
        (plan(2, 25), "roll back 25 versions, beginning with 9 and apply 2 versions"),
    ],
)
def test_a_plan_in_a_few_words(of: PlanStatus, text: str) -> None:
    assert described(of) == text


def body(name: str, created: str, **spec: Any) -> dict[str, Any]:
    asked = {"migration": "shop", "planDigest": DIGEST, "decision": "Approve", "approver": "alice"}
    return {"metadata": {"name": name, "creationTimestamp": created}, "spec": asked | spec}


def test_approvals_come_newest_first_and_a_no_before_a_yes() -> None:
    found = approvals_of(
        [
            body("first", "2026-11-22T11:00:00Z"),
            body("of others", "2026-11-22T11:59:00Z", migration="other"),
            body("unreadable", "2026-11-22T11:59:00Z", decision="Perhaps"),
            body("never", "2026-11-22T11:59:00Z", expires="2026-02-30T11:59:00Z"),
            body("yes", "2026-11-22T11:30:00Z"),
            body("no", "2026-11-22T11:30:00Z", decision="Reject", expires="2026-11-22T13:00:00+01:00"),
        ],
        "shop",
    )
    assert [one.name for one in found] == ["no", "yes", "first"]
    assert found[0].expires == NOW


def test_a_plan_that_has_ended_well_is_nothing_that_was_reached() -> None:
    """A run at work that was done before may only go forward; a plan has done nothing, so its run may roll back."""
    begun = decide(seen(plan(0, 1), says())).start
    assert begun is not None
    assert begun.only_forward is False
    done = recorded(RunOutcome.DONE, number=2).runs or []
    last = recorded(RunOutcome.DONE, number=3, mode="Plan")
    again = decide(seen(plan(0, 1), says(), last=last.model_copy(update={"runs": [*(last.runs or ()), *done]}))).start
    assert again is not None
    assert again.only_forward is True


def test_what_waits_is_planned_anew_when_the_history_is_seen_to_have_moved() -> None:
    waits = decide(seen(plan())).status
    assert waits is not None
    owners = [OwnerStatus(owner="shop/shop", version="1", versions=1, digest="another")]
    told = replace(at(), status=TargetDatabaseStatus(owners=owners, history_seen_at=ago(0)))
    remembers = waits.model_copy(update={"history_digest": "as it was left"})
    decision = decide(observation(migration(status=remembers), at=told, approvals=(says(),)))
    assert decision.start is not None
    assert (decision.start.mode, decision.start.planned) == (Mode.PLAN, None)
