"""What must hold before a run is started. A new gate is a module with one function, and a line in `GATES`.

Gates are asked in order, and the first that holds ends it: what comes after it may cost a look at something.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from schema_operator.api.schema_migration import SchemaMigrationStatus
from schema_operator.controller.deciding.gates.database import database
from schema_operator.controller.deciding.gates.deletion import deletion
from schema_operator.controller.deciding.gates.gate import Hold, Passage
from schema_operator.controller.deciding.gates.required import required
from schema_operator.controller.deciding.gates.suspension import suspension
from schema_operator.controller.deciding.statuses import Verdicts
from schema_operator.controller.observation import Observation

Gate = Callable[[Observation, SchemaMigrationStatus], Passage]

GATES: tuple[Gate, ...] = (deletion, suspension, required, database)
"""`database` is the last: who stands in its line would start at once, and keeps others from starting."""


@dataclass(frozen=True, slots=True)
class Passages:
    """What all gates say together: the conditions to show, and what holds, if anything."""

    verdicts: Verdicts = field(default_factory=dict)
    hold: Hold | None = None


def passages(seen: Observation, base: SchemaMigrationStatus) -> Passages:
    """Ask the gates whether a run may be started now."""
    verdicts: Verdicts = {}
    for gate in GATES:
        passage = gate(seen, base)
        verdicts |= passage.verdicts
        if passage.hold is not None:
            return Passages(verdicts, passage.hold)
    return Passages(verdicts)
