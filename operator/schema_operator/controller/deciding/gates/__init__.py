"""What must hold before a run is started. A new gate is a module with one function, and a line in `GATES`.

Gates are asked in order, and the first that holds ends it: what comes after it may cost a look at something.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from schema_operator.api.schema_migration import ConditionType, SchemaMigrationStatus
from schema_operator.controller.deciding.approvals import plan_is_missing
from schema_operator.controller.deciding.gates.approval import approval
from schema_operator.controller.deciding.gates.database import database
from schema_operator.controller.deciding.gates.deletion import deletion
from schema_operator.controller.deciding.gates.gate import Hold, Passage
from schema_operator.controller.deciding.gates.required import required
from schema_operator.controller.deciding.gates.suspension import suspension
from schema_operator.controller.deciding.gates.window import window
from schema_operator.controller.deciding.statuses import Verdict, Verdicts
from schema_operator.controller.observation import Observation

Gate = Callable[[Observation, SchemaMigrationStatus], Passage]

GATES: tuple[Gate, ...] = (deletion, suspension, required, approval, window, database)
"""`database` is the last: who stands in its line would start at once, and keeps others from starting."""
GATES_OF_A_PLAN: tuple[Gate, ...] = (deletion, suspension, required)
"""Those that hold a run which only plans: nothing is changed by it, so most have nothing against it. What is required
would move the plan."""


@dataclass(frozen=True, slots=True)
class Passages:
    """What all gates say together: the conditions to show, and what holds, or why nothing does although it should."""

    verdicts: Verdicts = field(default_factory=dict)
    hold: Hold | None = None
    emergency: str | None = None
    approved_by: str | None = None
    """Who has approved what is about to be done, where somebody had to."""
    again: float | None = None
    """Seconds after which they must be asked again, the soonest."""


SHOWN_WHILE_AT_WORK = (ConditionType.WINDOW_OPEN,)
"""Conditions of gates: a run in flight has passed them, and what they said then stays until it has ended."""


def said_before(status: SchemaMigrationStatus) -> Verdicts:
    """Give what the gates said when the run in flight was started."""
    return {
        ConditionType(item.type): Verdict(item.status, item.reason, item.message)
        for item in status.conditions
        if item.type in SHOWN_WHILE_AT_WORK
    }


def passages(seen: Observation, base: SchemaMigrationStatus) -> Passages:
    """Ask the gates whether the next run may be started now."""
    verdicts: Verdicts = {}
    emergency: str | None = None
    approved_by: str | None = None
    moments: list[float | None] = []
    for gate in GATES_OF_A_PLAN if plan_is_missing(seen, base) else GATES:
        passage = gate(seen, base)
        verdicts |= passage.verdicts
        emergency = passage.emergency or emergency
        approved_by = passage.approved_by or approved_by
        moments.append(passage.again)
        if passage.hold is not None:
            return Passages(verdicts, passage.hold, again=soonest(*moments, passage.hold.requeue))
    return Passages(verdicts, emergency=emergency, approved_by=approved_by, again=soonest(*moments))


def soonest(*moments: float | None) -> float | None:
    """Give the least of those that are there."""
    return min((one for one in moments if one is not None), default=None)
