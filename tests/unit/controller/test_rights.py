"""The chart grants what the controller asks the API server for, and nothing else; docs/security.md gives the reasons.

What it asks for is found out, not written down: every method of `Cluster` is called and its request read, and the kinds
that kopf watches are those of the handlers.
"""

from __future__ import annotations

import asyncio
import inspect
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import kopf
import pytest
import yaml
from dev import programs

from schema_operator.api.model import API_VERSION, GROUP
from schema_operator.controller import jobs
from schema_operator.controller.cluster import Cluster
from schema_operator.controller.handlers import register
from unit.controller.scenes import migration, target

CHECKOUT = Path(__file__).parents[3]
CHART = CHECKOUT / "charts/schema-operator"
PAGE = CHECKOUT / "docs/security.md"
CLUSTER_WIDE_ONLY = {
    ("apiextensions.k8s.io", "customresourcedefinitions", "list"),
    ("apiextensions.k8s.io", "customresourcedefinitions", "watch"),
}
"""What kopf watches to notice that a kind it serves appears (kopf/_core/reactor/observation.py, resource_observer)."""
START = jobs.Start(name="shop-1", work="w", number=1, failures=0, recheck=False, scripts_digest="d")
Right = tuple[str, str, str]
"""Group, resource, verb."""

_PATH = re.compile(
    r"/(?:api/v1|apis/(?P<group>[^/]+)/[^/]+)(?:/namespaces/[^/]+)?/(?P<resource>[a-z]+)"
    r"(?:/(?P<name>[^/]+))?(?:/(?P<sub>[a-z]+))?"
)
_VERBS = {"POST": "create", "PATCH": "patch", "PUT": "update", "DELETE": "delete"}
_ROW = re.compile(r"^\| ((?:`[^`]+`(?:, )?)+) \| ([a-z, ]+) \| (.+) \|$", re.MULTILINE)


class Recorder(Cluster):
    """Notes requests instead of sending them."""

    def __init__(self) -> None:
        self.asked: set[Right] = set()

    async def _call(self, method: str, path: str, *_: Any, **__: Any) -> bytes:
        found = _PATH.fullmatch(path)
        if found is not None:
            resource = f"{found['resource']}/{found['sub']}" if found["sub"] else found["resource"]
            verb = _VERBS.get(method) or ("get" if found["name"] else "list")
            self.asked.add((found["group"] or "", resource, verb))
        return b'{"items": [], "metadata": {"resourceVersion": "1"}}'


def argument(parameter: inspect.Parameter) -> Any:
    if "Mapping" in str(parameter.annotation):
        meta = {"namespace": "shop", "name": "shop", "resourceVersion": "1"}
        return {"metadata": meta, **meta}
    return 1 if parameter.annotation == "int" else "shop"


def asked_by_us() -> set[Right]:
    recorder = Recorder()

    async def ask() -> None:
        for name, method in inspect.getmembers(recorder, inspect.iscoroutinefunction):
            if not name.startswith("_") and name not in {"connect", "close"}:
                parameters = list(inspect.signature(method).parameters.values())
                required = [one for one in parameters if one.default is inspect.Parameter.empty]
                await method(*(argument(one) for one in required))

    asyncio.run(ask())
    return recorder.asked


def of_leases(asked: Iterable[Right]) -> set[Right]:
    return {right for right in asked if right[1] == "leases"}


def watched_by_kopf(*, config_maps: bool) -> set[Right]:
    registry = kopf.OperatorRegistry()
    register(registry, "image:1", watch_config_maps=config_maps)
    selectors = registry._watching.get_all_selectors()
    return {(one.group or "", str(one.any_name), verb) for one in selectors for verb in ("list", "watch")}


def asked_by_owner_references() -> set[Right]:
    """Give what the API server asks of who creates a Job whose owner cannot go before it.

    Kubernetes, plugin/pkg/admission/gc: `update` of the owner's finalizers.
    """
    (owner,) = jobs.manifest(migration(), target(), START, "image:1")["metadata"]["ownerReferences"]
    assert owner["apiVersion"] == f"{GROUP}/{API_VERSION}"
    blocking = owner["blockOwnerDeletion"]
    return {(GROUP, f"{owner['kind'].lower()}s/finalizers", "update")} if blocking else set()


def rendered(*options: str) -> list[dict[str, Any]]:
    command = [
        str(programs.helm()),
        "template",
        "schema-operator",
        str(CHART),
        "--namespace",
        "operator",
        "--kube-version=1.34.0",
        *options,
    ]
    text = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [one for one in yaml.safe_load_all(text) if one]


def rights(rules: Iterable[dict[str, Any]]) -> list[Right]:
    return [
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]


def needed(*, config_maps: bool = False) -> set[Right]:
    asked = asked_by_us()
    return asked - of_leases(asked) | watched_by_kopf(config_maps=config_maps) | asked_by_owner_references()


@pytest.mark.parametrize("config_maps", [False, True])
def test_for_the_whole_cluster_every_right_is_needed_and_none_is_missing(config_maps: bool) -> None:
    found = rendered(f"--set=watchConfigMaps={str(config_maps).lower()}")
    (role,) = [one for one in found if one["kind"] == "ClusterRole"]
    granted = rights(role["rules"])
    assert sorted(granted) == sorted(needed(config_maps=config_maps) | CLUSTER_WIDE_ONLY)
    assert not [right for right in granted if "secrets" in right or "*" in right]


def test_a_lease_is_touched_only_where_there_are_several_and_only_its_own() -> None:
    (role,) = [one for one in rendered("--set=replicas=2,leaderElection=true") if one["kind"] == "Role"]
    assert sorted(rights(role["rules"])) == sorted(of_leases(asked_by_us()))
    assert role["metadata"]["namespace"] == "operator"
    unnamed = [rule["verbs"] for rule in role["rules"] if rule.get("resourceNames") != ["schema-operator"]]
    assert unnamed == [["create"]]
    assert not [one for one in rendered() if one["kind"] == "Role"]


def test_two_that_do_not_wait_for_each_other_cannot_be_installed() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        rendered("--set=replicas=2")


def test_for_some_namespaces_there_are_roles_only() -> None:
    found = rendered("--set=watchNamespaces={shop,billing}")
    assert not [one for one in found if one["kind"].startswith("ClusterRole")]
    roles = [one for one in found if one["kind"] == "Role"]
    assert [one["metadata"]["namespace"] for one in roles] == ["shop", "billing"]
    for role in roles:
        assert sorted(rights(role["rules"])) == sorted(needed())
    bindings = [one for one in found if one["kind"] == "RoleBinding"]
    assert [one["subjects"] for one in bindings] == [
        [{"kind": "ServiceAccount", "name": "schema-operator", "namespace": "operator"}]
    ] * 2


def test_the_page_gives_a_reason_for_every_right() -> None:
    roles = [one for one in rendered("--set=leaderElection=true,watchConfigMaps=true") if one["kind"].endswith("Role")]
    granted = [right for role in roles for right in rights(role["rules"])]
    documented = [
        (resource, verb, bool(why.strip()))
        for resources, verbs, why in _ROW.findall(PAGE.read_text())
        for resource in re.findall(r"`([^`]+)`", resources)
        for verb in verbs.split(", ")
    ]
    assert sorted(documented) == sorted((resource, verb, True) for _, resource, verb in granted)
