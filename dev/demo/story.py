"""The story the demo tells: three releases of a shop's schema, one of them bad, and a way back."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import psycopg
from dev import release
from dev.cache import CHECKOUT
from dev.postgres import pod
from dev.postgres.pod import Pod

if TYPE_CHECKING:
    from dev.cluster.kubectl import Cluster

CLUSTER = "demo"
EXAMPLE = CHECKOUT / "examples/shop"
SHOP = Pod(namespace="shop")
PATIENCE = 180.0
"""Seconds a release may take before the demo gives up; a run takes about four."""


class StoryFailed(Exception):
    """The demo did not go as it should; the message says where."""


def tell(cluster: Cluster) -> None:
    """Set everything up and tell the story. Raises `StoryFailed` where the product does not do what the demo shows."""
    _chapter("Starting a cluster (6 minutes the first time on a machine, then seconds)")
    cluster.create()
    _chapter("Building the image and installing the operator with its chart (1 to 4 minutes the first time)")
    release.install(cluster)
    # A story that was told before leaves the shop's history behind; this one begins at the beginning.
    cluster.kubectl("delete", "namespace", "shop", "--ignore-not-found")
    cluster.kubectl("apply", "-f", str(EXAMPLE / "00-namespace.yaml"))
    _chapter("Starting a PostgreSQL server in namespace shop (half a minute the first time)")
    pod.start(cluster, SHOP)

    _chapter("Release 1.0.0: kubectl apply -f examples/shop/")
    print(cluster.kubectl("apply", "-f", str(EXAMPLE)), end="")
    _watch(cluster, ready=True)
    _chapter("Release 1.1.0 adds a column: spec.version is raised to 1.1.0")
    _wish(cluster, "1.1.0")
    _watch(cluster, ready=True)
    _chapter("Release 1.2.0 forgets something, and its verification says so: nothing of it must stay behind")
    _wish(cluster, "1.2.0")
    _watch(cluster, ready=False)
    _expect(cluster, ["1.0.0", "1.1.0"], {"id", "name", "price", "stock"})
    _verification(cluster)
    _chapter("Back to 1.0.0: spec.version is lowered, with the rollback SQL kept in the database")
    _wish(cluster, "1.0.0")
    _watch(cluster, ready=True)
    _expect(cluster, ["1.0.0", "1.1.0", "1.1.0-rollback"], {"id", "name", "price"})
    _summary(cluster)


def _wish(cluster: Cluster, version: str) -> None:
    patch = json.dumps({"spec": {"version": version}})
    print(f"$ kubectl -n shop patch sm shop --type=merge -p '{patch}'", flush=True)
    cluster.kubectl("-n", "shop", "patch", "sm", "shop", "--type=merge", "-p", patch)


def _watch(cluster: Cluster, *, ready: bool) -> None:
    """Show the status as it changes until it settles, and check that it settled as it should."""
    shown = ""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = _migration(cluster)
        conditions = {item["type"]: item for item in found.get("status", {}).get("conditions", [])}
        line = _line(found, conditions)
        if line != shown:
            print(f"  {line}", flush=True)
            shown = line
        if found["status"].get("observedGeneration") == found["metadata"]["generation"]:
            if "Stalled" in conditions and not ready:
                return
            if "Stalled" in conditions:
                raise StoryFailed(f"The migration is stalled: {conditions['Stalled']['message']}")
            if conditions.get("Ready", {}).get("status") == "True" and ready:
                return
        time.sleep(0.2)
    raise StoryFailed(f"The migration did not settle within {PATIENCE:.0f} seconds")


def _line(found: dict[str, Any], conditions: dict[str, Any]) -> str:
    status = found.get("status", {})
    ready = conditions.get("Ready", {})
    state, version = status.get("state", ""), status.get("version", "-")
    return f"{state:<12} version {version:<8} Ready={ready.get('status', ''):<6} {ready.get('message', '')}"


def _migration(cluster: Cluster) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cluster.kubectl("-n", "shop", "get", "sm", "shop", "-o", "json"))
    return found


def _expect(cluster: Cluster, versions: list[str], columns: set[str]) -> None:
    """Check in the database itself what the demo claims."""
    with cluster.port_forward("svc/postgres", 5432, "-n", "shop") as port, _connect(port) as connection:
        found = [row[0] for row in connection.execute(_VERSIONS)]
        there = {row[0] for row in connection.execute(_COLUMNS)}
    if found != versions or there != columns:
        raise StoryFailed(f"The database has versions {found}, columns {there}; expected {versions}, {columns}")
    print(f"  In the database: versions {', '.join(found)}; columns of product: {', '.join(sorted(there))}", flush=True)


_VERSIONS = "SELECT version FROM schema_operator.schema_versions ORDER BY applied_at"
_COLUMNS = "SELECT attname FROM pg_attribute WHERE attrelid = 'product'::regclass AND attnum > 0 AND NOT attisdropped"
_HISTORY = """SELECT version, to_char(applied_at, 'HH24:MI:SS'), script_name, left(checksum, 12), applied_by
              FROM schema_operator.schema_versions ORDER BY applied_at"""


def _connect(port: int) -> psycopg.Connection[tuple[Any, ...]]:
    return psycopg.connect(SHOP.uri(f"127.0.0.1:{port}"), connect_timeout=10)


def _verification(cluster: Cluster) -> None:
    for item in _migration(cluster)["status"].get("verification", []):
        found = f", found {item['found']}" if "found" in item else ""
        print(f"  {item['result']}: {item['name']} (expected {item.get('expected', 'no error')}{found})")


def _summary(cluster: Cluster) -> None:
    _chapter("What is there now")
    _show(cluster, "-n", "shop", "get", "sm,tdb")
    print("\nConditions of sm/shop:")
    for item in _migration(cluster)["status"]["conditions"]:
        print(f"  {item['type']:<12} {item['status']:<8} {item['reason']:<16} {item['message']}")
    print("\nVerification in the last run that made any:")
    _verification(cluster)
    print("\nschema_operator.schema_versions in the database:")
    with cluster.port_forward("svc/postgres", 5432, "-n", "shop") as port, _connect(port) as connection:
        for row in connection.execute(_HISTORY):
            print(
                "  "
                + "  ".join(f"{value or '':<{width}}" for value, width in zip(row, (16, 9, 34, 13, 10), strict=True))
            )
    print(f"""
Look around:
  export KUBECONFIG={cluster.kubeconfig_path}
  {cluster.kubectl_path} -n shop get sm,tdb,jobs,events
  {cluster.kubectl_path} -n shop get sm shop -o yaml
  {cluster.kubectl_path} -n shop patch sm shop --type=merge -p '{{"spec":{{"version":"1.1.0"}}}}'
Remove it all:
  make demo-down""")


def _show(cluster: Cluster, *arguments: str) -> None:
    print(f"$ kubectl {' '.join(arguments)}")
    print(cluster.kubectl(*arguments), end="")


def _chapter(title: str) -> None:
    print(f"\n== {title}", flush=True)
