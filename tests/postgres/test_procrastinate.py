"""Real input: the migrations that ship with procrastinate lead to the schema that ships with it."""

from __future__ import annotations

import pytest

from support.postgres import Database, Product
from support.procrastinate import SQL, numbered_scripts, schema_of, schema_sql

pytestmark = pytest.mark.postgres

EMPTY = "DROP SCHEMA public CASCADE; CREATE SCHEMA public"


def test_its_migrations_as_they_are_lead_to_its_schema(product: Product, database: Database) -> None:
    database.execute(EMPTY)
    database.execute(schema_sql())
    expected = schema_of(database.uri)
    database.execute(EMPTY)
    assert "procrastinate_jobs" not in schema_of(database.uri)
    ended = product.run("--scripts", SQL / "migrations")
    assert (ended.code, ended.report.versions_count) == (0, len(numbered_scripts())), ended
    assert len(numbered_scripts()) >= 38
    assert schema_of(database.uri) == expected
