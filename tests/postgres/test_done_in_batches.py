"""Versions that are done in batches: each row once, to a bound, by keys of all kinds; and what is refused or fails."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import psycopg
import pytest
from dev.postgres.packages import MAJORS

from support import psql
from support.postgres import OLDEST_AND_NEWEST, Database, Ended, Product, finish, write

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.postgres, OLDEST_AND_NEWEST]

RANGE = "{0} > :batch_after AND {0} <= :batch_upto"
BY_ID = f"-- schema-operator: batch=item.id\nUPDATE item SET n = n + 1 WHERE {RANGE.format('id')};"
ITEMS = (
    "CREATE TABLE item (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0, code text);"
    "INSERT INTO item (id) SELECT generate_series(1, 5000); ANALYZE item"
)
COUNTS = "SELECT n, count(*) FROM item GROUP BY n ORDER BY n"
POSITIONS = "SELECT batch, rows_walked, rows_changed FROM schema_operator.batch_positions ORDER BY position"
JOURNAL = "SELECT event FROM schema_operator.statement_journal ORDER BY position"
OPEN = "SELECT event, batches FROM schema_operator.open_units ORDER BY position"
OF_100 = ("--batch-max-size", "100")
HOLD = "SELECT pg_advisory_lock(1)"
"""What a test does to stop a run in the middle: a trigger waits for this lock at a row."""
STOP_AT = (
    "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "PERFORM pg_advisory_xact_lock_shared(1); RETURN NEW; END $$;"
    "CREATE TRIGGER wait BEFORE UPDATE ON item FOR EACH ROW WHEN (OLD.id = {0}) EXECUTE FUNCTION wait()"
)
WAITS = "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 1"


@pytest.fixture
def folder(database: Database, tmp_path: Path) -> Path:
    """A folder for scripts, and a table of 5000 rows."""
    database.execute(ITEMS)
    return tmp_path / "scripts"


def apply(product: Product, folder: Path, text: str, *arguments: str, version: int = 1) -> Ended:
    return product.run("--scripts", write(folder, {f"{version}_x.up.sql": text}), *arguments)


def test_each_row_is_changed_once_and_the_history_says_how(product: Product, database: Database, folder: Path) -> None:
    ended = apply(product, folder, BY_ID, *OF_100)
    assert (ended.code, ended.report.versions) == (0, ("1",)), ended
    assert database.rows(COUNTS) == [(1, 5000)]
    assert database.rows(POSITIONS) == [(0, 0, 0), *((number, 100, 100) for number in range(1, 51))]
    assert database.rows(JOURNAL) == [("Started",), ("Finished",), ("Completed",)]
    assert database.rows(OPEN) == []
    said = [one for one in ended.progress if "rows" in one.message]
    assert said
    assert said[-1].message.startswith("applying 1: ")
    assert all(one.percent is not None and 0 < one.percent <= 100 for one in said)
    assert apply(product, folder, BY_ID).report.versions == ()
    assert database.rows(COUNTS) == [(1, 5000)]


def test_the_size_follows_the_time(product: Product, database: Database, folder: Path) -> None:
    slow = (
        f"-- schema-operator: batch=item.id\nUPDATE item SET n = n + 1 FROM pg_sleep(0.02) WHERE {RANGE.format('id')}"
    )
    ended = apply(product, folder, slow, "--batch-target-time", "1ms", "--batch-min-size", "50")
    assert ended.code == 0, ended
    sizes = [walked for _, walked, _ in database.rows(POSITIONS)[1:-1]]
    assert sizes[:3] == [1000, 250, 62]
    assert {*sizes[4:]} == {50}
    quick = apply(product, folder, BY_ID, "--batch-target-time", "10s", version=2)
    assert quick.code == 0, quick
    sizes = [walked for _, walked, _ in database.rows(f"{POSITIONS} OFFSET {len(sizes) + 2}")[1:]]
    assert sizes == [1000, 2000, 2000]


def test_a_pause_is_kept(product: Product, folder: Path) -> None:
    ended = apply(product, folder, BY_ID, "--batch-max-size", "1000", "--batch-pause", "100ms")
    assert ended.code == 0
    assert ended.report.seconds > 4 * 0.1


def test_rows_that_come_later_are_left_alone(product: Product, database: Database, folder: Path) -> None:
    database.execute(STOP_AT.format(250))
    with database.connect() as other:
        other.execute(HOLD)
        run = product.start("--scripts", write(folder, {"1_x.up.sql": BY_ID}), *OF_100)
        database.wait_for(WAITS)
        database.execute("INSERT INTO item (id) SELECT generate_series(5001, 5100)")
        other.execute("SELECT pg_advisory_unlock_all()")
    ended = finish(run)
    assert ended.code == 0, ended
    assert database.rows("SELECT n, min(id), max(id) FROM item GROUP BY n ORDER BY n") == [
        (0, 5001, 5100),
        (1, 1, 5000),
    ]


KEYS = {
    "uuid": ("uuid", "md5(g::text)::uuid"),
    "text": ("text", "md5(g::text) || E'\\\\ \\'\\n\"'"),
    "text, of which one is empty": ("text", "CASE g WHEN 1 THEN '' ELSE md5(g::text) END"),
    "text in the order of bytes": ('text COLLATE "C"', "CASE WHEN g % 2 = 0 THEN 'b' ELSE 'A' END || g"),
    "varchar": ("varchar(40)", "md5(g::text)"),
    "char": ("char(40)", "md5(g::text)"),
    "timestamptz": ("timestamptz", "'2026-03-29 00:59:00.123456+00'::timestamptz + g * '1.000001 s'::interval"),
    "timestamptz without an end": (
        "timestamptz",
        "CASE g WHEN 1 THEN '-infinity' ELSE now() + g * '1 s'::interval END",
    ),
    "date": ("date", "'2026-12-31'::date + g::int"),
    "bigint, below nothing too": ("bigint", "(g - 1000) * 4611686018427387"),
    "numeric": ("numeric", "g / 7.0"),
    "double precision": ("double precision", "g / 9.0::float8"),
    "bytea": ("bytea", "decode(md5(g::text), 'hex')"),
    "interval": ("interval", "(g - 1000) * '1 h 1 s'::interval"),
    "inet": ("inet", "'10.0.0.0'::inet + g"),
    "an enum": ("weekday", "(enum_range(NULL::weekday))[1 + g % 7]"),
    "a domain": ("price", "g"),
}
TYPES = (
    "CREATE TYPE weekday AS ENUM ('mo', 'tu', 'we', 'th', 'fr', 'sa', 'su');"
    "CREATE DOMAIN price AS int CHECK (VALUE > 0)"
)
READ_OTHERWISE = (
    "ALTER DATABASE {0} SET DateStyle = 'German'; ALTER DATABASE {0} SET extra_float_digits = 0;"
    "ALTER DATABASE {0} SET TimeZone = 'America/New_York'; ALTER DATABASE {0} SET IntervalStyle = 'sql_standard';"
    "ALTER DATABASE {0} SET bytea_output = 'escape'"
)


def test_keys_of_all_types(product: Product, database: Database, tmp_path: Path) -> None:
    """Whatever the settings are in which they are written and read: a version and a table for each type."""
    database.execute(f"{TYPES}; {READ_OTHERWISE.format(database.name)}")
    files = {}
    for version, (kind, value) in enumerate(KEYS.values(), start=1):
        database.execute(
            f'CREATE TABLE item_{version} ("The key" {kind} NOT NULL, n int NOT NULL DEFAULT 0);'
            f"INSERT INTO item_{version} SELECT {value} FROM generate_series(1, 2000) AS g;"
            f'CREATE INDEX ON item_{version} ("The key" DESC, n)'
        )
        files[f"{version}_x.up.sql"] = (
            f'-- schema-operator: batch=public.item_{version}."The key"\n'
            f"""UPDATE item_{version} SET n = n + 1 WHERE {RANGE.format('"The key"')}"""
        )
    ended = product.run("--scripts", write(tmp_path / "scripts", files), *OF_100)
    assert ended.code == 0, ended
    for version, name in enumerate(KEYS, start=1):
        assert database.rows(f"SELECT n, count(*) FROM item_{version} GROUP BY n") == [(1, 2000)], name
        batches = "SELECT max(batch) FROM schema_operator.batch_positions WHERE version = '{}'"
        assert database.value(batches.format(version)) > 5, name


OWN_ORDER = """
    CREATE SCHEMA kinds; CREATE TYPE kinds.pair AS (a int, b int);
    CREATE FUNCTION kinds.compared(kinds.pair, kinds.pair) RETURNS int IMMUTABLE LANGUAGE sql AS
        'SELECT btint4cmp($1.b, $2.b)';
    CREATE FUNCTION kinds.lt(kinds.pair, kinds.pair) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT $1.b < $2.b';
    CREATE FUNCTION kinds.le(kinds.pair, kinds.pair) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT $1.b <= $2.b';
    CREATE FUNCTION kinds.eq(kinds.pair, kinds.pair) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT $1.b = $2.b';
    CREATE FUNCTION kinds.ge(kinds.pair, kinds.pair) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT $1.b >= $2.b';
    CREATE FUNCTION kinds.gt(kinds.pair, kinds.pair) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT $1.b > $2.b';
    CREATE OPERATOR kinds.< (FUNCTION = kinds.lt, LEFTARG = kinds.pair, RIGHTARG = kinds.pair);
    CREATE OPERATOR kinds.<= (FUNCTION = kinds.le, LEFTARG = kinds.pair, RIGHTARG = kinds.pair);
    CREATE OPERATOR kinds.= (FUNCTION = kinds.eq, LEFTARG = kinds.pair, RIGHTARG = kinds.pair);
    CREATE OPERATOR kinds.>= (FUNCTION = kinds.ge, LEFTARG = kinds.pair, RIGHTARG = kinds.pair);
    CREATE OPERATOR kinds.> (FUNCTION = kinds.gt, LEFTARG = kinds.pair, RIGHTARG = kinds.pair);
    CREATE OPERATOR CLASS kinds.pair_ops DEFAULT FOR TYPE kinds.pair USING btree AS
        OPERATOR 1 kinds.<, OPERATOR 2 kinds.<=, OPERATOR 3 kinds.=, OPERATOR 4 kinds.>=, OPERATOR 5 kinds.>,
        FUNCTION 1 kinds.compared(kinds.pair, kinds.pair)
"""
"""A type with an order of its own, other than that of records, as the extension citext has another than text."""
NOT_ITS_OWN = OWN_ORDER.replace("DEFAULT FOR", "FOR")


@pytest.mark.parametrize(
    "prepared",
    ["CREATE SCHEMA kinds; CREATE TYPE kinds.pair AS (a int, b int)", OWN_ORDER],
    ids=["that of records", "another"],
)
def test_a_type_with_an_order_of_its_own(product: Product, database: Database, tmp_path: Path, prepared: str) -> None:
    database.execute(prepared)
    database.execute(
        f"ALTER DATABASE {database.name} SET search_path = public, kinds;"
        "CREATE TABLE item (id kinds.pair PRIMARY KEY, n int NOT NULL DEFAULT 0);"
        "INSERT INTO item SELECT (g % 10, g)::kinds.pair FROM generate_series(1, 2000) AS g"
    )
    ended = apply(product, tmp_path / "scripts", BY_ID, *OF_100)
    assert ended.code == 0, ended
    assert database.rows(COUNTS) == [(1, 2000)]
    assert [walked for _, walked, _ in database.rows(POSITIONS)] == [0, *[100] * 20]


def test_many_rows_of_one_key_are_done_together(product: Product, database: Database, tmp_path: Path) -> None:
    database.execute(
        "CREATE TABLE item (id int NOT NULL, n int NOT NULL DEFAULT 0); CREATE INDEX ON item (id);"
        "INSERT INTO item (id) SELECT CASE WHEN g <= 500 THEN 7 ELSE g % 50 END FROM generate_series(1, 2000) AS g"
    )
    ended = apply(product, tmp_path / "scripts", BY_ID, *OF_100)
    assert ended.code == 0, ended
    assert database.rows(COUNTS) == [(1, 2000)]


def test_a_partitioned_table(product: Product, database: Database, tmp_path: Path) -> None:
    database.execute(
        "CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL DEFAULT 0) PARTITION BY RANGE (id);"
        "CREATE TABLE item_1 PARTITION OF item FOR VALUES FROM (0) TO (700);"
        "CREATE TABLE item_2 PARTITION OF item FOR VALUES FROM (700) TO (9999);"
        "INSERT INTO item (id) SELECT generate_series(1, 2000)"
    )
    ended = apply(product, tmp_path / "scripts", BY_ID, *OF_100)
    assert ended.code == 0, ended
    assert database.rows(COUNTS) == [(1, 2000)]


STATEMENTS = {
    "delete": (
        f"DELETE FROM item AS i WHERE i.{RANGE.format('id')} AND i.id % 2 = 0",
        "SELECT count(*) FROM item",
        2500,
    ),
    "insert": (
        f"INSERT INTO copy SELECT id FROM item WHERE {RANGE.format('id')}",
        "SELECT count(*) FROM (SELECT DISTINCT id FROM copy) AS c",
        5000,
    ),
    "another table": (
        f"UPDATE copy SET id = 0 FROM item WHERE {RANGE.format('item.id')} AND item.id = copy.id",
        "SELECT count(*) FROM copy WHERE id = 0",
        0,
    ),
    "a WITH, a variable and a string like a placeholder": (
        f"WITH a AS (SELECT 1 AS b) UPDATE :t t SET n = n + b, code = ':batch_upto' FROM a WHERE {RANGE.format('id')}",
        "SELECT count(*) FROM item WHERE n = 1 AND code = ':batch_upto'",
        5000,
    ),
    "new rows of the same table, above all that there are": (
        f"INSERT INTO item (id) SELECT id + 100000 FROM item WHERE {RANGE.format('id')}",
        "SELECT count(*) FROM item",
        10000,
    ),
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_statements_of_all_kinds(product: Product, database: Database, folder: Path, name: str) -> None:
    statement, query, found = STATEMENTS[name]
    database.execute("CREATE TABLE copy (id bigint)")
    ended = apply(product, folder, f"-- schema-operator: batch=item.id\n{statement}", *OF_100, "--var", "t=item")
    assert ended.code == 0, ended
    assert database.value(query) == found
    changed = sum(rows for _, _, rows in database.rows(POSITIONS))
    assert changed == {2500: 2500, 5000: 5000, 10000: 5000, 0: 0}[found]


def test_an_empty_table(product: Product, database: Database, folder: Path) -> None:
    database.execute("TRUNCATE item")
    ended = apply(product, folder, BY_ID)
    assert (ended.code, database.applied()) == (0, ["1"]), ended
    assert database.rows(POSITIONS) == [(0, 0, 0)]
    assert database.rows(OPEN) == []


CODES = "UPDATE item SET code = id; ALTER TABLE item ALTER code SET NOT NULL"
REFUSED = {
    "a column that is not there": ("item.key", "", "ObjectNotFound", "the table has no column key"),
    "a column without an index": ("item.n", "", "NoKey", "no index begins with public.item.n"),
    "a column that may be null": ("item.code", "CREATE INDEX ON item (code)", "NoKey", "public.item.code may be null"),
    "an index of some rows": ("item.n", "CREATE INDEX ON item (n) WHERE id > 7", "NoKey", "no index begins with"),
    "an index in which it is not first": ("item.n", "CREATE INDEX ON item (id, n)", "NoKey", "no index begins with"),
    "an index of another order": (
        "item.code",
        f"{CODES}; CREATE INDEX ON item (code text_pattern_ops)",
        "NoKey",
        "no index begins with",
    ),
    "an index of an order that is not the type's": (
        "pairs.id",
        f"{NOT_ITS_OWN}; CREATE TABLE pairs (id kinds.pair NOT NULL); CREATE INDEX ON pairs (id kinds.pair_ops)",
        "NoKey",
        "no index begins with",
    ),
    "an index of another kind": ("item.n", "CREATE INDEX ON item USING hash (n)", "NoKey", "no index begins with"),
    "an index of another collation": (
        "item.code",
        f'{CODES}; CREATE INDEX ON item (code COLLATE "POSIX")',
        "NoKey",
        "no index begins with",
    ),
    "a view": ("seen.id", "CREATE VIEW seen AS SELECT * FROM item", "InvalidBatch", "is no table"),
    "a table from which others inherit": ("item.id", "CREATE TABLE more () INHERITS (item)", "InvalidBatch", "inherit"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_column_that_no_batches_can_go_by_is_refused_before_anything_is_changed(
    product: Product, database: Database, folder: Path, name: str
) -> None:
    column, prepared, reason, words = REFUSED[name]
    database.execute(f"SELECT 1; {prepared}")
    table, key = column.split(".")
    batched = f"-- schema-operator: batch={column}\nDELETE FROM {table} WHERE {RANGE.format(key)}"
    write(folder, {"1_other.up.sql": "CREATE TABLE other ();", "2_x.up.sql": batched})
    for arguments in (("--plan",), ()):
        ended = product.run("--scripts", folder, *arguments)
        assert (ended.code, ended.report.reason) == (20, reason), ended
        assert words in ended.report.message
        assert ended.report.place is not None
        assert (ended.report.place.version, ended.report.place.file, ended.report.place.line) == ("2", "2_x.up.sql", 2)
        assert "other" not in database.relations()
        assert database.value("SELECT to_regnamespace('schema_operator') IS NULL"), "a first run leaves no history"
    assert database.value("SELECT count(*) FROM item") == 5000


def test_not_null_that_was_never_validated_is_no_promise(product: Product, database: Database, folder: Path) -> None:
    """PostgreSQL 18 calls such a column NOT NULL, and it may hold nulls; older ones know no such constraint."""
    database.execute("CREATE INDEX ON item (code)")
    not_null = "ALTER TABLE item ADD CONSTRAINT c NOT NULL code NOT VALID"
    if database.server.major == MAJORS[0]:
        with pytest.raises(psycopg.errors.SyntaxError):
            database.execute(not_null)
        return
    database.execute(not_null)
    text = f"-- schema-operator: batch=item.code\nDELETE FROM item WHERE {RANGE.format('code')}"
    ended = apply(product, folder, text)
    assert (ended.code, ended.report.reason) == (20, "NoKey"), ended
    database.execute("UPDATE item SET code = id; ALTER TABLE item VALIDATE CONSTRAINT c")
    assert apply(product, folder, text).code == 0
    assert database.value("SELECT count(*) FROM item") == 0


def test_a_table_that_does_not_exist_fails_when_its_turn_comes(
    product: Product, database: Database, folder: Path
) -> None:
    """It might have been made by a script of the same run."""
    text = f"-- schema-operator: batch=itme.id\nDELETE FROM itme WHERE {RANGE.format('id')}"
    ended = apply(product, folder, text)
    assert (ended.code, ended.report.reason) == (20, "ObjectNotFound"), ended
    write(folder, {"1_a.up.sql": "CREATE TABLE a ();", "2_x.up.sql": text})
    ended = product.run("--scripts", folder)
    assert (ended.code, ended.report.reason, ended.report.versions) == (21, "ObjectNotFound", ("1",)), ended
    assert 'the table "itme" does not exist' in ended.report.message
    assert database.rows("SELECT event, batches FROM schema_operator.open_units") == []


def test_a_key_that_an_earlier_script_of_the_same_run_makes(product: Product, database: Database, folder: Path) -> None:
    files = {
        "1_a.up.sql": "CREATE INDEX item_n ON item (n);",
        "2_x.up.sql": f"-- schema-operator: batch=item.n\nUPDATE item SET code = 'x' WHERE {RANGE.format('n')}",
        "3_a.up.sql": "CREATE TABLE made (id int PRIMARY KEY); INSERT INTO made VALUES (1);",
        "4_x.up.sql": f"-- schema-operator: batch=made.id\nDELETE FROM made WHERE {RANGE.format('id')}",
    }
    ended = product.run("--scripts", write(folder, files))
    assert ended.code == 0, ended
    assert database.value("SELECT count(*) FROM item WHERE code = 'x'") == 5000
    assert database.value("SELECT count(*) FROM made") == 0


STRAYING = {
    "the key is changed": ("UPDATE item SET id = id + 100000 WHERE {0}", "changes 100 rows whose id is outside"),
    "a condition that does not hold for all": ("DELETE FROM item WHERE {0} OR id = 4000", "changes 1 rows whose id"),
    "rows that it would come to again": (
        "INSERT INTO item (id) SELECT id + 50 FROM item WHERE {0} ON CONFLICT (id) DO UPDATE SET n = 1",
        "inserts 50 rows that it would come to later, and so might never end",
    ),
}


@pytest.mark.parametrize(("statement", "words"), STRAYING.values(), ids=STRAYING)
def test_a_statement_that_leaves_its_range_is_rolled_back(
    product: Product, database: Database, folder: Path, statement: str, words: str
) -> None:
    before = database.rows("SELECT * FROM item ORDER BY id")
    text = f"-- schema-operator: batch=item.id\n{statement.format(RANGE.format('id'))}"
    ended = apply(product, folder, text, *OF_100)
    assert (ended.code, ended.report.reason) == (21, "OutsideBatch"), ended
    assert words in ended.report.message
    assert ended.report.place is not None
    assert (ended.report.place.line, ended.report.place.statement) == (2, 1)
    assert database.rows("SELECT * FROM item ORDER BY id") == before
    assert database.rows(JOURNAL) == [("Started",), ("Failed",)]
    # Nothing stays of it, so it may be corrected, or left.
    assert apply(product, folder, BY_ID).code == 0
    assert database.rows(COUNTS) == [(1, 5000)]


def test_an_error_in_a_later_batch_leaves_those_before_it_and_is_gone_on_with(
    product: Product, database: Database, folder: Path
) -> None:
    database.execute("UPDATE item SET code = 'secret' WHERE id = 250")
    text = BY_ID.replace("n + 1", "n +\n coalesce(code, '1')::int")
    ended = apply(product, folder, text, *OF_100)
    assert (ended.code, ended.report.reason) == (30, "DataViolation"), ended
    assert "2 batches are done, 200 of about 5000 rows, and the next run goes on there" in ended.report.message
    assert "secret" not in ended.stdout + ended.stderr
    assert database.rows(OPEN) == [("Started", 2)]
    assert database.rows(COUNTS) == [(0, 4800), (1, 200)]
    below = product.run("--scripts", folder, "--version", "0")
    assert (below.code, below.report.reason) == (20, "PartlyApplied"), below
    assert "2 batches of its rows are done" in below.report.message
    edited = apply(product, folder, text.replace("'1'", "'2'"))
    assert (edited.code, edited.report.reason) == (20, "ChecksumMismatch"), edited
    assert "of which 2 batches are done" in edited.report.message
    other = apply(product, folder, text.replace("batch=item.id", "batch=item.n"))
    assert (other.code, other.report.reason) in {(20, "ChecksumMismatch"), (20, "InvalidBatch")}, other
    plan = apply(product, folder, text, "--plan")
    assert (plan.code, plan.report.plan and plan.report.plan[0].in_batches) == (0, True), plan
    database.execute("UPDATE item SET code = NULL")
    again = apply(product, folder, text, *OF_100)
    assert again.code == 0, again
    assert database.rows(COUNTS) == [(1, 5000)]
    assert database.rows(OPEN) == []


def test_the_place_of_an_error_is_that_in_the_script(product: Product, folder: Path) -> None:
    text = f"-- schema-operator: batch=item.id\nUPDATE item\n  SET n = nn WHERE {RANGE.format('id')}"
    ended = apply(product, folder, text)
    assert (ended.code, ended.report.reason) == (21, "ObjectNotFound"), ended
    assert ended.report.place is not None
    assert (ended.report.place.line, ended.report.place.column, ended.report.place.sqlstate) == (3, 11, "42703")


def test_what_was_begun_and_has_done_nothing_is_abandoned(product: Product, database: Database, folder: Path) -> None:
    database.execute(STOP_AT.format(1))
    with database.connect() as other:
        other.execute(HOLD)
        run = product.start("--scripts", write(folder, {"1_x.up.sql": BY_ID, "0.1_a.up.sql": "CREATE TABLE a ();"}))
        database.wait_for(WAITS)
        run.send_signal(signal.SIGTERM)
        ended = finish(run)
        assert (ended.code, ended.report.reason) == (143, "Stopped"), ended
    assert database.rows(OPEN) == [("Started", 0)]
    ended = product.run("--scripts", folder, "--version", "0.1")
    assert ended.code == 0, ended
    assert database.rows(OPEN) == []
    assert database.rows(COUNTS) == [(0, 5000)]


def test_a_run_that_is_asked_to_stop_says_how_far_it_came(product: Product, database: Database, folder: Path) -> None:
    database.execute(STOP_AT.format(1001))
    with database.connect() as other:
        other.execute(HOLD)
        run = product.start("--scripts", write(folder, {"1_x.up.sql": BY_ID}), "--batch-max-size", "500")
        database.wait_for(WAITS)
        began = time.monotonic()
        run.send_signal(signal.SIGTERM)
        ended = finish(run)
        assert time.monotonic() - began < 2.0
    assert (ended.code, ended.report.reason) == (143, "Stopped"), ended
    assert "2 batches are done, 1000 of about 5000 rows" in ended.report.message
    assert product.run("--scripts", folder).code == 0
    assert database.rows(COUNTS) == [(1, 5000)]


def test_a_rollback_is_done_in_batches_too(product: Product, database: Database, folder: Path) -> None:
    down = BY_ID.replace("n + 1", "n - 1")
    write(folder, {"1_x.up.sql": BY_ID, "1_x.down.sql": down})
    for _ in range(2):  # the positions of the first time are none of the second's
        assert product.run("--scripts", folder).code == 0
        assert database.rows(COUNTS) == [(1, 5000)]
        plan = product.run("--scripts", folder, "--version", "0", "--plan")
        assert plan.report.plan is not None
        assert plan.report.plan[0].in_batches
        ended = product.run("--scripts", folder, "--version", "0", *OF_100)
        assert (ended.code, database.rows(COUNTS)) == (0, [(0, 5000)]), ended
    assert database.versions() == ["1", "1-rollback", "1", "1-rollback"]


def test_psql_rolls_back_at_once_what_was_done_in_batches(product: Product, database: Database, folder: Path) -> None:
    text, down = BY_ID.replace("n + 1", "n + coalesce(code, '1')::int"), BY_ID.replace("n + 1", "n - 1")
    database.execute("UPDATE item SET code = 'no number' WHERE id = 250")
    other = {"0.1_a.up.sql": "CREATE TABLE a ();", "0.1_a.down.sql": "DROP TABLE a;"}
    write(folder, {**other, "1_x.up.sql": text, "1_x.down.sql": down})
    assert product.run("--scripts", folder, *OF_100).code == 30
    said = psql.run(database, "CALL schema_operator.emergency_rollback('0')")
    assert said.code != 0, said
    assert "version 1 is applied in part" in said.errors
    assert database.rows(COUNTS) == [(0, 4800), (1, 200)]
    database.execute("UPDATE item SET code = NULL")
    assert product.run("--scripts", folder).code == 0
    said = psql.run(database, "CALL schema_operator.emergency_rollback('0.1')")
    assert said.code == 0, said
    assert database.rows(COUNTS) == [(0, 5000)]
    assert database.versions() == ["0.1", "1", "1-rollback"]


def test_what_was_done_before_a_rollback_does_not_count_afterwards(
    product: Product, database: Database, folder: Path
) -> None:
    text = BY_ID.replace("n + 1", "n + coalesce(code, '1')::int")
    write(folder, {"1_x.up.sql": text, "1_x.down.sql": "UPDATE item SET n = 0"})
    assert product.run("--scripts", folder, *OF_100).code == 0
    assert product.run("--scripts", folder, "--version", "0").code == 0
    database.execute("UPDATE item SET code = 'no number' WHERE id = 250")
    assert product.run("--scripts", folder, *OF_100).code == 30
    database.execute("UPDATE item SET code = NULL")
    assert product.run("--scripts", folder).code == 0
    assert database.rows(COUNTS) == [(1, 5000)]


def test_settings_may_change_between_the_run_that_fails_and_the_next(
    product: Product, database: Database, tmp_path: Path
) -> None:
    database.execute(
        "CREATE TABLE item (id timestamptz PRIMARY KEY, n int NOT NULL DEFAULT 0, code text);"
        "INSERT INTO item (id, code) SELECT '2026-01-01'::timestamptz + g * '6 h'::interval, "
        "CASE g WHEN 500 THEN 'no number' ELSE '1' END FROM generate_series(1, 1000) AS g;"
        f"ALTER DATABASE {database.name} SET DateStyle = 'SQL, DMY'"
    )
    folder, text = tmp_path / "scripts", BY_ID.replace("n + 1", "n + code::int")
    assert apply(product, folder, text, *OF_100).code == 30
    database.execute(
        "UPDATE item SET code = '1'; "
        f"ALTER DATABASE {database.name} SET DateStyle = 'SQL, MDY';"
        f"ALTER DATABASE {database.name} SET TimeZone = 'Asia/Tokyo'"
    )
    ended = apply(product, folder, text, *OF_100)
    assert ended.code == 0, ended
    assert database.rows(COUNTS) == [(1, 1000)]


def test_a_rollback_without_a_key_changes_nothing(product: Product, database: Database, folder: Path) -> None:
    files = {
        "1_x.up.sql": BY_ID,
        "1_x.down.sql": BY_ID.replace("n + 1", "n - 1"),
        "2_y.up.sql": "CREATE TABLE a ();",
        "2_y.down.sql": "DROP TABLE a;",
    }
    assert product.run("--scripts", write(folder, files)).code == 0
    database.execute("ALTER TABLE item DROP CONSTRAINT item_pkey")
    ended = product.run("--scripts", folder, "--version", "0")
    assert (ended.code, ended.report.reason) == (20, "NoKey"), ended
    assert "a" in database.relations()


def test_a_check_before_the_commit_looks_at_all_batches(product: Product, database: Database, folder: Path) -> None:
    write(folder, {"1_x.up.sql": BY_ID, "1_x.verify.sql": "SELECT bool_and(n = 2) FROM item"})
    ended = product.run("--scripts", folder)
    assert (ended.code, ended.report.reason) == (30, "VerificationFailed"), ended
    assert database.rows(COUNTS) == [(1, 5000)]
    write(folder, {"1_x.up.sql": BY_ID, "1_x.verify.sql": "SELECT bool_and(n = 1) FROM item"})
    assert product.run("--scripts", folder).code == 0
    assert database.rows(COUNTS) == [(1, 5000)]


def test_a_row_that_somebody_holds_is_waited_for_and_named(product: Product, database: Database, folder: Path) -> None:
    with database.connect("the holder") as other:
        other.execute("BEGIN; UPDATE item SET code = 'x' WHERE id = 777")
        ended = apply(product, folder, BY_ID, *OF_100, "--give-up-after", "1")
        assert (ended.code, ended.report.reason) == (10, "LockTimeout"), ended
        assert "7 batches are done" in ended.report.message
        assert "the holder" in (ended.report.blocker or "")
        run = product.start("--scripts", folder, *OF_100)
        time.sleep(1.0)
        other.execute("COMMIT")
    assert finish(run).code == 0
    assert database.rows(COUNTS) == [(1, 5000)]


def test_a_long_transaction_slows_batches_and_is_named(product: Product, database: Database, folder: Path) -> None:
    quick = apply(product, folder, BY_ID, *OF_100, "--long-transaction", "100ms")
    assert quick.code == 0
    assert all("slower" not in one.message for one in quick.progress)
    with database.connect("a report") as other:
        other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM item")
        time.sleep(0.2)
        ended = apply(product, folder, BY_ID, *OF_100, "--long-transaction", "100ms", version=2)
        assert ended.code == 0, ended
    slower = [one.message for one in ended.progress if "slower while a transaction is open for long" in one.message]
    assert slower, ended.progress
    assert "application a report, idle in transaction" in slower[-1]
    assert database.rows(COUNTS) == [(2, 5000)]


def test_a_role_that_may_not_see_others_is_told_once(
    product: Product, database: Database, folder: Path, role: str
) -> None:
    database.execute(f"GRANT CREATE ON DATABASE {database.name} TO {role}; ALTER TABLE item OWNER TO {role}")
    database.execute(f"GRANT CREATE ON SCHEMA public TO {role}; ALTER ROLE {role} PASSWORD 'simple'")
    write(folder, {"1_x.up.sql": BY_ID})
    ended = product.run("--scripts", folder, *OF_100, uri=database.uri_of(role, "simple"))
    assert ended.code == 0, ended
    said = [one.message for one in ended.progress if "GRANT pg_read_all_stats" in one.message]
    assert len(said) == 1
    assert said[0].startswith(
        f"the user {role} may not see what standbys and other sessions do, so batches do not wait"
    )
    assert database.rows(COUNTS) == [(1, 5000)]
    database.execute(f"GRANT pg_read_all_stats TO {role}")
    write(folder, {"1_x.up.sql": BY_ID, "2_x.up.sql": BY_ID})
    ended = product.run("--scripts", folder, uri=database.uri_of(role, "simple"))
    assert ended.code == 0
    assert all("GRANT" not in one.message for one in ended.progress)


def test_a_session_whose_guard_is_ended_stops_between_batches(
    product: Product, database: Database, folder: Path
) -> None:
    database.execute(STOP_AT.format(250))
    with database.connect() as other:
        other.execute(HOLD)
        run = product.start("--scripts", write(folder, {"1_x.up.sql": BY_ID}), *OF_100)
        database.wait_for(WAITS)
        database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2 "
            "AND classid = 1936683108 AND objid = 1"
        )
        other.execute("SELECT pg_advisory_unlock_all()")
    ended = finish(run)
    assert (ended.code, ended.report.reason) == (10, "GuardLost"), ended
    # The third, if it was not just being tried again: the fence of its transaction was still ours.
    assert database.rows(OPEN) in ([("Started", 2)], [("Started", 3)])
    assert product.run("--scripts", folder).code == 0
    assert database.rows(COUNTS) == [(1, 5000)]
