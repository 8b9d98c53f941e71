"""Not all pods at once."""

from __future__ import annotations

from schema_operator.api.schema_migration import SchemaMigrationStatus, State
from schema_operator.controller.deciding.gates.gate import Hold, Passage
from schema_operator.controller.observation import Observation
from schema_operator.controller.starts import START_SECONDS, STARTS_AT_ONCE


def crowd(seen: Observation, base: SchemaMigrationStatus) -> Passage:  # noqa: ARG001 (gates are asked alike)
    """Hold while as many runs are starting as may start together; an emergency does not wait."""
    if not seen.around.crowded or seen.migration.spec.emergency is not None:
        return Passage()
    message = f"{STARTS_AT_ONCE} other runs are being started; this one is started when it is its turn"
    hold = Hold(state=State.PENDING, reason="WaitingToStart", message=message, requeue=START_SECONDS, in_line=True)
    return Passage(hold=hold)
