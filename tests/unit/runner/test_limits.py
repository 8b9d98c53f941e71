"""Where limits are put in force, and how long attempts may wait, as tables."""

from __future__ import annotations

from itertools import islice

import pytest

from schema_operator.postgres.locks import Holder, conflicting
from schema_operator.runner.attempts import lock_timeouts
from schema_operator.runner.limits import Limit, with_limits
from schema_operator.scripts.destruction import may_destroy
from schema_operator.scripts.script import Source
from schema_operator.scripts.statements import statements_of

PATIENT, IMPOSED = Limit


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CREATE TABLE a ()", ["CREATE TABLE a ()"]),
        ("INSERT INTO a VALUES (1); UPDATE a SET b = 1", [PATIENT, "INSERT INTO a VALUES (1)", "UPDATE a SET b = 1"]),
        ("DELETE FROM a; DROP TABLE a", [PATIENT, "DELETE FROM a", IMPOSED, "DROP TABLE a"]),
        ("DROP TABLE a; DELETE FROM b", ["DROP TABLE a", "DELETE FROM b"]),
        ("SET lock_timeout = 0; DROP TABLE a", ["SET lock_timeout = 0", IMPOSED, "DROP TABLE a"]),
        ("SET a = 0; SET b = 0; DROP TABLE a", ["SET a = 0", "SET b = 0", IMPOSED, "DROP TABLE a"]),
        ("DO $$x$$; DROP TABLE a; DROP TABLE b", ["DO $$x$$", IMPOSED, "DROP TABLE a", "DROP TABLE b"]),
        ("SET a = 0; DELETE FROM b", ["SET a = 0", PATIENT, "DELETE FROM b"]),
        ("SET LOCAL lock_timeout = 1; DELETE FROM b", ["SET LOCAL lock_timeout = 1", "DELETE FROM b"]),
    ],
)
def test_limits_are_put_back_before_what_takes_strong_locks(text: str, expected: list[object]) -> None:
    statements = statements_of(Source("a", text, ""))
    assert [one if isinstance(one, Limit) else one.sql for one in with_limits(statements)] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("DELETE FROM a; UPDATE b SET c = 1", ["DELETE FROM a", "UPDATE b SET c = 1"]),
        ("UPDATE b SET c = 1; DELETE FROM a", [PATIENT, "UPDATE b SET c = 1", IMPOSED, "DELETE FROM a"]),
        ("DELETE FROM a WHERE b = 1", [PATIENT, "DELETE FROM a WHERE b = 1"]),
    ],
)
def test_a_delete_before_which_rows_are_archived_is_given_no_patience(text: str, expected: list[object]) -> None:
    statements = statements_of(Source("a", text, ""))
    assert [one if isinstance(one, Limit) else one.sql for one in with_limits(statements, may_destroy)] == expected


@pytest.mark.parametrize(
    ("stall", "expected"),
    [
        (0.1, [0.001, 0.001, 0.001, 0.025, 0.05, 0.1, 0.1]),
        (0.06, [0.001, 0.001, 0.001, 0.025, 0.05, 0.06, 0.06]),
        (0.02, [0.001, 0.001, 0.001, 0.02, 0.02, 0.02, 0.02]),
        (0.0005, [0.0005] * 7),
    ],
)
def test_attempts_wait_longer_and_longer_but_never_longer_than_the_stall(stall: float, expected: list[float]) -> None:
    assert list(islice(lock_timeouts(stall), len(expected))) == expected


# PostgreSQL documentation, "Explicit Locking", table "Conflicting Lock Modes"; an X is a conflict.
CONFLICTS = """
AccessShareLock          . . . . . . . X
RowShareLock             . . . . . . X X
RowExclusiveLock         . . . . X X X X
ShareUpdateExclusiveLock . . . X X X X X
ShareLock                . . X X . X X X
ShareRowExclusiveLock    . . X X X X X X
ExclusiveLock            . X X X X X X X
AccessExclusiveLock      X X X X X X X X
"""


def test_which_locks_conflict() -> None:
    rows = [line.split() for line in CONFLICTS.strip().splitlines()]
    modes = [row[0] for row in rows]
    for mode, *marks in rows:
        assert conflicting(mode) == tuple(other for other, mark in zip(modes, marks, strict=True) if mark == "X")


@pytest.mark.parametrize(
    ("holder", "text"),
    [
        (Holder(7, "shop", "active", 3.6), "session 7 (application shop, active, for 4 s)"),
        (Holder(7, "", None, None), "session 7 (no application name)"),
        (
            Holder(7, "autovacuum to prevent wraparound", "active", 9.0, lock="ShareUpdateExclusiveLock on public.t"),
            "session 7 (autovacuum to prevent wraparound, active, for 9 s, holds ShareUpdateExclusiveLock on public.t)",
        ),
        (Holder(7, "shop", None, None, query="SELECT 1"), "session 7 (application shop, query: SELECT 1)"),
    ],
)
def test_who_is_in_the_way_is_named(holder: Holder, text: str) -> None:
    assert str(holder) == text
