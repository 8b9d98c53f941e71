"""How a run ended, as a report."""

from __future__ import annotations

from dataclasses import replace

import pytest

from schema_operator.api.report import Action, Outcome, PlannedVersion, VerificationReport, VerificationResult
from schema_operator.api.request import InlineScript
from schema_operator.api.version import Version
from schema_operator.errors import (
    Failed,
    Location,
    LockHeld,
    OutcomeUnknown,
    PartlyApplied,
    Reason,
    Refused,
    Retryable,
    SchemaOperatorError,
    Stopped,
    VerificationFailed,
)
from schema_operator.history.records import AppliedVersion, HeldVersion, History
from schema_operator.runner.outcome import Findings, internal_error, outcome_of, report_of
from schema_operator.runner.plan import Plan
from schema_operator.runner.report import text_of
from schema_operator.scripts.reading import from_inline

KINDS: dict[type[SchemaOperatorError], int] = {
    Refused: 20,
    Retryable: 10,
    Failed: 21,
    VerificationFailed: 22,
    PartlyApplied: 30,
    OutcomeUnknown: 31,
    LockHeld: 40,
    Stopped: 143,
}


def _applied(version: str, owner: str = "shop/shop") -> AppliedVersion:
    return AppliedVersion(Version.parse(version), owner, "c", reversible=True)


SCRIPTS = from_inline([InlineScript(version=one, up="SELECT 1") for one in ("1", "1.5", "2", "9")])


def _planned(findings: Findings, wanted: str, *, rollbacks: tuple[str, ...] = (), applies: bool = True) -> Findings:
    decided = Plan(
        Version.parse(wanted), tuple(_applied(one) for one in rollbacks), SCRIPTS.scripts[:1] if applies else ()
    )
    return findings.with_plan(decided, SCRIPTS)


def test_every_kind_of_error_has_its_exit_code() -> None:
    assert set(SchemaOperatorError.__subclasses__()) == set(KINDS)
    assert {kind: int(outcome_of(kind(Reason.INTERNAL_ERROR, "x"))) for kind in KINDS} == KINDS
    assert outcome_of(None) is Outcome.DONE
    assert outcome_of(internal_error("KeyError")) is Outcome.FAILED


def test_nothing_is_known_before_the_history_was_read() -> None:
    report = report_of("r", Findings(), Retryable(Reason.UNREACHABLE, "no answer"), 0.5)
    assert (report.version, report.version_before, report.action, report.place) == (None, "0", Action.NONE, None)
    assert (report.reason, report.message) == ("Unreachable", "no answer")


def test_versions_are_the_owners() -> None:
    findings = Findings(owner="shop/shop").with_history(History((_applied("1"), _applied("9", "shop/other"))))
    done = _planned(findings, "2").with_applied(_applied("2")).with_applied(_applied("1.5"))
    report = report_of("r", done, None, 1.0)
    assert (report.version_before, report.version, report.versions) == ("1", "2", ("2", "1.5"))
    assert (report.action, report.message) == (Action.APPLY, "Applied 2, 1.5. The schema is at version 2.")


def test_what_was_archived_and_put_back_is_said() -> None:
    findings = replace(_planned(Findings(), "2").with_applied(_applied("2")), told=("Archived a", "Put back b"))
    assert report_of("r", findings, None, 1.0).message.startswith("Applied 2. Archived a. Put back b. The schema is")
    many = replace(findings, told=tuple(f"Archived {number}" for number in range(5)))
    said = report_of("r", many, None, 1.0).message
    assert "Archived 2. 2 more like this are in the log." in said
    assert "Archived 3" not in said


def test_a_rollback_names_a_run_that_did_both() -> None:
    findings = Findings(owner="shop/shop").with_history(History((_applied("1"), _applied("3"))))
    done = _planned(findings, "2", rollbacks=("3",)).with_rolled_back(_applied("3")).with_applied(_applied("2"))
    report = report_of("r", done, None, 1.0)
    assert (report.action, report.version, report.versions) == (Action.ROLLBACK, "2", ("3", "2"))


def test_a_version_another_applied_with_our_script_counts_up_to_the_wanted_one() -> None:
    others = History((_applied("1", "shop/other"), _applied("2", "shop/other"), _applied("9", "shop/other")))
    findings = Findings(owner="shop/shop").with_history(others)
    report = report_of("r", _planned(findings, "2", applies=False), None, 1.0)
    assert (report.version, report.action) == ("2", Action.NONE)
    assert report.message == "Nothing to do. The schema is at version 2."


def test_what_a_failed_run_was_about_is_known_from_its_plan() -> None:
    findings = Findings(owner="shop/shop").with_history(History((_applied("1"), _applied("2"))))
    failed = _planned(findings, "1", rollbacks=("2",), applies=False)
    report = report_of("r", failed, Failed(Reason.OBJECT_NOT_FOUND, "no table"), 1.0)
    assert (report.action, report.versions, report.version) == (Action.ROLLBACK, (), "2")


def test_percent_counts_versions_alike_and_statements_within_them() -> None:
    findings = Findings(owner="shop/shop").with_history(History((_applied("9"),)))
    assert findings.percent(1, 2) is None
    both = _planned(findings, "2", rollbacks=("9",))
    assert [both.percent(1, 2), both.percent(2, 2)] == [0, 25]
    second = both.with_rolled_back(_applied("9"))
    assert [second.percent(1, 4), second.percent(4, 4)] == [50, 87]


def test_all_rolled_back_is_version_0() -> None:
    findings = Findings(owner="shop/shop").with_history(History((_applied("1"),))).with_rolled_back(_applied("1"))
    assert report_of("r", findings, None, 1.0).version == "0"


def test_the_last_ten_versions_are_listed_and_all_are_counted() -> None:
    findings = Findings(owner="shop/shop").with_history(History())
    for number in range(1, 13):
        findings = findings.with_applied(_applied(str(number)))
    report = report_of("r", findings, None, 1.0)
    assert (report.versions[0], len(report.versions), report.versions_count) == ("3", 10, 12)
    assert "12 versions from 1 to 12" in report.message


def test_a_failure_after_earlier_versions_says_what_stays() -> None:
    findings = Findings(owner="shop/shop").with_history(History()).with_applied(_applied("1"))
    error = Failed(Reason.SYNTAX_ERROR, "wrong", Location(version="2", statement=1, statements=2, line=3))
    report = report_of("r", findings, error, 1.0)
    assert (report.outcome, report.version) == (Outcome.FAILED, "1")
    assert report.place is not None
    assert (report.place.version, report.place.line) == ("2", 3)
    lines = text_of(report)
    assert lines[0].startswith("SyntaxError: version 2")
    assert "finished 1" in lines[1]


def _shown(*versions: tuple[str, Action]) -> tuple[PlannedVersion, ...]:
    return tuple(
        PlannedVersion(
            version=version, action=action, file=f"{version}.sql", statements=number, units=number, atomic=number == 1
        )
        for number, (version, action) in enumerate(versions, start=1)
    )


PLANS = {
    "nothing to do": ((), "Nothing to do. The schema is at version 1; nothing was changed."),
    "an application": (
        (("2", Action.APPLY),),
        "A run would apply 2. The schema is at version 1; nothing was changed.",
    ),
    "both": (
        (("1", Action.ROLLBACK), ("2", Action.APPLY), ("3", Action.APPLY)),
        "A run would roll back 1, then apply 2, 3. The schema is at version 1; nothing was changed.",
    ),
    "a baseline": (
        (("2", Action.NONE), ("3", Action.APPLY)),
        (
            "A run would record 2 as applied without running (baseline), then apply 3. "
            "The schema is at version 1; nothing was changed."
        ),
    ),
}


@pytest.mark.parametrize(("versions", "message"), PLANS.values(), ids=PLANS.keys())
def test_a_plan_says_what_would_be_done_and_that_nothing_was(
    versions: tuple[tuple[str, Action], ...], message: str
) -> None:
    findings = Findings(owner="shop/shop").with_history(History((_applied("1"),)))
    report = report_of("r", replace(findings, shown=_shown(*versions)), None, 0.1)
    assert (report.outcome, report.message, report.versions, report.versions_count) == (Outcome.DONE, message, (), 0)
    assert report.plan == _shown(*versions)


def test_a_plan_names_the_run_that_may_change_it() -> None:
    report = report_of("r", replace(Findings(), shown=(), blocker="schema-operator/a (session 7)"), None, 0.1)
    assert report.message.endswith(" Another run is at work and may change that: schema-operator/a (session 7).")


def test_a_plan_as_text_has_a_line_a_version() -> None:
    findings = replace(Findings(), shown=_shown(("2", Action.ROLLBACK), ("1", Action.APPLY), ("3", Action.NONE)))
    assert text_of(report_of("r", findings, None, 0.1))[1:] == (
        "roll back 2: 2.sql, 1 statement in one transaction",
        "apply 1: 1.sql, 2 statements in 2 parts, not atomic",
        "record 3 as applied, without running 3.sql",
    )


def test_a_run_that_was_no_plan_reports_none() -> None:
    assert report_of("r", Findings(), None, 0.1).plan is None


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (VerificationResult.PASSED, "verification rows: passed"),
        (VerificationResult.FAILED, "verification rows: failed, expected 1, found 2"),
    ],
)
def test_verifications_as_text(result: VerificationResult, text: str) -> None:
    one = VerificationReport(name="rows", result=result, expected="1", found="2")
    report = report_of("r", Findings().with_verification((one,)), None, 0.1)
    assert text_of(report)[-1] == text


def test_a_baseline_is_said_and_counts_as_applied_but_not_as_this_runs_work() -> None:
    findings = Findings(owner="shop/shop").with_history(History()).with_baseline((_applied("1"), _applied("1.5")))
    report = report_of("r", _planned(findings, "2", applies=False), None, 1.0)
    assert (report.version_before, report.version, report.versions, report.action) == ("0", "1.5", (), Action.NONE)
    assert report.message == ("Recorded 1, 1.5 as applied, without running (baseline). The schema is at version 1.5.")


def test_warnings_are_said_at_the_end_of_a_good_run() -> None:
    findings = Findings(owner="shop/shop").with_history(History())
    once = findings.with_warning("version 1: changed")
    assert report_of("r", once, None, 1.0).message.endswith("The schema is at version 0. Warning: version 1: changed.")
    twice = once.with_warning("version 2: changed")
    assert report_of("r", twice, None, 1.0).message.endswith("Warning: version 1: changed. (1 more in the log)")


def test_what_a_person_rolled_back_is_said_where_there_is_nothing_to_do() -> None:
    when, who = "2026-01-01T00:00:00Z", "Alice via psql"
    held = tuple(
        HeldVersion(Version.parse(version), owner, number, when, who)
        for number, (version, owner) in enumerate([("3", "shop/shop"), ("2", "shop/other"), ("8", "shop/other")])
    )
    findings = Findings(owner="shop/shop").with_history(History((_applied("1"),), held=held))
    done = _planned(findings, "2", applies=False)
    by_hand = f"Rolled back by hand: 3, 2 by {who} at {when}."
    assert report_of("r", done, None, 1.0).message == f"Nothing to do. The schema is at version 1. {by_hand}"
    shown = replace(done, shown=())
    nothing = "Nothing to do. The schema is at version 1; nothing was changed."
    assert report_of("r", shown, None, 1.0).message == f"{nothing} {by_hand}"
    applied = _planned(findings, "2").with_applied(_applied("1.5"))
    assert report_of("r", applied, None, 1.0).message == "Applied 1.5. The schema is at version 1.5."
