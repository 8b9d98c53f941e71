"""What to do, with names."""

from __future__ import annotations

import pytest

from schema_operator.errors import Reason
from schema_operator.postgres.remedies import concrete
from schema_operator.postgres.server_error import Circumstances, ServerError

CASES = {
    "a path": (
        ServerError(message='relation "x" does not exist'),
        Reason.OBJECT_NOT_FOUND,
        Circumstances(search_path="app"),
        "the search_path in force is app; write the schema",
    ),
    "elsewhere": (
        ServerError(),
        Reason.OBJECT_NOT_FOUND,
        Circumstances(search_path="", elsewhere=("App",)),
        'is empty, and there is one of this name in "App"; write its schema',
    ),
    "nothing recorded": (
        ServerError(),
        Reason.ALREADY_EXISTS,
        Circumstances(version="1.4", nothing_recorded=True),
        'spec.baseline: "1.4" (by hand, --baseline 1.4)',
    ),
    "something recorded": (
        ServerError(),
        Reason.ALREADY_EXISTS,
        Circumstances(version="1.4"),
        "a baseline is possible only",
    ),
    "a deferred foreign key": (
        ServerError(
            sqlstate="23503",
            message="insert or update",
            constraint="fk",
            key_columns=("a",),
            schema="public",
            table="order",
        ),
        Reason.DATA_VIOLATION,
        Circumstances(rows_there=False),
        'writes rows of public."order" that point to nothing',
    ),
    "a key of two columns": (
        ServerError(sqlstate="23503", constraint="fk", key_columns=("a", "User"), schema="public", table="order"),
        Reason.DATA_VIOLATION,
        Circumstances(rows_there=True, referenced="b", referenced_columns=("x", "y")),
        'r."User" IS NOT NULL AND NOT EXISTS (SELECT FROM b AS k WHERE k.x = r.a AND k.y = r."User")',
    ),
    "as many columns": (
        ServerError(message="number of referencing and referenced columns for foreign key disagree"),
        Reason.INVALID_FOREIGN_KEY,
        Circumstances(),
        "name as many columns",
    ),
    "a default": (
        ServerError(message='default for column "a" cannot be cast automatically to type integer'),
        Reason.DATATYPE_MISMATCH,
        Circumstances(),
        "DROP DEFAULT",
    ),
    "a quoted column": (
        ServerError(message="x", hint='You might need to specify "USING "My a"::integer".'),
        Reason.DATATYPE_MISMATCH,
        Circumstances(),
        'USING "My a"::integer (or',
    ),
    "a file of an extension": (
        ServerError(message='could not open extension control file "/a/b/postgis.control": No such file'),
        Reason.EXTENSION_NOT_AVAILABLE,
        Circumstances(),
        "the package of the extension postgis on",
    ),
    "a right on a view": (
        ServerError(message="permission denied for view a b"),
        Reason.PERMISSION_DENIED,
        Circumstances(role="me", privilege="SELECT", object_schema="app"),
        'GRANT SELECT ON TABLE app."a b" TO me',
    ),
    "a right nobody knows": (
        ServerError(message="permission denied for table a"),
        Reason.PERMISSION_DENIED,
        Circumstances(role="me"),
        "GRANT … ON TABLE a TO me",
    ),
    "an owner nobody knows": (
        ServerError(message="must be owner of materialized view a"),
        Reason.PERMISSION_DENIED,
        Circumstances(role="me"),
        "only the owner of the materialized view a may do this",
    ),
    "a role of PostgreSQL 16": (
        ServerError(message='must be able to SET ROLE "Boss"'),
        Reason.PERMISSION_DENIED,
        Circumstances(role="me"),
        'GRANT "Boss" TO me',
    ),
    "an extension only superusers make": (
        ServerError(message='permission denied to create extension "plperlu"', hint="Must be superuser to create it."),
        Reason.PERMISSION_DENIED,
        Circumstances(role="me", database="shop"),
        "let a superuser run it once: CREATE EXTENSION plperlu",
    ),
    "anything else": (
        ServerError(message="must be superuser to alter superusers"),
        Reason.PERMISSION_DENIED,
        Circumstances(role="me"),
        "the role me may not do this",
    ),
}


@pytest.mark.parametrize(("error", "reason", "known", "said"), CASES.values(), ids=CASES.keys())
def test_with_names(error: ServerError, reason: Reason, known: Circumstances, said: str) -> None:
    assert said in (concrete(error, reason, known) or "")


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        (Reason.OBJECT_NOT_FOUND, ServerError()),
        (Reason.ALREADY_EXISTS, ServerError()),
        (Reason.DATA_VIOLATION, ServerError(sqlstate="23505", message="could not create unique index", table="t")),
        (Reason.DATA_VIOLATION, ServerError(sqlstate="22P02")),
        (Reason.DATA_VIOLATION, ServerError(sqlstate="23502")),
        (Reason.INVALID_FOREIGN_KEY, ServerError()),
        (Reason.DEPENDENT_OBJECTS, ServerError()),
        (Reason.DATATYPE_MISMATCH, ServerError()),
        (Reason.EXTENSION_NOT_AVAILABLE, ServerError()),
        (Reason.PERMISSION_DENIED, ServerError(message="permission denied for table a")),
        (Reason.LOCK_TIMEOUT, ServerError()),
    ],
)
def test_without_names_the_general_remedy_is_left_to_the_table(reason: Reason, error: ServerError) -> None:
    assert concrete(error, reason, Circumstances()) is None


def test_dependants_are_capped_and_the_fuller_list_counts() -> None:
    error = ServerError(dependants=("view a",))
    more = Circumstances(dependants=tuple(f"view v{number}" for number in range(12)))
    said = concrete(error, Reason.DEPENDENT_OBJECTS, more) or ""
    assert "view v0, " in said
    assert "view v9 and 2 more;" in said
