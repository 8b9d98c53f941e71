"""The locks that statements take, as the server says, against what we say of their text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from schema_operator.scripts.locking import LockMode, locked_relations
from schema_operator.scripts.script import Source
from schema_operator.scripts.statements import statements_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dev.postgres.server import PostgresServer

pytestmark = pytest.mark.postgres

SETUP = """
CREATE SCHEMA other;
CREATE ROLE lock_owner;
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TABLE u (id int PRIMARY KEY);
CREATE TABLE other.w (id int PRIMARY KEY);
CREATE TABLE t (a int, b int NOT NULL, c text);
CREATE INDEX t_a ON t (a);
CREATE INDEX t_b ON t (b);
CREATE INDEX t_gin ON t USING gin (to_tsvector('simple', c));
CREATE UNIQUE INDEX t_u ON t (b);
ALTER TABLE t ADD CONSTRAINT t_check CHECK (a > 0) NOT VALID;
ALTER TABLE t ADD CONSTRAINT t_fk FOREIGN KEY (a) REFERENCES u NOT VALID;
CREATE TRIGGER t_trigger AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION nothing();
CREATE RULE t_rule AS ON DELETE TO t DO ALSO NOTIFY t;
CREATE POLICY t_policy ON t USING (true);
CREATE TABLE p (a int) PARTITION BY LIST (a);
CREATE TABLE q PARTITION OF p FOR VALUES IN (1);
CREATE TABLE r (a int);
CREATE INDEX p_a ON ONLY p (a);
CREATE INDEX q_a ON q (a);
CREATE VIEW v AS SELECT a FROM t;
CREATE MATERIALIZED VIEW m AS SELECT 1 AS a;
CREATE UNIQUE INDEX m_a ON m (a);
CREATE SEQUENCE s;
"""


@dataclass(frozen=True)
class Case:
    """A statement, and what else the server locks that its text does not name."""

    text: str
    unnamed: tuple[str, ...] = ()
    since: int = 13


CASES = [
    Case("ALTER TABLE t ADD COLUMN d int"),
    Case("ALTER TABLE t DROP COLUMN c", ("t_gin",)),
    Case("ALTER TABLE t ALTER COLUMN b TYPE bigint", ("t_b", "t_u", "t_gin", "t_a")),
    Case("ALTER TABLE t ALTER a SET NOT NULL"),
    Case("ALTER TABLE t ALTER a SET DEFAULT 1"),
    Case("ALTER TABLE t ALTER COLUMN a SET STATISTICS 100"),
    Case("ALTER TABLE t ALTER a SET (n_distinct = 5)"),
    Case("ALTER TABLE t ALTER a RESET (n_distinct)"),
    Case("ALTER TABLE t ALTER c SET STORAGE external"),
    Case("ALTER TABLE t ADD CONSTRAINT d CHECK (a > 0) NOT VALID"),
    Case("ALTER TABLE t ADD CONSTRAINT d UNIQUE USING INDEX t_u", ("t_u",)),
    Case("ALTER TABLE t ADD CONSTRAINT d FOREIGN KEY (b) REFERENCES other.w NOT VALID"),
    Case("ALTER TABLE t ADD FOREIGN KEY (b) REFERENCES u (id)"),
    Case("ALTER TABLE t ADD COLUMN d int REFERENCES u, ADD e int"),
    Case("ALTER TABLE t VALIDATE CONSTRAINT t_check"),
    Case("ALTER TABLE t VALIDATE CONSTRAINT t_fk"),
    Case("ALTER TABLE t VALIDATE CONSTRAINT t_check, ALTER a SET NOT NULL"),
    Case("ALTER TABLE t DROP CONSTRAINT t_check"),
    Case("ALTER TABLE t DROP CONSTRAINT t_fk", ("u",)),
    Case("ALTER TABLE t DISABLE TRIGGER ALL"),
    Case("ALTER TABLE t ENABLE ALWAYS TRIGGER t_trigger"),
    Case("ALTER TABLE t ENABLE TRIGGER USER, ADD FOREIGN KEY (b) REFERENCES u"),
    Case("ALTER TABLE t DISABLE RULE t_rule"),
    Case("ALTER TABLE t ENABLE ROW LEVEL SECURITY"),
    Case("ALTER TABLE t SET (fillfactor = 70, autovacuum_enabled = off)"),
    Case("ALTER TABLE t RESET (toast.autovacuum_enabled)"),
    Case("ALTER TABLE t SET (parallel_workers = 2)"),
    Case("ALTER TABLE t SET (toast_tuple_target = 200)"),
    Case("ALTER TABLE t SET (vacuum_truncate = off)"),
    Case("ALTER TABLE t SET (user_catalog_table = true)"),
    Case("ALTER TABLE t CLUSTER ON t_a"),
    Case("ALTER TABLE t SET WITHOUT CLUSTER"),
    Case("ALTER TABLE r SET UNLOGGED"),
    Case("ALTER TABLE t REPLICA IDENTITY FULL"),
    Case("ALTER TABLE t OWNER TO lock_owner", ("t_a", "t_b", "t_gin", "t_u")),
    Case("ALTER TABLE t RENAME a TO d", ("v",)),
    Case("ALTER TABLE t RENAME TO d"),
    Case("ALTER TABLE t RENAME CONSTRAINT t_check TO d"),
    Case("ALTER TABLE t SET SCHEMA other", ("t_a", "t_b", "t_gin", "t_u")),
    Case("ALTER TABLE t INHERIT r"),
    Case("ALTER TABLE p ATTACH PARTITION r FOR VALUES IN (2)"),
    # In 13 the partition itself is locked less.
    Case("ALTER TABLE p DETACH PARTITION q", ("p_a",), since=14),
    Case("ALTER INDEX t_a RENAME TO d"),
    Case("ALTER INDEX t_a SET (fillfactor = 70)"),
    Case("ALTER INDEX t_gin SET (fastupdate = off)"),
    Case("ALTER INDEX t_gin SET (gin_pending_list_limit = 128)"),
    Case("ALTER INDEX t_gin ALTER COLUMN 1 SET STATISTICS 100"),
    Case("ALTER INDEX p_a ATTACH PARTITION q_a"),
    Case("ALTER INDEX t_a SET TABLESPACE pg_default"),
    Case("ALTER VIEW v ALTER a SET DEFAULT 1"),
    Case("ALTER VIEW v SET (security_barrier)"),
    Case("ALTER VIEW v RENAME TO d"),
    Case("ALTER VIEW v OWNER TO lock_owner"),
    Case("ALTER MATERIALIZED VIEW m RENAME TO d"),
    Case("ALTER MATERIALIZED VIEW m SET (fillfactor = 70)"),
    Case("ALTER MATERIALIZED VIEW m CLUSTER ON m_a"),
    Case("ALTER SEQUENCE s RESTART"),
    Case("ALTER SEQUENCE s INCREMENT 2"),
    Case("ALTER SEQUENCE s OWNED BY t.a"),
    Case("ALTER SEQUENCE s OWNER TO lock_owner"),
    Case("ALTER SEQUENCE s RENAME TO d"),
    Case("ALTER SEQUENCE s SET SCHEMA other"),
    Case("ALTER SEQUENCE s SET UNLOGGED", since=15),
    Case("ALTER TRIGGER t_trigger ON t RENAME TO d"),
    Case("ALTER POLICY t_policy ON t USING (false)"),
    Case("ALTER RULE t_rule ON t RENAME TO d"),
    Case("DROP TABLE t CASCADE", ("t_a", "t_b", "t_gin", "t_u", "u", "v")),
    Case("DROP TABLE IF EXISTS r, other.w", ("other.w_pkey",)),
    Case("DROP VIEW v"),
    Case("DROP MATERIALIZED VIEW m", ("m_a",)),
    Case("DROP INDEX t_a", ("t",)),
    Case("DROP SEQUENCE s"),
    Case("DROP TRIGGER t_trigger ON t"),
    Case("DROP POLICY t_policy ON t"),
    Case("DROP RULE t_rule ON t"),
    Case("TRUNCATE t", ("t_a", "t_b", "t_gin", "t_u")),
    Case("TRUNCATE TABLE ONLY r, q * RESTART IDENTITY", ("q_a",)),
    Case("CREATE INDEX ON t (c)"),
    Case("CREATE UNIQUE INDEX IF NOT EXISTS d ON ONLY other.w USING btree (id) WHERE id > 0"),
    Case("CREATE TRIGGER d AFTER UPDATE OF a ON t FOR EACH ROW EXECUTE FUNCTION nothing()"),
    Case("CREATE OR REPLACE TRIGGER t_trigger AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION nothing()", since=14),
    Case("CREATE CONSTRAINT TRIGGER d AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION nothing()"),
    Case("CREATE POLICY d ON t USING (true)"),
    Case("CREATE RULE d AS ON INSERT TO t DO NOTHING"),
    Case("CREATE OR REPLACE RULE t_rule AS ON DELETE TO t WHERE (a > 0) DO ALSO DELETE FROM r"),
    Case("CREATE TABLE d (a int REFERENCES u, b int REFERENCES other.w (id))"),
    Case("CREATE TABLE d (id int PRIMARY KEY, a int REFERENCES d)"),
    Case("CREATE UNLOGGED TABLE d (a int)"),
    Case("CREATE TABLE d PARTITION OF p FOR VALUES IN (3)"),
    Case("CREATE TABLE d (LIKE u INCLUDING ALL) INHERITS (r)"),
    Case("CREATE TABLE d AS SELECT * FROM t"),
    Case("CREATE VIEW d AS SELECT * FROM t"),
    Case("CREATE OR REPLACE VIEW v AS SELECT a, b FROM t"),
    Case("LOCK TABLE t"),
    Case("LOCK t, ONLY other.w IN SHARE MODE NOWAIT"),
    Case("LOCK TABLE t IN SHARE ROW EXCLUSIVE MODE"),
    Case("LOCK TABLE t IN EXCLUSIVE MODE"),
    Case("LOCK TABLE t IN ROW EXCLUSIVE MODE"),
    Case("LOCK TABLE t IN SHARE UPDATE EXCLUSIVE MODE"),
    Case("REFRESH MATERIALIZED VIEW m", ("m_a",)),
    Case("REFRESH MATERIALIZED VIEW CONCURRENTLY m"),
    Case("REINDEX TABLE t", ("t_a", "t_b", "t_gin", "t_u")),
    Case("REINDEX INDEX t_a", ("t",)),
    Case("CLUSTER t USING t_a", ("t_a", "t_b", "t_gin", "t_u")),
    Case("ANALYZE t"),
    Case("COMMENT ON TABLE t IS 'x'"),
    Case("GRANT SELECT ON t TO lock_owner"),
    Case("INSERT INTO r VALUES (1)"),
    Case("SELECT * FROM t FOR UPDATE"),
    Case("UPDATE t SET a = 1"),
    Case("CREATE STATISTICS d ON a, b FROM t"),
]


NAMES = """
SELECT c.oid, CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END || c.relname
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname IN ('public', 'other')
"""
LOCKS = "SELECT relation, mode FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation' AND granted"
MODES = {mode.name.title().replace("_", "") + "Lock": mode for mode in LockMode}


@pytest.fixture(scope="module")
def connection(server: PostgresServer) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(server.uri(), autocommit=True) as administrator:
        administrator.execute("CREATE DATABASE locking")
        with psycopg.connect(server.uri("locking")) as connection:
            connection.execute(SETUP.encode())
            connection.commit()
            yield connection
        administrator.execute("DROP DATABASE locking WITH (FORCE)")
        administrator.execute("DROP ROLE lock_owner")


def locked_by_the_server(connection: psycopg.Connection[Any], text: str) -> dict[str, LockMode]:
    """Run a statement, see what is locked against readers or writers of what was there before, and undo it."""
    names = dict(connection.execute(NAMES).fetchall())
    try:
        connection.execute(text.encode())
        locks = connection.execute(LOCKS).fetchall()
    finally:
        connection.rollback()
    strongest: dict[str, LockMode] = {}
    for oid, mode in locks:
        if oid in names and mode in MODES:
            strongest[names[oid]] = max(MODES[mode], strongest.get(names[oid], MODES[mode]))
    return strongest


def locked_by_its_text(text: str) -> dict[str, LockMode]:
    [statement] = statements_of(Source.from_bytes("a.up.sql", text.encode()))
    return {f"{one.schema}.{one.name}" if one.schema else one.name: one.mode for one in locked_relations(statement)}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.text)
def test_the_server_takes_the_locks_we_tell_from_the_text(connection: psycopg.Connection[Any], case: Case) -> None:
    if connection.info.server_version // 10_000 < case.since:
        return
    told, taken = locked_by_its_text(case.text), locked_by_the_server(connection, case.text)
    assert {name: taken.get(name) for name in told} == told
    assert taken.keys() - told.keys() <= set(case.unnamed)
