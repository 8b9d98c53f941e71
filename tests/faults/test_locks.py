"""Locks that others hold: a long transaction, autovacuum, and an application that wants the same locks."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from dev.postgres.packages import MAJORS

from support.faults import SLOW, Scene, assert_nothing_lost, numbers
from support.postgres import Database, until

pytestmark = pytest.mark.postgres

ALTER = {2: "ALTER TABLE item ADD COLUMN name text;"}
HOLD_SECONDS = 1.5
STALL_SECONDS = 0.7
"""More than a client may be kept waiting (0.1 s), because the machine may be busy, and less than it would be if the run
stood in the queue for as long as the holder stays (`HOLD_SECONDS`)."""


@pytest.mark.fault(22)
def test_a_lock_held_by_another_session_is_given_up_with_its_holder(scene: Scene) -> None:
    scene.database.execute("CREATE TABLE item (id int)")
    scene.write(2, up=ALTER)
    with scene.database.connect("nightly backup") as other, other.transaction():
        other.execute("LOCK TABLE item IN ACCESS SHARE MODE")
        ended = scene.limited(give_up=0.8)
        pid = other.info.backend_pid
    assert (ended.code, ended.report.reason) == (10, "LockTimeout")
    for text in (f"session {pid}", "nightly backup", "idle in transaction", " s"):
        assert text in ended.report.message
        assert text in (ended.report.blocker or "")
    assert "ACCESS SHARE" not in ended.stdout
    assert ended.report.place is not None
    assert (ended.report.place.statement, ended.report.place.sqlstate) == (2, "55P03")
    assert scene.state().history == numbers(1)
    assert_nothing_lost(scene, numbers(2), ended=ended)


@pytest.mark.fault(22)
def test_a_lock_that_is_let_go_is_waited_for_and_clients_hardly_notice(scene: Scene) -> None:
    scene.database.execute("CREATE TABLE item (id int)")
    scene.write(2, up=ALTER)
    with scene.database.connect() as other, _client(scene.database) as waits:
        with other.transaction():
            other.execute("LOCK TABLE item IN ACCESS SHARE MODE")
            run = scene.start()
            run.wait_for("WaitingForLock")
            time.sleep(HOLD_SECONDS)
        ended = run.finish()
    assert (ended.code, ended.report.version) == (0, "2"), ended
    waited = {(one.version, one.statement, one.statements) for one in ended.progress if one.step == "WaitingForLock"}
    assert waited == {("2", 2, 3)}
    assert len(waits) > 10
    assert max(waits) < STALL_SECONDS
    assert_nothing_lost(scene, numbers(2), ended=ended)


@pytest.mark.fault(22)
def test_a_lock_that_is_foreseen_is_not_asked_for_while_an_old_transaction_holds_it(scene: Scene) -> None:
    scene.database.execute("CREATE TABLE item (id int PRIMARY KEY); CREATE SEQUENCE attempts")
    scene.write(2, up={2: f"SELECT nextval('attempts'); {ALTER[2]} ALTER INDEX item_pkey RENAME TO item_key;"})
    with scene.database.connect() as other:
        with other.transaction():
            other.execute("LOCK TABLE item IN ACCESS SHARE MODE")
            time.sleep(0.2)
            run = scene.start()
            run.wait_for("WaitingForLock")
            time.sleep(HOLD_SECONDS)
            made = int(scene.database.value("SELECT last_value FROM attempts"))
        ended = run.finish()
    assert (ended.code, ended.report.version) == (0, "2"), ended
    # At most those of the versions that are sent together, before anybody looks.
    assert made <= 1
    assert_nothing_lost(scene, numbers(2), ended=ended)


@pytest.mark.fault(22)
def test_who_holds_a_lock_that_a_script_does_not_wait_for_is_named(scene: Scene) -> None:
    scene.database.execute("CREATE TABLE item (id int)")
    scene.write(2, up={2: "LOCK TABLE item NOWAIT;"})
    with scene.database.connect("nightly backup") as other, other.transaction():
        other.execute("LOCK TABLE item IN ACCESS SHARE MODE")
        # A stall that is longer than the transaction is old: it is not waited for, but run into.
        ended = scene.limited(give_up=0.3, stall=10.0)
    assert (ended.code, ended.report.reason) == (10, "LockTimeout"), ended
    assert "nightly backup" in ended.report.message
    assert_nothing_lost(scene, numbers(2), ended=ended)


@pytest.mark.fault(22)
@pytest.mark.parametrize("count", [2, 4], ids=["by itself", "among others"])
def test_rows_are_waited_for_once_as_long_as_is_allowed(scene: Scene, count: int) -> None:
    scene.database.execute("CREATE TABLE item (id int); INSERT INTO item VALUES (1)")
    path = scene.write(count) / "2_x.up.sql"
    path.write_text(f"UPDATE item SET id = 2;\n{path.read_text()}")
    with scene.database.connect() as other, other.transaction():
        other.execute("UPDATE item SET id = 3")
        began = time.monotonic()
        ended = scene.limited(give_up=3.0)
        waited = time.monotonic() - began
    assert (ended.code, ended.report.reason) == (10, "LockTimeout"), ended
    assert 3.0 <= waited < 5.0
    assert_nothing_lost(scene, numbers(count), ended=ended)


QUEUED = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'item'::regclass"


@pytest.mark.fault(22)
@pytest.mark.parametrize(
    "statement",
    [
        pytest.param(ALTER[2], id="foreseen"),
        pytest.param("DO $$BEGIN ALTER TABLE item ADD COLUMN name text; END$$;", id="seen while an attempt waited"),
    ],
)
def test_a_run_behind_a_long_transaction_does_not_stand_in_the_queue(scene: Scene, statement: str) -> None:
    scene.database.execute("CREATE TABLE item (id int)")
    scene.write(2, up={2: statement})
    with scene.database.connect() as other, other.transaction(), scene.database.connect() as watch:
        other.execute("LOCK TABLE item IN ACCESS SHARE MODE")
        run = scene.start()
        run.wait_for("WaitingForLock")
        time.sleep(0.5)  # for the few attempts after which it knows whom it waits for
        looks = []
        for _ in range(100):
            looks.append(watch.execute(QUEUED).fetchone())
            time.sleep(0.01)
    ended = run.finish()
    assert (ended.code, ended.report.version) == (0, "2"), ended
    assert set(looks) == {(0,)}


@contextmanager
def _client(database: Database) -> Iterator[list[float]]:
    """An application that reads the table all the time; gives the seconds each read took."""
    waits: list[float] = []
    ended = threading.Event()

    def read() -> None:
        with database.connect("application") as connection:
            while not ended.wait(0.02):
                began = time.monotonic()
                connection.execute("SELECT count(*) FROM item")
                waits.append(time.monotonic() - began)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield waits
    finally:
        ended.set()
        thread.join()


PAGES = 40
"""Of a table that autovacuum is to take seconds for: about a tenth of a second a page, with the limits below."""
FROZEN_AFTER = 100_000
"""The least that autovacuum_freeze_max_age may be."""
AGED = f"""
CREATE TABLE item (filler text) WITH (fillfactor = 10, autovacuum_freeze_max_age = {FROZEN_AFTER},
    autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1);
INSERT INTO item SELECT repeat('x', 700) FROM generate_series(1, {PAGES});
"""
SPEND_TRANSACTIONS = f"""
DO $$
BEGIN
    FOR spent IN 1 .. {FROZEN_AFTER} + 1000 LOOP
        PERFORM pg_current_xact_id();
        COMMIT;
    END LOOP;
END
$$
"""
AUTOVACUUM = (
    "SELECT count(*) > 0 FROM pg_stat_activity AS a JOIN pg_locks AS l USING (pid) "
    "WHERE a.query LIKE 'autovacuum:%to prevent wraparound%' AND l.relation = 'item'::regclass AND l.granted"
)


@contextmanager
def _eager_autovacuum(database: Database) -> Iterator[None]:
    database.execute("ALTER SYSTEM SET autovacuum_naptime = '1s'")
    database.execute("SELECT pg_reload_conf()")
    try:
        yield
    finally:
        database.execute("ALTER SYSTEM RESET autovacuum_naptime")
        database.execute("SELECT pg_reload_conf()")


@pytest.mark.fault(23)
# A hundred thousand transactions and the sleeps of autovacuum take ten seconds: the oldest and the newest version do.
@pytest.mark.parametrize("server", [MAJORS[0], MAJORS[-1]], indirect=True, ids=lambda major: f"postgres{major}")
def test_autovacuum_that_prevents_wraparound_is_named_and_waited_for(scene: Scene) -> None:
    scene.database.execute(AGED)
    scene.write(2, up=ALTER)
    with scene.database.connect() as connection:
        connection.execute("SET synchronous_commit = off")
        connection.execute(SPEND_TRANSACTIONS)
    with _eager_autovacuum(scene.database):
        scene.database.wait_for(AUTOVACUUM)
        ended = scene.limited(give_up=1.0)
        assert scene.database.value(AUTOVACUUM), "autovacuum took less time than the run: give the table more pages"
        assert (ended.code, ended.report.reason) == (10, "LockTimeout"), ended
        assert "autovacuum" in (ended.report.blocker or "")
        assert "autovacuum" in ended.report.message
        assert_nothing_lost(scene, numbers(2), ended=ended)


DEAD = f"""
CREATE TABLE item (filler text) WITH (fillfactor = 10, autovacuum_vacuum_threshold = 1,
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1);
INSERT INTO item SELECT repeat('x', 700) FROM generate_series(1, {10 * PAGES});
DELETE FROM item;
"""
VACUUMED = AUTOVACUUM.replace("%to prevent wraparound", "")


@pytest.mark.fault(23)
def test_autovacuum_that_can_wait_is_asked_to_go(scene: Scene) -> None:
    scene.write(2, up=ALTER)
    with _eager_autovacuum(scene.database):
        scene.database.execute(DEAD)
        scene.database.wait_for(VACUUMED)
        time.sleep(0.2)  # so that it is older than the stall that is allowed, and is waited for
        began = time.monotonic()
        ended = scene.limited(give_up=20.0)
        waited = time.monotonic() - began
        assert (ended.code, ended.report.version) == (0, "2"), ended
        # Left alone, it would take a tenth of a second for each page.
        assert waited < 5.0
        assert_nothing_lost(scene, numbers(2), ended=ended)


@pytest.mark.fault(24)
def test_a_deadlock_with_the_application_is_tried_again_whole(scene: Scene) -> None:
    scene.database.execute("CREATE TABLE item (id int); INSERT INTO item VALUES (1), (2)")
    # The run looks for deadlocks long before the application does, so it is the one that is rolled back.
    scene.database.execute(f"ALTER DATABASE \"{scene.database.name}\" SET deadlock_timeout = '10ms'")
    scene.sleeps(0.3)
    first, second = ("UPDATE item SET id = id WHERE id = 1", "UPDATE item SET id = id WHERE id = 2")
    scene.write(2)
    script = scene.folder / "2_x.up.sql"
    # First of all, while there is nothing but rows to wait for: later, a run gives way before there is a deadlock.
    script.write_text(f"{first}; {SLOW} {second};\n{script.read_text()}")
    with scene.database.connect("application") as other:
        other.execute("SET deadlock_timeout = '100s'")
        run = scene.start()
        with other.transaction():
            other.execute(second)
            scene.database.wait_for("SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
            # Waits for the run, which then waits for us: the run gives way.
            other.execute(first)
    ended = run.finish()
    assert (ended.code, ended.report.version) == (0, "2"), ended
    until(lambda: _deadlocks(scene.database) > 0, "a deadlock")
    assert_nothing_lost(scene, numbers(2), ended=ended)


def _deadlocks(database: Database) -> int:
    return int(database.value("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"))
