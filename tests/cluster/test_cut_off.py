"""The controller loses its connection to the API server, and does not always notice."""

import time
from pathlib import Path

import pytest

from support.controller import IMPATIENT_SECONDS, own_controller
from support.operator import Shop, conditions

FAST = {"version": "1", "up": "CREATE TABLE fast ();", "down": "DROP TABLE fast;"}
SLOW = {"version": "1", "up": "CREATE TABLE slow (); SELECT pg_sleep(3);", "down": "DROP TABLE slow;"}
AWAY_SECONDS = 20.0


@pytest.mark.fault(34)
def test_a_watch_that_falls_silent_is_begun_anew_and_what_was_missed_is_done(shop: Shop, tmp_path: Path) -> None:
    """In the product it loses patience after 70 s (test_heard.py), here sooner; rounds are a minute apart."""
    with own_controller(shop, tmp_path, watches_only=True) as controller:
        shop.migrate(FAST)
        shop.settled()
        assert controller.gate.silence() >= 4
        began = time.monotonic()
        shop.migrate({"version": "2", "up": "CREATE TABLE two ();"}, name="missed")
        shop.until(lambda found: "currentRun" in found.get("status", {}), "missed", patience=45)
        assert time.monotonic() - began < IMPATIENT_SECONDS + 15
        assert conditions(shop.settled("missed"))["Ready"] == "True Applied"


@pytest.mark.fault(33)
def test_a_run_ends_while_the_api_server_is_away_and_the_status_follows(shop: Shop, tmp_path: Path) -> None:
    with own_controller(shop, tmp_path, watches_only=False) as controller:
        shop.migrate(SLOW)
        shop.until(lambda found: "currentRun" in found.get("status", {}))
        controller.gate.close()
        end = time.monotonic() + AWAY_SECONDS
        while not shop.has_history():
            assert time.monotonic() < end
            time.sleep(0.2)
        time.sleep(max(end - time.monotonic(), 0))
        assert "Ready" not in {
            kind for kind, said in conditions(shop.get()["status"]).items() if said.startswith("True")
        }
        assert controller.health() == 200
        controller.gate.open()
        began = time.monotonic()
        status = shop.settled()
        assert time.monotonic() - began < 30
        assert conditions(status)["Ready"] == "True Applied"
        assert [run["outcome"] for run in status["runs"]] == ["Done"]
        assert controller.process.poll() is None
    assert shop.versions() == ["1"]
    assert len(shop.jobs()) == 1
