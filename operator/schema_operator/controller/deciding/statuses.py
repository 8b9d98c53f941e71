"""From a verdict to a status: which conditions there are, in which order, and since when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from schema_operator.api.model import CONDITION_MESSAGE_LIMIT, Condition
from schema_operator.api.report import Action, VerificationResult
from schema_operator.api.schema_migration import (
    ConditionType,
    RunOutcome,
    RunStatus,
    SchemaMigrationStatus,
    State,
)
from schema_operator.controller import images
from schema_operator.controller.deciding.decision import Decision, Event
from schema_operator.controller.observation import Observation
from schema_operator.controller.states import STATES
from schema_operator.errors import Reason


@dataclass(frozen=True, slots=True)
class Verdict:
    """One condition to be: its status, reason and sentence."""

    status: str
    reason: str
    message: str


Verdicts = dict[ConditionType, Verdict]


def ready(seen: Observation, base: SchemaMigrationStatus, last: RunStatus) -> Decision:
    """Say that the wanted version is reached and verified."""
    changes = (run.action for run in base.runs or [] if run.outcome is RunOutcome.DONE)
    last_change = next((action for action in changes if action in (Action.APPLY, Action.ROLLBACK)), Action.APPLY)
    state = State.ROLLED_BACK if last_change is Action.ROLLBACK else State.APPLIED
    message = last.message or f"version {base.version} is reached"
    verdicts = {
        ConditionType.VALIDATED: Verdict("True", "ScriptsValid", _valid_sentence(seen, last)),
        ConditionType.APPLIED: Verdict("True", state, f"the schema is at version {base.version}"),
        ConditionType.VERIFIED: Verdict("True", "Verified", _verified_sentence(base)),
        ConditionType.READY: Verdict("True", state, message),
    }
    following = base.model_copy(update={"retry_at": None, "scripts_digest": seen.scripts_digest})
    return Decision(status=with_state(seen, following, state, verdicts))


def _valid_sentence(seen: Observation, last: RunStatus) -> str:
    """Say that the scripts can be run; of those in an image which they are, where the reference does not say it."""
    image = seen.migration.spec.scripts.image
    if image is None or images.has_digest(image.reference):
        return "the scripts can be run"
    return (
        f"the scripts of {last.scripts_image or image.reference} can be run; spec.scripts.image has no digest, so it "
        "may come to mean other scripts, which nobody would notice before the next run; add the digest to its reference"
    )


def _verified_sentence(base: SchemaMigrationStatus) -> str:
    passed = sum(item.result is VerificationResult.PASSED for item in base.verification or [])
    if not passed:
        return "no verification was asked for"
    return "1 verification passed" if passed == 1 else f"{passed} verifications passed"


def stalled(
    seen: Observation,
    base: SchemaMigrationStatus,
    reason: str,
    message: str,
    *,
    requeue: float | None,
    validated: bool | None,
    last: RunStatus | None = None,
    state: State = State.STALLED,
    beside: Verdicts | None = None,
) -> Decision:
    """Say that nothing more is done until something changes, and why.

    `beside` are conditions that gates show. `last` is the run that led here; without one, the cause was found without
    a database and is told as an Event.
    """
    outcome = last.outcome if last else None
    verdict = Verdict("False", reason, message)
    verdicts: Verdicts = (beside or {}) | {
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
        status=with_state(seen, following, state, verdicts),
        events=() if last or said(seen, ConditionType.STALLED, reason) else (event,),
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


def not_yet(verdict: Verdict) -> Verdicts:
    """Give the conditions of a resource that is not where it should be, and of which the rest is not known."""
    unknown = Verdict("Unknown", verdict.reason, verdict.message)
    return {
        ConditionType.VALIDATED: unknown,
        ConditionType.APPLIED: unknown,
        ConditionType.VERIFIED: unknown,
        ConditionType.READY: verdict,
    }


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


def observed(seen: Observation, base: SchemaMigrationStatus) -> SchemaMigrationStatus:
    """Give a status that is about the present generation."""
    return base.model_copy(update={"observed_generation": seen.migration.generation})


def with_state(
    seen: Observation, base: SchemaMigrationStatus, state: State, verdicts: Verdicts
) -> SchemaMigrationStatus:
    """Give a status with this state and these conditions, about the present generation.

    Reconciling or Stalled are as `STATES` has them, with the reason and the sentence of Ready.
    """
    ready = verdicts[ConditionType.READY]
    abnormal = STATES[state].abnormal
    beside = {abnormal: Verdict("True", ready.reason, ready.message)} if abnormal is not None else {}
    shown = _approval_used(base) | verdicts | beside
    conditions = succeeded(
        seen.migration.status.conditions,
        {kind.value: shown[kind] for kind in ConditionType if kind in shown},
        seen.migration.generation,
        seen.now,
    )
    return observed(seen, base.model_copy(update={"state": state, "conditions": conditions}))


def _approval_used(base: SchemaMigrationStatus) -> Verdicts:
    """Go on saying who approved the plan that a run carries out, or has carried out."""
    last = base.current_run or (base.runs[0] if base.runs else None)
    if last is None or last.approved_by is None or base.plan is None:
        return {}
    message = f"{last.approved_by} approved the plan {base.plan.digest[:12]}…, and run {last.name} was started upon it"
    return {ConditionType.APPROVED: Verdict("True", "Approved", message)}


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


def said(seen: Observation, kind: ConditionType, reason: str) -> bool:
    """Tell whether the status says this of this generation already, so that an Event would say it again."""
    return any(
        item.type == kind and item.reason == reason and item.observed_generation == seen.migration.generation
        for item in seen.migration.status.conditions
    )


def is_true(status: SchemaMigrationStatus, kind: ConditionType) -> bool:
    """Tell whether a condition is there and True."""
    return any(item.type == kind and item.status == "True" for item in status.conditions)


def timestamp(moment: datetime) -> str:
    """Write a time as Kubernetes does: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> datetime:
    """Read a time as Kubernetes writes it."""
    return datetime.fromisoformat(text)
