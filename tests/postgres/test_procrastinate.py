"""Real input: the migrations that ship with procrastinate lead to the schema that ships with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.postgres import Database, Product, write
from support.procrastinate import numbered_scripts, schema_of, schema_sql

pytestmark = pytest.mark.postgres

EMPTY = "DROP SCHEMA public CASCADE; CREATE SCHEMA public"


def test_its_migrations_lead_to_its_schema(product: Product, database: Database, tmp_path: Path) -> None:
    scripts = numbered_scripts()
    database.execute(EMPTY)
    database.execute(schema_sql())
    expected = schema_of(database.uri)
    database.execute(EMPTY)
    assert "procrastinate_jobs" not in schema_of(database.uri)
    ended = product.run("--scripts", write(tmp_path / "a", scripts))
    assert (ended.code, ended.report.versions_count) == (0, len(scripts)), ended
    assert len(scripts) >= 38
    assert schema_of(database.uri) == expected
