from __future__ import annotations

import pytest

from schema_operator.api.request import Acknowledgement
from schema_operator.errors import Location, Reason, Refused
from schema_operator.scripts.pending import check_pending
from schema_operator.scripts.reading import Entry, from_entries
from schema_operator.scripts.script import Script

LONG = "x" * 64


def scripts(**texts: str) -> tuple[Script, ...]:
    return from_entries([Entry("", f"1.{kind}.sql", text.encode()) for kind, text in texts.items()]).scripts


def problem(server: int = 18, variables: tuple[str, ...] = (), **texts: str) -> Refused | None:
    try:
        check_pending(scripts(**texts), server, variables)
    except Refused as refused:
        return refused
    return None


PROBLEMS = {
    "a syntax error": ("SELECT 1;\n\nSELECT 'é' FROM t x y;", Reason.SYNTAX_ERROR, (2, 2, 3, 21), "near y"),
    "its end is missing": ("SELECT 1;\nSELECT\n  1 +", Reason.SYNTAX_ERROR, (2, 2, 3, 6), "not complete"),
    "a long name": (f"CREATE TABLE {LONG} ()", Reason.IDENTIFIER_TRUNCATED, (1, 1, 1, 1), "63"),
    "the session": ("SELECT 1; SET TRANSACTION READ ONLY", Reason.SESSION_STATE_CHANGE, (2, 2, 1, 11), "access mode"),
    "the history": ("DROP SCHEMA schema_operator", Reason.FORBIDDEN_STATEMENT, (1, 1, 1, 1), "history"),
    "an enum value": (
        "ALTER TYPE a ADD VALUE 'b'; SELECT 'b'::a",
        Reason.ENUM_VALUE_NOT_USABLE,
        (2, 2, 1, 29),
        "next version",
    ),
    "the first of two": ("SELEC 1;\nSET TRANSACTION READ ONLY", Reason.SYNTAX_ERROR, (1, 2, 1, 1), "SELEC"),
    "the first of two, the other way round": (
        "SET TRANSACTION READ ONLY;\nSELEC 1",
        Reason.SESSION_STATE_CHANGE,
        (1, 2, 1, 1),
        "remove",
    ),
}


@pytest.mark.parametrize(("text", "reason", "place", "words"), PROBLEMS.values(), ids=PROBLEMS)
def test_the_first_problem_is_raised_with_its_place(
    text: str, reason: Reason, place: tuple[int, int, int, int], words: str
) -> None:
    found = problem(up=text)
    assert found is not None
    statement, count, line, column = place
    assert found.location == Location(
        version="1", file="1.up.sql", statement=statement, statements=count, line=line, column=column
    )
    assert found.reason is reason
    assert words in found.sentence


def test_good_scripts_have_no_problem() -> None:
    assert check_pending(scripts(up="CREATE TABLE t (a int);", down="DROP TABLE t;", verify="SELECT true"), 18) == ()


def test_a_down_script_with_a_syntax_error_is_worth_a_warning() -> None:
    warnings = check_pending(scripts(up="SELECT 1", down="SELECT 1;\nDROP TABEL t;\nDROP TABEL u"), 18)
    assert [(one.reason, one.location.file, one.location.line, one.location.column) for one in warnings] == [
        (Reason.SYNTAX_ERROR, "1.down.sql", 2, 6),
        (Reason.SYNTAX_ERROR, "1.down.sql", 3, 6),
    ]


def test_a_down_script_that_does_harm_is_refused() -> None:
    found = problem(up="SELECT 1", down="DROP TABEL t; DROP SCHEMA schema_operator")
    assert found is not None
    assert (found.reason, found.location.file) == (Reason.FORBIDDEN_STATEMENT, "1.down.sql")


def test_a_verify_script_with_a_syntax_error_is_refused() -> None:
    found = problem(up="SELECT 1", verify="SELEC true")
    assert found is not None
    assert (found.reason, found.location.file) == (Reason.SYNTAX_ERROR, "1.verify.sql")


def test_a_newer_server_is_left_to_say_what_it_knows() -> None:
    assert problem(server=19, up="SELECT SOMETHING NEW OF THAT TIME") is None


@pytest.mark.parametrize(
    ("sql", "known"),
    [
        ("CREATE TABLE :name (a int)", True),
        ('CREATE TABLE :"name" (a int)', True),
        ("SELECT :'name'", True),
        ("SELECT 1, :name", True),
        ("SELECT :name2", False),
        ("SELECT :other", False),
        ("SELEC 1", False),
    ],
)
def test_statements_with_declared_variables_are_not_judged(sql: str, *, known: bool) -> None:
    assert (problem(variables=("name",), up=sql) is None) is known
    assert problem(up=sql) is not None


def test_enum_values_are_looked_for_within_one_transaction() -> None:
    text = "ALTER TYPE a ADD VALUE 'b'; SELECT 'b'::a"
    assert check_pending(scripts(up=text), 18, (), lambda _source, statements: [[one] for one in statements]) == ()


def test_names_that_are_cut_off_are_a_warning_where_that_is_allowed_by_name() -> None:
    text = f"CREATE TABLE {'a' * 64} ()"
    assert problem(up=text) is not None
    [warning] = check_pending(scripts(up=text), 18, allow=[Acknowledgement.LONG_NAME])
    assert warning.reason is Reason.IDENTIFIER_TRUNCATED
    [warning] = check_pending(scripts(up=f"-- schema-operator: allow=LongName\n{text}"), 18)
    assert (warning.reason, warning.location.line) == (Reason.IDENTIFIER_TRUNCATED, 2)
