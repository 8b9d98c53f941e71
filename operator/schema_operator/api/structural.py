"""From pydantic models to CustomResourceDefinitions.

pydantic emits JSON Schema draft 2020-12; Kubernetes wants a structural schema (Kubernetes documentation, "Extend the
Kubernetes API with CustomResourceDefinitions", "Specifying a structural schema"). What does not fit is rewritten where
the meaning is the same and refused loudly where it is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from schema_operator.api.migration_approval import MigrationApprovalSpec
from schema_operator.api.model import API_VERSION, CATEGORY, GROUP
from schema_operator.api.schema_migration import SchemaMigrationSpec, SchemaMigrationStatus
from schema_operator.api.target_database import TargetDatabaseSpec, TargetDatabaseStatus

DROPPED = frozenset({"title", "examples", "discriminator", "writeOnly", "readOnly"})
REFUSED = frozenset({"oneOf", "prefixItems", "patternProperties", "propertyNames", "uniqueItems", "not", "if"})


@dataclass(frozen=True, slots=True)
class Column:
    """One column of `kubectl get`; `wide` ones are shown with `-o wide` only."""

    name: str
    path: str
    type: str = "string"
    wide: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One kind: its names, its models and its columns."""

    kind: str
    plural: str
    short_name: str
    description: str
    spec: type[BaseModel]
    status: type[BaseModel] | None
    """Absent where a kind has nothing to say of itself."""
    columns: tuple[Column, ...]


def _condition(kind: str, part: str) -> str:
    return f'.status.conditions[?(@.type=="{kind}")].{part}'


RESOURCES = (
    Resource(
        kind="SchemaMigration",
        plural="schemamigrations",
        short_name="sm",
        description="SchemaMigration is the version a PostgreSQL schema should have, and the scripts that lead there.",
        spec=SchemaMigrationSpec,
        status=SchemaMigrationStatus,
        columns=(
            Column("Database", ".spec.database.name"),
            Column("Version", ".status.version"),
            Column("State", ".status.state"),
            Column("Ready", _condition("Ready", "status")),
            Column("Progress", ".status.progress.message"),
            Column("Age", ".metadata.creationTimestamp", type="date"),
            Column("Wanted", ".spec.version", wide=True),
            Column("Reason", _condition("Ready", "reason"), wide=True),
            Column("Message", _condition("Ready", "message"), wide=True),
        ),
    ),
    Resource(
        kind="TargetDatabase",
        plural="targetdatabases",
        short_name="tdb",
        description="TargetDatabase is one PostgreSQL database, its credentials by reference, and its rules.",
        spec=TargetDatabaseSpec,
        status=TargetDatabaseStatus,
        columns=(
            Column("Server", ".status.serverVersion"),
            Column("Version", ".status.version"),
            Column("Reachable", _condition("Reachable", "status")),
            Column("Ready", _condition("Ready", "status")),
            Column("Age", ".metadata.creationTimestamp", type="date"),
            Column("Pending", ".status.pending", type="integer", wide=True),
            Column("Inspected", ".status.inspectedAt", type="date", wide=True),
            Column("Message", _condition("Ready", "message"), wide=True),
        ),
    ),
    Resource(
        kind="MigrationApproval",
        plural="migrationapprovals",
        short_name="smapproval",
        description="MigrationApproval is a person's yes, or no, to the plan of one SchemaMigration.",
        spec=MigrationApprovalSpec,
        status=None,
        columns=(
            Column("Migration", ".spec.migration"),
            Column("Decision", ".spec.decision"),
            Column("Approver", ".spec.approver"),
            Column("Expires", ".spec.expires"),
            Column("Age", ".metadata.creationTimestamp", type="date"),
            Column("Plan", ".spec.planDigest", wide=True),
            Column("Reason", ".spec.reason", wide=True),
        ),
    ),
)


def custom_resource_definition(resource: Resource) -> dict[str, Any]:
    """Give the CustomResourceDefinition of a kind as plain data."""
    status: dict[str, Any] = {}
    if resource.status is not None:
        status = {"status": structural(resource.status) | {"default": {"observedGeneration": -1}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": resource.kind,
                "listKind": f"{resource.kind}List",
                "plural": resource.plural,
                "singular": resource.kind.lower(),
                "shortNames": [resource.short_name],
                "categories": [CATEGORY],
            },
            "versions": [
                {
                    "name": API_VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}} if status else {},
                    "additionalPrinterColumns": [_column(column) for column in resource.columns],
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "description": resource.description,
                            "required": ["spec"],
                            "properties": {
                                "apiVersion": {"type": "string"},
                                "kind": {"type": "string"},
                                "metadata": {"type": "object"},
                                "spec": structural(resource.spec),
                                **status,
                            },
                        }
                    },
                }
            ],
        },
    }


def structural(model: type[BaseModel]) -> dict[str, Any]:
    """Give the structural schema of a model; raises `ValueError` for what a structural schema cannot say."""
    schema = model.model_json_schema(by_alias=True)
    definitions = schema.pop("$defs", {})
    result = _convert(schema, definitions, model.__name__)
    if not isinstance(result, dict):
        raise TypeError(f"{model.__name__} is not an object")
    return result


def _column(column: Column) -> dict[str, Any]:
    found: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.path}
    if column.wide:
        found["priority"] = 1
    return found


def _convert(node: Any, definitions: Mapping[str, Any], path: str) -> Any:
    if isinstance(node, list):
        return [_convert(item, definitions, path) for item in node]
    if not isinstance(node, dict):
        return node
    node = _without_optional(_resolved(node, definitions), definitions, path)
    found = {key: value for key, value in node.items() if key not in DROPPED}
    refused = REFUSED.intersection(found)
    if refused:
        raise ValueError(f"{path}: a structural schema has no {', '.join(sorted(refused))}")
    if "const" in found:
        found["enum"] = [found.pop("const")]
    _bounds(found)
    _children(found, definitions, path)
    if found.get("default", 0) is None:
        del found["default"]
    if "default" in found:
        found["default"] = _without_nulls(found["default"])
    if "description" in found:
        found["description"] = " ".join(found["description"].split())
    return found


def _children(node: dict[str, Any], definitions: Mapping[str, Any], path: str) -> None:
    if "properties" in node:
        if node.get("additionalProperties") is False:
            del node["additionalProperties"]
        node["properties"] = {
            name: _convert(item, definitions, f"{path}.{name}") for name, item in node["properties"].items()
        }
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            node[key] = _convert(node[key], definitions, f"{path}.{key}")


def _resolved(node: dict[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Inline a reference; what stands beside it (a description of the field, a default) wins."""
    while "$ref" in node:
        beside = {key: value for key, value in node.items() if key != "$ref"}
        node = {**definitions[node["$ref"].removeprefix("#/$defs/")], **beside}
    return node


def _without_optional(node: dict[str, Any], definitions: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Turn `X or null` into `X`: an absent field is absent in Kubernetes, never null."""
    if "anyOf" not in node:
        return node
    if node.get("x-kubernetes-int-or-string"):
        return {key: value for key, value in node.items() if key != "anyOf"}
    some = [item for item in node["anyOf"] if item != {"type": "null"}]
    if len(some) != 1:
        raise ValueError(f"{path}: a structural schema has no unions; write one optional field a branch")
    beside = {key: value for key, value in node.items() if key != "anyOf"}
    return _without_optional({**_resolved(some[0], definitions), **beside}, definitions, path)


def _bounds(node: dict[str, Any]) -> None:
    """Write exclusive bounds as draft 4 does, which is what the API server reads."""
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if exclusive in node and not isinstance(node[exclusive], bool):
            node[bound] = node[exclusive]
            node[exclusive] = True


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return value
