"""The Job of a run."""

import random
import string
from dataclasses import replace
from typing import Any

import pytest

from schema_operator.api import request as requests
from schema_operator.api.schema_migration import SchemaMigrationSpec
from schema_operator.api.target_database import TargetDatabaseSpec
from schema_operator.controller import jobs, names
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
        secret="shop", key="uri", folder="/run/schema-operator/secrets/shop"
    )


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
