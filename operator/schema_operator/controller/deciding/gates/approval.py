"""`policy.approval`: a person has to say yes to the plan before it is carried out."""

from __future__ import annotations

from schema_operator.api.migration_approval import ApprovalDecision
from schema_operator.api.schema_migration import ConditionType, PlanStatus, SchemaMigrationStatus, State
from schema_operator.controller.deciding.approvals import (
    described,
    must_be_approved,
    plan_of,
    ruling,
    seconds_left,
    short,
)
from schema_operator.controller.deciding.decision import Event
from schema_operator.controller.deciding.gates.gate import Hold, Passage
from schema_operator.controller.deciding.statuses import Verdict, said
from schema_operator.controller.observation import Approval, Observation

PAGE = "docs/approvals.md"


def approval(seen: Observation, base: SchemaMigrationStatus) -> Passage:
    """Hold a run whose plan nobody has approved, or somebody has rejected."""
    plan = plan_of(seen, base)
    if plan is None or not must_be_approved(seen, plan):
        return Passage()
    found = ruling(seen, base, plan)
    if found.approval is None:
        return _awaiting(seen, plan, found.void)
    again = seconds_left(found.approval, seen)
    if found.approval.decision is ApprovalDecision.REJECT:
        return _rejected(plan, found.approval, again)
    verdict = Verdict("True", "Approved", _said(found.approval, "approved", plan))
    return Passage({ConditionType.APPROVED: verdict}, approved_by=found.approval.approver, again=again)


def _awaiting(seen: Observation, plan: PlanStatus, void: str) -> Passage:
    message = (
        f"a plan to {described(plan)} waits for an approval; look at status.plan, then make a MigrationApproval with "
        f"planDigest {plan.digest} ({PAGE}){void}"
    )
    before = seen.migration.status.plan
    same = before is not None and before.digest == plan.digest and said(seen, ConditionType.READY, "AwaitingApproval")
    event = Event(type="Normal", reason="AwaitingApproval", message=message, run=plan.digest)
    hold = Hold(
        state=State.AWAITING_APPROVAL,
        reason="AwaitingApproval",
        message=message,
        event=None if same else event,
    )
    return Passage({ConditionType.APPROVED: Verdict("False", hold.reason, message)}, hold)


def _rejected(plan: PlanStatus, rejection: Approval, again: float | None) -> Passage:
    message = (
        f"{_said(rejection, 'rejected', plan)}; change what is asked for, or make a newer MigrationApproval that "
        f"approves it ({PAGE})"
    )
    hold = Hold(state=State.REJECTED, reason="Rejected", message=message, requeue=again, stalled=True)
    return Passage({ConditionType.APPROVED: Verdict("False", hold.reason, message)}, hold)


def _said(one: Approval, verb: str, plan: PlanStatus) -> str:
    why = f": {one.reason}" if one.reason else ""
    return f"{one.approver} {verb} the plan {short(plan.digest)}… to {described(plan)}{why}"
