"""Every state and every cause: what `decide` does is what the table of transitions says."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import msgspec
import pytest

from schema_operator.api.report import Action, Outcome, Progress
from schema_operator.api.request import Mode
from schema_operator.api.schema_migration import ConditionType, RunOutcome, SchemaMigrationStatus, State
from schema_operator.api.target_database import OwnerStatus, TargetDatabaseStatus
from schema_operator.controller.decide import decide
from schema_operator.controller.observation import Approval, Observation, Run
from schema_operator.controller.states import STATES, TRANSITIONS, Cause, Kstatus
from schema_operator.errors import Reason, Refused
from unit.controller.scenes import (
    IN_WINDOW,
    NIGHTLY,
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

LIMIT = 5


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What is to be seen of a migration; `status` is what the controller has written of it."""

    status: SchemaMigrationStatus | None = None
    spec: dict[str, Any] = field(default_factory=dict)
    policy: dict[str, Any] = field(default_factory=dict)
    runs: tuple[Run, ...] = ()
    progress: Progress | None = None
    generation: int = 1
    extra: dict[str, Any] = field(default_factory=dict)

    def seen(self) -> Observation:
        of = migration(status=self.status, generation=self.generation, **self.spec)
        values: dict[str, Any] = {"runs": self.runs, "progress": self.progress, "at": target(**self.policy)}
        return observation(of, **values | self.extra)

    def settled(self) -> "Scene":
        """Give the same scene when the controller has looked at it and has written down what it saw."""
        decision = decide(self.seen())
        assert decision.status is not None
        return replace(self, status=decision.status)


def doing(step: str) -> Scene:
    progress = Progress(step=step, version="1.0.0", message=step)
    return Scene(runs=(run(2),), progress=progress, status=recorded(RunOutcome.RETRYABLE, failures=1)).settled()


def over(outcome: RunOutcome, **extra: Any) -> Scene:
    return Scene(status=recorded(outcome, **extra)).settled()


RETRYABLE = recorded(RunOutcome.RETRYABLE, failures=1, reason=Reason.UNREACHABLE)
APPROVALS = {"approval": {"apply": "Required"}}
PLANNED = recorded(RunOutcome.DONE, mode="Plan").model_copy(update={"plan": plan()})
SCENES: dict[State, Scene] = {
    State.PENDING: over(RunOutcome.RETRYABLE, failures=1, reason=Reason.UNREACHABLE),
    State.PLANNING: doing("Planning"),
    State.AWAITING_APPROVAL: Scene(status=PLANNED, policy=APPROVALS).settled(),
    State.REJECTED: Scene(status=PLANNED, policy=APPROVALS, extra={"approvals": (says(NO),)}).settled(),
    State.AWAITING_WINDOW: Scene(status=RETRYABLE, policy=NIGHTLY).settled(),
    State.APPLYING: doing("Applying"),
    State.VERIFYING: doing("Verifying"),
    State.ROLLING_BACK: doing("RollingBack"),
    State.APPLIED: over(RunOutcome.DONE, action=Action.APPLY),
    State.ROLLED_BACK: over(RunOutcome.DONE, action=Action.ROLLBACK),
    State.STALLED: over(RunOutcome.FAILED, reason=Reason.OBJECT_NOT_FOUND),
    State.SUSPENDED: Scene(status=RETRYABLE, spec={"suspend": True}).settled(),
}


def in_flight(scene: Scene) -> bool:
    return any(one.ended is None for one in scene.runs)


def with_progress(step: str) -> Callable[[Scene], Scene]:
    progress = Progress(step=step, version="1.0.0", message=step)
    return lambda scene: replace(scene, runs=(run(2),), progress=progress)


def with_end(outcome: RunOutcome, failures: int = 0, **extra: Any) -> Callable[[Scene], Scene]:
    def end(scene: Scene) -> Scene:
        found = ended(outcome, counted=outcome is RunOutcome.RETRYABLE, **extra)
        return replace(scene, runs=(run(2, ended=found, failures=failures),), progress=None)

    return end


def done(action: Action) -> Callable[[Scene], Scene]:
    return with_end(RunOutcome.DONE, report=msgspec.structs.replace(report(Outcome.DONE), action=action))


def later(scene: Scene, **policy: Any) -> Scene:
    """Let every wait be over."""
    return replace(scene, policy=scene.policy | policy, extra=scene.extra | {"now": NOW.replace(minute=30)})


def with_window(scene: Scene) -> Scene:
    return replace(scene, extra=scene.extra | {"now": IN_WINDOW})


def moved(scene: Scene) -> Scene:
    assert scene.status is not None
    owners = [OwnerStatus(owner="shop/shop", version="1", versions=1, digest="another")]
    told = target(**scene.policy)
    told = replace(told, status=TargetDatabaseStatus(owners=owners, history_seen_at=ago(0)))
    status = scene.status.model_copy(update={"history_digest": "as it was left"})
    return replace(scene, status=status, extra={"at": told})


def wrong(scene: Scene) -> Scene:
    problem = Refused(Reason.DUPLICATE_VERSION, "two scripts have the same version")
    return replace(scene, generation=2, extra={"problem": problem, "scripts_digest": "other"})


def planned(scene: Scene) -> Scene:
    found = with_end(RunOutcome.DONE, report=plan_report())(scene)
    (ended_run,) = found.runs
    return replace(found, runs=(replace(ended_run, mode=Mode.PLAN),), policy=scene.policy | APPROVALS, extra={})


def told(said: Approval) -> Callable[[Scene], Scene]:
    """Let somebody say something, and after whatever was said before."""
    return lambda scene: replace(scene, extra={"approvals": (said, *scene.extra.get("approvals", ()))})


CAUSES: dict[Cause, Callable[[Scene], Scene]] = {
    Cause.WORK_CHANGED: lambda scene: replace(scene, generation=2),
    Cause.RUN_CREATED: lambda scene: replace(scene, runs=(run(2, started=False),), progress=None),
    Cause.RUN_PLANS: with_progress("Planning"),
    Cause.RUN_APPLIES: with_progress("Applying"),
    Cause.RUN_VERIFIES: with_progress("Verifying"),
    Cause.RUN_ROLLS_BACK: with_progress("RollingBack"),
    Cause.DONE: done(Action.APPLY),
    Cause.DONE_ROLLING_BACK: done(Action.ROLLBACK),
    Cause.REFUSED: with_end(RunOutcome.FAILED, reason=Reason.OBJECT_NOT_FOUND),
    Cause.MAY_PASS: with_end(RunOutcome.RETRYABLE, reason=Reason.UNREACHABLE),
    Cause.EXHAUSTED: with_end(RunOutcome.RETRYABLE, failures=LIMIT, reason=Reason.UNREACHABLE),
    Cause.LOST: lambda scene: replace(scene, runs=(), progress=None),
    Cause.SUSPENDED: lambda scene: replace(scene, spec=scene.spec | {"suspend": True}),
    Cause.RESUMED: lambda scene: replace(scene, spec={key: scene.spec[key] for key in scene.spec if key != "suspend"}),
    Cause.PLANNED: planned,
    Cause.APPROVED: told(says(created=1)),
    Cause.DISAPPROVED: told(says(NO, created=1)),
    Cause.WINDOW_CLOSED: lambda scene: later(scene, **NIGHTLY),
    Cause.WINDOW_OPENED: with_window,
    Cause.HISTORY_MOVED: moved,
    Cause.TARGET_GONE: lambda scene: replace(scene, extra={"target": None}),
    Cause.SCRIPTS_WRONG: wrong,
}


def after(state: State, cause: Cause) -> State:
    """Give the state that the table has; the same where the cause changes nothing."""
    return next((one.after for one in TRANSITIONS if one.cause is cause and state in one.before), state)


def test_there_is_a_scene_for_every_state_and_every_cause() -> None:
    assert set(SCENES) == set(STATES) == set(State)
    assert set(CAUSES) == set(Cause)
    for state, scene in SCENES.items():
        assert scene.status is not None
        assert scene.status.state is state


@pytest.mark.parametrize(("state", "cause"), list(product(State, Cause)), ids=str)
def test_what_follows_is_in_the_table(state: State, cause: Cause) -> None:
    decision = decide(CAUSES[cause](SCENES[state]).seen())
    assert decision.status is not None
    assert decision.status.state is after(state, cause)


@pytest.mark.parametrize("state", State)
def test_the_conditions_of_a_state_are_as_the_table_says(state: State) -> None:
    status = SCENES[state].status
    assert status is not None
    found = {item.type: item.status for item in status.conditions}
    shape = STATES[state]
    abnormal = [kind for kind in (ConditionType.RECONCILING, ConditionType.STALLED) if kind in found]
    assert abnormal == ([shape.abnormal] if shape.abnormal else [])
    assert found["Ready"] == ("True" if shape.ready else "False")
    assert (shape.kstatus is Kstatus.CURRENT) == shape.ready
    assert [item.type for item in status.conditions] == [kind for kind in ConditionType if kind in found]


def test_every_line_of_the_table_leads_somewhere_and_no_two_contradict() -> None:
    for one in TRANSITIONS:
        assert one.before
        assert one.after not in one.before
    pairs = [(state, one.cause) for one in TRANSITIONS for state in one.before]
    assert len(pairs) == len(set(pairs))


def test_a_scene_of_a_run_in_flight_has_one() -> None:
    assert {state for state, scene in SCENES.items() if in_flight(scene)} == {
        *(State.PLANNING, State.APPLYING, State.VERIFYING, State.ROLLING_BACK)
    }
    assert work() == run().work
