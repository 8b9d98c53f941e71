"""What the controller costs with many resources, and how fast it still is.

The resources are Applied, as a cluster that has been there for long has them: the status is what the controller itself
would write, without a Job for each. Then the controller is started, and measured are: how long until it has answered a
migration that waited for it, behind all others in the listing; after another start, its memory, and what it writes
although there is nothing to do; and how long from a change of a spec to the Job, with that many resources around.

python -m benchmarks.scale [migrations, 1000]
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import yaml
from benchmarks.stage import NAMESPACE, Changes, Manifest, manifest_of, resident, watched, writes
from dev import release
from dev.cluster.kubectl import Cluster as Kubectl
from dev.cluster.provider import provider

from schema_operator.api.report import Action, Outcome, RunReport
from schema_operator.api.schema_migration import RunOutcome
from schema_operator.controller import names
from schema_operator.controller.cluster import Cluster
from schema_operator.controller.decide import decide
from schema_operator.controller.deciding.work import work_of
from schema_operator.controller.observation import Ended, Observation, Run, migration_of, target_of
from schema_operator.controller.source import see

TARGETS = 100
"""As many as there are changes: runs on one database wait for each other."""
AT_ONCE = 16
CHUNK = 500
CHANGES = 100
RATES = (2, 20)
"""Changes a second: a busy day, and a burst."""
SETTLING_SECONDS = 60
QUIET_SECONDS = 90
"""More than one round of the controller over everything."""
PATIENCE = 300
LAST = "zzz"
"""Name of the migration that waits: it is the last of the listing."""


def main() -> None:
    """Print the numbers."""
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    cluster = provider("test")
    cluster.create()
    os.environ["KUBECONFIG"] = str(cluster.kubeconfig_path)
    release.install(cluster)
    scale(cluster, 0)
    namespace = manifest_of("v1", "Namespace", NAMESPACE, namespaced=False)
    cluster.kubectl("apply", "-f", "-", input=yaml.safe_dump(namespace))
    objects = [_target(number) for number in range(TARGETS)] + [
        _migration(f"m-{one:05}", one * TARGETS // wanted) for one in range(wanted)
    ]
    for start in range(0, len(objects), CHUNK):
        create(cluster, *objects[start : start + CHUNK])
    asyncio.run(_applied())
    create(cluster, _migration(LAST, 0))
    begin = time.monotonic()
    scale(cluster, 1)
    _until_seen(cluster)
    answered = time.monotonic() - begin
    time.sleep(SETTLING_SECONDS)  # the targets have no status yet
    scale(cluster, 0)
    before = writes(cluster)
    told_before = len(cluster.kubectl("-n", NAMESPACE, "get", "events", "-o", "name").split())
    scale(cluster, 1)
    time.sleep(QUIET_SECONDS)
    idle = writes(cluster) - before
    told = len(cluster.kubectl("-n", NAMESPACE, "get", "events", "-o", "name").split()) - told_before
    memory = resident(cluster)
    print(f"{wanted} migrations, {TARGETS} targets")
    print(f"started, and answered the last of them: {answered:.1f} s (the pod's start included)")
    print(f"restarted with nothing to do: {idle:.0f} writes and {told} Events in {QUIET_SECONDS} s, {memory:.0f} MiB")
    for number, rate in enumerate(RATES):
        ordered = sorted(_changes(cluster, range(number, wanted, wanted // CHANGES), rate))
        print(
            f"spec changed to Job created, {len(ordered)} times, {rate} a second: p50 "
            f"{statistics.median(ordered) * 1000:.0f} ms, p99 {ordered[int(len(ordered) * 0.99) - 1] * 1000:.0f} ms, "
            f"worst {ordered[-1] * 1000:.0f} ms"
        )
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def scale(cluster: Kubectl, replicas: int) -> None:
    """Start or stop the controller, and wait until it has."""
    cluster.kubectl("-n", release.NAME, "scale", "deploy/schema-operator", f"--replicas={replicas}")
    if replicas == 0:
        selector = "app.kubernetes.io/component=controller"
        cluster.kubectl("-n", release.NAME, "wait", "pod", "-l", selector, "--for=delete", "--timeout=60s")


def create(cluster: Kubectl, *objects: Manifest) -> None:
    """Create objects."""
    cluster.kubectl("create", "-f", "-", input=yaml.dump_all(objects, Dumper=yaml.CSafeDumper))


def _target(number: int) -> Manifest:
    found = manifest_of("schema-operator.dev/v1alpha1", "TargetDatabase", f"t-{number}")
    # No node has this label: what is measured ends with the Job.
    runner = {"nodeSelector": {"benchmark": "none"}}
    # And no inspection, which would be tried again and again.
    inspection = {"suspend": True}
    connection = {"uriSecret": {"name": "none", "key": "uri"}}
    found["spec"] = {"connection": connection, "runner": runner, "inspection": inspection}
    return found


def _migration(name: str, target: int) -> Manifest:
    found = manifest_of("schema-operator.dev/v1alpha1", "SchemaMigration", name)
    scripts = [
        {"version": str(one), "up": f"CREATE TABLE t{one} (); -- {'x' * 500}", "down": f"DROP TABLE t{one}"}
        for one in range(1, 5)
    ]
    found["spec"] = {"database": {"name": f"t-{target}"}, "scripts": {"inline": scripts}}
    return found


async def _applied() -> None:
    """Write the status of migrations that are done, as the controller would."""
    api = Cluster.connect()
    seats = asyncio.Semaphore(AT_ONCE)
    targets = {name: await api.target(NAMESPACE, name) for name in (f"t-{one}" for one in range(TARGETS))}

    async def one(body: dict[str, Any]) -> None:
        async with seats:
            status = _status(body, targets[body["spec"]["database"]["name"]] or {})
            meta = {key: body["metadata"][key] for key in ("namespace", "name", "resourceVersion")}
            await api.apply_migration_status(meta, status)

    await asyncio.gather(*(one(body) for body in await api.migrations(NAMESPACE)))
    await api.close()


def _status(body: dict[str, Any], target: dict[str, Any]) -> dict[str, Any]:
    migration = migration_of(body)
    now = datetime.now(UTC)
    seen = Observation(
        migration=migration,
        target=target_of(target),
        scripts_digest=see(migration.spec, {}).digest,
        problem=None,
        runs=(),
        progress=None,
        now=now,
    )
    work = work_of(seen)
    assert work is not None
    report = RunReport(run="", outcome=Outcome.DONE, action=Action.APPLY, message="Applied 1 to 4.", version="4")
    run = Run(
        name=names.job_name(migration.name, migration.uid, work, 1),
        work=work,
        number=1,
        failures=0,
        generation=migration.generation,
        recheck=False,
        created=body["metadata"]["creationTimestamp"],
        started=True,
        pod=None,
        ended=Ended(outcome=RunOutcome.DONE, message=report.message, report=report),
        trouble=None,
    )
    decision = decide(replace(seen, runs=(run,)))
    assert decision.status is not None
    return dict(decision.status.model_dump(by_alias=True, exclude_none=True, mode="json"))


def _until_seen(cluster: Kubectl) -> None:
    deadline = time.monotonic() + PATIENCE
    while not cluster.kubectl("-n", NAMESPACE, "get", "sm", LAST, "-o", "jsonpath={.status.conditions[0].type}"):
        if time.monotonic() > deadline:
            raise SystemExit(f"not seen within {PATIENCE} s")
        time.sleep(0.1)


def _changes(cluster: Kubectl, numbers: range, rate: int) -> list[float]:
    """Change specs, so many a second; give the seconds until each Job is there."""
    created: dict[str, float] = {}
    with watched(cluster, "jobs", "--watch-only") as changes:
        reader = threading.Thread(target=_note, args=(changes, created), daemon=True)
        reader.start()
        begun = asyncio.run(_patched(numbers, rate))
        time.sleep(5.0)
    missing = begun.keys() - created.keys()
    if missing:
        raise SystemExit(f"no Job for {len(missing)} of {len(begun)} changes")
    return [created[name] - moment for name, moment in begun.items()]


def _note(changes: Changes, created: dict[str, float]) -> None:
    for moment, job in changes:
        created.setdefault(job["metadata"]["annotations"].get(names.MIGRATION, ""), moment)


async def _patched(numbers: range, rate: int) -> dict[str, float]:
    api = Cluster.connect()
    begun: dict[str, float] = {}
    for number in numbers:
        name = f"m-{number:05}"
        path = f"/apis/schema-operator.dev/v1alpha1/namespaces/{NAMESPACE}/schemamigrations/{name}"
        change = {"spec": {"description": f"changed at {time.time()}"}}
        # The product never changes a spec, so its Cluster has no call for it.
        await api._call("PATCH", path, body=change, content_type="application/merge-patch+json")  # noqa: SLF001
        begun[name] = time.monotonic()
        await asyncio.sleep(1 / rate)
    await api.close()
    return begun


if __name__ == "__main__":
    main()
