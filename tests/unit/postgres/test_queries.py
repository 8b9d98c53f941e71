"""Named queries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from psycopg import sql

from schema_operator.history import store
from schema_operator.postgres import keys, queries, session

if TYPE_CHECKING:
    from pathlib import Path


def test_a_query_is_found_by_its_name_without_its_description(tmp_path: Path) -> None:
    path = tmp_path / "queries.sql"
    path.write_text("-- About the file.\n\n-- first --\n-- What it does.\nSELECT 1;\n\n-- second --\nSELECT '--';\n")
    found = queries.load(path)
    assert {name: query.as_string(None) for name, query in found.items()} == {
        "first": "SELECT 1;",
        "second": "SELECT '--';",
    }


@pytest.mark.parametrize("known", [session.QUERIES, store.QUERIES, keys.QUERIES])
def test_no_query_is_empty(known: dict[str, object]) -> None:
    assert known
    assert all(query.as_string(None).strip() for query in known.values())  # type: ignore[attr-defined]


def test_parameters_are_numbered_by_their_first_use() -> None:
    query = sql.SQL("SELECT %(b)s, %(a)s, '%%', %(b)s")
    assert queries.message(query, {"a": 1, "b": None}) == queries.Message(b"SELECT $1, $2, '%', $1", (None, b"1"))
    later = queries.numbered(query, first=4)
    assert later.message({"a": "x", "b": 2}) == queries.Message(b"SELECT $4, $5, '%', $4", (b"2", b"x"))
