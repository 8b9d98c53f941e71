"""What is deleted: in the middle of a run, without an operator, with its namespace, and after a rollback."""

import time
from typing import Any

import psycopg
import pytest

from support.operator import Shop, conditions, message, without_operator

SLOW = {"version": "2", "up": "CREATE TABLE slow (); SELECT pg_sleep(60);", "down": "DROP TABLE slow;"}
GOOD = {"version": "1", "up": "CREATE TABLE good (x int);", "down": "DROP TABLE good;"}
INDEX = {"version": "2", "up": "CREATE INDEX CONCURRENTLY good_x ON good (x);", "down": "DROP INDEX good_x;"}
INDEXES = "SELECT relname, indisvalid FROM pg_index JOIN pg_class ON oid = indexrelid WHERE indrelid = 'good'::regclass"
LEFT_SECONDS = 2.0
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


def connected(shop: Shop) -> int:
    ours = "datname = current_database() AND application_name LIKE 'schema-operator%'"
    return int(shop.query(f"SELECT count(*) FROM pg_stat_activity WHERE {ours}")[0][0])


def everybody_has_left(shop: Shop) -> bool:
    """Say whether the server has ended the sessions of runs, for which it has a moment after their end."""
    deadline = time.monotonic() + LEFT_SECONDS
    while connected(shop):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


@pytest.mark.fault(37)
def test_a_migration_deleted_in_the_middle_of_a_run_leaves_nothing_half_done(shop: Shop) -> None:
    shop.migrate(GOOD, SLOW)
    shop.until(lambda found: at_work(found) and shop.versions() == ["1"])
    assert finalizers(shop) == [RUN]
    shop.kubectl("delete", "sm", "shop", "--wait=false")
    assert gone(shop, 30) < 30
    assert everybody_has_left(shop)
    assert shop.versions() == ["1"]
    assert shop.columns("slow") == set()
    assert shop.query("SELECT to_regclass('slow')") == [(None,)]


@pytest.mark.fault(37)
def test_one_deleted_in_a_statement_that_no_transaction_may_hold_goes_on_when_it_is_created_again(shop: Shop) -> None:
    shop.migrate(GOOD)
    shop.settled()
    with psycopg.connect(shop.local_uri()) as holder:  # an index built concurrently waits for what is older
        holder.execute("LOCK TABLE good IN ROW EXCLUSIVE MODE")
        shop.migrate(GOOD, INDEX)
        shop.until(lambda _: shop.query(INDEXES) == [("good_x", False)])
        shop.kubectl("delete", "sm", "shop", "--wait=false")
        assert gone(shop, 30) < 30
        assert everybody_has_left(shop)
    assert shop.versions() == ["1"]
    shop.migrate(GOOD, INDEX)
    assert conditions(shop.settled())["Ready"] == "True Applied"
    assert (shop.versions(), shop.query(INDEXES)) == (["1", "2"], [("good_x", True)])


@pytest.mark.fault(37, 38)
def test_what_is_at_rest_goes_without_the_operator_and_what_works_when_it_is_back(shop: Shop) -> None:
    shop.migrate(GOOD, name="done")
    shop.settled("done")
    assert finalizers(shop, "done") == []
    shop.migrate(SLOW)
    shop.until(at_work)
    with without_operator(shop):
        shop.kubectl("delete", "sm", "done", "--timeout=20s")
        shop.kubectl("delete", "sm", "shop", "--wait=false")
        assert connected(shop)
        assert shop.get()["metadata"]["deletionTimestamp"]
    assert gone(shop, 30) < 30
    assert everybody_has_left(shop)
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


@pytest.mark.fault(37)
def test_a_namespace_goes_in_the_middle_of_a_run_and_with_a_rollback_due(shop: Shop) -> None:
    shop.migrate(GOOD, name="due", deletionPolicy="Rollback")
    shop.settled("due")
    shop.migrate(SLOW)
    shop.until(at_work)
    shop.cluster.kubectl("delete", "namespace", shop.namespace, "--timeout=60s")
    assert everybody_has_left(shop)
    assert shop.versions() == ["1"]
    shop.cluster.kubectl("create", "namespace", shop.namespace)
