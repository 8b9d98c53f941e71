from __future__ import annotations

import pytest

from schema_operator.errors import Reason
from schema_operator.scripts.rules.enum_value import enum_value_used
from schema_operator.scripts.script import Source
from schema_operator.scripts.statements import statements_of

ADD = "ALTER TYPE mood ADD VALUE 'new'; "
USED = {
    "a cast": (ADD + "SELECT 'new'::mood", 2),
    "a cast with words": (ADD + "UPDATE t SET m = CAST('new' AS Mood)", 2),
    "a default": (ADD + "ALTER TABLE t ADD COLUMN m mood DEFAULT 'new'", 2),
    "a default of what may not be null": (ADD + "CREATE TABLE t (m \"mood\" NOT NULL DEFAULT 'new')", 2),
    "a default with a schema": (
        "ALTER TYPE s.mood ADD VALUE 'new' AFTER 'old'; CREATE TABLE t (a int, m s.mood DEFAULT 'new')",
        2,
    ),
    "later": (ADD + "SELECT 1; SELECT 'new'; SELECT 'new'::mood", 4),
    "in a view": (ADD + "CREATE VIEW v AS SELECT * FROM t WHERE m = 'new'::mood", 2),
    "the second of two": (ADD + "ALTER TYPE mood ADD VALUE 'newer'; SELECT 'newer'::mood", 3),
    "another type of the same value": ("ALTER TYPE a ADD VALUE 'x'; ALTER TYPE b ADD VALUE 'x'; SELECT 'x'::b", 3),
}
NOT_USED = {
    "before": "SELECT 'new'::mood; " + ADD,
    "not at all": ADD + "SELECT 'old'::mood",
    "a type made here": "CREATE TYPE mood AS ENUM ('old'); " + ADD + "SELECT 'new'::mood",
    "a value that may be there already": "ALTER TYPE mood ADD VALUE IF NOT EXISTS 'new'; SELECT 'new'::mood",
    "another type": ADD + "SELECT 'new'::text, 'new'::s.mood, 'new'::mood[]",
    "no cast": ADD + "INSERT INTO log VALUES ('new')",
    "a longer value": ADD + "SELECT 'newest'::mood",
    "in a body": ADD + "CREATE FUNCTION f() RETURNS mood LANGUAGE plpgsql AS $$ BEGIN RETURN 'new'::mood; END $$",
    "in a string": ADD + "SELECT '''new''::mood'",
    "a default of another column": ADD + "CREATE TABLE t (m mood, a text DEFAULT 'new')",
    "another change of the type": "ALTER TYPE mood RENAME VALUE 'old' TO 'new'; SELECT 'new'::mood",
    "nothing before it": ADD + "SELECT DEFAULT 'new'",
}


@pytest.mark.parametrize(("text", "number"), USED.values(), ids=USED)
def test_the_use_of_a_new_value_is_found(text: str, number: int) -> None:
    found = enum_value_used(statements_of(Source.from_bytes("a.up.sql", text.encode())))
    assert found is not None
    statement, finding = found
    assert (statement.number, finding.reason) == (number, Reason.ENUM_VALUE_NOT_USABLE)
    assert "new" not in finding.sentence.replace("next", "")


@pytest.mark.parametrize("text", NOT_USED.values(), ids=NOT_USED)
def test_what_is_not_certain_is_left_to_the_server(text: str) -> None:
    assert enum_value_used(statements_of(Source.from_bytes("a.up.sql", text.encode()))) is None
