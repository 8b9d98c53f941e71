"""The operator in a real cluster, a real PostgreSQL beside it, and one namespace and one database a test."""

from __future__ import annotations

import base64
import json
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
import yaml
from dev import release
from dev.cluster.kubectl import Cluster
from dev.postgres import pod
from dev.postgres.pod import Pod
from psycopg import sql

PATIENCE = 120.0
"""Seconds to wait for what takes about four; only a failure takes longer."""
RUNS = "app.kubernetes.io/component=runner"
CANARY = "canary-7f3e9b"
"""Part of every password: a test greps for it."""

SERVER = Pod(namespace="postgres", user="owner", password=f"owner-{CANARY}", database="postgres")


def kubectl_json(cluster: Cluster, *arguments: str) -> Any:
    """Run kubectl and read what it prints as JSON."""
    return json.loads(cluster.kubectl(*arguments, "-o", "json"))


@dataclass(slots=True)
class Shop:
    """One namespace with a TargetDatabase `shop`, its Secret, and a database of its own."""

    cluster: Cluster
    namespace: str
    database: str
    port: int
    connections: ExitStack = field(default_factory=ExitStack)

    def kubectl(self, *arguments: str, **options: Any) -> str:
        """Run kubectl in the namespace."""
        return self.cluster.kubectl("-n", self.namespace, *arguments, **options)

    def apply(self, *manifests: dict[str, Any]) -> str:
        """Apply manifests as a user does."""
        return self.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(manifests))

    def refusal(self, manifest: dict[str, Any]) -> str:
        """Apply a manifest that the API server refuses; give what it says."""
        with pytest.raises(subprocess.CalledProcessError) as caught:
            self.kubectl("apply", "-f", "-", input=yaml.safe_dump(manifest), stderr=subprocess.STDOUT)
        return str(caught.value.output)

    def migrate(self, *scripts: dict[str, Any], name: str = "shop", **spec: Any) -> None:
        """Apply a SchemaMigration with inline scripts."""
        source = {} if "scripts" in spec else {"scripts": {"inline": list(scripts)}}
        self.apply(migration(name, **source, **spec))

    def get(self, name: str = "shop") -> dict[str, Any]:
        """Read a SchemaMigration."""
        return dict(kubectl_json(self.cluster, "-n", self.namespace, "get", "sm", name))

    def target(self, name: str = "shop") -> dict[str, Any]:
        """Read the status of a TargetDatabase."""
        return dict(kubectl_json(self.cluster, "-n", self.namespace, "get", "tdb", name).get("status", {}))

    def target_until(self, wanted: Callable[[dict[str, Any]], bool], patience: float = PATIENCE) -> dict[str, Any]:
        """Wait until `wanted` holds of the status of the TargetDatabase; give it."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            found = self.target()
            if wanted(found):
                return found
            time.sleep(0.1)
        raise AssertionError(f"not within {patience} s: {json.dumps(found, indent=1)}")

    def inspect(self) -> None:
        """Ask for an inspection of the TargetDatabase."""
        self.kubectl("annotate", "--overwrite", "tdb", "shop", f"schema-operator.dev/requested-at={time.time()}")

    def settled(self, name: str = "shop", patience: float = PATIENCE) -> dict[str, Any]:
        """Wait until a migration is Ready or Stalled at its newest generation; give its status."""
        return self.until(_settled, name, patience)

    def until(self, wanted: Any, name: str = "shop", patience: float = PATIENCE) -> dict[str, Any]:
        """Wait until `wanted` holds of a migration; give its status."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            found = self.get(name)
            if wanted(found):
                return dict(found["status"])
            time.sleep(0.1)
        raise AssertionError(f"not within {patience} s: {json.dumps(found.get('status'), indent=1)}")

    def jobs(self) -> list[dict[str, Any]]:
        """List the Jobs of runs in the namespace; inspections come and go by themselves."""
        return list(kubectl_json(self.cluster, "-n", self.namespace, "get", "jobs", "-l", RUNS)["items"])

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask the database."""
        with connect(self.port, self.database) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def versions(self) -> list[str]:
        """Give the rows of the history, oldest first."""
        return [row[0] for row in self.query("SELECT version FROM schema_operator.schema_versions ORDER BY applied_at")]

    def has_history(self) -> bool:
        """Say whether the database has a history with any row in it."""
        (row,) = self.query("SELECT to_regclass('schema_operator.schema_versions') IS NOT NULL")
        return bool(row[0]) and bool(self.versions())

    def columns(self, table: str) -> set[str]:
        """Name the columns of a table; none where it does not exist."""
        statement = (
            "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass('{}') AND attnum > 0 AND NOT attisdropped"
        )
        return {row[0] for row in self.query(statement.format(table))}

    def secret(self, name: str = "shop", **values: str) -> None:
        """Write a Secret."""
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        self.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data})

    def config_map(self, name: str, data: Mapping[str, str], binary: Mapping[str, bytes] | None = None) -> None:
        """Write a ConfigMap, whatever was in it before."""
        encoded = {key: base64.b64encode(value).decode() for key, value in (binary or {}).items()}
        manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
        self.kubectl("delete", "configmap", name, "--ignore-not-found")
        self.apply({**manifest, "data": data, "binaryData": encoded})

    def pods(self) -> list[dict[str, Any]]:
        """List the pods of runs in the namespace."""
        return list(kubectl_json(self.cluster, "-n", self.namespace, "get", "pods", "-l", RUNS)["items"])

    def has_no(self, text: str) -> None:
        """Look for a text in all the operator shows: statuses, events, Jobs, pods and logs."""
        shown = [self.kubectl("get", "sm,tdb", "-o", "jsonpath={.items[*].status}")]
        shown += [self.kubectl("get", "events,jobs,pods", "-o", "yaml", "--ignore-not-found")]
        shown += [self.kubectl("logs", pod["metadata"]["name"]) for pod in self.pods()]
        shown.append(self.cluster.kubectl("-n", "schema-operator", "logs", "deployment/schema-operator"))
        assert all(shown)
        assert all(text not in part for part in shown)

    def local_uri(self) -> str:
        """Give the URI of the database as this machine reaches it."""
        return self.uri(host=f"127.0.0.1:{self.port}")

    def uri(self, **parts: str) -> str:
        """Give the URI of the database as the runner reaches it, with parts replaced."""
        values = {"user": SERVER.user, "password": SERVER.password, "host": "postgres.postgres.svc:5432"}
        values |= {"database": self.database} | parts
        return "postgresql://{user}:{password}@{host}/{database}".format(**values)


def _settled(found: dict[str, Any]) -> bool:
    status = found.get("status", {})
    if status.get("observedGeneration") != found["metadata"]["generation"]:
        return False
    true = {item["type"] for item in status.get("conditions", []) if item["status"] == "True"}
    return bool({"Ready", "Stalled"} & true)


def conditions(status: dict[str, Any]) -> dict[str, str]:
    """Give each condition as `status reason`."""
    return {item["type"]: f"{item['status']} {item['reason']}" for item in status.get("conditions", [])}


def message(status: dict[str, Any], kind: str = "Ready") -> str:
    """Give the sentence of a condition."""
    return next(str(item["message"]) for item in status["conditions"] if item["type"] == kind)


def migration(name: str = "shop", **spec: Any) -> dict[str, Any]:
    """Give a SchemaMigration as plain data."""
    return {
        "apiVersion": "schema-operator.dev/v1alpha1",
        "kind": "SchemaMigration",
        "metadata": {"name": name},
        "spec": {"database": {"name": "shop"}, **spec},
    }


def database(name: str = "shop", connection: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """Give a TargetDatabase as plain data."""
    return {
        "apiVersion": "schema-operator.dev/v1alpha1",
        "kind": "TargetDatabase",
        "metadata": {"name": name},
        "spec": {"connection": connection or {"uriSecret": {"name": "shop", "key": "uri"}}, **spec},
    }


def connect(port: int, name: str) -> psycopg.Connection[tuple[Any, ...]]:
    """Connect to a database of the server through the forwarded port."""
    uri = f"postgresql://{SERVER.user}:{SERVER.password}@127.0.0.1:{port}/{name}"
    return psycopg.connect(uri, connect_timeout=10, autocommit=True)


@contextmanager
def without_operator(shop: Shop) -> Iterator[None]:
    """Take the operator away for a while."""
    namespace, selector = ("-n", release.NAME), ("-l", "app.kubernetes.io/component=controller")
    scale = (*namespace, "scale", f"deployment/{release.NAME}")
    shop.cluster.kubectl(*scale, "--replicas=0")
    shop.cluster.kubectl(*namespace, "wait", "--for=delete", "pod", *selector)
    try:
        yield
    finally:
        shop.cluster.kubectl(*scale, "--replicas=1")
        shop.cluster.kubectl(*namespace, "rollout", "status", f"deployment/{release.NAME}")


@contextmanager
def another(shop: Shop) -> Iterator[str]:
    """Give a TargetDatabase that leads to another database of the server."""
    name = f"{shop.database}-b"
    with connect(shop.port, "postgres") as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    shop.secret("other", uri=shop.uri(database=name))
    shop.apply(database("other", connection={"uriSecret": {"name": "other", "key": "uri"}}))
    yield "other"


@pytest.fixture(scope="session")
def operator(cluster: Cluster) -> Cluster:
    """Install the operator with its chart."""
    release.install(cluster, watch_config_maps=True)
    return cluster


@pytest.fixture(scope="session")
def server_port(cluster: Cluster) -> Iterator[int]:
    """Start PostgreSQL in the cluster; give the local port that leads to it."""
    cluster.kubectl("apply", "-f", "-", input="{apiVersion: v1, kind: Namespace, metadata: {name: postgres}}")
    pod.start(cluster, SERVER)
    with cluster.port_forward("svc/postgres", 5432, "-n", "postgres") as port:
        yield port


@contextmanager
def new_shop(operator: Cluster, server_port: int) -> Iterator[Shop]:
    """Give a namespace with a TargetDatabase and an empty database of its own."""
    name = f"shop-{uuid.uuid4().hex[:8]}"
    with connect(server_port, "postgres") as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    operator.kubectl("create", "namespace", name)
    found = Shop(operator, name, name, server_port)
    found.secret(uri=found.uri())
    found.apply(database())
    try:
        yield found
    finally:
        operator.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def shop(operator: Cluster, server_port: int) -> Iterator[Shop]:
    """Give a shop of its own to a test; see `new_shop`."""
    with new_shop(operator, server_port) as found:
        yield found
