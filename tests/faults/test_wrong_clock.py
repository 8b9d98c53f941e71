"""Clocks that are wrong, and clocks that jump: only the runner's own monotonic clock measures, and the server's dates.

libfaketime shows a process the time that a file says, and follows the file while it runs.
"""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from dev import debian
from dev.postgres.packages import MAJORS

from support.faults import Scene, Watched, assert_nothing_lost, numbers
from support.postgres import PROGRAM

# The clock is the runner's, so one server is enough.
pytestmark = [
    pytest.mark.postgres,
    pytest.mark.parametrize("server", [MAJORS[-1]], indirect=True, ids=lambda major: f"postgres{major}"),
]

LIBRARY = f"/usr/lib/{platform.machine()}-linux-gnu/faketime/libfaketime.so.1"
AHEAD, BEHIND = "+1h", "-1h"
HALF_AN_HOUR = 1800.0

Start = Callable[..., Watched]


@pytest.fixture(scope="module")
def library() -> str:
    debian.install(debian.Package("libfaketime", LIBRARY))
    return LIBRARY


@pytest.fixture
def clock(tmp_path: Path) -> Path:
    """The file that says by how much the clock of a run is wrong."""
    return tmp_path / "clock"


@pytest.fixture
def start(scene: Scene, library: str, clock: Path) -> Start:
    """Starts a run with limits whose clock is what the file says."""

    def begin(offset: str, **limits: Any) -> Watched:
        clock.write_text(offset)
        environment = {
            **os.environ,
            "SCHEMA_OPERATOR_URI": scene.database.uri,
            "LD_PRELOAD": library,
            "FAKETIME_TIMESTAMP_FILE": str(clock),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        command = [str(PROGRAM), "run", "--log-format", "json", "--request", str(scene.request(**limits))]
        pipe = subprocess.PIPE
        return Watched(subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True))

    return begin


def _jump(clock: Path, offset: str) -> None:
    """Change the file whole, so that nobody reads half of it."""
    new = clock.with_suffix(".new")
    new.write_text(offset)
    new.rename(clock)


@pytest.mark.fault(43)
def test_two_nodes_whose_clocks_differ_apply_in_turn(scene: Scene, start: Start) -> None:
    scene.write(1)
    first = start(AHEAD).finish()
    assert first.code == 0
    assert datetime.fromisoformat(first.lines[0].time).timestamp() - time.time() > HALF_AN_HOUR
    scene.write(2)
    ended = start(BEHIND).finish()
    assert (ended.code, ended.report.versions) == (0, ("2",)), ended
    latest = "SELECT extract(epoch FROM clock_timestamp() - max(applied_at)) FROM schema_operator.schema_versions"
    assert abs(scene.database.value(latest)) < HALF_AN_HOUR
    assert_nothing_lost(scene, numbers(2), ended=ended)


@pytest.mark.fault(43)
@pytest.mark.parametrize("jump", [AHEAD, BEHIND])
def test_the_clock_jumps_while_a_run_waits_for_a_lock(scene: Scene, start: Start, clock: Path, jump: str) -> None:
    scene.database.execute("CREATE TABLE item ()")
    scene.write(2, up={2: "ALTER TABLE item ADD COLUMN name text;"})
    with scene.database.connect() as other, other.transaction():
        other.execute("LOCK TABLE item IN ACCESS SHARE MODE")
        run = start("+0s", give_up=20.0)
        run.wait_for("WaitingForLock")
        _jump(clock, jump)
        time.sleep(0.5)
        assert run.process.poll() is None
    ended = run.finish()
    assert (ended.code, ended.report.version) == (0, "2"), ended
    assert ended.report.seconds < HALF_AN_HOUR
    assert_nothing_lost(scene, numbers(2), ended=ended)


@pytest.mark.fault(43)
@pytest.mark.parametrize("jump", [AHEAD, BEHIND])
def test_the_clock_jumps_while_a_run_waits_for_another(scene: Scene, start: Start, clock: Path, jump: str) -> None:
    scene.write(2, up={1: "SELECT pg_sleep(seconds) FROM public.patience;"})
    first = scene.start()
    first.wait_for("Applying")
    began = time.monotonic()
    second = start("+0s", lock_wait=1.5)
    second.wait_for("WaitingForLock")
    _jump(clock, jump)
    ended = second.finish()
    assert (ended.code, ended.report.reason) == (40, "LockHeld"), ended
    assert 1.5 <= time.monotonic() - began < 15
    first.process.terminate()
    assert first.finish().code == 143
    assert_nothing_lost(scene, numbers(2))
