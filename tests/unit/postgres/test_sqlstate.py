"""What errors of the server mean."""

from __future__ import annotations

import pytest

from schema_operator.errors import Failed, Location, Reason, Retryable
from schema_operator.postgres.sqlstate import ServerError, ServerFailure, Verdict, explain, sentence, to_error

CASES = {
    "42601": ('syntax error at or near "TABEL"', Reason.SYNTAX_ERROR, Verdict.FAILED),
    "42P01": ('relation "x" does not exist', Reason.OBJECT_NOT_FOUND, Verdict.FAILED),
    "42703": ('column "x" does not exist', Reason.OBJECT_NOT_FOUND, Verdict.FAILED),
    "42704": ('type "x" does not exist', Reason.OBJECT_NOT_FOUND, Verdict.FAILED),
    "42P07": ('relation "x" already exists', Reason.ALREADY_EXISTS, Verdict.FAILED),
    "42701": ('column "x" already exists', Reason.ALREADY_EXISTS, Verdict.FAILED),
    "23502": ('column "a" of relation "t" contains null values', Reason.DATA_VIOLATION, Verdict.FAILED),
    "23503": ("insert or update violates foreign key", Reason.DATA_VIOLATION, Verdict.FAILED),
    "23505": ('could not create unique index "u"', Reason.DATA_VIOLATION, Verdict.FAILED),
    "23514": ('check constraint "c" is violated by some row', Reason.DATA_VIOLATION, Verdict.FAILED),
    "22P02": ('invalid input syntax for type integer: "x"', Reason.DATA_VIOLATION, Verdict.FAILED),
    "42830": ("there is no unique constraint matching", Reason.INVALID_FOREIGN_KEY, Verdict.FAILED),
    "2BP01": ("cannot drop table because others depend", Reason.DEPENDENT_OBJECTS, Verdict.FAILED),
    "42804": ("column cannot be cast automatically", Reason.DATATYPE_MISMATCH, Verdict.FAILED),
    "42501": ("permission denied for table t", Reason.PERMISSION_DENIED, Verdict.FAILED),
    "54011": ("tables can have at most 1600 columns", Reason.LIMIT_EXCEEDED, Verdict.FAILED),
    "53100": ("could not extend file", Reason.DISK_FULL, Verdict.FAILED),
    "53300": ("too many clients", Reason.UNREACHABLE, Verdict.LATER),
    "55P03": ("canceling statement due to lock timeout", Reason.LOCK_TIMEOUT, Verdict.TRY_AGAIN),
    "40P01": ("deadlock detected", Reason.DEADLOCK, Verdict.TRY_AGAIN),
    "40001": ("could not serialize access", Reason.SERIALIZATION_FAILURE, Verdict.TRY_AGAIN),
    "57014": ("canceling statement due to statement timeout", Reason.STATEMENT_TIMEOUT, Verdict.FAILED),
    "57P01": ("terminating connection", Reason.SERVER_SHUTDOWN, Verdict.LATER),
    "25P03": ("terminating connection due to idle-in-transaction", Reason.CONNECTION_LOST, Verdict.LATER),
    "08006": ("connection failure", Reason.CONNECTION_LOST, Verdict.LATER),
    "25006": ("cannot execute in a read-only transaction", Reason.NOT_PRIMARY, Verdict.LATER),
    "25001": ("cannot run inside a transaction block", Reason.NEEDS_NO_TRANSACTION, Verdict.FAILED),
    "2D000": ("invalid transaction termination", Reason.TRANSACTION_CONTROL, Verdict.FAILED),
    "55P04": ("unsafe use of new value", Reason.STATEMENT_FAILED, Verdict.FAILED),
    "P0001": ("raised", Reason.STATEMENT_FAILED, Verdict.FAILED),
    "XX000": ("internal", Reason.STATEMENT_FAILED, Verdict.FAILED),
    "0A000": ("something is not supported", Reason.STATEMENT_FAILED, Verdict.FAILED),
}
BY_TEXT = [
    ("0A000", 'extension "postgis" is not available', Reason.EXTENSION_NOT_AVAILABLE, Verdict.FAILED),
    ("58P01", "could not open extension control file", Reason.EXTENSION_NOT_AVAILABLE, Verdict.FAILED),
    ("0A000", "cannot alter type of a column used by a view or rule", Reason.DEPENDENT_OBJECTS, Verdict.FAILED),
    ("0A000", "cannot set transaction read-write mode during recovery", Reason.NOT_PRIMARY, Verdict.LATER),
]


@pytest.mark.parametrize(
    ("state", "message", "reason", "verdict"), [*((state, *row) for state, row in CASES.items()), *BY_TEXT]
)
def test_meaning(state: str, message: str, reason: Reason, verdict: Verdict) -> None:
    explanation = explain(ServerError(sqlstate=state, message=message))
    assert (explanation.reason, explanation.verdict) == (reason, verdict)


def test_a_connection_that_is_gone_says_nothing_about_the_statement() -> None:
    assert explain(ServerError(lost=True)).verdict is Verdict.LATER
    assert explain(ServerError(sqlstate="XX000", lost=True)).reason is Reason.CONNECTION_LOST


MASKED = {
    'invalid input syntax for type integer: "s3cr3t"': ("22P02", 'for type integer: "…"'),
    'invalid input value for enum mood: "s3cr3t"': ("22P02", 'enum mood: "…"'),
    'value "s3cr3t" is out of range for type integer': ("22003", 'value "…" is out of range'),
    'date/time field value out of range: "s3cr3t"': ("22008", 'range: "…"'),
    'invalid value for parameter "work_mem": "s3cr3t"': ("22023", 'parameter "work_mem": "…"'),
    "syntax error at or near \"'s3cr3t'\"": ("42601", 'at or near "…"'),
    'unterminated quoted string at or near "\'s3cr3t\n;"': ("42601", 'at or near "…"'),
}


@pytest.mark.parametrize(("message", "expected"), MASKED.items())
def test_literals_are_masked(message: str, expected: tuple[str, str]) -> None:
    text = sentence(ServerError(sqlstate=expected[0], message=message))
    assert expected[1] in text
    assert "s3cr3t" not in text


def test_names_are_kept() -> None:
    error = ServerError(
        sqlstate="23502", message='column "a" of relation "t" contains null values', schema="s", table="t", column="a"
    )
    assert "SELECT count(*) FROM s.t WHERE a IS NULL" in sentence(error)
    assert '"TABEL"' in sentence(ServerError(sqlstate="42601", message='syntax error at or near "TABEL"'))


def test_a_failure_becomes_the_error_users_see() -> None:
    place = Location(version="1", line=2)
    failed = to_error(ServerFailure(ServerError(sqlstate="42601", message="syntax error"), place))
    assert isinstance(failed, Failed)
    assert failed.location is place
    lock = to_error(ServerFailure(ServerError(sqlstate="55P03", message="lock timeout")), "session 7 (psql)")
    assert isinstance(lock, Retryable)
    assert "session 7 (psql)" in lock.sentence
