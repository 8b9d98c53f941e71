"""How long `kubectl apply` to Ready takes, beside a bare Job that does the same statement and nothing else.

Both run in the same cluster, on the same node, with the same image and the same database server, in turn. The bare Job
is the least there can be: a container that starts Python, connects with psycopg and runs the statement; its clock stops
when the Job is Complete. Ours stops when the SchemaMigration is Ready at its generation. Times are taken from a watch
that was open before the object was created. Also printed: how long until the first condition stands in the status.

python -m benchmarks.apply_to_ready [rounds, 10]
"""

from __future__ import annotations

import base64
import json
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import yaml
from dev import release
from dev.cluster.kubectl import Cluster
from dev.cluster.provider import provider
from dev.postgres import pod
from dev.postgres.pod import Pod
from psycopg import sql

Manifest = dict[str, Any]
NAMESPACE = "benchmark"
SERVER = Pod(namespace=NAMESPACE, user="bench", password="bench", database="bench")  # noqa: S106 (lives for minutes)
STATEMENT = "CREATE TABLE trivial (id int)"
BARE = "import os, psycopg; psycopg.connect(os.environ['URI'], autocommit=True).execute(os.environ['SQL'])"


def main() -> None:
    """Print both distributions, their medians and the ratio."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    cluster = provider("test")
    cluster.create()
    image = release.install(cluster)
    cluster.kubectl(
        "apply", "-f", "-", input=yaml.safe_dump(manifest_of("v1", "Namespace", NAMESPACE, namespaced=False))
    )
    pod.start(cluster, SERVER)
    times: dict[str, list[float]] = {"bare Job": [], "ours": [], "first condition": []}
    with cluster.port_forward("svc/postgres", 5432, "-n", NAMESPACE) as port:
        for _ in range(rounds):
            times["bare Job"].append(_bare_job(cluster, image, _new_database(port)))
            ready, first = _migration(cluster, _new_database(port))
            times["ours"].append(ready)
            times["first condition"].append(first)
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
    for name, found in times.items():
        listed = " ".join(f"{value:.2f}" for value in sorted(found))
        print(f"{name:16} p50 {statistics.median(found):.3f} s   {listed}")
    print(f"ours / bare Job: {statistics.median(times['ours']) / statistics.median(times['bare Job']):.2f}")


def _new_database(port: int) -> str:
    name = f"bench-{uuid.uuid4().hex[:8]}"
    with psycopg.connect(SERVER.uri(f"127.0.0.1:{port}"), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return name


def _uri(database: str) -> str:
    return SERVER.uri().rpartition("/")[0] + f"/{database}"


def _bare_job(cluster: Cluster, image: str, database: str) -> float:
    container = {
        "name": "bare",
        "image": image,
        "command": ["/opt/schema-operator/bin/python", "-c", BARE],
        "env": [{"name": "URI", "value": _uri(database)}, {"name": "SQL", "value": STATEMENT}],
    }
    job = manifest_of("batch/v1", "Job", database)
    job["spec"] = {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}
    with _watched(cluster, f"job/{database}") as changes:
        begin = _create(cluster, job)
        return _first(changes, _complete) - begin


def _migration(cluster: Cluster, database: str) -> tuple[float, float]:
    secret = manifest_of("v1", "Secret", database)
    secret["data"] = {"uri": base64.b64encode(_uri(database).encode()).decode()}
    target = manifest_of("schema-operator.dev/v1alpha1", "TargetDatabase", database)
    target["spec"] = {"connection": {"uriSecret": {"name": database, "key": "uri"}}}
    migration = manifest_of("schema-operator.dev/v1alpha1", "SchemaMigration", database)
    script = {"version": "1", "up": STATEMENT, "down": "DROP TABLE trivial"}
    migration["spec"] = {"database": {"name": database}, "scripts": {"inline": [script]}}
    cluster.kubectl("apply", "-f", "-", input=yaml.safe_dump_all([secret, target]))
    with _watched(cluster, f"sm/{database}") as changes:
        begin = _create(cluster, migration)
        first = _first(changes, lambda found: bool(found.get("status", {}).get("conditions")))
        return _first(changes, _ready) - begin, first - begin


def _create(cluster: Cluster, manifest: dict[str, Any]) -> float:
    """Create an object with a request of its own; give the time when the API server has it."""
    cluster.kubectl("create", "-f", "-", input=yaml.safe_dump(manifest))
    return time.monotonic()


@contextmanager
def _watched(cluster: Cluster, what: str) -> Iterator[Iterator[tuple[float, dict[str, Any]]]]:
    """Give the versions of an object as they come, each with the time it came."""
    kind, _, name = what.partition("/")
    select = f"--field-selector=metadata.name={name}"
    command = [str(cluster.kubectl_path), "-n", NAMESPACE, "get", kind, select, "--watch", "-o", "json"]
    environment = {"KUBECONFIG": str(cluster.kubeconfig_path)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    time.sleep(1.0)  # until the watch is open
    try:
        yield _objects(process)
    finally:
        process.terminate()
        process.wait()


def _objects(process: subprocess.Popen[str]) -> Iterator[tuple[float, dict[str, Any]]]:
    lines: list[str] = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        if line == "}\n":
            yield time.monotonic(), json.loads("".join(lines))
            lines = []


def _first(changes: Iterator[tuple[float, dict[str, Any]]], wanted: Callable[[dict[str, Any]], bool]) -> float:
    for moment, found in changes:
        if wanted(found):
            return moment
    raise RuntimeError("the watch ended")


def _complete(found: dict[str, Any]) -> bool:
    return any(item["type"] == "Complete" for item in found.get("status", {}).get("conditions", []))


def _ready(found: dict[str, Any]) -> bool:
    status = found.get("status", {})
    return any(item["type"] == "Ready" and item["status"] == "True" for item in status.get("conditions", []))


def manifest_of(version: str, kind: str, name: str, *, namespaced: bool = True) -> Manifest:
    """Give the beginning of a manifest."""
    place = {"namespace": NAMESPACE} if namespaced else {}
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, **place}}


if __name__ == "__main__":
    main()
