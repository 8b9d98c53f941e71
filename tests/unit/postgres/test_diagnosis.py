"""What is kept of an error's fields."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from schema_operator.postgres.diagnosis import server_error, warning


@dataclass
class Fields:
    sqlstate: str | None = None
    severity_nonlocalized: str | None = None
    message_primary: str | None = None
    message_detail: str | None = None
    message_hint: str | None = None
    statement_position: str | None = None
    context: str | None = None
    schema_name: str | None = None
    table_name: str | None = None
    column_name: str | None = None
    constraint_name: str | None = None
    source_file: str | None = None
    source_function: str | None = None


KEYS = {
    "Key (x)=(s3cr3t) is duplicated.": (("x",), None),
    'Key (x, "Y z")=(1, s3cr3t) already exists.': (("x", "Y z"), None),
    'Key (a_id)=(99) is not present in table "a".': (("a_id",), "a"),
    'Key (a_id)=(x is not present in table "s3cr3t".) is not present in table "a".': (("a_id",), "a"),
    'Key (id)=(1) is still referenced from table "b".': (("id",), "b"),
    'Key is not present in table "a".': ((), "a"),
    "Key (lower(t || 's3cr3t'::text))=(s3cr3t) is duplicated.": ((), None),
    "Failing row contains (null, 1, s3cr3t).": ((), None),
}


@pytest.mark.parametrize(("detail", "expected"), KEYS.items())
def test_of_a_key_its_columns_are_kept(detail: str, expected: tuple[tuple[str, ...], str | None]) -> None:
    error = server_error(Fields(sqlstate="23505", message_detail=detail, source_file="nbtinsert.c"), lost=False)
    assert (error.key_columns, error.key_table) == expected
    assert "s3cr3t" not in repr(error)


DEPENDANTS = {
    "view av depends on table a\nview av2 depends on view av": ("view av", "view av2"),
    'rule _RETURN on view av depends on column "t"': ("view av",),
    'trigger tr on table a depends on column "t"': ("trigger tr on table a",),
    "view v depends on table a\nand 7 other objects (see server log for list)": ("view v",),
    'Column "x" is used by generated column "y".': ("generated column y",),
    "owner of table a\nprivileges for schema s": ("owner of table a", "privileges for schema s"),
    "something s3cr3t": (),
}


@pytest.mark.parametrize(("detail", "expected"), DEPENDANTS.items())
def test_of_dependants_their_names_are_kept(detail: str, expected: tuple[str, ...]) -> None:
    error = server_error(Fields(sqlstate="2BP01", message_detail=detail, source_file="dependency.c"), lost=False)
    assert error.dependants == expected


RAISERS = [
    {"source_file": "pl_exec.c", "source_function": "exec_stmt_raise"},
    {"source_file": "pl_exec.c", "source_function": "exec_stmt_assert"},
    {"source_file": "plpy_elog.c", "source_function": "PLy_elog_impl"},
    {"source_file": "plperl.c", "source_function": "plperl_croak"},
]


@pytest.mark.parametrize("raiser", RAISERS)
def test_of_what_a_function_raised_nothing_it_can_choose_is_taken_for_a_name(raiser: dict[str, str]) -> None:
    chosen = dict.fromkeys(("schema_name", "table_name", "column_name", "constraint_name", "message_hint"), "s3cr3t")
    detail = "view s3cr3t depends on table a"
    context = 'PL/pgSQL function app.check(integer) line 7 at RAISE\nSQL statement "s3cr3t"'
    error = server_error(
        Fields(sqlstate="2BP01", message_detail=detail, context=context, **raiser, **chosen), lost=False
    )
    assert error.raised
    assert (error.routine, error.routine_line) == ("app.check(integer)", 7)
    assert "s3cr3t" not in repr(error)


def test_what_nobody_knows_the_author_of_is_no_name() -> None:
    error = server_error(Fields(sqlstate="23505", message_detail="Key (s3cr3t)=(1)", source_file="my.c"), lost=False)
    assert error.key_columns == ()


def test_places_and_losses_are_kept() -> None:
    error = server_error(Fields(sqlstate="42601", statement_position="7", table_name="t"), lost=True)
    assert (error.position, error.table, error.lost, error.raised) == (7, "t", True, False)


@pytest.mark.parametrize(("severity", "lost"), [("ERROR", False), ("FATAL", True), ("PANIC", True)])
def test_after_last_words_the_session_is_lost(severity: str, lost: bool) -> None:
    assert server_error(Fields(sqlstate="53100", severity_nonlocalized=severity), lost=False).lost is lost


WARNED = {"severity_nonlocalized": "WARNING", "sqlstate": "01007", "source_file": "aclchk.c"}


def test_of_warnings_the_servers_own_are_shown_without_values() -> None:
    granted = 'no privileges were granted for "item"'
    assert warning(Fields(**WARNED, message_primary=granted)) == granted
    assert warning(Fields(**WARNED, message_primary='strange: "s3cr3t"')) == "strange: …"


@pytest.mark.parametrize(
    "other",
    [
        {"severity_nonlocalized": "NOTICE"},
        {"source_file": "lock.c"},
        {"source_file": None},
        *RAISERS,
    ],
)
def test_of_other_messages_nothing_is_shown(other: dict[str, str | None]) -> None:
    assert warning(Fields(**{**WARNED, "message_primary": "s3cr3t", **other})) is None
