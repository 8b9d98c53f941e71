"""How the API server is told which object is written, and what."""

from __future__ import annotations

from typing import Any

from schema_operator.api.schema_migration import SchemaMigrationStatus
from schema_operator.api.target_database import TargetDatabaseStatus
from schema_operator.controller.observation import Migration, Target


def at(item: Migration | Target) -> dict[str, str]:
    """Name an object at the version that was seen."""
    return {"namespace": item.namespace, "name": item.name, "resourceVersion": item.resource_version}


def plain(status: SchemaMigrationStatus | TargetDatabaseStatus) -> dict[str, Any]:
    """Give a status as plain data."""
    return dict(status.model_dump(by_alias=True, exclude_none=True, mode="json"))
