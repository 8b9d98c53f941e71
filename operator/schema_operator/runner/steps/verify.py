"""Verify: run checks that leave nothing behind. What a check means is documented in docs/verification.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from schema_operator.api.report import VerificationReport, VerificationResult
from schema_operator.errors import NOWHERE, Failed, Location, Reason, Refused, VerificationFailed
from schema_operator.postgres.sqlstate import ServerFailure, Verdict, explain, sentence
from schema_operator.runner.report import Step
from schema_operator.runner.steps.scripted import execute
from schema_operator.runner.transaction import look
from schema_operator.scripts.script import Source
from schema_operator.scripts.statements import Statement, statements_of, transaction_control

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

    from schema_operator.api.request import Verification
    from schema_operator.runner.workplace import Workplace
    from schema_operator.scripts.script import Script

_BOOLEAN: Final = 16
"""Oid of the type boolean (src/include/catalog/pg_type.dat)."""
NOTHING_LEFT: Final = "nothing of this version is left; "
"""What a failed check says of a version that is one transaction."""
_FOUND_LIMIT: Final = 200
_CANCELLED: Final = "57014"
_READ_ONLY: Final = "25006"

Reports = tuple[VerificationReport, ...]


@dataclass(frozen=True, slots=True)
class _Checked:
    """A result, and where in the verify script the statement stands that did not pass."""

    report: VerificationReport
    place: Location = NOWHERE

    @property
    def failed(self) -> bool:
        return self.report.result is not VerificationResult.PASSED

    def __str__(self) -> str:
        place = f", {self.place}" if self.place != NOWHERE else ""
        return f"{self.report.name}{place}: expected {self.report.expected}, found {self.report.found}"


def require_single_statements(verifications: Sequence[Verification]) -> None:
    """Refuse a verification that is not exactly one statement, before anything is done."""
    for one in verifications:
        try:
            statements = statements_of(_source(one))
        except Refused as refused:
            raise Refused(refused.reason, refused.sentence, Location(file=_name(one))) from None
        if len(statements) != 1 or transaction_control(statements[0]):
            raise Refused(
                Reason.INVALID_SPEC,
                "a verification is one query whose first value is compared; write one SELECT",
                Location(file=_name(one)),
            )


def before_commit(work: Workplace, script: Script, verifications: Sequence[Verification]) -> Reports:
    """Run a version's own checks, and those of the resource, inside its transaction.

    Raises `Failed(VerificationFailed)` where one does not pass; the results are among the findings.
    """
    own = (_script_report(work, script, script.verify),) if script.verify else ()
    checked = (*own, *(_report(work, one, script.version.text) for one in verifications))
    reports = tuple(one.report for one in checked)
    if any(one.failed for one in checked):
        work.findings = work.findings.with_verification(reports)
        raise Failed(
            Reason.VERIFICATION_FAILED,
            f"applied and rolled back again, because a check did not pass: {_described(checked)}; "
            f"{NOTHING_LEFT}correct the script or the check",
            Location(version=script.version.text, file=script.up.file),
        )
    return reports


def after_commit(work: Workplace, verifications: Sequence[Verification]) -> None:
    """Run the checks of the resource on what is committed; raises `VerificationFailed` where one does not pass."""
    if not verifications:
        return
    checked = look(work, lambda: tuple(_report(work, one, None) for one in verifications), pinned=False)
    work.findings = work.findings.with_verification(tuple(one.report for one in checked))
    if any(one.failed for one in checked):
        raise VerificationFailed(
            Reason.VERIFICATION_FAILED,
            f"the versions are applied, but a check did not pass: {_described(checked)}; correct the database by a new "
            "version, or the check",
        )


def _described(checked: Sequence[_Checked]) -> str:
    first, *others = (one for one in checked if one.failed)
    return f"{first} (and {len(others)} more)" if others else str(first)


class _Answer:
    """What a query answered, as far as a check needs it: how many rows, the first value, whether all were true."""

    def __init__(self) -> None:
        self.rows = 0
        self.boolean = False
        self.all_true = True
        self.value: str | None = None

    def take(self, result: PGresult) -> None:
        """Take a row, or the end of the rows."""
        self.boolean = result.nfields == 1 and result.ftype(0) == _BOOLEAN
        for row in range(result.ntuples):
            value = result.get_value(row, 0)
            self.all_true = self.all_true and value == b"t"
            if self.rows == 0 and value is not None:
                self.value = self._text(value, result.ftype(0))
            self.rows += 1

    @staticmethod
    def _text(value: bytes, type_oid: int) -> str:
        if type_oid == _BOOLEAN:
            return "true" if value == b"t" else "false"
        return value.decode("utf-8", "replace")

    @property
    def found(self) -> str:
        """The first value of the only row, or why there is none."""
        if self.rows == 0:
            return "no row"
        if self.rows > 1:
            return f"{self.rows} rows"
        return "NULL" if self.value is None else self.value


def _report(work: Workplace, verification: Verification, version: str | None) -> _Checked:
    """Run a check of the resource; it is read-only."""
    work.reporter.progress(Step.VERIFYING, f"verifying {verification.name}", version=version)
    (statement,) = statements_of(_source(verification))
    answer = _Answer()
    with work.session.undone(read_only=True):
        problem = _problem(work, statement, answer)
    passed = answer.rows == 1 and answer.value == verification.expect
    return _Checked(
        VerificationReport(
            name=verification.name,
            version=version,
            result=_result(passed=passed, problem=problem),
            expected=verification.expect,
            found=(problem or answer.found)[:_FOUND_LIMIT],
        )
    )


def _script_report(work: Workplace, script: Script, source: Source) -> _Checked:
    """Run a version's own checks; they may write, because everything they do is rolled back."""
    version = script.version.text
    work.reporter.progress(Step.VERIFYING, f"verifying {version}", version=version)
    statements = [one.filled_in(work.request.variables) for one in statements_of(source)]
    with work.session.undone():
        problem = next((bad for one in statements if (bad := _script_problem(work, one, len(statements)))), None)
    report = VerificationReport(
        name=source.file,
        version=version,
        result=VerificationResult.PASSED if problem is None else problem.result,
        expected="true",
        found="true" if problem is None else problem.found[:_FOUND_LIMIT],
    )
    return _Checked(report, NOWHERE if problem is None else problem.place)


@dataclass(frozen=True, slots=True)
class _Problem:
    """What is wrong with a statement of a verify script."""

    result: VerificationResult
    found: str
    place: Location


def _script_problem(work: Workplace, statement: Statement, count: int) -> _Problem | None:
    """Say what is wrong with a statement of a verify script; None where nothing is."""
    answer = _Answer()
    place = Location(statement=statement.number, statements=count, line=statement.line)
    if error := _problem(work, statement, answer):
        return _Problem(VerificationResult.ERROR, error, place)
    if not answer.boolean or (answer.all_true and answer.rows):
        return None
    return _Problem(VerificationResult.FAILED, answer.found if answer.rows <= 1 else "a row that is not true", place)


def _problem(work: Workplace, statement: Statement, answer: _Answer) -> str | None:
    """Run a statement; give its error, unless the error says nothing about the check (a lock, a lost connection)."""
    try:
        execute(work, statement, answer.take)
    except ServerFailure as failure:
        if failure.error.sqlstate == _READ_ONLY:
            return "an attempt to write; a verification of the resource may only read"
        stopped = failure.error.sqlstate == _CANCELLED and work.stop.requested
        if stopped or explain(failure.error).verdict is not Verdict.FAILED:
            raise
        from schema_operator.runner.enquiry import of_statement  # noqa: PLC0415 (most runs need none)

        located = ServerFailure(failure.error, script=(statement.sql,))
        return sentence(failure.error, of_statement(located), statement.sql)
    return None


def _result(*, passed: bool, problem: str | None) -> VerificationResult:
    if problem is not None:
        return VerificationResult.ERROR
    return VerificationResult.PASSED if passed else VerificationResult.FAILED


def _name(verification: Verification) -> str:
    return f"spec.verify {verification.name}"


def _source(verification: Verification) -> Source:
    return Source(_name(verification), verification.sql, "")
