"""Runs that meet each other, are killed, are stopped, or lose what they stand on."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from schema_operator.api import report as reports
from schema_operator.api.request import LockLimits, RunRequest, ScriptFolder
from support.postgres import FINISH_SECONDS, Database, Product, finish, write
from support.proxy import Break, Proxy

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.postgres

SLEEPING = "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
LONGER_THAN_FINISH_WAITS = FINISH_SECONDS * 10
GUARD = (
    "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = 1 AND objsubid = 2 AND granted "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


def _slow(seconds: float) -> dict[str, str]:
    return {
        "1_slow.up.sql": f"CREATE TABLE a (x int); INSERT INTO a VALUES (1); SELECT pg_sleep({seconds});",
        "2_next.up.sql": "CREATE TABLE b ();",
    }


@pytest.mark.parametrize("runs", [2, 4])
def test_runs_at_once_on_an_empty_database(product: Product, database: Database, tmp_path: Path, runs: int) -> None:
    folder = write(tmp_path / "a", _slow(0.2))
    ended = [finish(process) for process in [product.start("--scripts", folder) for _ in range(runs)]]
    assert [one.code for one in ended] == [0] * runs, ended
    assert sorted(one.report.action for one in ended) == ["Apply"] + ["None"] * (runs - 1)
    assert database.versions() == ["1", "2"]
    assert database.value("SELECT count(*) FROM schema_operator.control_versions") == 1


def test_a_run_that_has_to_wait_too_long_names_the_holder(product: Product, database: Database, tmp_path: Path) -> None:
    folder = write(tmp_path / "a", _slow(3))
    first = product.start("--scripts", folder, "--as", "shop/first")
    database.wait_for(SLEEPING)
    request = RunRequest(run="r", actor="a", folders=(ScriptFolder(path=str(folder), label=""),), lock_wait_seconds=1.5)
    second = product.request(tmp_path, request)
    assert (second.code, second.report.reason) == (40, "LockHeld")
    (pid,) = database.rows(GUARD)[0]
    since = database.value(
        f"SELECT to_char(backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') "
        f"FROM pg_stat_activity WHERE pid = {pid}"
    )
    holder = f"schema-operator/shop/first (session {pid}), since {since}"
    assert second.report.blocker == holder
    sentence = f"another run of schema-operator is at work: {holder}; "
    assert second.report.message.startswith(sentence)
    waiting = {line.message for line in second.progress if line.step == "WaitingForLock"}
    assert waiting == {sentence + "waiting"}
    assert "idle" not in second.stdout
    assert finish(first).code == 0


def test_killed_in_the_middle_the_next_run_applies_it_once(
    product: Product, database: Database, tmp_path: Path
) -> None:
    folder = write(tmp_path / "a", _slow(2))
    process = product.start("--scripts", folder)
    database.wait_for(SLEEPING)
    process.kill()
    finish(process)
    ended = product.run("--scripts", folder)
    assert ended.code == 0, ended
    assert (database.versions(), database.rows("SELECT * FROM a")) == (["1", "2"], [(1,)])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_in_a_statement(
    product: Product, database: Database, tmp_path: Path, number: signal.Signals
) -> None:
    process = product.start("--scripts", write(tmp_path / "a", _slow(LONGER_THAN_FINISH_WAITS)))
    database.wait_for(SLEEPING)
    process.send_signal(number)
    ended = finish(process)
    assert (ended.code, ended.report.reason) == (143, "Stopped")
    assert (database.relations(), database.versions()) == ([], [])
    database.wait_for(f"SELECT NOT ({SLEEPING})")


def test_asked_to_stop_while_waiting(product: Product, database: Database, tmp_path: Path) -> None:
    folder = write(tmp_path / "a", _slow(3))
    first = product.start("--scripts", folder)
    database.wait_for(SLEEPING)
    second = product.start("--scripts", folder)
    sessions = "SELECT count(*) = 3 FROM pg_stat_activity WHERE application_name = 'schema-operator'"
    database.wait_for(sessions)
    second.send_signal(signal.SIGTERM)
    assert finish(second).code == 143
    assert finish(first).code == 0


def test_the_guard_is_ended_in_the_middle(product: Product, database: Database, tmp_path: Path) -> None:
    process = product.start("--scripts", write(tmp_path / "a", _slow(1)))
    database.wait_for(SLEEPING)
    database.rows(f"SELECT pg_terminate_backend(pid) FROM ({GUARD}) AS guard")
    ended = finish(process)
    assert (ended.code, ended.report.reason) == (10, "GuardLost")
    # The open transaction was ours by the fence; the next one was not begun.
    assert (database.versions(), ended.report.versions) == (["1"], ("1",))
    assert product.run("--scripts", tmp_path / "a").report.versions == ("2",)


def test_a_run_that_got_the_guard_waits_for_the_fence(product: Product, database: Database, tmp_path: Path) -> None:
    folder = write(tmp_path / "a", _slow(2))
    first = product.start("--scripts", folder)
    database.wait_for(SLEEPING)
    database.rows(f"SELECT pg_terminate_backend(pid) FROM ({GUARD}) AS guard")
    second = product.run("--scripts", folder)
    assert (second.code, second.report.versions) == (0, ("2",))
    assert finish(first).report.reason == "GuardLost"
    assert database.versions() == ["1", "2"]


def test_a_paused_run_notices_that_another_has_been_there(product: Product, database: Database, tmp_path: Path) -> None:
    folder = write(tmp_path / "a", _slow(0.5))
    first = product.start("--scripts", folder)
    database.wait_for(SLEEPING)
    first.send_signal(signal.SIGSTOP)
    database.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'schema-operator' "
        "AND datname = current_database()"
    )
    assert product.run("--scripts", folder).code == 0
    first.send_signal(signal.SIGCONT)
    assert finish(first).code == 10
    assert database.versions() == ["1", "2"]


def test_the_working_session_is_ended_in_the_middle(product: Product, database: Database, tmp_path: Path) -> None:
    process = product.start("--scripts", write(tmp_path / "a", _slow(60)))
    database.wait_for(SLEEPING)
    database.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
    ended = finish(process)
    assert (ended.code, ended.report.reason) == (10, "ServerShutdown")
    assert (database.relations(), database.versions()) == ([], [])


def test_the_server_crashes_in_the_middle(product: Product, database: Database, tmp_path: Path) -> None:
    process = product.start("--scripts", write(tmp_path / "a", _slow(60)))
    database.wait_for(SLEEPING)
    database.server.crash()
    ended = finish(process)
    database.server.start()
    assert ended.code == 10, ended
    assert (database.relations(), database.versions()) == ([], [])
    assert product.run("--scripts", write(tmp_path / "a", _slow(0))).code == 0


def test_a_lock_held_by_another_session_is_given_up_with_its_holder(
    product: Product, database: Database, tmp_path: Path
) -> None:
    database.execute("CREATE TABLE item (id int)")
    folder = write(tmp_path / "a", {"1_x.up.sql": "CREATE TABLE a (); ALTER TABLE item ADD COLUMN name text;"})
    request = RunRequest(
        run="r", actor="a", folders=(ScriptFolder(path=str(folder), label=""),), locks=LockLimits(give_up_seconds=1.5)
    )
    with database.connect("nightly backup") as other, other.transaction():
        other.execute("LOCK TABLE item IN ACCESS SHARE MODE")
        ended = product.request(tmp_path, request)
        pid = other.info.backend_pid
    assert (ended.code, ended.report.reason) == (10, "LockTimeout")
    for text in (f"session {pid}", "nightly backup", "idle in transaction", " s)"):
        assert text in ended.report.message
        assert text in (ended.report.blocker or "")
    assert "ACCESS SHARE" not in ended.stdout
    assert ended.report.place is not None
    assert (ended.report.place.statement, ended.report.place.sqlstate) == (2, "55P03")
    assert (database.relations(), database.versions()) == (["item"], [])


def test_a_lock_that_is_let_go_is_waited_for(product: Product, database: Database, tmp_path: Path) -> None:
    database.execute("CREATE TABLE item (id int)")
    folder = write(tmp_path / "a", {"1_x.up.sql": "CREATE TABLE a (); ALTER TABLE item ADD COLUMN name text;"})
    with database.connect() as other, other.transaction():
        other.execute("LOCK TABLE item IN ACCESS SHARE MODE")
        process = product.start("--scripts", folder)
        waiting = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = 'item'::regclass"
        database.wait_for(waiting)
        database.wait_for(f"SELECT NOT ({waiting})")
        database.wait_for(waiting)
    ended = finish(process)
    assert ended.code == 0
    assert database.versions() == ["1"]
    waited = {(one.version, one.statement, one.statements) for one in ended.progress if one.step == "WaitingForLock"}
    assert waited == {("1", 2, 2)}


@pytest.mark.parametrize(
    ("when", "code", "reason", "versions"),
    [
        (Break.BEFORE_COMMIT, 10, "ConnectionLost", ["1"]),
        (Break.AFTER_COMMIT, 0, "", ["1", "2", "3"]),
        (Break.FOR_GOOD, 31, "OutcomeUnknown", ["1", "2"]),
    ],
)
def test_the_connection_is_lost_at_commit(  # noqa: PLR0917 (a row of the table above)
    product: Product, database: Database, tmp_path: Path, when: Break, code: int, reason: str, versions: list[str]
) -> None:
    folder = write(tmp_path / "a", {"1_x.up.sql": "CREATE TABLE a ();"})
    assert product.run("--scripts", folder).code == 0
    write(folder, {"2_y.up.sql": "CREATE TABLE b ();", "3_z.up.sql": "CREATE TABLE c ();"})
    request = RunRequest(
        run="r", actor="a", folders=(ScriptFolder(path=str(folder), label=""),), locks=LockLimits(give_up_seconds=5.0)
    )
    with Proxy(database.server.port, when) as proxy:
        uri = database.uri.replace(f":{database.server.port}/", f":{proxy.port}/")
        ended = product.request(tmp_path, request, uri=uri)
        assert proxy.broken.is_set()
    assert (ended.code, ended.report.reason) == (code, reason), ended
    assert database.versions() == versions
    again = product.run("--scripts", folder)
    assert (again.code, database.versions()) == (0, ["1", "2", "3"])


def test_an_old_session_that_hangs_at_commit_is_ended(product: Product, database: Database, tmp_path: Path) -> None:
    database.execute(
        "CREATE TABLE a (x int);"
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); RETURN NEW; END';"
        "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON a DEFERRABLE INITIALLY DEFERRED FOR EACH ROW "
        "EXECUTE FUNCTION slow()"
    )
    process_folder = write(tmp_path / "a", {"1_x.up.sql": "CREATE TABLE b ();"})
    assert product.run("--scripts", process_folder).code == 0
    write(process_folder, {"2_y.up.sql": "INSERT INTO a VALUES (1);"})
    with Proxy(database.server.port, Break.AFTER_COMMIT) as proxy:
        uri = database.uri.replace(f":{database.server.port}/", f":{proxy.port}/")
        process = product.start("--scripts", process_folder, uri=uri)
        database.wait_for(SLEEPING)
        proxy.forget()
        ended = finish(process)
    assert (ended.code, ended.report.reason) == (10, "ConnectionLost")
    assert database.rows("SELECT * FROM a") == []


def test_progress_is_not_a_flood(product: Product, database: Database, tmp_path: Path) -> None:
    statements = "\n".join(f"CREATE TABLE t{number} ();" for number in range(300))
    ended = product.run("--scripts", write(tmp_path / "a", {"1_x.up.sql": statements}))
    assert ended.code == 0
    applying = [line for line in ended.progress if line.step == "Applying"]
    assert 1 <= len(applying) <= 10 * (ended.report.seconds + 1)
    assert applying[0].statements == 300
    assert len(database.relations()) == 300


def test_the_report_is_a_termination_message_too(product: Product, database: Database, tmp_path: Path) -> None:
    path = tmp_path / "termination-log"
    folder = write(tmp_path / "a", {"1_x.up.sql": "SELECT nothing_like_it;"})
    ended = product.run("--scripts", folder, "--termination-log", path)
    assert ended.code == 21
    assert ended.report.run.startswith("laptop-")
    assert reports.decode(path.read_bytes()) == ended.report
    assert path.stat().st_size <= 4096
    assert database.versions() == []
