"""What a person rolled back in SQL: who may apply it again, and what is said of it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from schema_operator.api.request import Acknowledgement, Resource
from schema_operator.api.version import Version
from schema_operator.errors import Reason, Refused
from schema_operator.history.records import AppliedVersion, HeldVersion, History
from schema_operator.runner.held import concerning, described, may_apply_again, unseen
from schema_operator.runner.plan import Plan, plan
from schema_operator.scripts.script import Script, ScriptSet, Source

US, THEM = "shop/shop", "shop/other"
WHO, WHEN = "alice via psql", "2026-01-01T00:00:00Z"


def held(version: str, seen: dict[str, int] | None = None, *, owner: str | None = US, who: str = WHO) -> HeldVersion:
    return HeldVersion(Version.parse(version), owner, 7, WHEN, who, seen or {})


def resource(generation: int, uid: str = "uid") -> Resource:
    return Resource(namespace="shop", name="shop", uid=uid, generation=generation)


@dataclass(frozen=True)
class Case:
    """What is known, and whether it may be applied again."""

    seen: dict[str, int]
    resource: Resource | None
    again: bool
    allow: tuple[Acknowledgement, ...] = ()


AGAIN = {
    "nobody was told": Case({}, resource(5), again=False),
    "told, and nothing changed since": Case({"uid": 5}, resource(5), again=False),
    "told, and changed since": Case({"uid": 5}, resource(6), again=True),
    "told of another resource": Case({"other": 5}, resource(6), again=False),
    "an older generation, of a run that was late": Case({"uid": 5}, resource(4), again=False),
    "by hand": Case({"uid": 5}, None, again=False),
    "by hand for a resource": Case({"": 5}, resource(6, ""), again=False),
    "by name": Case({}, resource(5), again=True, allow=(Acknowledgement.REAPPLY,)),
    "by hand by name": Case({}, None, again=True, allow=(Acknowledgement.REAPPLY,)),
    "by another name": Case({}, resource(5), again=False, allow=(Acknowledgement.EMPTY_SCRIPT,)),
}


@pytest.mark.parametrize("case", AGAIN.values(), ids=AGAIN.keys())
def test_who_may_apply_it_again(case: Case) -> None:
    assert may_apply_again(held("1", case.seen), case.resource, case.allow) is case.again


def test_those_of_an_owner_and_those_among_its_scripts_concern_it() -> None:
    ours, shared, theirs = held("1"), held("2", owner=THEM), held("3", owner=THEM)
    history = History(held=(ours, shared, theirs))
    assert concerning(history, US, {Version.parse("2.0")}) == (ours, shared)


def test_only_runs_of_the_operator_write_down_what_they_have_found() -> None:
    found, new = held("1", {"uid": 5}), held("2", {"other": 5})
    assert unseen((found, new), resource(6)) == (new,)
    assert unseen((found, new), None) == ()
    assert unseen((found, new), resource(0, "")) == ()


def test_deeds_are_told_apart() -> None:
    those = (held("3"), held("2"), held("1", who=""))
    assert described(those) == f"rolled back by hand: 3, 2 by {WHO} at {WHEN}; 1 by somebody at {WHEN}"


def test_many_are_counted() -> None:
    ten = tuple(held(str(number)) for number in range(10, 0, -1))
    assert described(ten).startswith("rolled back by hand: 10, 9, 8, 7, 6, 5, 4, 3, 2, 1 by ")
    assert described((held("11"), *ten)) == f"rolled back by hand: 11 versions from 11 to 1 by {WHO} at {WHEN}"


def script(version: str, *requires: str) -> Script:
    return Script(Version.parse(version), "x", Source(f"{version}_x.up.sql", "SELECT 1", "c"), requires=requires)


SCRIPTS = ScriptSet.of((script("1"), script("2"), script("3", "2")))
ONE = AppliedVersion(Version.parse("1"), US, "c", reversible=True)


def decided(history: History, wanted: str | None = None, *, whose: Resource | None = None, allow: bool = False) -> Plan:
    return plan(SCRIPTS, history, wanted, US, resource=whose, allow=(Acknowledgement.REAPPLY,) if allow else ())


@pytest.mark.parametrize(
    ("whose", "again"),
    [
        (resource(5), "change the spec (any change counts from now on), or allow it (spec.allow: Reapply)"),
        (resource(0, ""), "allow it (--allow Reapply)"),
        (None, "allow it (--allow Reapply)"),
    ],
)
def test_a_plan_refuses_it_and_says_who_it_was_and_what_to_do(whose: Resource | None, again: str) -> None:
    with pytest.raises(Refused) as refused:
        decided(History((ONE,), held=(held("3"), held("2.0"))), whose=whose)
    assert (refused.value.reason, refused.value.location.version) == (Reason.ROLLED_BACK_BY_HAND, "2")
    said = f"rolled back by hand: 2.0, 3 by {WHO} at {WHEN}; to stay there, want 1; to apply it again, {again}"
    assert refused.value.sentence == said


def test_a_plan_that_leaves_it_does_not_care() -> None:
    history = History((ONE,), held=(held("3"), held("2")))
    assert decided(history, "1").applies == ()
    assert decided(History((ONE,), held=(held("9"),)), "3").applies == SCRIPTS.scripts[1:]


def test_a_plan_applies_what_is_wanted_again() -> None:
    history = History((ONE,), held=(held("3", {"uid": 1}), held("2", {"uid": 1})))
    assert decided(history, whose=resource(2)).applies == SCRIPTS.scripts[1:]
    assert decided(history, allow=True).applies == SCRIPTS.scripts[1:]
    one_of_two = History((ONE,), held=(held("3", {"uid": 1}), held("2", {"uid": 2})))
    with pytest.raises(Refused) as refused:
        decided(one_of_two, whose=resource(2))
    assert refused.value.sentence.startswith("rolled back by hand: 2 by")


def test_where_nothing_is_left_zero_is_where_to_stay() -> None:
    with pytest.raises(Refused) as refused:
        decided(History(held=(held("1"),)))
    assert "to stay there, want 0;" in refused.value.sentence


def test_what_is_applied_again_is_not_held_any_more() -> None:
    history = History((ONE,), held=(held("3"), held("2.0")))
    applied = AppliedVersion(Version.parse("2"), US, "c", reversible=True)
    assert history.with_applied(applied).held == (held("3"),)
