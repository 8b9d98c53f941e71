"""What is killed, deleted or meets another in the middle."""

import json
import random
import threading
import time
from typing import Any

import pytest

from support.operator import Shop, another, conditions, database, message, without_operator

OPERATOR = ("-n", "schema-operator")

SLOW = {"version": "1", "up": "CREATE TABLE slow (); SELECT pg_sleep(5);", "down": "DROP TABLE slow;"}
GO = "CREATE TABLE go ()"
COUNTED = {
    "version": "1",
    "up": "CREATE TABLE IF NOT EXISTS counted AS SELECT 0 AS times; UPDATE counted SET times = times + 1; "
    "DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM pg_class WHERE relname = 'go') LOOP PERFORM pg_sleep(0.1); "
    "END LOOP; END $$;",
}
"""Works until there is a table `go`, and counts how often it was committed."""


def at_work(found: dict[str, Any]) -> bool:
    return bool(found.get("status", {}).get("progress", {}).get("step") == "Applying")


def verifying(found: dict[str, Any]) -> bool:
    return bool(found.get("status", {}).get("progress", {}).get("step") == "Verifying")


@pytest.mark.fault(31)
def test_the_operator_is_deleted_in_the_middle_of_a_run(shop: Shop) -> None:
    shop.migrate(SLOW)
    shop.until(at_work)
    shop.cluster.kubectl("-n", "schema-operator", "delete", "pod", "-l", "app.kubernetes.io/component=controller")
    status = shop.settled()
    assert conditions(status)["Ready"] == "True Applied"
    assert len(shop.jobs()) == 1
    assert shop.versions() == ["1"]
    assert [run["outcome"] for run in status["runs"]] == ["Done"]


@pytest.mark.fault(1)
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


@pytest.mark.fault(39)
def test_the_job_is_deleted_in_the_middle_of_its_run(shop: Shop) -> None:
    shop.migrate(SLOW)
    shop.until(at_work)
    (job,) = shop.jobs()
    shop.kubectl("delete", "job", job["metadata"]["name"], "--wait=false")
    status = shop.settled()
    assert conditions(status)["Ready"] == "True Applied"
    assert shop.versions() == ["1"]


@pytest.mark.fault(39)
def test_the_job_is_gone_before_its_end_was_read(shop: Shop) -> None:
    """As its time to live takes it, where nobody is there to read it."""
    shop.migrate(COUNTED)
    shop.until(at_work)
    (job,) = shop.jobs()
    with without_operator(shop):
        shop.query(GO)
        shop.kubectl("wait", "--for=condition=Complete", f"job/{job['metadata']['name']}", "--timeout=60s")
        shop.kubectl("delete", "job", job["metadata"]["name"], "--cascade=foreground")
        assert shop.jobs() == shop.pods() == []
        assert shop.get()["status"]["currentRun"]["name"] == job["metadata"]["name"]
        assert conditions(shop.get()["status"])["Ready"] == "False Progressing"
    status = shop.settled()
    assert conditions(status)["Ready"] == "True Applied"
    assert (status["version"], shop.versions(), shop.query("TABLE counted")) == ("1", ["1"], [(1,)])
    assert [(run["outcome"], run.get("versions")) for run in status["runs"]] == [("Done", None), ("Killed", None)]


@pytest.mark.fault(36)
def test_a_change_of_the_spec_during_a_run_is_done_after_it(shop: Shop) -> None:
    shop.migrate(SLOW)
    shop.until(at_work)
    shop.migrate(SLOW, {"version": "2", "up": "CREATE TABLE two ();", "down": "DROP TABLE two;"})
    waiting = shop.until(lambda found: found["status"]["observedGeneration"] == 2)
    assert conditions(waiting)["Ready"] == "False WaitingForRun"
    assert waiting["currentRun"]["generation"] == 1
    status = shop.settled()
    assert status["version"] == "2"
    assert shop.versions() == ["1", "2"]
    runs = [(run["generation"], run["outcome"], run["versions"]) for run in status["runs"]]
    assert runs == [(2, "Done", ["2"]), (1, "Done", ["1"])]


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


@pytest.mark.fault(32)
def test_the_operator_and_the_runners_are_killed_together(shop: Shop) -> None:
    """One runner in the middle of a version, another between its COMMIT and its report."""
    shop.migrate(SLOW)
    with another(shop) as target:
        check = {"name": "slow", "sql": "SELECT pg_sleep(5) IS NOT NULL", "when": "AfterCommit"}
        shop.migrate(SLOW | {"up": "CREATE TABLE fast ();"}, name="done", database={"name": target}, verify=[check])
        shop.until(at_work)
        shop.until(verifying, "done")
        now = ("--grace-period=0", "--force", "--wait=false")
        shop.kubectl("delete", "pod", "-l", "app.kubernetes.io/component=runner", *now)
        shop.cluster.kubectl(*OPERATOR, "delete", "pod", "-l", "app.kubernetes.io/component=controller", *now)
        status, done = shop.settled(), shop.settled("done")
    assert conditions(status)["Ready"] == conditions(done)["Ready"] == "True Applied"
    assert shop.versions() == ["1"]
    assert [run.get("versions") for run in status["runs"]] == [["1"], None]
    assert (done["version"], [run.get("versions") for run in done["runs"]]) == ("1", [None, None])
    assert len(shop.jobs()) == len(status["runs"]) + len(done["runs"]) == 4


@pytest.mark.fault(31)
def test_the_operator_is_killed_again_and_again_while_several_runs_are_at_work(shop: Shop) -> None:
    seed = random.randrange(1_000_000)  # noqa: S311 (moments, not secrets)
    moments = random.Random(seed)  # noqa: S311 (the same)
    number = 4
    for one in range(1, number + 1):
        script = {"version": str(one), "up": f"CREATE TABLE t{one} (); SELECT pg_sleep(2);"}
        shop.apply(database(f"db{one}", policy={"outOfOrder": "Allow"}))
        shop.migrate(script, name=f"m{one}", database={"name": f"db{one}"})
    for _ in range(3):
        time.sleep(moments.uniform(0.0, 4.0))
        shop.cluster.kubectl(
            *(*OPERATOR, "delete", "pod", "-l", "app.kubernetes.io/component=controller"),
            *("--grace-period=0", "--force", "--wait=false"),
        )
    for one in range(1, number + 1):
        assert conditions(shop.settled(f"m{one}"))["Ready"] == "True Applied", f"seed {seed}"
    assert sorted(shop.versions()) == [str(one) for one in range(1, number + 1)], f"seed {seed}"
    jobs = [job["metadata"] for job in shop.jobs()]
    started = [(job["annotations"]["schema-operator.dev/migration"], job["name"]) for job in jobs]
    assert len({migration for migration, _ in started}) == len(started) == number, f"seed {seed}: {started}"


@pytest.mark.fault(2)
def test_an_eviction_is_no_failure_of_an_attempt(shop: Shop) -> None:
    """`kubectl drain` does the same for every pod of a node."""
    shop.apply(database(policy={"retries": {"limit": 0}}))
    shop.migrate(SLOW)
    shop.until(at_work)
    (pod,) = shop.pods()
    name = pod["metadata"]["name"]
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": shop.namespace},
    }
    path = f"/api/v1/namespaces/{shop.namespace}/pods/{name}/eviction"
    shop.kubectl("create", "--raw", path, "-f", "-", input=json.dumps(eviction))
    status = shop.settled()
    assert conditions(status)["Ready"] == "True Applied"
    assert status["runs"][0]["outcome"] == "Done"
    assert {run["failures"] for run in status["runs"]} == {0}
    assert len(status["runs"]) == 2
    assert shop.versions() == ["1"]


@pytest.mark.fault(6)
def test_a_runner_without_enough_memory_is_named_with_what_to_raise(shop: Shop) -> None:
    """It reads an answer of the server that is larger than its limit, in the middle of a version."""
    little = {"requests": {"memory": "100Mi"}, "limits": {"memory": "100Mi"}}
    shop.apply(database(policy={"retries": {"limit": 0}}, runner={"resources": little}))
    large = "SELECT repeat('x', 150000000);"
    shop.migrate({"version": "1", "up": "CREATE TABLE first ();"}, {"version": "2", "up": f"{SLOW['up']} {large}"})
    status = shop.settled()
    assert conditions(status)["Stalled"] == "True RetriesExhausted"
    assert status["runs"][0]["reason"] == "OOMKilled"
    for part in ("OOMKilled", "limits.memory"):
        assert part in message(status)
    assert shop.versions() == ["1"]
    assert shop.query("SELECT to_regclass('slow')") == [(None,)]
    shop.apply(database())
    shop.until(lambda found: conditions(found["status"])["Ready"] == "True Applied")
    assert shop.versions() == ["1", "2"]


@pytest.mark.fault(35)
def test_others_that_write_to_the_resource_all_the_time_lose_nothing(shop: Shop) -> None:
    """Each write makes what the controller has read out of date; the spec changes in the middle too."""
    done = threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        while not done.is_set():
            shop.kubectl("annotate", "sm", "shop", f"other={written}", "--overwrite")
            written += 1

    shop.migrate(SLOW)
    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:
        shop.until(at_work)
        shop.migrate(SLOW, {"version": "2", "up": "CREATE TABLE two ();"})
        status = shop.until(lambda found: found["status"].get("version") == "2")
    finally:
        done.set()
        for writer in writers:
            writer.join()
    assert written > 10
    status = shop.settled()
    found = shop.get()
    assert found["status"]["observedGeneration"] == found["metadata"]["generation"]
    assert found["metadata"]["annotations"]["other"]
    assert conditions(status)["Ready"] == "True Applied"
    assert [run["versions"] for run in status["runs"]] == [["2"], ["1"]]
    assert shop.versions() == ["1", "2"]
    assert len(shop.jobs()) == 2
