"""Limits that a role or a database sets, and limits that a script sets for itself."""

from __future__ import annotations

import signal

import pytest
from psycopg import sql

from support.faults import SLEEPING, SLOW, Scene, assert_nothing_lost, numbers

pytestmark = pytest.mark.postgres

LIMITS = {
    "statement_timeout": 13,
    "lock_timeout": 13,
    "idle_in_transaction_session_timeout": 13,
    "idle_session_timeout": 14,
    "transaction_timeout": 17,
}
"""Limits of a session, with the first major version that has them."""


@pytest.mark.fault(25, 26)
@pytest.mark.parametrize("whose", ["role", "database"])
def test_the_limits_of_a_role_or_a_database_are_not_ours(scene: Scene, role: str, whose: str) -> None:
    scene.sleeps(0.3)
    scene.write(3, up={2: SLOW})
    database, name = scene.database, sql.Identifier(role if whose == "role" else scene.database.name)
    with database.connect() as connection:
        for limit in (one for one, since in LIMITS.items() if since <= database.server.major):
            form = "ALTER ROLE {} SET {} = '100ms'" if whose == "role" else "ALTER DATABASE {} SET {} = '100ms'"
            connection.execute(sql.SQL(form).format(name, sql.Identifier(limit)))
        connection.execute(sql.SQL("ALTER ROLE {} SUPERUSER").format(sql.Identifier(role)))
        connection.execute(sql.SQL("ALTER ROLE {} PASSWORD 'limited'").format(sql.Identifier(role)))
    ended = scene.run(uri=database.uri_of(role, "limited"))
    assert (ended.code, ended.report.version) == (0, "3"), ended
    assert_nothing_lost(scene, numbers(3), ended=ended)


@pytest.mark.fault(25)
def test_a_statement_timeout_of_the_script_holds_until_the_script_is_changed(scene: Scene) -> None:
    scene.write(3, up={2: f"SET statement_timeout = '100ms'; {SLOW}"})
    for _ in range(2):
        ended = scene.run()
        assert (ended.code, ended.report.reason) == (21, "StatementTimeout")
        assert ended.report.place is not None
        assert (ended.report.place.version, ended.report.place.sqlstate) == ("2", "57014")
    assert scene.state().history == numbers(1)
    assert_nothing_lost(scene, numbers(3), ended=ended)


@pytest.mark.fault(25)
def test_a_statement_that_somebody_cancels_is_rolled_back_with_its_version(scene: Scene) -> None:
    scene.write(3, up={2: SLOW})
    run = scene.start()
    scene.database.wait_for(SLEEPING)
    scene.database.rows("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
    ended = run.finish()
    assert (ended.code, ended.report.reason) == (21, "StatementTimeout")
    assert "pg_cancel_backend" in ended.report.message
    assert_nothing_lost(scene, numbers(3), ended=ended)


@pytest.mark.fault(26)
def test_a_session_that_is_ended_for_being_idle_in_a_transaction(scene: Scene) -> None:
    scene.sleeps(0.3)
    scene.write(3, up={2: f"SET idle_in_transaction_session_timeout = '50ms'; {SLOW} {SLOW}"})
    run = scene.start()
    scene.database.wait_for(SLEEPING)
    run.process.send_signal(signal.SIGSTOP)
    scene.database.wait_for(f"SELECT NOT ({SLEEPING})")
    with scene.database.connect() as connection:
        connection.execute("SELECT pg_sleep(0.3)")
    run.process.send_signal(signal.SIGCONT)
    ended = run.finish()
    # A run that has sent the whole version ahead is never idle in it, and done.
    assert (ended.code, ended.report.reason) in {(10, "ConnectionLost"), (0, "")}, ended
    assert_nothing_lost(scene, numbers(3), ended=ended)


@pytest.mark.fault(26)
def test_a_transaction_timeout_of_the_script(scene: Scene) -> None:
    limit = (
        "transaction_timeout" if scene.database.server.major >= LIMITS["transaction_timeout"] else "statement_timeout"
    )
    scene.write(3, up={2: f"SET {limit} = '100ms'; {SLOW}"})
    ended = scene.run()
    assert (ended.code, ended.report.reason) == (21, "StatementTimeout"), ended
    assert_nothing_lost(scene, numbers(3), ended=ended)
