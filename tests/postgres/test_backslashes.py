"""A database with standard_conforming_strings off, whose sessions read 'a\\d' as ad: archives mean what they meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support import psql
from support.postgres import OLDEST_AND_NEWEST, Database, Product, write

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.postgres, OLDEST_AND_NEWEST]

# E'…' means the same whatever is set.
TABLES = (
    r"CREATE TABLE code (id int PRIMARY KEY, digits text DEFAULT E'\\d' CHECK (digits ~ E'^[\\\\d]+$'));"
    r"CREATE INDEX slashed ON code (digits) WHERE digits <> E'\\n';"
    "CREATE TABLE item (id int PRIMARY KEY, at timestamptz NOT NULL DEFAULT statement_timestamp(), "
    r"name text DEFAULT E'a\\b' CONSTRAINT named CHECK (name ~ E'\\w'))"
)
ROWS = (
    r"INSERT INTO code VALUES (1, E'\\d\\d'), (2, DEFAULT);"
    r"INSERT INTO item VALUES (1, '2026-01-01 00:00+00', E'c\\d'), (2, '2026-01-02 00:00+00', E'a\\b')"
)
DESTROY = "DROP TABLE code;\nALTER TABLE item DROP COLUMN name;\nALTER TABLE item DROP COLUMN at;"
NO_DOWN = "SELECT 1;"


def off(database: Database) -> None:
    database.execute(f"ALTER DATABASE {database.name} SET standard_conforming_strings = off")
    # Each of its strings with a backslash would be warned of, by this name or that.
    database.execute(f"ALTER DATABASE {database.name} SET escape_string_warning = off")
    assert database.value("SHOW standard_conforming_strings") == "off"


def on(database: Database) -> None:
    database.execute(f"ALTER DATABASE {database.name} RESET ALL")


def state(database: Database) -> list[str]:
    """Give the lines of a dump in an order of their own; pg_dump sets what it needs."""
    lines = database.dump("--exclude-schema=schema_operator").splitlines()
    return sorted(line for line in lines if not line.startswith("--"))


def apply(product: Product, folder: Path) -> None:
    ended = product.run("--scripts", folder)
    assert ended.code == 0, ended


def recover(database: Database, *tables: str) -> None:
    calls = [f"CALL schema_operator.recover_data('{table}', clock_timestamp())" for table in tables]
    said = psql.run(database, *calls)
    assert said.code == 0, said
    assert not [one for one in said.notices if one.startswith("Not repeated")], said


def test_what_a_run_has_destroyed_is_recovered(product: Product, database: Database, tmp_path: Path) -> None:
    database.execute(f"{TABLES};{ROWS}")
    before = state(database)
    off(database)
    apply(product, write(tmp_path / "scripts", {"1_x.up.sql": DESTROY}))
    recover(database, "code", "item")
    on(database)
    assert state(database) == before


def test_what_somebody_archives_by_hand_is_recovered(product: Product, database: Database, tmp_path: Path) -> None:
    database.execute(f"{TABLES};{ROWS}")
    before = state(database)
    apply(product, write(tmp_path / "scripts", {"1_x.up.sql": "SELECT 1;"}))
    off(database)
    destroyed = """'[{"kind": "table", "name": "code"}]'"""
    database.execute(
        f"SELECT schema_operator.archive(schema_operator.resolve_destroyed({destroyed}), '1', 'apply', 'me', '{{}}');"
        "DROP TABLE code"
    )
    on(database)
    recover(database, "code")
    assert state(database) == before


def test_an_emergency_puts_back_what_was_destroyed(product: Product, database: Database, tmp_path: Path) -> None:
    database.execute(f"{TABLES};{ROWS}")
    before = state(database)
    apply(product, write(tmp_path / "scripts", {"1_x.up.sql": DESTROY, "1_x.down.sql": NO_DOWN}))
    off(database)
    said = psql.run(database, "CALL schema_operator.emergency_rollback('0')")
    assert said.code == 0, said
    assert len([one for one in said.notices if one.startswith("put back")]) == 3, said
    on(database)
    assert state(database) == before


def test_what_an_emergency_destroys_is_recovered(product: Product, database: Database, tmp_path: Path) -> None:
    files = {"1_x.up.sql": f"{TABLES};\n{ROWS};", "1_x.down.sql": DESTROY}
    apply(product, write(tmp_path / "scripts", files))
    before = state(database)
    off(database)
    said = psql.run(database, "CALL schema_operator.emergency_rollback('0')", "SHOW standard_conforming_strings")
    assert (said.code, said.output.split()[-1]) == (0, "off"), said
    on(database)
    assert state(database) != before
    recover(database, "code", "item")
    assert state(database) == before
