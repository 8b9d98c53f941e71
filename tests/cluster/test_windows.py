"""Maintenance windows in a cluster: what waits begins by itself."""

from datetime import UTC, datetime, timedelta

from support.operator import Shop, conditions, database

FIRST = {"version": "1", "up": "CREATE TABLE first ();", "down": "DROP TABLE first;"}


def in_seconds(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_freeze_holds_a_run_that_begins_by_itself_when_it_is_over(shop: Shop) -> None:
    freeze = {"from": in_seconds(-60), "until": in_seconds(6), "reason": "audit"}
    shop.apply(database(policy={"freezes": [freeze]}))
    shop.migrate(FIRST)
    waiting = shop.until(lambda found: found.get("status", {}).get("state") == "AwaitingWindow")
    assert conditions(waiting)["WindowOpen"] == conditions(waiting)["Ready"] == "False AwaitingWindow"
    assert not {"Reconciling", "Stalled"} & conditions(waiting).keys()
    assert shop.jobs() == []
    status = shop.settled()
    assert conditions(status)["Ready"] == "True Applied"
    assert "WindowOpen" not in conditions(status)
    assert datetime.fromisoformat(status["runs"][0]["startedAt"]) >= datetime.fromisoformat(freeze["until"])


def test_an_emergency_opens_every_window_and_a_closed_one_does_not_touch_what_is_applied(shop: Shop) -> None:
    never = {"schedule": "0 0 29 2 *", "duration": "1m", "timeZone": "Europe/Berlin"}
    shop.apply(database(policy={"windows": [never]}))
    shop.migrate(FIRST)
    shop.until(lambda found: found.get("status", {}).get("state") == "AwaitingWindow")
    shop.migrate(FIRST, emergency={"reason": "incident 4711"})
    status = shop.settled()
    assert conditions(status)["Ready"] == "True Applied"
    kept = "SELECT version, reason FROM schema_operator.events WHERE event = 'Applied'"
    assert shop.query(kept) == [("1", "incident 4711")]
    events = shop.kubectl("get", "events", "-o", "jsonpath={.items[?(@.reason=='Emergency')].message}")
    assert "begins outside of maintenance windows: incident 4711" in events
    shop.migrate(FIRST)
    kept_ready = shop.until(lambda found: found["status"]["observedGeneration"] == found["metadata"]["generation"])
    assert conditions(kept_ready)["Ready"] == "True Applied"
    assert len(kept_ready["runs"]) == 1
