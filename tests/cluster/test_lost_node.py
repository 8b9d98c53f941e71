"""A node that is lost: its pods are gone without a word to the server, and another run takes over."""

import time
from typing import Any

import pytest

from support.lost_pod import take_network_away
from support.operator import Shop, conditions, database

UNTIL_GO = {
    "version": "1",
    "up": "CREATE TABLE slow (); DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM pg_class WHERE relname = 'go') "
    "LOOP PERFORM pg_sleep(0.1); END LOOP; END $$;",
}
FREE_SECONDS = 15.0
"""Within which the server has noticed, and its locks are free."""
SESSIONS = """
SELECT pid, state = 'active' AND query LIKE 'DO %' FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'schema-operator%'
"""


def at_work(found: dict[str, Any]) -> bool:
    return bool(found.get("status", {}).get("progress", {}).get("step") == "Applying")


@pytest.mark.fault(7)
def test_the_next_run_waits_until_the_server_has_noticed_and_two_never_write(shop: Shop) -> None:
    """The pod's network is taken away, then the pod: as Kubernetes does with those of a node that is lost."""
    shop.apply(database(policy={"retries": {"backoff": "1s"}}))
    shop.migrate(UNTIL_GO)
    shop.until(at_work)
    old = {pid for pid, _ in shop.query(SESSIONS)}
    assert len(old) == 2
    (pod,) = shop.pods()
    take_network_away(shop, pod["metadata"]["name"])
    shop.kubectl("delete", "pod", pod["metadata"]["name"], "--grace-period=0", "--force", "--wait=false")

    began = time.monotonic()
    beside: set[int] = set()
    while old & (here := dict(shop.query(SESSIONS))).keys():
        assert time.monotonic() - began < FREE_SECONDS
        assert {pid for pid, writes in here.items() if writes} <= old
        beside |= here.keys() - old
        time.sleep(0.1)
    assert beside, "the next run has not come while the sessions of the one before were there"

    shop.until(lambda _: any(writes for _, writes in shop.query(SESSIONS)))
    shop.query("CREATE TABLE go ()")
    status = shop.settled()
    assert conditions(status)["Ready"] == "True Applied"
    assert shop.versions() == ["1"]
    outcomes = [run["outcome"] for run in status["runs"]]
    assert (outcomes[0], outcomes[-1]) == ("Done", "Killed")
