from __future__ import annotations

import pytest

from schema_operator.errors import Reason
from schema_operator.postgres import guard
from schema_operator.scripts.rules.session_state import LOCK_CLASS, refuse_session_state
from schema_operator.scripts.script import Source
from schema_operator.scripts.statements import Statement, statements_of


def only(sql: str) -> Statement:
    [statement] = statements_of(Source.from_bytes("a.up.sql", sql.encode()))
    return statement


ISOLATION, ENCODING, STRINGS, LOCKS = "isolation level", "client_encoding", "standard_conforming", "advisory locks"
REFUSED = [
    ("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", ISOLATION),
    ("set local transaction isolation level repeatable read", ISOLATION),
    ("SET TRANSACTION READ ONLY", ISOLATION),
    ("SET TRANSACTION SNAPSHOT '1'", ISOLATION),
    ("SET TRANSACTION NOT DEFERRABLE", ISOLATION),
    ("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE", ISOLATION),
    ("SET transaction_read_only = on", ISOLATION),
    ("SET LOCAL transaction_read_only TO 'true'", ISOLATION),
    ("SET transaction_isolation TO 'serializable'", ISOLATION),
    ("SELECT set_config('transaction_read_only', 'on', true)", ISOLATION),
    ("SET client_encoding = 'LATIN1'", ENCODING),
    ("SET client_encoding TO sql_ascii", ENCODING),
    ("SET NAMES 'WIN1252'", ENCODING),
    ("SELECT pg_catalog.set_config('client_encoding', 'LATIN1', false)", ENCODING),
    ("SELECT pg_catalog.set_config('standard_conforming_strings', 'off', false)", STRINGS),
    ("SET standard_conforming_strings = off", STRINGS),
    (f"SELECT pg_advisory_lock({LOCK_CLASS}, 1)", LOCKS),
    (f"select PG_TRY_ADVISORY_XACT_LOCK ( {LOCK_CLASS}, 1)", LOCKS),
    ("SELECT pg_advisory_xact_lock(0x736F7064, 1)", LOCKS),
    (f"DELETE FROM t WHERE pg_catalog.pg_advisory_unlock({LOCK_CLASS}, 2)", LOCKS),
    (f'SELECT "pg_advisory_lock_shared"({LOCK_CLASS}, 1)', LOCKS),
]
ALLOWED = [
    "SET lock_timeout = 0",
    "SET statement_timeout = 0",
    "SET client_encoding = 'UTF8'",
    "SET client_encoding TO 'utf-8'",
    "SET NAMES 'UTF8'",
    "SET NAMES DEFAULT",
    "SET standard_conforming_strings = on",
    "SELECT pg_catalog.set_config('search_path', '', false)",
    "SELECT set_config(name, value, false) FROM settings",
    "SET search_path TO a, b",
    "SET SESSION search_path = ''",
    "SET ROLE owner",
    "SET SESSION AUTHORIZATION owner",
    "SET SESSION AUTHORIZATION DEFAULT",
    "RESET ALL",
    "DISCARD PLANS",
    "SET TRANSACTION READ WRITE",
    "SET transaction_read_only = off",
    "SET default_transaction_read_only = off",
    "SET default_transaction_isolation = 'serializable'",
    "SET CONSTRAINTS ALL DEFERRED",
    "SET TIME ZONE 'UTC'",
    "SET session_replication_role = replica",
    "SET row_security = off",
    "SELECT pg_advisory_unlock_all()",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_advisory_xact_lock(1, 2)",
    f"SELECT {LOCK_CLASS}, pg_advisory_lock(1, {LOCK_CLASS})",
    f"SELECT 'pg_advisory_lock({LOCK_CLASS}, 1)'",
    f"COMMENT ON TABLE t IS 'SET TRANSACTION READ ONLY; pg_advisory_lock({LOCK_CLASS}, 1)'",
    "LISTEN x",
    "PREPARE p AS SELECT 1",
    "DECLARE c CURSOR FOR SELECT 1",
    "CREATE TEMP TABLE t (a int)",
    "SET",
    "SELECT set_config",
]


@pytest.mark.parametrize(("sql", "words"), REFUSED)
def test_changes_that_a_run_would_not_survive_are_refused(sql: str, words: str) -> None:
    finding = refuse_session_state(only(sql))
    assert finding is not None
    assert words in finding.sentence
    assert finding.reason is (Reason.FORBIDDEN_STATEMENT if words == STRINGS else Reason.SESSION_STATE_CHANGE)


@pytest.mark.parametrize("sql", ALLOWED)
def test_what_dumps_and_careful_scripts_do_is_allowed(sql: str) -> None:
    assert refuse_session_state(only(sql)) is None


def test_the_class_of_our_locks_is_the_guards() -> None:
    assert LOCK_CLASS == guard.LOCK_CLASS
