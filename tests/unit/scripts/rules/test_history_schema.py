from __future__ import annotations

import pytest

from schema_operator.errors import Reason
from schema_operator.scripts.rules.history_schema import refuse_changes_of_the_history
from schema_operator.scripts.script import Source
from schema_operator.scripts.statements import Statement, statements_of


def only(sql: str) -> Statement:
    [statement] = statements_of(Source.from_bytes("a.up.sql", sql.encode()))
    return statement


REFUSED = [
    "DROP SCHEMA schema_operator CASCADE",
    'DROP SCHEMA IF EXISTS a, "schema_operator"',
    "CREATE SCHEMA IF NOT EXISTS schema_operator",
    "ALTER SCHEMA schema_operator RENAME TO old",
    "ALTER SCHEMA mine RENAME TO schema_operator",
    "ALTER SCHEMA Schema_Operator OWNER TO me",
    "DELETE FROM schema_operator.schema_versions",
    'UPDATE "schema_operator".schema_versions SET version = 1',
    "INSERT INTO SCHEMA_OPERATOR.schema_versions (version) VALUES ('1')",
    "WITH x AS (DELETE FROM schema_operator.events RETURNING *) SELECT * FROM x",
    "TRUNCATE a, schema_operator.events",
    "DROP TABLE schema_operator.events",
    "DROP VIEW schema_operator.applied_versions",
    "ALTER TABLE schema_operator.events ADD COLUMN a int",
    "CREATE TABLE schema_operator.mine (a int)",
    "CREATE TABLE mine (a uuid REFERENCES schema_operator.schema_versions)",
    "CREATE TRIGGER t BEFORE INSERT ON schema_operator.events EXECUTE FUNCTION f()",
    "CREATE INDEX ON schema_operator.events (run)",
    "CREATE FUNCTION schema_operator.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "ALTER TABLE mine SET SCHEMA schema_operator",
    "LOCK TABLE schema_operator.events",
    "CALL schema_operator.emergency_rollback('1')",
    "COPY schema_operator.events FROM STDIN",
    "SELECT 1 AS a INTO schema_operator.b",
]
ALLOWED = [
    "SELECT * FROM schema_operator.applied_versions",
    "CREATE VIEW v AS SELECT version FROM schema_operator.applied_versions",
    "INSERT INTO mine SELECT version FROM schema_operator.applied_versions",
    "DELETE FROM mine WHERE v NOT IN (SELECT version FROM schema_operator.applied_versions)",
    "GRANT SELECT ON ALL TABLES IN SCHEMA schema_operator TO reader",
    "GRANT SELECT ON schema_operator.events TO reader",
    "COPY schema_operator.events TO STDOUT",
    "COMMENT ON TABLE t IS 'DROP SCHEMA schema_operator'",
    "DROP TABLE schema_operator",
    "DROP TABLE mine.schema_operator",
    "CREATE TABLE t (schema_operator int)",
    "DROP SCHEMA schema_operator_old",
    'DROP SCHEMA "Schema_Operator"',
    "DROP TABL schema_operator.events",
    "DO $$ BEGIN DELETE FROM schema_operator.events; END $$",
]


@pytest.mark.parametrize("sql", REFUSED)
def test_changes_of_the_history_are_refused(sql: str) -> None:
    finding = refuse_changes_of_the_history(only(sql))
    assert finding is not None
    assert finding.reason is Reason.FORBIDDEN_STATEMENT
    assert "schema_operator" in finding.sentence


@pytest.mark.parametrize("sql", ALLOWED)
def test_reading_the_history_and_speaking_of_it_is_allowed(sql: str) -> None:
    assert refuse_changes_of_the_history(only(sql)) is None
