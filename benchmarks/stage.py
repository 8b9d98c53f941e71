"""Where benchmarks of the controller play: a cluster with the product, a server with databases, and open watches."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
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
Changes = Iterator[tuple[float, Manifest]]
"""Versions of objects as they come, each with the time it came."""
NAMESPACE = "benchmark"
SERVER = Pod(namespace=NAMESPACE, user="bench", password="bench", database="bench")  # noqa: S106 (lives for minutes)
RUNNER = {"resources": {"requests": {"cpu": "1m", "memory": "1Mi"}}}
"""So that many fit on one node."""
WATCH_SECONDS = 1.0
"""Until a watch is open."""
WRITES = re.compile(
    r'^apiserver_request_total\{.*resource="(schemamigrations|targetdatabases|jobs)".*verb="(POST|PUT|PATCH|APPLY|DELETE)"'
    r".*\} (?P<count>\S+)$",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Stage:
    """A cluster with the product, and the port of its PostgreSQL server on this machine."""

    cluster: Cluster
    image: str
    port: int

    def new_database(self) -> str:
        """Make a database; give its name."""
        name = f"bench-{uuid.uuid4().hex[:8]}"
        with self.connect() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return name

    def connect(self, database: str = SERVER.database) -> psycopg.Connection[tuple[Any, ...]]:
        """Connect to a database of the server."""
        address = SERVER.uri(f"127.0.0.1:{self.port}").rpartition("/")[0]
        return psycopg.connect(f"{address}/{database}", autocommit=True)

    def apply(self, *manifests: Manifest) -> None:
        """Create or change objects."""
        self.cluster.kubectl("apply", "-f", "-", input=yaml.dump_all(manifests, Dumper=yaml.CSafeDumper))

    def create(self, *manifests: Manifest) -> float:
        """Create objects with a request of their own; give the time when the API server has them."""
        self.cluster.kubectl("create", "-f", "-", input=yaml.dump_all(manifests, Dumper=yaml.CSafeDumper))
        return time.monotonic()

    def watched(self, kind: str, name: str | None = None) -> AbstractContextManager[Changes]:
        """Give the versions of an object, or of all of a kind, as they come, those that are there first."""
        return watched(self.cluster, kind, *([f"--field-selector=metadata.name={name}"] if name else []), "--watch")


@contextmanager
def staged() -> Iterator[Stage]:
    """Give the stage; what was played is removed at the end, whatever that was."""
    cluster = provider("test")
    cluster.create()
    image = release.install(cluster)
    namespace = manifest_of("v1", "Namespace", NAMESPACE, namespaced=False)
    cluster.kubectl("apply", "-f", "-", input=yaml.safe_dump(namespace))
    try:
        pod.start(cluster, SERVER)
        with cluster.port_forward("svc/postgres", 5432, "-n", NAMESPACE) as port:
            yield Stage(cluster, image, port)
    finally:
        cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@contextmanager
def watched(cluster: Cluster, kind: str, *options: str) -> Iterator[Changes]:
    """Give the versions of objects of the benchmark's namespace as `kubectl get` with options tells of them."""
    command = [str(cluster.kubectl_path), "-n", NAMESPACE, "get", kind, *options, "-o", "json"]
    environment = {"KUBECONFIG": str(cluster.kubeconfig_path)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    time.sleep(WATCH_SECONDS)
    try:
        yield _objects(process)
    finally:
        process.terminate()
        process.wait()


def uri_of(database: str) -> str:
    """Give the address of a database for pods."""
    return SERVER.uri().rpartition("/")[0] + f"/{database}"


def manifest_of(version: str, kind: str, name: str, *, namespaced: bool = True) -> Manifest:
    """Give the beginning of a manifest."""
    place = {"namespace": NAMESPACE} if namespaced else {}
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, **place}}


def target_of(database: str, **spec: Any) -> list[Manifest]:
    """Give the Secret and the TargetDatabase of a database, of its name."""
    secret = manifest_of("v1", "Secret", database)
    secret["data"] = {"uri": base64.b64encode(uri_of(database).encode()).decode()}
    target = manifest_of("schema-operator.dev/v1alpha1", "TargetDatabase", database)
    target["spec"] = {"connection": {"uriSecret": {"name": database, "key": "uri"}}, **spec}
    return [secret, target]


def migration_of(name: str, *scripts: Manifest, database: str | None = None) -> Manifest:
    """Give a SchemaMigration with inline scripts."""
    migration = manifest_of("schema-operator.dev/v1alpha1", "SchemaMigration", name)
    migration["spec"] = {"database": {"name": database or name}, "scripts": {"inline": list(scripts)}}
    return migration


def first(changes: Changes, wanted: Callable[[Manifest], bool]) -> float:
    """Give when the first version came that is wanted."""
    return found(changes, wanted)[0]


def found(changes: Changes, wanted: Callable[[Manifest], bool]) -> tuple[float, Manifest]:
    """Give the first version that is wanted, and when it came."""
    for moment, body in changes:
        if wanted(body):
            return moment, body
    raise RuntimeError("the watch ended")


def condition(body: Manifest, kind: str) -> str | None:
    """Give the status of a condition."""
    items = body.get("status", {}).get("conditions", [])
    return next((str(item["status"]) for item in items if item["type"] == kind), None)


def ready(body: Manifest) -> bool:
    """Tell whether a SchemaMigration is Ready."""
    return condition(body, "Ready") == "True"


def complete(body: Manifest) -> bool:
    """Tell whether a Job is Complete."""
    return condition(body, "Complete") == "True"


def writes(cluster: Cluster) -> float:
    """Give how often the API server has changed one of the kinds that the controller may write, Events aside.

    Those are written by others too, for example of the controller's own pod.
    """
    return sum(float(one["count"]) for one in WRITES.finditer(cluster.kubectl("get", "--raw", "/metrics")))


def resident(cluster: Cluster) -> float:
    """Give the memory of the controller in MiB."""
    status = cluster.kubectl("-n", release.NAME, "exec", "deploy/schema-operator", "--", "cat", "/proc/1/status")
    return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) / 1024


def _objects(process: subprocess.Popen[str]) -> Changes:
    lines: list[str] = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        if line == "}\n":
            yield time.monotonic(), json.loads("".join(lines))
            lines = []
