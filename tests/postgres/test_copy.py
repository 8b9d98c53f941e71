"""Rows in scripts: COPY … FROM STDIN with its data, as dumps have it."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from schema_operator.api import request as requests
from schema_operator.api.request import Acknowledgement, RunRequest, ScriptFolder, Verification
from support.postgres import Database, Ended, Product, finish, write

pytestmark = pytest.mark.postgres

SLEEPING = "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
SLOW = (
    "CREATE TABLE slow (x int CHECK (pg_sleep(0.05) IS NOT NULL));\nCOPY slow FROM STDIN;\n"
    + "".join(f"{row}\n" for row in range(400))
    + "\\.\n"
)
"""Takes 20 seconds."""


def request(folder: Path, *verify: Verification) -> RunRequest:
    folders = (ScriptFolder(path=str(folder), label=""),)
    return RunRequest(run="r", actor="a", folders=folders, allow=(Acknowledgement.COPY_DATA,), verify=verify)


def run(product: Product, folder: Path) -> Ended:
    return product.request(folder.parent, request(folder))


def start(product: Product, folder: Path) -> subprocess.Popen[str]:
    path = folder.parent / "request.json"
    path.write_bytes(requests.encode(request(folder)))
    return product.start("--request", path)


LOADS = {
    "text": ("", 'it\'s $$ "x" -- %s :x {}\t1\n\\\\ \\t \\x41 \\N\t\\N\n\t3\n', 3),
    "text with CR LF": ("", "one\t1\r\ntwo\t\\N\r\n", 2),
    "no rows": ("", "", 0),
    "beyond ASCII": ("", "äß€😀\u00a0\u2028\t1\n", 1),
    "CSV": ("WITH (FORMAT csv, HEADER true, NULL 'nil')", 'a,b\n"x, ""y"";\n\\ $$\nz",1\n\\.x,nil\n', 2),
    "old options": ("DELIMITER '|' NULL ''", "a|1\n|\n", 2),
    "many rows": ("", "".join(f"{number} {'x' * 500}\t{number}\n" for number in range(2000)), 2000),
}


@pytest.mark.parametrize(("options", "rows", "count"), LOADS.values(), ids=LOADS)
def test_rows_arrive_as_a_program_would_send_them(
    product: Product, database: Database, tmp_path: Path, *, options: str, rows: str, count: int
) -> None:
    database.execute("CREATE TABLE expected (a text, b int)")
    with (
        database.connect() as connection,
        connection.cursor() as cursor,
        cursor.copy(f"COPY expected FROM STDIN {options}".encode()) as sending,
    ):
        sending.write(rows.encode())
    script = f"CREATE TABLE found (a text, b int);\nCOPY found FROM STDIN {options};\n{rows}\\.\nSELECT 1;"
    folder = write(tmp_path / "a", {})
    (folder / "1.up.sql").write_bytes(script.encode())
    ended = run(product, folder)
    assert ended.code == 0, ended
    assert database.rows("SELECT * FROM found") == database.rows("SELECT * FROM expected")
    assert database.value("SELECT count(*) FROM found") == count
    assert database.value("SELECT up_sql FROM schema_operator.version_scripts") == script


def test_rows_may_end_with_the_script(product: Product, database: Database, tmp_path: Path) -> None:
    ended = run(product, write(tmp_path / "a", {"1.up.sql": "CREATE TABLE t (x int); COPY t FROM STDIN;\n1\n2"}))
    assert ended.code == 0, ended
    assert database.rows("SELECT x FROM t") == [(1,), (2,)]


def test_several_copies_on_a_line_and_one_without_data(product: Product, database: Database, tmp_path: Path) -> None:
    script = (
        "CREATE TABLE a (x int); CREATE TABLE b (x text);\n"
        "COPY a FROM STDIN; INSERT INTO a VALUES (3); COPY b FROM STDIN; INSERT INTO a VALUES (4); -- COMMIT;\n"
        "1\n2\n\\.\nx;\n\\.\nCOPY a FROM STDIN"
    )
    ended = run(product, write(tmp_path / "a", {"1.up.sql": script}))
    assert ended.code == 0, ended
    assert database.rows("SELECT x FROM a") == [(1,), (2,), (3,), (4,)]
    assert database.rows("SELECT x FROM b") == [("x;",)]


def test_rows_are_refused_unless_they_are_meant(product: Product, database: Database, tmp_path: Path) -> None:
    folder = write(tmp_path / "a", {"1.up.sql": "SELECT 1;\n\n  COPY canary FROM STDIN;\ncanary\n\\.\n"})
    ended = product.run("--scripts", folder)
    assert (ended.code, ended.report.reason) == (20, "CopyNotSupported")
    assert ended.report.message.startswith("version 1, file 1.up.sql, statement 2 of 2, line 3, column 3: COPY … FROM")
    assert "copy=allow" in ended.report.message
    assert "canary" not in ended.stdout
    assert database.relations() == []


FAILING = {
    "a null": ("1\tcanary\n2\tcanary\n\\N\tcanary\n", 8, "DataViolation", "23502"),
    "a check": ("1\tcanary\n-2147483\tcanary\n", 7, "DataViolation", "23514"),
    "a number that is none": ("1\tcanary\n2\tcanary\ncanary\tcanary\n", 8, "DataViolation", "22P02"),
    "a column too few": ("1\n", 6, "DataViolation", "22P04"),
    "a column too many": ("1\tcanary\tcanary\n", 6, "DataViolation", "22P04"),
    "a value too long": ("1\tcanary-canary\n", 6, "DataViolation", "22001"),
    "a unique key": ("1\tcanary\n2\tb\n3\tcanary\n", 8, "DataViolation", "23505"),
    "found at the end": ("1\tcanary\n2\torphan\n", 5, "DataViolation", "23503"),
}


@pytest.mark.parametrize(("rows", "line", "reason", "sqlstate"), FAILING.values(), ids=FAILING)
def test_a_row_that_does_not_fit_is_named_by_its_line_and_never_shown(
    product: Product, database: Database, tmp_path: Path, *, rows: str, line: int, reason: str, sqlstate: str
) -> None:
    script = (
        "CREATE TABLE p (b varchar(9) PRIMARY KEY);\nINSERT INTO p VALUES ('canary'), ('b');\n"
        "CREATE TABLE t (a int NOT NULL CHECK (a > 0), b varchar(9) UNIQUE\n REFERENCES p);\n"
        f"COPY t FROM STDIN; -- five\n{rows}\\.\nSELECT 1;\n"
    )
    folder = write(tmp_path / "a", {"1.up.sql": script.replace("UNIQUE", "UNIQUE" if sqlstate == "23505" else "")})
    ended = run(product, folder)
    assert (ended.code, ended.report.reason) == (21, reason)
    place = ended.report.place
    assert place is not None
    assert (place.file, place.statement, place.line, place.sqlstate) == ("1.up.sql", 4, line, sqlstate)
    assert "canary" not in ended.stdout + ended.stderr
    assert "2147483" not in ended.stdout
    assert (database.relations(), database.versions()) == ([], [])
    write(folder, {"1.up.sql": script.replace(rows, "1\tcanary\n")})
    assert run(product, folder).code == 0
    assert database.rows("SELECT a, b FROM t") == [(1, "canary")]


def test_a_table_that_is_not_there(product: Product, database: Database, tmp_path: Path) -> None:
    ended = run(product, write(tmp_path / "a", {"1.up.sql": "SELECT 1;\nCOPY absent FROM STDIN;\n1\n\\.\n"}))
    assert (ended.code, ended.report.reason) == (21, "ObjectNotFound")
    assert ended.report.place is not None
    assert (ended.report.place.statement, ended.report.place.line) == (2, 2)
    assert database.versions() == []


def test_a_trigger_that_says_much_does_not_block_the_rows(product: Product, database: Database, tmp_path: Path) -> None:
    # More than the buffers on the way hold, in both directions.
    rows = "".join(f"{number:04000}\n" for number in range(4000))
    script = (
        "CREATE TABLE t (x text);\n"
        "CREATE FUNCTION say() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN RAISE WARNING '%', repeat('a long notice ', 400); RETURN NEW; END$$;\n"
        "CREATE TRIGGER say BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION say();\n"
        f"COPY t FROM STDIN;\n{rows}\\.\n"
    )
    ended = run(product, write(tmp_path / "a", {"1.up.sql": script}))
    assert ended.code == 0, ended
    assert database.value("SELECT count(*) FROM t") == 4000


def test_checks_and_rollbacks_may_bring_rows_too(product: Product, database: Database, tmp_path: Path) -> None:
    same = "SELECT (SELECT array_agg(x) FROM e) = (SELECT array_agg(x) FROM t)"
    files = {
        "1.up.sql": "CREATE TABLE t (x int);",
        "2.up.sql": "INSERT INTO t VALUES (1), (2);",
        "2.verify.sql": f"CREATE TEMP TABLE e (x int);\nCOPY e FROM STDIN;\n1\n2\n\\.\n{same}",
        "2.down.sql": "DELETE FROM t;\nCOPY t FROM STDIN;\n7\n\\.\n",
    }
    folder = write(tmp_path / "a", files)
    ended = run(product, folder)
    assert ended.code == 0, ended
    write(folder, {"1.up.sql": files["1.up.sql"]})
    # What is stored was allowed when it was applied, so it is not asked for again.
    back = product.run("--scripts", folder, "--version", "1")
    assert back.code == 0, back
    assert database.rows("SELECT x FROM t") == [(7,)]


def test_killed_in_the_middle_nothing_is_left_and_the_next_run_loads_all(
    product: Product, database: Database, tmp_path: Path
) -> None:
    folder = write(tmp_path / "a", {"1.up.sql": SLOW})
    process = start(product, folder)
    database.wait_for(SLEEPING)
    process.kill()
    finish(process)
    database.wait_for(f"SELECT NOT ({SLEEPING})")
    assert (database.relations(), database.versions()) == ([], [])
    write(folder, {"1.up.sql": SLOW.replace("0.05", "0")})
    assert run(product, folder).code == 0
    assert database.value("SELECT count(*) FROM slow") == 400


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_in_the_middle(
    product: Product, database: Database, tmp_path: Path, number: signal.Signals
) -> None:
    folder = write(tmp_path / "a", {"1.up.sql": SLOW})
    process = start(product, folder)
    database.wait_for(SLEEPING)
    process.send_signal(number)
    ended = finish(process)
    assert (ended.code, ended.report.reason) == (143, "Stopped")
    assert ended.report.seconds < 10
    assert (database.relations(), database.versions()) == ([], [])


def test_the_session_is_ended_in_the_middle(product: Product, database: Database, tmp_path: Path) -> None:
    folder = write(tmp_path / "a", {"1.up.sql": SLOW})
    process = start(product, folder)
    database.wait_for(SLEEPING)
    database.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
    ended = finish(process)
    assert (ended.code, ended.report.reason) == (10, "ServerShutdown")
    assert (database.relations(), database.versions()) == ([], [])


def test_a_copy_where_none_can_be_ends_its_session_only(product: Product, database: Database, tmp_path: Path) -> None:
    folder = write(tmp_path / "a", {"1.up.sql": "CREATE TABLE t ();"})
    verify = Verification(name="rows", sql="COPY (SELECT 1) TO STDOUT")
    ended = product.request(tmp_path, request(folder, verify))
    assert (ended.code, ended.report.reason) == (21, "CopyNotSupported")
    assert (database.relations(), database.versions()) == ([], [])
