"""Rollback scripts made ready for a procedure, as a table: script -> statements or the obstacle."""

from __future__ import annotations

import json
from dataclasses import replace

import msgspec
import pytest

from schema_operator.api.request import TransactionMode
from schema_operator.scripts.down_steps import DownStep, down_steps
from schema_operator.scripts.script import BatchKey, Source

READY = {
    "one statement": ("DROP INDEX a;", [("DROP INDEX a", 1)]),
    "nothing": ("-- nothing to undo\n", []),
    "lines of the file": ("SELECT 1;\n\n  SELECT\n 2;", [("SELECT 1", 1), ("SELECT\n 2", 3)]),
    "a block around all": ("BEGIN;\nSELECT 1;\nCOMMIT;", [("SELECT 1", 2)]),
    "settings before a block": ("SET a.b = 1;\nBEGIN; SELECT 1; END;", [("SET a.b = 1", 1), ("SELECT 1", 2)]),
    "what pg_dump writes": ("\\restrict a\nSELECT 1;\n\\unrestrict a\n", [("SELECT 1", 2)]),
    "variables": ("SELECT :'text', :name, :other;", [("SELECT 'it''s', \"n\", :other", 1)]),
    "a COPY from a query's own table": ("COPY a FROM '/x';", [("COPY a FROM '/x'", 1)]),
    "INTO of an INSERT": ("WITH a AS (SELECT 1) INSERT INTO b SELECT * FROM a;", None),
    "INTO of an INSERT inside of a WITH": ("WITH a AS (INSERT INTO b VALUES (1) RETURNING 1) SELECT * FROM a;", None),
    "INTO of a MERGE": ("WITH a AS (SELECT 1) MERGE INTO b USING a ON true WHEN MATCHED THEN DELETE;", None),
    "INTO as a label": ("SELECT 1 AS into;", None),
    "INTO of PL/pgSQL": ("DO $$ DECLARE a int; BEGIN SELECT 1 INTO a; END $$;", None),
    "a procedure of which nothing is known": ("CALL tidy_up();", None),
    "READ COMMITTED": ("BEGIN ISOLATION LEVEL READ COMMITTED; SELECT 1; COMMIT;", [("SELECT 1", 1)]),
}


@pytest.mark.parametrize(("text", "expected"), READY.values(), ids=READY.keys())
def test_the_statements_of_a_script(text: str, expected: list[tuple[str, int]] | None) -> None:
    found = down_steps(Source("f", text, ""), {"text": "it's", "name": "n"})
    assert found.obstacle is None
    expected = [(text.removesuffix(";"), 1)] if expected is None else expected
    assert [(one.sql, one.line) for one in found.statements] == expected


NEVER_COMMITTED = (
    "the transaction that begins here is never committed; write COMMIT after its last statement, or leave BEGIN out: a "
    "script is one transaction by itself"
)
NO_NUMBER = (
    "the variable number is written without quotes, so its value must be a name (letters, digits, _ and $, no digit "
    "first, at most 63 bytes) or a number; write :'number' for a string, :\"number\" for any other name"
)
OBSTACLES = {
    "concurrently": (
        "SELECT 1;\nDROP INDEX CONCURRENTLY a;",
        "DROP INDEX CONCURRENTLY at line 2 cannot be in a transaction",
    ),
    "a DO that commits": ("DO $$ BEGIN COMMIT; END $$;", "DO of what commits at line 1 cannot be in a transaction"),
    "two blocks": (
        "BEGIN; SELECT 1; COMMIT;\nBEGIN;\nSELECT 2; COMMIT;",
        "the script commits in between, before line 3",
    ),
    "something after a block": ("BEGIN; SELECT 1; COMMIT;\nSELECT 2;", "the script commits in between, before line 2"),
    "another isolation level": (
        "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT 1; COMMIT;",
        "the script wants a transaction of its own, with ISOLATION LEVEL SERIALIZABLE",
    ),
    "a savepoint": ("SAVEPOINT a;", "a savepoint at line 1 is not possible inside a procedure"),
    "back to a savepoint": ("ROLLBACK TO a;", "a savepoint at line 1 is not possible inside a procedure"),
    "the end of a savepoint": ("RELEASE a;", "a savepoint at line 1 is not possible inside a procedure"),
    "rows in the script": (
        "\nCOPY a FROM STDIN;\n1\n\\.\n",
        "COPY … FROM STDIN at line 2 is not possible inside a procedure",
    ),
    "rows to the client": ("COPY a TO STDOUT;", "COPY … TO STDOUT at line 1 is not possible inside a procedure"),
    "SELECT INTO": (
        "SELECT 1 AS a INTO b;",
        "SELECT INTO (CREATE TABLE AS is possible) at line 1 is not possible inside a procedure",
    ),
    "SELECT INTO behind a WITH": (
        "WITH a AS (SELECT 1) SELECT * INTO TEMP b FROM a;",
        "SELECT INTO (CREATE TABLE AS is possible) at line 1 is not possible inside a procedure",
    ),
    "a transaction that is never committed": ("BEGIN;\nSELECT 1;", f"{NEVER_COMMITTED} (line 1)"),
    "a value that does not fit": ("SELECT\n:number;", f"{NO_NUMBER} (line 2)"),
}


@pytest.mark.parametrize(("text", "obstacle"), OBSTACLES.values(), ids=OBSTACLES.keys())
def test_the_obstacle_of_a_script(text: str, obstacle: str) -> None:
    found = down_steps(Source("f", text, ""), {"number": "no number"})
    assert (found.obstacle, found.statements, found.as_json) == (obstacle, (), {"obstacle": obstacle})


def test_a_script_that_commits_after_every_statement() -> None:
    never = Source("f", "SELECT 1;\nSELECT 2;", "", transaction=TransactionMode.NEVER)
    assert down_steps(never, {}).obstacle == "the script commits in between, before line 2"
    one = Source("f", "SELECT 1;", "", transaction=TransactionMode.NEVER)
    assert down_steps(one, {}).statements == (DownStep("SELECT 1", 1),)


def test_a_script_that_is_far_too_long_to_keep_twice() -> None:
    assert down_steps(Source("f", "SELECT 1;" + " " * (8 * 1024 * 1024 - 9), ""), {}).obstacle is None
    found = down_steps(Source("f", "SELECT 1;" + " " * 8 * 1024 * 1024, ""), {})
    assert found.obstacle == "the script has 8388617 characters, more than 8388608"


@pytest.mark.parametrize(
    ("restores", "expected"), [(True, {"statements": []}), (False, {"statements": [], "restore": False})]
)
def test_a_script_may_say_that_nothing_is_put_back(expected: dict[str, object], *, restores: bool) -> None:
    assert down_steps(Source("f", "", "", restores=restores), {}).as_json == expected


def test_a_line_is_one_of_the_file() -> None:
    assert down_steps(Source("f", "SELECT 1;", "", line=7), {}).statements[0].line == 7


DESTROYED = {
    "a column": ("ALTER TABLE s.t DROP COLUMN c", [{"kind": "column", "name": '"s"."t"', "column": "c"}], False),
    "a table": ('DROP TABLE "T" CASCADE', [{"kind": "table", "name": '"T"', "cascade": True}], False),
    "all rows": ("DELETE FROM t", [{"kind": "rows", "name": '"t"'}], False),
    "with a variable": ('DROP TABLE :"name"', [{"kind": "table", "name": '"x y"'}], False),
    "rows that are chosen": ("DELETE FROM t WHERE id = 1", None, False),
    "an index": ("DROP INDEX i", None, False),
    "what cannot be read": (f"DROP TABLE /* {'x' * 70_000} */ t", [], True),
}


@pytest.mark.parametrize(("sql", "expected", "unread"), DESTROYED.values(), ids=DESTROYED.keys())
def test_what_a_statement_destroys_is_kept_with_it(
    sql: str, expected: list[dict[str, object]] | None, *, unread: bool
) -> None:
    (written,) = json.loads(msgspec.json.encode(down_steps(Source("f", f"{sql};", ""), {"name": "x y"}).as_json))[
        "statements"
    ]
    found = written.get("destroyed")
    if expected is None:
        assert found is None
    else:
        assert [{key: one[key] for key in wanted} for one, wanted in zip(found, expected, strict=True)] == expected
    assert written.get("unread", False) is unread


def test_what_is_done_in_batches_is_done_at_once() -> None:
    text = "-- schema-operator: batch=item.id\nDELETE FROM :t WHERE id > :batch_after AND id <= :batch_upto"
    found = down_steps(replace(Source("f", text, ""), batch=BatchKey(None, "item", "id")), {"t": "item"})
    assert found.obstacle is None
    ((sql, line),) = [(one.sql.split(), one.line) for one in found.statements]
    assert (" ".join(sql), line) == ('DELETE FROM "item" WHERE id IS NOT NULL AND id IS NOT NULL', 2)
    assert found.statements[0].destroyed == ()
