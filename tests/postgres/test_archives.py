"""What a version destroys comes back with its rollback: the database is as it was, to the letter of a dump."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from support.postgres import OLDEST_AND_NEWEST, Database, Product, write

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.postgres, OLDEST_AND_NEWEST]

NOTHING = "-- the archive does it"


class Case(NamedTuple):
    before: str
    destroys: str
    down: str = NOTHING
    archives: int = 1


FULL_TABLE = """
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'a trigger has fired'; END $$;
CREATE TABLE shop (id int PRIMARY KEY, name text UNIQUE);
INSERT INTO shop VALUES (1, 'a'), (2, 'b');
CREATE TABLE item (
    id bigint GENERATED ALWAYS AS IDENTITY (START WITH 10 INCREMENT BY 5) PRIMARY KEY,
    number serial,
    shop int NOT NULL REFERENCES shop ON DELETE CASCADE,
    name varchar(20) COLLATE "C" DEFAULT 'none' NOT NULL,
    price numeric(8, 2) CHECK (price > 0),
    twice numeric GENERATED ALWAYS AS (price * 2) STORED,
    at timestamptz DEFAULT '2026-01-01 00:00+00',
    tags text[],
    UNIQUE (shop, name)
) WITH (fillfactor = 70);
CREATE INDEX item_price ON item (price) WHERE price > 5;
CREATE TABLE review (item bigint REFERENCES item ON UPDATE CASCADE, words text);
COMMENT ON TABLE item IS 'it''s an item';
COMMENT ON COLUMN item.name IS 'its name';
COMMENT ON CONSTRAINT item_price_check ON item IS 'never for nothing';
INSERT INTO item (shop, name, price, tags)
SELECT 1 + n % 2, 'n' || n, n, CASE WHEN n % 2 = 0 THEN ARRAY['a', NULL, 'b,c'] END FROM generate_series(1, 50) AS n;
INSERT INTO review SELECT id, 'good' FROM item LIMIT 5;
CREATE TRIGGER note BEFORE INSERT OR UPDATE ON item FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER quiet BEFORE DELETE ON item FOR EACH ROW EXECUTE FUNCTION note();
ALTER TABLE item DISABLE TRIGGER quiet;
CREATE POLICY cheap ON item FOR SELECT USING (price < 10);
ALTER TABLE item ENABLE ROW LEVEL SECURITY;
GRANT SELECT, INSERT ON item TO PUBLIC;
GRANT UPDATE (name) ON item TO PUBLIC;
"""
PARTS = """
CREATE TABLE sale (id int, year int NOT NULL, price numeric DEFAULT 1, PRIMARY KEY (id, year)) PARTITION BY LIST (year);
CREATE TABLE sale_2025 PARTITION OF sale FOR VALUES IN (2025);
CREATE TABLE sale_new PARTITION OF sale FOR VALUES IN (2026, 2027) PARTITION BY RANGE (id);
CREATE TABLE sale_few PARTITION OF sale_new FOR VALUES FROM (0) TO (10);
CREATE TABLE sale_many PARTITION OF sale_new DEFAULT;
CREATE INDEX ON sale (price);
INSERT INTO sale SELECT n, 2025 + n % 3, n FROM generate_series(1, 30) AS n;
"""
HEIRS = """
CREATE TABLE base (id int PRIMARY KEY, name text DEFAULT 'x');
CREATE TABLE heir (more int, PRIMARY KEY (id)) INHERITS (base);
INSERT INTO base SELECT n, 'b' || n FROM generate_series(1, 3) AS n;
INSERT INTO heir SELECT n, 'h' || n, n FROM generate_series(1, 3) AS n;
"""
TREE = """
CREATE TABLE low (id int PRIMARY KEY, middle int, above int REFERENCES low);
CREATE TABLE top (id int PRIMARY KEY, name text);
CREATE TABLE middle (id int PRIMARY KEY, top int REFERENCES top ON DELETE CASCADE);
ALTER TABLE low ADD FOREIGN KEY (middle) REFERENCES middle ON DELETE CASCADE;
INSERT INTO top VALUES (1, 'a'), (2, 'b');
INSERT INTO middle VALUES (1, 1), (2, 2), (3, NULL);
INSERT INTO low VALUES (1, 1, NULL), (2, 2, 1), (3, NULL, NULL);
"""
MOODS = """
CREATE TYPE mood AS ENUM ('ok', 'bad');
CREATE DOMAIN price AS numeric CHECK (VALUE > 0);
CREATE TYPE pair AS (a int, b text);
CREATE TABLE item (id int PRIMARY KEY, cost price, two pair, moods mood[], mood mood DEFAULT 'bad');
INSERT INTO item VALUES (1, 2.50, '(1,"a, b")', '{ok,bad}', 'ok'), (2, NULL, NULL, NULL, NULL);
"""

CASES = {
    "a column with all that it has": Case(
        "CREATE TABLE item (id int PRIMARY KEY, price numeric(8, 2) NOT NULL CONSTRAINT positive CHECK (price > 0));"
        "CREATE INDEX by_price ON item (price); COMMENT ON COLUMN item.price IS 'in euros';"
        "GRANT SELECT (price) ON item TO PUBLIC; INSERT INTO item SELECT n, n / 3.0 FROM generate_series(1, 100) AS n",
        "ALTER TABLE item DROP COLUMN price",
    ),
    "a column with a default": Case(
        "CREATE TABLE item (id int PRIMARY KEY, name text NOT NULL DEFAULT 'none');"
        "INSERT INTO item VALUES (1, 'a'), (2, 'none'), (3, 'c')",
        "ALTER TABLE item DROP name",
    ),
    "a column that the down script makes again": Case(
        "CREATE TABLE item (id int PRIMARY KEY, name text NOT NULL DEFAULT 'none');"
        "INSERT INTO item VALUES (1, 'a'), (2, 'none'), (3, 'c')",
        "ALTER TABLE item DROP name",
        "ALTER TABLE item ADD COLUMN name text NOT NULL DEFAULT 'none'",
    ),
    "columns of types without equality": Case(
        "CREATE TABLE item (id int PRIMARY KEY, a json, b point, c xml, d int4range, e bytea, f interval);"
        "INSERT INTO item VALUES (1, '{\"a\": 1}', '(1,2)', '<a/>', '[1,5)', '\\x00ff', '1 day 02:00');"
        "INSERT INTO item VALUES (2)",
        "ALTER TABLE item DROP a, DROP b, DROP c, DROP d, DROP e, DROP f",
    ),
    "an identity, known by another key": Case(
        "CREATE TABLE item (name text PRIMARY KEY, id int GENERATED BY DEFAULT AS IDENTITY);"
        "INSERT INTO item SELECT 'n' || n FROM generate_series(1, 10) AS n",
        "ALTER TABLE item DROP id",
    ),
    "a serial number": Case(
        "CREATE TABLE item (name text PRIMARY KEY, number serial);"
        "INSERT INTO item SELECT 'n' || n FROM generate_series(1, 10) AS n",
        "ALTER TABLE item DROP number",
    ),
    "a column in two statements, then its table": Case(
        "CREATE TABLE item (id int PRIMARY KEY, a int, b text); INSERT INTO item VALUES (1, 2, 'c'), (2, NULL, 'd')",
        "ALTER TABLE item DROP b; ALTER TABLE item DROP a; DROP TABLE item",
        archives=3,
    ),
    "a table with all that it has": Case(FULL_TABLE, "DROP TABLE item CASCADE"),
    "a table that the down script makes again": Case(
        "CREATE TABLE item (id int PRIMARY KEY, name text); INSERT INTO item VALUES (1, 'a'), (2, 'b')",
        "DROP TABLE item",
        "CREATE TABLE item (id int PRIMARY KEY, name text)",
    ),
    "a table without a key": Case(
        "CREATE TABLE item (id int, name text); INSERT INTO item VALUES (1, 'a'), (1, 'a'), (NULL, NULL)",
        "DROP TABLE item",
    ),
    "a table without columns": Case("CREATE TABLE item (); INSERT INTO item DEFAULT VALUES", "DROP TABLE item"),
    "an unlogged table in a place of odd names": Case(
        'CREATE SCHEMA "My shop"; CREATE UNLOGGED TABLE "My shop"."It""em" ("Id %" int PRIMARY KEY, "a\'b" text);'
        'INSERT INTO "My shop"."It""em" VALUES (1, \'x\')',
        'DROP TABLE "My shop"."It""em"',
    ),
    "two tables that need each other": Case(
        "CREATE TABLE a (id int PRIMARY KEY, b int); CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a);"
        "ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b; INSERT INTO a VALUES (1, NULL); INSERT INTO b VALUES (1, 1);"
        "UPDATE a SET b = 1",
        "DROP TABLE a, b",
        archives=2,
    ),
    "rows, then their table": Case(
        "CREATE TABLE item (id int PRIMARY KEY); INSERT INTO item VALUES (1), (2)",
        "DELETE FROM item; DROP TABLE item",
        archives=2,
    ),
    "rows that are truncated": Case(
        "CREATE TABLE item (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
        "twice int GENERATED ALWAYS AS (id * 2) STORED);"
        "INSERT INTO item SELECT FROM generate_series(1, 10)",
        "TRUNCATE item RESTART IDENTITY",
    ),
    "rows without a key": Case(
        "CREATE TABLE item (id int); INSERT INTO item VALUES (1), (1)", "DELETE FROM item WHERE true"
    ),
    "rows that foreign keys delete": Case(TREE, "DELETE FROM top", archives=3),
    "rows that are truncated with those that need them": Case(TREE, "TRUNCATE top CASCADE", archives=3),
    "rows under a table with triggers": Case(
        FULL_TABLE, "ALTER TABLE item ENABLE TRIGGER note; DELETE FROM review; DELETE FROM item", archives=2
    ),
    "a partitioned table": Case(PARTS, "DROP TABLE sale"),
    "a partition": Case(PARTS, "DROP TABLE sale_2025"),
    "a partition that is partitioned": Case(PARTS, "DROP TABLE sale_new"),
    "rows of a partitioned table": Case(PARTS, "TRUNCATE sale"),
    "rows of a partition": Case(PARTS, "DELETE FROM sale_new"),
    "a column of a partitioned table": Case(PARTS, "ALTER TABLE sale DROP price"),
    "a table with its heirs": Case(HEIRS, "DROP TABLE base CASCADE", archives=2),
    "an heir": Case(HEIRS, "DROP TABLE heir"),
    "rows with those of heirs": Case(HEIRS, "DELETE FROM base", archives=2),
    "rows without those of heirs": Case(HEIRS, "DELETE FROM ONLY base"),
    "columns whose types go with them": Case(
        MOODS,
        "ALTER TABLE item DROP cost, DROP two, DROP moods, DROP mood; DROP TYPE mood; "
        "DROP TYPE pair; DROP DOMAIN price",
        "CREATE TYPE mood AS ENUM ('ok', 'bad'); CREATE DOMAIN price AS numeric CHECK (VALUE > 0);"
        "CREATE TYPE pair AS (a int, b text)",
    ),
    "a type with the columns that need it": Case(
        MOODS, "DROP TYPE mood CASCADE", "CREATE TYPE mood AS ENUM ('ok', 'bad')"
    ),
    "a schema with all that is in it": Case(
        "CREATE SCHEMA shop; CREATE TABLE shop.a (id serial PRIMARY KEY);"
        "CREATE TABLE shop.b (a int REFERENCES shop.a);"
        "CREATE TABLE other (id int PRIMARY KEY, a int REFERENCES shop.a);"
        "INSERT INTO shop.a VALUES (DEFAULT), (DEFAULT);"
        "INSERT INTO shop.b VALUES (1); INSERT INTO other VALUES (1, 2)",
        "DROP SCHEMA shop CASCADE",
        "CREATE SCHEMA shop",
        archives=2,
    ),
    "a table that was renamed since": Case(
        "CREATE TABLE item (id int PRIMARY KEY, name text); INSERT INTO item VALUES (1, 'a')",
        "ALTER TABLE item DROP name; ALTER TABLE item RENAME TO thing; ALTER TABLE thing RENAME id TO number",
        "ALTER TABLE thing RENAME number TO id; ALTER TABLE thing RENAME TO item",
    ),
    "a column of a table that keeps its new name": Case(
        "CREATE TABLE item (id int PRIMARY KEY, name text); INSERT INTO item VALUES (1, 'a');"
        "CREATE VIEW seen AS SELECT id FROM item",
        "ALTER TABLE item DROP name; ALTER TABLE item RENAME id TO number",
        "ALTER TABLE item ADD name text; ALTER TABLE item RENAME number TO id",
    ),
}


def state(database: Database) -> list[str]:
    """Give the lines of a dump, whatever their order: rows are put back in another one."""
    lines = database.dump("--exclude-schema=schema_operator").splitlines()
    return sorted(line for line in lines if not line.startswith("--"))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_rollback_puts_back_what_its_version_has_destroyed(
    case: Case, product: Product, database: Database, tmp_path: Path
) -> None:
    database.execute(case.before)
    before = state(database)
    folder = write(tmp_path / "scripts", {"1_x.up.sql": case.destroys, "1_x.down.sql": case.down})
    ended = product.run("--scripts", folder)
    assert ended.code == 0, ended
    assert database.value("SELECT count(*) FROM schema_operator.archives") == case.archives
    assert state(database) != before
    ended = product.run("--scripts", folder, "--version", "0")
    assert ended.code == 0, ended
    assert "Warning" not in ended.report.message, ended
    assert state(database) == before
    assert database.rows("SELECT * FROM schema_operator.recovery_conflicts") == []


def test_an_archive_keeps_nothing_from_being_dropped(product: Product, database: Database, tmp_path: Path) -> None:
    database.execute(
        "CREATE COLLATION german (provider = icu, locale = 'de'); CREATE EXTENSION citext;"
        "CREATE TABLE item (id citext PRIMARY KEY, name text COLLATE german, other citext);"
        "INSERT INTO item VALUES ('A', 'b', 'C')"
    )
    up = "ALTER TABLE item DROP name, DROP other; DROP TABLE item; DROP COLLATION german; DROP EXTENSION citext"
    down = "CREATE EXTENSION citext; CREATE COLLATION german (provider = icu, locale = 'de')"
    folder = write(tmp_path / "scripts", {"1_x.up.sql": up, "1_x.down.sql": down})
    assert product.run("--scripts", folder).code == 0
    assert product.run("--scripts", folder, "--version", "0").code == 0
    assert database.rows("SELECT id::text, name, other::text FROM item") == [("A", "b", "C")]
