"""`spec.requires.migrations`: others come first, and when everything goes, they go first."""

from __future__ import annotations

from schema_operator.api.schema_migration import SchemaMigrationStatus, State
from schema_operator.controller.deciding.gates.gate import Hold, Passage
from schema_operator.controller.observation import Observation
from schema_operator.controller.surroundings import Neighbour
from schema_operator.errors import Reason

_MOST_NAMED = 5


def required(seen: Observation, base: SchemaMigrationStatus) -> Passage:  # noqa: ARG001 (gates are asked alike)
    """Hold until all required migrations are Ready; for version "0", until those that require this one are at it too.

    Both are watched: whoever waits is looked at again when one of them changes.
    """
    around = seen.around
    if around.circle:
        message = (
            f"these migrations require each other, so none of them can be the first: {' -> '.join(around.circle)}; "
            "take one of them out of spec.requires.migrations of another"
        )
        return Passage(hold=Hold(state=State.STALLED, reason=Reason.DEPENDENCY_CYCLE, message=message, stalled=True))
    missing = [_missing(one) for one in around.required if not one.ready]
    if missing:
        return _waiting(f"waits for what spec.requires.migrations names: {_named(missing)}")
    standing = [f"{one.name} ({one.state})" for one in around.dependents if one.applied]
    if standing:
        return _waiting(
            f"is rolled back after those that require it: {_named(standing)}; delete them, or want their version 0, "
            "or take this one out of their spec.requires.migrations"
        )
    return Passage()


def _missing(one: Neighbour) -> str:
    return f"{one.name} ({one.state})" if one.exists else f"{one.name}, which does not exist in this namespace"


def _named(items: list[str]) -> str:
    more = f" and {len(items) - _MOST_NAMED} more" if len(items) > _MOST_NAMED else ""
    return ", ".join(items[:_MOST_NAMED]) + more


def _waiting(message: str) -> Passage:
    return Passage(hold=Hold(state=State.PENDING, reason="WaitingForMigration", message=message))
