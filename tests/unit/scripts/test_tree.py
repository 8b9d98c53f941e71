from __future__ import annotations

import pytest

from schema_operator.scripts import grammar
from schema_operator.scripts.grammar import SyntaxProblem
from schema_operator.scripts.tree import Parsed, Touch, Touched, parse

CREATES, CHANGES, DROPS, WRITES = Touch.CREATES, Touch.CHANGES, Touch.DROPS, Touch.WRITES
READS, LOCKS, CALLS = Touch.READS, Touch.LOCKS, Touch.CALLS

TOUCHED = [
    ("CREATE TABLE s.t (a int REFERENCES x.y (b))", "CreateStmt", [("s", "t", CREATES), ("x", "y", CHANGES)]),
    ("CREATE TABLE a.b PARTITION OF c.d DEFAULT", "CreateStmt", [("a", "b", CREATES), ("c", "d", CHANGES)]),
    ("CREATE FOREIGN TABLE a.b (c int) SERVER s", "CreateForeignTableStmt", [("a", "b", CREATES)]),
    ("CREATE TABLE a.b AS SELECT * FROM c.d", "CreateTableAsStmt", [("c", "d", READS), ("a", "b", CREATES)]),
    ("SELECT * INTO a.b FROM c.d", "SelectStmt", [("a", "b", CREATES), ("c", "d", READS)]),
    ("CREATE VIEW a.v AS SELECT * FROM b.c", "ViewStmt", [("a", "v", CREATES), ("b", "c", READS)]),
    ("CREATE SEQUENCE a.b", "CreateSeqStmt", [("a", "b", CREATES)]),
    ("CREATE TYPE a.b AS ENUM ('x')", "CreateEnumStmt", [("a", "b", CREATES)]),
    ("CREATE TYPE a.b AS (c int)", "CompositeTypeStmt", [("a", "b", CREATES)]),
    ("CREATE DOMAIN a.b AS int", "CreateDomainStmt", [("a", "b", CREATES)]),
    ("CREATE FUNCTION a.b() RETURNS int LANGUAGE sql AS 'DROP TABLE x.y'", "CreateFunctionStmt", [("a", "b", CREATES)]),
    ("CREATE AGGREGATE a.b (int) (sfunc = f, stype = int)", "DefineStmt", [("a", "b", CREATES)]),
    ("CREATE SCHEMA a", "CreateSchemaStmt", [("a", "", CREATES)]),
    ("ALTER SCHEMA a RENAME TO b", "RenameStmt", [("a", "", CHANGES), ("b", "", CHANGES)]),
    ("ALTER SCHEMA a OWNER TO b", "AlterOwnerStmt", [("a", "", CHANGES)]),
    ("DROP SCHEMA a, b", "DropStmt", [("a", "", DROPS), ("b", "", DROPS)]),
    ("ALTER TABLE a.b ADD COLUMN c int", "AlterTableStmt", [("a", "b", CHANGES)]),
    ("ALTER TABLE a.b ATTACH PARTITION c.d DEFAULT", "AlterTableStmt", [("a", "b", CHANGES), ("c", "d", CHANGES)]),
    ("ALTER TABLE a.b RENAME TO c", "RenameStmt", [("a", "b", CHANGES)]),
    ("ALTER TABLE a.b SET SCHEMA c", "AlterObjectSchemaStmt", [("a", "b", CHANGES), ("c", "", CHANGES)]),
    ("ALTER FUNCTION a.b() OWNER TO c", "AlterOwnerStmt", [("a", "b", CHANGES)]),
    ("ALTER FUNCTION a.b() STABLE", "AlterFunctionStmt", [("a", "b", CHANGES)]),
    ("ALTER TYPE a.b ADD VALUE 'x'", "AlterEnumStmt", [("a", "b", CHANGES)]),
    ("ALTER DOMAIN a.b DROP NOT NULL", "AlterDomainStmt", [("a", "b", CHANGES)]),
    ("ALTER SEQUENCE a.b RESTART", "AlterSeqStmt", [("a", "b", CHANGES)]),
    ("CREATE INDEX ON a.b (c)", "IndexStmt", [("a", "b", CHANGES)]),
    ("CREATE TRIGGER t AFTER INSERT ON a.b EXECUTE FUNCTION c.f()", "CreateTrigStmt", [("a", "b", CHANGES)]),
    ("CREATE POLICY p ON a.b", "CreatePolicyStmt", [("a", "b", CHANGES)]),
    ("CREATE RULE r AS ON INSERT TO a.b DO NOTHING", "RuleStmt", [("a", "b", CHANGES)]),
    ("DROP TABLE a.b, c", "DropStmt", [("a", "b", DROPS), (None, "c", DROPS)]),
    ("DROP TRIGGER t ON a.b", "DropStmt", [("a", "b", DROPS)]),
    ("DROP POLICY p ON b", "DropStmt", [(None, "b", DROPS)]),
    ("DROP FUNCTION a.b (int)", "DropStmt", [("a", "b", DROPS)]),
    ("DROP TYPE a.b", "DropStmt", [("a", "b", DROPS)]),
    ("TRUNCATE a.b, c", "TruncateStmt", [("a", "b", WRITES), (None, "c", WRITES)]),
    (
        "WITH x AS (DELETE FROM a.b RETURNING *) INSERT INTO c.d SELECT * FROM x WHERE y IN (SELECT 1 FROM e.f)",
        "InsertStmt",
        [("c", "d", WRITES), (None, "x", READS), ("e", "f", READS), ("a", "b", WRITES)],
    ),
    ("UPDATE a.b SET x = 1 FROM c.d", "UpdateStmt", [("a", "b", WRITES), ("c", "d", READS)]),
    (
        "MERGE INTO a.b USING c.d ON true WHEN MATCHED THEN DELETE",
        "MergeStmt",
        [("a", "b", WRITES), ("c", "d", READS)],
    ),
    ("EXPLAIN ANALYZE DELETE FROM a.b", "ExplainStmt", [("a", "b", WRITES)]),
    ("COPY a.b FROM STDIN", "CopyStmt", [("a", "b", WRITES)]),
    ("COPY a.b TO STDOUT", "CopyStmt", [("a", "b", READS)]),
    ("REFRESH MATERIALIZED VIEW a.b", "RefreshMatViewStmt", [("a", "b", WRITES)]),
    ("VACUUM FULL a.b", "VacuumStmt", [("a", "b", CHANGES)]),
    ("LOCK a.b", "LockStmt", [("a", "b", LOCKS)]),
    ("CALL a.b(1)", "CallStmt", [("a", "b", CALLS)]),
    ("GRANT SELECT ON a.b TO c", "GrantStmt", [("a", "b", READS)]),
    ('SELECT * FROM "A b"."C.d", E.F', "SelectStmt", [("A b", "C.d", READS), ("e", "f", READS)]),
    ("SELECT 'a.b', $$ DROP TABLE a.b $$", "SelectStmt", []),
    ("DO $$ DROP TABLE a.b $$", "DoStmt", []),
    ("BEGIN", "TransactionStmt", []),
]


@pytest.mark.parametrize(("sql", "kind", "objects"), TOUCHED)
def test_what_a_statement_touches(sql: str, kind: str, objects: list[tuple[str | None, str, Touch]]) -> None:
    assert parse(sql) == Parsed(kind, tuple(Touched(*one) for one in objects))


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("CREATE TABEL t ()", SyntaxProblem(7, "TABEL")),
        ("", None),
        ("SELECT 1; SELECT 2", None),
        (f"SELECT '{'x' * 64 * 1024}'", None),
        ("SELECT " + "(" * 20_000, None),
        ("SELECT a" + "".join(f" AND {number}" for number in range(3000)), Parsed("SelectStmt", ())),
    ],
    ids=["a syntax error", "nothing", "two", "too long", "too deep for the parser", "a long condition"],
)
def test_what_cannot_be_parsed_is_said_or_unknown(sql: str, expected: object) -> None:
    assert parse(sql) == expected


def test_a_tree_too_deep_to_be_read_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("schema_operator.scripts.tree.tree_of", lambda _sql: '{"a":' * 100_000 + "1" + "}" * 100_000)
    assert parse("SELECT 1") is None


def test_without_the_library_it_is_unknown_what_a_statement_is(monkeypatch: pytest.MonkeyPatch) -> None:
    grammar.library.cache_clear()
    monkeypatch.setattr(grammar, "_LIBRARY", "no-such-file.so")
    assert parse("DROP TABLE t") is None
    grammar.library.cache_clear()
