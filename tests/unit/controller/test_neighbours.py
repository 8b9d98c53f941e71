"""Migrations that require each other: what is seen of them, and what that means for a run."""

from typing import Any

import pytest

from schema_operator.api.schema_migration import RunOutcome, State
from schema_operator.controller.decide import decide
from schema_operator.controller.neighbours import look_around
from schema_operator.controller.observation import Migration, migration_of
from schema_operator.controller.surroundings import Ahead, Neighbour, Surroundings, neighbour_of, told_apart
from unit.controller.scenes import SPEC, migration, observation, recorded

READY = {"type": "Ready", "status": "True", "reason": "Applied", "observedGeneration": 1}
UNREADY = {**READY, "status": "False", "reason": "ObjectNotFound"}
DONE = {"observedGeneration": 1, "state": "Applied", "version": "1", "conditions": [READY]}


def body(name: str, *requires: str, status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    needed = {"requires": {"migrations": [{"name": one} for one in requires]}} if requires else {}
    meta = {"namespace": "shop", "name": name, "uid": name, "generation": 1, "resourceVersion": "1"}
    return {"metadata": meta, "spec": SPEC | needed | spec, "status": status or {}}


def at(name: str, *requires: str, **spec: Any) -> Migration:
    return migration_of(body(name, *requires, **spec))


# Each line: what a resource looks like, whether it is Ready, how that is said, whether something of it may be there.
SEEN = [
    ("ready", DONE, {}, True, "Applied", True),
    ("no status", {}, {}, False, "not looked at yet", False),
    (
        "ready at an older generation",
        {**DONE, "conditions": [{**READY, "observedGeneration": 0}]},
        {},
        False,
        "not looked at yet",
        True,
    ),
    ("a status of an older generation", {**DONE, "observedGeneration": 0}, {}, False, "not looked at yet", True),
    ("being deleted", DONE, {"deletionTimestamp": "2026-11-28T12:00:00Z"}, False, "being deleted", True),
    (
        "stalled",
        {**DONE, "state": "Stalled", "version": "0", "conditions": [UNREADY]},
        {},
        False,
        "Stalled, ObjectNotFound",
        False,
    ),
    (
        "at work for the first time",
        {
            "observedGeneration": 1,
            "state": "Applying",
            "conditions": [{**UNREADY, "reason": "Progressing"}],
            "currentRun": {},
        },
        {},
        False,
        "Applying",
        True,
    ),
]


@pytest.mark.parametrize(
    ("status", "meta", "ready", "state", "applied"), [row[1:] for row in SEEN], ids=[row[0] for row in SEEN]
)
def test_a_neighbour(status: dict[str, Any], meta: dict[str, Any], ready: bool, state: str, applied: bool) -> None:
    found = body("a", status=status)
    found["metadata"] |= meta
    assert neighbour_of("a", found) == Neighbour(name="a", ready=ready, state=state, applied=applied)


def test_others_look_when_what_they_see_changes_and_not_for_progress() -> None:
    first = told_apart(body("a", status=DONE))
    assert told_apart(body("a", status={**DONE, "progress": {"message": "half"}})) == first
    for other in (body("a", "b", status=DONE), body("a", status={**DONE, "state": "Stalled"}), body("a")):
        assert told_apart(other) != first
    anew = body("a", status=DONE)
    anew["metadata"]["uid"] = "another"
    assert told_apart(anew) != first


class Namespace:
    """Answers as `Cluster` does, and counts the questions."""

    def __init__(self, *bodies: dict[str, Any], ending: bool = False) -> None:
        self.bodies = {item["metadata"]["name"]: item for item in bodies}
        self.asked: list[str] = []
        self.ending = ending

    async def migration(self, _: str, name: str) -> dict[str, Any] | None:
        self.asked.append(name)
        return self.bodies.get(name)

    async def migrations(self, _: str) -> list[dict[str, Any]]:
        self.asked.append("all")
        return list(self.bodies.values())

    async def is_ending(self, _: str) -> bool:
        self.asked.append("ending")
        return self.ending


CIRCLES = [
    ("itself", ["a"], [], ("a", "a")),
    ("two", ["b"], [body("b", "a")], ("a", "b", "a")),
    ("three", ["b"], [body("b", "c"), body("c", "a")], ("a", "b", "c", "a")),
    ("the shortest of two", ["b", "c"], [body("b", "d"), body("d", "a"), body("c", "a")], ("a", "c", "a")),
    ("others only", ["b"], [body("b", "c"), body("c", "b")], ()),
    ("a chain", ["b"], [body("b", "c"), body("c")], ()),
    ("a diamond", ["b", "c"], [body("b", "d"), body("c", "d"), body("d")], ()),
    ("one of them is ready and holds nobody up", ["b"], [body("b", "a", status=DONE)], ()),
    ("one does not exist", ["b"], [body("b", "x")], ()),
]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("requires", "others", "circle"), [row[1:] for row in CIRCLES], ids=[row[0] for row in CIRCLES]
)
async def test_a_circle_is_found(requires: list[str], others: list[dict[str, Any]], circle: tuple[str, ...]) -> None:
    cluster = Namespace(*others)
    found = await look_around(cluster, at("a", *requires))  # type: ignore[arg-type]  # answers as Cluster does
    assert found.circle == circle
    assert [one.name for one in found.required] == requires
    assert len(cluster.asked) == len(set(cluster.asked))


@pytest.mark.asyncio
async def test_only_what_must_be_known_is_asked_for() -> None:
    cluster = Namespace(body("b", "c", status=DONE), body("c", "a", status=DONE))
    applied = {"observedGeneration": 1, "version": "1"}
    questions = {
        "nothing required": at("a"),
        "what is ready is not followed": at("a", "b"),
        "all of it goes, and it is required": at("a", version="0", status=applied),
        "all of it is gone": at("a", version="0", status={"version": "0"}),
    }
    answers = {}
    for name, of in questions.items():
        cluster.asked.clear()
        found = await look_around(cluster, of)  # type: ignore[arg-type]  # answers as Cluster does
        answers[name] = (list(cluster.asked), [one.name for one in found.dependents])
    assert answers == {
        "nothing required": ([], []),
        "what is ready is not followed": (["b"], []),
        "all of it goes, and it is required": (["all"], ["c"]),
        "all of it is gone": ([], []),
    }


HELD = [
    (
        "one is not there",
        Surroundings(required=(Neighbour(name="a", exists=False),)),
        "WaitingForMigration",
        "a, which does not exist",
    ),
    (
        "one is at work",
        Surroundings(required=(Neighbour(name="a", ready=True), Neighbour(name="b", state="Applying"))),
        "WaitingForMigration",
        "names: b (Applying)",
    ),
    (
        "a circle",
        Surroundings(required=(Neighbour(name="b"),), circle=("a", "b", "a")),
        "DependencyCycle",
        "a -> b -> a",
    ),
    (
        "those above still stand",
        Surroundings(dependents=(Neighbour(name="b", applied=True, state="Applied"), Neighbour(name="c"))),
        "WaitingForMigration",
        "require it: b (Applied);",
    ),
    (
        "another works on the database",
        Surroundings(ahead=Ahead(name="n/x", at_work=True)),
        "WaitingForDatabase",
        "n/x is at work",
    ),
    ("another came first", Surroundings(ahead=Ahead(name="n/x", at_work=False)), "WaitingForDatabase", "n/x waits"),
]
ABNORMAL = {"WaitingForMigration": "Reconciling", "DependencyCycle": "Stalled", "WaitingForDatabase": "Reconciling"}


@pytest.mark.parametrize(("around", "reason", "sentence"), [row[1:] for row in HELD], ids=[row[0] for row in HELD])
def test_no_run_is_started(around: Surroundings, reason: str, sentence: str) -> None:
    decision = decide(observation(around=around))
    assert decision.start is None
    assert decision.status is not None
    conditions = {item.type: item for item in decision.status.conditions}
    assert (conditions["Ready"].status, conditions["Ready"].reason) == ("False", reason)
    assert sentence in conditions["Ready"].message
    assert [kind for kind in ("Reconciling", "Stalled") if kind in conditions] == [ABNORMAL[reason]]
    assert decision.status.state is (State.STALLED if reason == "DependencyCycle" else State.PENDING)
    assert decision.in_line is (reason == "WaitingForDatabase")
    assert decision.finalizers == frozenset()


def test_what_holds_a_run_back_holds_back_nothing_else() -> None:
    around = Surroundings(required=(Neighbour(name="a"),), circle=("a", "a"), ahead=Ahead(name="n/x", at_work=True))
    ready = decide(observation(migration(status=recorded(RunOutcome.DONE)), around=around))
    assert ready.status is not None
    assert ready.status.conditions[-1].status == "True"


def test_nobody_stands_in_line_before_it_is_due_and_a_second_look_does() -> None:
    ahead = Surroundings(ahead=Ahead(name="n/x", at_work=True))
    waits = decide(observation(migration(status=recorded(RunOutcome.RETRYABLE, failures=1)), around=ahead))
    assert (waits.in_line, waits.requeue) == (False, 9.0)
    stalled = recorded(RunOutcome.REFUSED, reason="AuthFailed", seconds_ago=60)
    looks = decide(observation(migration(status=stalled), around=ahead))
    assert (looks.in_line, looks.start) == (True, None)


@pytest.mark.asyncio
async def test_whether_the_namespace_ends_is_asked_only_where_a_rollback_is_due() -> None:
    leaving = body("a", deletionPolicy="Rollback", status={"observedGeneration": 1, "version": "1"})
    leaving["metadata"] |= {"deletionTimestamp": "now", "finalizers": ["schema-operator.dev/rollback"]}
    cluster = Namespace(body("b", "a", status=DONE), ending=True)
    found = await look_around(cluster, migration_of(leaving))  # type: ignore[arg-type]  # answers as Cluster does
    assert (found.namespace_ends, found.dependents) == (True, ())
    cluster.ending = False
    found = await look_around(cluster, migration_of(leaving))  # type: ignore[arg-type]  # answers as Cluster does
    assert [one.name for one in found.dependents] == ["b"]


SAME_WORK: list[dict[str, Any]] = [
    {"requires": {"migrations": [{"name": "other"}]}},
    {"deletionPolicy": "Rollback"},
    {"suspend": True},
]
OTHER_WORK: list[dict[str, Any]] = [
    {"requires": {"versions": ["1"]}},
    {"requires": {"versions": ["1"], "migrations": [{"name": "other"}]}},
    {"version": "0"},
]


def test_who_comes_first_and_what_becomes_of_the_schema_ask_for_no_run() -> None:
    plain = migration_of(body("a"))
    assert [migration_of(body("a", **spec)).asked == plain.asked for spec in SAME_WORK] == [True] * 3
    assert [migration_of(body("a", **spec)).asked == plain.asked for spec in OTHER_WORK] == [False] * 3
    first, second = (migration_of(body("a", **spec)).asked for spec in OTHER_WORK[:2])
    assert first == second
