"""Going back with psql alone, and what runs make of it afterwards."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

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


@pytest.mark.parametrize(
    ("version", "error", "hint"),
    [
        (
            "1.1.5",
            "version 1.1.5 is not applied, so there is no way back to it",
            "Applied are 1.3.0 (shop/shop), 1.2.0",
        ),
        ("1.x", "'1.x' is not a version", "Applied are 1.3.0 (shop/shop), 1.2.0 (shop/shop), 1.1.0 (shop/shop), 1.0.0"),
    ],
)
def test_an_unknown_version_lists_what_is_applied(
    product: Product, database: Database, tmp_path: Path, version: str, error: str, hint: str
) -> None:
    shop(product, tmp_path)
    said = refused(database, version)
    assert (said.error, said.hint[: len(hint)]) == (error, hint)


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
