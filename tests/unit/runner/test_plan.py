"""What a run decides to do, as a table: scripts, history, wish -> plan or refusal."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import pytest

from schema_operator.api.request import OutOfOrder
from schema_operator.api.version import Version
from schema_operator.errors import Reason, Refused
from schema_operator.history.records import AppliedVersion, History
from schema_operator.runner.plan import first_difference, mismatches, plan, refuse_mismatch
from schema_operator.scripts.script import Script, ScriptSet, Source

US = "shop/shop"
THEM = "shop/other"


def script(version: str, text: str = "") -> Script:
    text = text or f"SELECT '{Version.parse(version)._key}';"
    checksum = hashlib.sha256(text.encode()).hexdigest()
    return Script(Version.parse(version), "x", Source(f"{version}_x.up.sql", text, checksum))


def applied(version: str, owner: str | None = US, *, reversible: bool = True, text: str = "") -> AppliedVersion:
    return AppliedVersion(Version.parse(version), owner, script(version, text).up.checksum, reversible)


def scripts(*versions: str) -> ScriptSet:
    return ScriptSet.of(script(version) for version in versions)


@dataclass(frozen=True)
class Case:
    """Scripts, history in the order of application, the wanted version, and what follows."""

    scripts: tuple[str, ...]
    history: tuple[AppliedVersion, ...] = ()
    wanted: str | None = None
    rollbacks: tuple[str, ...] = ()
    applies: tuple[str, ...] = ()
    owner: str | None = US
    out_of_order: OutOfOrder = OutOfOrder.REFUSE


PLANS = {
    "an empty database gets everything, oldest first": Case(("2", "1", "10"), applies=("1", "2", "10")),
    "only what is missing": Case(("1", "2"), (applied("1"),), applies=("2",)),
    "nothing to do": Case(("1", "2"), (applied("1"), applied("2"))),
    "up to the wanted version": Case(("1", "2", "3"), wanted="2", applies=("1", "2")),
    "1.0 is 1.0.0": Case(("1.0.0",), (applied("1.0"),), wanted="1"),
    "above the wanted version goes, newest first": Case(
        ("1", "2", "3"), (applied("1"), applied("2"), applied("3")), wanted="1", rollbacks=("3", "2")
    ),
    "newest first is by application, not by number": Case(
        ("1", "2", "3"), (applied("1"), applied("3"), applied("2")), wanted="1", rollbacks=("2", "3")
    ),
    "version 0 takes everything of ours away": Case(
        ("1",), (applied("5", THEM), applied("1"), applied("2")), wanted="0", rollbacks=("2", "1")
    ),
    "the newest script counts where no version is wanted and files are gone": Case(
        ("1",), (applied("1"), applied("2")), rollbacks=("2",)
    ),
    "the wanted version may be applied and its file gone": Case(
        ("1",), (applied("1"), applied("2"), applied("3")), wanted="2", rollbacks=("3",)
    ),
    "rollbacks and applications in one run": Case(
        ("1", "2"), (applied("1"), applied("3")), wanted="2", rollbacks=("3",), applies=("2",)
    ),
    "what another applied counts as applied": Case(("1", "2"), (applied("1", THEM),), applies=("2",)),
    "another's versions do not make ours late": Case(("1",), (applied("9", THEM),), applies=("1",)),
    "another's versions above the wanted one stay": Case(("1",), (applied("9", THEM), applied("1"))),
    "another's version above the wanted one that is not among our scripts stays": Case(
        ("1", "3"), (applied("1"), applied("2", THEM)), wanted="1"
    ),
    "another's version from before is not in the way": Case(
        ("1",), (applied("9", THEM), applied("1"), applied("2")), wanted="1", rollbacks=("2",)
    ),
    "late versions where allowed": Case(("1", "2"), (applied("2"),), applies=("1",), out_of_order=OutOfOrder.ALLOW),
    "nobody's versions belong to whoever is nobody": Case(
        ("1",), (applied("1", None), applied("2", None)), wanted="1", rollbacks=("2",), owner=None
    ),
    "nobody's versions are not ours": Case(("1",), (applied("1", None), applied("2", None)), wanted="1"),
}


@pytest.mark.parametrize("case", PLANS.values(), ids=PLANS.keys())
def test_plan(case: Case) -> None:
    decided = plan(scripts(*case.scripts), History(case.history), case.wanted, case.owner, case.out_of_order)
    assert tuple(one.version.text for one in decided.rollbacks) == case.rollbacks
    assert tuple(one.version.text for one in decided.applies) == case.applies


REFUSALS = {
    "no script": (Case(()), Reason.EMPTY_SOURCE, ()),
    "no script and version 0": (Case((), (applied("1"),), "0"), Reason.EMPTY_SOURCE, ()),
    "a malformed wish": (Case(("1",), wanted="newest"), Reason.MALFORMED_VERSION, ("newest",)),
    "an unknown version": (Case(("1", "3"), wanted="2"), Reason.UNKNOWN_VERSION, ("2", "1", "3")),
    "without rollback scripts": (
        Case(
            ("1",),
            (applied("1"), applied("2", reversible=False), applied("3"), applied("4", reversible=False)),
            "1",
        ),
        Reason.NOT_REVERSIBLE,
        ("4, 2",),
    ),
    "another's later version": (
        Case(("1",), (applied("1"), applied("2"), applied("0.1", THEM)), "1"),
        Reason.VERSION_IN_THE_WAY,
        ("0.1", THEM, "2"),
    ),
    "nobody's later version": (
        Case(("1",), (applied("1"), applied("2"), applied("7", None)), "1"),
        Reason.VERSION_IN_THE_WAY,
        ("7", "no resource"),
    ),
    "below what another applied of our scripts": (
        Case(("1.0.0", "1.1.0", "1.2"), (applied("1.0.0"), applied("1.1.0", THEM), applied("1.2", None)), "1.0.0"),
        Reason.VERSION_IN_THE_WAY,
        (
            "1.0.0 is wanted",
            f"1.1.0 (of {THEM}), 1.2 (of no resource, by hand without --as)",
            "only its owner can roll it back",
        ),
    ),
    "version 0 where another applied what is among our scripts": (
        Case(("1",), (applied("1", THEM),), "0"),
        Reason.VERSION_IN_THE_WAY,
        (f"1 (of {THEM})",),
    ),
    "a late version": (
        Case(("1", "2"), (applied("2"),)),
        Reason.OUT_OF_ORDER,
        ("1", "2", "policy.outOfOrder", "--out-of-order Allow"),
    ),
}


@pytest.mark.parametrize(("case", "reason", "says"), REFUSALS.values(), ids=REFUSALS.keys())
def test_refusal(case: Case, reason: Reason, says: tuple[str, ...]) -> None:
    with pytest.raises(Refused) as refused:
        plan(scripts(*case.scripts), History(case.history), case.wanted, case.owner, case.out_of_order)
    assert refused.value.reason is reason
    assert all(text in str(refused.value) for text in says)


def test_a_version_that_is_rolled_back_makes_none_late() -> None:
    decided = plan(scripts("1", "2"), History((applied("1"), applied("3"))), "2", US)
    assert [one.version.text for one in decided.applies] == ["2"]


@pytest.mark.parametrize(
    ("history", "wanted", "expected"),
    [
        ((applied("1"), applied("2")), None, ()),
        ((applied("1", text="SELECT 0;"),), None, ("1",)),
        ((applied("1", THEM, text="SELECT 0;"),), None, ("1",)),
        ((applied("1"), applied("2", text="SELECT 0;")), "1", ()),
        ((AppliedVersion(Version.parse("1"), None, None, reversible=False),), None, ()),
    ],
    ids=["the same", "changed", "changed, of another", "changed above the wanted version", "written by hand"],
)
def test_mismatches(history: tuple[AppliedVersion, ...], wanted: str | None, expected: tuple[str, ...]) -> None:
    found = mismatches(scripts("1", "2"), History(history), wanted)
    assert tuple(one.script.version.text for one in found) == expected


def test_a_mismatch_is_told_with_both_hashes_the_line_and_the_other_owner() -> None:
    (found,) = mismatches(ScriptSet.of([script("1", "a\nB\nc")]), History((applied("1", THEM, text="a\nb\nc"),)), None)
    with pytest.raises(Refused) as refused:
        refuse_mismatch(found, "a\nb\nc", US)
    assert refused.value.reason is Reason.CHECKSUM_MISMATCH
    assert refused.value.location.line == 2
    for text in (script("1", "a\nB\nc").up.checksum, script("1", "a\nb\nc").up.checksum, f"by {THEM}", "line 2"):
        assert text in str(refused.value)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [("a", "a", None), ("a\nb", "a\nc", 2), ("a", "a\n", 2), ("a\nb", "a", 2), ("x", "y", 1), ("a\r\n", "a\n", 1)],
)
def test_first_difference(old: str, new: str, line: int | None) -> None:
    assert first_difference(old, new) == line
