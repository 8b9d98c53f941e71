"""What the controller costs when there is nothing to do.

Memory with 100 migrations that are Ready, and writes to the API.

Writes are counted by the API server's own metrics for the kinds the controller may write, over two minutes, which is
two of its rounds over everything.

python -m benchmarks.controller_idle [migrations, 100]
"""

from __future__ import annotations

import base64
import re
import sys
import time

import psycopg
import yaml
from benchmarks.apply_to_ready import NAMESPACE, SERVER, Manifest, manifest_of
from dev import release
from dev.cluster.kubectl import Cluster
from dev.cluster.provider import provider
from dev.postgres import pod
from psycopg import sql

DATABASES = 10
IDLE_SECONDS = 120
PATIENCE = 900
WRITES = re.compile(
    r'^apiserver_request_total\{.*resource="(schemamigrations|targetdatabases|jobs|events)".*verb="(POST|PUT|PATCH|APPLY|DELETE)"'
    r".*\} (?P<count>\S+)$",
    re.MULTILINE,
)


def main() -> None:
    """Print the controller's memory and the writes."""
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    cluster = provider("test")
    cluster.create()
    release.install(cluster)
    cluster.kubectl(
        "apply", "-f", "-", input=yaml.safe_dump(manifest_of("v1", "Namespace", NAMESPACE, namespaced=False))
    )
    pod.start(cluster, SERVER)
    with cluster.port_forward("svc/postgres", 5432, "-n", NAMESPACE) as port:
        for number in range(DATABASES):
            with psycopg.connect(SERVER.uri(f"127.0.0.1:{port}"), autocommit=True) as connection:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(f"idle{number}")))
    objects = [item for number in range(DATABASES) for item in _database(f"idle{number}")]
    objects += [_migration(number) for number in range(wanted)]
    cluster.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(objects))
    _wait(cluster, wanted)
    time.sleep(30)  # until the last Events are written
    before = writes(cluster)
    time.sleep(IDLE_SECONDS)
    written = writes(cluster) - before
    memory = cluster.kubectl("-n", "schema-operator", "exec", "deploy/schema-operator", "--", "cat", "/proc/1/status")
    resident = int(re.findall(r"VmRSS:\s+(\d+) kB", memory)[0]) / 1024
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
    print(
        f"{wanted} migrations Ready: controller {resident:.0f} MiB resident, {written:.0f} writes in {IDLE_SECONDS} s"
    )


def _database(name: str) -> list[Manifest]:
    secret = manifest_of("v1", "Secret", name)
    uri = SERVER.uri().rpartition("/")[0] + f"/{name}"
    secret["data"] = {"uri": base64.b64encode(uri.encode()).decode()}
    target = manifest_of("schema-operator.dev/v1alpha1", "TargetDatabase", name)
    target["spec"] = {"connection": {"uriSecret": {"name": name, "key": "uri"}}}
    return [secret, target]


def _migration(number: int) -> Manifest:
    found = manifest_of("schema-operator.dev/v1alpha1", "SchemaMigration", f"idle-{number}")
    script = {
        "version": str(number + 1),
        "up": f"CREATE TABLE t{number} (); -- {'x' * 2000}",
        "down": f"DROP TABLE t{number}",
    }
    found["spec"] = {"database": {"name": f"idle{number % DATABASES}"}, "scripts": {"inline": [script]}}
    return found


def _wait(cluster: Cluster, wanted: int) -> None:
    deadline = time.monotonic() + PATIENCE
    path = '{.items[*].status.conditions[?(@.type=="Ready")].status}'
    while cluster.kubectl("-n", NAMESPACE, "get", "sm", "-o", f"jsonpath={path}").split().count("True") < wanted:
        if time.monotonic() > deadline:
            raise SystemExit(f"not Ready within {PATIENCE} s")
        time.sleep(2)


def writes(cluster: Cluster) -> float:
    """Give how often the API server has changed one of the kinds that the controller may write."""
    return sum(float(found["count"]) for found in WRITES.finditer(cluster.kubectl("get", "--raw", "/metrics")))


if __name__ == "__main__":
    main()
