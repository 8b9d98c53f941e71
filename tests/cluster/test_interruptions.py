"""What is killed, deleted or meets another in the middle."""

import threading
from typing import Any

from support.operator import Shop, conditions, database

SLOW = {"version": "1", "up": "CREATE TABLE slow (); SELECT pg_sleep(5);", "down": "DROP TABLE slow;"}


def at_work(found: dict[str, Any]) -> bool:
    return bool(found.get("status", {}).get("progress", {}).get("step") == "Applying")


def progress(found: dict[str, Any]) -> str:
    return str(found.get("status", {}).get("progress", {}).get("message", ""))


def test_the_operator_is_deleted_in_the_middle_of_a_run(shop: Shop) -> None:
    shop.migrate(SLOW)
    shop.until(at_work)
    shop.cluster.kubectl("-n", "schema-operator", "delete", "pod", "-l", "app.kubernetes.io/component=controller")
    status = shop.settled()
    assert conditions(status)["Ready"] == "True Applied"
    assert len(shop.jobs()) == 1
    assert shop.versions() == ["1"]
    assert [run["outcome"] for run in status["runs"]] == ["Done"]


def test_the_runner_is_killed_in_the_middle_and_the_next_attempt_applies_once(shop: Shop) -> None:
    shop.migrate(SLOW)
    shop.until(at_work)
    shop.kubectl("delete", "pod", "-l", "app.kubernetes.io/component=runner", "--grace-period=0", "--force")
    status = shop.settled()
    assert conditions(status)["Ready"] == "True Applied"
    assert shop.versions() == ["1"]
    outcomes = [run["outcome"] for run in status["runs"]]
    assert outcomes[0] == "Done"
    assert set(outcomes[1:]) <= {"Killed", "Stopped", "LockHeld"}
    assert len(outcomes) > 1


def test_the_job_is_deleted_before_its_end_is_read(shop: Shop) -> None:
    shop.migrate(SLOW)
    shop.until(at_work)
    (job,) = shop.jobs()
    shop.kubectl("delete", "job", job["metadata"]["name"], "--wait=false")
    status = shop.settled()
    assert conditions(status)["Ready"] == "True Applied"
    assert shop.versions() == ["1"]


def test_two_resources_on_one_database_at_the_same_time(shop: Shop) -> None:
    shop.migrate(SLOW, name="first")
    shop.until(at_work, "first")
    shop.migrate({"version": "100", "up": "CREATE TABLE second ();", "down": "DROP TABLE second;"}, name="second")
    waiting = shop.until(lambda found: "waiting" in progress(found), "second")
    assert f"schema-operator/{shop.namespace}/first" in waiting["progress"]["message"]
    assert shop.versions() == []
    states = [shop.settled(name) for name in ("first", "second")]
    assert [conditions(status)["Ready"] for status in states] == ["True Applied", "True Applied"]
    assert shop.versions() == ["1", "100"]


def test_a_change_of_the_spec_during_a_run_is_done_after_it(shop: Shop) -> None:
    shop.migrate(SLOW)
    shop.until(at_work)
    shop.migrate(SLOW, {"version": "2", "up": "CREATE TABLE two ();", "down": "DROP TABLE two;"})
    waiting = shop.until(lambda found: found["status"]["observedGeneration"] == 2)
    assert conditions(waiting)["Ready"] == "False WaitingForRun"
    status = shop.settled()
    assert status["version"] == "2"
    assert shop.versions() == ["1", "2"]


def test_kubectl_wait_never_returns_between_a_change_and_its_completion(shop: Shop) -> None:
    """Sample every 100 ms what `kubectl wait --for=condition=Ready` decides by."""
    first = {"version": "1", "up": "CREATE TABLE t ();", "down": "DROP TABLE t;"}
    wanted = {"version": ""}
    wrong: list[object] = []
    done = threading.Event()

    def sample() -> None:
        while not done.wait(0.1):
            version = wanted["version"]
            found = shop.get()
            status = found.get("status", {})
            ready = any(item["type"] == "Ready" and item["status"] == "True" for item in status.get("conditions", []))
            seen = status.get("observedGeneration") == found["metadata"]["generation"]
            if ready and seen and found["spec"].get("version") == version and status.get("version") != version:
                wrong.append(status)

    shop.migrate(first, version="1")
    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        second = {"version": "2", "up": "SELECT pg_sleep(1);", "down": "SELECT pg_sleep(1);"}
        for version in ("1", "2", "1", "2", "0"):
            wanted["version"] = version
            shop.migrate(first, second, version=version)
            shop.kubectl("wait", "--for=condition=Ready", "sm/shop", "--timeout=60s")
            assert shop.get()["status"]["version"] == version
    finally:
        done.set()
        sampler.join()
    assert wrong == []


def test_a_deleted_migration_leaves_the_schema_and_the_history(shop: Shop) -> None:
    script = {"version": "1", "up": "CREATE TABLE kept ();", "down": "DROP TABLE kept;"}
    shop.migrate(script)
    shop.settled()
    shop.kubectl("delete", "sm", "shop", "--timeout=30s")
    assert shop.versions() == ["1"]
    shop.migrate(script, version="0")
    assert shop.settled()["version"] == "0"


def test_a_target_that_appears_later_is_used(shop: Shop) -> None:
    shop.kubectl("delete", "tdb", "shop")
    shop.migrate(SLOW | {"up": "CREATE TABLE t ();"})
    assert conditions(shop.settled())["Stalled"] == "True TargetNotFound"
    shop.apply(database())
    shop.until(lambda found: "Stalled" not in conditions(found["status"]))
    assert conditions(shop.settled())["Ready"] == "True Applied"


def suspend(shop: Shop, *, on: bool) -> None:
    shop.kubectl("patch", "sm", "shop", "--type=merge", "-p", f'{{"spec": {{"suspend": {str(on).lower()}}}}}')


def test_a_run_is_suspended_in_the_middle_and_goes_on_when_it_may(shop: Shop) -> None:
    fast = {"version": "1", "up": "CREATE TABLE fast ();", "down": "DROP TABLE fast;"}
    slow = {"version": "2", "up": "CREATE TABLE slow (); SELECT pg_sleep(20);", "down": "DROP TABLE slow;"}
    shop.migrate(fast, slow)
    shop.until(lambda found: at_work(found) and shop.versions() == ["1"])
    suspend(shop, on=True)
    suspended = shop.until(lambda found: found.get("status", {}).get("state") == "Suspended")
    assert conditions(suspended)["Ready"] == "False Suspended"
    assert not {"Reconciling", "Stalled"} & conditions(suspended).keys()
    assert (suspended["runs"][0]["outcome"], suspended["runs"][0]["failures"]) == ("Stopped", 0)
    assert shop.versions() == ["1"]
    assert shop.query("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'schema-operator%'") == [(0,)]
    shop.kubectl("patch", "sm", "shop", "--type=merge", "-p", '{"metadata": {"annotations": {"a": "b"}}}')
    suspend(shop, on=False)
    status = shop.settled()
    assert conditions(status)["Ready"] == "True Applied"
    assert shop.versions() == ["1", "2"]
    suspend(shop, on=True)
    kept = shop.until(lambda found: found["status"]["observedGeneration"] == found["metadata"]["generation"])
    assert conditions(kept)["Ready"] == "True Applied"
    assert kept["runs"] == status["runs"]
