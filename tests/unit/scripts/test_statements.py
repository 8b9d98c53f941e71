from __future__ import annotations

import pytest

from schema_operator.scripts.script import Source
from schema_operator.scripts.statements import (
    CopyForm,
    Statement,
    copy_of,
    needs_no_transaction,
    statements_of,
    transaction_control,
    turns_off_standard_strings,
)


def only(sql: str) -> Statement:
    [statement] = statements_of(Source.from_bytes("a.up.sql", sql.encode()))
    return statement


TRANSACTION_CONTROL = [
    ("BEGIN", "BEGIN"),
    ("begin isolation level serializable", "BEGIN"),
    ("BEGIN WORK", "BEGIN"),
    ("START TRANSACTION READ ONLY", "START TRANSACTION"),
    ("COMMIT", "COMMIT"),
    ("commit and chain", "COMMIT"),
    ("/* a */ COMMIT -- b\n work", "COMMIT"),
    ("END", "END"),
    ("END TRANSACTION", "END"),
    ("ROLLBACK", "ROLLBACK"),
    ("ROLLBACK AND NO CHAIN", "ROLLBACK"),
    ("ABORT", "ABORT"),
    ("PREPARE TRANSACTION 'a'", "PREPARE TRANSACTION"),
    ("COMMIT PREPARED 'a'", "COMMIT PREPARED"),
    ("ROLLBACK PREPARED 'a'", "ROLLBACK PREPARED"),
    ("ROLLBACK TO a", None),
    ("ROLLBACK TO SAVEPOINT a", None),
    ("ROLLBACK WORK TO a", None),
    ("ROLLBACK TRANSACTION TO SAVEPOINT a", None),
    ("SAVEPOINT commit", None),
    ("RELEASE SAVEPOINT a", None),
    ("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", None),
    ("PREPARE transaction AS SELECT 1", None),
    ("PREPARE transaction (int) AS SELECT $1", None),
    ("SELECT 'COMMIT'", None),
    ("DO $$ BEGIN COMMIT; END $$", None),
    ("CREATE TABLE commit (rollback int)", None),
    ('SELECT 1 AS "commit"', None),
    (
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC; SELECT 1; END",
        None,
    ),
    ("(SELECT 1)", None),
    ("'COMMIT'", None),
]


@pytest.mark.parametrize(("sql", "expected"), TRANSACTION_CONTROL)
def test_transaction_control(sql: str, expected: str | None) -> None:
    assert transaction_control(only(sql)) == expected


REFRESHES = "ALTER SUBSCRIPTION … {} PUBLICATION with refresh"
DETACH = "ALTER TABLE … DETACH PARTITION … CONCURRENTLY"
NEEDS_NO_TRANSACTION = [
    ("CREATE INDEX CONCURRENTLY i ON t (a)", "CREATE INDEX CONCURRENTLY"),
    ("create unique /* x */ index concurrently i on t (a)", "CREATE INDEX CONCURRENTLY"),
    ("CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t (a)", "CREATE INDEX CONCURRENTLY"),
    ("CREATE INDEX CONCURRENTLY ON t (a)", "CREATE INDEX CONCURRENTLY"),
    ("CREATE INDEX i ON t (a)", None),
    ('CREATE INDEX "concurrently" ON t (a)', None),
    ("CREATE INDEX i ON t (a) /* CONCURRENTLY */", None),
    ("DROP INDEX CONCURRENTLY i_drop", "DROP INDEX CONCURRENTLY"),
    ("DROP INDEX CONCURRENTLY IF EXISTS i_drop", "DROP INDEX CONCURRENTLY"),
    ("DROP INDEX IF EXISTS i_drop", None),
    ('DROP INDEX IF EXISTS "concurrently"', None),
    ("REINDEX TABLE CONCURRENTLY t", "REINDEX CONCURRENTLY"),
    ("REINDEX INDEX CONCURRENTLY t_pkey", "REINDEX CONCURRENTLY"),
    ("REINDEX (VERBOSE) TABLE CONCURRENTLY t", "REINDEX CONCURRENTLY"),
    ("REINDEX (CONCURRENTLY) TABLE t", "REINDEX CONCURRENTLY"),
    ("REINDEX (VERBOSE FALSE, CONCURRENTLY ON) TABLE t", "REINDEX CONCURRENTLY"),
    ("REINDEX (CONCURRENTLY 'true') TABLE t", "REINDEX CONCURRENTLY"),
    ("REINDEX (CONCURRENTLY FALSE) TABLE t", None),
    ("REINDEX (CONCURRENTLY 0) TABLE t", None),
    ("REINDEX (VERBOSE) TABLE t", None),
    ("REINDEX TABLE t", None),
    ("REINDEX INDEX t_pkey", None),
    ("REINDEX SCHEMA public", "REINDEX SCHEMA"),
    ("REINDEX DATABASE postgres", "REINDEX DATABASE"),
    ("REINDEX (VERBOSE) SYSTEM postgres", "REINDEX SYSTEM"),
    ("VACUUM", "VACUUM"),
    ("VACUUM (ANALYZE) t", "VACUUM"),
    ("VACUUM FULL t", "VACUUM"),
    ("ANALYZE t", None),
    ("ALTER SYSTEM SET work_mem = '4MB'", "ALTER SYSTEM"),
    ("ALTER SYSTEM RESET ALL", "ALTER SYSTEM"),
    ("CREATE DATABASE d", "CREATE DATABASE"),
    ("DROP DATABASE IF EXISTS nowhere", "DROP DATABASE"),
    ("ALTER DATABASE postgres SET TABLESPACE pg_default", "ALTER DATABASE … SET TABLESPACE"),
    ("ALTER DATABASE postgres SET work_mem = '4MB'", None),
    ("CREATE TABLESPACE s LOCATION '/nowhere'", "CREATE TABLESPACE"),
    ("DROP TABLESPACE s", "DROP TABLESPACE"),
    ("CREATE SUBSCRIPTION n CONNECTION 'dbname=x' PUBLICATION p", "CREATE SUBSCRIPTION with a replication slot"),
    (
        "CREATE SUBSCRIPTION n CONNECTION 'dbname=x' PUBLICATION p WITH (copy_data = false, connect = true)",
        "CREATE SUBSCRIPTION with a replication slot",
    ),
    ("CREATE SUBSCRIPTION n CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false)", None),
    ("CREATE SUBSCRIPTION n CONNECTION 'dbname=x' PUBLICATION p WITH (copy_data = false, connect = 'off')", None),
    ("ALTER SUBSCRIPTION s REFRESH PUBLICATION", "ALTER SUBSCRIPTION … REFRESH PUBLICATION"),
    ("ALTER SUBSCRIPTION s SET PUBLICATION q", REFRESHES.format("SET")),
    ("ALTER SUBSCRIPTION s ADD PUBLICATION q WITH (refresh = true)", REFRESHES.format("ADD")),
    ("ALTER SUBSCRIPTION s DROP PUBLICATION p", REFRESHES.format("DROP")),
    ("ALTER SUBSCRIPTION s SET PUBLICATION q WITH (refresh = false)", None),
    ("ALTER SUBSCRIPTION s DISABLE", None),
    ("ALTER SUBSCRIPTION s SET (slot_name = NONE)", None),
    ("ALTER TABLE parent DETACH PARTITION part CONCURRENTLY", DETACH),
    ('ALTER TABLE IF EXISTS "parent" DETACH PARTITION public.part concurrently', DETACH),
    ("ALTER TABLE parent DETACH PARTITION part CONCURRENTLY -- now", DETACH),
    ("ALTER TABLE parent DETACH PARTITION part", None),
    ("ALTER TABLE t ADD COLUMN b text DEFAULT 'DETACH PARTITION CONCURRENTLY'", None),
    ("CLUSTER", "CLUSTER without a table"),
    ("CLUSTER VERBOSE", "CLUSTER without a table"),
    ("CLUSTER t USING t_pkey", None),
    ("CLUSTER VERBOSE t USING t_pkey", None),
    ('CLUSTER "t" USING "t_pkey"', None),
    ("CLUSTER cluster USING cluster_pkey", None),
    ("DISCARD ALL", "DISCARD ALL"),
    ("DISCARD PLANS", None),
    ("REFRESH MATERIALIZED VIEW CONCURRENTLY m", None),
    ("CHECKPOINT", None),
    ("ALTER TYPE mood ADD VALUE 'new'", None),
    ("DO $$ BEGIN IF false THEN CREATE INDEX CONCURRENTLY j ON t (a); END IF; END $$", None),
    ("SELECT 'CREATE INDEX CONCURRENTLY'", None),
    ("COMMENT ON TABLE t IS 'VACUUM'", None),
    ("ALTER", None),
    ("CREATE", None),
    ("'VACUUM'", None),
]
ONLY_ON_18 = [
    ("CLUSTER (VERBOSE)", "CLUSTER without a table"),
    ("ALTER SUBSCRIPTION s SET (failover = true)", "ALTER SUBSCRIPTION … SET (failover)"),
    ("ALTER SUBSCRIPTION s SET (two_phase = false)", "ALTER SUBSCRIPTION … SET (two_phase = false)"),
    ("ALTER SUBSCRIPTION s SET (two_phase = true)", None),
]


@pytest.mark.parametrize(("sql", "expected"), NEEDS_NO_TRANSACTION + ONLY_ON_18)
def test_statements_that_refuse_a_transaction_block(sql: str, expected: str | None) -> None:
    assert needs_no_transaction(only(sql)) == expected


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("COPY t FROM STDIN", CopyForm.FROM_CLIENT),
        ("copy public.t (a, b) from stdin with (format csv)", CopyForm.FROM_CLIENT),
        ("COPY t FROM /* here */ STDIN WHERE a > 1", CopyForm.FROM_CLIENT),
        ("COPY t FROM STDOUT", CopyForm.FROM_CLIENT),
        ("COPY t TO STDOUT", CopyForm.TO_CLIENT),
        ("COPY (SELECT 1 FROM stdin) TO STDOUT", CopyForm.TO_CLIENT),
        ("COPY (SELECT 1) TO STDIN", CopyForm.TO_CLIENT),
        ("COPY t FROM PROGRAM 'ls'", CopyForm.PROGRAM),
        ("COPY t TO PROGRAM 'cat'", CopyForm.PROGRAM),
        ("COPY t FROM '/tmp/stdin'", CopyForm.SERVER_FILE),
        ("COPY t TO E'/tmp/a' CSV", CopyForm.SERVER_FILE),
        ("COPY t FROM $$/tmp/a$$", CopyForm.SERVER_FILE),
        ("COPY \"from\" FROM '/tmp/a'", CopyForm.SERVER_FILE),
        ('COPY "t"."to" TO STDOUT', CopyForm.TO_CLIENT),
        ("COPY s.from FROM stdin", CopyForm.FROM_CLIENT),
        ("COPY t", None),
        ("SELECT 'COPY t FROM STDIN'", None),
        ("CREATE TABLE copy (a int)", None),
    ],
)
def test_forms_of_copy(sql: str, expected: CopyForm | None) -> None:
    assert copy_of(only(sql)) == expected


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SET standard_conforming_strings = off", True),
        ("SET LOCAL standard_conforming_strings TO 'no'", True),
        ("SET SESSION standard_conforming_strings = f", True),
        ("SET standard_conforming_strings = on", False),
        ("SET standard_conforming_strings TO 'on'", False),
        ("SET standard_conforming_strings TO DEFAULT", False),
        ("SET lock_timeout = 0", False),
        ("SELECT 'SET standard_conforming_strings = off'", False),
    ],
)
def test_turning_off_standard_strings(sql: str, *, expected: bool) -> None:
    assert turns_off_standard_strings(only(sql)) is expected


def test_a_statement_knows_where_it_stands_and_how_it_begins() -> None:
    source = Source.from_bytes(
        "a.up.sql", b"-- first\nSELECT 1;\n\n  /* x */ insert into t\n  values ('a;b');;\nselect 2"
    )
    assert statements_of(source) == (
        Statement(1, "SELECT 1", 2, 1, ("SELECT",)),
        Statement(2, "insert into t\n  values ('a;b')", 4, 11, ("INSERT", "INTO", "T")),
        Statement(3, "select 2", 6, 1, ("SELECT",)),
    )


def test_meta_commands_and_copy_data_are_no_statements() -> None:
    source = Source.from_bytes(
        "a.up.sql", b"\\restrict abc\nCOPY t FROM STDIN;\nSELECT 1;\n\\.\nSELECT 2;\n\\unrestrict abc\n"
    )
    assert [(one.number, one.sql) for one in statements_of(source)] == [(1, "COPY t FROM STDIN"), (2, "SELECT 2")]


COPIES = {
    "rows below": ("SELECT 1;\nCOPY t FROM STDIN;\na\tb\r\n\\N\n\\.\nSELECT 2", [(b"a\tb\r\n\\N\n", 1)]),
    "no rows": ("COPY t FROM STDIN;\n\\.\n", [(b"", 1)]),
    "nothing at all": ("COPY t FROM STDIN", [(b"", 0)]),
    "to the end of the script": ("COPY t\n FROM STDIN;\n\n1", [(b"\n1", 2)]),
    "two on a line": (
        "COPY a FROM STDIN; SELECT ';'; COPY b FROM STDIN; -- c\n1\n2\n\\.\n\u20ac\n\\.\nCOPY c FROM STDIN;\n\\.\n",
        [(b"1\n2\n", 1), ("\u20ac\n".encode(), 4), (b"", 1)],
    ),
    "none": ("COPY t TO STDOUT; SELECT 1;\n1\n\\.", []),
}


@pytest.mark.parametrize(("text", "expected"), COPIES.values(), ids=COPIES)
def test_rows_belong_to_their_copy(text: str, expected: list[tuple[bytes, int]]) -> None:
    data = [one.data for one in statements_of(Source.from_bytes("a.up.sql", text.encode())) if one.data]
    assert [(b"".join(one.chunks()), one.lines_below) for one in data] == expected


def test_many_rows_come_in_pieces_and_are_not_copied() -> None:
    rows = "1\t\u20ac\n" * 100_000
    source = Source.from_bytes("a.up.sql", f"COPY t FROM STDIN;\n{rows}\\.\n".encode())
    [statement] = statements_of(source)
    assert statement.data is not None
    assert statement.data.text is source.text
    chunks = list(statement.data.chunks())
    assert b"".join(chunks) == rows.encode()
    assert max(map(len, chunks)) <= 3 * 65536


@pytest.mark.parametrize(
    ("position", "expected"),
    [(1, (2, 3)), (8, (2, 10)), (9, (2, 11)), (11, (3, 2)), (12, (3, 3))],
)
def test_the_servers_position_becomes_a_line_and_column_of_the_script(position: int, expected: tuple[int, int]) -> None:
    # SELECT é(EOL) x: the server counts characters, not bytes, from 1.
    source = Source.from_bytes("a.up.sql", "--\n  SELECT é\n xy;".encode())
    [statement] = statements_of(source)
    assert statement.line_column(position) == expected


def test_words_leave_out_what_is_quoted_commented_or_in_parentheses() -> None:
    assert only("REINDEX (VERBOSE, x 'y') /* a */ TABLE \"b\" -- c\n $$d$$ E'e\\'' e$f 1 _g").words == (
        "REINDEX",
        "TABLE",
        "E$F",
    )


def test_keywords_are_ascii() -> None:
    # U+017F is an S in upper case, for Python but not for the server.
    assert only("\u017felect 1").words == ("\u017felect",)
