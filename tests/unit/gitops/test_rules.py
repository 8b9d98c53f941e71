"""The check of our own: it says what the library says of anything, and it finds what breaks a rule."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schema_operator.api.report import Action, Outcome
from schema_operator.api.schema_migration import RunOutcome, SchemaMigrationStatus
from schema_operator.controller.decide import decide
from schema_operator.controller.deciding.statuses import timestamp
from schema_operator.controller.observation import Run
from schema_operator.errors import Reason
from support import judges, kstatus
from support.every_state import migration_object, ready, stalled
from support.kstatus import Unreadable
from unit.controller.scenes import NOW, ended, migration, observation, report, run

Plain = dict[str, Any]


def own(item: Plain) -> str:
    try:
        return kstatus.verdict(item)
    except Unreadable:
        return "unreadable"


# What the API server would never store, and what other programs may hand on.
ODD: dict[str, Plain] = {
    "nothing": {},
    "no status": {"metadata": {"generation": 1}},
    "status is null": {"metadata": {"generation": 1}, "status": None},
    "status is empty": {"metadata": {"generation": 1}, "status": {}},
    "nobody has looked": {"metadata": {"generation": 1}, "status": {"observedGeneration": -1}},
    "observedGeneration is null": {"metadata": {"generation": 1}, "status": {"observedGeneration": None}},
    "observedGeneration is a text": {"metadata": {"generation": 1}, "status": {"observedGeneration": "1"}},
    "conditions are null": {"metadata": {"generation": 1}, "status": {"observedGeneration": 1, "conditions": None}},
    "conditions are empty": {"metadata": {"generation": 1}, "status": {"observedGeneration": 1, "conditions": []}},
    "conditions are no list": {"metadata": {"generation": 1}, "status": {"conditions": {"type": "Ready"}}},
    "metadata is null": {"metadata": None, "status": {}},
    "deletion is null": {"metadata": {"deletionTimestamp": None, "generation": 1}, "status": {}},
    "Ready is Unknown": {
        "metadata": {"generation": 1},
        "status": {"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "Unknown"}]},
    },
    "Ready is something else": {"metadata": {}, "status": {"conditions": [{"type": "Ready", "status": "true"}]}},
    "Ready has no status": {"metadata": {}, "status": {"conditions": [{"type": "Ready"}]}},
    "Ready is null": {"metadata": {}, "status": {"conditions": [{"type": "Ready", "status": None}]}},
    "Ready and yet Stalled": {
        "metadata": {},
        "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Stalled", "status": "True"}]},
    },
    "Stalled before Reconciling": {
        "metadata": {},
        "status": {"conditions": [{"type": "Stalled", "status": "True"}, {"type": "Reconciling", "status": "True"}]},
    },
    "Reconciling before Stalled": {
        "metadata": {},
        "status": {"conditions": [{"type": "Reconciling", "status": "True"}, {"type": "Stalled", "status": "True"}]},
    },
}


def test_of_odd_objects_the_library_says_what_our_check_says() -> None:
    library = judges.kstatus(ODD.values())
    assert {name: own(item) for name, item in ODD.items()} == {
        name: found.status or "unreadable" for name, found in zip(ODD, library, strict=True)
    }


@pytest.mark.parametrize("kind", ["SchemaMigration", "TargetDatabase"])
def test_odd_objects_are_progressing_for_argo_cd_and_the_script_does_not_fail(kind: str) -> None:
    found = judges.argo_health(kind, ODD.values())
    assert {name: one.status or one.error for name, one in zip(ODD, found, strict=True)} == dict.fromkeys(
        ODD, "Progressing"
    )


_CONDITION = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["Ready", "Reconciling", "Stalled", "Applied"]),
        "status": st.sampled_from(["True", "False", "Unknown", "", None]),
        "reason": st.sampled_from(["AwaitingApproval", "NotTried", "Applied", None]),
        "message": st.text(max_size=3),
        "observedGeneration": st.integers(0, 2),
    },
)
_NUMBER = st.one_of(st.integers(-1, 2), st.sampled_from([None, "1", True]))
_OBJECT = st.fixed_dictionaries(
    {},
    optional={
        "metadata": st.fixed_dictionaries(
            {},
            optional={"generation": _NUMBER, "deletionTimestamp": st.sampled_from(["", "2026-11-22T12:00:00Z", None])},
        ),
        "status": st.one_of(
            st.none(),
            st.fixed_dictionaries(
                {}, optional={"observedGeneration": _NUMBER, "conditions": st.none() | st.lists(_CONDITION, max_size=4)}
            ),
        ),
    },
)


@settings(max_examples=15, deadline=None)
@given(st.lists(_OBJECT, min_size=50, max_size=100))
def test_of_any_object_the_library_says_what_our_check_says(items: list[Plain]) -> None:
    library = judges.kstatus(items)
    differ = [
        (item, own(item), one)
        for item, one in zip(items, library, strict=True)
        if own(item) != (one.status or "unreadable")
    ]
    assert differ == []


@settings(max_examples=10, deadline=None)
@given(st.lists(_OBJECT, min_size=50, max_size=100), st.sampled_from(["SchemaMigration", "TargetDatabase"]))
def test_argo_cd_calls_nothing_healthy_that_kstatus_does_not_call_current(items: list[Plain], kind: str) -> None:
    for item, one in zip(items, judges.argo_health(kind, items), strict=True):
        assert one.error == ""
        untried = kind == "TargetDatabase" and one.status == "Healthy" and own(item) == "InProgress"
        assert one.status != "Healthy" or own(item) == "Current" or untried


def change(path: tuple[str | int, ...], value: object) -> Callable[[Plain], None]:
    """Give what sets one field of an object."""

    def changed(item: Plain) -> None:
        place: Any = item
        for name in path[:-1]:
            place = place[name]
        place[path[-1]] = value

    return changed


def add(*conditions: dict[str, str]) -> Callable[[Plain], None]:
    """Give what puts conditions before the others."""

    def changed(item: Plain) -> None:
        found = item["status"]["conditions"]
        found[:0] = [{**found[-1], **one} for one in conditions]

    return changed


def turned(item: Plain) -> None:
    item["status"]["conditions"].reverse()


READY = migration_object(ready())
FIRST = ("status", "conditions", 0)
# Each line: what is done to a status that is Ready, and how the rule it breaks begins.
BREAKS = [
    ("no observedGeneration", change(("status", "observedGeneration"), None), "there is no observedGeneration"),
    ("a generation to come", change(("status", "observedGeneration"), 2), "observedGeneration 2 is not there yet"),
    ("no condition", change(("status", "conditions"), []), "a generation was looked at"),
    ("no status", change((*FIRST, "status"), ""), "Validated has the status"),
    ("no reason", change((*FIRST, "reason"), ""), "Validated has no reason"),
    ("a sentence as reason", change((*FIRST, "reason"), "It works."), "Validated has no reason"),
    ("no message", change((*FIRST, "message"), ""), "Validated has no message"),
    ("another generation", change((*FIRST, "observedGeneration"), 0), "Validated is about another generation"),
    ("no time", change((*FIRST, "lastTransitionTime"), None), "Validated does not say when"),
    ("Ready is first", turned, "Ready is not the last condition"),
    ("Stalled is False", add({"type": "Stalled", "status": "False"}), "Stalled is there and not True"),
    ("Reconciling is Unknown", add({"type": "Reconciling", "status": "Unknown"}), "Reconciling is there and not True"),
    ("Ready and Stalled", add({"type": "Stalled"}), "Ready is True in spite of Stalled"),
    ("Ready and Reconciling", add({"type": "Reconciling"}), "Ready is True in spite of Reconciling"),
    ("both", add({"type": "Reconciling"}, {"type": "Stalled"}), "Reconciling and Stalled are there together"),
    ("one twice", add({"type": "Applied"}), "a condition is there twice"),
    ("too many", add(*({"type": f"More{number}"} for number in range(17))), "more than 20 conditions"),
    ("too many runs", change(("status", "runs"), [{}] * 11), "more than 10 runs"),
]


@pytest.mark.parametrize(("how", "rule"), [line[1:] for line in BREAKS], ids=[line[0] for line in BREAKS])
def test_what_breaks_a_rule_is_found(how: Callable[[Plain], None], rule: str) -> None:
    assert kstatus.broken(READY) == []
    item = deepcopy(READY)
    how(item)
    assert [found for found in kstatus.broken(item) if found.startswith(rule)] != []


def test_a_time_that_moves_alone_or_goes_back_is_found() -> None:
    later, earlier = deepcopy(READY), deepcopy(READY)
    change(("status", "conditions", -1, "lastTransitionTime"), "2026-11-22T13:00:00Z")(later)
    change(("status", "conditions", -1, "lastTransitionTime"), "2026-11-22T11:00:00Z")(earlier)
    assert kstatus.broken_in([READY, READY]) == []
    assert kstatus.broken_in([READY, later, later]) == ["the time of Ready moved and its status did not"]
    assert "the time of Ready went back" in kstatus.broken_in([READY, earlier])


def test_a_generation_that_goes_back_is_found() -> None:
    newer = migration_object(stalled(), generation=2)
    change(("status", "observedGeneration"), 2)(newer)
    assert "observedGeneration went back" in kstatus.broken_between(newer, READY)


# A life: of each moment the generation, the Jobs, and what kstatus must say.
DONE = ended(report=report(message="done"))
BACK = ended(report=report(Outcome.DONE, action=Action.ROLLBACK, version="0"))
BAD = ended(RunOutcome.FAILED, reason=Reason.SYNTAX_ERROR)
LATER = ended(RunOutcome.RETRYABLE, reason=Reason.LOCK_TIMEOUT, counted=True)
LIFE: list[tuple[int, tuple[Run, ...], str]] = [
    (1, (), "InProgress"),
    (1, (run(started=False),), "InProgress"),
    (1, (run(),), "InProgress"),
    (1, (run(ended=LATER),), "InProgress"),
    (1, (run(ended=LATER), run(2)), "InProgress"),
    (1, (run(2, ended=DONE),), "Current"),
    (2, (), "InProgress"),
    (2, (run(generation=2),), "InProgress"),
    (2, (run(generation=2, ended=BAD),), "Failed"),
    (2, (run(generation=2, ended=BAD),), "Failed"),
    (3, (), "InProgress"),
    (3, (run(generation=3, ended=DONE),), "Current"),
    (4, (), "InProgress"),
    (4, (run(generation=4, ended=BACK),), "Current"),
]


def test_a_whole_life_breaks_no_rule_and_is_current_only_when_it_is_done() -> None:
    status = SchemaMigrationStatus()
    shown = [migration_object(status)]
    for minute, (generation, runs, expected) in enumerate(LIFE):
        before = migration_object(status, generation=generation)
        of = migration(generation=generation, status=status)
        now = NOW + timedelta(minutes=minute)
        seen = replace(observation(of, runs=tuple(replace(one, created=timestamp(now)) for one in runs)), now=now)
        status = decide(seen).status or status
        after = migration_object(status, generation=generation)
        shown += [before, after]
        assert kstatus.verdict(after) == expected
        assert kstatus.verdict(before) == ("InProgress" if of.status.observed_generation < generation else own(before))
    assert kstatus.broken_in(shown) == []
    assert {one.status for one in judges.kstatus(shown)} == {"InProgress", "Failed", "Current"}
    assert [one.status for one in judges.kstatus(shown)] == [own(item) for item in shown]
