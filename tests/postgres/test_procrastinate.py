"""Real input: the migrations that ship with procrastinate lead to the schema that ships with it."""

from __future__ import annotations

import re
from pathlib import Path

import procrastinate
import pytest

from support.postgres import Database, Product, write

pytestmark = pytest.mark.postgres

SQL = Path(procrastinate.__file__).parent / "sql"
EMPTY = "DROP SCHEMA public CASCADE; CREATE SCHEMA public"
MIGRATIONS = sorted((SQL / "migrations").glob("*.sql"))


def _numbered() -> dict[str, str]:
    return {
        f"{number}_{path.stem}.up.sql": path.read_text(encoding="utf-8")
        for number, path in enumerate(MIGRATIONS, start=1)
    }


def _without_column_order(dump: str) -> str:
    """Sort the columns of each table, and the grants of rows to columns that follow their order."""
    return re.sub(
        r"(CREATE TABLE [^(]+\(\n)(.*?)(\n\);)",
        lambda found: found[1] + "\n".join(sorted(line.rstrip(",") for line in found[2].split("\n"))) + found[3],
        dump,
        flags=re.DOTALL,
    )


def test_its_migrations_lead_to_its_schema(product: Product, database: Database, tmp_path: Path) -> None:
    options = ("--schema-only", "--exclude-schema=schema_operator")
    database.execute(EMPTY)
    database.execute((SQL / "schema.sql").read_text(encoding="utf-8"))
    expected = _without_column_order(database.dump(*options))
    database.execute(EMPTY)
    assert "procrastinate_jobs" not in database.dump(*options)
    ended = product.run("--scripts", write(tmp_path / "a", _numbered()))
    assert (ended.code, ended.report.versions_count) == (0, len(MIGRATIONS)), ended
    assert len(MIGRATIONS) >= 38
    assert _without_column_order(database.dump(*options)) == expected
