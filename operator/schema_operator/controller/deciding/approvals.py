"""What has to be planned before it is done, who has to say yes to it, and who has."""

from __future__ import annotations

from dataclasses import dataclass

from schema_operator.api.report import Action, RunReport
from schema_operator.api.request import Mode, PlannedWork
from schema_operator.api.schema_migration import (
    PlanStatus,
    PlanStep,
    RunOutcome,
    SchemaMigrationStatus,
)
from schema_operator.api.target_database import ApprovalRule
from schema_operator.controller.deciding.statuses import moment, timestamp
from schema_operator.controller.observation import Approval, Observation

STEPS_SHOWN = 20
_NAMED = 3
_DIGEST_HEAD = 12


@dataclass(frozen=True, slots=True)
class Ruling:
    """What people have said of a plan."""

    approval: Approval | None
    """The newest that counts, yes or no."""
    void: str = ""
    """What there is and does not count, as the end of a sentence."""


def asks_for_plans(seen: Observation) -> bool:
    """Tell whether anything on this database waits for approvals, so that every run is planned before."""
    if seen.target is None:
        return False
    policy = seen.target.spec.policy.approval
    return ApprovalRule.REQUIRED in (policy.apply, policy.rollback)


def plan_of(seen: Observation, base: SchemaMigrationStatus) -> PlanStatus | None:
    """Give the plan that a run has to keep to; None where no run has to, or none is made yet.

    That of other work is not in `base` any more: see `settled.settle`.
    """
    return base.plan if asks_for_plans(seen) else None


def plan_is_missing(seen: Observation, base: SchemaMigrationStatus) -> bool:
    """Tell whether the next run is one that plans."""
    return asks_for_plans(seen) and plan_of(seen, base) is None


def must_be_approved(seen: Observation, plan: PlanStatus) -> bool:
    """Tell whether a plan waits for a person: one that does both is asked about where either is."""
    if seen.target is None:
        return False
    policy = seen.target.spec.policy.approval
    applies = plan.applies > 0 and policy.apply is ApprovalRule.REQUIRED
    return applies or (plan.rollbacks > 0 and policy.rollback is ApprovalRule.REQUIRED)


def keeping_to(seen: Observation, plan: PlanStatus | None, approved_by: str | None) -> PlannedWork | None:
    """Say to a run what it has to keep to.

    What may be done without an approval is said again, from the policy: a plan is a part of the status, and what is
    only there must not be what lets a run begin.
    """
    if plan is None or seen.target is None:
        return None
    policy = seen.target.spec.policy.approval
    return PlannedWork(
        digest=plan.digest,
        position=plan.position,
        may_apply=approved_by is not None or policy.apply is ApprovalRule.AUTOMATIC,
        may_roll_back=approved_by is not None or policy.rollback is ApprovalRule.AUTOMATIC,
    )


def ruling(seen: Observation, base: SchemaMigrationStatus, plan: PlanStatus) -> Ruling:
    """Give what counts of the approvals, which come newest first."""
    for one in seen.approvals:
        if one.plan_digest == plan.digest and not _expired(one, seen):
            return Ruling(one)
    since = _last_done(base)
    recent = next((one for one in seen.approvals if one.created >= since), None)
    return Ruling(None, "" if recent is None else f"; {_void(recent, plan)}")


def seconds_left(one: Approval, seen: Observation) -> float | None:
    """Give the seconds after which an approval no longer counts; None where it always will."""
    return None if one.expires is None else max((one.expires - seen.now).total_seconds(), 0.0)


def _expired(one: Approval, seen: Observation) -> bool:
    return one.expires is not None and one.expires <= seen.now


def _void(one: Approval, plan: PlanStatus) -> str:
    what = f"MigrationApproval {one.name} of {one.approver} does not count"
    if one.plan_digest == plan.digest:
        return f"{what}: it has expired" + (f" at {timestamp(one.expires)}" if one.expires else "")
    return f"{what}: it is for the plan {one.plan_digest[:_DIGEST_HEAD]}…, and what would be done has moved since"


def _last_done(base: SchemaMigrationStatus) -> str:
    """Give when the last run that was no plan ended well: approvals from before are an old story."""
    done = (run for run in base.runs or () if run.outcome is RunOutcome.DONE and run.mode is not Mode.PLAN)
    return next((timestamp(moment(run.finished_at)) for run in done if run.finished_at), "")


def short(digest: str) -> str:
    """Give the beginning of a digest, for sentences."""
    return digest[:_DIGEST_HEAD]


def described(plan: PlanStatus) -> str:
    """Say what a plan would do."""
    deeds = ((Action.ROLLBACK, plan.rollbacks, "roll back"), (Action.APPLY, plan.applies, "apply"))
    return " and ".join(f"{verb} {_versions(plan, action, count)}" for action, count, verb in deeds if count)


def _versions(plan: PlanStatus, action: Action, count: int) -> str:
    names = [step.version for step in plan.steps if step.action is action]
    if count <= _NAMED and len(names) == count:
        return ("version " if count == 1 else "versions ") + ", ".join(names)
    beginning = f", beginning with {names[0]}" if names else ""
    return f"{count} versions{beginning}"


def planned(report: RunReport, work: str, made_at: str) -> PlanStatus | None:
    """Read the plan from the report of a run that planned; None where it has none."""
    summary = report.planned
    if summary is None:
        return None
    steps = [
        PlanStep(
            version=one.version,
            action=one.action,
            file=one.file,
            statements=one.statements,
            atomic=None if one.atomic else False,
            in_batches=one.in_batches or None,
        )
        for one in (report.plan or ())[:STEPS_SHOWN]
    ]
    return PlanStatus(
        digest=summary.digest,
        work=work,
        action=report.action,
        version_before=report.version_before,
        steps=steps,
        count=summary.applies + summary.rollbacks + summary.recorded,
        applies=summary.applies,
        rollbacks=summary.rollbacks,
        position=summary.position,
        made_at=made_at,
    )
