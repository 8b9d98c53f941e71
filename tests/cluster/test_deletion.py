"""What is deleted: in the middle of a run, without an operator, with its namespace, and after a rollback."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from support.operator import Shop, conditions, message

SLOW = {"version": "2", "up": "CREATE TABLE slow (); SELECT pg_sleep(60);", "down": "DROP TABLE slow;"}
GOOD = {"version": "1", "up": "CREATE TABLE good ();", "down": "DROP TABLE good;"}
RUN = "schema-operator.dev/run"
ROLLBACK = "schema-operator.dev/rollback"


def at_work(found: dict[str, Any]) -> bool:
    return bool(found.get("status", {}).get("progress", {}).get("step") == "Applying")


def finalizers(shop: Shop, name: str = "shop") -> list[str]:
    return list(shop.get(name)["metadata"].get("finalizers", []))


def gone(shop: Shop, seconds: float, name: str = "shop") -> float:
    """Wait until a migration is gone; give the seconds that took."""
    began = time.monotonic()
    shop.kubectl("wait", "--for=delete", f"sm/{name}", f"--timeout={seconds:.0f}s")
    return time.monotonic() - began


def nobody_is_connected(shop: Shop) -> bool:
    ours = "datname = current_database() AND application_name LIKE 'schema-operator%'"
    return shop.query(f"SELECT count(*) FROM pg_stat_activity WHERE {ours}") == [(0,)]


@contextmanager
def without_operator(shop: Shop) -> Iterator[None]:
    scale = ("-n", "schema-operator", "scale", "deployment/schema-operator")
    shop.cluster.kubectl(*scale, "--replicas=0")
    shop.cluster.kubectl(
        "-n", "schema-operator", "wait", "--for=delete", "pod", "-l", "app.kubernetes.io/component=controller"
    )
    try:
        yield
    finally:
        shop.cluster.kubectl(*scale, "--replicas=1")
        shop.cluster.kubectl("-n", "schema-operator", "rollout", "status", "deployment/schema-operator")


def test_a_migration_deleted_in_the_middle_of_a_run_leaves_nothing_half_done(shop: Shop) -> None:
    shop.migrate(GOOD, SLOW)
    shop.until(lambda found: at_work(found) and shop.versions() == ["1"])
    assert finalizers(shop) == [RUN]
    shop.kubectl("delete", "sm", "shop", "--wait=false")
    assert gone(shop, 30) < 30
    assert nobody_is_connected(shop)
    assert shop.versions() == ["1"]
    assert shop.columns("slow") == set()
    assert shop.query("SELECT to_regclass('slow')") == [(None,)]


def test_what_is_at_rest_goes_without_the_operator_and_what_works_when_it_is_back(shop: Shop) -> None:
    shop.migrate(GOOD, name="done")
    shop.settled("done")
    assert finalizers(shop, "done") == []
    shop.migrate(SLOW)
    shop.until(at_work)
    with without_operator(shop):
        shop.kubectl("delete", "sm", "done", "--timeout=20s")
        shop.kubectl("delete", "sm", "shop", "--wait=false")
        assert not nobody_is_connected(shop)
        assert shop.get()["metadata"]["deletionTimestamp"]
    assert gone(shop, 30) < 30
    assert nobody_is_connected(shop)
    assert shop.versions() == ["1"]


def test_a_rollback_before_the_deletion_obeys_the_gates_needs_no_scripts_and_can_be_called_off(shop: Shop) -> None:
    shop.config_map("scripts", {"1_good.up.sql": GOOD["up"], "1_good.down.sql": GOOD["down"]})
    shop.migrate(scripts={"configMaps": [{"name": "scripts"}]}, deletionPolicy="Rollback")
    shop.settled()
    assert finalizers(shop) == [ROLLBACK]
    shop.kubectl("patch", "sm", "shop", "--type=merge", "-p", '{"spec": {"suspend": true}}')
    shop.kubectl("delete", "configmap", "scripts")
    shop.kubectl("delete", "sm", "shop", "--wait=false")
    held = shop.until(lambda found: "the deletion waits" in message(found["status"]))
    assert conditions(held)["Ready"] == "False Suspended"
    assert shop.versions() == ["1"]
    shop.kubectl("patch", "sm", "shop", "--type=merge", "-p", '{"spec": {"suspend": false}}')
    assert gone(shop, 30) < 30
    assert shop.versions() == ["1", "1-rollback"]
    # One that cannot be rolled back.
    shop.migrate({"version": "5", "up": "CREATE TABLE five ();"}, deletionPolicy="Rollback")
    shop.settled()
    shop.kubectl("delete", "sm", "shop", "--wait=false")
    refused = shop.until(lambda found: "Stalled" in conditions(found["status"]))
    assert conditions(refused)["Stalled"] == "True NotReversible"
    assert "the deletion waits" in message(refused)
    shop.kubectl("patch", "sm", "shop", "--type=merge", "-p", '{"spec": {"deletionPolicy": "Retain"}}')
    assert gone(shop, 10) < 10
    assert shop.versions()[-1] == "5"


def test_a_namespace_goes_in_the_middle_of_a_run_and_with_a_rollback_due(shop: Shop) -> None:
    shop.migrate(GOOD, name="due", deletionPolicy="Rollback")
    shop.settled("due")
    shop.migrate(SLOW)
    shop.until(at_work)
    shop.cluster.kubectl("delete", "namespace", shop.namespace, "--timeout=60s")
    assert nobody_is_connected(shop)
    assert shop.versions() == ["1"]
    shop.cluster.kubectl("create", "namespace", shop.namespace)
