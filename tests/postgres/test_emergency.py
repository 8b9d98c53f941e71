"""Going back with psql alone, and what runs make of it afterwards."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING

import pytest

from schema_operator.api import request as requests
from schema_operator.api.request import Acknowledgement, Resource, RunRequest, ScriptFolder
from support import psql
from support.postgres import CANARY_ENCODED, Database, Ended, Product, finish, write

if TYPE_CHECKING:
    from pathlib import Path

    from support.psql import Said

pytestmark = pytest.mark.postgres

SHOP = {
    "1.0.0_first.up.sql": "CREATE TABLE item (id int PRIMARY KEY);",
    "1.0.0_first.down.sql": "DROP TABLE item;",
    "1.1.0_name.up.sql": "ALTER TABLE item ADD COLUMN name text;",
    "1.1.0_name.down.sql": "ALTER TABLE item DROP COLUMN name;",
    "1.2.0_price.up.sql": "CREATE TABLE price (item int REFERENCES item);",
    "1.2.0_price.down.sql": "DROP TABLE price;",
    "1.3.0_size.up.sql": "ALTER TABLE item ADD COLUMN size int;",
    "1.3.0_size.down.sql": "ALTER TABLE item DROP COLUMN size;",
}
BACK = "CALL schema_operator.emergency_rollback('{}')"
US = "shop/shop"


def apply(product: Product, folder: Path, *arguments: str, owner: str | None = US) -> None:
    ended = product.run("--scripts", folder, *(("--as", owner) if owner else ()), *arguments)
    assert ended.code == 0, ended


def shop(product: Product, tmp_path: Path, more: dict[str, str] | None = None) -> Path:
    """Apply the versions of the shop, some of their files written anew."""
    folder = write(tmp_path / "scripts", {**SHOP, **(more or {})})
    apply(product, folder)
    return folder


def back(database: Database, version: str, *before: str, uri: str | None = None) -> Said:
    """Go back to a version; `before` are statements of the same session."""
    return psql.run(database, *before, BACK.format(version), uri=uri)


def everything(database: Database) -> str:
    """The whole database but for the positions of sequences, which no rollback takes back."""
    return re.sub(r"^SELECT pg_catalog.setval\(.*\n", "", database.dump(), flags=re.MULTILINE)


def refused(database: Database, version: str, *before: str, uri: str | None = None) -> Said:
    """Go back to a version, which fails and changes nothing."""
    state = everything(database)
    said = back(database, version, *before, uri=uri)
    assert said.code != 0, said
    assert everything(database) == state
    return said


def for_resource(
    product: Product,
    folder: Path,
    generation: int,
    *,
    uid: str = "uid-1",
    version: str | None = None,
    allow: bool = False,
) -> Ended:
    """Run as the operator's Job does."""
    request = RunRequest(
        run=f"run-{uid}-{generation}",
        actor=US,
        resource=Resource(namespace="shop", name="shop", uid=uid, generation=generation),
        folders=(ScriptFolder(path=str(folder), label=""),),
        version=version,
        allow=(Acknowledgement.REAPPLY,) if allow else (),
    )
    return product.request(folder.parent, request)


def test_psql_alone_rolls_back_three_versions(product: Product, database: Database, tmp_path: Path) -> None:
    folder = shop(product, tmp_path)
    whole = database.dump("--schema-only", "--exclude-schema=schema_operator")
    said = back(database, "1.0.0")
    assert said.code == 0, said
    assert [one.partition(" with ")[0] for one in said.notices if one.startswith("rolled back")] == [
        *("rolled back 1.3.0", "rolled back 1.2.0", "rolled back 1.1.0")
    ]
    assert any(one.startswith("3 versions rolled back by postgres via psql from 127.0.0.1.") for one in said.notices)
    assert (database.applied(), database.relations()) == (["1.0.0"], ["item"])
    assert database.versions()[4:] == ["1.3.0-rollback", "1.2.0-rollback", "1.1.0-rollback"]
    assert database.rows("TABLE item") == []

    apply(product, folder, "--allow", "Reapply")
    assert database.dump("--schema-only", "--exclude-schema=schema_operator") == whole


def test_the_rows_are_those_a_run_writes(product: Product, database: Database, tmp_path: Path) -> None:
    shop(product, tmp_path)
    columns = (
        "v.version, v.description, v.script_name, v.checksum, s.action, s.owner, s.up_sql, s.down_sql, s.down_name"
    )
    rows = (
        f"SELECT {columns}, e.event, e.owner, e.database_role FROM schema_operator.schema_versions v "
        "JOIN schema_operator.version_scripts s ON s.version_id = v.id JOIN schema_operator.events e USING (run) "
        "WHERE v.version = '1.3.0-rollback' ORDER BY s.position"
    )
    apply(product, tmp_path / "scripts", "--version", "1.2.0")
    apply(product, tmp_path / "scripts")
    assert back(database, "1.2.0").code == 0
    by_run, by_hand = database.rows(rows)
    assert by_run == by_hand
    own = (
        "SELECT v.applied_by, s.run ~ '^emergency-[0-9]+$', e.actor, e.program FROM schema_operator.schema_versions v "
        "JOIN schema_operator.version_scripts s ON s.version_id = v.id JOIN schema_operator.events e USING (run) "
        "WHERE s.emergency"
    )
    who = "postgres via psql from 127.0.0.1"
    assert database.rows(own) == [(who, True, who, "schema_operator.emergency_rollback")]


def test_version_zero_is_before_the_first(product: Product, database: Database, tmp_path: Path) -> None:
    shop(product, tmp_path)
    assert back(database, "0").code == 0
    assert (database.applied(), database.relations()) == ([], [])
    said = back(database, "0.0")
    assert said.code == 0
    assert said.notices == ["Nothing of none is above version 0.0, so nothing is rolled back. Nothing is applied."]


def test_other_writings_of_a_version_are_the_same(product: Product, database: Database, tmp_path: Path) -> None:
    shop(product, tmp_path)
    assert back(database, "1.1+x").code == 0
    assert database.applied() == ["1.0.0", "1.1.0"]


def test_newest_first_is_by_application(product: Product, database: Database, tmp_path: Path) -> None:
    late = {
        "1.0.5_late.up.sql": "CREATE TABLE late AS SELECT size FROM item;",
        "1.0.5_late.down.sql": "DROP TABLE late;",
    }
    shop(product, tmp_path)
    apply(product, write(tmp_path / "scripts", {**SHOP, **late}), "--out-of-order", "Allow")
    said = back(database, "1.0.0")
    assert [one.split()[2] for one in said.notices if one.startswith("rolled back")] == [
        "1.0.5",
        "1.3.0",
        "1.2.0",
        "1.1.0",
    ]


UNKNOWN = {
    "1.1.5": "version 1.1.5 is not applied, so there is no way back to it",
    "1.x": "'1.x' is not a version",
}


@pytest.mark.parametrize("version", UNKNOWN)
def test_an_unknown_version_lists_what_is_applied(
    product: Product, database: Database, tmp_path: Path, version: str
) -> None:
    shop(product, tmp_path)
    said = refused(database, version)
    assert said.error == UNKNOWN[version]
    assert said.hint.startswith(f"Applied are 1.3.0 ({US}), 1.2.0 ({US}), 1.1.0 ({US}), 1.0.0 ({US})")


def test_versions_without_rollback_sql_are_named(product: Product, database: Database, tmp_path: Path) -> None:
    folder = write(tmp_path / "scripts", {name: text for name, text in SHOP.items() if name != "1.2.0_price.down.sql"})
    apply(product, folder)
    said = refused(database, "1.0.0")
    assert said.error == "no rollback SQL was stored with 1.2.0, so nothing is rolled back"
    assert "CALL schema_operator.record_rollback('1.2.0')" in said.hint
    assert back(database, "1.2.0").code == 0, "what is above it can be rolled back"


OBSTACLES = {
    "concurrently": (
        "SELECT 1;\nDROP INDEX CONCURRENTLY size_i;",
        "DROP INDEX CONCURRENTLY at line 2 cannot be in a transaction",
    ),
    "several transactions": (
        "BEGIN; DROP INDEX size_i; COMMIT;\nSELECT 1;",
        "the script commits in between, before line 2",
    ),
    "a savepoint": (
        "BEGIN; SAVEPOINT a; DROP INDEX size_i; COMMIT;",
        "a savepoint at line 1 is not possible inside a procedure",
    ),
}


@pytest.mark.parametrize(("down", "why"), OBSTACLES.values(), ids=OBSTACLES.keys())
def test_a_script_that_refuses_a_procedure_is_named_run_by_hand_and_written_down(
    product: Product, database: Database, tmp_path: Path, down: str, why: str
) -> None:
    index = {"1.2.0_price.up.sql": "CREATE INDEX size_i ON item (id);", "1.2.0_price.down.sql": down}
    folder = shop(product, tmp_path, index)
    said = refused(database, "1.0.0")
    assert said.error == f"the rollback of 1.2.0 cannot be part of this transaction: {why}"
    assert psql.run(database, said.detail.removeprefix("Its script: ")).output.strip() == down
    record = "CALL schema_operator.record_rollback('1.2.0')"
    assert f"{record};" in said.hint
    said = psql.run(database, record)
    assert said.error == "version 1.2.0 is not the newest of shop/shop: 1.3.0 came after it"

    assert back(database, "1.2.0").code == 0
    said = psql.run(database, *down.removesuffix(";").split(";"), record)
    assert said.notices[-1] == "written down: 1.2.0 was rolled back by hand by postgres via psql from 127.0.0.1"
    described = "SELECT description, script_name FROM schema_operator.schema_versions WHERE version = '1.2.0-rollback'"
    assert database.rows(described) == [("Rollback of 1.2.0, done by hand", "1.2.0_price.down.sql")]
    assert back(database, "1.0.0").code == 0
    assert (database.applied(), database.value("SELECT to_regclass('size_i')")) == (["1.0.0"], None)
    ended = product.run("--scripts", folder, "--as", US)
    assert (ended.code, ended.report.reason) == (20, "RolledBackByHand")


def test_only_what_is_applied_is_written_down(product: Product, database: Database, tmp_path: Path) -> None:
    shop(product, tmp_path)
    state = everything(database)
    assert psql.run(database, "CALL schema_operator.record_rollback('9')").error == (
        "version 9 is not applied, so no rollback of it is written down"
    )
    assert everything(database) == state


def test_a_version_applied_in_part_is_in_the_way_until_it_is_written_down(
    product: Product, database: Database, tmp_path: Path
) -> None:
    half = {
        "1.4.0_half.up.sql": "CREATE INDEX CONCURRENTLY half ON item (size);\nDROP INDEX CONCURRENTLY missing;",
        "1.4.0_half.down.sql": "DROP INDEX half;",
    }
    shop(product, tmp_path)
    ended = product.run("--scripts", write(tmp_path / "scripts", {**SHOP, **half}), "--as", US)
    assert ended.code == 30
    said = refused(database, "1.0.0")
    assert said.error == "version 1.4.0 is applied in part: unit 1 of 2 of 1.4.0_half.up.sql is done"
    record = "CALL schema_operator.record_rollback('1.4.0')"
    assert f"{record};" in said.hint
    assert psql.run(database, "DROP INDEX half", record).code == 0
    assert database.rows("TABLE schema_operator.open_units") == []
    assert back(database, "1.0.0").code == 0
    ended = product.run("--scripts", tmp_path / "scripts", "--as", US)
    assert (ended.code, ended.report.reason) == (20, "RolledBackByHand")
    assert "1.4.0 by postgres via psql" in ended.report.message


def test_a_version_rolled_back_in_part_is_in_the_way_until_it_is_written_down(
    product: Product, database: Database, tmp_path: Path
) -> None:
    down = "DROP INDEX CONCURRENTLY half;\nDROP INDEX CONCURRENTLY missing;"
    files = {"1.4.0_half.up.sql": "CREATE INDEX half ON item (size);", "1.4.0_half.down.sql": down}
    folder = shop(product, tmp_path, files)
    assert product.run("--scripts", folder, "--as", US, "--version", "1.0.0").code == 30
    said = refused(database, "1.0.0")
    assert said.error == "version 1.4.0 is rolled back in part: unit 1 of 2 of 1.4.0_half.down.sql is done"
    assert psql.run(database, "CALL schema_operator.record_rollback('1.4.0')").code == 0
    assert database.rows("TABLE schema_operator.open_units") == []
    assert back(database, "1.0.0").code == 0
    assert database.versions()[5:] == [f"{one}-rollback" for one in ("1.4.0", "1.3.0", "1.2.0", "1.1.0")]


def test_what_was_begun_and_left_nothing_is_not_in_the_way(
    product: Product, database: Database, tmp_path: Path
) -> None:
    folder = shop(product, tmp_path)
    write(folder, {**SHOP, "1.4.0_x.up.sql": "DROP INDEX CONCURRENTLY missing;"})
    assert product.run("--scripts", folder, "--as", US).code == 21
    assert database.value("SELECT count(*) FROM schema_operator.open_units") > 0
    assert back(database, "1.2.0").code == 0


def test_of_several_owners_one_must_be_chosen(product: Product, database: Database, tmp_path: Path) -> None:
    other = {"5_o.up.sql": "CREATE TABLE other ();", "5_o.down.sql": "DROP TABLE other;"}
    apply(product, write(tmp_path / "other", other), owner=None)
    shop(product, tmp_path)
    said = refused(database, "0")
    assert said.error == f"several owners have applied versions here, and 0 does not say whose are meant: none, {US}"
    assert said.hint == "Choose one, then call again: SET schema_operator.owner = 'none';"
    said = refused(database, "0", "SET schema_operator.owner = 'shop/nobody'")
    assert said.error == "the setting schema_operator.owner is shop/nobody, and nothing of that owner is applied"
    said = refused(database, "0", "SET schema_operator.owner = 'none'")
    what = "later versions of others may build on what would be rolled back"
    assert said.error.startswith(f"{what}: 1.0.0 ({US}), 1.1.0")
    assert back(database, "0", f"SET schema_operator.owner = '{US}'").code == 0
    assert (database.applied(), database.relations()) == (["5"], ["other"])
    assert back(database, "0").code == 0
    assert database.relations() == []


def test_the_chosen_owner_may_go_back_to_what_another_has_applied(
    product: Product, database: Database, tmp_path: Path
) -> None:
    folder = write(tmp_path / "scripts", SHOP)
    apply(product, folder, "--version", "1.1.0", owner=None)
    apply(product, folder)
    said = back(database, "1.1.0")
    assert said.notices[0].startswith(
        f"Nothing of none is above version 1.1.0, so nothing is rolled back. Applied are 1.3.0 ({US})"
    )
    assert back(database, "1.1.0", f"SET schema_operator.owner = '{US}'").code == 0
    assert database.applied() == ["1.0.0", "1.1.0"]


def test_what_an_earlier_version_of_another_requires_stays(
    product: Product, database: Database, tmp_path: Path
) -> None:
    folder = write(tmp_path / "scripts", SHOP)
    apply(product, folder)
    other = {"5_o.up.sql": "-- schema-operator: requires=1.2\nSELECT 1;", "5_o.down.sql": "SELECT 2;"}
    apply(product, write(tmp_path / "other", other), owner="shop/other")
    # As if 1.2.0 had been applied once more since.
    database.execute("ALTER TABLE schema_operator.version_scripts ALTER position SET GENERATED BY DEFAULT")
    database.execute("UPDATE schema_operator.version_scripts SET position = -1 WHERE version = '5'")
    said = refused(database, "1.1.0")
    assert said.error == "5 (shop/other) requires 1.2, which would be rolled back"
    assert said.hint == "Roll 5 back first."
    assert back(database, "1.2.0").code == 0


def test_what_goes_together_may_require_each_other(product: Product, database: Database, tmp_path: Path) -> None:
    needs = {"1.3.0_size.up.sql": "-- schema-operator: requires=1.2.0\nALTER TABLE item ADD COLUMN size int;"}
    shop(product, tmp_path, needs)
    assert back(database, "1.1.0").code == 0
    assert database.applied() == ["1.0.0", "1.1.0"]


def test_a_failing_step_rolls_everything_back_and_is_named(
    product: Product, database: Database, tmp_path: Path
) -> None:
    down = "ALTER TABLE item\n    DROP COLUMN name;\nDROP TABLE missing;"
    shop(product, tmp_path, {"1.1.0_name.down.sql": down})
    said = refused(database, "1.0.0")
    where = "statement 2 of 2, line 3 of 1.1.0_name.down.sql"
    assert said.error == f'the rollback of 1.1.0 failed, {where}: table "missing" does not exist'
    assert (said.sqlstate, said.detail) == ("42P01", "DROP TABLE missing")
    assert said.hint == "Nothing was changed: all versions of this call are as they were before it."
    assert back(database, "1.1.0").code == 0, "what is above it can be rolled back"


def test_a_role_without_the_right_gets_permission_denied_and_nothing_else(
    product: Product, database: Database, role: str, tmp_path: Path
) -> None:
    shop(product, tmp_path)
    uri = database.uri_of(role, CANARY_ENCODED)
    assert refused(database, "1.0.0", uri=uri).error == "permission denied for schema schema_operator"
    database.execute(f"GRANT USAGE ON SCHEMA schema_operator TO {role}")
    database.execute(f"GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA schema_operator TO {role}")
    said = refused(database, "1.0.0", uri=uri)
    assert (said.error, said.notices) == ("permission denied for procedure emergency_rollback", [])
    said = psql.run(database, "CALL schema_operator.record_rollback('1.3.0')", uri=uri)
    assert (said.error, said.notices) == ("permission denied for procedure record_rollback", [])
    database.execute(f"GRANT EXECUTE ON ALL ROUTINES IN SCHEMA schema_operator TO {role}")
    assert refused(database, "1.0.0", uri=uri).error.endswith("permission denied for table item")


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_in_another_isolation_level_the_history_may_be_an_old_one(
    product: Product, database: Database, tmp_path: Path, level: str
) -> None:
    shop(product, tmp_path)
    said = refused(database, "1.0.0", f"BEGIN ISOLATION LEVEL {level}")
    assert "READ COMMITTED" in said.error


def test_inside_of_a_transaction_it_takes_effect_with_it(product: Product, database: Database, tmp_path: Path) -> None:
    shop(product, tmp_path)
    state = everything(database)
    assert psql.run(database, "BEGIN", BACK.format("1.0.0"), "ROLLBACK").code == 0
    assert everything(database) == state
    assert psql.run(database, "BEGIN", BACK.format("1.0.0"), "COMMIT").code == 0
    assert database.applied() == ["1.0.0"]


SETTINGS = (
    "SELECT current_setting('search_path'), current_setting('lock_timeout'), current_setting('role'), session_user, "
    "current_setting('client_min_messages'), current_setting('standard_conforming_strings'), "
    "current_setting('DateStyle')"
)
CHANGES = (
    "SET search_path = other; SET ROLE {role}; SET lock_timeout = '1s'; SET DateStyle = 'German';"
    "SET client_min_messages = error; CREATE TEMP TABLE t (); DROP TABLE mine;"
    "SET SESSION AUTHORIZATION {role}"
)
LOCAL_CHANGES = CHANGES.replace("SET ", "SET LOCAL ")


@pytest.mark.parametrize("changes", [CHANGES, LOCAL_CHANGES], ids=["for the session", "for the transaction"])
@pytest.mark.parametrize("in_block", [False, True], ids=["alone", "in a transaction"])
def test_what_a_script_sets_ends_with_it(
    product: Product, database: Database, role: str, tmp_path: Path, *, changes: str, in_block: bool
) -> None:
    database.execute(f"CREATE SCHEMA other AUTHORIZATION {role}; CREATE SCHEMA home")
    database.execute(f"ALTER DATABASE {database.name} SET search_path = home")
    database.execute(f"GRANT TEMPORARY ON DATABASE {database.name} TO {role}")
    files = {
        "1.2.0_price.up.sql": f"CREATE TABLE other.mine (); ALTER TABLE other.mine OWNER TO {role};",
        "1.2.0_price.down.sql": changes.format(role=role),
        "1.1.0_name.down.sql": "CREATE TEMP TABLE t (); ALTER TABLE item DROP COLUMN name;",
    }
    shop(product, tmp_path, files)
    call = [BACK.format("1.0.0"), SETTINGS]
    own = ["SET client_min_messages = warning", "SET standard_conforming_strings = off"]
    said = psql.run(database, *own, SETTINGS, *(["BEGIN", *call, "COMMIT"] if in_block else call), SETTINGS)
    assert said.code == 0, said
    before, *after = [line for line in said.output.splitlines() if "|" in line]
    assert after == [before, before]
    assert [one.partition(" with ")[0] for one in said.notices if one.startswith("rolled back")] == [
        *("rolled back 1.3.0", "rolled back 1.2.0", "rolled back 1.1.0")
    ]
    assert database.relations("home") == ["item"]


def test_scripts_find_what_they_would_find_in_a_run(product: Product, database: Database, tmp_path: Path) -> None:
    trap = "CREATE SCHEMA trap; CREATE FUNCTION trap.now() RETURNS text LANGUAGE sql AS $$ SELECT 'trap' $$"
    database.execute(trap)
    shop(product, tmp_path, {"1.3.0_size.down.sql": "CREATE TABLE found AS SELECT now()::text AS at, '\\' AS text;"})
    own = ("SET search_path = trap, pg_catalog", "SET standard_conforming_strings = off")
    assert back(database, "1.2.0", *own).code == 0
    assert database.rows("SELECT text, at = 'trap' FROM public.found") == [("\\", False)]


def test_nothing_of_ours_is_found_in_the_schemas_of_a_script(
    product: Product, database: Database, tmp_path: Path
) -> None:
    database.execute(
        "CREATE SCHEMA trap; CREATE TABLE trap.schema_versions (); CREATE TABLE trap.pg_settings (name text);"
        "CREATE FUNCTION trap.merged(jsonb, jsonb) RETURNS jsonb LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE 'trapped'; END $$;"
        "CREATE OPERATOR trap.|| (LEFTARG = jsonb, RIGHTARG = jsonb, FUNCTION = trap.merged);"
        "CREATE FUNCTION trap.set_config(text, text, boolean) RETURNS text LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE 'trapped'; END $$;"
        "CREATE FUNCTION trap.current_setting(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$;"
    )
    path = "SET search_path = trap, public, pg_catalog;"
    files = {name: f"{path} {text}" for name, text in SHOP.items() if name.endswith("down.sql")}
    shop(product, tmp_path, files)
    database.execute(f"ALTER DATABASE {database.name} SET search_path = trap, public, pg_catalog")
    assert back(database, "0").code == 0
    assert database.value("SELECT count(*) FROM schema_operator.applied_versions") == 0


def test_variables_are_filled_in(product: Product, database: Database, tmp_path: Path) -> None:
    files = {
        "1.3.0_size.up.sql": "CREATE TABLE :\"name\" (note text DEFAULT :'note');",
        "1.3.0_size.down.sql": "DROP TABLE :\"name\"; CREATE TABLE said AS SELECT :'note' AS note;",
    }
    folder = write(tmp_path / "scripts", {**SHOP, **files})
    apply(product, folder, "--var", "name=Ein Name", "--var", "note=it's")
    assert back(database, "1.2.0").code == 0
    assert database.rows("TABLE said") == [("it's",)]
    assert database.relations() == ["item", "price", "said"]


def test_blocks_and_the_lines_of_dumps_are_left_out(product: Product, database: Database, tmp_path: Path) -> None:
    down = "\\restrict abc\nBEGIN;\nALTER TABLE item DROP COLUMN size;\nCOMMIT;\n\\unrestrict abc\n"
    shop(product, tmp_path, {"1.3.0_size.down.sql": down})
    assert back(database, "1.2.0").code == 0
    query = "SELECT down_sql FROM schema_operator.version_scripts WHERE emergency"
    assert database.rows(query) == [(down,)], "what is written down is the script"


def test_versions_sent_together_and_baselines_are_made_ready_too(
    product: Product, database: Database, tmp_path: Path
) -> None:
    folder = write(tmp_path / "scripts", SHOP)
    database.execute("CREATE TABLE item (id int PRIMARY KEY, name text)")
    apply(product, folder, "--baseline", "1.1.0")
    ready = "SELECT version FROM schema_operator.version_scripts WHERE down_steps ? 'statements' ORDER BY position"
    assert [version for (version,) in database.rows(ready)] == ["1.0.0", "1.1.0", "1.2.0", "1.3.0"]
    assert back(database, "0").code == 0
    assert database.relations() == []


def test_constraints_are_checked_after_each_script_as_by_its_commit(
    product: Product, database: Database, tmp_path: Path
) -> None:
    files = {
        "1.2.0_price.up.sql": "CREATE TABLE price (item int REFERENCES item DEFERRABLE INITIALLY DEFERRED);",
        "1.3.0_size.down.sql": "INSERT INTO price VALUES (1); INSERT INTO item VALUES (1);",
        "1.2.0_price.down.sql": "INSERT INTO price VALUES (2); INSERT INTO item VALUES (2);",
        "1.1.0_name.down.sql": "ALTER TABLE price ADD COLUMN more int; ALTER TABLE item DROP COLUMN name;",
    }
    shop(product, tmp_path, files)
    assert back(database, "1.0.0").code == 0


def test_a_constraint_that_is_broken_at_the_end_of_a_script_is_told_with_it(
    product: Product, database: Database, tmp_path: Path
) -> None:
    files = {
        "1.2.0_price.up.sql": "CREATE TABLE price (item int REFERENCES item DEFERRABLE INITIALLY DEFERRED);",
        "1.3.0_size.down.sql": "INSERT INTO price VALUES (9);",
        "1.2.0_price.down.sql": "DROP TABLE price;",
    }
    shop(product, tmp_path, files)
    said = refused(database, "1.1.0")
    assert said.error.startswith(
        "the rollback of 1.3.0 failed, at its end, by a deferred constraint: insert or update on"
    )
    assert said.sqlstate == "23503"


SLOW = {"1.4.0_slow.up.sql": "SELECT pg_sleep(600);", "1.4.0_slow.down.sql": "SELECT 1;"}
ASLEEP = "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"


def test_while_a_run_is_at_work_it_is_refused_with_a_sentence(
    product: Product, database: Database, tmp_path: Path
) -> None:
    folder = shop(product, tmp_path)
    run = product.start("--scripts", write(folder, {**SHOP, **SLOW}), "--as", US)
    try:
        database.wait_for(ASLEEP)
        said = refused(database, "1.0.0")
        guard = "application_name LIKE 'schema-operator%' AND wait_event IS DISTINCT FROM 'PgSleep'"
        pid = database.value(f"SELECT pid FROM pg_stat_activity WHERE {guard}")
        assert "schema-operator/shop/shop" in said.error
        assert str(pid) in said.error
        assert psql.run(database, "CALL schema_operator.record_rollback('1.3.0')").error == said.error
    finally:
        run.terminate()
        finish(run)
    assert back(database, "1.0.0").code == 0


def test_while_another_emergency_is_at_work_it_is_refused_and_so_is_a_run(
    product: Product, database: Database, tmp_path: Path
) -> None:
    folder = shop(product, tmp_path)
    first = psql.start(database, "BEGIN", BACK.format("1.2.0"), "SELECT pg_sleep(600)")
    try:
        database.wait_for(ASLEEP)
        said = psql.run(database, BACK.format("1.0.0"))
        assert "psql" in said.error
        request = RunRequest(
            run="run-1", actor="a", folders=(ScriptFolder(path=str(folder), label=""),), lock_wait_seconds=0.1
        )
        ended = product.request(tmp_path, request)
        assert (ended.code, ended.report.reason) == (40, "LockHeld")
        assert "psql" in ended.report.message
    finally:
        database.execute("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
        psql.finish(first)
    assert database.applied() == ["1.0.0", "1.1.0", "1.2.0", "1.3.0"]


def test_a_lock_of_an_application_is_waited_for_ten_seconds_at_most(
    product: Product, database: Database, tmp_path: Path
) -> None:
    shop(product, tmp_path)
    with database.connect() as other, other.transaction():
        other.execute("LOCK TABLE item IN ACCESS SHARE MODE")
        said = refused(database, "1.0.0", "SET lock_timeout = '100ms'")
        assert (said.sqlstate, said.error.partition(", ")[0]) == ("55P03", "the rollback of 1.3.0 failed")
        own = "SELECT current_setting('lock_timeout')"
        started = psql.start(database, BACK.format("1.0.0"))
        waiting = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted"
        database.wait_for(waiting)
        began = time.monotonic()
        assert psql.finish(started).sqlstate == "55P03"
        assert 5 < time.monotonic() - began < 15
    assert psql.run(database, BACK.format("1.0.0"), own).output.split() == ["CALL", "0"]


def test_a_run_says_who_it_was_and_applies_nothing_again_for_the_same_generation(
    product: Product, database: Database, tmp_path: Path
) -> None:
    folder = shop(product, tmp_path)
    assert for_resource(product, folder, 3).code == 0
    assert back(database, "1.1.0").code == 0
    for _ in range(2):
        ended = for_resource(product, folder, 3)
        assert (ended.code, ended.report.reason) == (20, "RolledBackByHand")
    place, who = "version 1.2.0, file 1.2.0_price.up.sql", "postgres via psql from 127.0.0.1"
    assert ended.report.message.startswith(f"{place}: rolled back by hand: 1.2.0, 1.3.0 by {who} at 20")
    assert "to stay there, want 1.1.0; to apply it again, change the spec" in ended.report.message
    assert (ended.report.version, database.applied()) == ("1.1.0", ["1.0.0", "1.1.0"])
    seen = "SELECT DISTINCT resource_uid, generation, run FROM schema_operator.held_seen"
    assert database.rows(seen) == [("uid-1", 3, "run-uid-1-3")]
    assert database.rows("SELECT DISTINCT seen FROM schema_operator.held_versions") == [({"uid-1": 3},)]

    assert for_resource(product, folder, 4).report.versions == ("1.2.0", "1.3.0")
    assert database.rows("TABLE schema_operator.held_versions") == []


def test_a_spec_that_is_changed_before_anybody_was_told_is_no_decision(
    product: Product, database: Database, tmp_path: Path
) -> None:
    folder = shop(product, tmp_path)
    assert back(database, "1.1.0").code == 0
    assert for_resource(product, folder, 9).code == 20
    assert for_resource(product, folder, 9).code == 20
    assert for_resource(product, folder, 1, uid="made anew").code == 20
    assert for_resource(product, folder, 2, uid="made anew").code == 0


def test_a_lower_version_does_not_care_and_says_what_was_done(
    product: Product, database: Database, tmp_path: Path
) -> None:
    folder = shop(product, tmp_path)
    assert back(database, "1.1.0").code == 0
    ended = for_resource(product, folder, 4, version="1.1.0")
    assert ended.code == 0
    assert ended.report.message.startswith(
        "Nothing to do. The schema is at version 1.1.0. Rolled back by hand: 1.3.0, 1.2.0 by postgres via psql from "
    )
    assert for_resource(product, folder, 5).report.versions == ("1.2.0", "1.3.0"), "it was shown for generation 4"


@pytest.mark.parametrize("owner", [US, None])
def test_by_hand_only_the_name_counts(product: Product, database: Database, tmp_path: Path, owner: str | None) -> None:
    folder = write(tmp_path / "scripts", SHOP)
    whose = ("--as", owner) if owner else ()
    apply(product, folder, owner=owner)
    assert back(database, "1.1.0").code == 0
    for _ in range(2):
        ended = product.run("--scripts", folder, *whose)
        assert (ended.code, ended.report.reason) == (20, "RolledBackByHand")
        assert ended.report.message.endswith("to apply it again, allow it (--allow Reapply)")
    assert database.rows("TABLE schema_operator.held_seen") == []
    assert product.run("--scripts", folder, *whose, "--allow", "Reapply").report.versions == ("1.2.0", "1.3.0")


def test_allowed_by_name_it_is_applied_at_once(product: Product, database: Database, tmp_path: Path) -> None:
    folder = shop(product, tmp_path)
    assert back(database, "1.1.0").code == 0
    assert for_resource(product, folder, 3, allow=True).report.versions == ("1.2.0", "1.3.0")


def test_a_plan_refuses_it_too_and_writes_nothing(product: Product, database: Database, tmp_path: Path) -> None:
    folder = shop(product, tmp_path)
    assert back(database, "1.1.0").code == 0
    request = RunRequest(
        run="run-1",
        actor=US,
        resource=Resource(namespace="shop", name="shop", uid="uid-1", generation=1),
        folders=(ScriptFolder(path=str(folder), label=""),),
    )
    (tmp_path / "request.json").write_bytes(requests.encode(request))
    ended = product.run("--request", tmp_path / "request.json", "--plan")
    assert (ended.code, ended.report.reason) == (20, "RolledBackByHand")
    assert database.rows("TABLE schema_operator.held_seen") == []
    ended = product.run("--request", tmp_path / "request.json", "--plan", "--version", "1.1.0")
    assert "nothing was changed. Rolled back by hand: 1.3.0, 1.2.0 by postgres" in ended.report.message


def test_of_another_owner_it_is_not_applied_either(product: Product, database: Database, tmp_path: Path) -> None:
    folder = shop(product, tmp_path)
    assert back(database, "1.1.0").code == 0
    ended = product.run("--scripts", folder, "--as", "shop/other")
    assert (ended.code, ended.report.reason) == (20, "RolledBackByHand")


def test_rolled_back_by_a_run_afterwards_it_is_not_held(product: Product, database: Database, tmp_path: Path) -> None:
    folder = shop(product, tmp_path)
    assert back(database, "1.1.0").code == 0
    apply(product, folder, "--allow", "Reapply")
    apply(product, folder, "--version", "1.1.0")
    apply(product, folder)
    assert database.applied() == ["1.0.0", "1.1.0", "1.2.0", "1.3.0"]


OLD = "UPDATE schema_operator.version_scripts SET down_steps = NULL, variables = "


def test_what_an_older_version_recorded_is_run_whole(product: Product, database: Database, tmp_path: Path) -> None:
    down = "DROP TABLE price;\n-- comment\nDROP TABLE IF EXISTS missing;"
    shop(product, tmp_path, {"1.2.0_price.down.sql": down})
    database.execute(f"{OLD} NULL")
    assert back(database, "1.0.0").code == 0
    assert (database.applied(), database.relations()) == (["1.0.0"], ["item"])


def test_what_an_older_version_recorded_with_variables_is_left_to_a_person(
    product: Product, database: Database, tmp_path: Path
) -> None:
    shop(product, tmp_path)
    database.execute(f"""{OLD} '{{"name": "x"}}' WHERE version = '1.2.0'""")
    said = refused(database, "1.0.0")
    assert said.error.startswith("the rollback of 1.2.0 cannot be part of this transaction: its script uses variables")


def test_an_error_in_what_an_older_version_recorded_is_told(
    product: Product, database: Database, tmp_path: Path
) -> None:
    shop(product, tmp_path, {"1.2.0_price.down.sql": "DROP TABLE price; DROP INDEX CONCURRENTLY i;"})
    database.execute(f"{OLD} NULL")
    said = refused(database, "1.0.0")
    assert said.error.startswith("the rollback of 1.2.0 failed, the script 1.2.0_price.down.sql, run whole: ")
    assert said.sqlstate == "25001"


def test_what_a_step_destroys_is_archived_for_a_month(product: Product, database: Database, tmp_path: Path) -> None:
    shop(product, tmp_path)
    database.execute("INSERT INTO item SELECT n, 'name', n FROM generate_series(1, 1000) AS n")
    database.execute("INSERT INTO price VALUES (7)")
    said = back(database, "1.1.0")
    assert said.code == 0, said
    assert [one for one in said.notices if "archived" in one] == [
        "archived column size of public.item: 1000 rows, in schema_operator.archive_1",
        "archived table public.price: 1 rows, in schema_operator.archive_2",
    ]
    assert database.value("SELECT sum(size) FROM schema_operator.archive_1") == 500_500
    kept = "SELECT version, action, kind, round(EXTRACT(epoch FROM expires_at - archived_at)) FROM {} ORDER BY id"
    assert database.rows(kept.format("schema_operator.archives")) == [
        ("1.3.0", "rollback", "column", 30 * 24 * 3600),
        ("1.2.0", "rollback", "table", 30 * 24 * 3600),
    ]


def test_what_cannot_be_archived_is_said_and_destroyed(product: Product, database: Database, tmp_path: Path) -> None:
    shop(product, tmp_path, {"1.2.0_price.up.sql": "CREATE TABLE price (item int, cents int);"})
    down = "ALTER TABLE price DROP COLUMN cents"
    query = "UPDATE schema_operator.version_scripts SET down_steps = jsonb_set(down_steps, '{statements,0}', {}::jsonb)"
    step = {"sql": down, "line": 1, "destroyed": [{"kind": "column", "name": "price", "column": "cents"}]}
    database.execute(query.replace("{}", f"$${json.dumps(step)}$$") + " WHERE version = '1.3.0'")
    database.execute("INSERT INTO price VALUES (1, 2)")
    said = back(database, "1.2.0")
    assert said.code == 0, said
    assert [one for one in said.notices if one.startswith("not archived: column cents of public.price: ")]


def test_names_are_those_the_script_sees_whoever_it_is(
    product: Product, database: Database, role: str, tmp_path: Path
) -> None:
    database.execute(f"CREATE SCHEMA {role} AUTHORIZATION {role}; CREATE TABLE public.mine AS SELECT 1 AS id")
    files = {
        "1.3.0_size.up.sql": f"SET LOCAL ROLE {role}; CREATE TABLE mine AS SELECT 2 AS id;",
        "1.3.0_size.down.sql": f"SET LOCAL ROLE {role}; DROP TABLE mine;",
    }
    shop(product, tmp_path, files)
    said = back(database, "1.2.0")
    assert f"archived table {role}.mine: 1 rows, in schema_operator.archive_1" in said.notices
    assert database.rows("SELECT id FROM schema_operator.archive_1") == [(2,)]
    assert database.rows("TABLE public.mine") == [(1,)]


def test_what_a_version_has_destroyed_is_put_back_and_newer_rows_stay(
    product: Product, database: Database, tmp_path: Path
) -> None:
    files = {
        "1.4.0_less.up.sql": "ALTER TABLE item DROP COLUMN name; DROP TABLE price; TRUNCATE TABLE note;",
        "1.4.0_less.down.sql": "ALTER TABLE item ADD COLUMN name text;",
    }
    price = {"1.2.0_price.up.sql": "CREATE TABLE price (item int PRIMARY KEY);"}
    folder = shop(product, tmp_path, price)
    database.execute(
        "CREATE TABLE note (id int PRIMARY KEY, text text); INSERT INTO note VALUES (1, 'old'), (2, 'old');"
        "INSERT INTO item VALUES (1, 'one'), (2, 'two'); INSERT INTO price VALUES (1)"
    )
    apply(product, write(folder, {**SHOP, **price, **files}))
    database.execute("INSERT INTO note VALUES (2, 'new'), (3, 'new'); INSERT INTO item VALUES (3)")
    said = back(database, "1.3.0")
    assert said.code == 0, said
    assert database.rows("TABLE note ORDER BY id") == [(1, "old"), (2, "new"), (3, "new")]
    assert database.rows("SELECT id, name FROM item ORDER BY id") == [(1, "one"), (2, "two"), (3, None)]
    assert database.rows("TABLE price") == [(1,)]
    told = sorted(one.partition(";")[0] for one in said.notices if one.startswith("put back"))
    assert told == [
        "put back column name of public.item: 2 rows",
        "put back table public.price: 1 rows",
        "put back the rows of public.note: 1 rows",
    ]
    assert (
        len([one for one in said.notices if "1 have changed since and stay; see schema_operator.recovery" in one]) == 1
    )


def test_a_script_that_says_so_keeps_what_was_destroyed_from_coming_back(
    product: Product, database: Database, tmp_path: Path
) -> None:
    down = "-- schema-operator: restore=never\nALTER TABLE item ADD COLUMN name text;"
    files = {"1.4.0_less.up.sql": "ALTER TABLE item DROP COLUMN name;", "1.4.0_less.down.sql": down}
    folder = shop(product, tmp_path)
    database.execute("INSERT INTO item VALUES (1, 'one')")
    apply(product, write(folder, {**SHOP, **files}))
    said = back(database, "1.3.0")
    assert database.rows("SELECT id, name FROM item") == [(1, None)]
    assert not [one for one in said.notices if one.startswith("put back")]
