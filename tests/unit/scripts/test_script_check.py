from __future__ import annotations

from dataclasses import replace

import pytest

from schema_operator.api.request import Acknowledgement
from schema_operator.errors import Location, Reason, Refused
from schema_operator.scripts.check import check, problems
from schema_operator.scripts.reading import Entry, from_entries
from schema_operator.scripts.script import ScriptSet

GOOD = "CREATE TABLE t (a int);"


def up_script(text: str) -> ScriptSet:
    return from_entries([Entry("shop", "1.2_a.up.sql", text.encode())])


def at(line: int, column: int, statement: int | None = None, statements: int | None = None) -> Location:
    return Location(
        version="1.2",
        file="shop/1.2_a.up.sql",
        statement=statement,
        statements=statements,
        line=line,
        column=column,
    )


WHOLE = Location(version="1.2", file="shop/1.2_a.up.sql")
PROBLEMS = {
    "empty": ("", Reason.EMPTY_MIGRATION, WHOLE, "so it would do nothing"),
    "only comments": ("-- later\n/* ; */ ;;\n", Reason.EMPTY_MIGRATION, WHOLE, "so it would do nothing"),
    "only what pg_dump writes around": (
        "\\restrict a1\n\\unrestrict a1\n",
        Reason.EMPTY_MIGRATION,
        WHOLE,
        "so it would do nothing",
    ),
    "a commit": ("SELECT 1;\n  COMMIT;", Reason.TRANSACTION_CONTROL, at(2, 3, 2, 2), "COMMIT is not possible"),
    "a block never committed": (f"BEGIN; {GOOD}", Reason.TRANSACTION_CONTROL, at(1, 1, 1, 2), "never committed"),
    "a rollback": (f"{GOOD}ROLLBACK", Reason.TRANSACTION_CONTROL, at(1, 24, 2, 2), "ROLLBACK"),
    "two-phase": ("PREPARE TRANSACTION 'a'", Reason.TRANSACTION_CONTROL, at(1, 1, 1, 1), "PREPARE TRANSACTION"),
    "an index concurrently in a block": (
        "-- index\nBEGIN;\nCREATE INDEX CONCURRENTLY i ON t (a);\nCOMMIT;",
        Reason.NEEDS_NO_TRANSACTION,
        at(3, 1, 2, 3),
        "move it out of the block",
    ),
    "a meta command": (
        "SELECT 1;\n\\i other.sql\n",
        Reason.META_COMMAND_NOT_SUPPORTED,
        at(2, 1),
        "\\i is a command of psql",
    ),
    "a meta command without a statement": ("\\echo a\n", Reason.META_COMMAND_NOT_SUPPORTED, at(1, 1), "\\echo"),
    "a meta command in a statement": ("SELECT 1 \\gset\n", Reason.META_COMMAND_NOT_SUPPORTED, at(1, 10), "\\gset"),
    "a sign as meta command": ("SELECT 1\\; SELECT 2;", Reason.META_COMMAND_NOT_SUPPORTED, at(1, 9), "\\;"),
    "restrict inside a statement": (
        "DELETE FROM t\n\\restrict a1\nWHERE a = 1;",
        Reason.META_COMMAND_NOT_SUPPORTED,
        at(2, 1),
        "\\restrict",
    ),
    "restrict with more on its line": (
        "\\restrict a1 \\\\ DROP TABLE t;\nSELECT 1;",
        Reason.META_COMMAND_NOT_SUPPORTED,
        at(1, 1),
        "\\restrict",
    ),
    "rows for COPY": (
        "SELECT 1;\nCOPY t FROM STDIN;\n1;COMMIT;\n\\.\n",
        Reason.COPY_NOT_SUPPORTED,
        at(2, 1, 2, 2),
        "write the rows as INSERT",
    ),
    "rows from COPY": ("COPY t TO STDOUT", Reason.COPY_NOT_SUPPORTED, at(1, 1, 1, 1), "remove it"),
    "a program": ("COPY t FROM PROGRAM 'id'", Reason.FORBIDDEN_STATEMENT, at(1, 1, 1, 1), "PROGRAM"),
    "a file of the server": ("COPY t FROM '/etc/passwd'", Reason.FORBIDDEN_STATEMENT, at(1, 1, 1, 1), "INSERT"),
    "other strings": (
        "SET standard_conforming_strings = off;",
        Reason.FORBIDDEN_STATEMENT,
        at(1, 1, 1, 1),
        "must stay on",
    ),
    "a variable without a value": (
        "SELECT 1;\nSELECT 1, :'a' FROM t",
        Reason.PLACEHOLDER_ERROR,
        at(2, 11, 2, 2),
        "declare it in spec.variables, by hand with --var a=VALUE",
    ),
    "a string never closed": ("SELECT 1;\nSELECT 'a", Reason.SYNTAX_ERROR, at(2, 8), "never closed"),
}


@pytest.mark.parametrize(("text", "reason", "location", "words"), PROBLEMS.values(), ids=PROBLEMS)
def test_the_first_problem_is_raised_with_its_place(text: str, reason: Reason, location: Location, words: str) -> None:
    with pytest.raises(Refused) as refused:
        check(up_script(text))
    assert refused.value.reason is reason
    assert refused.value.location == location
    assert words in refused.value.sentence


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        "SELECT 1;",
        "BEGIN; SELECT 1; END;",
        "CREATE INDEX CONCURRENTLY i ON t (a); VACUUM t;",
        "SAVEPOINT a; ROLLBACK TO a; RELEASE a;",
        "DO $$ BEGIN PERFORM 'CREATE INDEX CONCURRENTLY'; COMMIT; END $$;",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; END;",
        "SELECT 'VACUUM', $$COPY t FROM STDIN$$, \"COMMIT\" FROM t -- BEGIN",
        "REFRESH MATERIALIZED VIEW CONCURRENTLY m;",
        "\\restrict aB3\n\nSET lock_timeout = 0;\nSET standard_conforming_strings = on;\n\n\\unrestrict aB3\n",
    ],
)
def test_good_scripts_have_no_problem(text: str) -> None:
    assert problems(up_script(text)) == ()
    check(up_script(text))


def test_an_empty_up_script_is_accepted_where_its_header_or_the_request_says_so() -> None:
    empty = up_script("-- nothing\n")
    assert problems(empty, (Acknowledgement.EMPTY_SCRIPT,)) == ()
    assert problems(up_script("-- schema-operator: allow=EmptyScript\n")) == ()
    assert [problem.reason for problem in problems(empty, (Acknowledgement.COPY_DATA,))] == [Reason.EMPTY_MIGRATION]
    with pytest.raises(Refused, match="-- schema-operator: allow=EmptyScript"):
        check(empty)
    check(empty, (Acknowledgement.EMPTY_SCRIPT,))


@pytest.mark.parametrize("text", ["", "-- none", " \n/* none */;;", "\\restrict a1\n\\unrestrict a1\n"])
def test_an_empty_down_script_is_accepted_and_said_to_do_nothing(text: str) -> None:
    scripts = from_entries([Entry("", "1.up.sql", GOOD.encode()), Entry("", "1.down.sql", text.encode())])
    assert problems(scripts) == ()
    [script] = scripts.scripts
    assert script.down is not None
    assert (script.up.does_nothing, script.down.does_nothing) == (False, True)


COPY = "SELECT 1;\nCOPY t FROM STDIN;\n1;COMMIT;\n\\.\n"


def test_rows_are_no_problem_where_the_script_or_the_run_says_that_they_are_meant() -> None:
    scripts = up_script(COPY)
    (script,) = scripts.scripts
    asks = replace(scripts, scripts=(replace(script, up=replace(script.up, copy_data_allowed=True)),))
    assert problems(asks) == ()
    assert problems(scripts, allow=[Acknowledgement.COPY_DATA]) == ()
    [problem] = problems(scripts, allow=[Acknowledgement.EMPTY_SCRIPT])
    assert problem.reason is Reason.COPY_NOT_SUPPORTED


@pytest.mark.parametrize("text", ["COPY t TO STDOUT", "COPY t FROM PROGRAM 'id'", "COPY t FROM '/a'"])
def test_other_forms_of_copy_stay_refused(text: str) -> None:
    [problem] = problems(up_script(text), allow=[Acknowledgement.COPY_DATA])
    assert problem.reason in {Reason.COPY_NOT_SUPPORTED, Reason.FORBIDDEN_STATEMENT}


def test_statements_are_judged_with_their_variables_filled_in() -> None:
    scripts = up_script("SELECT 1;\nDROP TABLE :a;\nSELECT :b\n;COMMIT")
    [commit] = problems(scripts, variables={"a": "t", "b": "2"})
    assert (commit.reason, commit.location) == (Reason.TRANSACTION_CONTROL, at(4, 2, 4, 4))
    unfit, undeclared, _ = problems(scripts, variables={"a": "canary; DROP"})
    assert (unfit.reason, unfit.location) == (Reason.PLACEHOLDER_ERROR, at(2, 12, 2, 4))
    assert (undeclared.reason, undeclared.location) == (Reason.PLACEHOLDER_ERROR, at(3, 8, 3, 4))
    assert "canary" not in str(unfit)


def test_a_value_is_no_command() -> None:
    assert problems(up_script(":a"), variables={"a": "COMMIT"}) == ()
    assert up_script(":a").scripts[0].up.text == ":a"


def test_unusable_variables_are_the_only_problem() -> None:
    [problem] = problems(up_script("COMMIT"), variables={"a-b": "x"})
    assert (problem.reason, problem.location) == (Reason.PLACEHOLDER_ERROR, Location())


@pytest.mark.parametrize(
    "text", [";SELECT 1", "\\restrict a1\nSELECT 1;", "/* never closed", ";'never closed", "-- a\nx"]
)
def test_what_may_do_something_is_not_said_to_do_nothing(text: str) -> None:
    assert not up_script(text).scripts[0].up.does_nothing


def test_an_empty_verify_script_is_refused_whatever_is_allowed() -> None:
    scripts = from_entries([Entry("", "1.up.sql", GOOD.encode()), Entry("", "1.verify.sql", b"-- none")])
    [problem] = problems(scripts, (Acknowledgement.EMPTY_SCRIPT,))
    assert problem.reason is Reason.EMPTY_MIGRATION
    assert problem.location == Location(version="1", file="1.verify.sql")
    assert "it would verify nothing" in problem.sentence


def test_places_in_a_section_are_places_in_its_file() -> None:
    text = "-- +goose Up\nSELECT 1;\n-- +goose Down\nSELECT 1;\n  COMMIT;\n\\q\nSELECT 'a"
    scripts = from_entries([Entry("", "1_a.sql", text.replace("\nSELECT 'a", "").encode())])
    assert [(problem.location.line, problem.location.column) for problem in problems(scripts)] == [(5, 3), (6, 1)]
    [unclosed] = problems(from_entries([Entry("", "1_a.sql", text.encode())]))
    assert (unclosed.reason, unclosed.location.line) == (Reason.SYNTAX_ERROR, 7)


def test_an_empty_up_script_is_accepted_where_that_is_allowed_and_nothing_else() -> None:
    allow = (Acknowledgement.EMPTY_SCRIPT,)
    check(up_script("-- nothing"), allow=allow)
    scripts = from_entries(
        [
            Entry("", "1.up.sql", b"-- nothing"),
            Entry("", "1.verify.sql", b"-- nothing"),
            Entry("", "2.up.sql", b"\\set a 1"),
        ]
    )
    found = [(one.location.file, one.reason) for one in problems(scripts, allow=allow)]
    assert found == [("1.verify.sql", Reason.EMPTY_MIGRATION), ("2.up.sql", Reason.META_COMMAND_NOT_SUPPORTED)]
    with pytest.raises(Refused):
        check(up_script("-- nothing"), allow=(Acknowledgement.COPY_DATA,))


def test_all_problems_come_by_version_kind_and_line() -> None:
    scripts = from_entries(
        [
            Entry("", "10.up.sql", b"SELECT ("),
            Entry("", "2.verify.sql", b"VACUUM"),
            Entry("", "2.down.sql", b"COMMIT;\n\\q\nCOPY t TO STDOUT; \\x\nSELECT 1"),
            Entry("", "2.up.sql", b"SELECT 1"),
        ]
    )
    assert [(str(problem.location), problem.reason) for problem in problems(scripts)] == [
        ("version 2, file 2.down.sql, statement 1 of 3, line 1, column 1", Reason.TRANSACTION_CONTROL),
        ("version 2, file 2.down.sql, line 2, column 1", Reason.META_COMMAND_NOT_SUPPORTED),
        ("version 2, file 2.down.sql, statement 2 of 3, line 3, column 1", Reason.COPY_NOT_SUPPORTED),
        ("version 2, file 2.down.sql, line 3, column 19", Reason.META_COMMAND_NOT_SUPPORTED),
        ("version 2, file 2.verify.sql, statement 1 of 1, line 1, column 1", Reason.NEEDS_NO_TRANSACTION),
        ("version 10, file 10.up.sql, line 1, column 8", Reason.SYNTAX_ERROR),
    ]


@pytest.mark.parametrize(
    "text", [case[0].replace("a1", "canary") for case in PROBLEMS.values()] + ["COPY t FROM 'canary'"]
)
def test_no_message_repeats_what_a_script_holds_besides_keywords(text: str) -> None:
    sentences = "".join(problem.sentence for problem in problems(up_script(text)))
    assert sentences
    assert "canary" not in sentences
    assert "passwd" not in sentences
