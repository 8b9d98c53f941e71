"""The Job of one run, as plain data. Pure: the same run gives the same manifest.

Choices, each with its reason:

* The request travels in an annotation of the pod and reaches the runner as a file (downward API): one object is created
  and none can be left over, and the kubelet need not ask the API server for anything before it starts the container.
* Secrets are mounted whole and as optional: the runner, not a pod that hangs, says which Secret or key is missing.
* `backoffLimit: 0` and no replacement: the controller counts attempts, because only it knows which of them count.
* The pod has no token, and nothing the "restricted" pod security standard forbids.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from schema_operator.api import request as requests
from schema_operator.api.duration import seconds
from schema_operator.api.model import API_VERSION, GROUP, SecretKeySelector
from schema_operator.api.request import (
    ArchivePolicy,
    BatchLimits,
    ConnectionFiles,
    DatabaseIdentity,
    LockLimits,
    Mode,
    PlannedWork,
    Requirements,
    RunRequest,
    ScriptFolder,
    SecretFile,
    TlsFiles,
    Verification,
)
from schema_operator.api.schema_migration import (
    BatchesSpec,
    DatabaseStatus,
    RequiresSpec,
    ScriptSource,
    VerificationSpec,
)
from schema_operator.api.size import in_bytes
from schema_operator.api.target_database import Archives, Connection, Locks, Runner
from schema_operator.controller import images, names, source
from schema_operator.controller.observation import CONTAINER, Migration, Target
from schema_operator.errors import Reason, Refused

ROOT = "/run/schema-operator"
IMAGE_FOLDER = f"{ROOT}/image"
USER = 65532
"""User and group of the image: `nonroot` of the distroless images, a convention."""
TERMINATION_GRACE_SECONDS = 30
FINISHED_JOB_SECONDS = 7 * 24 * 3600
"""A net only: the controller deletes Jobs when it has recorded newer ones."""
PACKED_REQUEST_LIMIT = 200_000
"""Characters. All annotations of an object may have 262,144 bytes together (apimachinery,
TotalAnnotationSizeLimitB)."""
DEFAULT_RESOURCES = {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """The decision to start a run."""

    name: str
    work: str
    number: int
    failures: int
    """Failures counted at this work before this run."""
    recheck: bool
    """Whether this run only looks again at what made the migration Stalled."""
    scripts_digest: str
    only_forward: bool = False
    """Whether the run may not roll anything back, because nothing new is asked for."""
    emergency: str | None = None
    """Why it begins although no maintenance window is open."""
    scripts_image: str | None = None
    """The image the scripts are in, with its digest, where that is known."""
    mode: Mode = Mode.RUN
    planned: PlannedWork | None = None
    """The plan it keeps to, where one was made."""
    approved_by: str | None = None
    """Who approved that plan, where somebody had to."""

    @property
    def status_mode(self) -> Mode | None:
        """The mode as the status has it, where most runs have none."""
        return Mode.PLAN if self.mode is Mode.PLAN else None


def request_of(migration: Migration, target: Target, start: Start) -> RunRequest:
    """Say what the runner is to do."""
    spec, policy = migration.spec, target.spec.policy
    owner = requests.Resource(
        namespace=migration.namespace, name=migration.name, uid=migration.uid, generation=migration.generation
    )
    return RunRequest(
        run=start.name,
        actor=start.approved_by or owner.owner,
        resource=owner,
        connection=connection_files(target),
        inline=source.inline_of(spec.scripts),
        folders=_folders(spec.scripts),
        # Of an image the controller has seen nothing that could be compared.
        scripts_digest=None if migration.undo or spec.scripts.image is not None else start.scripts_digest,
        version=spec.version,
        description=spec.description,
        emergency=start.emergency,
        verify=tuple(_verification(item) for item in spec.verify or ()),
        out_of_order=policy.out_of_order,
        checksums=policy.checksums,
        locks=_lock_limits(policy.locks),
        archives=_archive_policy(policy.archives),
        variables=source.variables_of(spec),
        requires=_requirements(spec.requires),
        baseline=spec.baseline,
        allow=tuple(spec.allow or ()),
        batches=_batch_limits(spec.batches),
        undo=migration.undo,
        expected=_known_database(migration.status.database),
        accepted=DatabaseIdentity.parse(migration.accepts) if migration.accepts else None,
        mode=start.mode,
        planned=start.planned,
        only_forward=start.only_forward,
    )


def _known_database(database: DatabaseStatus | None) -> DatabaseIdentity | None:
    if database is None:
        return None
    return DatabaseIdentity(system_identifier=database.system_identifier or "", name=database.name)


def _folders(scripts: ScriptSource) -> tuple[ScriptFolder, ...]:
    if scripts.image is not None:
        return (ScriptFolder(path=IMAGE_FOLDER, label=images.label_of(scripts.image)),)
    return tuple(ScriptFolder(path=f"{ROOT}/scripts/{name}", label=name) for name in source.config_map_names(scripts))


def _lock_limits(locks: Locks) -> LockLimits:
    return LockLimits(
        max_stall_seconds=seconds(locks.max_stall),
        give_up_seconds=seconds(locks.give_up_after),
        show_queries=locks.show_queries,
    )


def _archive_policy(archives: Archives) -> ArchivePolicy:
    return ArchivePolicy(
        mode=archives.mode,
        max_bytes=in_bytes(archives.max_size),
        above=archives.above,
        keep_seconds=seconds(archives.keep),
    )


def _batch_limits(batches: BatchesSpec | None) -> BatchLimits:
    """Give the limits that are said; what is absent is as the runner has it."""
    if batches is None:
        return BatchLimits()
    durations = {
        "target_seconds": batches.target_time,
        "pause_seconds": batches.pause,
        "max_lag_seconds": batches.max_replication_lag,
        "long_transaction_seconds": batches.long_transaction,
    }
    sizes = {"min_size": batches.min_size, "max_size": batches.max_size}
    given: dict[str, Any] = {name: seconds(text) for name, text in durations.items() if text is not None}
    return BatchLimits(**given | {name: size for name, size in sizes.items() if size is not None})


def _requirements(requires: RequiresSpec | None) -> Requirements:
    if requires is None:
        return Requirements()
    return Requirements(versions=tuple(requires.versions or ()), extensions=tuple(requires.extensions or ()))


def _verification(item: VerificationSpec) -> Verification:
    found = Verification(name=item.name, sql=item.sql)
    if item.expect is not None:
        found = msgspec.structs.replace(found, expect=item.expect)
    if item.when is not None:
        found = msgspec.structs.replace(found, when=item.when)
    return found


def manifest(migration: Migration, target: Target, start: Start, default_image: str) -> dict[str, Any]:
    """Give the Job of a run; raises `Refused(TooLarge)` when inline scripts do not fit the request."""
    packed = requests.pack(request_of(migration, target, start))
    if len(packed) > PACKED_REQUEST_LIMIT:
        raise Refused(
            Reason.TOO_LARGE,
            f"spec.scripts.inline is {len(packed)} characters after compression; {PACKED_REQUEST_LIMIT} are possible; "
            "move the scripts to ConfigMaps or into an image, and use spec.scripts.configMaps or spec.scripts.image",
        )
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": start.name,
            "namespace": migration.namespace,
            "labels": _labels(migration, start),
            "annotations": _annotations(migration, start),
            "ownerReferences": [
                {
                    "apiVersion": f"{GROUP}/{API_VERSION}",
                    "kind": "SchemaMigration",
                    "name": migration.name,
                    "uid": migration.uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            "completions": 1,
            "parallelism": 1,
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            "activeDeadlineSeconds": target.spec.runner.active_deadline_seconds,
            "ttlSecondsAfterFinished": FINISHED_JOB_SECONDS,
            "template": pod(
                target,
                default_image,
                packed,
                labels=_labels(migration, start),
                annotations={names.MIGRATION: migration.name},
                scripts=migration.spec.scripts,
                scripts_image=start.scripts_image,
            ),
        },
    }


def _annotations(migration: Migration, start: Start) -> dict[str, str]:
    approved = {names.APPROVED_BY: start.approved_by} if start.approved_by is not None else {}
    planning = {names.MODE: start.mode.value} if start.mode is Mode.PLAN else {}
    return {
        names.MIGRATION: migration.name,
        names.NUMBER: str(start.number),
        names.FAILURES: str(start.failures),
        names.GENERATION: str(migration.generation),
        names.RECHECK: "true" if start.recheck else "false",
        **planning,
        **approved,
    }


def _labels(migration: Migration, start: Start) -> dict[str, str]:
    return {
        names.MANAGED_BY: names.OPERATOR,
        names.COMPONENT: "runner",
        names.MIGRATION_UID: migration.uid,
        names.WORK: start.work,
    }


def pod(
    target: Target,
    default_image: str,
    packed: str,
    *,
    labels: dict[str, str],
    annotations: dict[str, str],
    scripts: ScriptSource | None = None,
    scripts_image: str | None = None,
) -> dict[str, Any]:
    """Give the pod in which a runner does what a packed request asks for.

    It has the scripts that are not in the request; `scripts_image` is the image they are in, where its digest is known.
    """
    runner = target.spec.runner
    volumes, mounts = _volumes(target, scripts)
    image = runner.image or default_image
    alike: dict[str, Any] = {
        "resources": _resources(runner),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": TERMINATION_GRACE_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": CONTAINER,
                "image": image,
                "args": ["run", "--request", f"{ROOT}/request/request"],
                "terminationMessagePolicy": "File",
                "volumeMounts": mounts,
                **alike,
            }
        ],
        "volumes": volumes,
    }
    copied = scripts.image if scripts is not None else None
    if copied is not None:
        spec["initContainers"] = images.containers(copied, scripts_image, image, alike)
    if copied is not None and copied.pull_secrets is not None:
        spec["imagePullSecrets"] = [{"name": secret.name} for secret in copied.pull_secrets]
    if runner.service_account_name is not None:
        spec["serviceAccountName"] = runner.service_account_name
    if runner.node_selector is not None:
        spec["nodeSelector"] = dict(runner.node_selector)
    if runner.tolerations is not None:
        spec["tolerations"] = [item.model_dump(by_alias=True, exclude_none=True) for item in runner.tolerations]
    return {
        "metadata": {
            "labels": {**(runner.labels or {}), **labels},
            "annotations": {**(runner.annotations or {}), **annotations, names.REQUEST: packed},
        },
        "spec": spec,
    }


def _resources(runner: Runner) -> dict[str, Any]:
    if runner.resources is None:
        return DEFAULT_RESOURCES
    return runner.resources.model_dump(by_alias=True, exclude_none=True)


def _volumes(target: Target, scripts: ScriptSource | None) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    field = f"metadata.annotations['{names.REQUEST}']"
    volumes: list[dict[str, Any]] = [
        {"name": "request", "downwardAPI": {"items": [{"path": "request", "fieldRef": {"fieldPath": field}}]}}
    ]
    mounts = [{"name": "request", "mountPath": f"{ROOT}/request", "readOnly": True}]
    for number, name in enumerate(_secret_names(target.spec.connection)):
        # 0440 with fsGroup: libpq refuses a client key that others can read.
        volumes.append(
            {"name": f"secret-{number}", "secret": {"secretName": name, "optional": True, "defaultMode": 0o440}}
        )
        mounts.append({"name": f"secret-{number}", "mountPath": _secret_folder(name), "readOnly": True})
    for number, name in enumerate(source.config_map_names(scripts) if scripts is not None else ()):
        volumes.append({"name": f"scripts-{number}", "configMap": {"name": name, "optional": True}})
        mounts.append({"name": f"scripts-{number}", "mountPath": f"{ROOT}/scripts/{name}", "readOnly": True})
    if scripts is not None and scripts.image is not None:
        volumes += images.volumes()
        mounts.append(images.mount(IMAGE_FOLDER))
    return volumes, mounts


def _selectors(connection: Connection) -> tuple[SecretKeySelector | None, ...]:
    tls = connection.tls
    parts = (connection.uri_secret, connection.user_secret, connection.password_secret)
    return parts + ((tls.ca_secret, tls.cert_secret, tls.key_secret) if tls else ())


def _secret_names(connection: Connection) -> list[str]:
    return sorted({selector.name for selector in _selectors(connection) if selector is not None})


def _secret_folder(name: str) -> str:
    return f"{ROOT}/secrets/{name}"


def connection_files(target: Target) -> ConnectionFiles:
    """Say where a pod finds what it needs to connect."""
    connection, tls = target.spec.connection, target.spec.connection.tls

    def file(selector: SecretKeySelector | None) -> SecretFile | None:
        return None if selector is None else _secret_file(target.namespace, selector)

    return ConnectionFiles(
        uri=file(connection.uri_secret),
        host=connection.host,
        port=connection.port,
        database=connection.database,
        user=file(connection.user_secret),
        password=file(connection.password_secret),
        tls=TlsFiles(
            mode=tls.mode.value if tls and tls.mode else None,
            ca=file(tls.ca_secret) if tls else None,
            certificate=file(tls.cert_secret) if tls else None,
            key=file(tls.key_secret) if tls else None,
        ),
        role=connection.role,
    )


def _secret_file(namespace: str, selector: SecretKeySelector) -> SecretFile:
    return SecretFile(secret=f"{namespace}/{selector.name}", key=selector.key, folder=_secret_folder(selector.name))
