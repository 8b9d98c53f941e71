"""The base of the resource models and the vocabulary for what their CRDs say beyond a type.

The models are the only source: `structural.py` turns them into the CRDs in `crds/`, field docstrings become the
descriptions `kubectl explain` shows.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from schema_operator.api import duration, size

GROUP = "schema-operator.dev"
API_VERSION = "v1alpha1"
CATEGORY = "migrations"

RULES = "x-kubernetes-validations"
LIST_TYPE = "x-kubernetes-list-type"
LIST_MAP_KEYS = "x-kubernetes-list-map-keys"


class ApiModel(BaseModel):
    """A part of a resource: immutable, camelCase in YAML, unknown fields ignored (the API server prunes them)."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
    )


def rule(expression: str, message: str) -> dict[str, str]:
    """Give one CEL rule: the expression that must hold and the sentence shown when it does not."""
    return {"rule": expression, "message": message}


def rules(*items: dict[str, str]) -> dict[str, Any]:
    """Give the extra schema that attaches CEL rules to a field or a model."""
    return {RULES: list(items)}


def keyed_by(key: str) -> dict[str, Any]:
    """Give the extra schema of a list whose items are told apart by one field; the API server refuses doubles."""
    return {LIST_TYPE: "map", LIST_MAP_KEYS: [key]}


def distinct() -> dict[str, Any]:
    """Give the extra schema of a list of values of which none may be there twice."""
    return {LIST_TYPE: "set"}


ResourceName = Annotated[
    str, StringConstraints(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
]
"""Name of an object: a DNS subdomain (Kubernetes documentation, "Object Names and IDs")."""
SecretKey = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
"""Key in a Secret or ConfigMap."""
Duration = Annotated[str, StringConstraints(max_length=duration.MAX_LENGTH, pattern=duration.PATTERN)]
"""Duration in Go's form: `30s`, `5m`, `1h30m`."""
PositiveDuration = Annotated[str, StringConstraints(max_length=duration.MAX_LENGTH, pattern=duration.POSITIVE_PATTERN)]
"""The same, and more than nothing."""
Size = Annotated[str, StringConstraints(max_length=size.MAX_LENGTH, pattern=size.PATTERN)]
"""A number of bytes: `500Mi`, `1Gi`."""


CONDITION_MESSAGE_LIMIT = 32_768
"""Characters of a condition's message (apimachinery, metav1.Condition)."""


class SecretKeySelector(ApiModel):
    """One key of a Secret in the resource's own namespace."""

    name: ResourceName
    """Name of the Secret."""
    key: SecretKey
    """Key in the Secret."""


class Condition(ApiModel):
    """One statement about a resource (Kubernetes API conventions, "Typical status properties")."""

    type: Annotated[str, StringConstraints(max_length=316)]
    """What the condition is about."""
    status: Annotated[str, Field(json_schema_extra={"enum": ["True", "False", "Unknown"]})]
    """Whether it holds."""
    observed_generation: int = Field(ge=0)
    """Generation of the resource the statement is about."""
    last_transition_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    """When the status last changed."""
    reason: Annotated[str, StringConstraints(min_length=1, max_length=1024)]
    """The reason for machines, in CamelCase."""
    message: Annotated[str, StringConstraints(max_length=CONDITION_MESSAGE_LIMIT)]
    """The reason for people: a sentence that says what to do next."""
