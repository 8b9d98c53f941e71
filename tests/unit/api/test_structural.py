"""From models to CRDs."""

from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import Field

from schema_operator.api.model import ApiModel
from schema_operator.api.structural import RESOURCES, custom_resource_definition, structural
from schema_operator.cli.crd import definitions


class Part(ApiModel):
    """A part."""

    size: Annotated[int, Field(gt=0)] = 1
    """How large."""


class Whole(ApiModel):
    """A whole."""

    kind: Literal["only"] = "only"
    """One value."""
    part: Part | None = None
    """May be absent."""
    parts: list[Part] = Field(default_factory=list)
    """May be many."""
    labels: dict[str, str] | None = None
    """Free."""
    amount: Annotated[str | int, Field(json_schema_extra={"x-kubernetes-int-or-string": True})] = 1
    """Either."""


class Union(ApiModel):
    """What a structural schema cannot say."""

    either: int | str = 1
    """Either."""


class Pair(ApiModel):
    """What a structural schema cannot say."""

    pair: tuple[int, str] | None = None
    """Two."""


def test_what_pydantic_says_becomes_what_the_api_server_reads() -> None:
    part = {
        "type": "object",
        "properties": {
            "size": {
                "type": "integer",
                "default": 1,
                "minimum": 0,
                "exclusiveMinimum": True,
                "description": "How large.",
            }
        },
    }
    assert structural(Whole) == {
        "type": "object",
        "description": "A whole.",
        "properties": {
            "kind": {"type": "string", "enum": ["only"], "default": "only", "description": "One value."},
            "part": part | {"description": "May be absent."},
            "parts": {"type": "array", "items": part | {"description": "A part."}, "description": "May be many."},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}, "description": "Free."},
            "amount": {"x-kubernetes-int-or-string": True, "default": 1, "description": "Either."},
        },
    }


@pytest.mark.parametrize(("model", "said"), [(Union, "no unions"), (Pair, "prefixItems")])
def test_what_cannot_be_said_is_refused(model: type[ApiModel], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        structural(model)


def every_node(node: Any) -> list[dict[str, Any]]:
    if isinstance(node, list):
        return [found for item in node for found in every_node(item)]
    if not isinstance(node, dict):
        return []
    return [node] + [found for item in node.values() for found in every_node(item)]


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.kind)
def test_our_definitions_are_small_described_and_bounded(resource: Any) -> None:
    text = yaml.safe_dump(custom_resource_definition(resource))
    assert len(text) < 100_000
    spec = structural(resource.spec)
    for node in every_node(spec):
        for name, field in node.get("properties", {}).items() if node.get("type") == "object" else ():
            assert field.get("description"), name
        if node.get("type") == "array":
            assert "maxItems" in node
        if node.get("type") == "string" and "enum" not in node:
            assert "maxLength" in node, node


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.kind)
def test_items_of_lists_have_no_defaults_for_kubectl_and_argo_cd_to_stumble_over(resource: Any) -> None:
    for node in every_node(structural(resource.spec)):
        assert all("default" not in item for item in every_node(node.get("items"))), node


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.kind)
def test_a_resource_nobody_has_looked_at_does_not_look_finished(resource: Any) -> None:
    definition = custom_resource_definition(resource)
    (version,) = definition["spec"]["versions"]
    properties = version["schema"]["openAPIV3Schema"]["properties"]
    if resource.status is None:
        assert ("status" in properties, version["subresources"]) == (False, {})
    else:
        assert properties["status"]["default"] == {"observedGeneration": -1}


def test_the_same_models_give_the_same_text() -> None:
    assert definitions() == definitions()
