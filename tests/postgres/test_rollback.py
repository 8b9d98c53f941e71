"""Rolling back on a real server, by the one rule: what is above the wanted version and ours goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from schema_operator.api.request import Resource, RunRequest, ScriptFolder, Verification
from support.postgres import Database, Product, write

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.postgres

SHOP = {
    "1.0.0_first.up.sql": "CREATE TABLE item (id int PRIMARY KEY);",
    "1.0.0_first.down.sql": "DROP TABLE item;",
    "1.1.0_name.up.sql": "ALTER TABLE item ADD COLUMN name text;",
    "1.1.0_name.down.sql": "ALTER TABLE item DROP COLUMN name;",
    "1.2.0_price.up.sql": "CREATE TABLE price (item int REFERENCES item);",
    "1.2.0_price.down.sql": "DROP TABLE price;",
}
FIRST = {name: text for name, text in SHOP.items() if name.startswith("1.0.0")}


def _apply(product: Product, folder: Path, *arguments: str) -> None:
    ended = product.run("--scripts", folder, "--as", "shop/shop", *arguments)
    assert ended.code == 0, ended


def test_lowering_raising_and_removing_the_version(product: Product, database: Database, tmp_path: Path) -> None:
    folder = write(tmp_path / "scripts", SHOP)
    _apply(product, folder)
    schema = database.dump("--schema-only", "--exclude-schema=schema_operator")

    ended = product.run("--scripts", folder, "--as", "shop/shop", "--version", "1.0.0")
    assert (ended.code, ended.report.action, ended.report.versions) == (0, "Rollback", ("1.2.0", "1.1.0"))
    assert (ended.report.version_before, ended.report.version) == ("1.2.0", "1.0.0")
    assert (database.applied(), database.relations()) == (["1.0.0"], ["item"])
    assert database.versions() == ["1.0.0", "1.1.0", "1.2.0", "1.2.0-rollback", "1.1.0-rollback"]
    query = "SELECT description, script_name FROM schema_operator.schema_versions WHERE version = '1.2.0-rollback'"
    assert database.rows(query) == [("Rollback of 1.2.0", "1.2.0_price.down.sql")]

    _apply(product, folder, "--version", "1.1")
    assert database.applied() == ["1.0.0", "1.1.0"]
    _apply(product, folder)
    assert database.applied() == ["1.0.0", "1.1.0", "1.2.0"]
    assert database.dump("--schema-only", "--exclude-schema=schema_operator") == schema


@pytest.mark.parametrize("changed", [False, True], ids=["as it was", "changed since"])
def test_an_error_in_a_way_back_that_shares_its_file_is_told_by_the_line_of_the_file(
    product: Product, tmp_path: Path, *, changed: bool
) -> None:
    up = "-- +goose Up\nCREATE TABLE item ();\n"
    down = "-- +goose Down\nDROP TABLE item;\nDROP TABLE nothing;\n"
    folder = write(tmp_path / "scripts", {"1_a.sql": up + down})
    _apply(product, folder)
    if changed:
        write(folder, {"1_a.sql": up + "-- +goose Down\n-- by now\nDROP TABLE item;\n"})
    ended = product.run("--scripts", folder, "--as", "shop/shop", "--version", "0")
    assert ended.report.reason == "ObjectNotFound"
    assert ended.report.place is not None
    assert (ended.report.place.file, ended.report.place.line) == ("1_a.sql", 3 if changed else 5)


def test_rolling_back_works_when_the_files_are_gone(product: Product, database: Database, tmp_path: Path) -> None:
    folder = write(tmp_path / "scripts", SHOP)
    _apply(product, folder)
    ended = product.run("--scripts", write(folder, FIRST), "--as", "shop/shop", "--version", "1.0.0")
    assert (ended.code, ended.report.versions) == (0, ("1.2.0", "1.1.0"))
    assert database.relations() == ["item"]


def test_the_newest_script_is_wanted_where_no_version_is(product: Product, database: Database, tmp_path: Path) -> None:
    folder = write(tmp_path / "scripts", SHOP)
    _apply(product, folder)
    _apply(product, write(folder, FIRST))
    assert database.applied() == ["1.0.0"]


def test_version_zero_is_nothing(product: Product, database: Database, tmp_path: Path) -> None:
    _apply(product, write(tmp_path / "scripts", SHOP))
    ended = product.run("--scripts", tmp_path / "scripts", "--as", "shop/shop", "--version", "0")
    assert (ended.code, ended.report.version) == (0, "0")
    assert (database.applied(), database.relations()) == ([], [])


def test_the_stored_script_is_run_and_not_the_present_one(product: Product, database: Database, tmp_path: Path) -> None:
    folder = write(tmp_path / "scripts", SHOP)
    _apply(product, folder)
    write(folder, {**SHOP, "1.2.0_price.down.sql": "SELECT 1 / 0;", "1.2.0_price.up.sql": "SELECT 2;"})
    _apply(product, folder, "--version", "1.1.0")
    assert database.relations() == ["item"]


def test_a_rollback_that_fails_leaves_its_version_whole(product: Product, database: Database, tmp_path: Path) -> None:
    files = {**SHOP, "1.1.0_name.down.sql": "ALTER TABLE item DROP COLUMN name;\nDROP TABLE missing;"}
    _apply(product, write(tmp_path / "scripts", files))
    ended = product.run("--scripts", tmp_path / "scripts", "--as", "shop/shop", "--version", "1.0.0")
    assert (ended.code, ended.report.reason) == (21, "ObjectNotFound")
    assert ended.report.place is not None
    assert (ended.report.place.file, ended.report.place.line) == ("1.1.0_name.down.sql", 2)
    assert ended.report.versions == ("1.2.0",)
    assert database.applied() == ["1.0.0", "1.1.0"]
    assert database.rows("SELECT name FROM item") == []


def test_versions_of_others_stay(product: Product, database: Database, tmp_path: Path) -> None:
    other = {"9.0_other.up.sql": "CREATE TABLE other ();", "9.0_other.down.sql": "DROP TABLE other;"}
    assert product.run("--scripts", write(tmp_path / "other", other), "--as", "shop/other").code == 0
    _apply(product, write(tmp_path / "scripts", SHOP))
    _apply(product, tmp_path / "scripts", "--version", "0")
    assert database.applied() == ["9.0"]


def test_the_resources_checks_run_after_a_rollback_too(product: Product, database: Database, tmp_path: Path) -> None:
    folder = write(tmp_path / "scripts", SHOP)
    _apply(product, folder)
    request = RunRequest(
        run="run-2",
        actor="tester",
        resource=Resource(namespace="shop", name="shop"),
        folders=(ScriptFolder(path=str(folder), label=""),),
        version="1.1.0",
        verify=(Verification(name="price", sql="SELECT to_regclass('price') IS NOT NULL"),),
    )
    ended = product.request(tmp_path, request)
    assert (ended.code, ended.report.reason, ended.report.versions) == (22, "VerificationFailed", ("1.2.0",))
    assert database.applied() == ["1.0.0", "1.1.0"]
