from __future__ import annotations

import pytest

from schema_operator.errors import Reason
from schema_operator.scripts.rules.identifier_length import refuse_names_cut_off
from schema_operator.scripts.script import Source
from schema_operator.scripts.statements import Statement, statements_of

LONG = "x" * 64
FITS = "x" * 63


def only(sql: str) -> Statement:
    [statement] = statements_of(Source.from_bytes("a.up.sql", sql.encode()))
    return statement


REFUSED = [
    f"CREATE TABLE {LONG} (a int)",
    f"create table s.{LONG} (a int)",
    f'CREATE TABLE "{LONG}" (a int)',
    f'CREATE TABLE "{"x" * 62}""y" (a int)',
    f"CREATE INDEX {LONG} ON t (a)",
    f"CREATE TABLE t (a int, {LONG} int)",
    f"CREATE VIEW v AS SELECT 1 AS {LONG}",
    f"ALTER TABLE t ADD CONSTRAINT {LONG} CHECK (a > 0)",
    f"ALTER TABLE t RENAME TO /* now */ {LONG}",
    f"CREATE TABLE {'ü' * 32} (a int)",
    f'CREATE TABLE "{"😀" * 16}" (a int)',
    f"CREATE FUNCTION {LONG}() RETURNS int LANGUAGE sql AS 'SELECT 1'",
]
ALLOWED = [
    f"CREATE TABLE {FITS} (a int)",
    f'CREATE TABLE "{FITS}" (a int)',
    f'CREATE TABLE "{"x" * 61}""y" (a int)',
    f"CREATE TABLE {'ü' * 31}x (a int)",
    f"CREATE TABLE t (a text DEFAULT '{LONG}')",
    f"CREATE TABLE t (a text DEFAULT E'\\'{LONG}')",
    f"CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $${LONG}$$",
    f"CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $a${LONG}$a$",
    f"DO $$ BEGIN PERFORM {LONG}; END $$",
    f"CREATE TABLE t (a int) -- {LONG}\n",
    f"CREATE TABLE t /* {LONG} */ (a int)",
    f"CREATE TABLE t (a numeric DEFAULT {'1' * 64})",
    'CREATE TABLE U&"' + "\\0061" * 16 + '" (a int)',
    f"DROP TABLE {LONG}",
    f"SELECT 1 AS {LONG}",
    f"INSERT INTO {LONG} VALUES (1)",
    'CREATE TABLE "a""b" (a int)',
]


@pytest.mark.parametrize("sql", REFUSED)
def test_a_name_that_would_be_cut_off_is_refused(sql: str) -> None:
    finding = refuse_names_cut_off(only(sql))
    assert finding is not None
    assert finding.reason is Reason.IDENTIFIER_TRUNCATED


@pytest.mark.parametrize("sql", ALLOWED)
def test_what_is_no_such_name_is_allowed(sql: str) -> None:
    assert refuse_names_cut_off(only(sql)) is None


def test_the_sentence_says_what_it_would_be_called() -> None:
    finding = refuse_names_cut_off(only(f"CREATE TABLE {'ab' * 31}cé (a int)"))
    assert finding is not None
    assert finding.sentence == (
        f"the name {'ab' * 10}… has 65 bytes and PostgreSQL keeps 63, so it would be called {'ab' * 31}c; "
        "choose a shorter name, or write this one, or allow LongName"
    )
