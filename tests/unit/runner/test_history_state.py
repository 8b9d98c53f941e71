"""The history as fingerprints, and what may be done where it has moved."""

from __future__ import annotations

import pytest

from schema_operator.api.history_state import NOTHING_APPLIED
from schema_operator.api.report import TERMINATION_MESSAGE_LIMIT, Outcome, RunReport, decode, for_termination_message
from schema_operator.api.request import InlineScript
from schema_operator.api.version import Version
from schema_operator.errors import Failed, OutcomeUnknown, Reason, Refused
from schema_operator.history.records import AppliedVersion, History
from schema_operator.runner.history_state import state_of
from schema_operator.runner.moved import require_forward
from schema_operator.runner.outcome import Findings, report_of
from schema_operator.runner.plan import Plan, plan
from schema_operator.scripts.reading import from_inline

OWN = "shop/shop"


def applied(version: str, owner: str | None = OWN, checksum: str = "c") -> AppliedVersion:
    return AppliedVersion(Version.parse(version), owner, checksum, reversible=True)


BASE = (applied("1"), applied("7", "shop/other"), applied("2"))

# Each line: another history, and whose fingerprint differs from that of BASE.
OTHERS: list[tuple[str, tuple[AppliedVersion, ...], set[str]]] = [
    ("the same", BASE, set()),
    ("an older point", BASE[:2], {"whole", OWN}),
    ("one more of another", (*BASE, applied("8", "shop/other")), {"whole", "shop/other"}),
    ("another script", (applied("1", checksum="x"), *BASE[1:]), {"whole", OWN}),
    ("another order", (BASE[2], BASE[1], BASE[0]), {"whole", OWN}),
    ("in another order among owners", (BASE[1], BASE[0], BASE[2]), {"whole"}),
    ("of another owner", (*BASE[:2], applied("2", "shop/other")), {"whole", OWN, "shop/other"}),
    ("nothing", (), {"whole", OWN, "shop/other"}),
]


def digests(*versions: AppliedVersion) -> dict[str, str]:
    state = state_of(History(versions), asked=(OWN, "shop/other"))
    return {"whole": state.digest} | {one.owner: one.digest for one in state.owners}


@pytest.mark.parametrize(("other", "differ"), [line[1:] for line in OTHERS], ids=[line[0] for line in OTHERS])
def test_a_fingerprint_differs_where_something_else_is_applied(
    other: tuple[AppliedVersion, ...], differ: set[str]
) -> None:
    before, after = digests(*BASE), digests(*other)
    assert {name for name in before if before[name] != after[name]} == differ


def test_nothing_applied_is_nothing_of_anybody() -> None:
    assert set(digests().values()) == {NOTHING_APPLIED}


def test_those_relied_on_come_first_then_those_asked_for_then_the_newest() -> None:
    history = History((applied("1", None), applied("2", "z/z"), applied("3", "y/y"), applied("4", OWN)))
    state = state_of(history, own=OWN, wanted=[Version.parse("1")], asked=("a/a",))
    assert [(one.owner, one.counted) for one in state.owners] == [
        (OWN, True),
        ("", True),
        ("a/a", False),
        ("y/y", False),
        ("z/z", False),
    ]
    assert (state.counted, state.version, state.owner, state.versions) == (2, "4", OWN, 4)


@pytest.mark.parametrize(("owners", "length"), [(3, 320), (50, 30), (80, 300)])
def test_a_report_with_owners_fits_and_its_own_comes_first(owners: int, length: int) -> None:
    history = History(tuple(applied(str(one), f"{one}/" + "n" * length) for one in range(1, owners + 1)))
    state = state_of(history, own=OWN)
    text = for_termination_message(RunReport(run="r", outcome=Outcome.DONE, message="ü" * 3000, history=state))
    assert len(text) <= TERMINATION_MESSAGE_LIMIT
    found = decode(text).history
    assert found is not None
    assert found.owners[0].owner == OWN
    assert len(found.owners) + found.left_out == owners + 1
    assert (found.digest, found.versions, found.counted) == (state.digest, owners, 1)


SCRIPTS = from_inline([InlineScript(version=one, up="SELECT 1", down="SELECT 1") for one in ("1", "2", "3")])


def findings(*versions: AppliedVersion, wanted: str | None = None) -> Findings:
    history = History(versions)
    return Findings(owner=OWN).with_history(history).with_plan(plan(SCRIPTS, history, wanted, OWN), SCRIPTS)


def test_what_is_pending_is_what_the_run_has_not_done() -> None:
    decided = findings(applied("1"))
    failed = Failed(Reason.SYNTAX_ERROR, "x")
    ended = report_of("r", decided.with_applied(applied("2")), failed, 1.0)
    assert (ended.wanted, ended.pending) == ("3", 1)
    assert report_of("r", findings(applied("1"), wanted="1"), None, 1.0).pending == 0
    assert report_of("r", Findings().with_history(History()), failed, 1.0).pending is None, "nothing was decided"


def test_nobody_knows_what_is_applied_after_a_commit_that_was_not_answered() -> None:
    unknown = report_of("r", findings(applied("1")), OutcomeUnknown(Reason.OUTCOME_UNKNOWN, "x"), 1.0)
    assert (unknown.history, unknown.pending) == (None, None)
    known = report_of("r", findings(applied("1")), None, 1.0).history
    assert known is not None
    assert known.owners == state_of(History((applied("1"),)), own=OWN).owners


def test_an_inspection_says_what_is_applied() -> None:
    found = report_of("r", Findings(inspected=state_of(History(BASE))), None, 1.0)
    assert found.message == "3 versions are applied; the highest is 7 (of shop/other)."
    assert found.version is None
    assert found.history == state_of(History(BASE))
    nothing = report_of("r", Findings(inspected=state_of(History())), None, 1.0)
    assert nothing.message == "No version is applied."


def test_what_is_there_beyond_it_is_not_taken_away_because_of_a_history_that_moved() -> None:
    require_forward(Plan(Version.parse("3"), applies=SCRIPTS.scripts))
    with pytest.raises(Refused, match=r"has 2, 3, .* 1 is wanted; .* want 3; .*requested-at") as caught:
        require_forward(plan(SCRIPTS, History((applied("1"), applied("2"), applied("3"))), "1", OWN))
    assert caught.value.reason is Reason.HISTORY_AHEAD
