"""`--plan`: what a run would do is shown, no lock is taken, and nothing is changed."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from schema_operator.api.report import Action, PlannedVersion
from schema_operator.api.request import (
    ConnectionFiles,
    InlineScript,
    Resource,
    RunRequest,
    ScriptFolder,
    SecretFile,
    encode,
)
from schema_operator.postgres.guard import GUARD, LOCK_CLASS
from support.postgres import CANARY_ENCODED, PROGRAM, Database, Ended, Product, finish, write

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.postgres

SHOP = {
    "1.0.0_first.up.sql": "CREATE TABLE item (id int PRIMARY KEY);\nINSERT INTO item VALUES (1);",
    "1.0.0_first.down.sql": "DROP TABLE item;",
    "1.1.0_name.up.sql": "ALTER TABLE item ADD COLUMN name text;",
    "1.1.0_name.down.sql": "UPDATE item SET name = NULL; ALTER TABLE item DROP COLUMN name;",
}
FIRST = PlannedVersion(version="1.0.0", action=Action.APPLY, file="1.0.0_first.up.sql", statements=2)
SECOND = PlannedVersion(version="1.1.0", action=Action.APPLY, file="1.1.0_name.up.sql", statements=1)
BACK = PlannedVersion(version="1.1.0", action=Action.ROLLBACK, file="1.1.0_name.down.sql", statements=2)


def planned(product: Product, folder: Path, *options: str) -> Ended:
    """Ask for a plan, and see that everything in the database is as it was."""
    before = product.database.dump()
    ended = product.run("--scripts", folder, "--plan", *options)
    assert product.database.dump() == before
    return ended


def test_a_plan_is_what_a_run_then_does(product: Product, database: Database, tmp_path: Path) -> None:
    folder = write(tmp_path / "scripts", SHOP)
    ended = planned(product, folder)
    assert (ended.code, ended.report.plan, ended.report.versions) == (0, (FIRST, SECOND), ())
    assert ended.report.action is Action.APPLY
    assert database.value("SELECT to_regnamespace('schema_operator') IS NULL")

    assert product.run("--scripts", folder).report.versions == ("1.0.0", "1.1.0")
    assert (planned(product, folder).report.plan, planned(product, folder).report.action) == ((), Action.NONE)

    write(folder, {name: text for name, text in SHOP.items() if name.startswith("1.0.0")})
    ended = planned(product, folder, "--version", "1.0.0")
    assert (ended.code, ended.report.plan, ended.report.action) == (0, (BACK,), Action.ROLLBACK)
    assert (ended.report.version_before, ended.report.version) == ("1.1.0", "1.1.0")


def test_a_plan_is_text_for_people(database: Database, tmp_path: Path) -> None:
    folder = write(tmp_path / "scripts", SHOP)
    command = [str(PROGRAM), "run", "--scripts", str(folder), "--plan"]
    environment = {**os.environ, "SCHEMA_OPERATOR_URI": database.uri}
    ended = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert ended.stdout.splitlines()[2:] == [
        "A run would apply 1.0.0, 1.1.0. The schema is at version 0; nothing was changed.",
        "apply 1.0.0: 1.0.0_first.up.sql, 2 statements in one transaction",
        "apply 1.1.0: 1.1.0_name.up.sql, 1 statement in one transaction",
    ]


def test_a_plan_of_a_request_is_that_of_its_resource(product: Product, database: Database, tmp_path: Path) -> None:
    folder = write(tmp_path / "scripts", SHOP)
    request = RunRequest(
        run="run-1",
        actor="shop/shop",
        resource=Resource(namespace="shop", name="shop"),
        folders=(ScriptFolder(path=str(folder), label="shop-scripts"),),
    )
    assert product.request(tmp_path, request).code == 0
    ended = product.run("--request", tmp_path / "request.json", "--plan", "--version", "0")
    assert [(one.version, one.action) for one in ended.report.plan or ()] == [
        ("1.1.0", Action.ROLLBACK),
        ("1.0.0", Action.ROLLBACK),
    ]
    assert database.applied() == ["1.0.0", "1.1.0"]


def test_a_role_that_cannot_be_taken_on_is_told_by_the_plan(product: Product, tmp_path: Path) -> None:
    (tmp_path / "uri").write_text(product.database.uri)
    connection = ConnectionFiles(uri=SecretFile(secret="s", key="uri", folder=str(tmp_path)), role="nobody-here")
    scripts = (InlineScript(version="1", up="SELECT 1"),)
    path = tmp_path / "request.json"
    path.write_bytes(encode(RunRequest(run="r", actor="a", inline=scripts, connection=connection)))
    ended = product.run("--request", path, "--plan", uri="")
    assert (ended.code, ended.report.reason) == (20, "InvalidConnection")
    assert "the role nobody-here" in ended.report.message


def test_what_a_run_would_refuse_a_plan_refuses(product: Product, tmp_path: Path) -> None:
    folder = write(tmp_path / "scripts", SHOP)
    assert product.run("--scripts", folder).code == 0
    write(folder, {**SHOP, "1.0.0_first.up.sql": "CREATE TABLE item (id bigint PRIMARY KEY);"})
    ended = planned(product, folder)
    assert (ended.code, ended.report.reason, ended.report.plan) == (20, "ChecksumMismatch", None)
    write(folder, {**SHOP, "0.9_late.up.sql": "SELECT 1;"})
    ended = planned(product, folder)
    assert (ended.code, ended.report.reason, ended.report.plan) == (20, "OutOfOrder", None)
    write(tmp_path / "other", {"2.0.0_wrong.up.sql": "SELEC 1;"})
    assert planned(product, tmp_path / "other").report.reason == "SyntaxError"


def test_a_plan_tells_parts_from_statements_that_stand_outside_of_transactions(
    database: Database, tmp_path: Path
) -> None:
    files = {
        "1_a.up.sql": "CREATE TABLE a (x int);",
        "2_b.up.sql": "CREATE INDEX CONCURRENTLY i ON a (x);",
        "3_c.up.sql": "CREATE TABLE c (); CREATE INDEX CONCURRENTLY j ON a (x);",
    }
    command = [str(PROGRAM), "run", "--scripts", str(write(tmp_path / "scripts", files)), "--plan"]
    environment = {**os.environ, "SCHEMA_OPERATOR_URI": database.uri}
    ended = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert ended.stdout.splitlines()[-3:] == [
        "apply 1: 1_a.up.sql, 1 statement in one transaction",
        "apply 2: 2_b.up.sql, 1 statement outside of any transaction, not atomic",
        "apply 3: 3_c.up.sql, 2 statements in 2 parts, not atomic",
    ]


def test_a_plan_does_not_wait_for_a_run_and_names_it(product: Product, database: Database, tmp_path: Path) -> None:
    folder = write(tmp_path / "scripts", SHOP)
    assert product.run("--scripts", folder, "--version", "1.0.0").code == 0
    with database.connect("schema-operator/other") as other:
        other.execute(f"SELECT pg_advisory_lock({LOCK_CLASS}, {GUARD})".encode())
        ended = product.run("--scripts", folder, "--plan", "--lock-wait", "0")
        assert (ended.code, ended.report.plan) == (0, (SECOND,))
    assert "Another run is at work and may change that: schema-operator/other" in ended.report.message
    assert (ended.report.blocker or "").startswith("schema-operator/other")


def test_a_plan_holds_no_lock_that_a_run_needs(product: Product, database: Database, tmp_path: Path) -> None:
    """The plan is held up at the history by another's lock; a run meanwhile finds the lock and the fence free."""
    folder = write(tmp_path / "scripts", SHOP)
    assert product.run("--scripts", folder, "--version", "1.0.0").code == 0
    with database.connect() as other:
        other.execute("BEGIN; LOCK TABLE schema_operator.control_versions IN ACCESS EXCLUSIVE MODE")
        plan = product.start("--scripts", folder, "--plan")
        database.wait_for("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted")
        advisory = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
        assert database.value(advisory) == 0
        other.execute("COMMIT")
    ended = finish(plan)
    assert (ended.code, ended.report.plan) == (0, (SECOND,))


def test_a_role_that_may_not_write_the_history_is_told_so_by_the_plan(
    product: Product, database: Database, tmp_path: Path, role: str
) -> None:
    folder = write(tmp_path / "scripts", SHOP)
    assert product.run("--scripts", folder, "--version", "1.0.0").code == 0
    database.execute(f"GRANT USAGE ON SCHEMA schema_operator TO {role}")
    database.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA schema_operator TO {role}")
    uri = database.uri_of(role, CANARY_ENCODED)
    ended = product.run("--scripts", folder, "--plan", uri=uri)
    assert (ended.code, ended.report.reason) == (20, "PermissionDenied")
    assert "GRANT" in ended.report.message
    assert product.run("--scripts", folder, "--plan", "--version", "1.0.0", uri=uri).code == 0


def test_a_plan_upgrades_nothing_and_says_what_does(product: Product, database: Database, tmp_path: Path) -> None:
    folder = write(tmp_path / "scripts", SHOP)
    assert product.run("--scripts", folder).code == 0
    database.execute("DELETE FROM schema_operator.control_versions WHERE version <> '1'")
    ended = planned(product, folder)
    assert (ended.code, ended.report.reason) == (20, "ControlSchemaOlder")
    assert "has version 1, which" in ended.report.message
    assert "any run does that" in ended.report.message


def test_an_empty_script_that_is_allowed_is_a_version(product: Product, database: Database, tmp_path: Path) -> None:
    folder = write(tmp_path / "scripts", {"1_nothing.up.sql": "-- nothing\n"})
    assert product.run("--scripts", folder).report.reason == "EmptyMigration"
    ended = planned(product, folder, "--allow", "EmptyScript")
    assert [one.statements for one in ended.report.plan or ()] == [0]
    assert product.run("--scripts", folder, "--allow", "EmptyScript").code == 0
    assert database.applied() == ["1"]
    write(folder, {"2_more.up.sql": "SELECT 1;"})
    assert product.run("--scripts", folder).report.versions == ("2",)


def test_rows_in_a_script_that_were_allowed_are_no_matter_once_they_are_applied(
    product: Product, database: Database, tmp_path: Path
) -> None:
    rows = "CREATE TABLE item (id int);\nCOPY item FROM STDIN;\n1\n\\.\n"
    folder = write(tmp_path / "scripts", {"1_rows.up.sql": rows})
    ended = planned(product, folder)
    assert (ended.report.reason, ended.report.place and ended.report.place.line) == ("CopyNotSupported", 2)
    assert product.run("--scripts", folder).report.reason == "CopyNotSupported"
    assert product.run("--scripts", folder, "--allow", "CopyData").code == 0
    assert product.run("--scripts", folder).code == 0
    assert database.value("SELECT count(*) FROM item") == 1
