"""What is refused because of what is in the database: owners, roles, rights. The other bad inputs: test_bad_inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from schema_operator.api.request import (
    ConnectionFiles,
    InlineScript,
    OutOfOrder,
    Resource,
    RunRequest,
    ScriptFolder,
    SecretFile,
    TlsFiles,
)
from support.postgres import CANARY, CANARY_ENCODED, Database, Ended, Product, write

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.postgres

APPLIED = {
    "1.0.0_first.up.sql": "CREATE TABLE item (id int PRIMARY KEY);\n-- line 2\n",
    "1.0.0_first.down.sql": "DROP TABLE item;",
    "1.2.0_price.up.sql": "CREATE TABLE price (item int);",
}


def test_out_of_order_can_be_allowed_and_other_owners_do_not_count(product: Product, tmp_path: Path) -> None:
    assert product.run("--scripts", write(tmp_path / "a", APPLIED), "--as", "shop/shop").code == 0
    late = {"1.1.0_late.up.sql": "CREATE TABLE late ();"}
    assert product.run("--scripts", write(tmp_path / "b", late), "--as", "shop/other").code == 0
    request = RunRequest(
        run="r",
        actor="a",
        resource=Resource(namespace="shop", name="shop"),
        inline=tuple(InlineScript(version=f"1.{number}.5", up="SELECT 1;") for number in (1, 3)),
    )
    refused = product.request(tmp_path, request)
    assert refused.code == 20
    allowed = product.request(tmp_path, msgspec.structs.replace(request, out_of_order=OutOfOrder.ALLOW))
    assert (allowed.code, allowed.report.versions) == (0, ("1.1.5", "1.3.5"))


def test_a_later_version_of_another_owner_is_in_the_way(product: Product, database: Database, tmp_path: Path) -> None:
    files = {**APPLIED, "1.2.0_price.down.sql": "DROP TABLE price;"}
    assert product.run("--scripts", write(tmp_path / "a", files), "--as", "shop/shop").code == 0
    other = {"0.5_other.up.sql": "CREATE TABLE other ();"}
    assert product.run("--scripts", write(tmp_path / "b", other), "--as", "shop/other").code == 0
    before = database.dump()
    ended = product.run("--scripts", tmp_path / "a", "--as", "shop/shop", "--version", "1.0.0")
    assert (ended.code, ended.report.reason) == (20, "VersionInTheWay")
    assert "0.5 (of shop/other)" in ended.report.message
    assert database.dump() == before


def test_the_same_version_of_two_owners(product: Product, tmp_path: Path) -> None:
    first = product.run("--scripts", write(tmp_path / "a", APPLIED), "--as", "shop/shop")
    assert (first.code, first.report.action) == (0, "Apply")
    same = product.run("--scripts", tmp_path / "a", "--as", "shop/other")
    assert (same.code, same.report.action, same.report.version) == (0, "None", first.report.version)
    write(tmp_path / "a", {"1.0_x.up.sql": "SELECT 1;"})
    other = product.run("--scripts", tmp_path / "a", "--as", "shop/other")
    assert (other.code, other.report.reason) == (20, "ChecksumMismatch")
    assert "by shop/shop" in other.report.message


def test_a_renamed_script_is_the_same_script(product: Product, tmp_path: Path) -> None:
    assert product.run("--scripts", write(tmp_path / "a", {"1.0_x.up.sql": "SELECT 1;"})).code == 0
    ended = product.run("--scripts", write(tmp_path / "a", {"1.0.0_renamed.up.sql": "SELECT 1;"}))
    assert (ended.code, ended.report.action) == (0, "None")


def test_a_role_without_rights_is_told_which_grant_it_needs(
    product: Product, database: Database, role: str, tmp_path: Path
) -> None:
    folder = write(tmp_path / "a", {"1_x.up.sql": "SELECT 1;"})
    uri = database.uri_of(role, CANARY_ENCODED)
    ended = product.run("--scripts", folder, uri=uri)
    assert (ended.code, ended.report.reason) == (20, "PermissionDenied")
    grant = f'GRANT CREATE ON DATABASE "{database.name}" TO "{role}"'
    assert grant in ended.report.message
    assert database.relations("public") == []
    database.execute(grant)
    assert product.run("--scripts", folder, uri=uri).code == 0
    stranger = product.run("--scripts", folder, "--as", "a/b")
    assert stranger.code == 0, "a superuser may use what another role installed"
    _no_canary(ended)


def _grants(message: str) -> list[str]:
    """Give the commands a sentence tells to run."""
    commands = message.partition("run: ")[2]
    return [part.strip() for part in commands.split(";") if part.strip().startswith("GRANT ")]


def test_a_role_that_did_not_install_the_history_is_told_the_grants_that_help(
    product: Product, database: Database, role: str, tmp_path: Path
) -> None:
    files = {"1_x.up.sql": "SELECT 1", "1_x.down.sql": "SELECT 1"}
    folder = write(tmp_path / "a", files)
    assert product.run("--scripts", folder).code == 0
    write(folder, {**files, "2_x.up.sql": "SELECT pg_sleep(0)"})
    uri = database.uri_of(role, CANARY_ENCODED)
    ended = product.run("--scripts", folder, uri=uri)
    assert (ended.code, ended.report.reason) == (20, "PermissionDenied")
    grants = _grants(ended.report.message)
    assert grants == [
        f'GRANT USAGE ON SCHEMA schema_operator TO "{role}"',
        f'GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA schema_operator TO "{role}"',
    ]
    assert "as its owner postgres" in ended.report.message
    database.execute(grants[0])
    again = product.run("--scripts", folder, uri=uri)
    assert (again.code, _grants(again.report.message)) == (20, grants)
    database.execute(grants[1])
    assert product.run("--scripts", folder, uri=uri).code == 0
    assert product.run("--scripts", folder, "--version", "1").code == 20, "2 has no rollback script"
    _no_canary(ended)


def test_a_role_that_may_only_read_the_history_is_refused_before_a_script_runs(
    product: Product, database: Database, role: str, tmp_path: Path
) -> None:
    folder = write(tmp_path / "a", {"1_x.up.sql": "SELECT 1"})
    assert product.run("--scripts", folder).code == 0
    database.execute(f"GRANT USAGE ON SCHEMA schema_operator TO {role}")
    database.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA schema_operator TO {role}")
    uri = database.uri_of(role, CANARY_ENCODED)
    assert product.run("--scripts", folder, uri=uri).code == 0, "nothing is written where there is nothing to do"
    write(folder, {"1_x.up.sql": "SELECT 1", "2_x.up.sql": "SELECT 1"})
    ended = product.run("--scripts", folder, uri=uri)
    assert (ended.code, ended.report.reason) == (20, "PermissionDenied")
    assert f'GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA schema_operator TO "{role}"' in ended.report.message
    assert not any(line.step == "Applying" for line in ended.progress)


def test_a_role_that_may_not_fill_the_empty_schema_is_told_the_grant(
    product: Product, database: Database, role: str, tmp_path: Path
) -> None:
    database.execute("CREATE SCHEMA schema_operator")
    folder = write(tmp_path / "a", {"1_x.up.sql": "SELECT 1"})
    uri = database.uri_of(role, CANARY_ENCODED)
    ended = product.run("--scripts", folder, uri=uri)
    assert (ended.code, ended.report.reason) == (20, "PermissionDenied")
    (grant,) = _grants(ended.report.message)
    assert grant == f'GRANT USAGE, CREATE ON SCHEMA schema_operator TO "{role}"'
    database.execute(grant)
    assert product.run("--scripts", folder, uri=uri).code == 0


def _as_role(folder: Path, uri: str, role: str) -> RunRequest:
    (folder / "uri").write_text(uri)
    connection = ConnectionFiles(uri=SecretFile(secret="s", key="uri", folder=str(folder)), role=role)
    return RunRequest(run="r", actor="a", inline=(InlineScript(version="1", up="SELECT 1"),), connection=connection)


def test_a_role_the_user_is_no_member_of_is_told_with_the_grant(
    product: Product, database: Database, role: str, tmp_path: Path
) -> None:
    other = f"{role} Owner"
    database.execute(f'CREATE ROLE "{other}"; GRANT CREATE ON DATABASE {database.name} TO "{other}"')
    try:
        request = _as_role(tmp_path, database.uri_of(role, CANARY_ENCODED), other)
        ended = product.request(tmp_path, request, uri="")
        assert (ended.code, ended.report.reason) == (20, "PermissionDenied")
        (grant,) = _grants(ended.report.message)
        assert grant == f'GRANT "{other}" TO "{role}"'
        database.execute(grant)
        assert product.request(tmp_path, request, uri="").code == 0
    finally:
        database.execute(f'DROP OWNED BY "{other}"; DROP ROLE "{other}"')
    _no_canary(ended)


def test_a_role_that_does_not_exist_is_named(product: Product, database: Database, tmp_path: Path) -> None:
    ended = product.request(tmp_path, _as_role(tmp_path, database.uri, "nobody-here"), uri="")
    assert (ended.code, ended.report.reason) == (20, "InvalidConnection")
    assert "the role nobody-here" in ended.report.message
    assert "does not exist" in ended.report.message


def test_a_user_that_may_not_connect_is_told_the_grant(
    product: Product, database: Database, role: str, tmp_path: Path
) -> None:
    database.execute(f"REVOKE CONNECT ON DATABASE {database.name} FROM PUBLIC")
    database.execute(f"GRANT CREATE ON DATABASE {database.name} TO {role}")
    folder = write(tmp_path / "a", {"1_x.up.sql": "SELECT 1"})
    uri = database.uri_of(role, CANARY_ENCODED)
    ended = product.run("--scripts", folder, uri=uri)
    assert (ended.code, ended.report.reason) == (20, "AuthFailed")
    (grant,) = _grants(ended.report.message)
    assert grant == f'GRANT CONNECT ON DATABASE "{database.name}" TO "{role}"'
    database.execute(grant)
    assert product.run("--scripts", folder, uri=uri).code == 0


def test_a_version_of_another_that_is_among_our_scripts_cannot_be_passed(
    product: Product, database: Database, tmp_path: Path
) -> None:
    files = {f"{version}_x.{kind}.sql": "SELECT 1" for version in ("1.0.0", "1.1.0") for kind in ("up", "down")}
    folder = write(tmp_path / "a", files)
    assert product.run("--scripts", folder, "--version", "1.0.0", "--as", "shop/shop").code == 0
    assert product.run("--scripts", folder, "--as", "shop/other").code == 0
    ended = product.run("--scripts", folder, "--as", "shop/shop", "--version", "1.0.0")
    assert (ended.code, ended.report.reason) == (20, "VersionInTheWay")
    assert "1.1.0 (of shop/other)" in ended.report.message
    assert "only its owner can roll it back" in ended.report.message
    assert database.applied() == ["1.0.0", "1.1.0"]
    assert product.run("--scripts", folder, "--as", "shop/other", "--version", "1.0.0").report.versions == ("1.1.0",)
    assert product.run("--scripts", folder, "--as", "shop/shop", "--version", "1.0.0").code == 0


def test_other_files_are_named_once_and_a_renamed_script_is_refused(
    product: Product, database: Database, tmp_path: Path
) -> None:
    files = {"1_x.up.sql": "SELECT 1", "2_y.up.sql": "SELECT 1", "2_y.down.sql": "SELECT 1"}
    folder = write(tmp_path / "a", {**files, **{f"note-{number:02}.md": "" for number in range(12)}})
    ended = product.run("--scripts", folder)
    names = ", ".join(f"note-{number:02}.md" for number in range(10))
    (line,) = [one for one in ended.progress if "ignored" in one.message]
    assert (line.step, line.message) == ("Planning", f"ignored, because they are no scripts: {names} and 2 more")
    for kind in ("up", "down"):
        (folder / f"2_y.{kind}.sql").unlink()
    (folder / "2_y.sql").write_text("SELECT 1")
    ended = product.run("--scripts", folder)
    assert (ended.code, ended.report.reason) == (20, "UnrecognizedScript")
    assert ended.report.message.startswith("file 2_y.sql: ")
    assert database.applied() == ["1", "2"]


def test_a_schema_made_for_the_role_is_enough(product: Product, database: Database, role: str, tmp_path: Path) -> None:
    database.execute(f"CREATE SCHEMA schema_operator AUTHORIZATION {role}")
    folder = write(tmp_path / "a", {"1_x.up.sql": "SELECT 1;"})
    assert product.run("--scripts", folder, uri=database.uri_of(role, CANARY_ENCODED)).code == 0


def test_the_control_schema_must_be_ours_and_not_newer(product: Product, database: Database, tmp_path: Path) -> None:
    folder = write(tmp_path / "a", {"1_x.up.sql": "SELECT 1;"})
    database.execute("CREATE SCHEMA schema_operator; CREATE TABLE schema_operator.schema_versions (x int)")
    strange = product.run("--scripts", folder)
    assert (strange.code, strange.report.reason) == (20, "ControlSchemaDamaged")
    database.execute("DROP SCHEMA schema_operator CASCADE")
    assert product.run("--scripts", folder).code == 0
    database.execute(
        "INSERT INTO schema_operator.control_versions (version, script_name, checksum, applied_by) "
        "VALUES ('99', 'x', 'x', 'x')"
    )
    newer = product.run("--scripts", folder)
    assert (newer.code, newer.report.reason) == (20, "ControlSchemaNewer")


def test_credentials_come_from_mounted_secrets(product: Product, database: Database, role: str, tmp_path: Path) -> None:
    database.execute(f"GRANT CREATE ON DATABASE {database.name} TO {role}")
    folder = write(tmp_path / "a", {"1_x.up.sql": "SELECT 1;"})
    secret = tmp_path / "secret"
    secret.mkdir()

    def file(key: str) -> SecretFile:
        return SecretFile(secret="shop-credentials", key=key, folder=str(secret))

    request = RunRequest(
        run="r",
        actor="a",
        folders=(ScriptFolder(path=str(folder), label="scripts"),),
        connection=ConnectionFiles(
            host="127.0.0.1",
            port=database.server.port,
            database=database.name,
            user=file("username"),
            password=file("password"),
            tls=TlsFiles(mode="disable"),
        ),
    )
    absent = product.request(tmp_path, request, uri="")
    assert (absent.code, absent.report.reason) == (20, "SecretNotFound")
    (secret / "username").write_text(f"{role}\n")
    half = product.request(tmp_path, request, uri="")
    assert (half.code, half.report.reason) == (20, "SecretKeyNotFound")
    assert "shop-credentials" in half.report.message
    assert "password" in half.report.message
    (secret / "password").write_text(CANARY + "\n")
    whole = product.request(tmp_path, request, uri="")
    assert whole.code == 0, whole
    _no_canary(whole)


def test_scripts_other_than_the_ones_decided_on_are_not_run(
    product: Product, database: Database, tmp_path: Path
) -> None:
    folder = write(tmp_path / "a", {"1_x.up.sql": "CREATE TABLE a ();"})
    request = RunRequest(
        run="r", actor="a", folders=(ScriptFolder(path=str(folder), label=""),), scripts_digest="0" * 64
    )
    ended = product.request(tmp_path, request)
    assert (ended.code, ended.report.reason) == (10, "SourceChanged")
    assert database.relations() == []


def test_a_database_without_an_encoding_is_refused(product: Product, database: Database, tmp_path: Path) -> None:
    name = f"{database.name}_ascii"
    database.execute(f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' TEMPLATE template0")
    folder = write(tmp_path / "a", {"1_x.up.sql": "SELECT 1;"})
    try:
        ended = product.run("--scripts", folder, uri=database.server.uri(name))
    finally:
        database.execute(f"DROP DATABASE {name} WITH (FORCE)")
    assert (ended.code, ended.report.reason) == (20, "UnsupportedEncoding")


def _no_canary(ended: Ended) -> None:
    for form in (CANARY, CANARY_ENCODED, "c4n4ry", "w?rd", "w%3Frd"):
        assert form not in ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("text", "options", "reason"),
    [
        ("SELEC 1;", (), "SyntaxError"),
        ("-- nothing", (), "EmptyMigration"),
        ("SELECT 1;", ("--requires-version", "0.1"), "MissingDependency"),
    ],
)
def test_a_first_run_that_is_refused_leaves_nothing_in_the_database(
    product: Product, database: Database, tmp_path: Path, *, text: str, options: tuple[str, ...], reason: str
) -> None:
    ended = product.run("--scripts", write(tmp_path / "a", {"1_a.up.sql": text}), *options)
    assert (ended.code, ended.report.reason) == (20, reason)
    assert database.value("SELECT to_regnamespace('schema_operator') IS NULL")
