"""Names that statements mention."""

from __future__ import annotations

import pytest

from schema_operator.scripts.mentions import (
    Reference,
    altered_table,
    changes_table,
    check_condition,
    privilege,
    raised_text,
    reference,
    role,
    search_path,
    without_literals,
)

REFERENCES = {
    "CREATE TABLE b (a int REFERENCES a)": (None, Reference(("a",), ())),
    'ALTER TABLE b ADD FOREIGN KEY (x) REFERENCES "S"."A b" (i, "J")': ("A b", Reference(("S", "A b"), ("i", "J"))),
    "CREATE TABLE b (a int REFERENCES A (Id), c int REFERENCES s.c)": ("c", Reference(("s", "c"), ())),
    "CREATE TABLE b (x int REFERENCES a (i), y int REFERENCES a (j))": ("a", None),
    "CREATE TABLE b (x int DEFAULT 'REFERENCES a')": (None, None),
    "CREATE TABLE b (x int REFERENCES": (None, None),
    "CREATE TABLE b (x int REFERENCES a (": ("a", Reference(("a",), ())),
    "": (None, None),
}


@pytest.mark.parametrize(("sql", "expected"), REFERENCES.items())
def test_what_a_foreign_key_points_to(sql: str, expected: tuple[str | None, Reference | None]) -> None:
    table, found = expected
    assert reference(sql, table) == found


PATHS = [
    (["SELECT 1"], None),
    (["SET search_path = app, Public", "SELECT 1"], "app, public"),
    (["SET LOCAL search_path TO 'app', \"My App\""], 'app, "My App"'),
    (["SELECT pg_catalog.set_config('search_path', '', false)"], ""),
    (["select set_config('search_path', 'a, b', true)"], "a, b"),
    (["SET search_path = a", "RESET search_path"], None),
    (["SET search_path = a", "SET search_path TO DEFAULT"], None),
    (["SET search_path = a", "COMMENT ON TABLE x IS 'search_path'"], "a"),
    (["CREATE FUNCTION f() RETURNS int LANGUAGE sql SET search_path = a AS ''"], None),
]


@pytest.mark.parametrize(("statements", "expected"), PATHS)
def test_the_search_path_that_statements_leave(statements: list[str], expected: str | None) -> None:
    assert search_path(statements) == expected


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (["SET ROLE app"], "app"),
        (["SET LOCAL ROLE 'App'"], "App"),
        (['SET SESSION AUTHORIZATION "App"'], "App"),
        (["SET ROLE app", "SET ROLE NONE"], None),
        (["SET work_mem = 1"], None),
    ],
)
def test_the_role_that_statements_leave(statements: list[str], expected: str | None) -> None:
    assert role(statements) == expected


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("ALTER TABLE a ADD x int", ("a",)),
        ('ALTER TABLE IF EXISTS ONLY s."B" ADD x int', ("s", "B")),
        ("ALTER VIEW a RENAME TO b", ()),
    ],
)
def test_the_table_that_is_altered(sql: str, expected: tuple[str, ...]) -> None:
    assert altered_table(sql) == expected


@pytest.mark.parametrize(
    ("sql", "expected"), [("ALTER TABLE a ADD x int", True), ("insert into a", False), ("SET x = 1", None), ("", None)]
)
def test_whether_a_statement_changes_tables_or_rows(sql: str, expected: bool | None) -> None:
    assert changes_table(sql) is expected


PRIVILEGES = {
    "SELECT * FROM a": "SELECT",
    "INSERT INTO s.a VALUES (1)": "INSERT",
    "INSERT INTO b SELECT * FROM a": "SELECT",
    "UPDATE ONLY a SET x = 1": "SELECT, UPDATE",
    "DELETE FROM a": "SELECT, DELETE",
    "TRUNCATE a": "TRUNCATE",
    "CREATE TRIGGER t BEFORE INSERT ON a EXECUTE FUNCTION f()": "TRIGGER",
    "CREATE TABLE b (x int REFERENCES a)": "REFERENCES",
    "CREATE TABLE b (x int)": None,
    "DO $$ BEGIN END $$": None,
    "": None,
}


@pytest.mark.parametrize(("sql", "expected"), PRIVILEGES.items())
def test_what_a_statement_needs_on_a_table(sql: str, expected: str | None) -> None:
    assert privilege(sql, "a") == expected


LITERALS = {
    "a <> 'it''s'": "a <> …",
    "a = E'x\\'y' AND b = U&'z' OR c = B'1'": "a = … AND b = … OR c = …",
    "a > 1.5e3 AND a1 < -7": "a > … AND a1 < -…",
    "a = $x$ s3cr3t $x$": "a = …",
    "a -- s3cr3t\n > /* s3cr3t */ b": "a > b",
    '"it\'s 1" > b': '"it\'s 1" > b',
}


@pytest.mark.parametrize(("sql", "expected"), LITERALS.items())
def test_literals_are_left_out(sql: str, expected: str) -> None:
    assert without_literals(sql) == expected


CONDITIONS = {
    "ALTER TABLE a ADD CONSTRAINT c CHECK (x > y)": "x > y",
    "ALTER TABLE a ADD CONSTRAINT b CHECK (x > z), ADD CONSTRAINT c\n CHECK(f(x) = ')')": "f(x) = …",
    "ALTER TABLE a ADD CHECK ((x) > (y))": "(x) > (y)",
    "ALTER TABLE a ADD CHECK (x > y), ADD CHECK (y > z)": None,
    "ALTER TABLE a ADD CONSTRAINT c CHECK (x": None,
    "SELECT 1": None,
}


@pytest.mark.parametrize(("sql", "expected"), CONDITIONS.items())
def test_the_condition_of_a_check(sql: str, expected: str | None) -> None:
    assert check_condition(sql, "c") == expected


RAISED = {
    "no item 4711": ("RAISE EXCEPTION 'no item %', x;", "no item …"),
    "it's 100% of a": ("raise 'it''s 100%% of %' , x;", "it's 100% of …"),
    "first version 3": ("DO $$ BEGIN RAISE EXCEPTION 'first version 3'; END $$", "first version 3"),
    "said so": ("RAISE EXCEPTION USING ERRCODE = 'X', MESSAGE = 'said so', HINT = y;", "said so"),
    "must hold": ("ASSERT a > b, 'must hold';", "must hold"),
    "s3cr3t": ("RAISE EXCEPTION '%', x;", None),
    "a: s3cr3t": ("RAISE EXCEPTION '%: %', a, x;", None),
    "a s3cr3t": ("RAISE EXCEPTION USING MESSAGE = 'a ' || x;", None),
    "unlike s3cr3t": ("RAISE EXCEPTION 'something else %', x;", None),
}


@pytest.mark.parametrize(("message", "expected"), RAISED.items())
def test_of_what_a_function_raised_the_words_of_its_author(message: str, expected: tuple[str, str | None]) -> None:
    source, text = expected
    assert raised_text(message, ["SELECT 1", source]) == text
