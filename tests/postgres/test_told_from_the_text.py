"""What we say of statements without a database, against what a server says of the same statements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import postgast
import psycopg
import pytest

from schema_operator.scripts.grammar import NEWEST, STRICTER_SINCE, syntax_problem
from unit.scripts.rules import test_enum_value, test_identifier_length
from unit.scripts.test_committing import COMMITS
from unit.scripts.test_grammar import WRONG
from unit.scripts.test_statements import NEEDS_NO_TRANSACTION, ONLY_ON_18

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dev.postgres.server import PostgresServer

pytestmark = pytest.mark.postgres

SETUP = """
CREATE TABLE t (a int PRIMARY KEY, b text);
CREATE INDEX i_drop ON t (b);
CREATE TABLE cluster (a int PRIMARY KEY);
CREATE TABLE parent (a int) PARTITION BY LIST (a);
CREATE TABLE part PARTITION OF parent FOR VALUES IN (1);
CREATE MATERIALIZED VIEW m AS SELECT 1 AS a;
CREATE SCHEMA any_schema;
CREATE SCHEMA s;
CREATE SCHEMA qualified;
CREATE SCHEMA other;
CREATE PROCEDURE known(a int DEFAULT 1) LANGUAGE plpgsql AS 'BEGIN COMMIT; END';
CREATE PROCEDURE any_schema.known() LANGUAGE plpgsql AS 'BEGIN COMMIT; END';
CREATE PROCEDURE s.known(a int) LANGUAGE plpgsql AS 'BEGIN COMMIT; END';
CREATE PROCEDURE known_not(a int) LANGUAGE plpgsql AS 'BEGIN NULL; END';
CREATE PROCEDURE qualified.too() LANGUAGE plpgsql AS 'BEGIN ROLLBACK; END';
CREATE PROCEDURE other.too() LANGUAGE plpgsql AS 'BEGIN NULL; END';
CREATE PROCEDURE unknown(a text) LANGUAGE plpgsql AS 'BEGIN NULL; END';
"""
SUBSCRIPTION = (
    "CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1 port=1 dbname=x' PUBLICATION p WITH (connect = false)",
    "ALTER SUBSCRIPTION s ENABLE",
)
UNRESERVED = 1
"""KeywordKind of libpg_query: 0 is no keyword, what is higher may not name everything."""
NO_SUBSCRIPTION = ("ALTER SUBSCRIPTION s DISABLE", "ALTER SUBSCRIPTION s SET (slot_name = NONE)", "DROP SUBSCRIPTION s")
MOODS = """
DROP TABLE t CASCADE; CREATE TYPE mood AS ENUM ('old'); CREATE TYPE s.mood AS ENUM ('old');
CREATE TYPE a AS ENUM ('old'); CREATE TYPE b AS ENUM ('old'); CREATE TABLE log (a text);
"""
NO_MOODS = "DROP TABLE IF EXISTS t, log; DROP TYPE mood, s.mood, a, b; CREATE TABLE t (a int PRIMARY KEY, b text)"


@pytest.fixture(scope="module")
def connection(server: PostgresServer) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(server.uri(), autocommit=True) as administrator:
        administrator.execute("CREATE DATABASE told")
        with psycopg.connect(server.uri("told"), autocommit=True) as prepared:
            for text in (SETUP, *SUBSCRIPTION):
                prepared.execute(text.encode())
            prepared.autocommit = False
            yield prepared
            prepared.rollback()
            prepared.autocommit = True
            for text in NO_SUBSCRIPTION:
                prepared.execute(text.encode())
        administrator.execute("DROP DATABASE told WITH (FORCE)")


def error(connection: psycopg.Connection[Any], *texts: str) -> psycopg.Error | None:
    """Run statements in a transaction that is then undone; give the error."""
    try:
        for text in texts:
            connection.execute(text.encode())
    except psycopg.Error as failed:
        return failed
    finally:
        connection.rollback()
    return None


def major(connection: psycopg.Connection[Any]) -> int:
    return connection.info.server_version // 10_000


def test_statements_that_refuse_a_transaction(connection: psycopg.Connection[Any]) -> None:
    table = [*NEEDS_NO_TRANSACTION, *(ONLY_ON_18 if major(connection) >= 18 else [])]
    wrong = []
    for sql, expected in table:
        failed = error(connection, sql)
        state = failed.sqlstate if failed else None
        # What an older server does not know as a statement, it refuses in any case, and whether a subscription needs
        # its publisher it may find out first (13 allows REFRESH in a transaction).
        vain = state == "42601" or (sql.startswith("ALTER SUBSCRIPTION") and state != "25001")
        if (state == "25001") != (expected is not None) and not vain:
            wrong.append((sql, expected, str(failed)))
    assert wrong == []


def test_statements_that_commit(connection: psycopg.Connection[Any]) -> None:
    wrong = []
    for sql, expected in COMMITS:
        if sql == "COMMIT":
            continue
        failed = error(connection, "SET LOCAL search_path = public, qualified", sql)
        if ((failed is not None) and failed.sqlstate == "2D000") is not expected:
            wrong.append((sql, str(failed)))
    assert wrong == []


@pytest.mark.parametrize("text", [text for text, _ in test_enum_value.USED.values()])
def test_uses_of_enum_values_that_the_server_refuses(connection: psycopg.Connection[Any], text: str) -> None:
    table = "CREATE TABLE t ()" if "ADD COLUMN m" in text else "CREATE TABLE t (m mood)"
    connection.execute(f"{MOODS}; {table if 'CREATE TABLE t' not in text else ''}".encode())
    connection.commit()
    failed = error(connection, *pieces(text))
    connection.execute(NO_MOODS)
    connection.commit()
    assert failed is not None
    assert failed.sqlstate == "55P04"


def pieces(text: str) -> list[str]:
    return [part for part in text.split("; ") if part]


def test_a_type_made_in_the_same_transaction_may_be_used(connection: psycopg.Connection[Any]) -> None:
    failed = error(connection, *pieces(test_enum_value.NOT_USED["a type made here"]))
    # 13 to 16 refuse that, too: it is left to them.
    assert (failed is None) is (major(connection) >= 17)


def test_names_the_server_cuts_off(connection: psycopg.Connection[Any]) -> None:
    notices: list[str] = []
    connection.add_notice_handler(lambda notice: notices.append(notice.sqlstate or ""))
    for sql in test_identifier_length.REFUSED:
        notices.clear()
        error(connection, sql)
        assert "42622" in notices, sql
    for sql in test_identifier_length.ALLOWED:
        notices.clear()
        if sql.startswith(("CREATE", "ALTER")):
            error(connection, "SET LOCAL check_function_bodies = off", sql)
            assert notices == [], sql


def test_syntax_errors_and_where_they_are(connection: psycopg.Connection[Any]) -> None:
    for sql, position, _ in WRONG:
        failed = error(connection, sql)
        assert failed is not None, sql
        assert (failed.sqlstate, failed.diag.statement_position) == ("42601", str(position + 1)), sql


def test_a_string_goes_on_behind_a_comment(connection: psycopg.Connection[Any]) -> None:
    for sql in ("SELECT 'a' -- c\n 'b'", "SELECT E'a' -- 'c\n\t-- d\r\n  '\\''"):
        assert syntax_problem(sql) is None
        assert error(connection, sql) is None


def test_words_that_became_stricter(connection: psycopg.Connection[Any]) -> None:
    """Words that may not name everything in the grammar, but may on this server, are those of our table."""
    here = {word for (word,) in connection.execute("SELECT word FROM pg_get_keywords() WHERE catcode <> 'U'")}
    connection.rollback()
    everywhere = {name.lower().removesuffix("_p") for name, _ in postgast.pg_query_pb2.Token.items()}
    strict = {word for word in everywhere if word.isidentifier() and kind_of(word) > UNRESERVED}
    expected = {word.lower() for since, words in STRICTER_SINCE.items() if since > major(connection) for word in words}
    assert len(strict) > 130
    assert strict - here == expected


def kind_of(word: str) -> int:
    kinds: list[int] = [token.keyword_kind for token in postgast.scan(word).tokens]
    return kinds[0] if len(kinds) == 1 else 0


def test_the_grammar_is_that_of_the_newest_server_we_know(server: PostgresServer) -> None:
    assert postgast.parse("SELECT 1").version // 10_000 == NEWEST
    assert server.major <= NEWEST
