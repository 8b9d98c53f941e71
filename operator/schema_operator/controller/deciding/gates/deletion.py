"""A resource that is being deleted: nothing more is started, unless it is rolled back before it goes."""

from __future__ import annotations

from schema_operator.api.schema_migration import SchemaMigrationStatus, State
from schema_operator.controller.deciding.gates.gate import Hold, Passage
from schema_operator.controller.observation import Observation


def deletion(seen: Observation, base: SchemaMigrationStatus) -> Passage:  # noqa: ARG001 (gates are asked alike)
    """Hold every run of a resource that is being deleted and leaves the schema as it is."""
    if not seen.migration.deleting or seen.migration.undo:
        return Passage()
    message = "the resource is being deleted, so no run is started; the schema stays as it is"
    return Passage(hold=Hold(state=State.PENDING, reason="Deleting", message=message))
