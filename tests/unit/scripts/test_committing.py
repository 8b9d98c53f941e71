from __future__ import annotations

import pytest

from schema_operator.scripts.committing import commits, committing_procedures
from schema_operator.scripts.script import Source
from schema_operator.scripts.statements import Statement, statements_of


def statements(*texts: str) -> tuple[Statement, ...]:
    return statements_of(Source.from_bytes("a.up.sql", ";\n".join(texts).encode()))


def only(sql: str) -> Statement:
    [statement] = statements(sql)
    return statement


def procedure(name: str, body: str, options: str = "LANGUAGE plpgsql") -> str:
    return f"CREATE PROCEDURE {name}(a int) {options} AS $p${body}$p$"


COMMITS = [
    ("DO $$ BEGIN COMMIT; END $$", True),
    ("DO $$ BEGIN commit ; END $$", True),
    ("DO $$ BEGIN PERFORM 1; ROLLBACK; END $$", True),
    ("DO $$ BEGIN COMMIT AND CHAIN; END $$", True),
    ("DO LANGUAGE plpgsql $$ BEGIN COMMIT; END $$", True),
    ("DO $$ BEGIN COMMIT; END $$ LANGUAGE plpgsql", True),
    ("DO $x$ BEGIN COMMIT; END $x$ LANGUAGE 'plpgsql'", True),
    ("DO LANGUAGE 'plpgsql' 'BEGIN COMMIT; END'", True),
    ("DO 'BEGIN PERFORM ''x''; COMMIT; END'", True),
    ("DO $$ BEGIN FOR i IN 1..3 LOOP COMMIT; END LOOP; END $$", True),
    ("DO $$ BEGIN IF true THEN COMMIT; ELSE ROLLBACK; END IF; END $$", True),
    ("DO $$ <<here>> BEGIN COMMIT; END $$", True),
    ("DO $$ BEGIN /* ; */ COMMIT -- x\n ; END $$", True),
    ("DO $$ BEGIN PERFORM 'COMMIT;'; END $$", False),
    ("DO $$ BEGIN /* COMMIT; */ NULL; -- COMMIT;\n END $$", False),
    ("DO $$ DECLARE commit int; BEGIN commit := 1; rollback = 2; PERFORM commit; END $$", False),
    ("DO $$ BEGIN EXECUTE 'COMMIT'; RAISE NOTICE 'ROLLBACK'; END $$", False),
    ("DO $$ BEGIN PERFORM $x$ ; COMMIT; $x$; END $$", False),
    ("DO LANGUAGE plpython3u $$ BEGIN COMMIT; END $$", False),
    ("DO $$ BEGIN NULL; END $$", False),
    ("DO $$ BEGIN CALL known(1); END $$", True),
    ("DO $$ BEGIN CALL s.known(1); END $$", True),
    ("DO $$ BEGIN CALL known_not(1); END $$", False),
    ("CALL known(1)", True),
    ('call /* x */ "known" (1)', True),
    ("CALL any_schema.known()", True),
    ("CALL Qualified.Too()", True),
    ("CALL too()", True),
    ("CALL other.too()", False),
    ("CALL unknown('known')", False),
    ('CALL "KNOWN"()', False),
    ("SELECT 'CALL known()'", False),
    ("COMMIT", False),
    (procedure("p", "BEGIN COMMIT; END"), False),
]


@pytest.mark.parametrize(("sql", "expected"), COMMITS)
def test_statements_that_commit(sql: str, *, expected: bool) -> None:
    assert commits(only(sql), frozenset({"known", "qualified.too"})) is expected


def test_a_call_of_nothing_known_does_not_commit() -> None:
    assert commits(only("CALL known(1)")) is False


PROCEDURES = [
    ([procedure("p", "BEGIN COMMIT; END")], {"p"}),
    (["CREATE OR REPLACE PROCEDURE S.P() LANGUAGE plpgsql AS 'BEGIN ROLLBACK; END'"], {"s.p"}),
    ([procedure('"S"."P q"', "BEGIN COMMIT; END")], {"S.P q"}),
    ([procedure("p", "BEGIN COMMIT; END", "LANGUAGE 'plpgsql'")], {"p"}),
    (["CREATE PROCEDURE p(a text DEFAULT 'x') AS $$ BEGIN COMMIT; END $$ LANGUAGE plpgsql"], {"p"}),
    ([procedure("p", "BEGIN COMMIT; END", "LANGUAGE sql")], set()),
    ([procedure("p", "BEGIN NULL; END")], set()),
    (["CREATE PROCEDURE p() BEGIN ATOMIC SELECT 1; END"], set()),
    (["CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$"], set()),
    ([procedure("p", "BEGIN CALL q(); END"), procedure("q", "BEGIN COMMIT; END")], {"p", "q"}),
    ([procedure("p", "BEGIN CALL q(); END"), procedure("q", "BEGIN CALL p(); END")], set()),
    ([procedure("p", "BEGIN COMMIT; END"), procedure("p", "BEGIN NULL; END")], set()),
    ([procedure("p", "BEGIN CALL old(); END")], {"old", "p"}),
    ([procedure("old", "BEGIN NULL; END")], set()),
]


@pytest.mark.parametrize(("texts", "expected"), PROCEDURES)
def test_procedures_that_commit(texts: list[str], expected: set[str]) -> None:
    known = {"old"} if any("old" in text for text in texts) else set[str]()
    assert committing_procedures(statements(*texts), known) == expected
