"""A dump of pg_dump as the first version: what it leads to is what was dumped."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from dev.postgres import install

from schema_operator.api.request import Acknowledgement, RunRequest, ScriptFolder
from support.postgres import Database, Ended, Product, write

pytestmark = pytest.mark.postgres

RICH = r"""
CREATE SCHEMA "Shop; x";
CREATE SCHEMA app;
COMMENT ON SCHEMA app IS 'It''s the \ application; :x $$ %s';
CREATE EXTENSION pg_trgm WITH SCHEMA app;
CREATE TYPE app.mood AS ENUM ('sad', 'o''k', 'ha;ppy');
CREATE TYPE app.pair AS (a int, "B" text);
CREATE TYPE app.span AS RANGE (subtype = float8);
CREATE DOMAIN app.positive AS int DEFAULT 1 CHECK (VALUE > 0);
CREATE SEQUENCE app.numbers START 7 INCREMENT 3 CYCLE MAXVALUE 1000;
CREATE COLLATION app.plain FROM "C";
CREATE TABLE app.parent (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE app.plain NOT NULL DEFAULT E'tab\t quote'' back\\',
    mood app.mood, pair app.pair, size app.positive,
    doubled int GENERATED ALWAYS AS (size * 2) STORED,
    raw bytea, doc jsonb, list text[][], at timestamptz, span app.span,
    CONSTRAINT "odd; name" CHECK (name <> ';'), EXCLUDE USING gist (span WITH &&)
);
CREATE TABLE app.child (
    parent bigint REFERENCES app.parent ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    n int DEFAULT nextval('app.numbers'), UNIQUE (parent, n)
);
CREATE TABLE app.measured (day date NOT NULL, value numeric(10, 2)) PARTITION BY RANGE (day);
CREATE TABLE app.measured_1 PARTITION OF app.measured FOR VALUES FROM ('2026-01-01') TO ('2026-07-01');
CREATE TABLE app.measured_rest PARTITION OF app.measured DEFAULT;
CREATE TABLE "Shop; x"."T $$ 1" ("a""b" int, "select" text);
CREATE TABLE app.nothing ();
CREATE UNLOGGED TABLE app.fast (x int) WITH (fillfactor = 50);
CREATE INDEX by_name ON app.parent USING gin (name app.gin_trgm_ops) WHERE name <> ';';
CREATE STATISTICS app.together (dependencies) ON parent, n FROM app.child;
CREATE VIEW app.seen WITH (security_barrier) AS SELECT id, name FROM app.parent WHERE name <> 'a;b' WITH CHECK OPTION;
CREATE MATERIALIZED VIEW app.kept AS SELECT count(*) AS n, 'a;''b' AS t FROM app.parent;
CREATE UNIQUE INDEX ON app.kept (n);
CREATE FUNCTION app.add(a int, b int DEFAULT 1) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT a + b; -- '';''';
CREATE FUNCTION app.hard() RETURNS trigger LANGUAGE plpgsql SET search_path = app AS $body$
BEGIN
    -- it's $$ ; \ :x
    IF NEW.n IS NULL THEN RAISE EXCEPTION 'no % {} $NAME', ':x'; END IF;
    EXECUTE $q$SELECT 1; $q$;
    RETURN NEW;
END $body$;
CREATE PROCEDURE app.work(INOUT x int) LANGUAGE plpgsql AS $$BEGIN x := x + 1; COMMIT; END$$;
CREATE AGGREGATE app.total(int) (SFUNC = app.add, STYPE = int, INITCOND = '0');
CREATE OPERATOR app.<+> (FUNCTION = app.add, LEFTARG = int, RIGHTARG = int);
CREATE CAST (app.mood AS app.positive) WITH INOUT AS ASSIGNMENT;
CREATE TRIGGER hard BEFORE INSERT OR UPDATE OF n ON app.child FOR EACH ROW WHEN (NEW.n <> 5)
    EXECUTE FUNCTION app.hard();
CREATE RULE "no;delete" AS ON DELETE TO app.nothing DO INSTEAD (SELECT 1; SELECT 2);
CREATE TEXT SEARCH CONFIGURATION app.words (COPY = simple);
ALTER TABLE app.child ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON app.child FOR SELECT USING (n > 0 AND current_setting('a.b', true) IS DISTINCT FROM ';');
CREATE PUBLICATION news FOR TABLE app.parent WITH (publish = 'insert');
CREATE FOREIGN DATA WRAPPER away; CREATE SERVER far FOREIGN DATA WRAPPER away OPTIONS (host 'a;b');
CREATE FOREIGN TABLE app.there (x int) SERVER far OPTIONS (t 'it''s');
GRANT SELECT (id, name) ON app.parent TO PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT EXECUTE ON FUNCTIONS TO PUBLIC;
COMMENT ON COLUMN app.parent.name IS E'line one\r\nline two\n\\.\n;';
INSERT INTO app.parent (name, mood, pair, size, raw, doc, list, at, span)
SELECT v, 'o''k'::app.mood, (n::int, v)::app.pair, n + 1, convert_to(v, 'UTF8'), to_jsonb(v),
       ARRAY[[v, NULL], ['', 'NULL']], '2026-01-01 12:00+00', app.span(n, n + 1)
FROM unnest(ARRAY['plain', 'it''s', E'tab\t', E'line\nbreak', E'cr\r\nlf', E'\\.', E'\\N', '', '$$;', ':x %s {}',
                  'äß€😀', E'-- /* "', 'COPY t FROM stdin;', '\', E'\\restrict x']) WITH ORDINALITY AS u (v, n);
INSERT INTO app.child (parent) SELECT id FROM app.parent;
INSERT INTO app.measured SELECT '2026-01-01'::date + n, n / 3.0 FROM generate_series(0, 400) AS n;
INSERT INTO "Shop; x"."T $$ 1" VALUES (1, ';'), (NULL, NULL);
REFRESH MATERIALIZED VIEW app.kept;
"""
EMPTY = 'DROP SCHEMA "Shop; x", app CASCADE; DROP PUBLICATION news; DROP FOREIGN DATA WRAPPER away CASCADE'
KNOWS_TRANSACTION_TIMEOUT = 17


def dump(database: Database, *options: str) -> str:
    """What a user would write into the file of the first version."""
    command = [str(install.pg_dump()), "--dbname", database.uri, *options]
    text = subprocess.run(command, check=True, capture_output=True).stdout.decode()
    if database.server.major < KNOWS_TRANSACTION_TIMEOUT:
        # A pg_dump of 17 and later writes this for every server, and older ones refuse it, from psql as well.
        text = text.replace("SET transaction_timeout = 0;\n", "")
    return text


def run(product: Product, folder: Path, text: str) -> Ended:
    write(folder, {})
    (folder / "1.0.0_dump.up.sql").write_bytes(text.encode())
    folders = (ScriptFolder(path=str(folder), label=""),)
    return product.request(
        folder.parent, RunRequest(run="r", actor="a", folders=folders, allow=(Acknowledgement.COPY_DATA,))
    )


@pytest.mark.parametrize(
    "options", [(), ("--inserts",), ("--column-inserts", "--rows-per-insert=3"), ("--schema-only",)], ids=" ".join
)
def test_a_dump_leads_to_what_was_dumped(
    product: Product, database: Database, tmp_path: Path, options: tuple[str, ...]
) -> None:
    database.execute(RICH)
    text = dump(database, *options)
    assert bool(re.search(r"^COPY .* FROM stdin;$", text, re.MULTILINE)) == (options == ())
    assert re.search(r"^\\restrict \w+$", text, re.MULTILINE)
    kind = () if "--schema-only" not in options else options
    expected = database.dump("--exclude-schema=schema_operator", *kind)
    database.execute(EMPTY)
    ended = run(product, tmp_path / "a", text)
    assert ended.code == 0, ended
    assert database.dump("--exclude-schema=schema_operator", *kind) == expected
    assert database.value("SELECT up_sql FROM schema_operator.version_scripts") == text


def test_rows_of_a_dump_have_to_be_meant(product: Product, database: Database, tmp_path: Path) -> None:
    database.execute(RICH)
    text = dump(database)
    database.execute(EMPTY)
    folder = write(tmp_path / "a", {})
    (folder / "1.0.0_dump.up.sql").write_bytes(text.encode())
    ended = product.run("--scripts", folder)
    assert (ended.code, ended.report.reason) == (20, "CopyNotSupported")
    first = text[: text.index("\nCOPY ") + 1].count("\n") + 1
    assert ended.report.place is not None
    assert ended.report.place.line == first
    assert database.value("SELECT to_regnamespace('schema_operator') IS NULL")
