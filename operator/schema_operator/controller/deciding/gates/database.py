"""One run at a time on a database: who came first is first."""

from __future__ import annotations

from schema_operator.api.schema_migration import SchemaMigrationStatus, State
from schema_operator.controller.deciding.gates.gate import Hold, Passage
from schema_operator.controller.observation import Observation


def database(seen: Observation, base: SchemaMigrationStatus) -> Passage:  # noqa: ARG001 (gates are asked alike)
    """Hold while another migration works on the same database, or has waited for it longer.

    The next in line is looked at at once when it is its turn. The lock in the database is what keeps runs apart; this
    saves a pod that would only wait for it.
    """
    ahead = seen.around.ahead
    if ahead is None:
        return Passage()
    message = (
        f"{ahead.name} is at work on the same database; this one is the next"
        if ahead.at_work
        else f"{ahead.name} waits for the same database and comes first"
    )
    hold = Hold(state=State.PENDING, reason="WaitingForDatabase", message=message, in_line=True)
    return Passage(hold=hold)
