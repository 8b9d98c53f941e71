"""The history read and written: how many queries, with what, and what is made of the answers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest
from psycopg import sql

from schema_operator.api.request import TransactionMode
from schema_operator.api.version import Version
from schema_operator.errors import Reason, Refused
from schema_operator.history import store
from schema_operator.history.records import (
    AppliedVersion,
    Author,
    Change,
    Direction,
    HeldVersion,
    History,
    OpenUnit,
    StoredScripts,
    UnitEvent,
)
from schema_operator.scripts.down_steps import DownStep, DownSteps

if TYPE_CHECKING:
    from schema_operator.postgres.session import Session

AUTHOR = Author("a" * 300, "run-1", "shop/shop", "uid", "schema-operator 1")
CHANGE = Change(
    version="1.0",
    rollback=False,
    description="d",
    script_name="n" * 300,
    checksum="c",
    up="SELECT 1",
    down="SELECT 2",
    down_name=None,
    verify=None,
)


class Answers:
    """A session that answers every query with the same rows, and remembers what it was asked."""

    def __init__(self, *rows: tuple[Any, ...]) -> None:
        self.rows = list(rows)
        self.asked: list[dict[str, object]] = []

    def query(
        self, query: sql.SQL | sql.Composed, parameters: dict[str, object] | None = None
    ) -> list[tuple[Any, ...]]:
        assert query.as_bytes(None)
        self.asked.append(parameters or {})
        return self.rows

    @property
    def session(self) -> Session:
        return cast("Session", self)


APPLIED = '[["1.0","shop/shop","abc",true,["0.9","0.8"]],["2",null,null,false,[]]]'
OPEN = '[["3","apply",null,2,5,"def","Started","SELECT 1",[7,8]],["3","rollback","a/b",1,5,"def","Finished","",null]]'
HELD = '[["4","a/b",17,"2026-01-01T00:00:00Z","alice via psql",{"uid":3}],["5",null,18,"2026-01-02T00:00:00Z","",{}]]'


def test_the_history_is_one_query() -> None:
    answers = Answers(("1 3 2", True, APPLIED, OPEN, HELD, True))
    reading = store.read(answers.session)
    assert len(answers.asked) == 1
    assert (reading.control, reading.recordable, reading.expired) == (Version.parse("3"), True, True)
    needs = (Version.parse("0.9"), Version.parse("0.8"))
    third = Version.parse("3")
    assert reading.history == History(
        (
            AppliedVersion(Version.parse("1.0"), "shop/shop", "abc", reversible=True, requires=needs),
            AppliedVersion(Version.parse("2"), None, None, reversible=False),
        ),
        (
            OpenUnit(third, Direction.APPLY, None, 2, 5, "def", UnitEvent.STARTED, "SELECT 1", (7, 8)),
            OpenUnit(third, Direction.ROLLBACK, "a/b", 1, 5, "def", UnitEvent.FINISHED, "", ()),
        ),
        (
            HeldVersion(Version.parse("4"), "a/b", 17, "2026-01-01T00:00:00Z", "alice via psql", {"uid": 3}),
            HeldVersion(Version.parse("5"), None, 18, "2026-01-02T00:00:00Z", "", {}),
        ),
    )
    assert reading.history.get(Version.parse("1")) is reading.history.applied[0]
    assert reading.history.get(third) is None


def test_a_history_without_a_version_is_empty() -> None:
    reading = store.read(Answers(("3", False, None, None, None, None)).session)
    assert (reading.history, reading.recordable, reading.expired) == (History(), False, False)


DAMAGE = {
    "no version of its own": ((None, True, None, None, None, None), "control_versions is empty"),
    "a version of its own that is none": (("new", True, None, None, None, None), "'new'"),
    "a version that is none": (("3", True, '[["first",null,null,true,[]]]', None, None, None), "'first'"),
    "a requirement that is none": (("3", True, '[["1",null,null,true,["zero"]]]', None, None, None), "'zero'"),
    "a rollback by hand of what is none": (("3", True, None, None, '[["last",null,1,"","",{}]]', None), "'last'"),
}


@pytest.mark.parametrize(("row", "says"), DAMAGE.values(), ids=DAMAGE.keys())
def test_what_nobody_can_have_written_is_refused(row: tuple[Any, ...], says: str) -> None:
    with pytest.raises(Refused) as refused:
        store.read(Answers(row).session)
    assert refused.value.reason is Reason.CONTROL_SCHEMA_DAMAGED
    assert says in refused.value.sentence


@pytest.mark.parametrize(
    ("rollback", "baseline", "recorded", "event", "action"),
    [
        (False, False, "1.0", "Applied", "apply"),
        (False, True, "1.0", "Baselined", "apply"),
        (True, False, "1.0-rollback", "RolledBack", "rollback"),
    ],
)
def test_a_change_is_recorded_in_one_query(
    rollback: bool, baseline: bool, recorded: str, event: str, action: str
) -> None:
    answers = Answers(("77",))
    values = {"name": 'a "quoted" name', "größe": "1"}
    change = replace(
        CHANGE,
        rollback=rollback,
        baseline=baseline,
        requires=("0.9", "0.8"),
        variables=values,
        down_transaction=TransactionMode.NEVER,
        down_steps=DownSteps((DownStep('DROP TABLE "größe"', 3),)),
    )
    assert store.record(answers.session, change, AUTHOR) == "77"
    (asked,) = answers.asked
    assert (asked["version"], asked["recorded_version"], asked["event"], asked["action"]) == (
        *("1.0", recorded, event, action),
    )
    assert (asked["requires"], asked["down_transaction"]) == ("0.9 0.8", "Never")
    assert asked["variables"] == '{"name":"a \\"quoted\\" name","größe":"1"}'
    assert asked["down_steps"] == '{"statements":[{"sql":"DROP TABLE \\"größe\\"","line":3}]}'
    assert (asked["script_name"], asked["actor"]) == ("n" * 255, "a" * 255)


def test_no_variables_are_recorded_as_none() -> None:
    answers = Answers(("77",))
    store.record(answers.session, CHANGE, AUTHOR)
    asked = answers.asked[0]
    assert (asked["variables"], asked["requires"], asked["down_steps"]) == (None, "", None)


def test_what_a_run_has_found_rolled_back_by_hand_is_one_query() -> None:
    answers = Answers((True,))
    store.record_seen(answers.session, [17, 18], "uid", 4, "run-1")
    assert store.is_seen(answers.session, 17, "uid")
    assert answers.asked == [
        {"positions": [17, 18], "resource_uid": "uid", "generation": 4, "run": "run-1"},
        {"position": 17, "resource_uid": "uid"},
    ]


def test_stored_scripts_come_with_their_variables_and_their_transaction() -> None:
    stored = store.stored_scripts(Answers(("u", "d", "n", '{"a":"b"}', "Never")).session, Version.parse("1"))
    assert stored == StoredScripts("u", "d", "n", {"a": "b"}, TransactionMode.NEVER)
    assert store.stored_scripts(Answers().session, Version.parse("1")) == StoredScripts(None, None, None)


def test_many_texts_are_one_query() -> None:
    answers = Answers(("1.0", "SELECT 1"), ("2", None))
    found = store.stored_texts(answers.session, [Version.parse("1.0"), Version.parse("2")])
    assert answers.asked == [{"versions": ["1.0", "2"]}]
    assert found == {Version.parse("1"): "SELECT 1", Version.parse("2"): None}
