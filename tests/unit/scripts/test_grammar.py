from __future__ import annotations

import time

import pytest

from schema_operator.scripts import grammar
from schema_operator.scripts.grammar import SyntaxProblem, syntax_problem, syntax_problems

GOOD = [
    "CREATE TABLE t (a int, b int GENERATED ALWAYS AS (a * 2) VIRTUAL)",
    "UPDATE t SET a = 1 RETURNING old.a, new.a",
    "MERGE INTO t USING u ON true WHEN NOT MATCHED BY SOURCE THEN DELETE RETURNING merge_action()",
    "SELECT E'it\\'s', U&'\\0061', 'c:\\', $a$ ' $a$",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT t.end FROM t; END",
    "CREATE RULE r AS ON INSERT TO t DO ALSO (DELETE FROM a; DELETE FROM b)",
    "COPY t (a, b) FROM STDIN WITH (FORMAT csv)",
    "DO $$ this is only read when it is run $$",
    "SELECT 'é', \"größe\", '😀'",
    "",
]
WRONG = [
    ("CREATE TABEL t (a int)", 7, "TABEL"),
    ("select 1 form t where", 14, "t"),
    ("SELECT 'é', '😀' FORM \"ü\" x", 21, "a quoted name"),
    ("SELECT 1 +", 10, ""),
    ("CREATE TABLE t (a int,)", 22, ")"),
    ("SELECT :name", 7, ":"),
    ("SELECT 'a' 'canary'", 11, "a string"),
    ("SELECT 'a' E'canary'", 11, "a string"),
    ("SELECT 'a' $$canary$$", 11, "a string"),
    ('SELECT a b "canary"', 11, "a quoted name"),
    ("SELECT a b 4711", 11, "a number"),
    ("CREATE ROLE r PASSWORD canary", 23, "a word"),
    ("-- one\n/* two */ SELEC 1", 17, "SELEC"),
    ("ALTER TABLE t ADD COLUMN a int NOT NUL", 35, "NUL"),
    ("CREATE TABLE json_value (a int); CREATE TABEL t ()", 40, "TABEL"),
]


@pytest.mark.parametrize("sql", GOOD)
def test_what_is_well_formed_has_no_problem(sql: str) -> None:
    assert syntax_problem(sql) is None


@pytest.mark.parametrize(("sql", "position", "token"), WRONG)
def test_a_problem_says_which_character_and_which_token_but_no_value(sql: str, position: int, token: str) -> None:
    problem = syntax_problem(sql)
    assert problem == SyntaxProblem(position, token)
    assert "canary" not in problem.sentence
    assert "4711" not in problem.sentence


def test_a_problem_says_what_to_do() -> None:
    assert SyntaxProblem(1, "TABEL").sentence == "syntax error at or near TABEL; correct the script"
    assert SyntaxProblem(1, "").sentence == "syntax error: the statement is not complete; correct the script"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT " + "(" * 20_000 + "1" + ")" * 20_000,
        "SELECT 123abc",
        'SELECT "" FROM t',
        "SELECT 'a' -- c\n 'b'",
        "SELECT E'a' -- 'c\n\t-- d\r\n  '\\''",
        "SELECT 'a' 'b' " + "x" * 1024 * 1024,
    ],
    ids=[
        "the parser's own depth",
        "a number with letters behind it",
        "another message",
        "a string goes on",
        "and on",
        "too long to be parsed",
    ],
)
def test_what_only_this_parser_says_is_unknown(sql: str) -> None:
    assert syntax_problem(sql) is None


@pytest.mark.parametrize(
    ("sql", "server", "known"),
    [
        ("CREATE TABEL t ()", 13, True),
        ("CREATE TABEL t ()", 18, True),
        ("CREATE TABEL t ()", 19, False),
        ("CREATE FUNCTION json_value(a int) RETURNS int LANGUAGE sql AS ''", 16, False),
        ("CREATE FUNCTION json_value(a int) RETURNS int LANGUAGE sql AS ''", 17, True),
        ("SELECT 1 AS a, system_user AS b FROM t x y", 15, False),
        ("SELECT 1 AS a, system_user AS b FROM t x y", 16, True),
        ("SELECT 5 !", 13, False),
        ("SELECT (5 !) FROM t", 13, False),
        ("SELECT 5 !", 14, True),
    ],
)
def test_other_versions_than_the_grammars_may_know_better(sql: str, server: int, *, known: bool) -> None:
    assert (syntax_problem(sql, server) is not None) is known


def test_many_statements_are_told_apart() -> None:
    statements = [
        "SELECT 1",
        "SELEC 2",
        "x" * (1024 * 1024 + 1),
        *["SELECT 'é'"] * 20_000,
        "SELECT 'é' FROM",
        "SELECT 3",
    ]
    assert list(syntax_problems(statements)) == [
        (1, SyntaxProblem(0, "SELEC")),
        (20_003, SyntaxProblem(15, "")),
    ]
    assert list(syntax_problems([])) == []
    assert list(syntax_problems(statements, 19)) == []


def test_a_statement_cannot_be_completed_by_the_next() -> None:
    assert [index for index, _ in syntax_problems(["SELECT (1", "2)", "SELECT 1"])] == [0, 1]


def test_without_the_library_everything_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    grammar.library.cache_clear()
    monkeypatch.setattr(grammar, "_LIBRARY", "no-such-file.so")
    assert syntax_problem("SELEC 1") is None
    assert list(syntax_problems(["SELEC 1"])) == []
    assert grammar.tree_of("SELECT 1") is None
    monkeypatch.setattr(grammar, "_PACKAGE", "no_such_package")
    grammar.library.cache_clear()
    assert syntax_problem("SELEC 1") is None
    grammar.library.cache_clear()


def test_a_library_with_another_interface_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    grammar.library.cache_clear()
    monkeypatch.setattr(grammar, "_LIBRARY", "__init__.py")
    assert grammar.library() is None
    grammar.library.cache_clear()


def test_the_library_is_there() -> None:
    assert grammar.library() is not None


def test_parsing_is_cheap() -> None:
    statements = ["INSERT INTO item (id, name) VALUES (1, 'some name')"] * 20_000
    began = time.process_time()
    assert list(syntax_problems(statements)) == []
    assert time.process_time() - began < 0.5
