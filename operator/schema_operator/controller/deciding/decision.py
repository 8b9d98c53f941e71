"""What can be decided about one SchemaMigration, as records."""

from __future__ import annotations

from dataclasses import dataclass

from schema_operator.api.schema_migration import SchemaMigrationStatus
from schema_operator.controller.jobs import Start
from schema_operator.controller.observation import Ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing to tell, once a run."""

    type: str
    reason: str
    message: str
    run: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do: a status to show, a run to start, Jobs to delete or stop, things to tell.

    `requeue` says when to look again, in seconds.
    """

    status: SchemaMigrationStatus | None = None
    target_report: tuple[Ended, str] | None = None
    """What a run that has just ended says of its target, and the run's name."""
    start: Start | None = None
    delete: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    """Jobs to stop at a safe point; they stay and are harvested."""
    events: tuple[Event, ...] = ()
    requeue: float | None = None
    in_line: bool = False
    """Whether it waits in the line of its database."""
    finalizers: frozenset[str] = frozenset()
    """Those of ours that are on the resource afterwards; added before anything is started, taken off at the end."""
    passing: bool = False
    """Whether the status only shows what a run does, and need not be written if that is over in a moment."""
