"""The operator is killed at named points of a run, and another one goes on: in the end all is as without that.

tests/unit/controller/test_crashes.py does so around every call, with an API server that is a few dictionaries. Here are
the real one and a real kubelet, and the run goes on meanwhile as it does.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
from dev.cluster.kubectl import Cluster

from support.gates import passes, shut, until_at_gate, with_gates
from support.operator import PATIENCE, Shop, conditions, database, kubectl_json, new_shop
from support.points import Asked, Controllers, Point, Stage, stage

FIRST = {"version": "1", "up": "CREATE TABLE first ();", "down": f"DROP TABLE first; {passes(3)};"}
SECOND = {"version": "2", "up": f"CREATE TABLE second (); {passes(1)};", "down": "DROP TABLE second;"}
VERIFY = {"name": "afterwards", "sql": passes(2), "when": "AfterCommit"}
ROWS = "SELECT version, description, script_name, checksum, applied_by FROM schema_operator.schema_versions"
TOLD = "SELECT event, version, actor, owner FROM schema_operator.events"
PASSING = {"startedAt", "finishedAt", "lastTransitionTime", "inspectedAt", "historySeenAt", "work"}
DIGESTS = {"historyDigest", "digest"}
"""Of what the owner's name is part of, and that is another each time."""


@dataclass(frozen=True)
class Moment:
    """When the operator is killed: around a request of its own, where a run is at a gate, or, without either, never."""

    request: Callable[[Asked], bool] | None = None
    before: bool = False
    gate: int | None = None
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
    "in the middle of a statement": Moment(gate=1),
    "all is committed and the pod still works": Moment(gate=2),
    "before the target is told": Moment(TARGET_TOLD, before=True),
    "the target is told": Moment(TARGET_TOLD),
    "the end is shown": Moment(END_SHOWN, untold=frozenset({"Applied"})),
    "before the finalizer is taken away": Moment(FREED, before=True),
    "the finalizer is taken away": Moment(FREED),
}
ROLLING_BACK = {
    "the Job is created": Moment(creates("jobs")),
    "in the middle of a statement": Moment(gate=3, later=True),
    "the target is told": Moment(TARGET_TOLD),
    "the end is shown": Moment(END_SHOWN, untold=frozenset({"RolledBack"})),
}
AT_ONCE = 3
"""Lives that go on beside each other: most of the time each waits for a pod."""

Act = tuple[str, Moment]


@pytest.mark.fault(31)
def test_it_ends_the_same_at_whatever_point_the_operator_is_killed(
    operator: Cluster, server_port: int, tmp_path: Path
) -> None:
    with stage(operator, tmp_path) as on, ThreadPoolExecutor(AT_ONCE) as pool:

        def begin(*acts: Act) -> Any:
            return acts, pool.submit(live, on, operator, server_port, acts)

        _, undisturbed = begin(("never", Moment()), ("never", Moment()))
        pairs = zip_longest(APPLYING.items(), ROLLING_BACK.items())
        lives = [begin(*(act for act in acts if act is not None)) for acts in pairs]
    applied, rolled_back = undisturbed.result()
    assert conditions(applied["status"])["Ready"] == "True Applied"
    assert conditions(rolled_back["status"])["Ready"] == "True RolledBack"
    assert [row[0] for row in rolled_back["history"]] == ["1", "2", "2-rollback", "1-rollback"]
    assert (applied["jobs"], rolled_back["jobs"]) == (["run 1"], ["run 1", "run 2"])
    assert [one[1] for one in rolled_back["events"]] == ["Applied", "RolledBack"]
    assert rolled_back["target"]["version"] == "0"
    assert applied["agreed"]
    assert rolled_back["agreed"]
    for acts, life in lives:
        untold: frozenset[str] = frozenset()
        for (point, moment), found, wanted in zip(acts, life.result(), undisturbed.result(), strict=False):
            untold |= moment.untold
            assert found == without(wanted, untold), f"killed at: {point}"


def live(on: Stage, cluster: Cluster, port: int, acts: tuple[Act, ...]) -> list[dict[str, Any]]:
    """Apply, then roll back where there is a second act; give what there is after each."""
    found = []
    with new_shop(cluster, port) as shop, on.controllers(shop.namespace) as operators:
        shop.apply(database(inspection={"suspend": True}))
        with_gates(shop)
        for version, (point, moment) in zip(("2", "0"), acts, strict=False):
            try:
                found.append(act(shop, operators, version, moment))
            except Exception as error:
                error.add_note(f"version {version}, killed at: {point}")
                raise
    return found


def act(shop: Shop, operators: Controllers, version: str, moment: Moment) -> dict[str, Any]:
    """Ask for a version; at the moment, kill the operator and start another; give what there is in the end."""
    if moment.request is None and moment.gate is None:
        ask(shop, version)
        return end(shop)
    if moment.request is not None:
        operators.die_at(Point(moment.request, before=moment.before))
        ask(shop, version)
        assert operators.dead.wait(PATIENCE)
    if moment.gate is not None:
        with shut(shop, moment.gate):
            ask(shop, version)
            until_at_gate(shop)
            operators.kill()
    if moment.later:
        shop.kubectl("wait", "--for=condition=complete", "jobs", "--all", "--timeout=60s")
    operators.begin()
    return end(shop)


def ask(shop: Shop, version: str) -> None:
    shop.migrate(FIRST, SECOND, version=version, verify=[VERIFY])


def end(shop: Shop) -> dict[str, Any]:
    """Wait until nothing is left to do; give all there is, but for what is another each time."""
    shop.kubectl("wait", "--for=condition=Ready", "sm/shop", f"--timeout={PATIENCE:.0f}s")
    shop.until(lambda found: not found["metadata"].get("finalizers"))
    events = kubectl_json(shop.cluster, "-n", shop.namespace, "get", "events")["items"]
    ours = [one for one in events if one["involvedObject"]["kind"] == "SchemaMigration"]
    jobs = sorted(shop.jobs(), key=lambda job: str(job["metadata"]["creationTimestamp"]))
    names = [job["metadata"]["name"] for job in jobs]
    status, target = shop.get()["status"], shop.target()
    found = {
        "status": status,
        "target": target,
        "agreed": status["historyDigest"] == target["owners"][0]["digest"],
        "history": shop.query(f"{ROWS} ORDER BY applied_at"),
        "told": shop.query(f"{TOLD} ORDER BY id"),
        "jobs": names,
        "pods": len(shop.pods()),
        "events": sorted([one["type"], one["reason"], one["count"], one["message"]] for one in ours),
    }
    text = json.dumps(lasting(found)).replace(shop.namespace, "shop")
    for number, name in enumerate(names, start=1):
        text = text.replace(name, f"run {number}")
    return dict(json.loads(text))


def lasting(item: Any) -> Any:
    if isinstance(item, dict):
        return {key: lasting(value) for key, value in item.items() if key not in PASSING | DIGESTS}
    return [lasting(one) for one in item] if isinstance(item, list) else item


def without(wanted: dict[str, Any], untold: frozenset[str]) -> dict[str, Any]:
    return wanted | {"events": [one for one in wanted["events"] if one[1] not in untold]}
