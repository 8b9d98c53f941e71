"""Folders of other tools on a real server: applied as they are, rolled back by what was stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from dev.cache import CHECKOUT
from dev.postgres.packages import MAJORS

from schema_operator.api.report import Place
from support.postgres import Database, Product

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.postgres

A, B = "CREATE TABLE a ();", "CREATE TABLE b ();"
FOLDERS = {
    "Diesel": {
        "2024-01-15-120000_a/up.sql": A,
        "2024-01-15-120000_a/down.sql": "DROP TABLE a;",
        "20240116120000_b/up.sql": B,
        "20240116120000_b/down.sql": "DROP TABLE b;",
    },
    "goose": {
        "9_a.sql": f"-- +goose Up\n{A}\n-- +goose Down\nDROP TABLE a;\n",
        "10_b.sql": f"-- +goose Up\n{B}\n-- +goose Down\nDROP TABLE b;\n",
    },
    "dbmate": {
        "9_a.sql": f"-- migrate:up\n{A}\n-- migrate:down\nDROP TABLE a;\n",
        "10_b.sql": f"-- migrate:up\n{B}\n-- migrate:down\nDROP TABLE b;\n",
    },
    "Flyway": {"V1_9__a.sql": A, "U1_9__a.sql": "DROP TABLE a;", "V1_10__b.sql": B, "U1_10__b.sql": "DROP TABLE b;"},
    "plain": {"9-a.sql": A, "9-a.down.sql": "DROP TABLE a;", "10-b.sql": B, "10-b_down.sql": "DROP TABLE b;"},
}


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("files", FOLDERS.values(), ids=FOLDERS)
def test_a_folder_is_applied_in_order_and_rolled_back(
    product: Product, database: Database, tmp_path: Path, files: dict[str, str]
) -> None:
    folder = write(tmp_path / "scripts", files)
    ended = product.run("--scripts", folder, "--as", "shop/shop")
    assert (ended.code, database.relations()) == (0, ["a", "b"]), ended
    first, _ = ended.report.versions
    ended = product.run("--scripts", folder, "--as", "shop/shop", "--version", first)
    assert (ended.code, database.relations()) == (0, ["a"]), ended
    ended = product.run("--scripts", folder, "--as", "shop/shop", "--version", "0")
    assert (ended.code, database.relations()) == (0, []), ended


@pytest.mark.parametrize("server", [MAJORS[-1]], indirect=True)
@pytest.mark.parametrize("folder", ["kustomize/schema/scripts", "helm/shop/migrations"])
def test_the_scripts_of_the_examples_are_applied_and_rolled_back(
    product: Product, database: Database, folder: str
) -> None:
    scripts = ("--scripts", CHECKOUT / "examples" / folder, "--as", "shop/shop")
    ended = product.run(*scripts, "--version", "1.1.0")
    assert (ended.code, ended.report.versions) == (0, ("1.0.0", "1.1.0")), ended
    assert [item.result for item in ended.report.verification] == ["Passed"]
    ended = product.run(*scripts, "--version", "1.0.0")
    assert (ended.code, ended.report.versions) == (0, ("1.1.0",)), ended
    ended = product.run(*scripts, "--version", "0")
    assert (ended.code, database.relations()) == (0, []), ended


def test_an_error_in_a_section_is_named_with_the_line_of_the_file(product: Product, tmp_path: Path) -> None:
    up = "-- what for\n-- +goose Up\nSELECT 1;\nSELECT\n  no_such_column;\n-- +goose Down\n"
    ended = product.run("--scripts", write(tmp_path / "scripts", {"1_a.sql": up}))
    assert ended.code == 21
    assert ended.report.place == Place(
        version="1", file="1_a.sql", statement=2, statements=2, line=5, column=3, sqlstate="42703"
    )


def test_a_header_describes_a_version_in_the_history(product: Product, database: Database, tmp_path: Path) -> None:
    text = "-- schema-operator: description=Open the shop\nSELECT 1;"
    assert product.run("--scripts", write(tmp_path / "scripts", {"1_a.up.sql": text})).code == 0
    assert database.rows("SELECT description FROM schema_operator.schema_versions") == [("Open the shop",)]


def test_an_empty_way_back_rolls_back_nothing_and_is_recorded(
    product: Product, database: Database, tmp_path: Path
) -> None:
    files = {
        "1_a.sql": f"-- +goose Up\n{A}\n-- +goose Down\n",
        "2_b.sql": f"-- +goose Up\n{B}\n-- +goose Down\n-- no\n",
    }
    folder = write(tmp_path / "scripts", files)
    assert product.run("--scripts", folder, "--as", "shop/shop").code == 0
    ended = product.run("--scripts", folder, "--as", "shop/shop", "--version", "1")
    assert (ended.code, ended.report.versions, database.relations()) == (0, ("2",), ["a", "b"])
