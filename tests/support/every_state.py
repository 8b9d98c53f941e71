"""Every state of our resources, as the controller writes them, and what others must make of each.

A state is a whole object whose status comes from the deciding code itself. Where a state, a reason or an outcome is
added to the product, a test asks for its line here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from schema_operator.api.model import API_VERSION, GROUP
from schema_operator.api.report import Action, Outcome, Progress, Server, VerificationReport, VerificationResult
from schema_operator.api.request import Mode
from schema_operator.api.schema_migration import RunOutcome, RunStatus, SchemaMigrationStatus, State
from schema_operator.api.target_database import Inspection, OwnerStatus, TargetDatabaseSpec, TargetDatabaseStatus
from schema_operator.controller import names
from schema_operator.controller.decide import decide
from schema_operator.controller.deciding.attempts import CONNECTION_REASONS
from schema_operator.controller.deciding.decision import Decision
from schema_operator.controller.deciding.settled import not_started
from schema_operator.controller.deciding.statuses import unreadable
from schema_operator.controller.observation import Observation, Trouble
from schema_operator.controller.surroundings import Ahead, Neighbour, Surroundings
from schema_operator.controller.target_status import PASSING, first_status, status_after
from schema_operator.errors import Reason, Refused
from support.kstatus import Kstatus
from unit.controller.scenes import (
    IN_WINDOW,
    NIGHTLY,
    NO,
    NOW,
    SPEC,
    UID,
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


@dataclass(frozen=True, slots=True)
class Shown:
    """One state: what it is, the object that shows it, what kstatus and Argo CD must say."""

    name: str
    item: dict[str, Any]
    kstatus: Kstatus
    health: str


def migration_object(
    status: SchemaMigrationStatus | dict[str, Any], *, generation: int = 1, deleting: bool = False
) -> dict[str, Any]:
    """Give a SchemaMigration with a status as the API server shows it."""
    return _object("SchemaMigration", SPEC, status, generation=generation, deleting=deleting)


def target_object(
    status: TargetDatabaseStatus | dict[str, Any], *, generation: int = 1, deleting: bool = False
) -> dict[str, Any]:
    """Give a TargetDatabase with a status as the API server shows it."""
    spec = {"connection": {"uriSecret": {"name": "shop", "key": "uri"}}}
    return _object("TargetDatabase", spec, status, generation=generation, deleting=deleting)


def _object(
    kind: str,
    spec: dict[str, Any],
    status: SchemaMigrationStatus | TargetDatabaseStatus | dict[str, Any],
    *,
    generation: int,
    deleting: bool,
) -> dict[str, Any]:
    plain = status if isinstance(status, dict) else status.model_dump(by_alias=True, exclude_none=True, mode="json")
    marks = {"deletionTimestamp": ago(1)} if deleting else {}
    return {
        "apiVersion": f"{GROUP}/{API_VERSION}",
        "kind": kind,
        "metadata": {"name": "shop", "namespace": "shop", "uid": UID, "generation": generation, **marks},
        "spec": spec,
        "status": plain,
    }


def migrations() -> list[Shown]:
    """Give every state of a SchemaMigration."""
    return [*_unseen(), *_working(), *_ended(), *_waiting(), *_held(), *_by_controller(), *_deleted()]


def targets() -> list[Shown]:
    """Give every state of a TargetDatabase."""
    reached = ended(report=report(server=Server(version="18.4", system_identifier="73", database="shop")))
    known = status_after(target(), "shop", "shop-1", reached, NOW)
    untried = first_status(target(), NOW)
    edited = first_status(replace(target(generation=2), status=known), NOW)
    other = TargetDatabaseSpec.model_validate({"connection": {"uriSecret": {"name": "other", "key": "uri"}}})
    moved = first_status(replace(target(generation=2), status=known, spec=other), NOW)
    suspended = TargetDatabaseSpec(connection=target().spec.connection, inspection=Inspection(suspend=True))
    unlooked = first_status(replace(target(), spec=suspended), NOW)
    unseen = {"observedGeneration": -1}
    reasons = sorted(CONNECTION_REASONS)
    away = {
        one: status_after(target(), "shop", "shop-1", ended(RunOutcome.REFUSED, reason=one), NOW) for one in reasons
    }
    progress, current, terminating = Kstatus.IN_PROGRESS, Kstatus.CURRENT, Kstatus.TERMINATING
    failed = Kstatus.FAILED
    return [
        Shown("just created", target_object(unseen), progress, "Progressing"),
        Shown("not tried, an inspection is coming", target_object(untried), progress, "Progressing"),
        Shown("not tried, and nothing is coming", target_object(unlooked), progress, "Healthy"),
        Shown("reached", target_object(known), current, "Healthy"),
        Shown("edited", target_object(known, generation=2), progress, "Progressing"),
        Shown("edited, with the same connection", target_object(edited, generation=2), current, "Healthy"),
        Shown("another connection, not tried yet", target_object(moved, generation=2), progress, "Progressing"),
        *(
            Shown(f"not reached: {one}", target_object(status), progress if one in PASSING else failed, "Degraded")
            for one, status in away.items()
        ),
        Shown("being deleted", target_object(known, deleting=True), terminating, "Progressing"),
    ]


def _shown(name: str, decision: Decision, kstatus: Kstatus, *, generation: int = 1) -> Shown:
    if decision.status is None:
        raise ValueError(f"{name}: nothing is said of this")
    health = {Kstatus.CURRENT: "Healthy", Kstatus.IN_PROGRESS: "Progressing", Kstatus.FAILED: "Degraded"}
    return Shown(name, migration_object(decision.status, generation=generation), kstatus, health[kstatus])


def _decided(lines: Sequence[tuple[str, Observation, Kstatus]]) -> Iterator[Shown]:
    for name, seen, kstatus in lines:
        yield _shown(name, decide(seen), kstatus, generation=seen.migration.generation)


def _status(seen: Observation) -> SchemaMigrationStatus:
    status = decide(seen).status
    if status is None:
        raise ValueError("nothing is said of this")
    return status


def ready() -> SchemaMigrationStatus:
    """Give the status of a migration that is done."""
    passed = VerificationReport(name="count", result=VerificationResult.PASSED)
    return _status(observation(runs=(run(ended=ended(report=report(verification=(passed,)))),)))


def stalled() -> SchemaMigrationStatus:
    """Give the status of a migration that cannot go on."""
    return _status(observation(runs=(run(ended=ended(RunOutcome.FAILED, reason=Reason.SYNTAX_ERROR)),)))


def _unseen() -> Iterator[Shown]:
    progress = Kstatus.IN_PROGRESS
    yield Shown("just created", migration_object({"observedGeneration": -1}), progress, "Progressing")
    yield Shown("Ready, and edited", migration_object(ready(), generation=2), progress, "Progressing")
    yield Shown("Stalled, and edited", migration_object(stalled(), generation=2), progress, "Progressing")


def _working() -> Iterator[Shown]:
    steps = ("Connecting", "WaitingForLock", "Installing", "Planning", "Applying", "RollingBack", "Verifying")
    lines = [
        ("first look", observation()),
        ("edited after it was Ready", observation(migration(generation=2, status=ready()))),
        ("edited after it was Stalled", observation(migration(generation=2, status=stalled()))),
        ("a run is created", observation(runs=(run(started=False),))),
        (
            "a run of the generation before has not begun",
            observation(migration(generation=2), runs=(run(started=False),)),
        ),
        ("a run of the generation before works", observation(migration(generation=2), runs=(run(),))),
    ]
    for step in steps:
        told = Progress(step=step, message=step, version="1.0.0", statement=1, statements=2, percent=50)
        lines.append((step, observation(runs=(run(),), progress=told)))
    for reason in (Reason.IMAGE_NOT_PULLED, Reason.UNSCHEDULABLE, Reason.POD_NOT_STARTED):
        stuck = run(started=False, trouble=Trouble(reason=reason, message="no node"))
        lines.append((reason, observation(runs=(stuck,))))
    yield from _decided([(name, seen, Kstatus.IN_PROGRESS) for name, seen in lines])


ENDS = {
    RunOutcome.DONE: Kstatus.CURRENT,
    RunOutcome.RETRYABLE: Kstatus.IN_PROGRESS,
    RunOutcome.REFUSED: Kstatus.FAILED,
    RunOutcome.FAILED: Kstatus.FAILED,
    RunOutcome.VERIFICATION_FAILED: Kstatus.FAILED,
    RunOutcome.PARTLY_APPLIED: Kstatus.FAILED,
    RunOutcome.UNKNOWN: Kstatus.IN_PROGRESS,
    RunOutcome.LOCK_HELD: Kstatus.IN_PROGRESS,
    RunOutcome.STOPPED: Kstatus.IN_PROGRESS,
    RunOutcome.KILLED: Kstatus.IN_PROGRESS,
}
"""What must be said of a migration whose last run ended so."""
REASONED = (
    RunOutcome.RETRYABLE,
    RunOutcome.REFUSED,
    RunOutcome.FAILED,
    RunOutcome.VERIFICATION_FAILED,
    RunOutcome.PARTLY_APPLIED,
    RunOutcome.KILLED,
)
"""Ends that come with any reason: the controller must not depend on which one a runner gives, perhaps of another
release."""


def _ended() -> Iterator[Shown]:
    for outcome, kstatus in ENDS.items():
        yield from _decided([(outcome, observation(runs=(run(ended=ended(outcome)),)), kstatus)])
    for outcome in REASONED:
        for reason in Reason:
            end = ended(outcome, reason=reason, counted=True)
            yield from _decided([(f"{outcome}, {reason}", observation(runs=(run(ended=end),)), ENDS[outcome])])
    back = ended(report=report(Outcome.DONE, action=Action.ROLLBACK, version="0"))
    yield from _decided([("rolled back", observation(runs=(run(ended=back),)), Kstatus.CURRENT)])
    many = observation(migration(status=_with_ten_runs()), runs=(run(11, ended=ended(report=report())),))
    yield from _decided([("the eleventh run", many, Kstatus.CURRENT)])


def _with_ten_runs() -> SchemaMigrationStatus:
    runs = [
        RunStatus(name=f"shop-{number}", work=work(), number=number, generation=1, started_at=ago(100 - number))
        for number in range(10, 0, -1)
    ]
    return SchemaMigrationStatus(observed_generation=1, runs=runs)


def _waiting() -> Iterator[Shown]:
    retried = recorded(RunOutcome.RETRYABLE, failures=1, reason="LockTimeout")
    due = recorded(RunOutcome.RETRYABLE, failures=1, reason="LockTimeout", seconds_ago=60)
    given_up = recorded(RunOutcome.RETRYABLE, failures=6, number=6, reason="Unreachable")
    again = recorded(RunOutcome.REFUSED, reason="AuthFailed", seconds_ago=60)
    looking = _status(observation(migration(status=again)))
    lost = SchemaMigrationStatus(
        observed_generation=1,
        current_run=RunStatus(name="gone", work=work(), number=1, generation=1, started_at=ago(5)),
    )
    both = (run(1, ended=ended(report=report()), created=ago(9)), run(2, ended=ended(report=report()), created=ago(5)))
    yield from _decided(
        [
            ("waits for the next attempt", observation(migration(status=retried)), Kstatus.IN_PROGRESS),
            ("the next attempt is due", observation(migration(status=due)), Kstatus.IN_PROGRESS),
            ("given up", observation(migration(status=given_up)), Kstatus.FAILED),
            ("looks again at a Secret", observation(migration(status=again)), Kstatus.FAILED),
            (
                "looks again at a Secret, and the run works",
                observation(migration(status=looking), runs=(run(2, recheck=True, created=ago(0)),)),
                Kstatus.FAILED,
            ),
            ("the Job is gone", observation(migration(status=lost)), Kstatus.IN_PROGRESS),
            ("two runs have ended", observation(runs=both), Kstatus.IN_PROGRESS),
        ]
    )


def _held() -> Iterator[Shown]:
    closed = target(**NIGHTLY)
    frozen = target(freezes=[{"from": ago(60), "until": "2026-12-01T00:00:00Z", "reason": "audit"}])
    other, ahead = Neighbour(name="other", exists=False), Ahead(name="shop/other", at_work=True)
    asking = target(approval={"apply": "Required"})
    planned = migration(status=recorded(RunOutcome.DONE, mode="Plan").model_copy(update={"plan": plan()}))
    planning = (run(mode=Mode.PLAN),)
    ended_plan = (run(mode=Mode.PLAN, ended=ended(report=plan_report())),)
    approved = (run(2, approved_by="alice", ended=ended(report=report())),)
    lines = [
        ("suspended", observation(migration(suspend=True)), "Suspended"),
        ("a plan is made", observation(runs=planning, at=asking), "Progressing"),
        ("a plan was made, and waits", observation(runs=ended_plan, at=asking), "Suspended"),
        ("a plan waits for an approval", observation(planned, at=asking), "Suspended"),
        ("a plan is approved", observation(planned, at=asking, approvals=(says(),)), "Progressing"),
        ("a plan is rejected", observation(planned, at=asking, approvals=(says(NO),)), "Degraded"),
        ("an approved plan is carried out", observation(planned, runs=approved, at=asking), "Healthy"),
        ("a window is closed", observation(at=closed), "Suspended"),
        ("a freeze is on", observation(at=frozen), "Suspended"),
        ("a window is open", observation(at=closed, now=IN_WINDOW), "Progressing"),
        ("an emergency", observation(migration(emergency={"reason": "incident 4711"}), at=closed), "Progressing"),
        ("a run is being stopped", observation(migration(suspend=True), runs=(run(),)), "Progressing"),
        ("suspended when it was done", observation(migration(suspend=True, status=ready())), "Healthy"),
        ("a run fits no window", observation(migration(expectedDuration="3h"), at=closed), "Degraded"),
        ("another migration is required", observation(around=Surroundings(required=(other,))), "Progressing"),
        ("another works on the database", observation(around=Surroundings(ahead=ahead)), "Progressing"),
        ("they require each other", observation(around=Surroundings(circle=("shop", "b", "shop"))), "Degraded"),
    ]
    kstatus = {"Healthy": Kstatus.CURRENT, "Degraded": Kstatus.FAILED}
    for name, seen, health in lines:
        item = migration_object(_status(seen))
        yield Shown(name, item, kstatus.get(health, Kstatus.IN_PROGRESS), health)


def _by_controller() -> Iterator[Shown]:
    yield from _decided([("no target", replace(observation(), target=None), Kstatus.FAILED)])
    left = recorded(RunOutcome.DONE, action=Action.APPLY).model_copy(update={"history_digest": "as it was left"})
    owners = [OwnerStatus(owner="shop/shop", version="1", versions=1, digest="another")]
    told = replace(target(), status=TargetDatabaseStatus(owners=owners, history_seen_at=ago(0)))
    moved = observation(migration(status=left), at=told)
    yield from _decided([("the history has moved", moved, Kstatus.IN_PROGRESS)])
    for reason in Reason:
        problem = Refused(reason, "the scripts cannot be run")
        yield from _decided([(f"problem: {reason}", observation(problem=problem), Kstatus.FAILED)])
    refused = not_started(observation(), "JobNotCreated", "exceeded quota", again=10.0)
    yield _shown("the Job is refused", refused, Kstatus.IN_PROGRESS)
    too_large = not_started(observation(), Reason.TOO_LARGE, "move them to ConfigMaps", again=None)
    yield _shown("the Job would be too large", too_large, Kstatus.FAILED)
    other_release = unreadable(ready(), 2, NOW, "spec.scripts: not known")
    yield Shown("the spec cannot be read", migration_object(other_release, generation=2), Kstatus.FAILED, "Degraded")


def _deleted() -> Iterator[Shown]:
    working = _status(observation(runs=(run(),)))
    states = {"Ready": ready(), "Stalled": stalled(), "at work": working}
    run_marked = {"deleting": True, "finalizers": (names.RUN_FINALIZER,)}
    stopping = observation(migration(**run_marked), runs=(run(),))  # type: ignore[arg-type]  # as in scenes
    states |= {"its run is being stopped": _status(stopping)}
    marked = {"deleting": True, "finalizers": (names.ROLLBACK_FINALIZER,), "deletionPolicy": "Rollback"}
    going = migration(status=ready(), **marked)  # type: ignore[arg-type]  # as in scenes
    held = migration(status=ready(), suspend=True, **marked)  # type: ignore[arg-type]  # as in scenes
    states |= {"to be rolled back": _status(observation(going)), "held by a gate": _status(observation(held))}
    states |= {"not to be rolled back": _status(replace(observation(going), target=None))}
    for name, status in states.items():
        item = migration_object(status, deleting=True)
        yield Shown(f"{name}, and being deleted", item, Kstatus.TERMINATING, "Progressing")


def states_of(shown: Sequence[Shown]) -> set[str]:
    """Name the states that are shown."""
    found = {str(one.item["status"].get("state")) for one in shown}
    return found & {state.value for state in State}
