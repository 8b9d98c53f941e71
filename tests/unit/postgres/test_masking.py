"""What of the server's texts may be shown."""

from __future__ import annotations

import pytest

from schema_operator.postgres.masking import hint, shown
from schema_operator.postgres.server_error import Circumstances, ServerError

SHOWN = {
    'invalid input syntax for type integer: "s3cr3t"': ("22P02", "invalid input syntax for type integer: …"),
    'invalid input syntax for type timestamp with time zone: "s3cr3t"': (
        *("22007", "invalid input syntax for type timestamp with time zone: …"),
    ),
    "invalid input syntax for type json": ("22P02", "invalid input syntax for type json"),
    'invalid input value for enum mood: "s3cr3t"': ("22P02", "invalid input value for enum mood: …"),
    'invalid input value for enum "My Mood": "s3cr3t"': ("22P02", 'invalid input value for enum "My Mood": …'),
    'malformed array literal: "{s3cr3t"': ("22P02", "malformed array literal: …"),
    'value "s3cr3t" is out of range for type integer': ("22003", "value … is out of range for type integer"),
    "integer out of range": ("22003", "integer out of range"),
    "numeric field overflow": ("22003", "numeric field overflow"),
    'date/time field value out of range: "s3cr3t"': ("22008", "date/time field value out of range: …"),
    "value too long for type character varying(3)": ("22001", "value too long for type character varying(3)"),
    'missing data for column "a"': ("22P04", 'missing data for column "a"'),
    'invalid value "s3cr3t" for "YYYY"': ("22007", "invalid datetime format"),
    'argument "s3cr3t" of jsonpath item method .double() is invalid': ("22036", "non numeric sql json item"),
    "duplicate JSON object key value: s3cr3t": ("22030", "duplicate json object key value"),
    'invalid byte sequence for encoding "UTF8": 0x73 0x33': ("22021", 'invalid byte sequence for encoding "UTF8": …'),
    'invalid value for parameter "work_mem": "s3cr3t"': ("22023", 'invalid value for parameter "work_mem": …'),
    'invalid value for integer option "fillfactor": s3cr3t': (
        *("22023", 'invalid value for integer option "fillfactor": …'),
    ),
    'invalid hexadecimal digit: "s3cr3t"': ("22023", "invalid parameter value"),
    '"s3cr3t" is not a valid binary digit': ("22P02", "invalid text representation"),
    "ungültige Eingabesyntax für Typ integer: »s3cr3t«": ("22P02", "invalid text representation"),
    'syntax error at or near "TABEL"': ("42601", 'syntax error at or near "TABEL"'),
    'syntax error at or near ")"': ("42601", 'syntax error at or near ")"'),
    "syntax error at or near \"'s3cr3t'\"": ("42601", 'syntax error at or near "…"'),
    'syntax error at or near "$a$s3cr3t$a$"': ("42601", 'syntax error at or near "…"'),
    'syntax error at or near "4711"': ("42601", 'syntax error at or near "…"'),
    'unterminated quoted string at or near "\'s3cr3t\n;"': ("42601", 'unterminated quoted string at or near "…"'),
    'syntax error in tsquery: "s3cr3t ("': ("42601", "syntax error"),
    'syntax error at or near "s3cr3t" of jsonpath input': ("42601", "syntax error"),
    "INSERT has more expressions than target columns": ("42601", "INSERT has more expressions than target columns"),
    'relation "a.b" does not exist': ("42P01", 'relation "a.b" does not exist'),
    'string is not a valid identifier: "s3cr3t"': ("42602", "string is not a valid identifier: …"),
    "Zeichenkette ist kein Name: »s3cr3t«": ("42602", "Zeichenkette ist kein Name: …"),
    'unsafe use of new value "s3cr3t" of enum type mood': (
        *("55P04", 'unsafe use of new value "…" of enum type mood'),
    ),
    'enum label "s3cr3t" already exists': ("42710", 'enum label "…" already exists'),
    "cache lookup failed for relation 123": ("XX000", "cache lookup failed for relation 123"),
    "geometry s3cr3t is broken": ("XX000", "internal error"),
    'could not access file "s3cr3t": No such file or directory': ("58P01", "could not access file …"),
    "ValueError: s3cr3t": ("38000", "external routine exception"),
    "remote said s3cr3t": ("HV00L", "fdw unable to create execution"),
    "my own: s3cr3t": ("XY123", "an error with SQLSTATE XY123"),
    "two\n  lines": ("42P01", "two lines"),
}


@pytest.mark.parametrize(("message", "expected"), SHOWN.items())
def test_names_are_shown_and_values_are_not(message: str, expected: tuple[str, str]) -> None:
    state, text = expected
    assert shown(ServerError(sqlstate=state, message=message)) == text


@pytest.mark.parametrize(
    ("statement", "position", "token"),
    [("CREATE ROLE x PASSWORD 'it's3cr3t'", 28, "…"), ("SELECT 1 FRM t", 10, "FRM"), ("SELECT 'a'b", 11, "…")],
)
def test_a_word_beside_a_quote_may_be_a_part_of_a_string(statement: str, position: int, token: str) -> None:
    word = statement[position - 1 :].partition(" ")[0].strip("'")
    error = ServerError(sqlstate="42601", message=f'syntax error at or near "{word}"', position=position)
    assert shown(error, statement=statement) == f'syntax error at or near "{token}"'


def test_a_long_text_is_cut() -> None:
    assert len(shown(ServerError(sqlstate="42P01", message="x" * 1000))) == 300


RAISED = [
    (None, None, None, "a function raised an error"),
    ("inline_code_block", 3, None, "line 3 of the DO block raised an error"),
    ("app.check(integer)", 7, None, "the function app.check(integer), line 7, raised an error"),
    ("app.check(integer)", 7, "no … here", "no … here"),
]


@pytest.mark.parametrize(("routine", "line", "text", "expected"), RAISED)
def test_what_a_function_raised_is_shown_where_its_format_is_known(
    routine: str | None, line: int | None, text: str | None, expected: str
) -> None:
    error = ServerError(sqlstate="42P01", message="s3cr3t", raised=True, routine=routine, routine_line=line)
    assert shown(error, Circumstances(raised=text)).startswith(expected)
    assert "s3cr3t" not in shown(error)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ServerError(sqlstate="42883", hint="Add casts."), "Add casts."),
        (ServerError(sqlstate="42883", hint='Like: "s3cr3t"'), "Like: …"),
        (ServerError(sqlstate="42883", hint="s3cr3t", raised=True), None),
        (ServerError(sqlstate="22P02", hint="s3cr3t"), None),
    ],
)
def test_hints_are_shown_where_they_speak_of_names(error: ServerError, expected: str | None) -> None:
    assert hint(error) == expected
