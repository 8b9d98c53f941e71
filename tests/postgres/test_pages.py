"""docs/archives.md and docs/history.md: every block of SQL is run by psql, and prints what stands below it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg
import pytest
from dev.postgres.server import PASSWORD

from support.page import Terminal, comparable, parts
from support.postgres import OLDEST_AND_NEWEST, Product, write

if TYPE_CHECKING:
    from support.postgres import Database

pytestmark = [pytest.mark.postgres, OLDEST_AND_NEWEST]

DOCS = Path(__file__).parents[2] / "docs"
Stage = Callable[[Product, Path], None]
ROLES: Final = ("ops", "reader", "auditor")
"""Those that docs/history.md lets do something."""


def _destroyed(product: Product, folder: Path) -> None:
    product.database.execute(
        "CREATE TABLE item (id int PRIMARY KEY, price int); INSERT INTO item VALUES (1, 10), (2, 20), (3, 30);"
        "CREATE TABLE cart (id int PRIMARY KEY, item int, amount int); INSERT INTO cart VALUES (1, 3, 2), (2, 1, 1)"
    )
    _apply(product, folder, {"1_less.up.sql": "ALTER TABLE item DROP COLUMN price; TRUNCATE cart"})


def _gone_on(product: Product, _: Path) -> None:
    product.database.execute(
        "ALTER TABLE item ADD COLUMN price int; UPDATE item SET price = 35 WHERE id = 3;"
        "DELETE FROM item WHERE id = 2; INSERT INTO item VALUES (4)"
    )


ARCHIVES: Final[dict[str, Stage]] = {
    "version 1 has dropped a column and emptied a table": _destroyed,
    "an item is new, one is gone, and one has a price again": _gone_on,
}
VERSIONS: Final = {
    "1.0.0_products.up.sql": "CREATE TABLE product (id int PRIMARY KEY); INSERT INTO product VALUES (7)",
    "1.1.0_stock.up.sql": "CREATE TABLE stock (id int)",
    "1.1.0_stock.down.sql": "DROP TABLE stock",
    "1.2.0_less.up.sql": "TRUNCATE product",
    "1.2.0_less.down.sql": "SELECT 1",
}


def _applied(product: Product, folder: Path) -> None:
    _apply(product, folder, VERSIONS)


def _undone(product: Product, folder: Path) -> None:
    assert product.database.applied() == ["1.0.0", "1.1.0"], "the block above has rolled it back"
    _apply(product, folder, VERSIONS, "--allow", "Reapply")


HISTORY: Final[dict[str, Stage]] = {"1.2.0 is applied": _applied, "1.2.0 was undone by hand": _undone}


def _apply(product: Product, folder: Path, files: dict[str, str], *arguments: str) -> None:
    ended = product.run("--scripts", write(folder / "scripts", files), *arguments)
    assert ended.code == 0, ended


def play(page: str, stages: dict[str, Stage], product: Product, folder: Path) -> None:
    """Play a page from its first block to its last."""
    found = parts(DOCS / page)
    assert {part.text for part in found if part.kind == "stage"} == set(stages)
    terminal, printed = Terminal(product.database.uri), ""
    try:
        for part in found:
            match part.kind:
                case "stage":
                    stages[part.text](product, folder)
                case "sql":
                    printed = terminal.answer(part.text)
                    assert printed, f"line {part.line}"
                    assert "ERROR" not in printed, f"line {part.line}: {printed}"
                case "text":
                    assert comparable(printed) == comparable(part.text), f"line {part.line}"
                case _:
                    raise AssertionError(f"line {part.line}: nobody plays {part.kind}")
    finally:
        terminal.close()


def test_the_page_about_archives(product: Product, tmp_path: Path) -> None:
    play("archives.md", ARCHIVES, product, tmp_path)


@contextmanager
def roles(database: Database) -> Iterator[None]:
    for role in ROLES:
        database.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
    try:
        yield
    finally:
        for role in ROLES:
            database.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_the_page_about_the_history_and_who_may_read_archived_rows(product: Product, tmp_path: Path) -> None:
    database = product.database
    with roles(database):
        play("history.md", HISTORY, product, tmp_path)
        assert database.applied() == ["1.0.0", "1.1.0"], "it is written down that 1.2.0 was undone"
        readable = {role: _readable(database, role) for role in ROLES}
        assert database.rows("TABLE schema_operator.archive_1") == [(7,)]
        assert {"archive_1", "recovery_conflicts", "batch_positions"} <= readable["reader"]
        of_rows = {one for one in readable["reader"] if one.startswith("archive_")}
        assert of_rows == {"archive_1", "archive_2"}, "1.2.0 was applied twice"
        assert readable["auditor"] == readable["reader"] - of_rows - {"recovery_conflicts", "batch_positions"}
        _go_back(database)


def _readable(database: Database, role: str) -> set[str]:
    """Give the tables and views of the control schema that a role can really read."""
    found = set()
    with psycopg.connect(database.uri_of(role), autocommit=True) as connection:
        for name in database.relations("schema_operator"):
            try:
                connection.execute(f"TABLE schema_operator.{name}".encode())
            except psycopg.errors.InsufficientPrivilege:
                continue
            found.add(name)
    return found


def _go_back(database: Database) -> None:
    """As the role that the page lets work in an emergency; it owns nothing, so only what is recorded is its to do."""
    with psycopg.connect(database.uri_of("ops"), autocommit=True) as connection:
        connection.execute(b"CALL schema_operator.record_rollback('1.1.0')")
    assert database.applied() == ["1.0.0"]
