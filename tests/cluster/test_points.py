"""The operator is killed at named points of a run, and another one goes on: in the end all is as without that.

tests/unit/controller/test_crashes.py does so around every call, with an API server that is a few dictionaries. Here are
the real one and a real kubelet, and the run goes on meanwhile as it does.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from dev.cluster.kubectl import Cluster

from support.operator import PATIENCE, Shop, conditions, database, kubectl_json, new_shop
from support.points import Asked, Controllers, Point, controllers

FIRST = {"version": "1", "up": "CREATE TABLE first ();", "down": "DROP TABLE first; SELECT pg_sleep(0.5);"}
SECOND = {"version": "2", "up": "CREATE TABLE second (); SELECT pg_sleep(0.5);", "down": "DROP TABLE second;"}
# So that the pod is still at work for a while when the last version is committed.
AFTERWARDS = {"name": "afterwards", "sql": "SELECT true FROM pg_sleep(0.5)", "when": "AfterCommit"}
ROWS = "SELECT version, description, script_name, checksum, applied_by FROM schema_operator.schema_versions"
TOLD = "SELECT event, version, actor, owner FROM schema_operator.events"
SLEEPS = """
    SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep')
       AND (SELECT count(*) = {} FROM schema_operator.schema_versions)
"""
PASSING = {"startedAt", "finishedAt", "lastTransitionTime", "inspectedAt", "historySeenAt", "work"}
DIGESTS = {"historyDigest", "digest"}
"""Of what the owner's name is part of, and that is another each time."""


@dataclass(frozen=True)
class Moment:
    """When the operator is killed: around a request of its own, or when a query says so."""

    request: Callable[[Asked], bool] | None = None
    before: bool = False
    query: str | None = None
    later: bool = False
    """Whether the next one comes only when the run has ended."""
    untold: frozenset[str] = frozenset()
    """Events that are lost: the status was written before them, and says the same."""


def patches(kind: str, part: str, wanted: Callable[[dict[str, Any]], bool]) -> Callable[[Asked], bool]:
    """Find the request that writes the status, or the metadata, of our object of a kind."""
    end = f"/{kind}/shop/status" if part == "status" else f"/{kind}/shop"
    return lambda asked: asked.method == "PATCH" and asked.path.endswith(end) and wanted(asked.body.get(part, {}))


def creates(kind: str) -> Callable[[Asked], bool]:
    return lambda asked: asked.method == "POST" and asked.path.endswith(f"/{kind}")


def sees_pending_pod(asked: Asked) -> bool:
    pods = asked.answer["items"] if asked.method == "GET" and asked.path.endswith("/pods") and asked.answer else []
    return any(pod["status"]["phase"] == "Pending" for pod in pods)


MARKED = patches("schemamigrations", "metadata", lambda meta: bool(meta["finalizers"]))
FREED = patches("schemamigrations", "metadata", lambda meta: not meta["finalizers"])
RUN_SHOWN = patches("schemamigrations", "status", lambda status: "currentRun" in status)
END_SHOWN = patches("schemamigrations", "status", lambda status: "currentRun" not in status)
TARGET_TOLD = patches("targetdatabases", "status", lambda status: bool(status.get("runs")))

APPLYING = {
    "before anything is written": Moment(MARKED, before=True),
    "the finalizer is written": Moment(MARKED),
    "the Job is created": Moment(creates("jobs"), later=True),
    "the run is shown": Moment(RUN_SHOWN),
    "the pod is pending": Moment(sees_pending_pod),
    "in the middle of a statement": Moment(query=SLEEPS.format(1)),
    "all is committed and the pod still works": Moment(query=SLEEPS.format(2)),
    "before the target is told": Moment(TARGET_TOLD, before=True),
    "the target is told": Moment(TARGET_TOLD),
    "the end is shown": Moment(END_SHOWN, untold=frozenset({"Applied"})),
    "before the finalizer is taken away": Moment(FREED, before=True),
    "the finalizer is taken away": Moment(FREED),
}
ROLLING_BACK = {
    "the Job is created": Moment(creates("jobs")),
    "in the middle of a statement": Moment(query=SLEEPS.format(3), later=True),
    "the target is told": Moment(TARGET_TOLD),
    "the end is shown": Moment(END_SHOWN, untold=frozenset({"RolledBack"})),
}


@pytest.fixture(scope="module")
def operators(operator: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controllers]:
    with controllers(operator, tmp_path_factory.mktemp("way")) as found:
        yield found


@pytest.fixture
def place(operators: Controllers, shop: Shop) -> Shop:
    """Give a shop in which nothing happens but what the test asks for."""
    assert operators
    shop.apply(database(inspection={"suspend": True}))
    return shop


@pytest.fixture(scope="module")
def undisturbed(operators: Controllers, operator: Cluster, server_port: int) -> Iterator[list[dict[str, Any]]]:
    """Give what there is when all was applied, and when all was rolled back, without a disturbance."""
    assert operators
    with new_shop(operator, server_port) as shop:
        shop.apply(database(inspection={"suspend": True}))
        found = []
        for act in (apply, roll_back):
            act(shop)
            found.append(end(shop))
        yield found


def apply(shop: Shop) -> None:
    shop.migrate(FIRST, SECOND, verify=[AFTERWARDS])


def roll_back(shop: Shop) -> None:
    shop.migrate(FIRST, SECOND, verify=[AFTERWARDS], version="0")


def end(shop: Shop) -> dict[str, Any]:
    """Wait until nothing is left to do; give all there is, but for times and names that are of this time only."""
    shop.settled()
    shop.until(lambda found: not found["metadata"].get("finalizers"))
    events = kubectl_json(shop.cluster, "-n", shop.namespace, "get", "events")["items"]
    ours = [one for one in events if one["involvedObject"]["kind"] == "SchemaMigration"]
    jobs = sorted(shop.jobs(), key=lambda job: str(job["metadata"]["creationTimestamp"]))
    status, target = shop.get()["status"], shop.target()
    found = {
        "status": status,
        "target": target,
        "agreed": status["historyDigest"] == target["owners"][0]["digest"],
        "history": shop.query(f"{ROWS} ORDER BY applied_at"),
        "told": shop.query(f"{TOLD} ORDER BY id"),
        "jobs": [job["metadata"]["name"] for job in jobs],
        "pods": len(shop.pods()),
        "events": sorted([one["type"], one["reason"], one["count"], one["message"]] for one in ours),
    }
    text = json.dumps(_lasting(found)).replace(shop.namespace, "shop")
    for number, job in enumerate(found["jobs"], start=1):
        text = text.replace(job, f"run {number}")
    return dict(json.loads(text))


def _lasting(item: Any) -> Any:
    if isinstance(item, dict):
        return {key: _lasting(value) for key, value in item.items() if key not in PASSING | DIGESTS}
    return [_lasting(one) for one in item] if isinstance(item, list) else item


def disturbed(operators: Controllers, shop: Shop, moment: Moment, act: Callable[[Shop], None]) -> dict[str, Any]:
    """Do something, with an operator that is killed at a moment and another after it; give what there is in the end."""
    if moment.request is not None:
        operators.die_at(Point(_in(shop, moment.request), before=moment.before))
    act(shop)
    if moment.query is not None:
        until(shop, moment.query)
        operators.kill()
    else:
        assert operators.died(PATIENCE)
    if moment.later:
        shop.kubectl("wait", "--for=condition=complete", "jobs", "--all", "--timeout=60s")
    operators.begin()
    return end(shop)


def _in(shop: Shop, request: Callable[[Asked], bool]) -> Callable[[Asked], bool]:
    return lambda asked: f"/namespaces/{shop.namespace}/" in asked.path and request(asked)


def until(shop: Shop, query: str) -> None:
    """Wait until a query gives true; as long as its tables are not there, it does not."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            if shop.query(query) == [(True,)]:
                return
        except psycopg.errors.UndefinedTable:
            pass
        time.sleep(0.02)
    raise AssertionError(f"not within {PATIENCE} s: {query}")


def without(wanted: dict[str, Any], untold: frozenset[str]) -> dict[str, Any]:
    return wanted | {"events": [one for one in wanted["events"] if one[1] not in untold]}


def test_what_is_there_without_a_disturbance(undisturbed: list[dict[str, Any]]) -> None:
    applied, rolled_back = undisturbed
    assert conditions(applied["status"])["Ready"] == "True Applied"
    assert conditions(rolled_back["status"])["Ready"] == "True RolledBack"
    assert [row[0] for row in rolled_back["history"]] == ["1", "2", "2-rollback", "1-rollback"]
    assert (applied["jobs"], rolled_back["jobs"]) == (["run 1"], ["run 1", "run 2"])
    assert [one[1] for one in rolled_back["events"]] == ["Applied", "RolledBack"]
    assert rolled_back["target"]["version"] == "0"
    assert applied["agreed"]
    assert rolled_back["agreed"]


@pytest.mark.fault(31)
@pytest.mark.parametrize("moment", APPLYING.values(), ids=APPLYING.keys())
def test_it_ends_the_same_where_the_operator_is_killed(
    operators: Controllers, undisturbed: list[dict[str, Any]], place: Shop, moment: Moment
) -> None:
    found = disturbed(operators, place, moment, apply)
    assert found == without(undisturbed[0], moment.untold)


@pytest.mark.fault(31)
@pytest.mark.parametrize("moment", ROLLING_BACK.values(), ids=ROLLING_BACK.keys())
def test_a_rollback_ends_the_same_where_the_operator_is_killed(
    operators: Controllers, undisturbed: list[dict[str, Any]], place: Shop, moment: Moment
) -> None:
    apply(place)
    end(place)
    found = disturbed(operators, place, moment, roll_back)
    assert found == without(undisturbed[1], moment.untold)
