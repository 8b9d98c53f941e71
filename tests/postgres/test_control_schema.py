"""The control schema: exactly as specified, installed from scripts of our own form, and removable by them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from schema_operator.history import installation
from schema_operator.scripts.statements import statements_of
from support.postgres import Database, Product, write

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.postgres

# Name, type, NOT NULL, default: the specification's table.
SPECIFIED = [
    ("id", "uuid", True, "gen_random_uuid()"),
    ("version", "character varying(50)", True, None),
    ("applied_at", "timestamp with time zone", False, "CURRENT_TIMESTAMP"),
    ("description", "text", False, None),
    ("script_name", "character varying(255)", False, None),
    ("checksum", "character varying(64)", False, None),
    ("applied_by", "character varying(255)", False, None),
]


def test_schema_versions_is_as_specified(product: Product, database: Database, tmp_path: Path) -> None:
    assert product.run("--scripts", write(tmp_path / "a", {"1_x.up.sql": "SELECT 1;"})).code == 0
    columns = database.rows(
        "SELECT attname, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid) FROM pg_attribute "
        "LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum "
        "WHERE attrelid = 'schema_operator.schema_versions'::regclass AND attnum > 0 ORDER BY attnum"
    )
    assert columns == SPECIFIED
    key = (
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE conrelid = 'schema_operator.schema_versions'::regclass AND contype = 'p'"
    )
    assert database.value(key) == "PRIMARY KEY (id)"


def test_every_table_and_column_is_explained(product: Product, database: Database, tmp_path: Path) -> None:
    assert product.run("--scripts", write(tmp_path / "a", {"1_x.up.sql": "SELECT 1;"})).code == 0
    silent = database.rows(
        "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 "
        "WHERE c.relnamespace = 'schema_operator'::regnamespace AND c.relkind = 'r' "
        "AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid) IS NULL)"
    )
    assert silent == []
    assert database.value("SELECT obj_description('schema_operator'::regnamespace) IS NOT NULL")


def test_the_installation_is_written_down_in_itself(product: Product, database: Database, tmp_path: Path) -> None:
    assert product.run("--scripts", write(tmp_path / "a", {"1_x.up.sql": "SELECT 1;"})).code == 0
    known = installation.scripts()
    assert database.rows("SELECT version, checksum FROM schema_operator.control_versions") == [
        (script.version.text, script.up.checksum) for script in known.scripts
    ]


def test_its_down_scripts_leave_nothing(product: Product, database: Database, tmp_path: Path) -> None:
    before = database.dump()
    assert product.run("--scripts", write(tmp_path / "a", {"1_x.up.sql": "SELECT 1;"})).code == 0
    assert database.dump() != before
    for script in reversed(installation.scripts().scripts):
        assert script.down is not None
        for statement in statements_of(script.down):
            database.execute(statement.sql)
    assert database.dump() == before
    assert product.run("--scripts", tmp_path / "a").code == 0


def test_what_is_applied_now_is_computed(product: Product, database: Database, tmp_path: Path) -> None:
    files = {
        "1_x.up.sql": "CREATE TABLE x ();",
        "2_y.up.sql": "CREATE TABLE y ();",
        "2_y.down.sql": "DROP TABLE y;",
    }
    folder = write(tmp_path / "a", files)
    for version, expected in (("2", ["1", "2"]), ("1", ["1"]), ("2", ["1", "2"])):
        assert product.run("--scripts", folder, "--version", version).code == 0
        assert database.applied() == expected
    assert database.versions() == ["1", "2", "2-rollback", "2"]


def test_an_object_of_the_same_name_cannot_stand_in_for_postgresqls(
    product: Product, database: Database, tmp_path: Path
) -> None:
    """Whoever may create objects where the search_path looks must not get to run code in our statements."""
    database.execute(
        "CREATE SCHEMA evil;"
        "CREATE TABLE evil.trace (x text);"
        "CREATE FUNCTION evil.pg_try_advisory_xact_lock(int, int) RETURNS boolean LANGUAGE plpgsql AS "
        "$$ BEGIN INSERT INTO evil.trace VALUES ('lock'); RETURN true; END $$;"
        "CREATE FUNCTION evil.equal(bigint, bigint) RETURNS boolean LANGUAGE plpgsql AS "
        "$$ BEGIN INSERT INTO evil.trace VALUES ('='); RETURN true; END $$;"
        "CREATE OPERATOR evil.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = evil.equal);"
        "CREATE FUNCTION evil.to_regclass(text) RETURNS regclass LANGUAGE plpgsql AS "
        "$$ BEGIN INSERT INTO evil.trace VALUES ('regclass'); RETURN 'evil.trace'::regclass; END $$;"
        f"ALTER DATABASE {database.name} SET search_path = evil, pg_catalog, public"
    )
    folder = write(tmp_path / "a", {"1_x.up.sql": "CREATE TABLE public.x ();", "1_x.down.sql": "DROP TABLE public.x;"})
    assert product.run("--scripts", folder).code == 0
    assert product.run("--scripts", folder, "--version", "0").code == 0
    assert database.rows("SELECT * FROM evil.trace") == []
    assert database.versions() == ["1", "1-rollback"]
