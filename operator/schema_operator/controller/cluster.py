"""The only caller of the Kubernetes API besides kopf's watches: plain data in, plain data out.

Status is written by server-side apply with one field manager, so that what is no longer said disappears. Reads go to
the API server and not to a cache: a decision made on a stale copy could start a run twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self
from urllib.parse import quote

import msgspec

from schema_operator.api.model import API_VERSION, GROUP
from schema_operator.controller.connection import CONFLICT, NOT_FOUND, ApiError, Connection

FIELD_MANAGER = "schema-operator"
REQUEST_SECONDS = 30.0
LOG_SECONDS = 3.0
"""A log comes from a node, which may be gone, and nothing is decided upon it."""
LEASE_SECONDS = 5.0
"""A request that takes longer is better tried again before the Lease runs out."""
PAGE = 200
"""Objects a page of a long list: metadata may hold a copy of the scripts (kubectl's annotation)."""
_ANYTHING = "application/json, */*"
_METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_LEASES = "/apis/coordination.k8s.io/v1"
_LIST_OF_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_OURS = f"/apis/{GROUP}/{API_VERSION}"


class Cluster:
    """A connection to the API server."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @classmethod
    def connect(cls) -> Self:
        """Connect as the pod's service account, or else as the current kubeconfig says; from within an event loop."""
        return cls(Connection.open())

    async def close(self) -> None:
        """Close the connections."""
        await self._connection.close()

    async def serves_our_kinds(self) -> bool:
        """Tell whether the CustomResourceDefinitions are installed."""
        found = await self._read(_OURS)
        served = {item["name"] for item in (found or {}).get("resources", ())}
        return {"schemamigrations", "targetdatabases", "migrationapprovals"} <= served

    async def migration(self, namespace: str, name: str) -> dict[str, Any] | None:
        """Read a SchemaMigration; None where there is none."""
        return await self._read(f"{_OURS}/namespaces/{namespace}/schemamigrations/{quote(name)}")

    async def target(self, namespace: str, name: str) -> dict[str, Any] | None:
        """Read a TargetDatabase; None where there is none."""
        return await self._read(f"{_OURS}/namespaces/{namespace}/targetdatabases/{quote(name)}")

    async def targets(self, namespace: str | None) -> list[dict[str, Any]]:
        """List the TargetDatabases of a namespace, or of all."""
        place = f"/namespaces/{namespace}" if namespace is not None else ""
        return await self._list(f"{_OURS}{place}/targetdatabases")

    async def migrations(self, namespace: str) -> list[dict[str, Any]]:
        """List the SchemaMigrations of a namespace."""
        return await self._list(f"{_OURS}/namespaces/{namespace}/schemamigrations")

    async def migration_versions(self, namespace: str | None) -> dict[tuple[str, str], str]:
        """Give the resource version of every SchemaMigration of a namespace, or of all, by namespace and name."""
        place = f"/namespaces/{namespace}" if namespace is not None else ""
        query, found = [("limit", str(PAGE))], {}
        while True:
            page = _decoded(
                await self._call("GET", f"{_OURS}{place}/schemamigrations", query, accept=_LIST_OF_METADATA)
            )
            for item in page["items"] or ():  # null where there is none
                meta = item["metadata"]
                found[meta["namespace"], meta["name"]] = str(meta["resourceVersion"])
            following = page["metadata"].get("continue")
            if not following:
                return found
            query = [("limit", str(PAGE)), ("continue", following)]

    async def approvals(self, namespace: str) -> list[dict[str, Any]]:
        """List the MigrationApprovals of a namespace."""
        return await self._list(f"{_OURS}/namespaces/{namespace}/migrationapprovals")

    async def has_migration(self, namespace: str, name: str) -> bool:
        """Tell whether there is a SchemaMigration of that name, without reading its scripts."""
        path = f"{_OURS}/namespaces/{namespace}/schemamigrations/{quote(name)}"
        return await self._read(path, _METADATA_ONLY) is not None

    async def config_map(self, namespace: str, name: str) -> dict[str, Any] | None:
        """Read a ConfigMap; None where there is none."""
        return await self._read(f"/api/v1/namespaces/{namespace}/configmaps/{quote(name)}")

    async def config_map_version(self, namespace: str, name: str) -> str | None:
        """Give the resource version of a ConfigMap without its data; None where there is none."""
        found = await self._read(f"/api/v1/namespaces/{namespace}/configmaps/{quote(name)}", _METADATA_ONLY)
        return None if found is None else str(found["metadata"]["resourceVersion"])

    async def jobs(self, namespace: str, selector: str) -> list[dict[str, Any]]:
        """List Jobs by label."""
        return await self._list(f"/apis/batch/v1/namespaces/{namespace}/jobs", selector)

    async def unfinished_jobs(self, namespace: str | None, selector: str) -> list[dict[str, Any]]:
        """List the Jobs by label that have not succeeded, of all namespaces where none is given."""
        where = f"/namespaces/{namespace}" if namespace else ""
        return await self._list(f"/apis/batch/v1{where}/jobs", selector, [("fieldSelector", "status.successful=0")])

    async def pods(self, namespace: str, selector: str) -> list[dict[str, Any]]:
        """List pods by label."""
        return await self._list(f"/api/v1/namespaces/{namespace}/pods", selector)

    async def create_job(self, manifest: Mapping[str, Any]) -> bool:
        """Create a Job; give False where one of that name exists already."""
        return await self._create(f"/apis/batch/v1/namespaces/{manifest['metadata']['namespace']}/jobs", manifest)

    async def delete_job(self, namespace: str, name: str) -> None:
        """Delete a Job and its pods; one that is gone already is fine."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        try:
            await self._call("DELETE", f"/apis/batch/v1/namespaces/{namespace}/jobs/{quote(name)}", body=body)
        except ApiError as error:
            if error.status != NOT_FOUND:
                raise

    async def stop_job(self, namespace: str, name: str) -> None:
        """Let a Job stop its pod and stay; one that is gone already is fine."""
        try:
            await self._call(
                "PATCH",
                f"/apis/batch/v1/namespaces/{namespace}/jobs/{quote(name)}",
                [("fieldManager", FIELD_MANAGER)],
                {"spec": {"suspend": True}},
                content_type="application/merge-patch+json",
            )
        except ApiError as error:
            if error.status != NOT_FOUND:
                raise

    async def is_ending(self, namespace: str) -> bool:
        """Tell whether a namespace is being deleted or gone; asked by what it lets one create, as a trial."""
        about = {"kind": "Namespace", "name": namespace, "namespace": namespace}
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{FIELD_MANAGER}-", "namespace": namespace},
            "involvedObject": about,
        }
        try:
            await self._call("POST", f"/api/v1/namespaces/{namespace}/events", [("dryRun", "All")], event)
        except ApiError as error:
            if error.status == NOT_FOUND or error.ending:
                return True
            raise
        return False

    async def set_finalizers(self, meta: Mapping[str, str], finalizers: Sequence[str]) -> str:
        """Write the finalizers of a SchemaMigration as last seen at `resourceVersion`; give the new one.

        Raises `ApiError` with 409 where it has changed since, 404 where it is gone, and 422 where it is being deleted
        and a finalizer is new.
        """
        body = {"metadata": {"resourceVersion": meta["resourceVersion"], "finalizers": list(finalizers)}}
        answer = await self._call(
            "PATCH",
            f"{_OURS}/namespaces/{meta['namespace']}/schemamigrations/{quote(meta['name'])}",
            [("fieldManager", FIELD_MANAGER)],
            body,
            content_type="application/merge-patch+json",
            accept=_METADATA_ONLY,
        )
        return str(_decoded(answer)["metadata"]["resourceVersion"])

    async def create_event(self, manifest: Mapping[str, Any]) -> bool:
        """Create an Event; give False where the same has been told already."""
        return await self._create(f"/api/v1/namespaces/{manifest['metadata']['namespace']}/events", manifest)

    async def lease(self, namespace: str, name: str) -> dict[str, Any] | None:
        """Read a Lease; None where there is none."""
        return await self._read(f"{_LEASES}/namespaces/{namespace}/leases/{quote(name)}", seconds=LEASE_SECONDS)

    async def create_lease(self, manifest: Mapping[str, Any]) -> bool:
        """Create a Lease; give False where one of that name exists already."""
        return await self._create(f"{_LEASES}/namespaces/{manifest['metadata']['namespace']}/leases", manifest)

    async def replace_lease(self, manifest: Mapping[str, Any]) -> bool:
        """Write a Lease that was read; give False where it has changed since."""
        meta = manifest["metadata"]
        path = f"{_LEASES}/namespaces/{meta['namespace']}/leases/{quote(meta['name'])}"
        try:
            await self._call("PUT", path, body=manifest, seconds=LEASE_SECONDS)
        except ApiError as error:
            if error.status == CONFLICT:
                return False
            raise
        return True

    async def apply_migration_status(self, meta: Mapping[str, str], status: Mapping[str, Any]) -> str:
        """Write the whole status of a SchemaMigration; see `_apply_status`."""
        return await self._apply_status("SchemaMigration", "schemamigrations", meta, status)

    async def apply_target_status(self, meta: Mapping[str, str], status: Mapping[str, Any]) -> None:
        """Write the whole status of a TargetDatabase; see `_apply_status`."""
        await self._apply_status("TargetDatabase", "targetdatabases", meta, status)

    async def log_tail(self, namespace: str, pod: str, container: str, lines: int) -> str:
        """Read the end of a container's log."""
        query = [("container", container), ("tailLines", str(lines))]
        path = f"/api/v1/namespaces/{namespace}/pods/{quote(pod)}/log"
        return (await self._call("GET", path, query, seconds=LOG_SECONDS)).decode(errors="replace")

    async def _apply_status(self, kind: str, plural: str, meta: Mapping[str, str], status: Mapping[str, Any]) -> str:
        """Write a status that was decided upon the object at `resourceVersion`; give the new one.

        `meta` has namespace, name and resourceVersion. Raises `ApiError` with 409 where the object has changed since,
        or is another of the same name (a uid alone is not compared when a subresource is applied), and 404 where it is
        gone.
        """
        body = {"apiVersion": f"{GROUP}/{API_VERSION}", "kind": kind, "metadata": dict(meta), "status": status}
        query = [("fieldManager", FIELD_MANAGER), ("force", "true")]
        answer = await self._call(
            "PATCH",
            f"{_OURS}/namespaces/{meta['namespace']}/{plural}/{quote(meta['name'])}/status",
            query,
            body,
            content_type="application/apply-patch+yaml",
            accept=_METADATA_ONLY,
        )
        return str(_decoded(answer)["metadata"]["resourceVersion"])

    async def _read(
        self, path: str, accept: str = _ANYTHING, *, seconds: float = REQUEST_SECONDS
    ) -> dict[str, Any] | None:
        try:
            return dict(_decoded(await self._call("GET", path, accept=accept, seconds=seconds)))
        except ApiError as error:
            if error.status == NOT_FOUND:
                return None
            raise

    async def _list(
        self, path: str, selector: str | None = None, also: Sequence[tuple[str, str]] = ()
    ) -> list[dict[str, Any]]:
        query = [*([("labelSelector", selector)] if selector else []), *also]
        return list(_decoded(await self._call("GET", path, query))["items"] or ())

    async def _create(self, path: str, manifest: Mapping[str, Any]) -> bool:
        try:
            await self._call("POST", path, [("fieldManager", FIELD_MANAGER)], manifest)
        except ApiError as error:
            if error.status == CONFLICT and error.reason == "AlreadyExists":
                return False
            raise
        return True

    async def _call(
        self,
        method: str,
        path: str,
        query: list[tuple[str, str]] | None = None,
        body: Mapping[str, Any] | None = None,
        *,
        content_type: str = "application/json",
        accept: str = _ANYTHING,
        seconds: float = REQUEST_SECONDS,
    ) -> bytes:
        return await self._connection.request(
            method, path, query or (), body, content_type=content_type, accept=accept, seconds=seconds
        )


def _decoded(answer: bytes) -> Any:
    try:
        return msgspec.json.decode(answer)
    except msgspec.DecodeError as error:
        raise ApiError(
            0, "NotJson", "the answer is not from an API server; something stands between, perhaps a proxy"
        ) from error
