"""What errors of the server mean."""

from __future__ import annotations

import re

import pytest
from psycopg import errors

from schema_operator.errors import Failed, Location, Reason, Retryable
from schema_operator.postgres.sqlstate import (
    CLASSES,
    STATES,
    ServerError,
    ServerFailure,
    Verdict,
    explain,
    sentence,
    to_error,
)

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
    "55P04": ("unsafe use of new value", Reason.ENUM_VALUE_NOT_USABLE, Verdict.FAILED),
    "P0001": ("raised", Reason.STATEMENT_FAILED, Verdict.FAILED),
    "XX000": ("internal", Reason.STATEMENT_FAILED, Verdict.FAILED),
    "0A000": ("something is not supported", Reason.STATEMENT_FAILED, Verdict.FAILED),
}
BY_TEXT = [
    ("0A000", 'extension "postgis" is not available', Reason.EXTENSION_NOT_AVAILABLE, Verdict.FAILED),
    ("58P01", "could not open extension control file", Reason.EXTENSION_NOT_AVAILABLE, Verdict.FAILED),
    ("0A000", "cannot alter type of a column used by a view or rule", Reason.DEPENDENT_OBJECTS, Verdict.FAILED),
    ("0A000", "cannot set transaction read-write mode during recovery", Reason.NOT_PRIMARY, Verdict.LATER),
    ("0A000", "cannot alter type of a column used by a generated column", Reason.DEPENDENT_OBJECTS, Verdict.FAILED),
    ("42601", "cannot alter type of a column used by a generated column", Reason.DEPENDENT_OBJECTS, Verdict.FAILED),
    ("42601", 'cannot insert into column "a"', Reason.STATEMENT_FAILED, Verdict.FAILED),
    ("42704", 'there is no primary key for referenced table "a"', Reason.INVALID_FOREIGN_KEY, Verdict.FAILED),
    ("22023", 'role "a" does not exist', Reason.OBJECT_NOT_FOUND, Verdict.FAILED),
    ("22023", 'extension "a" has no installation script', Reason.EXTENSION_NOT_AVAILABLE, Verdict.FAILED),
    ("57014", "canceling statement due to user request", Reason.STATEMENT_TIMEOUT, Verdict.FAILED),
    ("XX000", "tuple concurrently updated", Reason.STATEMENT_FAILED, Verdict.FAILED),
]
OF_CLASSES = """
00 StatementFailed, 01 StatementFailed, 02 StatementFailed, 03 StatementFailed, 08 ConnectionLost later,
09 StatementFailed, 0A StatementFailed, 0B TransactionControl, 0F StatementFailed, 0L PermissionDenied,
0P PermissionDenied, 0Z StatementFailed, 10 StatementFailed, 20 StatementFailed, 21 StatementFailed, 22 DataViolation,
23 DataViolation, 24 StatementFailed, 25 TransactionControl, 26 ObjectNotFound, 27 StatementFailed,
28 PermissionDenied, 2B DependentObjects, 2D TransactionControl, 2F StatementFailed, 34 ObjectNotFound,
38 StatementFailed, 39 StatementFailed, 3B TransactionControl, 3D ObjectNotFound, 3F ObjectNotFound,
40 StatementFailed, 42 StatementFailed, 44 DataViolation, 53 LimitExceeded, 54 LimitExceeded, 55 StatementFailed,
57 StatementFailed, 58 StatementFailed, 72 StatementFailed, F0 StatementFailed, HV StatementFailed,
P0 StatementFailed, XX StatementFailed
"""
OF_STATES = """
22023 StatementFailed, 22012 DataViolation, 25P02 TransactionControl, 25P04 StatementTimeout, 28000 PermissionDenied,
28P01 PermissionDenied, 3D000 ObjectNotFound, 3F000 ObjectNotFound, 40002 DataViolation, 40003 ConnectionLost later,
42602 SyntaxError, 42622 SyntaxError, 42710 AlreadyExists, 42723 AlreadyExists, 42725 StatementFailed,
42809 StatementFailed, 42846 DatatypeMismatch, 42883 ObjectNotFound, 428C9 StatementFailed, 42939 StatementFailed,
42P02 StatementFailed, 42P03 AlreadyExists, 42P04 AlreadyExists, 42P05 AlreadyExists, 42P06 AlreadyExists,
42P10 StatementFailed, 42P16 StatementFailed, 42P17 StatementFailed, 23P01 DataViolation, 53000 LimitExceeded,
53200 LimitExceeded, 53400 LimitExceeded, 55000 StatementFailed, 55006 StatementFailed, 55P02 StatementFailed,
57P02 ServerShutdown later, 57P03 ServerShutdown later, 57P04 ConnectionLost later, 57P05 ConnectionLost later,
58030 StatementFailed, 58P01 StatementFailed, P0002 StatementFailed, P0003 StatementFailed, XX001 StatementFailed,
XX002 StatementFailed
"""


def decisions(text: str) -> list[tuple[str, str, Verdict]]:
    parts = (line.split() for line in text.replace("\n", " ").split(","))
    return [(state, reason, Verdict.LATER if rest else Verdict.FAILED) for state, reason, *rest in parts]


@pytest.mark.parametrize(("prefix", "reason", "verdict"), decisions(OF_CLASSES))
def test_every_class_of_appendix_a_is_decided(prefix: str, reason: str, verdict: Verdict) -> None:
    explanation = explain(ServerError(sqlstate=f"{prefix}999", message="something"))
    assert (explanation.reason, explanation.verdict) == (reason, verdict)


@pytest.mark.parametrize(("state", "reason", "verdict"), decisions(OF_STATES))
def test_states_that_differ_from_their_class_or_from_each_other(state: str, reason: str, verdict: Verdict) -> None:
    explanation = explain(ServerError(sqlstate=state, message="something"))
    assert (explanation.reason, explanation.verdict) == (reason, verdict)


def test_the_tables_above_are_complete() -> None:
    known = {one.sqlstate[:2] for one in vars(errors).values() if isinstance(getattr(one, "sqlstate", None), str)}
    assert known | {"00", "01"} == set(CLASSES) == {state for state, _, _ in decisions(OF_CLASSES)}
    assert set(STATES) <= set(CASES) | {state for state, _, _ in decisions(OF_STATES)}


def test_only_locks_deadlocks_and_serialization_are_tried_again() -> None:
    every = [*CLASSES.items(), *STATES.items()]
    assert {state for state, meaning in every if meaning.verdict is Verdict.TRY_AGAIN} == {"55P03", "40P01", "40001"}


@pytest.mark.parametrize("state", [*STATES, *(f"{prefix}999" for prefix in CLASSES)])
def test_every_sentence_says_what_to_do(state: str) -> None:
    wrong, _, remedy = sentence(ServerError(sqlstate=state, message="the server is not content")).partition("; ")
    assert wrong
    assert len(remedy.split()) > 1
    assert not re.search(r"[{}]|; *$|\.$|None", f"{wrong} {remedy}")


@pytest.mark.parametrize(
    ("state", "message", "reason", "verdict"), [*((state, *row) for state, row in CASES.items()), *BY_TEXT]
)
def test_meaning(state: str, message: str, reason: Reason, verdict: Verdict) -> None:
    explanation = explain(ServerError(sqlstate=state, message=message))
    assert (explanation.reason, explanation.verdict) == (reason, verdict)


def test_a_connection_that_is_gone_says_nothing_about_the_statement() -> None:
    assert explain(ServerError(lost=True)).verdict is Verdict.LATER
    assert explain(ServerError(sqlstate="XX000", lost=True)).reason is Reason.CONNECTION_LOST


def test_a_function_can_raise_any_state_without_ending_the_session() -> None:
    explanation = explain(ServerError(sqlstate="08006", message="x", raised=True))
    assert (explanation.reason, explanation.verdict) == (Reason.STATEMENT_FAILED, Verdict.FAILED)
    assert explain(ServerError(sqlstate="40001", message="x", raised=True)).verdict is Verdict.TRY_AGAIN


def test_a_server_that_goes_down_because_its_disk_is_full_says_so() -> None:
    explanation = explain(ServerError(sqlstate="53100", message="could not write to file", lost=True))
    assert (explanation.reason, explanation.verdict) == (Reason.DISK_FULL, Verdict.LATER)


def test_a_transaction_timeout_of_the_script_is_not_tried_again_though_the_session_is_gone() -> None:
    explanation = explain(ServerError(sqlstate="25P04", message="terminating connection", lost=True))
    assert (explanation.reason, explanation.verdict) == (Reason.STATEMENT_TIMEOUT, Verdict.FAILED)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("canceling statement due to statement timeout", "sets a statement_timeout"),
        ("canceling statement due to user request", "somebody cancelled"),
        ("storniere Anfrage", "either by a statement_timeout"),
    ],
)
def test_a_timeout_and_a_cancellation_are_told_apart(message: str, said: str) -> None:
    assert said in sentence(ServerError(sqlstate="57014", message=message))


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
