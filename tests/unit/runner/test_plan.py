"""What a run decides to do, as a table: scripts, history, wish -> plan or refusal."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import pytest

from schema_operator.api.request import OutOfOrder
from schema_operator.api.version import Version
from schema_operator.errors import Reason, Refused
from schema_operator.history.records import AppliedVersion, History
from schema_operator.runner.plan import Plan, baseline_of, plan
from schema_operator.scripts.script import Script, ScriptSet, Source

US = "shop/shop"
THEM = "shop/other"


def script(version: str, *requires: str) -> Script:
    text = f"SELECT '{Version.parse(version)._key}';"
    checksum = hashlib.sha256(text.encode()).hexdigest()
    return Script(Version.parse(version), "x", Source(f"{version}_x.up.sql", text, checksum), requires=requires)


def applied(version: str, owner: str | None = US, *, reversible: bool = True, requires: str = "") -> AppliedVersion:
    needs = tuple(map(Version.parse, requires.split()))
    return AppliedVersion(Version.parse(version), owner, script(version).up.checksum, reversible, needs)


def scripts(*versions: str) -> ScriptSet:
    """Make scripts of versions; `2 <- 1 1.5` requires two others."""
    return ScriptSet.of(script(version, *requires.split()) for version, _, requires in map(_split, versions))


def _split(version: str) -> tuple[str, str, str]:
    return version.partition(" <- ")


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
    requires: tuple[str, ...] = ()
    baseline: tuple[str, ...] = ()

    @property
    def decided(self) -> Plan:
        known = scripts(*self.scripts)
        return plan(
            known,
            History(self.history),
            self.wanted,
            self.owner,
            self.out_of_order,
            requires=self.requires,
            baseline=tuple(one for one in known.scripts if one.version.text in self.baseline),
        )


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
    "a required version is applied, by whomever": Case(
        ("2 <- 1 0.9",), (applied("1", THEM), applied("0.9", None)), applies=("2",)
    ),
    "a required version is applied earlier in the same plan": Case(
        ("1.0.0", "2 <- 1", "3 <- 2 1.0"), applies=("1.0.0", "2", "3")
    ),
    "a higher version may be required where it is applied": Case(("1 <- 2",), (applied("2", THEM),), applies=("1",)),
    "what is applied already may lack what it required": Case(("1 <- 7",), (applied("1"),)),
    "what is above the wanted version may require anything": Case(("1", "2 <- 7 2"), wanted="1", applies=("1",)),
    "the run's requirements are applied": Case(("2",), (applied("1", THEM),), applies=("2",), requires=("1.0",)),
    "the run's requirements are for what is applied": Case(("1",), (applied("1"),), requires=("7",)),
    "the run's requirements are not for rollbacks": Case(
        ("1",), (applied("1"), applied("2")), wanted="1", rollbacks=("2",), requires=("7",)
    ),
    "what requires goes before what is required": Case(
        ("1",), (applied("1"), applied("2"), applied("3", requires="2")), wanted="1", rollbacks=("3", "2")
    ),
    "what stays may be required": Case(
        ("1",), (applied("1"), applied("9", THEM, requires="1"), applied("2")), wanted="1", rollbacks=("2",)
    ),
    "a baseline is recorded and not applied": Case(("1", "2", "3"), applies=("3",), baseline=("1", "2")),
    "a baseline fulfils requirements": Case(("1", "2 <- 1"), applies=("2",), baseline=("1",)),
    "a baseline may lack what it requires": Case(("1 <- 0.5", "2"), applies=("2",), baseline=("1",)),
    "a baseline beside versions of others": Case(("1", "2"), (applied("9", THEM),), applies=("2",), baseline=("1",)),
}


@pytest.mark.parametrize("case", PLANS.values(), ids=PLANS.keys())
def test_plan(case: Case) -> None:
    decided = case.decided
    assert tuple(one.version.text for one in decided.rollbacks) == case.rollbacks
    assert tuple(one.version.text for one in decided.applies) == case.applies
    assert tuple(one.version.text for one in decided.baseline) == case.baseline
    assert decided.changes == bool(case.rollbacks or case.applies or case.baseline)


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
    "a required version that is nowhere": (
        Case(("1", "2 <- 1 1.5", "3 <- 1.7")),
        Reason.MISSING_DEPENDENCY,
        ("version 2, file 2_x.up.sql", "requires 1.5", "neither applied nor among these scripts"),
    ),
    "a required version that is higher": (
        Case(("1 <- 2", "2")),
        Reason.MISSING_DEPENDENCY,
        ("version 1,", "requires 2", "lower versions are applied first"),
    ),
    "a required version that is higher and not wanted": (
        Case(("1 <- 2", "2"), wanted="1"),
        Reason.MISSING_DEPENDENCY,
        ("version 1,", "requires 2", "lower versions are applied first"),
    ),
    "a required version that this run would roll back": (
        Case(("1", "2 <- 3"), (applied("1"), applied("3")), "2"),
        Reason.MISSING_DEPENDENCY,
        ("version 2,", "requires 3", "this run would roll it back"),
    ),
    "a requirement that is no version": (
        Case(("1 <- one",)),
        Reason.MALFORMED_VERSION,
        ("version 1, file 1_x.up.sql", "'one'", "requirement"),
    ),
    "a requirement of the run that is nowhere": (
        Case(("1",), requires=("0.5",)),
        Reason.MISSING_DEPENDENCY,
        ("0.5", "spec.requires.versions", "--requires-version", "neither applied nor among these scripts"),
    ),
    "a requirement of the run that is one of its scripts": (
        Case(("1", "2"), requires=("1",)),
        Reason.MISSING_DEPENDENCY,
        ("the version 1", "requires.versions", "schema-operator: requires="),
    ),
    "a requirement of the run that is no version": (
        Case(("1",), requires=("one",)),
        Reason.MALFORMED_VERSION,
        ("'one'", "requirement"),
    ),
    "a version that requires itself": (
        Case(("1", "2.0 <- 2")),
        Reason.DEPENDENCY_CYCLE,
        ("version 2.0, file 2.0_x.up.sql", "requires itself"),
    ),
    "two versions that require each other": (
        Case(("1 <- 2", "2 <- 1")),
        Reason.DEPENDENCY_CYCLE,
        ("in a circle: 1 requires 2, 2 requires 1;",),
    ),
    "a circle of four": (
        Case(("1", "2 <- 4", "3 <- 2", "4 <- 1 5", "5 <- 3 1")),
        Reason.DEPENDENCY_CYCLE,
        ("version 2,", "in a circle: 2 requires 4, 4 requires 5, 5 requires 3, 3 requires 2;"),
    ),
    "what another requires": (
        Case(("1",), (applied("1"), applied("2"), applied("9", THEM, requires="2.0")), "1"),
        Reason.VERSION_IN_THE_WAY,
        ("rolling back 2.0", f"9 (of {THEM}) requires", "roll 9 back first"),
    ),
    "what a lower version of ours requires": (
        Case(("1", "2", "3"), (applied("1"), applied("3"), applied("2", requires="1 3")), "2"),
        Reason.VERSION_IN_THE_WAY,
        ("rolling back 3", f"2 (of {US}) requires"),
    ),
    "what nobody's version requires": (
        Case(("1",), (applied("1"), applied("2"), applied("9", None, requires="2")), "1"),
        Reason.VERSION_IN_THE_WAY,
        ("9 (of no resource, by hand without --as) requires",),
    ),
}


@pytest.mark.parametrize(("case", "reason", "says"), REFUSALS.values(), ids=REFUSALS.keys())
def test_refusal(case: Case, reason: Reason, says: tuple[str, ...]) -> None:
    with pytest.raises(Refused) as refused:
        _ = case.decided
    assert refused.value.reason is reason
    assert all(text in str(refused.value) for text in says)


def test_a_version_that_is_rolled_back_makes_none_late() -> None:
    decided = plan(scripts("1", "2"), History((applied("1"), applied("3"))), "2", US)
    assert [one.version.text for one in decided.applies] == ["2"]


@dataclass(frozen=True)
class Base:
    """What was ever recorded (`version` of us, or `version owner`), the baseline, and what is recorded of it."""

    recorded: tuple[str, ...] = ()
    baseline: str = "2"
    wanted: str = "3"
    expected: tuple[str, ...] = ()
    scripts: tuple[str, ...] = ("1", "2.0", "3")

    @property
    def found(self) -> tuple[str, ...]:
        known = {
            (Version.parse(version), owner or US) for version, _, owner in (one.partition(" ") for one in self.recorded)
        }
        wanted = Version.parse(self.wanted)
        decided = baseline_of(scripts(*self.scripts), known, Version.parse(self.baseline), wanted, US)
        return tuple(one.version.text for one in decided)


BASELINES = {
    "no history at all": Base(expected=("1", "2.0")),
    "a history of others": Base(recorded=(f"9 {THEM}", f"0.1 {THEM}"), expected=("1", "2.0")),
    "the baseline is what is wanted": Base(wanted="2", expected=("1", "2.0")),
    "the baseline is recorded": Base(recorded=("1", "2")),
    "the baseline was recorded by another": Base(recorded=(f"2 {THEM}",)),
    "the baseline was recorded, and a lower version is wanted": Base(recorded=("1", "2"), wanted="1"),
    "the baseline was recorded, and its script is gone": Base(recorded=("2",), scripts=("3",)),
}


@pytest.mark.parametrize("case", BASELINES.values(), ids=BASELINES.keys())
def test_baseline(case: Base) -> None:
    assert case.found == case.expected


BASELINE_REFUSALS = {
    "a lower version is recorded": (Base(recorded=("1",)), Reason.INVALID_SPEC, ("1 is recorded", "2 is not")),
    "versions of ours are recorded": (Base(recorded=("7", "8")), Reason.INVALID_SPEC, ("7 and 1 more are recorded",)),
    "another recorded one of our scripts": (Base(recorded=(f"3 {THEM}",)), Reason.INVALID_SPEC, ("3 is recorded",)),
    "a lower version is wanted": (Base(wanted="1"), Reason.INVALID_SPEC, ("above the wanted version 1",)),
    "nothing is wanted": (Base(wanted="0"), Reason.INVALID_SPEC, ("above the wanted version 0",)),
    "no script": (Base(baseline="1.5"), Reason.UNKNOWN_VERSION, ("1.5", "from 1 to 3")),
    "version 0": (Base(baseline="0"), Reason.UNKNOWN_VERSION, ("baseline 0",)),
}


@pytest.mark.parametrize(("case", "reason", "says"), BASELINE_REFUSALS.values(), ids=BASELINE_REFUSALS.keys())
def test_baseline_refusal(case: Base, reason: Reason, says: tuple[str, ...]) -> None:
    with pytest.raises(Refused) as refused:
        _ = case.found
    assert refused.value.reason is reason
    assert all(text in str(refused.value) for text in says)


def test_all_of_ours_goes_without_any_script_where_none_is_needed() -> None:
    history = History((applied("5", THEM), applied("1"), applied("2")))
    decided = plan(replace(scripts(), needless=True), history, "0", US)
    assert [one.version.text for one in decided.rollbacks] == ["2", "1"]
