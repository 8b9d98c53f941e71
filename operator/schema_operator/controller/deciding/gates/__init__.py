"""What must hold before a run is started. A new gate is a module with one function, and a line in `GATES`.

Gates are asked in order, and the first that holds ends it: what comes after it may cost a look at something.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from schema_operator.api.schema_migration import SchemaMigrationStatus
from schema_operator.controller.deciding.approvals import plan_is_missing
from schema_operator.controller.deciding.gates.approval import approval
from schema_operator.controller.deciding.gates.gate import Hold, Passage
from schema_operator.controller.deciding.gates.suspension import suspension
from schema_operator.controller.deciding.statuses import Verdicts
from schema_operator.controller.observation import Observation

Gate = Callable[[Observation, SchemaMigrationStatus], Passage]

GATES: tuple[Gate, ...] = (suspension, approval)
GATES_OF_A_PLAN: tuple[Gate, ...] = (suspension,)
"""Those that hold a run which only plans: nothing is changed by it, so most have nothing against it."""


@dataclass(frozen=True, slots=True)
class Passages:
    """What all gates say together: the conditions to show, and what holds, if anything."""

    verdicts: Verdicts = field(default_factory=dict)
    hold: Hold | None = None
    approved_by: str | None = None
    """Who has approved what is about to be done, where somebody had to."""
    again: float | None = None
    """Seconds after which they must be asked again, the soonest."""


def passages(seen: Observation, base: SchemaMigrationStatus) -> Passages:
    """Ask the gates whether the next run may be started now."""
    verdicts: Verdicts = {}
    approved_by: str | None = None
    moments: list[float | None] = []
    for gate in GATES_OF_A_PLAN if plan_is_missing(seen, base) else GATES:
        passage = gate(seen, base)
        verdicts |= passage.verdicts
        approved_by = approved_by or passage.approved_by
        moments.append(passage.again)
        if passage.hold is not None:
            moments.append(passage.hold.requeue)
            return Passages(verdicts, passage.hold, again=soonest(*moments))
    return Passages(verdicts, approved_by=approved_by, again=soonest(*moments))


def soonest(*moments: float | None) -> float | None:
    """Give the least of those that are there."""
    return min((one for one in moments if one is not None), default=None)
