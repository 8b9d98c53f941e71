"""An emergency rollback that is broken off leaves everything as it was: it is one transaction, which ends with psql."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support import psql
from support.far_away import FarAway
from support.faults import LOOKS_FOR_ITS_CLIENT, SLEEPING, SLOW, Scene, assert_nothing_lost, numbers

if TYPE_CHECKING:
    import subprocess

pytestmark = pytest.mark.postgres

BACK = "CALL schema_operator.emergency_rollback('1')"
TO_FIRST = ("--version", "1")
GONE = "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'psql' AND datname = current_database()"


def _begun(scene: Scene, slow: int, *before: str, uri: str | None = None) -> subprocess.Popen[str]:
    """Versions 1 to 4 applied, and psql in the middle of rolling one of them back."""
    scene.write(4, down={slow: SLOW})
    ended = scene.run()
    assert ended.code == 0, ended
    process = psql.start(scene.database, *before, BACK, uri=uri)
    scene.database.wait_for(SLEEPING)
    return process


def _as_before(scene: Scene) -> None:
    scene.database.wait_for(GONE)
    state = scene.state()
    assert (state.history, state.evidence, state.made) == (numbers(4), numbers(4), numbers(4))
    assert scene.database.rows("TABLE schema_operator.held_versions") == []
    assert_nothing_lost(scene, numbers(1), *TO_FIRST)


@pytest.mark.fault(45, 1)
@pytest.mark.parametrize("version", [2, 3, 4], ids=["in the last step", "in the middle", "in the first step"])
def test_psql_is_killed(scene: Scene, version: int) -> None:
    scene.sleeps(1.5)
    process = _begun(scene, version)
    process.kill()
    psql.finish(process)
    _as_before(scene)


@pytest.mark.fault(45, 1)
def test_psql_is_killed_and_the_server_is_told_to_look_for_it(scene: Scene) -> None:
    newer = scene.database.server.major >= LOOKS_FOR_ITS_CLIENT
    scene.sleeps(600 if newer else 1)
    process = _begun(scene, 3, *(["SET client_connection_check_interval = '500ms'"] if newer else []))
    process.kill()
    psql.finish(process)
    _as_before(scene)


@pytest.mark.fault(45, 1)
def test_psql_is_killed_far_away(scene: Scene) -> None:
    scene.sleeps(1.5)
    with FarAway(scene.database.server.port, 0.01) as far:
        process = _begun(scene, 2, uri=far.through(scene.database.uri))
        process.kill()
        psql.finish(process)
        _as_before(scene)


@pytest.mark.fault(45, 14)
def test_an_administrator_ends_the_session(scene: Scene) -> None:
    process = _begun(scene, 3)
    scene.database.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
    assert psql.finish(process).code != 0
    _as_before(scene)


@pytest.mark.fault(45, 25)
def test_it_is_cancelled(scene: Scene) -> None:
    process = _begun(scene, 3)
    scene.database.execute("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
    assert psql.finish(process).error == "canceling statement due to user request"
    _as_before(scene)


@pytest.mark.fault(45, 16)
def test_the_server_crashes(scene: Scene) -> None:
    process = _begun(scene, 3)
    scene.database.server.crash()
    scene.database.server.start()
    assert psql.finish(process).code != 0
    _as_before(scene)
