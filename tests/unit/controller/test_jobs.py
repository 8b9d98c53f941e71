"""The Job of a run."""

import random
import string
from dataclasses import replace
from typing import Any

import pytest

from schema_operator.api import request as requests
from schema_operator.api.request import (
    AboveMaxSize,
    Acknowledgement,
    ArchiveMode,
    ArchivePolicy,
    BatchLimits,
    ChecksumPolicy,
    DatabaseIdentity,
    LockLimits,
    Mode,
    PlannedWork,
    Requirements,
    TransactionMode,
)
from schema_operator.api.schema_migration import SchemaMigrationSpec, SchemaMigrationStatus
from schema_operator.api.target_database import TargetDatabaseSpec
from schema_operator.controller import jobs, names
from schema_operator.controller.observation import migration_of, runs_of
from schema_operator.errors import Reason, Refused
from unit.controller.scenes import SPEC, migration, target

START = jobs.Start(name="shop-1", work="w", number=3, failures=2, recheck=False, scripts_digest="d")


def pod_spec(manifest: dict[str, Any]) -> dict[str, Any]:
    return dict(manifest["spec"]["template"]["spec"])


def at(connection: dict[str, Any], **spec: Any) -> Any:
    return replace(target(), spec=TargetDatabaseSpec.model_validate({"connection": connection, **spec}))


def test_the_pod_meets_the_restricted_standard_and_has_no_token() -> None:
    spec = pod_spec(jobs.manifest(migration(), target(), START, "image:1"))
    (container,) = spec["containers"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "env" not in container


def test_one_attempt_is_one_pod() -> None:
    spec = jobs.manifest(migration(), target(), START, "image:1")["spec"]
    assert spec["backoffLimit"] == 0
    assert spec["podReplacementPolicy"] == "Failed"
    assert spec["activeDeadlineSeconds"] == 86_400
    assert pod_spec({"spec": spec})["restartPolicy"] == "Never"


def test_the_request_travels_in_the_pod_and_can_be_read_back() -> None:
    manifest = jobs.manifest(migration(), target(), START, "image:1")
    packed = manifest["spec"]["template"]["metadata"]["annotations"][names.REQUEST]
    request = requests.unpack(packed.encode())
    assert request.run == "shop-1"
    assert request.version == "1.0.0"
    assert request.inline[0].up == "CREATE TABLE t ()"
    assert request.resource is not None
    assert request.resource.owner == "shop/shop"
    assert request.connection is not None
    assert request.connection.uri == requests.SecretFile(
        secret="shop/shop", key="uri", folder="/run/schema-operator/secrets/shop"
    )


def inline(**fields: Any) -> dict[str, Any]:
    return {"scripts": {"inline": [{"version": "1.0.0", "up": "SELECT 1", **fields}]}}


# What a resource or its target says: the specs, the field of the request, what the runner is told.
ASKED: list[tuple[str, dict[str, Any], dict[str, Any], str, Any]] = [
    ("out of order", {}, {"outOfOrder": "Allow"}, "out_of_order", requests.OutOfOrder.ALLOW),
    ("checksums", {}, {"checksums": "Warn"}, "checksums", ChecksumPolicy.WARN),
    (
        "locks",
        {},
        {"locks": {"maxStall": "1s500ms", "giveUpAfter": "2m", "showQueries": True}},
        "locks",
        LockLimits(max_stall_seconds=1.5, give_up_seconds=120.0, show_queries=True),
    ),
    (
        "archives",
        {},
        {"archives": {"mode": "Off", "maxSize": "3Mi", "above": "Skip", "keep": "1h"}},
        "archives",
        ArchivePolicy(mode=ArchiveMode.OFF, max_bytes=3 << 20, above=AboveMaxSize.SKIP, keep_seconds=3600.0),
    ),
    ("one rule of archives", {}, {"archives": {"maxSize": "7"}}, "archives", ArchivePolicy(max_bytes=7)),
    ("one limit of locks", {}, {"locks": {"maxStall": "5ms"}}, "locks", LockLimits(max_stall_seconds=0.005)),
    (
        "variables",
        {"variables": [{"name": "a", "value": "1"}, {"name": "b", "value": ""}]},
        {},
        "variables",
        {"a": "1", "b": ""},
    ),
    ("required versions", {"requires": {"versions": ["1"]}}, {}, "requires", Requirements(versions=("1",))),
    ("required extensions", {"requires": {"extensions": ["a"]}}, {}, "requires", Requirements(extensions=("a",))),
    ("baseline", {"baseline": "0.9"}, {}, "baseline", "0.9"),
    (
        "batches",
        {
            "batches": {
                "targetTime": "50ms",
                "pause": "1s",
                "maxReplicationLag": "1m",
                "longTransaction": "10m",
                "minSize": 5,
                "maxSize": 500,
            }
        },
        {},
        "batches",
        BatchLimits(
            target_seconds=0.05,
            pause_seconds=1.0,
            max_lag_seconds=60.0,
            long_transaction_seconds=600.0,
            min_size=5,
            max_size=500,
        ),
    ),
    ("one limit of batches", {"batches": {"maxSize": 500}}, {}, "batches", BatchLimits(max_size=500)),
    ("allow", {"allow": ["CopyData"]}, {}, "allow", (Acknowledgement.COPY_DATA,)),
    (
        "transaction",
        inline(transaction="Never"),
        {},
        "inline",
        (requests.InlineScript(version="1.0.0", up="SELECT 1", transaction=TransactionMode.NEVER),),
    ),
    ("no transaction", inline(), {}, "inline", (requests.InlineScript(version="1.0.0", up="SELECT 1"),)),
]


@pytest.mark.parametrize(
    ("spec", "policy", "field", "expected"), [line[1:] for line in ASKED], ids=[line[0] for line in ASKED]
)
def test_what_the_resources_say_reaches_the_runner(
    spec: dict[str, Any], policy: dict[str, Any], field: str, expected: Any
) -> None:
    asked = replace(migration(), spec=SchemaMigrationSpec.model_validate(SPEC | spec))
    connection = {"uriSecret": {"name": "s", "key": "k"}}
    request = jobs.request_of(asked, at(connection, policy=policy), START)
    assert getattr(request, field) == expected
    assert requests.unpack(requests.pack(request).encode()) == request
    assert jobs.request_of(migration(), at(connection), START) != request


def test_what_the_resources_do_not_say_is_what_a_request_says_by_itself() -> None:
    request = jobs.request_of(migration(), target(), START)
    bare = requests.RunRequest(run="r", actor="a")
    fields = ("archives", "checksums", "locks", "variables", "requires", "baseline", "allow", "batches", "out_of_order")
    assert [getattr(request, field) for field in fields] == [getattr(bare, field) for field in fields]


@pytest.mark.parametrize(
    "scripts", [SPEC["scripts"], {"configMaps": [{"name": "a"}]}, {"image": {"reference": "scripts:1", "path": "/s"}}]
)
def test_a_rollback_before_the_deletion_carries_no_scripts(scripts: Any) -> None:
    marks = (names.ROLLBACK_FINALIZER,)
    going = migration(deleting=True, finalizers=marks, deletionPolicy="Rollback", scripts=scripts)
    request = jobs.request_of(going, target(), START)
    assert (request.undo, request.version, request.inline, request.folders) == (True, "0", (), ())
    assert request.scripts_digest is None
    spec = pod_spec(jobs.manifest(going, target(), START, "image:1"))
    assert "initContainers" not in spec
    assert {volume["name"] for volume in spec["volumes"]} == {"request", "secret-0"}


@pytest.mark.parametrize(
    ("known", "accepts", "expected", "accepted"),
    [
        (None, None, None, None),
        ({"name": "shop"}, None, DatabaseIdentity(name="shop"), None),
        (
            {"name": "shop", "systemIdentifier": "7"},
            "8/a/b",
            DatabaseIdentity(name="shop", system_identifier="7"),
            DatabaseIdentity(name="a/b", system_identifier="8"),
        ),
    ],
)
def test_a_run_knows_which_database_it_is_for(
    known: dict[str, str] | None,
    accepts: str | None,
    expected: DatabaseIdentity | None,
    accepted: DatabaseIdentity | None,
) -> None:
    status = SchemaMigrationStatus.model_validate({"database": known})
    request = jobs.request_of(replace(migration(status=status), accepts=accepts), target(), START)
    assert (request.expected, request.accepted) == (expected, accepted)


def test_who_applies_is_the_resource() -> None:
    assert jobs.request_of(migration(), target(), START).actor == "shop/shop"


def test_secrets_are_mounted_by_reference_and_once_each() -> None:
    connection = {
        "host": "h",
        "database": "d",
        "userSecret": {"name": "user", "key": "u"},
        "passwordSecret": {"name": "user", "key": "p"},
        "tls": {"caSecret": {"name": "ca", "key": "ca.crt"}},
    }
    spec = pod_spec(jobs.manifest(migration(), at(connection), START, "image:1"))
    secrets = [volume["secret"] for volume in spec["volumes"] if "secret" in volume]
    assert [secret["secretName"] for secret in secrets] == ["ca", "user"]
    assert all(secret["optional"] and secret["defaultMode"] == 0o440 for secret in secrets)


def test_config_maps_are_mounted_where_the_request_says() -> None:
    spec = SchemaMigrationSpec.model_validate({**SPEC, "scripts": {"configMaps": [{"name": "a"}, {"name": "b"}]}})
    moved = replace(migration(), spec=spec)
    manifest = jobs.manifest(moved, target(), START, "image:1")
    (container,) = pod_spec(manifest)["containers"]
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    folders = jobs.request_of(moved, target(), START).folders
    assert {folder.path for folder in folders} <= mounts
    assert [folder.label for folder in folders] == ["a", "b"]


def test_what_the_target_says_of_its_pods_is_done_and_ours_wins() -> None:
    runner = {
        "image": "other:2",
        "serviceAccountName": "migrator",
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "db", "operator": "Exists"}],
        "labels": {"team": "shop", names.WORK: "forged"},
        "annotations": {"mesh": "off"},
        "activeDeadlineSeconds": 60,
        "resources": {"limits": {"memory": "1Gi"}},
    }
    manifest = jobs.manifest(migration(), at({"uriSecret": {"name": "s", "key": "k"}}, runner=runner), START, "image:1")
    spec = pod_spec(manifest)
    template = manifest["spec"]["template"]["metadata"]
    assert spec["containers"][0]["image"] == "other:2"
    assert spec["containers"][0]["resources"] == {"limits": {"memory": "1Gi"}}
    assert spec["serviceAccountName"] == "migrator"
    assert spec["nodeSelector"] == {"disk": "ssd"}
    assert spec["tolerations"] == [{"key": "db", "operator": "Exists"}]
    assert (template["labels"]["team"], template["labels"][names.WORK]) == ("shop", "w")
    assert template["annotations"]["mesh"] == "off"
    assert manifest["spec"]["activeDeadlineSeconds"] == 60


def test_inline_scripts_that_do_not_fit_are_refused_with_the_way_out() -> None:
    noise = random.Random(1)  # noqa: S311 (text that does not compress)
    text = "".join(noise.choices(string.printable, k=260_000))
    spec = SchemaMigrationSpec.model_validate({**SPEC, "scripts": {"inline": [{"version": "1", "up": text}]}})
    with pytest.raises(Refused, match="ConfigMaps") as caught:
        jobs.manifest(replace(migration(), spec=spec), target(), START, "image:1")
    assert caught.value.reason is Reason.TOO_LARGE


def test_a_job_carries_nothing_that_was_put_on_its_migration() -> None:
    """A tool that tracks what it applied by labels and annotations would take the Job for its own, and delete it."""
    marks = {
        "argocd.argoproj.io/tracking-id": "shop:schema-operator.dev/SchemaMigration:shop/shop",
        "argocd.argoproj.io/sync-wave": "-1",
        "app.kubernetes.io/instance": "shop-of-argo",
        "kustomize.toolkit.fluxcd.io/name": "shop",
        "helm.sh/hook": "pre-upgrade",
        "kubectl.kubernetes.io/last-applied-configuration": '{"spec": {}}',
    }
    meta = {"namespace": "shop", "name": "shop", "uid": "u", "generation": 1, "resourceVersion": "1"}
    body = {"metadata": meta | {"labels": marks, "annotations": marks}, "spec": SPEC}
    manifest = jobs.manifest(migration_of(body), target(), START, "image:1")
    for carried in (manifest["metadata"], manifest["spec"]["template"]["metadata"]):
        named = {*carried["labels"], *carried["annotations"]}
        assert named & marks.keys() == set()
        assert all(mark not in str(carried) for mark in marks.values() if len(mark) > 4)


def test_references_lead_nowhere_but_into_the_namespace_of_the_migration() -> None:
    runner = {"serviceAccountName": "migrator"}
    named = {"uriSecret": {"name": "s", "key": "k"}, "tls": {"caSecret": {"name": "ca", "key": "c"}}}
    manifest = jobs.manifest(migration(), at(named, runner=runner), START, "image:1")
    assert manifest["metadata"]["namespace"] == migration().namespace
    assert "namespace" not in str(pod_spec(manifest))


PLANNED = PlannedWork(digest="a" * 64, position=7)
MODES = [
    (START, Mode.RUN, None, None),
    (replace(START, mode=Mode.PLAN), Mode.PLAN, None, None),
    (replace(START, planned=PLANNED, approved_by="alice@example.com"), Mode.RUN, PLANNED, "alice@example.com"),
    (replace(START, planned=PLANNED), Mode.RUN, PLANNED, None),
]


@pytest.mark.parametrize(("start", "mode", "planned", "approver"), MODES)
def test_what_is_planned_and_who_approved_it_travels_to_the_runner_and_comes_back_with_the_job(
    start: jobs.Start, mode: Mode, planned: PlannedWork | None, approver: str | None
) -> None:
    request = jobs.request_of(migration(), target(), start)
    assert (request.mode, request.planned, request.actor) == (mode, planned, approver or "shop/shop")
    manifest = jobs.manifest(migration(), target(), start, "image:1")
    metadata = {**manifest["metadata"], "creationTimestamp": "2026-11-22T12:00:00Z"}
    (run,) = runs_of([manifest | {"metadata": metadata}], [])
    assert (run.mode, run.approved_by) == (mode, approver)


def test_a_run_that_waits_for_nobody_is_asked_for_as_ever() -> None:
    text = requests.encode(jobs.request_of(migration(), target(), START))
    assert b'"mode"' not in text
    assert b'"planned"' not in text
