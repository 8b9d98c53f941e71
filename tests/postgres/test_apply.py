"""Applying versions to a real server."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import msgspec
import pytest
from dev.postgres.packages import MAJORS

from schema_operator.api.report import Place
from schema_operator.api.request import Resource, RunRequest, ScriptFolder, Verification, VerifyWhen
from schema_operator.history import installation
from support.postgres import Database, Product, write

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.postgres

SHOP = {
    "1.0.0_first.up.sql": "CREATE TABLE item (id int PRIMARY KEY);\nINSERT INTO item VALUES (1);",
    "1.0.0_first.down.sql": "DROP TABLE item;",
    "1.1.0_name.up.sql": "ALTER TABLE item ADD COLUMN name text;",
    "1.1.0_name.down.sql": "ALTER TABLE item DROP COLUMN name;",
    "1.1.0_name.verify.sql": "SELECT count(*) = 1 FROM item;",
}


def _request(folder: Path, *verify: Verification, version: str | None = None) -> RunRequest:
    return RunRequest(
        run="run-1",
        actor="tester",
        resource=Resource(namespace="shop", name="shop", uid="uid-1"),
        folders=(ScriptFolder(path=str(folder), label="shop-scripts"),),
        verify=verify,
        version=version,
    )


def test_progress_says_how_much_is_done(product: Product, tmp_path: Path) -> None:
    ended = product.run("--scripts", write(tmp_path / "scripts", SHOP))
    percents = {line.version: line.percent for line in reversed(ended.progress) if line.step == "Applying"}
    assert percents == {"1.0.0": 0, "1.1.0": 50}


def test_versions_are_applied_in_order_and_written_down(product: Product, database: Database, tmp_path: Path) -> None:
    folder = write(tmp_path / "scripts", SHOP)
    ended = product.run("--scripts", folder, "--as", "shop/shop", "--description", "opening day")
    assert ended.code == 0, ended
    report = ended.report
    assert (report.action, report.versions, report.version) == ("Apply", ("1.0.0", "1.1.0"), "1.1.0")
    assert report.server is not None
    assert report.server.database == database.name
    (verification,) = report.verification
    assert (verification.name, verification.result) == ("1.1.0_name.verify.sql", "Passed")
    assert database.rows("SELECT * FROM item") == [(1, None)]
    columns = "version, description, script_name, checksum, applied_at IS NOT NULL, applied_by LIKE '%@%'"
    checksum = hashlib.sha256(SHOP["1.0.0_first.up.sql"].encode()).hexdigest()
    assert database.rows(f"SELECT {columns} FROM schema_operator.schema_versions ORDER BY version")[0] == (
        *("1.0.0", "opening day", "1.0.0_first.up.sql", checksum, True, True),
    )
    stored = "SELECT version, action, owner, up_sql, down_sql, verify_sql FROM schema_operator.version_scripts"
    assert database.rows(f"{stored} ORDER BY position")[1] == (
        *("1.1.0", "apply", "shop/shop", SHOP["1.1.0_name.up.sql"], SHOP["1.1.0_name.down.sql"]),
        SHOP["1.1.0_name.verify.sql"],
    )
    events = "SELECT event, version, owner FROM schema_operator.events ORDER BY id"
    assert database.rows(events) == [
        *(("Installed", script.version.text, "shop/shop") for script in installation.scripts().scripts),
        ("Applied", "1.0.0", "shop/shop"),
        ("Applied", "1.1.0", "shop/shop"),
    ]


@pytest.mark.parametrize("server", [MAJORS[-1]], indirect=True)
def test_why_a_version_could_not_wait_is_kept_with_its_event(
    product: Product, database: Database, tmp_path: Path
) -> None:
    request = _request(write(tmp_path / "scripts", SHOP), version="1.0.0")
    assert product.request(tmp_path, msgspec.structs.replace(request, emergency="incident 4711")).code == 0
    assert product.request(tmp_path, msgspec.structs.replace(request, version="1.1.0")).code == 0
    back = msgspec.structs.replace(request, version="1.0.0", emergency="incident 4712")
    assert product.request(tmp_path, back).code == 0
    kept = "SELECT event, version, reason FROM schema_operator.events WHERE event <> 'Installed' ORDER BY id"
    assert database.rows(kept) == [
        ("Applied", "1.0.0", "incident 4711"),
        ("Applied", "1.1.0", None),
        ("RolledBack", "1.1.0", "incident 4712"),
    ]


def test_a_second_run_finds_nothing_to_do(product: Product, database: Database, tmp_path: Path) -> None:
    folder = write(tmp_path / "scripts", SHOP)
    assert product.run("--scripts", folder).code == 0
    before = database.dump()
    ended = product.run("--scripts", folder)
    assert (ended.code, ended.report.action, ended.report.version_before) == (0, "None", "1.1.0")
    assert database.dump() == before


def test_what_is_added_is_applied_and_what_is_above_the_version_is_not(
    product: Product, database: Database, tmp_path: Path
) -> None:
    folder = write(tmp_path / "scripts", SHOP)
    assert product.run("--scripts", folder, "--version", "1.0").code == 0
    assert database.applied() == ["1.0.0"]
    assert product.run("--scripts", folder).report.versions == ("1.1.0",)
    assert database.applied() == ["1.0.0", "1.1.0"]


def test_a_failing_statement_leaves_nothing_and_is_named_with_its_place(
    product: Product, database: Database, tmp_path: Path
) -> None:
    script = "CREATE TABLE a (x int);\n\n  -- second\n  SELECT 'ä',\n    no_such_column FROM a;\nDROP TABLE a;"
    folder = write(tmp_path / "scripts", {**SHOP, "2_broken.up.sql": script})
    ended = product.run("--scripts", folder, "--as", "shop/shop")
    assert (ended.code, ended.report.reason) == (21, "ObjectNotFound")
    assert ended.report.place == Place(
        version="2", file="2_broken.up.sql", statement=2, statements=3, line=5, column=5, sqlstate="42703"
    )
    assert "version 2, file 2_broken.up.sql, statement 2 of 3, line 5, column 5" in ended.report.message
    assert database.relations() == ["item"]
    assert database.versions() == ["1.0.0", "1.1.0"]
    assert ended.report.versions == ("1.0.0", "1.1.0")


def test_a_syntax_error_is_found_before_anything_runs(product: Product, database: Database, tmp_path: Path) -> None:
    script = "CREATE TABLE a (x int);\nCREATE TABEL b (x int);\nCREATE TABLE c (x int);"
    folder = write(tmp_path / "scripts", {"1_a.up.sql": "CREATE TABLE first ();", "2_b.up.sql": script})
    ended = product.run("--scripts", folder)
    assert (ended.code, ended.report.reason) == (20, "SyntaxError")
    assert ended.report.message.startswith("version 2, file 2_b.up.sql, statement 2 of 3, line 2, column 8: "), ended
    assert (database.relations(), database.versions()) == ([], [])


def test_a_syntax_error_in_a_down_script_is_a_warning(product: Product, database: Database, tmp_path: Path) -> None:
    folder = write(tmp_path / "scripts", {"1_a.up.sql": "CREATE TABLE a ();", "1_a.down.sql": "DROP TABEL a;"})
    ended = product.run("--scripts", folder)
    assert (ended.code, database.relations()) == (0, ["a"])
    warning = "warning: version 1, file 1_a.down.sql, statement 1 of 1, line 1, column 6: syntax error at or near TABEL"
    assert any(line.message.startswith(warning) for line in ended.progress), ended
    back = product.run("--scripts", folder, "--version", "0")
    assert (back.code, back.report.reason, database.relations()) == (21, "SyntaxError", ["a"])


def test_applied_scripts_are_not_judged_by_newer_rules(product: Product, database: Database, tmp_path: Path) -> None:
    folder = write(tmp_path / "scripts", {"1_a.up.sql": "SELECT 1"})
    assert product.run("--scripts", folder).code == 0
    text = f"CREATE TABLE {'x' * 64} ()"
    database.execute("ALTER TABLE schema_operator.schema_versions DISABLE TRIGGER USER")
    checksum = hashlib.sha256(text.encode()).hexdigest()
    database.execute(f"UPDATE schema_operator.schema_versions SET checksum = '{checksum}'")
    write(folder, {"1_a.up.sql": text})
    assert product.run("--scripts", folder).code == 0


def test_a_failing_verify_script_leaves_nothing(product: Product, database: Database, tmp_path: Path) -> None:
    folder = write(tmp_path / "scripts", {**SHOP, "1.1.0_name.verify.sql": "SELECT 1; SELECT count(*) = 2 FROM item;"})
    ended = product.run("--scripts", folder)
    assert (ended.code, ended.report.reason) == (21, "VerificationFailed")
    assert database.versions() == ["1.0.0"]
    assert database.rows("SELECT * FROM item") == [(1,)]
    (verification,) = ended.report.verification
    assert verification.result == "Failed"
    assert (verification.name, verification.found) == ("1.1.0_name.verify.sql", "false")
    place = "1.1.0_name.verify.sql, statement 2 of 2, line 1: expected true, found false"
    assert place in ended.report.message


@pytest.mark.parametrize("server", [MAJORS[-1]], indirect=True)
@pytest.mark.parametrize(
    ("check", "result", "found"),
    [
        ("SELECT true WHERE false", "Failed", "no row"),
        ("SELECT NULL::boolean", "Failed", "NULL"),
        ("SELECT x FROM (VALUES (true), (false)) AS v (x)", "Failed", "a row that is not true"),
        (
            "SELECT nothing",
            "Error",
            'column "nothing" does not exist; write the schema before the name, or create it in',
        ),
    ],
)
def test_what_a_verify_script_found_is_told_without_its_place(
    product: Product, tmp_path: Path, check: str, result: str, found: str
) -> None:
    folder = write(tmp_path / "scripts", {"1_x.up.sql": "SELECT 1", "1_x.verify.sql": f"\n{check};"})
    report = product.run("--scripts", folder).report
    (verification,) = report.verification
    assert (verification.result, (verification.found or "")[: len(found)]) == (result, found)
    assert f"1_x.verify.sql, statement 1 of 1, line 2: expected true, found {found}" in report.message


@pytest.mark.parametrize("server", [MAJORS[-1]], indirect=True)
@pytest.mark.parametrize(
    "check",
    [
        (Verification(name="rows", sql="SELECT count(*) FROM item", expect="7"), "Failed", "1"),
        (Verification(name="rows", sql="SELECT id FROM item WHERE false", expect="7"), "Failed", "no row"),
        (Verification(name="rows", sql="SELECT NULL", expect="NULL"), "Failed", "NULL"),
        (Verification(name="rows", sql="SELECT false"), "Failed", "false"),
        (Verification(name="rows", sql="SELECT x FROM item"), "Error", 'column "x" does not exist'),
        (Verification(name="rows", sql="DELETE FROM item RETURNING true"), "Error", "may only read"),
    ],
)
def test_a_failing_verification_of_the_resource_leaves_nothing(
    product: Product, database: Database, tmp_path: Path, check: tuple[Verification, str, str]
) -> None:
    verify, result, found = check
    folder = write(tmp_path / "scripts", SHOP)
    good = Verification(name="good", sql="SELECT count(*) FROM item", expect="1")
    ended = product.request(tmp_path, _request(folder, good, verify))
    assert (ended.code, ended.report.reason) == (21, "VerificationFailed")
    assert "rows" in ended.report.message
    assert database.versions() == ["1.0.0"]
    assert (
        database.value("SELECT count(*) FROM pg_attribute WHERE attname = 'name' AND attrelid = 'item'::regclass") == 0
    )
    by_name = {one.name: one for one in ended.report.verification}
    assert by_name["good"].result == "Passed"
    assert by_name["rows"].result == result
    assert found in (by_name["rows"].found or "")


def test_a_verification_after_commit_that_fails_is_told_apart(
    product: Product, database: Database, tmp_path: Path
) -> None:
    folder = write(tmp_path / "scripts", SHOP)
    late = Verification(name="late", sql="SELECT false", when=VerifyWhen.AFTER_COMMIT)
    ended = product.request(tmp_path, _request(folder, late))
    assert (ended.code, ended.report.reason) == (22, "VerificationFailed")
    assert database.versions() == ["1.0.0", "1.1.0"]
    again = product.request(tmp_path, _request(folder, late))
    assert (again.code, again.report.versions) == (22, ())


def test_a_verification_of_two_statements_is_refused_before_anything(
    product: Product, database: Database, tmp_path: Path
) -> None:
    folder = write(tmp_path / "scripts", SHOP)
    before = database.dump()
    double = Verification(name="double", sql="SELECT true; DROP TABLE item")
    ended = product.request(tmp_path, _request(folder, double))
    assert (ended.code, ended.report.reason) == (20, "InvalidSpec")
    assert database.dump() == before


def test_what_a_verify_script_writes_does_not_stay(product: Product, database: Database, tmp_path: Path) -> None:
    verify = "INSERT INTO item VALUES (2); SELECT count(*) = 2 FROM item;"
    folder = write(tmp_path / "scripts", {**SHOP, "1.1.0_name.verify.sql": verify})
    assert product.run("--scripts", folder).code == 0
    assert database.value("SELECT count(*) FROM item") == 1


def test_settings_of_a_script_end_with_its_version(
    product: Product, database: Database, role: str, tmp_path: Path
) -> None:
    files = {
        "1_set.up.sql": "CREATE SCHEMA other; CREATE TABLE other.seen (lock text, path text, who text);"
        f"GRANT USAGE ON SCHEMA other TO {role};"
        "CREATE TEMP TABLE leftover (x int); PREPARE p AS SELECT 1; SELECT pg_advisory_lock(7);"
        f"SET lock_timeout = 0; SET search_path = other; SET ROLE {role};",
        "2_see.up.sql": "INSERT INTO other.seen "
        "SELECT current_setting('lock_timeout'), current_setting('search_path'), current_user;"
        "PREPARE p AS SELECT 2; CREATE TEMP TABLE leftover (y int);"
        "SELECT 1 / (SELECT (count(*) = 0)::int FROM pg_locks WHERE objid = 7 AND locktype = 'advisory');",
    }
    folder = write(tmp_path / "scripts", files)
    ended = product.run("--scripts", folder)
    assert ended.code == 0, ended
    assert database.rows("SELECT * FROM other.seen") == [("30s", '"$user", public', "postgres")]


def test_scripts_run_with_the_search_path_of_the_role(product: Product, database: Database, tmp_path: Path) -> None:
    database.execute(f"CREATE SCHEMA app; ALTER DATABASE {database.name} SET search_path = app")
    folder = write(tmp_path / "scripts", SHOP)
    assert product.run("--scripts", folder).code == 0
    assert (database.relations("app"), database.relations("public")) == (["item"], [])


def test_nothing_in_a_script_is_interpreted(product: Product, database: Database, tmp_path: Path) -> None:
    script = "CREATE TABLE a AS SELECT '%s %(x)s %% {x} $1 :v'::text AS t;"
    assert product.run("--scripts", write(tmp_path / "scripts", {"1_a.up.sql": script})).code == 0
    assert database.value("SELECT t FROM a") == "%s %(x)s %% {x} $1 :v"


def test_a_deferred_constraint_fails_at_commit_and_leaves_nothing(
    product: Product, database: Database, tmp_path: Path
) -> None:
    script = (
        "CREATE TABLE a (id int PRIMARY KEY, up int REFERENCES a DEFERRABLE INITIALLY DEFERRED);"
        "INSERT INTO a VALUES (1, 4711);"
    )
    ended = product.run("--scripts", write(tmp_path / "scripts", {"1_a.up.sql": script}))
    assert (ended.code, ended.report.reason) == (21, "DataViolation")
    assert (database.relations(), database.versions()) == ([], [])
    assert "4711" not in ended.stdout


def test_a_role_is_taken_on(product: Product, database: Database, role: str, tmp_path: Path) -> None:
    database.execute(f"GRANT CREATE ON DATABASE {database.name} TO {role}; GRANT ALL ON SCHEMA public TO {role}")
    folder = write(tmp_path / "scripts", SHOP)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "uri").write_text(database.uri + "\n")
    request = {
        "run": "run-1",
        "actor": "tester",
        "folders": [{"path": str(folder), "label": ""}],
        "connection": {"uri": {"secret": "s", "key": "uri", "folder": str(tmp_path / "secret")}, "role": role},
    }
    path = tmp_path / "request.json"
    path.write_text(json.dumps(request))
    ended = product.run("--request", path, uri="")
    assert ended.code == 0, ended
    assert database.value("SELECT tableowner FROM pg_tables WHERE tablename = 'item'") == role
    assert database.value("SELECT tableowner FROM pg_tables WHERE tablename = 'schema_versions'") == role
