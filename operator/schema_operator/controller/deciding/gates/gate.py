"""What a gate says."""

from __future__ import annotations

from dataclasses import dataclass, field

from schema_operator.api.schema_migration import State
from schema_operator.controller.deciding.decision import Event
from schema_operator.controller.deciding.statuses import Verdicts


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Why no run is started now.

    `stalled` says that only a change can help. What the state means for programs is in `states.STATES`.
    """

    state: State
    reason: str
    message: str
    requeue: float | None = None
    """Seconds after which to ask again; absent where something that is watched will change."""
    stalled: bool = False
    in_line: bool = False
    """Whether it stands in the line of its database, and will be looked at when it is its turn."""
    event: Event | None = None
    """What is told, where it was not told already. Of a hold that is `stalled`, its sentence is told anyway."""


@dataclass(frozen=True, slots=True)
class Passage:
    """What one gate says: the conditions it shows, and why it holds, if it does."""

    verdicts: Verdicts = field(default_factory=dict)
    hold: Hold | None = None
    approved_by: str | None = None
    """Who has approved what is about to be done, where somebody had to."""
    again: float | None = None
    """Seconds after which this must be asked again, because time alone changes it."""
    emergency: str | None = None
    """Why it does not hold although it should."""
