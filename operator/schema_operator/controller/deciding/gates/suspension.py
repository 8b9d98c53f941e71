"""`spec.suspend`: a person has said that nothing is to be started."""

from __future__ import annotations

from schema_operator.api.schema_migration import SchemaMigrationStatus, State
from schema_operator.controller.deciding.gates.gate import Hold, Passage
from schema_operator.controller.observation import Observation


def suspension(seen: Observation, base: SchemaMigrationStatus) -> Passage:
    """Hold every run while `spec.suspend` is true; what is left of one that was stopped is said."""
    if not seen.migration.spec.suspend:
        return Passage()
    last = base.runs[0] if base.runs else None
    left = f"; the last run: {last.message}" if last is not None and last.message else ""
    message = f"spec.suspend is true, so no run is started; set it to false to go on{left}"
    return Passage(hold=Hold(state=State.SUSPENDED, reason="Suspended", message=message))
