"""Runs archive what scripts destroy: as whom, when they refuse, what they say, and what rollbacks leave alone."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

import psycopg
import pytest

from support.postgres import CANARY_ENCODED, OLDEST_AND_NEWEST, Database, Ended, Product, write

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.postgres, OLDEST_AND_NEWEST]

ITEM = "CREATE TABLE item (id int PRIMARY KEY, name text); INSERT INTO item VALUES (1, 'a'), (2, 'b')"
NO_KEY = "CREATE TABLE item (id int, name text); INSERT INTO item VALUES (1, 'a')"
ARCHIVES = "SELECT version, action, kind, table_name, rows FROM schema_operator.archives ORDER BY id"


def run(product: Product, tmp_path: Path, up: str, down: str = "", *options: str) -> Ended:
    """Apply `up` as version 2, after a version that only makes a table of its own."""
    files = {"1_a.up.sql": "CREATE TABLE first ()", "1_a.down.sql": "DROP TABLE first", "2_b.up.sql": up}
    if down:
        files["2_b.down.sql"] = down
    return product.run("--scripts", write(tmp_path / "scripts", files), *options)


def back(product: Product, tmp_path: Path, *options: str) -> Ended:
    ended = product.run("--scripts", tmp_path / "scripts", "--version", "1", *options)
    assert ended.code == 0, ended
    return ended


def test_what_was_archived_and_put_back_is_said(product: Product, database: Database, tmp_path: Path) -> None:
    database.execute(ITEM)
    ended = run(product, tmp_path, "ALTER TABLE item DROP name;\nTRUNCATE item", "ALTER TABLE item ADD name text")
    said = "Archived column name of public.item (2 rows, in schema_operator.archive_1)"
    assert f"Applied 1, 2. {said}. Archived the rows of public.item (2 rows, in" in ended.report.message, ended
    assert said in [one.message for one in ended.progress]
    assert "archiving what statement 2 of 2 destroys" in [one.message for one in ended.progress]
    assert database.rows(ARCHIVES) == [("2", "apply", "column", "item", 2), ("2", "apply", "rows", "item", 2)]
    database.execute("INSERT INTO item VALUES (1)")
    ended = product.run("--scripts", tmp_path / "scripts", "--version", "0")
    assert ended.code == 0, ended
    assert "Put back column name of public.item" in ended.report.message
    assert "Put back the rows of public.item (1 row)" in ended.report.message
    assert database.rows(ARCHIVES)[2:] == [("1", "rollback", "table", "first", 0)]
    assert database.rows("SELECT * FROM item ORDER BY id") == [(1, "a"), (2, "b")]


def test_the_archive_is_the_runs_own_and_names_are_the_scripts(
    product: Product, database: Database, role: str, tmp_path: Path
) -> None:
    database.execute(f"{ITEM}; CREATE SCHEMA {role} AUTHORIZATION {role}; CREATE SCHEMA other")
    database.execute(
        f"CREATE TABLE {role}.item (id int PRIMARY KEY, name text); ALTER TABLE {role}.item OWNER TO {role}"
    )
    database.execute("CREATE TABLE other.item (id int PRIMARY KEY); INSERT INTO other.item VALUES (7)")
    script = (
        f"SET ROLE {role};\nALTER TABLE item DROP name;\nCREATE TABLE seen AS SELECT current_user::text AS who, "
        "current_setting('search_path') AS path, current_setting('statement_timeout') AS longest;\n"
        "RESET ROLE; SET search_path = other; SET statement_timeout = '7s'; TRUNCATE item;\n"
        "CREATE TABLE seen AS SELECT current_user::text AS who, current_setting('search_path') AS path, "
        "current_setting('statement_timeout') AS longest"
    )
    ended = run(product, tmp_path, script)
    assert ended.code == 0, ended
    owners = "SELECT table_schema, kind, rows, relowner::regrole::text FROM schema_operator.archives"
    query = f"{owners} JOIN pg_class ON oid = archive_oid ORDER BY id"
    assert database.rows(query) == [(role, "column", 0, "postgres"), ("other", "rows", 1, "postgres")]
    assert database.rows(f"SELECT * FROM {role}.seen") == [(role, '"$user", public', "0")]
    assert database.rows("SELECT * FROM other.seen") == [("postgres", "other", "7s")]
    assert database.value("SELECT count(*) FROM public.item WHERE name IS NOT NULL") == 2


def test_a_role_set_for_the_transaction_stays_in_force_to_its_end(
    product: Product, database: Database, role: str, tmp_path: Path
) -> None:
    database.execute(f"{ITEM}; ALTER TABLE item OWNER TO {role}; GRANT CREATE ON SCHEMA public TO {role}")
    script = f"SET SESSION AUTHORIZATION {role}; TRUNCATE item; CREATE TABLE made ()"
    assert run(product, tmp_path, script).code == 0
    assert database.value("SELECT relowner::regrole::text FROM pg_class WHERE relname = 'made'") == role


def test_what_fails_after_the_archive_leaves_none(product: Product, database: Database, tmp_path: Path) -> None:
    database.execute(ITEM)
    ended = run(product, tmp_path, "ALTER TABLE item DROP name; SELECT 1 / 0")
    assert (ended.code, ended.report.reason) == (21, "DataViolation"), ended
    assert "Archived" not in ended.report.message
    assert (database.rows(ARCHIVES), database.relations("schema_operator")) == (
        *([], [one for one in database.relations("schema_operator") if not one.startswith("archive_")]),
    )
    assert database.rows("SELECT * FROM item ORDER BY 1") == [(1, "a"), (2, "b")]


class Refusal(NamedTuple):
    setup: str
    script: str
    options: tuple[str, ...]
    reason: str
    says: str


FILLER = (
    "CREATE TABLE item (id int PRIMARY KEY, name text);"
    "INSERT INTO item SELECT n, repeat('x', 100) FROM generate_series(1, 2000) AS n"
)
REFUSALS = {
    "a column without a key": Refusal(
        NO_KEY,
        "SELECT 1;\nALTER TABLE item DROP name",
        (),
        "NoKey",
        "version 2, file 2_b.up.sql, statement 2 of 2, line 2, column 1: column name of public.item cannot be "
        "archived: the table has no primary key",
    ),
    "the key itself": Refusal(
        ITEM, "ALTER TABLE item DROP id", (), "NoKey", "column id of public.item cannot be archived"
    ),
    "a key that may be null, one with a condition, and one of an expression": Refusal(
        f"{NO_KEY}; CREATE UNIQUE INDEX ON item (id); ALTER TABLE item ADD a int NOT NULL DEFAULT 0; "
        "CREATE UNIQUE INDEX ON item (a) WHERE a > 0; CREATE UNIQUE INDEX ON item ((a + 1))",
        "ALTER TABLE item DROP name",
        (),
        "NoKey",
        "add a primary key in an earlier version, or allow DeletesData",
    ),
    "a column by CASCADE": Refusal(
        "CREATE TYPE mood AS ENUM ('ok'); CREATE TABLE item (id int, mood mood)",
        "DROP TYPE mood CASCADE",
        (),
        "NoKey",
        "column mood of public.item",
    ),
    "too large a table": Refusal(
        FILLER,
        "DROP TABLE item",
        ("--archive-max-size", "100Ki"),
        "ArchiveTooLarge",
        "the archive of table public.item would have ",
    ),
    "too large rows": Refusal(
        FILLER, "TRUNCATE item", ("--archive-max-size", "100Ki"), "ArchiveTooLarge", "and may have 100 kB; raise policy"
    ),
    "too large a column, by its statistics": Refusal(
        f"{FILLER}; ANALYZE item",
        "ALTER TABLE item DROP name",
        ("--archive-max-size", "100Ki"),
        "ArchiveTooLarge",
        "the archive of column name of public.item would have ",
    ),
    "a transaction that does not see what others write": Refusal(
        ITEM,
        "BEGIN ISOLATION LEVEL REPEATABLE READ; TRUNCATE item; COMMIT",
        (),
        "TransactionControl",
        "leave the isolation level out of the script's BEGIN",
    ),
}


@pytest.mark.parametrize("case", REFUSALS.values(), ids=REFUSALS.keys())
def test_what_cannot_be_archived_is_refused_before_anything_is_run(
    case: Refusal, product: Product, database: Database, tmp_path: Path
) -> None:
    assert run(product, tmp_path, "SELECT 1", "", "--version", "0").code == 0
    database.execute(case.setup)
    before = database.dump()
    for options in ((), ("--plan",)):
        ended = run(product, tmp_path, case.script, "", *case.options, *options)
        assert (ended.code, ended.report.reason) == (20, case.reason), ended
        assert case.says in ended.report.message
        assert database.dump() == before


@pytest.mark.parametrize(
    "name", ["a column without a key", "too large rows", "a transaction that does not see what others write"]
)
def test_a_first_run_that_is_refused_for_its_archives_leaves_no_history(
    name: str, product: Product, database: Database, tmp_path: Path
) -> None:
    case = REFUSALS[name]
    database.execute(case.setup)
    before = database.dump()
    ended = run(product, tmp_path, case.script, "", *case.options)
    assert (ended.code, ended.report.reason) == (20, case.reason), ended
    assert case.says in ended.report.message
    assert database.dump() == before


def test_a_first_run_that_may_not_look_at_a_table_is_told_so(
    product: Product, database: Database, role: str, tmp_path: Path
) -> None:
    database.execute("CREATE SCHEMA hidden; CREATE TABLE hidden.item (id int)")
    database.execute(f"GRANT CREATE ON DATABASE {database.name} TO {role}; GRANT CREATE ON SCHEMA public TO {role}")
    before = database.dump()
    write(tmp_path / "scripts", {"1_a.up.sql": "DROP TABLE hidden.item"})
    ended = product.run("--scripts", tmp_path / "scripts", uri=database.uri_of(role, CANARY_ENCODED))
    assert (ended.code, ended.report.reason) == (20, "PermissionDenied"), ended
    assert "hidden" in ended.report.message, ended
    assert "schema_operator" not in ended.report.message, ended
    assert database.dump() == before


def test_a_rollback_that_would_destroy_what_cannot_be_archived_is_refused(
    product: Product, database: Database, tmp_path: Path
) -> None:
    database.execute("CREATE TABLE item (id int)")
    assert run(product, tmp_path, "ALTER TABLE item ADD name text", "ALTER TABLE item DROP name").code == 0
    for options in ((), ("--plan",)):
        ended = product.run("--scripts", tmp_path / "scripts", "--version", "0", *options)
        assert (ended.code, ended.report.reason) == (20, "NoKey"), ended
    assert database.applied() == ["1", "2"]
    back(product, tmp_path, "--allow", "DeletesData")
    assert database.applied() == ["1"]


@pytest.mark.parametrize("said", ["-- schema-operator: allow=DeletesData\n", ""])
def test_what_cannot_be_archived_is_destroyed_where_that_is_allowed(
    product: Product, database: Database, tmp_path: Path, said: str
) -> None:
    database.execute(f"{NO_KEY}; {FILLER.replace('item', 'big')}")
    script = f"{said}ALTER TABLE item DROP name;\nDROP TABLE big;\nTRUNCATE item"
    options = ("--archive-max-size", "100Ki", *(() if said else ("--allow", "DeletesData")))
    ended = run(product, tmp_path, script, "", *options, "--plan", "--version", "2")
    assert ended.code == 0, "a plan without a control schema does not look further"
    ended = run(product, tmp_path, script, "", *options)
    assert ended.code == 0, ended
    warnings = [one.message for one in ended.progress if one.message.startswith("warning: ")]
    assert [one.partition(" is destroyed without an archive: ")[0] for one in warnings] == [
        "warning: version 2: column name of public.item",
        "warning: version 2: table public.big",
    ]
    assert "Warning: version 2: column name of public.item is destroyed without" in ended.report.message
    assert database.rows(ARCHIVES) == [("2", "apply", "rows", "item", 1)]


@pytest.mark.parametrize("above", ["Refuse", "Skip"])
def test_the_size_that_counts_is_that_of_the_copy(
    product: Product, database: Database, tmp_path: Path, above: str
) -> None:
    # Without statistics, nobody knows before how large the column is.
    database.execute(FILLER.replace("name text)", "name text) WITH (autovacuum_enabled = false)"))
    options = ("--archive-max-size", "100Ki", "--archive-above", above)
    ended = run(product, tmp_path, "ALTER TABLE item DROP name", "", *options)
    if above == "Refuse":
        assert (ended.code, ended.report.reason) == (21, "ArchiveTooLarge"), ended
        assert ended.report.message.startswith(
            "version 2, file 2_b.up.sql, statement 1 of 1, line 1, column 1: the archive"
        )
        assert database.value("SELECT count(*) FROM item WHERE name IS NOT NULL") == 2000
    else:
        assert ended.code == 0, ended
        assert "is destroyed without an archive: the archive of column name of public.item would have" in ended.stdout
    assert database.rows(ARCHIVES) == []
    assert "archive_1" not in database.relations("schema_operator")


def test_a_key_that_an_earlier_statement_makes_is_one(product: Product, database: Database, tmp_path: Path) -> None:
    database.execute(NO_KEY)
    ended = run(product, tmp_path, "ALTER TABLE item ADD PRIMARY KEY (id); ALTER TABLE item DROP name")
    assert ended.code == 0, ended
    assert database.rows(ARCHIVES) == [("2", "apply", "column", "item", 1)]


def test_names_are_not_judged_where_the_script_looks_elsewhere(
    product: Product, database: Database, tmp_path: Path
) -> None:
    database.execute(f"{NO_KEY}; CREATE SCHEMA shop; CREATE TABLE shop.item (id int PRIMARY KEY, name text)")
    ended = run(product, tmp_path, "SET search_path = shop; ALTER TABLE item DROP name")
    assert ended.code == 0, ended
    ended = run(product, tmp_path, "SET search_path = public; ALTER TABLE item DROP name", "", "--version", "2")
    assert ended.code == 20, "an applied script that was edited"


def test_a_missing_key_is_found_at_the_statement_where_it_could_not_be_before(
    product: Product, database: Database, tmp_path: Path
) -> None:
    ended = run(product, tmp_path, "CREATE TABLE item (id int, name text); ALTER TABLE item DROP name")
    assert (ended.code, ended.report.reason) == (21, "NoKey"), ended
    assert ended.report.message.startswith(
        "version 2, file 2_b.up.sql, statement 2 of 2, line 1, column 40: column name"
    )
    assert (database.applied(), database.relations()) == (["1"], ["first"])


def test_a_role_that_may_not_archive_is_told_the_grants(
    product: Product, database: Database, role: str, tmp_path: Path
) -> None:
    assert run(product, tmp_path, "SELECT 1", "", "--version", "1").code == 0
    database.execute(f"{ITEM}; ALTER TABLE item OWNER TO {role}")
    database.execute(f"GRANT USAGE ON SCHEMA schema_operator TO {role}")
    database.execute(f"GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA schema_operator TO {role}")
    arguments = ("--scripts", tmp_path / "scripts")
    uri = database.uri_of(role, CANARY_ENCODED)
    run(product, tmp_path, "TRUNCATE item", "SELECT 1", "--version", "1")
    for options in ((), ("--plan",)):
        ended = product.run(*arguments, *options, uri=uri)
        assert (ended.code, ended.report.reason) == (20, "PermissionDenied"), ended
    grants = [part.strip() for part in ended.report.message.split("run: ")[1].split(";") if "GRANT" in part]
    assert database.value("SELECT count(*) FROM item") == 2
    database.execute(";".join(grants))
    ended = product.run(*arguments, uri=uri)
    assert ended.code == 0, ended
    ended = product.run(*arguments, "--version", "1", uri=uri)
    assert ended.code == 0, ended
    assert "Put back the rows of public.item (2 rows)" in ended.report.message
    assert database.value("SELECT count(*) FROM item") == 2


def test_a_table_the_run_may_not_read_is_not_destroyed(
    product: Product, database: Database, role: str, tmp_path: Path
) -> None:
    ended = run(product, tmp_path, "SELECT 1", "", "--version", "1")
    database.execute(f"CREATE ROLE {role}_owner; GRANT {role}_owner TO {role}; ALTER ROLE {role} NOINHERIT")
    try:
        database.execute(f"{ITEM}; ALTER TABLE item OWNER TO {role}_owner; REVOKE ALL ON item FROM {role}_owner")
        for what in (
            "USAGE, CREATE ON SCHEMA",
            "SELECT, INSERT ON ALL TABLES IN SCHEMA",
            "EXECUTE ON ALL ROUTINES IN SCHEMA",
        ):
            database.execute(f"GRANT {what} schema_operator TO {role}")
        if database.server.major >= 16:
            database.execute(f"GRANT {role}_owner TO {role} WITH INHERIT FALSE")
        write(
            tmp_path / "scripts",
            {"1_a.up.sql": "CREATE TABLE first ()", "2_b.up.sql": f"SET ROLE {role}_owner; DROP TABLE item"},
        )
        ended = product.run("--scripts", tmp_path / "scripts", uri=database.uri_of(role, CANARY_ENCODED))
        assert (ended.code, ended.report.reason) == (21, "PermissionDenied"), ended
        assert "item" in ended.report.message
        assert database.value("SELECT count(*) FROM item") == 2
    finally:
        database.execute(f"DROP OWNED BY {role}_owner; DROP ROLE {role}_owner")


def test_row_level_security_hides_no_row_from_an_archive(
    product: Product, database: Database, role: str, tmp_path: Path
) -> None:
    run(product, tmp_path, "SELECT 1", "", "--version", "1")
    database.execute(f"{ITEM}; ALTER TABLE item OWNER TO {role}; ALTER TABLE item ENABLE ROW LEVEL SECURITY")
    database.execute("ALTER TABLE item FORCE ROW LEVEL SECURITY; CREATE POLICY one ON item USING (id = 1)")
    for what in (
        "USAGE, CREATE ON SCHEMA",
        "SELECT, INSERT ON ALL TABLES IN SCHEMA",
        "EXECUTE ON ALL ROUTINES IN SCHEMA",
    ):
        database.execute(f"GRANT {what} schema_operator TO {role}")
    write(tmp_path / "scripts", {"1_a.up.sql": "CREATE TABLE first ()", "2_b.up.sql": "TRUNCATE item"})
    ended = product.run("--scripts", tmp_path / "scripts", uri=database.uri_of(role, CANARY_ENCODED))
    assert (ended.code, ended.report.reason) == (21, "PermissionDenied"), ended
    assert database.value("SELECT count(*) FROM item") == 2


def test_without_archives_nothing_is_copied_and_nothing_is_put_back(
    product: Product, database: Database, tmp_path: Path
) -> None:
    database.execute(NO_KEY)
    off = ("--archives", "Off")
    assert run(product, tmp_path, "ALTER TABLE item DROP name", "ALTER TABLE item ADD name text", *off).code == 0
    assert database.rows(ARCHIVES) == []
    back(product, tmp_path)
    assert database.rows("SELECT * FROM item") == [(1, None)]
    database.execute("ALTER TABLE item ADD PRIMARY KEY (id)")
    assert run(product, tmp_path, "TRUNCATE item", "SELECT 1").code == 0
    back(product, tmp_path, *off)
    assert database.rows("SELECT * FROM item") == []


class Alone(NamedTuple):
    up: str
    down: str
    rows: list[tuple[object, ...]]
    says: str


ALONE = {
    "restore=never": Alone(
        "ALTER TABLE item DROP name",
        "-- schema-operator: restore=never\nALTER TABLE item ADD name text",
        [(1, None), (2, None)],
        "",
    ),
    "values of the script's own": Alone(
        "ALTER TABLE item DROP name",
        "ALTER TABLE item ADD name text; UPDATE item SET name = 'mine' WHERE id = 2",
        [(1, None), (2, "mine")],
        "Did not put back column name of public.item, because there are values in it already",
    ),
    "rows of the script's own": Alone(
        "DROP TABLE item",
        "CREATE TABLE item (id int PRIMARY KEY, name text); INSERT INTO item VALUES (3, 'mine')",
        [(3, "mine")],
        "Did not put back table public.item, because there are rows in public.item already",
    ),
    "deleted rows, some of which the script puts back": Alone(
        "DELETE FROM item",
        "INSERT INTO item VALUES (2, 'mine')",
        [(1, "a"), (2, "mine")],
        "Put back the rows of public.item (1 row, 1 row kept as newer, listed in schema_operator.recovery_conflicts)",
    ),
    "another type": Alone(
        "ALTER TABLE item DROP name",
        "ALTER TABLE item ADD name int",
        [(1, None), (2, None)],
        "column name of public.item could not be put back: the archive of column name of public.item does not fit "
        "public.item: column name was of type text and is of type integer; it stays in schema_operator.archive_1",
    ),
    "values that do not fit": Alone(
        "ALTER TABLE item DROP name",
        "ALTER TABLE item ADD name text CHECK (name <> 'a')",
        [(1, None), (2, None)],
        "column name of public.item could not be put back: the server refuses it (SQLSTATE 23514); it stays in",
    ),
}


@pytest.mark.parametrize("case", ALONE.values(), ids=ALONE.keys())
def test_what_a_down_script_does_itself_is_left_alone(
    case: Alone, product: Product, database: Database, tmp_path: Path
) -> None:
    database.execute(ITEM)
    assert run(product, tmp_path, case.up, case.down).code == 0
    ended = back(product, tmp_path)
    assert case.says in ended.report.message, ended
    assert database.rows("SELECT * FROM item ORDER BY id") == case.rows
    assert database.applied() == ["1"]


def test_only_the_last_application_is_put_back(product: Product, database: Database, tmp_path: Path) -> None:
    database.execute(ITEM)
    never = "-- schema-operator: restore=never\nSELECT 1"
    assert run(product, tmp_path, "DELETE FROM item", never).code == 0
    back(product, tmp_path)
    database.execute("INSERT INTO item VALUES (3, 'c')")
    assert run(product, tmp_path, "DELETE FROM item", "SELECT 1").code == 0
    back(product, tmp_path)
    assert database.rows("SELECT * FROM item") == [(3, "c")]
    assert run(product, tmp_path, "SELECT 2", "SELECT 1").code == 0
    database.execute("DELETE FROM item")
    back(product, tmp_path)
    assert database.rows("SELECT * FROM item") == [], "the last application has destroyed nothing"


def test_a_version_in_parts_is_put_back_as_a_whole(product: Product, database: Database, tmp_path: Path) -> None:
    database.execute(ITEM)
    up = (
        "-- schema-operator: transaction=never\nALTER TABLE item DROP name;\n"
        "SELECT 1 / (SELECT count(*) FROM item WHERE id > 1);\nTRUNCATE item;"
    )
    database.execute("DELETE FROM item WHERE id > 1")
    assert run(product, tmp_path, up, "SELECT 1").code == 30
    database.execute("INSERT INTO item VALUES (2)")
    ended = run(product, tmp_path, up, "SELECT 1")
    assert ended.code == 0, ended
    assert (
        len({transaction for (transaction,) in database.rows("SELECT transaction FROM schema_operator.archives")}) == 2
    )
    back(product, tmp_path)
    assert database.rows("SELECT * FROM item ORDER BY id") == [(1, "a"), (2, None)]


def test_a_run_drops_what_is_too_old_unless_somebody_reads_it(
    product: Product, database: Database, tmp_path: Path
) -> None:
    database.execute(ITEM)
    ended = run(product, tmp_path, "TRUNCATE item; DELETE FROM item; DROP TABLE item", "", "--archive-keep", "1ms")
    assert ended.code == 0, ended
    keep = "UPDATE schema_operator.archives SET expires_at = expires_at + interval '1 day' WHERE id = 3"
    database.execute(keep)
    with database.connect() as reader, reader.transaction():
        reader.execute("SELECT FROM schema_operator.archive_2")
        assert "Dropped" not in product.run("--scripts", tmp_path / "scripts", "--plan").report.message
        ended = product.run("--scripts", tmp_path / "scripts")
        assert (ended.code, ended.report.versions) == (0, ()), ended
    assert "Dropped the expired archive schema_operator.archive_1." in ended.report.message
    query = "SELECT archive_table FROM schema_operator.available_archives"
    assert database.rows(query) == [("archive_2",), ("archive_3",)]
    assert product.run("--scripts", tmp_path / "scripts").code == 0
    assert database.rows(query) == [("archive_3",)]
    assert database.value("SELECT count(*) FROM schema_operator.archives") == 3


def test_rows_that_are_written_meanwhile_are_not_lost(product: Product, database: Database, tmp_path: Path) -> None:
    database.execute("CREATE TABLE item (id int PRIMARY KEY, name text)")
    database.execute("INSERT INTO item SELECT -n, 'n' || n FROM generate_series(1, 200000) AS n")
    stop, written = threading.Event(), [0]

    def insert() -> None:
        with psycopg.connect(database.uri, autocommit=True) as connection:
            while not stop.is_set():
                connection.execute("INSERT INTO item VALUES (%s, 'x')", [written[0] + 1])
                written[0] += 1

    writer = threading.Thread(target=insert)
    writer.start()
    try:
        ended = run(product, tmp_path, "TRUNCATE item")
    finally:
        stop.set()
        writer.join()
    assert ended.code == 0, ended
    both = "SELECT id FROM item UNION ALL SELECT id FROM schema_operator.archive_1"
    found = database.value(f"SELECT count(*) FROM ({both}) AS b WHERE id > 0")
    assert (found, database.value(f"SELECT count(DISTINCT id) FROM ({both}) AS b WHERE id > 0")) == (
        written[0],
        written[0],
    )
    assert database.value("SELECT count(*) FROM schema_operator.archive_1 WHERE id > 0") > 0


def test_a_plan_tells_what_would_be_archived(product: Product, database: Database, tmp_path: Path) -> None:
    assert run(product, tmp_path, "SELECT 1", "", "--version", "1").code == 0
    database.execute(f"{ITEM}; CREATE TABLE other (id int, name text)")
    script = "DROP TABLE item; ALTER TABLE other DROP name"
    ended = run(product, tmp_path, script, "", "--plan", "--allow", "DeletesData")
    assert ended.code == 0, ended
    assert "table public.item would be archived" in [one.message for one in ended.progress]
    assert "column name of public.other would be destroyed without an archive" in ended.report.message
    assert database.rows(ARCHIVES) == []


def test_versions_around_one_that_is_archived_keep_their_order(
    product: Product, database: Database, tmp_path: Path
) -> None:
    database.execute("CREATE TABLE item (id int PRIMARY KEY)")
    files = {f"{number}_x.up.sql": f"INSERT INTO item VALUES ({number})" for number in (1, 2, 4, 5)}
    ended = product.run("--scripts", write(tmp_path / "scripts", {**files, "3_x.up.sql": "DELETE FROM item"}))
    assert (ended.code, ended.report.versions) == (0, ("1", "2", "3", "4", "5")), ended
    assert database.rows("SELECT id FROM item ORDER BY id") == [(4,), (5,)]
    assert database.rows("SELECT id FROM schema_operator.archive_1 ORDER BY id") == [(1,), (2,)]
    assert database.rows(ARCHIVES) == [("3", "apply", "rows", "item", 2)]


TRAP = """
CREATE SCHEMA trap;
CREATE FUNCTION trap.sprung(jsonb, text) RETURNS text LANGUAGE plpgsql AS
    $$BEGIN RAISE EXCEPTION 'the trap is sprung'; END$$;
CREATE OPERATOR trap.->> (LEFTARG = jsonb, RIGHTARG = text, FUNCTION = trap.sprung);
CREATE FUNCTION trap.sprung(text, text) RETURNS boolean LANGUAGE plpgsql AS
    $$BEGIN RAISE EXCEPTION 'the trap is sprung'; END$$;
CREATE OPERATOR trap.= (LEFTARG = text, RIGHTARG = text, FUNCTION = trap.sprung);
"""


def test_nobodys_operators_stand_in_for_the_servers_own(product: Product, database: Database, tmp_path: Path) -> None:
    database.execute(ITEM + ";" + TRAP)
    ended = run(product, tmp_path, "SET search_path = trap, public, pg_catalog;\nALTER TABLE item DROP name")
    assert ended.code == 0, ended
    assert database.rows(ARCHIVES) == [("2", "apply", "column", "item", 2)]
