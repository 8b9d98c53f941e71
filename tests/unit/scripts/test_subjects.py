"""What statements that cannot be in a transaction are about."""

from __future__ import annotations

import pytest

from schema_operator.scripts.subjects import (
    BuiltIndex,
    Detached,
    Name,
    built_index,
    detached,
    dropped_indexes,
    third_name,
)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("CREATE INDEX CONCURRENTLY i ON t (a)", BuiltIndex(Name(("t",)), "i", if_not_exists=False)),
        ("create unique index concurrently ON only s.T (a)", BuiltIndex(Name(("s", "t")), None, if_not_exists=False)),
        (
            'CREATE INDEX CONCURRENTLY IF NOT EXISTS "On" ON "S"."T" USING gin (a)',
            BuiltIndex(Name(("S", "T")), "On", if_not_exists=True),
        ),
    ],
)
def test_what_an_index_is_built_on(sql: str, expected: BuiltIndex) -> None:
    assert built_index(sql) == expected


def test_which_indexes_are_dropped() -> None:
    assert dropped_indexes('DROP INDEX CONCURRENTLY IF EXISTS s.a, "B" CASCADE') == (Name(("s", "a")), Name(("B",)))


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE s.p DETACH PARTITION c CONCURRENTLY",
        "ALTER TABLE IF EXISTS ONLY s.p DETACH PARTITION c CONCURRENTLY",
    ],
)
def test_which_partition_is_detached(sql: str) -> None:
    assert detached(sql) == Detached(Name(("s", "p")), Name(("c",)))


@pytest.mark.parametrize("sql", ["CREATE DATABASE Shop TEMPLATE x", 'DROP TABLESPACE IF EXISTS "shop"'])
def test_what_is_created_or_dropped(sql: str) -> None:
    assert third_name(sql) == "shop"
