"""Scripts that are committed in parts: journal, resumption, leftovers, settings."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest
from dev.postgres.packages import MAJORS

from support.postgres import Database, Product, finish, write

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.postgres

OLDEST = MAJORS[0]
INVALID = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
JOURNAL = "SELECT event, unit, units FROM schema_operator.statement_journal ORDER BY position"
OPEN = "SELECT event, unit FROM schema_operator.open_units ORDER BY position"
ROWS = "CREATE TABLE item (id int, code int); INSERT INTO item SELECT g, g % 10 FROM generate_series(1, 1000) AS g;"


@pytest.fixture
def folder(product: Product, tmp_path: Path) -> Path:
    """A folder whose first version is applied: a table with rows."""
    folder = write(tmp_path / "scripts", {"1_rows.up.sql": ROWS})
    assert product.run("--scripts", folder).code == 0
    return folder


def add(folder: Path, **scripts: str) -> None:
    for version, text in scripts.items():
        (folder / f"{version.removeprefix('v')}_x.up.sql").write_text(text)


def end_orphans(database: Database) -> None:
    """End what the server still does for a runner that is dead: before PostgreSQL 14 it does not notice by itself."""
    database.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'schema-operator'")
    database.wait_for("SELECT count(*) = 0 FROM pg_locks WHERE locktype = 'advisory'")


def kill_while_an_index_is_built(product: Product, database: Database, folder: Path) -> None:
    """Kill a run whose concurrent index waits for another transaction."""
    with database.connect() as other, other.transaction():
        other.execute("INSERT INTO item VALUES (1001, 1)")
        process = product.start("--scripts", folder)
        database.wait_for(f"SELECT ({INVALID}) = 1")
        process.send_signal(signal.SIGKILL)
        finish(process)
        end_orphans(database)


def test_a_block_around_everything_is_one_transaction(product: Product, database: Database, folder: Path) -> None:
    add(folder, v2="BEGIN;\nCREATE TABLE a ();\nSELECT 1 / 0;\nCOMMIT;\n")
    ended = product.run("--scripts", folder)
    assert (ended.code, ended.report.reason) == (21, "DataViolation")
    assert ended.report.place is not None
    assert (ended.report.place.statement, ended.report.place.statements, ended.report.place.line) == (3, 4, 3)
    assert database.relations() == ["item"]
    add(folder, v2="SET search_path = public; BEGIN; CREATE TABLE a (); COMMIT;")
    assert product.run("--scripts", folder).code == 0
    assert database.rows(JOURNAL) == []


def test_statements_that_refuse_a_transaction_are_run_by_themselves(
    product: Product, database: Database, folder: Path
) -> None:
    add(
        folder, v2="CREATE TABLE a (); CREATE INDEX CONCURRENTLY ON item (id); VACUUM item; ALTER SYSTEM RESET work_mem"
    )
    ended = product.run("--scripts", folder)
    assert ended.code == 0, ended
    assert database.applied() == ["1", "2"]
    assert database.rows(OPEN) == []
    events = [(event, unit) for event, unit, _ in database.rows(JOURNAL)]
    alone = [(event, unit) for unit in (2, 3, 4) for event in ("Started", "Finished")]
    assert events == [("Finished", 1), *alone, ("Completed", 4)]
    assert database.value(INVALID) == 0


def test_an_isolation_level_is_kept(product: Product, database: Database, folder: Path) -> None:
    add(
        folder,
        v2="BEGIN ISOLATION LEVEL SERIALIZABLE;"
        "CREATE TABLE a AS SELECT current_setting('transaction_isolation') AS b; "
        "COMMIT; CREATE TABLE c AS SELECT current_setting('transaction_isolation') AS d;",
    )
    assert product.run("--scripts", folder).code == 0
    assert database.rows("SELECT b, d FROM a, c") == [("serializable", "read committed")]


def test_the_parts_of_a_script_share_its_settings_and_the_next_script_does_not(
    product: Product, database: Database, folder: Path, role: str
) -> None:
    database.execute(
        f"CREATE SCHEMA app AUTHORIZATION {role}; CREATE TABLE app.here (); ALTER TABLE app.here OWNER TO {role}"
    )
    database.execute("ALTER TABLE app.here ADD COLUMN a int; CREATE TABLE public.here (wrong int)")
    add(
        folder,
        v2=f"SET search_path = app; SET ROLE {role};\n"
        "BEGIN; CREATE TABLE one (); COMMIT;\nBEGIN; CREATE TABLE two (); COMMIT;\n"
        "CREATE INDEX CONCURRENTLY here_a ON here (a);\nCREATE TABLE three ();",
        v3="CREATE TABLE four ();",
    )
    ended = product.run("--scripts", folder)
    assert ended.code == 0, ended
    assert database.relations("app") == ["here", "one", "three", "two"]
    assert (
        database.value(f"SELECT count(*) FROM pg_class WHERE relowner = '{role}'::regrole AND relkind IN ('r', 'i')")
        == 5
    )
    assert "four" in database.relations()


def test_a_part_that_fails_leaves_those_before_it_and_is_gone_on_with(
    product: Product, database: Database, folder: Path
) -> None:
    add(folder, v2="CREATE TABLE a ();\nCREATE UNIQUE INDEX CONCURRENTLY once ON item (code);\nCREATE TABLE b ();")
    ended = product.run("--scripts", folder)
    assert (ended.code, ended.report.reason) == (30, "DataViolation")
    for words in ("version 2", "statement 2 of 3", "line 2", "3 units", "the first unit is done", "goes on after that"):
        assert words in ended.report.message
    assert (database.applied(), database.relations(), database.value(INVALID)) == (["1"], ["a", "item"], 0)
    assert database.rows(OPEN) == [("Finished", 1), ("Started", 2), ("Failed", 2)]

    add(folder, v2="CREATE TABLE z ();\nCREATE UNIQUE INDEX CONCURRENTLY once ON item (id);\nCREATE TABLE b ();")
    edited = product.run("--scripts", folder)
    assert (edited.code, edited.report.reason) == (20, "ChecksumMismatch")
    assert "unit 1, which is done, was changed" in edited.report.message

    back = product.run("--scripts", folder, "--version", "1")
    assert (back.code, back.report.reason) == (20, "PartlyApplied")
    assert "want 2 until it is finished" in back.report.message

    other = product.run("--scripts", folder, "--as", "shop/other")
    assert (other.code, other.report.reason) == (20, "PartlyApplied")
    assert "must finish it first" in other.report.message

    add(
        folder,
        v2="CREATE TABLE a (); -- as before\nCREATE UNIQUE INDEX CONCURRENTLY once ON item (id);\nCREATE TABLE b ();",
    )
    assert product.run("--scripts", folder).code == 0
    assert (database.applied(), database.relations()) == (["1", "2"], ["a", "b", "item"])
    assert database.rows(OPEN) == []


def test_a_first_part_that_fails_leaves_nothing_and_may_be_given_up(
    product: Product, database: Database, folder: Path
) -> None:
    add(folder, v2="CREATE UNIQUE INDEX CONCURRENTLY once ON item (code);")
    ended = product.run("--scripts", folder)
    assert (ended.code, ended.report.reason) == (21, "DataViolation")
    assert (database.value(INVALID), database.applied()) == (0, ["1"])
    assert product.run("--scripts", folder, "--version", "1").code == 0
    assert database.rows(OPEN) == []


def test_an_index_whose_runner_was_killed_is_dropped_and_built_again(
    product: Product, database: Database, folder: Path
) -> None:
    add(folder, v2="CREATE INDEX CONCURRENTLY slow ON item (id);")
    kill_while_an_index_is_built(product, database, folder)
    assert database.value(INVALID) == 1
    assert database.rows(OPEN) == [("Started", 1)]
    ended = product.run("--scripts", folder)
    assert ended.code == 0, ended
    assert any("dropping the invalid index public.slow" in line.message for line in ended.progress)
    assert (database.value(INVALID), database.applied()) == (0, ["1", "2"])
    assert database.value("SELECT indisvalid FROM pg_index WHERE indexrelid = 'slow'::regclass")


def test_what_a_killed_runner_left_is_removed_when_it_is_not_wanted_any_more(
    product: Product, database: Database, folder: Path
) -> None:
    add(folder, v2="CREATE INDEX CONCURRENTLY slow ON item (id);")
    kill_while_an_index_is_built(product, database, folder)
    assert product.run("--scripts", folder, "--version", "1").code == 0
    assert (database.value("SELECT to_regclass('slow')"), database.rows(OPEN)) == (None, [])


def test_a_statement_that_is_done_but_not_written_down_is_not_run_again(
    product: Product, database: Database, folder: Path
) -> None:
    add(folder, v2="CREATE TABLE a (); CREATE INDEX CONCURRENTLY slow ON item (id); DROP INDEX CONCURRENTLY other;")
    database.execute("CREATE INDEX other ON item (code)")
    assert product.run("--scripts", folder).code == 0
    # As if the runner had died after each statement, before its row.
    database.execute(
        "DELETE FROM schema_operator.version_scripts WHERE version = '2';"
        "DELETE FROM schema_operator.schema_versions WHERE version = '2';"
        "DELETE FROM schema_operator.statement_journal WHERE event = 'Completed' OR unit > 1 AND event = 'Finished'"
    )
    before = database.value("SELECT 'slow'::regclass::oid")
    assert product.run("--scripts", folder).code == 0
    assert database.value("SELECT 'slow'::regclass::oid") == before
    assert (database.applied(), database.rows(OPEN)) == (["1", "2"], [])


def test_if_not_exists_does_not_take_an_invalid_index_for_the_one_that_is_wanted(
    product: Product, database: Database, folder: Path
) -> None:
    with pytest.raises(Exception, match="could not create unique index"):
        database.execute("CREATE UNIQUE INDEX CONCURRENTLY once ON item (code)")
    assert database.value(INVALID) == 1
    database.execute("UPDATE item SET code = id")
    add(folder, v2="CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS once ON item (code);")
    ended = product.run("--scripts", folder)
    assert ended.code == 0, ended
    assert database.value(INVALID) == 0
    assert any("dropping the invalid index public.once" in line.message for line in ended.progress)


def test_an_index_that_is_there_and_valid_satisfies_if_not_exists(
    product: Product, database: Database, folder: Path
) -> None:
    database.execute("CREATE INDEX there ON item (code)")
    before = database.value("SELECT 'there'::regclass::oid")
    add(folder, v2="CREATE INDEX CONCURRENTLY IF NOT EXISTS there ON item (code);")
    assert product.run("--scripts", folder).code == 0
    assert database.value("SELECT 'there'::regclass::oid") == before


def test_a_rollback_in_parts_that_fails_is_gone_on_with(product: Product, database: Database, folder: Path) -> None:
    add(folder, v2="CREATE TABLE a (); CREATE TABLE b ();")
    (folder / "2_x.down.sql").write_text("DROP TABLE a; VACUUM missing; DROP TABLE b;")
    assert product.run("--scripts", folder).code == 0
    ended = product.run("--scripts", folder, "--version", "1")
    assert (ended.code, ended.report.reason) == (30, "ObjectNotFound")
    assert (database.applied(), database.relations()) == (["1", "2"], ["b", "item"])
    database.execute("CREATE TABLE missing ()")
    # Whatever is wanted now: what is half gone goes first, and then comes back whole.
    again = product.run("--scripts", folder)
    assert again.code == 0, again
    assert again.report.versions == ("2", "2")
    assert (database.applied(), database.relations()) == (["1", "2"], ["a", "b", "item", "missing"])
    assert database.versions() == ["1", "2", "2-rollback", "2"]


def test_every_statement_by_itself(product: Product, database: Database, folder: Path) -> None:
    add(
        folder,
        v2="-- schema-operator: transaction=never\nCREATE TABLE a (); INSERT INTO item VALUES (0, 0); SELECT 1 / 0;",
    )
    ended = product.run("--scripts", folder)
    assert (ended.code, ended.report.reason) == (30, "DataViolation")
    assert database.value("SELECT count(*) FROM item WHERE id = 0") == 1
    add(
        folder, v2="-- schema-operator: transaction=never\nCREATE TABLE a (); INSERT INTO item VALUES (0, 0); SELECT 1;"
    )
    assert product.run("--scripts", folder).code == 0
    assert database.value("SELECT count(*) FROM item WHERE id = 0") == 1
    assert database.applied() == ["1", "2"]


def test_a_check_that_fails_after_a_last_part_is_run_again_by_the_next_run(
    product: Product, database: Database, folder: Path
) -> None:
    add(folder, v2="CREATE INDEX CONCURRENTLY i ON item (id);")
    (folder / "2_x.verify.sql").write_text("SELECT count(*) = 0 FROM item;")
    ended = product.run("--scripts", folder)
    assert (ended.code, ended.report.reason) == (30, "VerificationFailed")
    assert database.applied() == ["1"]
    database.execute("DELETE FROM item")
    assert product.run("--scripts", folder).code == 0
    assert database.applied() == ["1", "2"]
    assert database.value("SELECT count(*) FROM pg_index WHERE indrelid = 'item'::regclass") == 1


def test_a_script_that_does_nothing_is_said_to(product: Product, folder: Path) -> None:
    add(folder, v2="CREATE TABLE a ();", v3="-- schema-operator: allow=EmptyScript\n-- for the number's sake")
    (folder / "2_x.down.sql").write_text("-- there is no way back")
    ended = product.run("--scripts", folder)
    assert ended.code == 0, ended
    said = [line.message for line in ended.progress]
    assert "3_x.up.sql holds no statement, so version 3 does nothing but is written down" in said
    assert "without a down script, so without a way back: 1_rows.up.sql, 3_x.up.sql" in said
    plan = product.run("--scripts", folder, "--version", "1", "--plan")
    assert [(one.version, one.statements) for one in plan.report.plan or ()] == []
    assert plan.report.reason == "NotReversible"


def test_an_empty_down_script_takes_its_version_out_of_the_history_and_says_so(
    product: Product, database: Database, folder: Path
) -> None:
    add(folder, v2="CREATE TABLE a ();")
    (folder / "2_x.down.sql").write_text("-- there is no way back\n")
    assert product.run("--scripts", folder).code == 0
    plan = product.run("--scripts", folder, "--version", "1", "--plan")
    assert [(one.version, one.statements) for one in plan.report.plan or ()] == [("2", 0)]
    ended = product.run("--scripts", folder, "--version", "1")
    assert ended.code == 0, ended
    assert any(
        "2_x.down.sql holds no statement, so the rollback of 2 does nothing" in one.message for one in ended.progress
    )
    assert (database.applied(), database.relations()) == (["1"], ["a", "item"])


def test_the_very_first_statement_of_a_database_may_run_alone(
    product: Product, database: Database, tmp_path: Path
) -> None:
    database.execute(ROWS)
    folder = write(tmp_path / "scripts", {"1_index.up.sql": "CREATE INDEX CONCURRENTLY i ON item (id);"})
    ended = product.run("--scripts", folder)
    assert ended.code == 0, ended
    assert database.value("SELECT indisvalid FROM pg_index WHERE indexrelid = 'public.i'::regclass")


def test_an_abandoned_statement_is_looked_for_where_the_script_would_find_it(
    product: Product, database: Database, tmp_path: Path
) -> None:
    database.execute(ROWS)
    folder = write(tmp_path / "scripts", {"1_index.up.sql": "CREATE INDEX CONCURRENTLY i ON item (id);"})
    kill_while_an_index_is_built(product, database, folder)
    write(folder, {"2_other.up.sql": "CREATE TABLE other ();"})
    assert product.run("--scripts", folder).code == 0
    assert (database.value("SELECT to_regclass('public.i')"), database.rows(OPEN)) == (None, [])


def test_what_a_killed_runner_left_is_removed_when_its_statement_is_taken_out_of_the_script(
    product: Product, database: Database, folder: Path
) -> None:
    add(folder, v2="CREATE TABLE a ();\nCREATE INDEX CONCURRENTLY slow ON item (id);")
    kill_while_an_index_is_built(product, database, folder)
    add(folder, v2="CREATE TABLE a ();")
    ended = product.run("--scripts", folder)
    assert ended.code == 0, ended
    assert (database.value("SELECT to_regclass('slow')"), database.rows(OPEN)) == (None, [])
    assert database.applied() == ["1", "2"]


@pytest.mark.parametrize("statement", ["CALL fill()", "DO $$BEGIN CALL fill(); END$$"])
def test_a_procedure_that_commits_is_called_where_the_script_says_never(
    product: Product, database: Database, folder: Path, statement: str
) -> None:
    add(
        folder,
        v2="CREATE PROCEDURE fill() LANGUAGE plpgsql AS $$BEGIN INSERT INTO item VALUES (0, 0); COMMIT; END$$;",
        v3=f"-- schema-operator: transaction=never\n{statement};",
    )
    ended = product.run("--scripts", folder)
    assert ended.code == 0, ended
    assert database.value("SELECT count(*) FROM item WHERE id = 0") == 1


def test_a_check_that_fails_does_not_say_that_nothing_is_left_where_something_is(
    product: Product, folder: Path
) -> None:
    add(folder, v2="BEGIN; CREATE TABLE a (); COMMIT; BEGIN; CREATE TABLE b (); COMMIT;")
    (folder / "2_x.verify.sql").write_text("SELECT false;")
    ended = product.run("--scripts", folder)
    assert (ended.code, ended.report.reason) == (30, "VerificationFailed")
    assert "nothing of this version is left" not in ended.report.message
    assert "the first unit is done" in ended.report.message


def test_who_is_waited_for_is_said_while_an_index_is_built_and_what_stays_when_that_is_stopped(
    product: Product, database: Database, folder: Path
) -> None:
    add(folder, v2="CREATE TABLE a (); CREATE INDEX CONCURRENTLY slow ON item (id);")
    with database.connect("the report") as other, other.transaction():
        other.execute("INSERT INTO item VALUES (1001, 1)")
        process = product.start("--scripts", folder)
        database.wait_for(f"SELECT ({INVALID}) = 1")
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        ended = finish(process)
    assert ended.code == 143
    assert any("the report" in line.message for line in ended.progress if line.step == "WaitingForLock")
    assert "1 of its 2 units are done" in ended.report.message
    assert "nothing is half done" not in ended.report.message
    assert product.run("--scripts", folder).code == 0
    assert database.value(INVALID) == 0


def test_a_partition_that_is_half_detached_is_not_touched_when_it_is_not_wanted_any_more(
    product: Product, database: Database, folder: Path
) -> None:
    database.execute(
        "CREATE TABLE p (a int) PARTITION BY RANGE (a); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);"
    )
    add(folder, v2="ALTER TABLE p DETACH PARTITION p1 CONCURRENTLY;")
    if database.server.major == OLDEST:
        assert product.run("--scripts", folder).report.reason == "SyntaxError"  # it knows no such statement
        return
    pending = "SELECT count(*) = 1 FROM pg_inherits AS i WHERE (to_jsonb(i) ->> 'inhdetachpending')::bool"
    with database.connect() as other, other.transaction():
        other.execute("SELECT * FROM p")
        process = product.start("--scripts", folder)
        database.wait_for(pending)
        process.send_signal(signal.SIGTERM)
        assert finish(process).code == 143
        planned = product.run("--scripts", folder, "--version", "1", "--plan")
        back = product.run("--scripts", folder, "--version", "1")
        assert (back.code, back.report.reason) == (20, "PartlyApplied")
        assert (planned.code, planned.report.message) == (20, back.report.message)
        assert database.value(pending)
    assert product.run("--scripts", folder).code == 0
    assert database.value("SELECT count(*) FROM pg_inherits WHERE inhparent = 'p'::regclass") == 0


def test_a_plan_refuses_what_a_run_would_refuse_of_a_script_in_part(product: Product, folder: Path) -> None:
    add(folder, v2="CREATE TABLE a (); CREATE UNIQUE INDEX CONCURRENTLY once ON item (code);")
    assert product.run("--scripts", folder).code == 30
    add(folder, v2="CREATE TABLE z (); CREATE UNIQUE INDEX CONCURRENTLY once ON item (code);")
    assert product.run("--scripts", folder, "--plan").report.reason == "ChecksumMismatch"
