"""Show: say what a run would do, version by version, and do nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from schema_operator.api.report import Action, PlannedVersion
from schema_operator.errors import Location
from schema_operator.history.records import Direction
from schema_operator.postgres.guard import GUARD
from schema_operator.postgres.sqlstate import ServerFailure, to_error
from schema_operator.runner.steps.install import require_recordable
from schema_operator.runner.steps.rollback import stored_down
from schema_operator.runner.steps.units import refuse_edited, require_abandonable
from schema_operator.runner.transaction import look
from schema_operator.scripts.units import UnitKind, is_atomic, units_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schema_operator.history.records import AppliedVersion
    from schema_operator.runner.plan import Plan
    from schema_operator.runner.workplace import Workplace
    from schema_operator.scripts.script import Script, Source


def show(work: Workplace, decided: Plan) -> None:
    """Put what would be done among the findings, the baseline and the rollbacks first, as a run would do it.

    Raises as `transaction.look` does, and as a run would where the role may not write into the history.
    """
    if decided.changes:
        require_recordable(work)
    for one in decided.abandons:
        require_abandonable(work, one)
    rollbacks = look(work, lambda: _rollbacks(work, decided.rollbacks), pinned=True)
    baseline = tuple(_recorded(one) for one in decided.baseline)
    for script in decided.applies:
        begun = work.history.open_units(script.version, Direction.APPLY)
        place = Location(version=script.version.text, file=script.up.file)
        refuse_edited(f"version {script.version}", place, units_of(script.up), begun)
    applies = tuple(_planned(one.version.text, Action.APPLY, one.up) for one in decided.applies)
    work.findings = replace(work.findings, shown=(*baseline, *rollbacks, *applies), blocker=_at_work(work))


def _recorded(script: Script) -> PlannedVersion:
    """Describe what would be recorded and not run."""
    return PlannedVersion(version=script.version.text, action=Action.NONE, file=script.up.file, statements=0, units=0)


def _planned(version: str, action: Action, source: Source) -> PlannedVersion:
    """Describe what would be done to one version; the one place that says how a script would be divided."""
    units = units_of(source)
    return PlannedVersion(
        version=version,
        action=action,
        file=source.file,
        statements=units[0].count if units else 0,
        units=max(len(units), 1),
        atomic=is_atomic(units),
        in_batches=any(one.kind is UnitKind.BATCHES for one in units),
    )


def _rollbacks(work: Workplace, versions: Sequence[AppliedVersion]) -> tuple[PlannedVersion, ...]:
    sources = ((one.version.text, stored_down(work, one.version)[0]) for one in versions)
    return tuple(_planned(version, Action.ROLLBACK, source) for version, source in sources)


def _at_work(work: Workplace) -> str | None:
    """Name the run that is at work, if one is: what it has yet to commit is not in the history of this plan."""
    try:
        holders = work.guard.holders(GUARD)
    except ServerFailure as failure:
        raise to_error(failure) from None
    return ", ".join(one.at_work for one in holders) or None
