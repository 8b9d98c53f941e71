"""The control schema, installed at once or upgraded from what was released, by whoever may; never half of it."""

from __future__ import annotations

import hashlib
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import psycopg
import pytest

from schema_operator.api.request import Mode, PlannedWork, Resource, RunRequest, ScriptFolder
from schema_operator.history import installation
from schema_operator.scripts.statements import statements_of
from support import psql
from support.postgres import CANARY_ENCODED, Database, Product, finish, until, write
from support.released import FILES, RELEASED, RELEASED_CHECKSUM, install_released

if TYPE_CHECKING:
    from schema_operator.scripts.script import Source

pytestmark = pytest.mark.postgres

NEWEST = installation.newest().text
HISTORY = (
    "SELECT v.version, v.checksum, v.applied_by, s.position, s.owner, s.run, s.up_sql, s.down_sql "
    "FROM schema_operator.schema_versions v JOIN schema_operator.version_scripts s ON s.version_id = v.id ORDER BY 4"
)


def everything(database: Database) -> str:
    """The whole database but for the positions of sequences, which no rollback takes back."""
    return re.sub(r"^SELECT pg_catalog.setval\(.*\n", "", database.dump(), flags=re.MULTILINE)


def control_schema(database: Database) -> str:
    return database.dump("--schema-only", "--schema=schema_operator")


def control_versions(database: Database) -> list[str]:
    return [version for (version,) in database.rows("SELECT version FROM schema_operator.control_versions ORDER BY 1")]


def _run(database: Database, source: Source | None) -> None:
    assert source is not None
    for statement in statements_of(source):
        database.execute(statement.sql)


def test_a_plan_that_nothing_may_run_before_upgrades_the_history_and_nothing_else(
    database: Database, product: Product, tmp_path: Path
) -> None:
    """A person is told to run anything once. Where a plan must be approved before anything runs, nobody would."""
    install_released(database)
    folder = write(tmp_path / "scripts", FILES)
    request = RunRequest(
        run="plan-1",
        actor="shop/shop",
        resource=Resource(namespace="shop", name="shop"),
        folders=(ScriptFolder(path=str(folder), label=""),),
    )
    assert product.run("--scripts", folder, "--plan").report.reason == "ControlSchemaOlder"
    ended = product.request(tmp_path, msgspec.structs.replace(request, mode=Mode.PLAN))
    assert (ended.code, ended.report.versions) == (0, ())
    assert [one.version for one in ended.report.plan or ()] == ["2"]
    assert NEWEST in control_versions(database)
    assert database.applied() == ["1"]
    summary = ended.report.planned
    assert summary is not None
    planned = PlannedWork(digest=summary.digest, position=summary.position)
    assert product.request(tmp_path, msgspec.structs.replace(request, planned=planned)).report.versions == ("2",)


def test_the_released_script_is_the_one_that_is_shipped() -> None:
    assert hashlib.sha256(RELEASED.read_bytes()).hexdigest() == RELEASED_CHECKSUM
    assert installation.scripts().scripts[0].up.checksum == RELEASED_CHECKSUM


def test_an_upgrade_leads_to_what_an_installation_leads_to(
    product: Product, database: Database, tmp_path: Path
) -> None:
    folder = write(tmp_path / "a", FILES)
    install_released(database)
    before = database.rows(HISTORY)
    assert product.run("--scripts", folder, "--as", "shop/shop", "--version", "1").report.versions == ()
    assert database.rows(HISTORY) == before
    upgraded = control_schema(database)
    versions = control_versions(database)
    assert (versions[0], versions[-1]) == ("1", NEWEST)
    assert product.run("--scripts", folder, "--as", "shop/shop").report.versions == ("2",)
    assert product.run("--scripts", folder, "--as", "shop/shop", "--version", "1").code == 20, "2 has no down script"

    database.execute("DROP SCHEMA schema_operator CASCADE")
    assert product.run("--scripts", folder).code == 0
    assert (control_schema(database), control_versions(database)) == (upgraded, versions)


def test_what_the_released_form_applied_is_rolled_back(product: Product, database: Database, tmp_path: Path) -> None:
    install_released(database)
    ended = product.run("--scripts", write(tmp_path / "a", FILES), "--as", "shop/shop", "--version", "0")
    assert (ended.code, ended.report.versions) == (0, ("1",))
    assert database.versions() == ["1", "1-rollback"]


def test_what_the_released_form_applied_is_rolled_back_by_psql(
    product: Product, database: Database, tmp_path: Path
) -> None:
    install_released(database)
    assert product.run("--scripts", write(tmp_path / "a", FILES), "--as", "shop/shop", "--version", "1").code == 0
    said = psql.run(database, "CALL schema_operator.emergency_rollback('0')")
    assert said.code == 0, said
    assert "not archived: what is destroyed by 1_x.down.sql: not all of its statements can be read" in said.notices
    assert (database.versions(), database.applied()) == (["1", "1-rollback"], [])


def test_down_and_up_again_from_each_version(product: Product, database: Database, tmp_path: Path) -> None:
    folder = write(tmp_path / "a", FILES)
    empty = database.dump()
    assert product.run("--scripts", folder).code == 0
    whole = control_schema(database)
    scripts = installation.scripts().scripts
    for count in range(1, len(scripts) + 1):
        for script in reversed(scripts[-count:]):
            _run(database, script.down)
        if count == len(scripts) - 1:
            install = control_schema(database)
            database.execute("DROP SCHEMA schema_operator CASCADE")
            database.execute(RELEASED.read_text())
            assert install == control_schema(database), "version 1 is as it was released"
            database.execute(
                "INSERT INTO schema_operator.control_versions (version, script_name, checksum, applied_by) "
                "VALUES ('1', 'x', 'x', 'x')"
            )
        if count == len(scripts):
            assert database.dump() == empty
        assert product.run("--scripts", folder).code == 0
        assert control_schema(database) == whole


def test_a_baseline_survives_a_downgrade_as_an_application(
    product: Product, database: Database, tmp_path: Path
) -> None:
    folder = write(tmp_path / "a", FILES)
    assert product.run("--scripts", folder).code == 0
    database.execute("UPDATE schema_operator.events SET event = 'Baselined' WHERE version = '2' AND event = 'Applied'")
    for script in reversed(installation.scripts().scripts[2:]):
        _run(database, script.down)
    assert database.value("SELECT count(*) FROM schema_operator.events WHERE event = 'Applied' AND version = '2'") == 1
    assert database.applied() == ["1", "2"]


def test_an_upgrade_that_is_killed_leaves_the_old_one_whole(
    product: Product, database: Database, tmp_path: Path
) -> None:
    folder = write(tmp_path / "a", FILES)
    install_released(database)
    before = everything(database)
    database.execute(
        "CREATE FUNCTION slow() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); END $$;"
        "CREATE EVENT TRIGGER slow ON ddl_command_end WHEN TAG IN ('CREATE VIEW') EXECUTE FUNCTION slow()"
    )
    process = product.start("--scripts", folder)
    asleep = "FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND application_name LIKE 'schema-operator%'"
    database.wait_for(f"SELECT count(*) > 0 {asleep}")
    process.send_signal(signal.SIGKILL)
    finish(process)
    database.rows(f"SELECT pg_terminate_backend(pid) {asleep}")
    database.wait_for("SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name LIKE 'schema-operator%'")
    database.execute("DROP EVENT TRIGGER slow; DROP FUNCTION slow")
    assert everything(database) == before
    assert product.run("--scripts", folder, "--as", "shop/shop").report.versions == ("2",)
    assert control_versions(database)[-1] == NEWEST


def test_an_upgrade_that_fails_leaves_the_old_one_whole_and_says_why(
    product: Product, database: Database, tmp_path: Path
) -> None:
    folder = write(tmp_path / "a", FILES)
    install_released(database)
    database.execute("ALTER TABLE schema_operator.version_scripts ADD COLUMN variables int")
    before = everything(database)
    ended = product.run("--scripts", folder)
    assert (ended.code, ended.report.reason) == (20, "ControlSchemaDamaged")
    assert "variables" in ended.report.message
    assert everything(database) == before
    database.execute("ALTER TABLE schema_operator.version_scripts DROP COLUMN variables")
    assert product.run("--scripts", folder, "--as", "shop/shop").code == 0


def test_runs_that_wait_for_an_upgrade_find_it_done(product: Product, database: Database, tmp_path: Path) -> None:
    folder = write(tmp_path / "a", FILES)
    install_released(database)
    with database.connect() as reader, reader.transaction():
        reader.execute("SELECT FROM schema_operator.events")
        processes = [product.start("--scripts", folder, "--as", "shop/shop") for _ in range(3)]
        guards = "SELECT count(*) >= 3 FROM pg_stat_activity WHERE application_name LIKE 'schema-operator%'"
        until(lambda: bool(database.value(guards)), "all runs are connected")
    ended = [finish(process) for process in processes]
    assert [one.code for one in ended] == [0, 0, 0], ended
    assert sorted(one.report.versions for one in ended) == [(), (), ("2",)]
    assert len(control_versions(database)) == len(set(control_versions(database)))


def test_a_role_that_is_not_the_owner_is_told_who_can_upgrade(
    product: Product, database: Database, role: str, tmp_path: Path
) -> None:
    folder = write(tmp_path / "a", FILES)
    install_released(database)
    database.execute(f"GRANT USAGE ON SCHEMA schema_operator TO {role}")
    database.execute(f"GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA schema_operator TO {role}")
    before = everything(database)
    ended = product.run("--scripts", folder, "--as", "shop/shop", uri=database.uri_of(role, CANARY_ENCODED))
    assert (ended.code, ended.report.reason) == (20, "PermissionDenied")
    for text in (f"version 1 and must be upgraded to {NEWEST}", "the owner of its tables, postgres", f"role {role}"):
        assert text in ended.report.message
    assert "GRANT" not in ended.report.message, "nobody is told to make an application a superuser"
    assert everything(database) == before
    assert product.run("--scripts", folder, "--as", "shop/shop", "--version", "1").code == 0, "the owner can"
    assert control_versions(database)[-1] == NEWEST


def test_a_member_of_the_owner_may_upgrade_and_what_is_added_is_the_owners(
    product: Product, database: Database, role: str, tmp_path: Path
) -> None:
    owner = f"{role}_owner"
    database.execute(f"CREATE ROLE {owner}")
    try:
        folder = write(tmp_path / "a", FILES)
        install_released(database, owner)
        uri = database.uri_of(role, CANARY_ENCODED)
        database.execute(f"GRANT USAGE ON SCHEMA schema_operator TO {role}")
        database.execute(f"GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA schema_operator TO {role}")
        ended = product.run("--scripts", folder, "--as", "shop/shop", uri=uri)
        assert (ended.code, ended.report.reason) == (20, "PermissionDenied")
        grant = f'GRANT "{owner}" TO "{role}"'
        assert ended.report.message.endswith(f"or run: {grant}")
        database.execute(grant)
        assert product.run("--scripts", folder, "--as", "shop/shop", uri=uri).code == 0
        assert _owners(database) == {owner}
    finally:
        database.execute(f"DROP OWNED BY {owner} CASCADE; DROP ROLE {owner}")


def test_what_a_superuser_upgrades_stays_the_owners(
    product: Product, database: Database, role: str, tmp_path: Path
) -> None:
    folder = write(tmp_path / "a", FILES)
    install_released(database, role)
    assert product.run("--scripts", folder, "--as", "shop/shop", "--version", "1").code == 0
    assert _owners(database) == {role}
    assert product.run("--scripts", folder, "--as", "shop/shop", uri=database.uri_of(role, CANARY_ENCODED)).code == 0
    assert database.applied() == ["1", "2"]


def _owners(database: Database) -> set[str]:
    query = (
        "SELECT DISTINCT relowner::regrole::text FROM pg_class "
        "WHERE relnamespace = 'schema_operator'::regnamespace AND relkind IN ('r', 'v', 'S')"
    )
    return {owner for (owner,) in database.rows(query)}


def test_the_history_can_be_read_with_the_privileges_of_the_grants(
    product: Product, database: Database, role: str, tmp_path: Path
) -> None:
    folder = write(tmp_path / "a", FILES)
    assert product.run("--scripts", folder, "--as", "shop/shop").code == 0
    database.execute(f"GRANT USAGE ON SCHEMA schema_operator TO {role}")
    database.execute(f"GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA schema_operator TO {role}")
    write(folder, {**FILES, "3_z.up.sql": "SELECT 4;"})
    ended = product.run("--scripts", folder, "--as", "shop/shop", uri=database.uri_of(role, CANARY_ENCODED))
    assert (ended.code, ended.report.versions) == (0, ("3",))
    with (
        pytest.raises(psycopg.errors.InsufficientPrivilege),
        psycopg.connect(database.uri_of(role, CANARY_ENCODED)) as connection,
    ):
        connection.execute("DELETE FROM schema_operator.schema_versions")
