"""A report always fits the termination message, and says the important things last of all."""

import msgspec
import pytest

from schema_operator.api import report as reports
from schema_operator.api.report import (
    TERMINATION_MESSAGE_LIMIT,
    Action,
    Outcome,
    Place,
    PlannedVersion,
    PlanSummary,
    RunReport,
    Server,
    VerificationReport,
    VerificationResult,
    for_termination_message,
)


def big(verifications: int, width: int) -> RunReport:
    return RunReport(
        run="r" * 63,
        outcome=Outcome.FAILED,
        reason="VerificationFailed",
        message="ü" * width,
        version="1.0.0",
        versions=tuple("1" * 41 for _ in range(10)),
        place=Place(version="1" * 41, file="f" * 253),
        verification=tuple(
            VerificationReport(
                name=f"{number} " + "n" * width,
                result=VerificationResult.FAILED if number == verifications - 1 else VerificationResult.PASSED,
                expected="e" * width,
                found="f" * width,
            )
            for number in range(verifications)
        ),
        blocker="b" * width,
        server=Server(version="18.4", system_identifier="7", database="d"),
    )


@pytest.mark.parametrize("verifications", [0, 1, 5, 50, 500])
@pytest.mark.parametrize("width", [1, 100, 500, 3000])
def test_a_report_fits_and_can_be_read_back(verifications: int, width: int) -> None:
    text = for_termination_message(big(verifications, width))
    assert len(text) <= TERMINATION_MESSAGE_LIMIT
    found = reports.decode(text)
    assert (found.run, found.outcome, found.reason) == ("r" * 63, Outcome.FAILED, "VerificationFailed")


def test_the_failed_verification_is_kept_before_those_that_passed() -> None:
    found = reports.decode(for_termination_message(big(50, 100)))
    assert found.verification[0].result is VerificationResult.FAILED


def test_a_small_report_is_whole() -> None:
    assert reports.decode(for_termination_message(big(1, 10))) == big(1, 10)


@pytest.mark.parametrize(
    ("versions", "file", "kept"),
    [(1, 18, 1), (25, 18, 25), (400, 18, 20), (400, 253, 8), (400, 900, 3), (400, 5000, None)],
)
def test_the_beginning_of_a_plan_is_in_the_termination_message_and_its_digest_always(
    versions: int, file: int, kept: int | None
) -> None:
    one = PlannedVersion(version="1.0.0", action=Action.APPLY, file="f" * file, statements=2)
    summary = PlanSummary(digest="d" * 64, position=1 << 40, rollbacks=0, applies=versions, recorded=0)
    report = RunReport(run="r" * 63, outcome=Outcome.DONE, message="m" * 500, plan=(one,) * versions, planned=summary)
    text = for_termination_message(report)
    assert len(text) <= TERMINATION_MESSAGE_LIMIT
    found = reports.decode(text)
    assert (found.plan, found.planned) == (None if kept is None else (one,) * kept, summary)


def test_a_report_with_an_unknown_field_is_no_report() -> None:
    with pytest.raises(msgspec.ValidationError):
        reports.decode(b'{"run": "r", "outcome": 0, "message": "m", "surprise": 1}')
