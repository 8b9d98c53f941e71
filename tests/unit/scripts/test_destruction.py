"""What statements destroy, told by their text."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schema_operator.scripts import destruction, grammar
from schema_operator.scripts.destruction import Destroyed, Kind, as_json, destroyed_by, may_destroy
from schema_operator.scripts.script import Source
from schema_operator.scripts.statements import Statement, statements_of


def statement(sql: str) -> Statement:
    (one,) = statements_of(Source("x", sql, ""))
    return one


def column(table: str, name: str, schema: str | None = None, *, cascade: bool = False, only: bool = False) -> Destroyed:
    return Destroyed(Kind.COLUMN, schema, table, name, cascade=cascade, only=only)


def table(name: str, schema: str | None = None, *, cascade: bool = False) -> Destroyed:
    return Destroyed(Kind.TABLE, schema, name, cascade=cascade)


def rows(name: str, schema: str | None = None, *, cascade: bool = False, only: bool = False) -> Destroyed:
    return Destroyed(Kind.ROWS, schema, name, cascade=cascade, only=only)


def deleted(name: str, schema: str | None = None, *, only: bool = False) -> Destroyed:
    return Destroyed(Kind.ROWS, schema, name, only=only, deletes=True)


def other(what: str, name: str, schema: str | None = None, *, cascade: bool = True) -> Destroyed:
    return Destroyed(Kind.OBJECT, schema, name, cascade=cascade, what=what)


DESTROYING: dict[str, tuple[Destroyed, ...]] = {
    "DROP TABLE item": (table("item"),),
    "drop table if exists Item": (table("item"),),
    'DROP TABLE IF EXISTS shop."It""em", b CASCADE': (table('It"em', "shop", cascade=True), table("b", cascade=True)),
    "DROP TABLE /* not */ a -- this\n, b RESTRICT": (table("a"), table("b")),
    'DROP TABLE U&"d\\0061ta"': (table("data"),),
    "DROP TABLE db.shop.item": (table("item", "shop"),),
    "ALTER TABLE item DROP COLUMN a": (column("item", "a"),),
    "ALTER TABLE item DROP a": (column("item", "a"),),
    "ALTER TABLE IF EXISTS ONLY shop.item DROP COLUMN IF EXISTS a CASCADE": (
        column("item", "a", "shop", cascade=True, only=True),
    ),
    'ALTER TABLE item * DROP COLUMN a, ADD COLUMN b int, DROP COLUMN "C d" CASCADE, DROP e RESTRICT': (
        column("item", "a"),
        column("item", "C d", cascade=True),
        column("item", "e"),
    ),
    "ALTER TYPE pair DROP ATTRIBUTE a CASCADE": (column("pair", "a", cascade=True, only=True),),
    "TRUNCATE item": (rows("item"),),
    "TRUNCATE TABLE ONLY shop.item, b * RESTART IDENTITY CASCADE": (
        rows("item", "shop", cascade=True, only=True),
        rows("b", cascade=True),
    ),
    "TRUNCATE TABLE item CONTINUE IDENTITY RESTRICT": (rows("item"),),
    "DELETE FROM item": (deleted("item"),),
    "DELETE FROM ONLY shop.item AS i": (deleted("item", "shop", only=True),),
    "DELETE FROM item RETURNING id": (deleted("item"),),
    "DELETE FROM item USING other": (deleted("item"),),
    "DELETE FROM item WHERE true": (deleted("item"),),
    "DELETE FROM item WHERE 1 = 1 AND NOT false": (deleted("item"),),
    "WITH gone AS (DELETE FROM item RETURNING *) INSERT INTO kept SELECT * FROM gone": (deleted("item"),),
    "WITH a AS (DELETE FROM item), b AS (DELETE FROM other WHERE id = 1) SELECT 1": (deleted("item"),),
    "WITH a AS (SELECT 1) DELETE FROM item": (deleted("item"),),
    "WITH d AS (DELETE FROM item RETURNING *) UPDATE kept SET n = 1 FROM d": (deleted("item"),),
    "CREATE TABLE kept AS WITH gone AS (DELETE FROM item RETURNING *) SELECT * FROM gone": (deleted("item"),),
    "DROP SCHEMA shop, other CASCADE": (other("schema", "shop"), other("schema", "other")),
    "DROP TYPE shop.mood, kind[] CASCADE": (other("type", "mood", "shop"), other("type", "kind")),
    "DROP DOMAIN price CASCADE": (other("type", "price"),),
    "DROP EXTENSION hstore": (other("extension", "hstore", cascade=False),),
    "DROP EXTENSION hstore CASCADE": (other("extension", "hstore"),),
    "DROP COLLATION shop.german CASCADE": (other("collation", "german", "shop"),),
    "DROP VIEW v CASCADE": (other("view", "v"),),
    "DROP MATERIALIZED VIEW v CASCADE": (other("materialized view", "v"),),
    "DROP FOREIGN TABLE f CASCADE": (other("foreign table", "f"),),
    "DROP SERVER s CASCADE": (other("server", "s"),),
    "DROP ACCESS METHOD columnar CASCADE": (other("access method", "columnar"),),
    'DROP OWNED BY "Some role", app CASCADE': (
        Destroyed(Kind.OWNED, None, "Some role", cascade=True),
        Destroyed(Kind.OWNED, None, "app", cascade=True),
    ),
    "DROP OWNED BY CURRENT_USER": (Destroyed(Kind.UNKNOWN, None, ""),),
    "DROP TABEL item": (Destroyed(Kind.UNKNOWN, None, ""),),
    "DROP TABLE :name": (Destroyed(Kind.UNKNOWN, None, ""),),
}

SPARING = [
    "SELECT 'drop table item'",
    "CREATE TABLE item (id int)",
    "CREATE TABLE dropped AS SELECT 'delete from item'",
    "ALTER TABLE item ADD COLUMN a int",
    "ALTER TABLE item ALTER COLUMN a DROP DEFAULT, ALTER COLUMN a DROP NOT NULL",
    "ALTER TABLE item DROP CONSTRAINT item_pkey CASCADE",
    "ALTER TABLE item DETACH PARTITION part",
    "ALTER VIEW v ALTER COLUMN a DROP DEFAULT",
    "DELETE FROM item WHERE id = 1",
    "DELETE FROM item WHERE random() < 0.5",
    "DELETE FROM item USING other WHERE item.id = other.id",
    "DELETE FROM item WHERE EXISTS (SELECT 1)",
    "DELETE FROM item WHERE CURRENT OF cursor",
    "UPDATE item SET a = 'delete'",
    "INSERT INTO item VALUES ('delete from item')",
    "DO $$ BEGIN DELETE FROM item; DROP TABLE item; END $$",
    "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'DELETE FROM item'",
    "CREATE RULE r AS ON INSERT TO item DO ALSO DELETE FROM other",
    "PREPARE p AS DELETE FROM item",
    "EXPLAIN DELETE FROM item",
    "DROP TYPE mood",
    "DROP SCHEMA shop",
    "DROP VIEW v",
    "DROP INDEX CONCURRENTLY i",
    "DROP FUNCTION f CASCADE",
    "DROP SEQUENCE s CASCADE",
    "DROP TRIGGER t ON item",
    "DROP DATABASE other",
]


@pytest.mark.parametrize(("sql", "expected"), DESTROYING.items(), ids=DESTROYING.keys())
def test_what_a_statement_destroys_is_told(sql: str, expected: tuple[Destroyed, ...]) -> None:
    assert destroyed_by(statement(sql)) == expected
    assert may_destroy(statement(sql))


@pytest.mark.parametrize("sql", SPARING)
def test_other_statements_destroy_nothing(sql: str) -> None:
    assert destroyed_by(statement(sql)) == ()
    assert not may_destroy(statement(sql))


def test_most_statements_are_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    def parse(sql: str) -> None:
        raise AssertionError(f"parsed: {sql}")

    monkeypatch.setattr(grammar, "tree_of", parse)
    for sql in ("CREATE TABLE a ()", "INSERT INTO a VALUES (1)", "ALTER TABLE a ADD b int", "DROP INDEX i", "SELECT 1"):
        assert destroyed_by(statement(sql)) == ()


def test_what_cannot_be_read_may_destroy_something(monkeypatch: pytest.MonkeyPatch) -> None:
    destruction._destroyed.cache_clear()
    monkeypatch.setattr(grammar, "tree_of", lambda _sql: None)
    assert destroyed_by(statement("DROP TABLE item")) == (Destroyed(Kind.UNKNOWN, None, ""),)
    destruction._destroyed.cache_clear()


FLAGS = {"cascade": False, "only": False, "deletes": False}
WRITTEN: list[tuple[str, list[dict[str, Any]]]] = [
    ('DROP TABLE a."B""c"', [{"kind": "table", "name": '"a"."B""c"', "column": None, **FLAGS}]),
    ("ALTER TABLE a DROP b", [{"kind": "column", "name": '"a"', "column": "b", **FLAGS}]),
    ("DELETE FROM a", [{"kind": "rows", "name": '"a"', "column": None, **FLAGS, "deletes": True}]),
    ("DROP SCHEMA a CASCADE", [{"kind": "object", "class": "schema", "name": ["a"], "cascade": True}]),
    ("DROP TYPE a.b CASCADE", [{"kind": "object", "class": "type", "name": ['"a"."b"'], "cascade": True}]),
    ("DROP VIEW a.b CASCADE", [{"kind": "object", "class": "view", "name": ["a", "b"], "cascade": True}]),
    ("DROP OWNED BY a", [{"kind": "owned", "name": "a", "cascade": False}]),
    ("DROP TABEL a", []),
]


@pytest.mark.parametrize(("sql", "expected"), WRITTEN, ids=[sql for sql, _ in WRITTEN])
def test_it_is_written_as_the_server_reads_it(sql: str, expected: list[dict[str, Any]]) -> None:
    assert json.loads(as_json(destroyed_by(statement(sql)))) == expected
