"""What is decided where a version is applied or rolled back in part, as a table."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from schema_operator.api.version import Version
from schema_operator.errors import Reason, Refused
from schema_operator.history.records import (
    AppliedVersion,
    Direction,
    History,
    OpenUnit,
    UnitEvent,
    still_begun,
)
from schema_operator.runner.plan import plan
from schema_operator.scripts.script import Script, ScriptSet, Source

US, THEM = "shop/shop", "shop/other"
STARTED, FAILED, FINISHED = UnitEvent
APPLY, ROLLBACK = Direction


def script(version: str) -> Script:
    return Script(Version.parse(version), "", Source(f"{version}.up.sql", "SELECT 1", "c"))


def batched(batches: int, *, to: Direction = APPLY, owner: str = US) -> OpenUnit:
    """A unit that is done in batches: its row says for ever that it was begun, and how many batches are done."""
    return replace(row(STARTED, to=to, owner=owner), batches=batches)


def row(event: UnitEvent, unit: int = 1, *, version: str = "2", to: Direction = APPLY, owner: str = US) -> OpenUnit:
    return OpenUnit(Version.parse(version), to, owner, unit, 3, "c", event, "VACUUM", ())


@dataclass(frozen=True)
class Case:
    """Scripts, applied versions of ours, open rows of the journal, the wanted version, and what follows."""

    scripts: str
    applied: str
    open: tuple[OpenUnit, ...]
    wanted: str
    rollbacks: str = ""
    applies: str = ""
    abandons: str = ""


def decide(case: Case) -> tuple[str, str, str]:
    history = History(
        tuple(AppliedVersion(Version.parse(one), US, "c", reversible=True) for one in case.applied.split()), case.open
    )
    decided = plan(ScriptSet.of(map(script, case.scripts.split())), history, case.wanted, US)
    return (
        " ".join(one.version.text for one in decided.rollbacks),
        " ".join(one.version.text for one in decided.applies),
        " ".join(one.version.text for one in decided.abandons),
    )


DECISIONS = {
    "what is applied in part is gone on with": Case("1 2 3", "1", (row(FINISHED),), "3", applies="2 3"),
    "so is what was only begun": Case("1 2", "1", (row(STARTED),), "2", applies="2"),
    "what was only begun and is not wanted any more is abandoned": Case("1 2", "1", (row(STARTED),), "1", abandons="2"),
    "so is what has failed": Case("1 2", "1", (row(STARTED), row(FAILED)), "1", abandons="2"),
    "also where its script has gone": Case("1", "1", (row(STARTED),), "1", abandons="2"),
    "what is rolled back in part goes first, and comes back": Case(
        "1 2", "1 2", (row(FINISHED, to=ROLLBACK),), "2", rollbacks="2", applies="2"
    ),
    "or does not come back": Case("1 2", "1 2", (row(FINISHED, to=ROLLBACK),), "1", rollbacks="2"),
    "a rollback that was only begun is abandoned": Case("1 2", "1 2", (row(STARTED, to=ROLLBACK),), "2", abandons="2"),
    "what is done in batches is gone on with": Case("1 2", "1", (batched(3),), "2", applies="2"),
    "batches of which none is done are abandoned": Case("1 2", "1", (batched(0),), "1", abandons="2"),
    "a rollback in batches goes first": Case("1 2", "1 2", (batched(3, to=ROLLBACK),), "2", rollbacks="2", applies="2"),
    "what others have begun outside of our scripts is theirs": Case(
        "1", "1", (row(FINISHED, version="9", owner=THEM),), "1"
    ),
}


@pytest.mark.parametrize("case", DECISIONS.values(), ids=DECISIONS)
def test_a_version_in_part_is_finished_or_abandoned(case: Case) -> None:
    assert decide(case) == (case.rollbacks, case.applies, case.abandons)


REFUSALS = {
    "below it": (Case("1 2", "1", (row(FINISHED),), "1"), "want 2 until it is finished"),
    "its script has gone": (Case("1", "1", (row(FINISHED),), "1"), "put it back"),
    "below its batches": (Case("1 2", "1", (batched(3),), "1"), "(3 batches of its rows are done), and 1 is wanted"),
    "the script of its batches has gone": (Case("1", "1", (batched(1),), "1"), "(1 batch of its rows is done)"),
    "another owner has begun it": (Case("1 2", "1", (row(FINISHED, owner=THEM),), "2"), "begun for shop/other"),
    "another owner has only begun it": (Case("1 2", "1", (row(STARTED, owner=THEM),), "2"), "(unit 1 of 3 is begun)"),
}


@pytest.mark.parametrize(("case", "words"), REFUSALS.values(), ids=REFUSALS)
def test_a_version_in_part_that_would_stay_so_is_refused(case: Case, words: str) -> None:
    with pytest.raises(Refused) as refused:
        decide(case)
    assert refused.value.reason is Reason.PARTLY_APPLIED
    assert refused.value.location.version == "2"
    assert words in refused.value.sentence


@pytest.mark.parametrize(
    ("rows", "begun"),
    [
        ((), set()),
        ((row(STARTED, 1),), {1}),
        ((row(STARTED, 1), row(FINISHED, 1)), set()),
        ((row(STARTED, 1), row(FAILED, 1)), set()),
        ((row(STARTED, 1), row(FAILED, 1), row(STARTED, 1)), {1}),
        ((row(FINISHED, 1), row(STARTED, 2)), {2}),
    ],
)
def test_what_is_still_begun(rows: tuple[OpenUnit, ...], begun: set[int]) -> None:
    assert set(still_begun(rows)) == begun
