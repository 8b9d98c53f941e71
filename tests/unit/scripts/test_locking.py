from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schema_operator.scripts.locking import LockMode, RelationName, locked_relations
from schema_operator.scripts.script import Source
from schema_operator.scripts.statements import Statement, statements_of

SHARE, ROW = LockMode.SHARE, LockMode.SHARE_ROW_EXCLUSIVE
EXCLUSIVE, ALL = LockMode.EXCLUSIVE, LockMode.ACCESS_EXCLUSIVE


def only(sql: str) -> Statement:
    [statement] = statements_of(Source.from_bytes("a.up.sql", sql.encode()))
    return statement


LOCKED: list[tuple[str, list[tuple[str, LockMode]]]] = [
    ("ALTER TABLE t ADD COLUMN a int", [("t", ALL)]),
    ("alter table IF EXISTS only S.T * add a int", [("s.t", ALL)]),
    ('ALTER TABLE "S"."a ""T" ADD COLUMN a int', [('S.a "T', ALL)]),
    ("ALTER /* x */ TABLE -- y\n db.s.t DROP COLUMN a", [("s.t", ALL)]),
    ("ALTER TABLE Größe ALTER COLUMN a TYPE bigint", [("größe", ALL)]),
    ("ALTER TABLE t ALTER a SET NOT NULL", [("t", ALL)]),
    ("ALTER TABLE t ALTER a SET DEFAULT 1", [("t", ALL)]),
    ("ALTER TABLE t ALTER COLUMN a SET STATISTICS 100", []),
    ("ALTER TABLE t ALTER a SET (n_distinct = 5)", []),
    ("ALTER TABLE t ALTER a RESET (n_distinct)", []),
    ("ALTER TABLE t ALTER a SET STORAGE external", [("t", ALL)]),
    ("ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT VALID", [("t", ALL)]),
    ("ALTER TABLE t ADD CONSTRAINT c UNIQUE USING INDEX i", [("t", ALL)]),
    ("ALTER TABLE t ADD CONSTRAINT c FOREIGN KEY (a) REFERENCES s.u (a) NOT VALID", [("t", ROW), ("s.u", ROW)]),
    ("ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES u", [("t", ROW), ("u", ROW)]),
    ("ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES t (b)", [("t", ROW)]),
    ("ALTER TABLE t ADD COLUMN a int REFERENCES u (a), ADD b int", [("t", ALL), ("u", ROW)]),
    ("ALTER TABLE t VALIDATE CONSTRAINT c", []),
    ("ALTER TABLE t VALIDATE CONSTRAINT c, ALTER a SET NOT NULL", [("t", ALL)]),
    ("ALTER TABLE t DROP CONSTRAINT c", [("t", ALL)]),
    ("ALTER TABLE t DISABLE TRIGGER ALL", [("t", ROW)]),
    ("ALTER TABLE t ENABLE ALWAYS TRIGGER g", [("t", ROW)]),
    ("ALTER TABLE t ENABLE TRIGGER USER, ADD FOREIGN KEY (a) REFERENCES u", [("t", ROW), ("u", ROW)]),
    ("ALTER TABLE t ENABLE TRIGGER USER, ADD COLUMN a int, DISABLE TRIGGER USER", [("t", ALL)]),
    ("ALTER TABLE t DISABLE RULE r", [("t", ALL)]),
    ("ALTER TABLE t ENABLE ROW LEVEL SECURITY", [("t", ALL)]),
    ("ALTER TABLE t SET (fillfactor = 70, autovacuum_enabled = off)", []),
    ("ALTER TABLE t RESET (toast.autovacuum_enabled)", []),
    ("ALTER TABLE t SET (user_catalog_table = true)", [("t", ALL)]),
    ("ALTER TABLE t CLUSTER ON i", []),
    ("ALTER TABLE t SET WITHOUT CLUSTER", []),
    ("ALTER TABLE t SET LOGGED", [("t", ALL)]),
    ("ALTER TABLE t OWNER TO o", [("t", ALL)]),
    ("ALTER TABLE t RENAME a TO b", [("t", ALL)]),
    ("ALTER TABLE t RENAME TO u", [("t", ALL)]),
    ("ALTER TABLE t SET SCHEMA s", [("t", ALL)]),
    ("ALTER TABLE p ATTACH PARTITION s.q FOR VALUES FROM (1) TO (2)", [("s.q", ALL)]),
    ("ALTER TABLE p DETACH PARTITION q", [("p", ALL), ("q", ALL)]),
    ("ALTER TABLE p DETACH PARTITION q CONCURRENTLY", [("q", ALL)]),
    ("ALTER TABLE ALL IN TABLESPACE x SET TABLESPACE y", []),
    ("ALTER FOREIGN TABLE f ADD COLUMN a int", [("f", ALL)]),
    ("ALTER INDEX i RENAME TO j", []),
    ("ALTER INDEX i SET (fillfactor = 70)", []),
    ("ALTER INDEX i SET (fastupdate = off)", [("i", ALL)]),
    ("ALTER INDEX IF EXISTS i SET TABLESPACE x", [("i", ALL)]),
    ("ALTER INDEX i ALTER COLUMN 1 SET STATISTICS 100", []),
    ("ALTER INDEX i ATTACH PARTITION j", [("j", ALL)]),
    ("ALTER VIEW v ALTER a SET DEFAULT 1", [("v", ALL)]),
    ("ALTER VIEW v SET (security_barrier)", [("v", ALL)]),
    ("ALTER VIEW v RENAME TO w", [("v", ALL)]),
    ("ALTER MATERIALIZED VIEW m RENAME TO n", [("m", ALL)]),
    ("ALTER MATERIALIZED VIEW m SET (fillfactor = 70)", []),
    ("ALTER SEQUENCE q RESTART", [("q", ROW)]),
    ("ALTER SEQUENCE IF EXISTS q OWNED BY t.a", [("q", ROW)]),
    ("ALTER SEQUENCE q OWNER TO o", [("q", ALL)]),
    ("ALTER SEQUENCE q SET SCHEMA s", [("q", ALL)]),
    ("ALTER TRIGGER g ON t RENAME TO h", [("t", ALL)]),
    ("ALTER POLICY p ON t USING (true)", [("t", ALL)]),
    ("ALTER RULE r ON t RENAME TO s", [("t", ALL)]),
    ('DROP TABLE a, s.b, "C" CASCADE', [("a", ALL), ("s.b", ALL), ("C", ALL)]),
    ("DROP TABLE IF EXISTS t", [("t", ALL)]),
    ("DROP VIEW v", [("v", ALL)]),
    ("DROP MATERIALIZED VIEW IF EXISTS m", [("m", ALL)]),
    ("DROP INDEX i", [("i", ALL)]),
    ("DROP INDEX CONCURRENTLY i", []),
    ("DROP SEQUENCE q", [("q", ALL)]),
    ("DROP FOREIGN TABLE f", [("f", ALL)]),
    ("DROP TRIGGER IF EXISTS g ON s.t", [("s.t", ALL)]),
    ("DROP POLICY p ON t", [("t", ALL)]),
    ("DROP RULE r ON t", [("t", ALL)]),
    ("TRUNCATE t", [("t", ALL)]),
    ("TRUNCATE TABLE ONLY a, b * RESTART IDENTITY", [("a", ALL), ("b", ALL)]),
    ("CREATE INDEX ON t (a)", [("t", SHARE)]),
    ("CREATE UNIQUE INDEX IF NOT EXISTS i ON ONLY s.t USING btree (a) WHERE b", [("s.t", SHARE)]),
    ("CREATE INDEX CONCURRENTLY i ON t (a)", []),
    ("CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)", []),
    ("CREATE TRIGGER g AFTER UPDATE OF a ON t FOR EACH ROW EXECUTE FUNCTION f()", [("t", ROW)]),
    ("CREATE OR REPLACE TRIGGER g AFTER INSERT ON t EXECUTE FUNCTION f()", [("t", ROW)]),
    ("CREATE CONSTRAINT TRIGGER g AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()", [("t", ROW)]),
    ("CREATE POLICY p ON t USING (true)", [("t", ALL)]),
    ("CREATE RULE r AS ON INSERT TO t DO NOTHING", [("t", ALL)]),
    ("CREATE OR REPLACE RULE r AS ON INSERT TO t WHERE (a) DO ALSO SELECT 1", [("t", ALL)]),
    ("CREATE TABLE t (a int REFERENCES u, b int REFERENCES s.w (x))", [("u", ROW), ("s.w", ROW)]),
    ("CREATE TABLE t (a int REFERENCES t)", []),
    ("CREATE UNLOGGED TABLE IF NOT EXISTS t (a int, FOREIGN KEY (a) REFERENCES u)", [("u", ROW)]),
    ("CREATE TABLE q PARTITION OF s.p FOR VALUES IN (1)", [("s.p", ALL)]),
    ("CREATE TABLE t (LIKE u) INHERITS (v)", []),
    ("CREATE TABLE t AS SELECT * FROM u", []),
    ("CREATE OR REPLACE VIEW v AS SELECT 1", [("v", ALL)]),
    ("CREATE OR REPLACE TEMP RECURSIVE VIEW v (a) AS SELECT 1", [("v", ALL)]),
    ("CREATE VIEW v AS SELECT 1", []),
    ("CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", []),
    ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'ALTER TABLE t ADD a int'", []),
    ("LOCK TABLE t", [("t", ALL)]),
    ("LOCK a, ONLY s.b IN SHARE MODE NOWAIT", [("a", SHARE), ("s.b", SHARE)]),
    ("LOCK TABLE t IN SHARE ROW EXCLUSIVE MODE", [("t", ROW)]),
    ("LOCK TABLE t IN EXCLUSIVE MODE", [("t", EXCLUSIVE)]),
    ("LOCK TABLE t IN ACCESS EXCLUSIVE MODE", [("t", ALL)]),
    ("LOCK TABLE t IN ROW EXCLUSIVE MODE", []),
    ("LOCK TABLE t IN SHARE UPDATE EXCLUSIVE MODE", []),
    ("REFRESH MATERIALIZED VIEW s.m", [("s.m", ALL)]),
    ("REFRESH MATERIALIZED VIEW CONCURRENTLY m", [("m", EXCLUSIVE)]),
    ("REINDEX TABLE t", [("t", SHARE)]),
    ("REINDEX (VERBOSE) INDEX i", [("i", ALL)]),
    ("REINDEX TABLE CONCURRENTLY t", []),
    ("REINDEX (CONCURRENTLY) TABLE t", []),
    ("REINDEX (CONCURRENTLY OFF) TABLE t", [("t", SHARE)]),
    ("REINDEX SCHEMA s", []),
    ("CLUSTER t USING i", [("t", ALL)]),
    ("CLUSTER VERBOSE t", [("t", ALL)]),
    ("CLUSTER (VERBOSE) t", [("t", ALL)]),
    ("CLUSTER", []),
    ("VACUUM FULL t", [("t", ALL)]),
    ("VACUUM FULL VERBOSE a, b (c)", [("a", ALL), ("b", ALL)]),
    ("VACUUM (FULL, ANALYZE) t", [("t", ALL)]),
    ("VACUUM (FULL FALSE) t", []),
    ("VACUUM t", []),
    ("VACUUM FULL", []),
    ("ANALYZE t", []),
    ("COMMENT ON TABLE t IS 'ALTER TABLE t ADD a int'", []),
    ("GRANT SELECT ON t TO r", []),
    ("INSERT INTO t VALUES (1)", []),
    ("SELECT * FROM t FOR UPDATE", []),
    ("DO $$ BEGIN ALTER TABLE t ADD a int; END $$", []),
    ("DROP SCHEMA s CASCADE", []),
    ("DROP TYPE x", []),
    ("DROP FUNCTION f(int)", []),
    ("ALTER TYPE x ADD VALUE 'a'", []),
    ("ALTER ROLE r SET a = 1", []),
    ('DROP TABLE U&"\\0061"', []),
    ("ALTER", []),
    ("ALTER TABLE", []),
    ("DROP TABLE 'a'", []),
    ("DROP", []),
    ("CREATE", []),
    ("REINDEX ()", []),
    ("LOCK", []),
    ("CREATE OR REPLACE", []),
    ("ALTER SEQUENCE", []),
    ("REINDEX (CONCURRENTLY)", []),
    ("(SELECT 1)", []),
]


def written(name: RelationName) -> str:
    return f"{name.schema}.{name.name}" if name.schema is not None else name.name


@pytest.mark.parametrize(("sql", "expected"), LOCKED)
def test_relations_a_statement_locks(sql: str, expected: list[tuple[str, LockMode]]) -> None:
    assert [(written(one), one.mode) for one in locked_relations(only(sql))] == expected


def test_a_mode_knows_its_words() -> None:
    assert [mode.sql for mode in LockMode] == ["SHARE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE"]


def test_a_relation_without_a_schema_says_so() -> None:
    assert locked_relations(only("DROP TABLE a.b, c")) == (RelationName("a", "b", ALL), RelationName(None, "c", ALL))


WORDS = sorted({word for sql, _ in LOCKED for word in sql.replace("(", " ( ").replace(",", " , ").split()})


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(sorted({sql.split()[0] for sql, _ in LOCKED})), st.lists(st.sampled_from(WORDS), max_size=6))
def test_no_order_of_words_is_too_much(first: str, rest: list[str]) -> None:
    sql = " ".join([first, *rest])
    locked_relations(Statement(1, sql, 1, 1, (first,)))
