"""recover_data, without the product: what was destroyed comes back, what is newer stays, what cannot be is said."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import psycopg
import pytest

from support.postgres import CANARY_ENCODED, Database, Product, write

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.postgres

ROWS = 100_000
SHOP = (
    "CREATE TABLE item (id int PRIMARY KEY, name text NOT NULL, price int DEFAULT 7);"
    f"INSERT INTO item SELECT n, 'n' || n, n FROM generate_series(1, {ROWS}) AS n"
)
RECOVER = "CALL schema_operator.recover_data('item', clock_timestamp())"
COUNTS = "SELECT restored, kept, gone, conflicts FROM schema_operator.recoveries ORDER BY id DESC LIMIT 1"
CONFLICTS = "SELECT key, reason FROM schema_operator.recovery_conflicts ORDER BY key"
DIFFER = "the row has other values now"


def destroy(product: Product, tmp_path: Path, setup: str, script: str) -> None:
    """Run a script, as version 1, on a database that was set up before."""
    product.database.execute(setup)
    ended = product.run("--scripts", write(tmp_path / "scripts", {"1_x.up.sql": script}))
    assert ended.code == 0, ended


def recover(database: Database, call: str = RECOVER) -> list[str]:
    """Call it, and give its notices."""
    notices: list[str] = []
    with database.connect() as connection:
        connection.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
        connection.execute(call.encode())
    return notices


def test_a_column_comes_back_and_what_is_newer_stays(product: Product, database: Database, tmp_path: Path) -> None:
    destroy(product, tmp_path, SHOP, "ALTER TABLE item DROP price")
    database.execute(
        "ALTER TABLE item ADD price int DEFAULT 7; UPDATE item SET price = -1 WHERE id IN (5, 6); "
        "UPDATE item SET price = NULL WHERE id = 8; DELETE FROM item WHERE id = 10;"
        "INSERT INTO item VALUES (-1, 'new', 3)"
    )
    notices = recover(database)
    assert notices[0].startswith(
        f"column price of public.item: {ROWS - 4} rows put back from the archive of version 1 ("
    )
    assert notices[1].endswith("SELECT * FROM schema_operator.recovery_conflicts WHERE recovery = 1")
    # The seventh row has its old value already: it is the default.
    assert database.rows(COUNTS) == [(ROWS - 4, 1, 1, 2)]
    assert database.rows(CONFLICTS) == [
        ({"id": 5}, "the row has another value now"),
        ({"id": 6}, "the row has another value now"),
    ]
    assert database.rows("SELECT id, price FROM item WHERE id < 10 ORDER BY id") == [
        *((-1, 3), (1, 1), (2, 2), (3, 3), (4, 4), (5, -1), (6, -1), (7, 7), (8, 8), (9, 9)),
    ]
    assert database.value("SELECT sum(price) FROM item") == sum(range(1, ROWS + 1)) + 3 - 2 - 5 - 6 - 10
    assert database.value("SELECT recovered_by FROM schema_operator.recoveries") == "postgres via tests from 127.0.0.1"


def test_a_table_comes_back_and_what_is_newer_stays(product: Product, database: Database, tmp_path: Path) -> None:
    destroy(product, tmp_path, SHOP, "DROP TABLE item")
    recover(database)
    assert database.rows(COUNTS) == [(ROWS, 0, 0, 0)]
    assert database.value("SELECT sum(price) FROM item") == sum(range(1, ROWS + 1))
    database.execute("DROP TABLE item; CREATE TABLE item (id int PRIMARY KEY, name text UNIQUE, price int)")
    database.execute(
        "INSERT INTO item VALUES (-1, 'new', 0), (1, 'n1', 1), (2, 'other', 2), (3, 'x', NULL), (-2, 'n9', 0)"
    )
    recover(database)
    assert database.rows(COUNTS) == [(ROWS - 4, 1, 0, 3)]
    assert database.rows(CONFLICTS) == [
        ({"id": 2}, DIFFER),
        ({"id": 3}, DIFFER),
        ({"id": 9}, "another row has a value that may be there only once"),
    ]
    assert database.rows("SELECT * FROM item WHERE id < 5 OR name = 'n9' ORDER BY id") == [
        *((-2, "n9", 0), (-1, "new", 0), (1, "n1", 1), (2, "other", 2), (3, "x", None), (4, "n4", 4)),
    ]


@pytest.mark.parametrize("script", ["TRUNCATE item", "DELETE FROM item"])
def test_rows_come_back_and_what_is_newer_stays(
    product: Product, database: Database, tmp_path: Path, script: str
) -> None:
    destroy(product, tmp_path, SHOP, script)
    database.execute("INSERT INTO item VALUES (-1, 'new', 0), (1, 'n1', 1), (2, 'other', 2)")
    recover(database)
    assert database.rows(COUNTS) == [(ROWS - 2, 1, 0, 1)]
    assert database.rows(CONFLICTS) == [({"id": 2}, DIFFER)]
    assert database.value("SELECT count(*) FROM item") == ROWS + 1
    recover(database)
    assert database.rows(COUNTS) == [(0, ROWS - 1, 0, 1)], "what is there is not put back again"


def test_many_conflicts_are_all_listed(product: Product, database: Database, tmp_path: Path) -> None:
    destroy(product, tmp_path, SHOP, "ALTER TABLE item DROP price")
    database.execute("ALTER TABLE item ADD price int; UPDATE item SET price = -id")
    recover(database)
    assert database.rows(COUNTS) == [(0, 0, 0, ROWS)]
    assert database.value("SELECT count(DISTINCT key) FROM schema_operator.recovery_conflicts") == ROWS
    assert database.value("SELECT bool_and(price = -id) FROM item")


def test_of_several_archives_the_time_decides(product: Product, database: Database, tmp_path: Path) -> None:
    destroy(product, tmp_path, "CREATE TABLE item (id int PRIMARY KEY)", "INSERT INTO item VALUES (1); TRUNCATE item")
    between = database.value("SELECT clock_timestamp()::text")
    write(
        tmp_path / "scripts",
        {"1_x.up.sql": "INSERT INTO item VALUES (1); TRUNCATE item", "2_x.up.sql": "TRUNCATE item"},
    )
    database.execute("INSERT INTO item VALUES (2)")
    assert product.run("--scripts", tmp_path / "scripts").code == 0
    recover(database, f"CALL schema_operator.recover_data('public.item', '{between}')")
    assert database.rows("SELECT id FROM item") == [(1,)]
    recover(database)
    assert database.rows("SELECT id FROM item ORDER BY id") == [(1,), (2,)]


def test_what_one_change_has_destroyed_comes_back_together(
    product: Product, database: Database, tmp_path: Path
) -> None:
    setup = "CREATE TABLE item (id int PRIMARY KEY, a int, b int); INSERT INTO item VALUES (1, 2, 3)"
    destroy(product, tmp_path, setup, "ALTER TABLE item DROP a; DELETE FROM item; ALTER TABLE item DROP b")
    recover(database)
    assert database.rows("SELECT id, a, b FROM item") == [(1, 2, 3)]


def test_triggers_do_not_fire_and_stay_as_they_were(product: Product, database: Database, tmp_path: Path) -> None:
    setup = (
        "CREATE TABLE item (id serial PRIMARY KEY, n int); INSERT INTO item (n) SELECT generate_series(1, 5);"
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'fired'; END $$;"
        "CREATE TRIGGER a BEFORE INSERT ON item FOR EACH ROW EXECUTE FUNCTION no();"
        "CREATE TRIGGER b BEFORE INSERT ON item FOR EACH ROW EXECUTE FUNCTION no(); ALTER TABLE item DISABLE TRIGGER b;"
        "CREATE TRIGGER c BEFORE INSERT ON item FOR EACH ROW EXECUTE FUNCTION no();"
        "ALTER TABLE item ENABLE ALWAYS TRIGGER c"
    )
    destroy(product, tmp_path, setup, "TRUNCATE item RESTART IDENTITY")
    recover(database)
    assert database.value("SELECT count(*) FROM item") == 5
    states = "SELECT tgname, tgenabled::text FROM pg_trigger WHERE tgrelid = 'item'::regclass ORDER BY 1"
    assert database.rows(states) == [("a", "O"), ("b", "D"), ("c", "A")]
    assert database.value("SELECT nextval('item_id_seq')") == 6


class Refusal(NamedTuple):
    setup: str
    script: str
    since: str
    call: str
    says: str
    hint: str


ITEM = "CREATE TABLE item (id int PRIMARY KEY, name text); INSERT INTO item VALUES (1, 'a')"
DROP_NAME = "ALTER TABLE item DROP name"

REFUSALS = {
    "an unknown table": Refusal(
        ITEM,
        DROP_NAME,
        "",
        "CALL schema_operator.recover_data('itm', now())",
        "there is no table itm, and no archive of one",
        "available_archives shows what can be recovered",
    ),
    "a name that is none": Refusal(
        ITEM, DROP_NAME, "", "CALL schema_operator.recover_data('a b', now())", "there is no table a b", "quotes"
    ),
    "NULL": Refusal(ITEM, DROP_NAME, "", "CALL schema_operator.recover_data(NULL, now())", "no table is named", "Name"),
    "no time": Refusal(
        ITEM, DROP_NAME, "", "CALL schema_operator.recover_data('item', NULL)", "no time is given", "clock_timestamp()"
    ),
    "a table of which nothing was archived": Refusal(
        f"{ITEM}; CREATE TABLE other ()",
        DROP_NAME,
        "",
        "CALL schema_operator.recover_data('public.other', now())",
        "nothing of table public.other was ever archived",
        "available_archives",
    ),
    "an ambiguous table": Refusal(
        f"{ITEM}; CREATE SCHEMA shop; CREATE TABLE shop.item ()",
        f"DROP TABLE shop.item; {DROP_NAME}",
        "",
        RECOVER,
        "there are several tables item: in the schemas public, shop",
        "Say which, for example 'public.item'",
    ),
    "a time before the first archive": Refusal(
        ITEM,
        DROP_NAME,
        "",
        "CALL schema_operator.recover_data('item', '2001-01-01 00:00+00')",
        "the first archive of public.item was made at 20",
        "Give that time, or a later one",
    ),
    "an archive that is gone": Refusal(
        ITEM,
        DROP_NAME,
        "DROP TABLE schema_operator.archive_1",
        RECOVER,
        "UTC is gone: somebody has removed its table archive_1, or left it out of a dump",
        "else look in a backup",
    ),
    "an archive that was too old": Refusal(
        ITEM,
        DROP_NAME,
        "UPDATE schema_operator.archives SET expires_at = '2026-01-01 00:00+00'; DROP TABLE schema_operator.archive_1",
        RECOVER,
        "its table archive_1 was dropped, because it was kept until 2026-01-01 00:00:00 UTC",
        "else look in a backup",
    ),
    "another type": Refusal(
        ITEM,
        DROP_NAME,
        "ALTER TABLE item ADD name int",
        RECOVER,
        "the archive of column name of public.item does not fit public.item: "
        "column name was of type text and is of type integer",
        "copy by hand from schema_operator.archive_1",
    ),
    "another type of the key": Refusal(
        ITEM,
        DROP_NAME,
        "ALTER TABLE item ALTER id TYPE text",
        RECOVER,
        "column id was of type integer and is of type text",
        "Change the table back",
    ),
    "a key that is gone": Refusal(
        ITEM, DROP_NAME, "ALTER TABLE item DROP id", RECOVER, "column id is not there any more", "by hand"
    ),
    "a column that was renamed in a table made anew": Refusal(
        ITEM,
        "DROP TABLE item",
        "CREATE TABLE item (id int PRIMARY KEY, title text)",
        RECOVER,
        "the archive of table public.item does not fit public.item: column name is not there any more",
        "by hand",
    ),
    "a column that is generated now": Refusal(
        ITEM,
        "DELETE FROM item",
        "ALTER TABLE item DROP name, ADD name text GENERATED ALWAYS AS ('a') STORED",
        RECOVER,
        "column name is generated now",
        "by hand",
    ),
    "a table that is gone": Refusal(
        ITEM,
        DROP_NAME,
        "DROP TABLE item",
        RECOVER,
        "table public.item is not there, and this archive holds only column",
        "",
    ),
    "rows without a key beside others": Refusal(
        "CREATE TABLE item (id int); INSERT INTO item VALUES (1)",
        "DELETE FROM item",
        "INSERT INTO item VALUES (2)",
        RECOVER,
        "the rows of public.item had no key, and there are rows in it",
        "Copy by hand what is missing from schema_operator.archive_1",
    ),
    "rows that need others": Refusal(
        "CREATE TABLE top (id int PRIMARY KEY); CREATE TABLE item (id int PRIMARY KEY, top int REFERENCES top "
        "ON DELETE CASCADE); INSERT INTO top VALUES (1); INSERT INTO item VALUES (1, 1)",
        "DELETE FROM top",
        "",
        RECOVER,
        "violates foreign key constraint",
        "recover that table first",
    ),
    "a type that is gone": Refusal(
        "CREATE TYPE mood AS ENUM ('ok'); CREATE TABLE item (id int PRIMARY KEY, mood mood)",
        "ALTER TABLE item DROP mood; DROP TYPE mood",
        "",
        RECOVER,
        'type "public.mood" does not exist',
        "",
    ),
    "a transaction that may not see the last archive": Refusal(
        ITEM,
        DROP_NAME,
        "",
        "SET default_transaction_isolation = 'repeatable read'",
        "this must run in READ COMMITTED: in REPEATABLE READ it may not see what the last run committed",
        "plain BEGIN",
    ),
}


@pytest.mark.parametrize("case", REFUSALS.values(), ids=REFUSALS.keys())
def test_what_cannot_be_recovered_is_refused_and_nothing_is_changed(
    case: Refusal, product: Product, database: Database, tmp_path: Path
) -> None:
    destroy(product, tmp_path, case.setup, case.script)
    if case.since:
        database.execute(case.since)
    before = database.dump()
    with database.connect() as connection:
        if not case.call.startswith("CALL"):
            connection.execute(case.call.encode())
        with pytest.raises(psycopg.Error) as caught:
            connection.execute((case.call if case.call.startswith("CALL") else RECOVER).encode())
    assert case.says in (caught.value.diag.message_primary or "")
    assert case.hint in (caught.value.diag.message_hint or "")
    assert database.dump() == before


def test_who_has_no_right_is_denied_and_nothing_else(
    product: Product, database: Database, role: str, tmp_path: Path
) -> None:
    destroy(product, tmp_path, ITEM, DROP_NAME)
    before = database.dump()
    uri = database.uri_of(role, CANARY_ENCODED)
    with psycopg.connect(uri, autocommit=True) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied for schema"):
            connection.execute(RECOVER.encode())
        database.execute(f"GRANT USAGE ON SCHEMA schema_operator TO {role}")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied for procedure recover_data"):
            connection.execute(RECOVER.encode())
        database.execute(f"REVOKE USAGE ON SCHEMA schema_operator FROM {role}")
    assert database.dump() == before


def test_no_routine_of_the_control_schema_is_for_everybody(
    product: Product, database: Database, tmp_path: Path
) -> None:
    destroy(product, tmp_path, ITEM, DROP_NAME)
    query = "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'schema_operator'::regnamespace AND {}"
    assert len(database.rows(query.format("true"))) > 20
    open_to_all = (
        "EXISTS (SELECT FROM aclexplode(coalesce(proacl, acldefault('f', proowner))) AS a WHERE a.grantee = 0)"
    )
    assert database.rows(query.format(open_to_all)) == []
    loose = "NOT coalesce(proconfig, '{}') @> ARRAY['search_path=pg_catalog, pg_temp']"
    assert database.rows(query.format(loose)) == [("schema_operator.resolve_destroyed(jsonb)",)]


def test_the_lock_of_a_run_keeps_recoveries_away(product: Product, database: Database, tmp_path: Path) -> None:
    destroy(product, tmp_path, ITEM, DROP_NAME)
    before = database.dump()
    for number in (1, 2):
        with database.connect("schema-operator/shop/shop") as run:
            run.execute(f"SELECT pg_advisory_lock(x'736F7064'::int, {number})".encode())
            with pytest.raises(psycopg.errors.LockNotAvailable) as caught:
                recover(database)
            said = caught.value.diag.message_primary or ""
            assert said.startswith(f"a run is changing this database: process {run.info.backend_pid} "), said
            assert "(schema-operator/shop/shop), connected since 20" in said
            assert "call this again" in (caught.value.diag.message_hint or "")
    assert database.dump() == before
    with database.connect() as person, person.transaction():
        person.execute(RECOVER.encode())
        ended = product.run("--scripts", tmp_path / "scripts", "--lock-wait", "0.1")
        assert (ended.code, ended.report.reason) == (40, "LockHeld"), ended
    assert database.value("SELECT name FROM item") == "a"


def test_one_archive_is_restored_by_its_number(product: Product, database: Database, tmp_path: Path) -> None:
    destroy(product, tmp_path, ITEM, f"{DROP_NAME}; TRUNCATE item")
    restored = database.value("SELECT schema_operator.restore_archive(2, 'me')")
    assert (restored["archive"], restored["restored"], restored["what"]) == (2, 1, "the rows of public.item")
    assert database.rows("SELECT archive, recovered_by FROM schema_operator.recoveries") == [(2, "me")]
    with pytest.raises(psycopg.errors.NoDataFound, match="there is no archive 3"):
        database.execute("SELECT schema_operator.restore_archive(3, 'me')")


def test_a_database_restored_from_a_dump_goes_by_names(product: Product, database: Database, tmp_path: Path) -> None:
    destroy(product, tmp_path, ITEM, "DELETE FROM item; DROP TABLE item")
    # As after a restore: another table has the oid that the archived one had.
    database.execute("CREATE TABLE other (id int PRIMARY KEY, name text); CREATE TABLE item (LIKE other INCLUDING ALL)")
    database.execute(
        "UPDATE schema_operator.archives SET table_oid = 'other'::regclass, archive_oid = archive_oid::int8 + 1000000"
    )
    recover(database)
    assert (database.rows("SELECT * FROM item"), database.rows("SELECT * FROM other")) == ([(1, "a")], [])
