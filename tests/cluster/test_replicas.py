"""Two controllers, of which one works."""

from collections.abc import Iterator

import pytest
from dev import release

from support.operator import Shop, conditions, kubectl_json

SLOW = {"version": "1", "up": "CREATE TABLE slow (); SELECT pg_sleep(5);"}
CONTROLLERS = ("-n", release.NAME, "get", "pods", "-l", "app.kubernetes.io/component=controller")


@pytest.fixture
def two(shop: Shop) -> Iterator[Shop]:
    """Install two controllers, and one again afterwards."""
    release.install(shop.cluster, watch_config_maps=True, more=["replicas=2", "leaderElection=true"])
    try:
        yield shop
    finally:
        release.install(shop.cluster, watch_config_maps=True)


def holder(shop: Shop) -> str:
    lease = kubectl_json(shop.cluster, "-n", release.NAME, "get", "lease", release.NAME)
    return str(lease["spec"].get("holderIdentity") or "")


@pytest.mark.fault(31)
def test_when_the_one_that_works_is_killed_the_other_goes_on(two: Shop) -> None:
    shop = two
    shop.migrate(SLOW)
    shop.until(lambda found: "currentRun" in found.get("status", {}))
    first = holder(shop)
    pods = [pod["metadata"]["name"] for pod in kubectl_json(shop.cluster, *CONTROLLERS)["items"]]
    assert first in pods
    shop.cluster.kubectl(
        *("-n", release.NAME, "delete", "pod", first, "--grace-period=0", "--force", "--wait=false"),
    )
    status = shop.settled()
    assert conditions(status)["Ready"] == "True Applied"
    assert holder(shop) not in {"", first}
    assert shop.versions() == ["1"]
    assert len(shop.jobs()) == len(status["runs"]) == 1
    started = [
        line
        for pod in kubectl_json(shop.cluster, *CONTROLLERS)["items"]
        for line in shop.cluster.kubectl("-n", release.NAME, "logs", pod["metadata"]["name"]).splitlines()
        if f'"{shop.namespace}"' in line and "started run" in line
    ]
    assert started == []
