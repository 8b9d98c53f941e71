"""Planned: the digest of a plan, and the proof that what was planned is what is done."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from schema_operator.api.report import Action, PlanSummary
from schema_operator.errors import Reason, Retryable
from schema_operator.history import store
from schema_operator.runner.digest import Place, Step, applied, digest, rolled_back
from schema_operator.runner.steps.rollback import stored_down
from schema_operator.runner.transaction import look

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schema_operator.api.version import Version
    from schema_operator.history.records import AppliedVersion, RecordedChange
    from schema_operator.runner.plan import Plan
    from schema_operator.runner.workplace import Workplace
    from schema_operator.scripts.script import ScriptSet


def summarise(work: Workplace, decided: Plan) -> None:
    """Put the plan in short among the findings; raises as `transaction.look` does."""
    at_work = work.findings.blocker  # each transaction that gets through forgets who was in the way
    summary = PlanSummary(
        digest=_digest(work, work.history.applied, _steps(work, decided)),
        position=look(work, lambda: _position(work), pinned=True),
        rollbacks=len(decided.rollbacks),
        applies=len(decided.applies),
        recorded=len(decided.baseline),
    )
    work.findings = replace(work.findings, summary=summary, blocker=at_work)


def require_planned(work: Workplace, decided: Plan, scripts: ScriptSet, *, first: bool = False) -> None:
    """Refuse what is not what was planned, where something was: nothing has been changed yet.

    A plan of which the first steps are done, by runs of the same resource and since it was made, goes on: what was
    planned is then what was done since and what is left, from the history as it was. `first` says that there is no
    history at all yet. Raises `Retryable(PlanChanged)`.
    """
    planned = work.request.planned
    if planned is None or not (decided.rollbacks or decided.applies or decided.baseline):
        return
    if (decided.applies and not planned.may_apply) or (decided.rollbacks and not planned.may_roll_back):
        raise _changed("it has to be approved, and nobody has")
    left = _steps(work, decided)
    if _digest(work, work.history.applied, left) == planned.digest:
        return
    since = () if first else look(work, lambda: store.changes_since(work.session, planned.position), pinned=True)
    if others := [one for one in since if not _ours(work, one)]:
        raise _changed(f"the history has moved since: {_described(others)}")
    done = _done(work, since, scripts, planned.position)
    if done:
        before = look(work, lambda: store.applied_until(work.session, planned.position), pinned=True)
        if _digest(work, before, (*done, *left)) == planned.digest:
            return
    raise _changed("the scripts, their variables, the rules or the database are not what they were")


def _changed(why: str) -> Retryable:
    return Retryable(
        Reason.PLAN_CHANGED,
        f"nothing was changed, because what would be done is not what was planned: {why}; it is planned anew, and "
        "waits for a new approval where one is required",
    )


def _steps(work: Workplace, decided: Plan) -> tuple[Step, ...]:
    """Describe what is done, in its order."""
    variables = work.request.variables
    return (
        *(applied(one, variables, Action.NONE) for one in decided.baseline),
        *(_rollback(work, one.version) for one in decided.rollbacks),
        *(applied(one, variables) for one in decided.applies),
    )


def _rollback(work: Workplace, version: Version, until: int | None = None) -> Step:
    return rolled_back(version.text, *look(work, lambda: stored_down(work, version, until), pinned=True))


def _digest(work: Workplace, history: Sequence[AppliedVersion], steps: Sequence[Step]) -> str:
    server = work.findings.server
    place = Place(server.system_identifier if server else "", work.facts.database, work.address.role or "")
    return digest(place, work.request, work.owner, history, steps)


def _position(work: Workplace) -> int:
    return store.newest_position(work.session) if store.installed(work.session) else 0


def _ours(work: Workplace, change: RecordedChange) -> bool:
    resource = work.request.resource
    return (
        resource is not None
        and not change.by_hand
        and (change.owner, change.resource_uid) == (resource.owner, resource.uid)
    )


def _described(changes: Sequence[RecordedChange]) -> str:
    first, *more = changes
    deed = "rolled back" if first.rollback else "applied"
    whose = f" by hand, of {first.owner}" if first.by_hand else f" for {first.owner or 'no resource, by hand'}"
    return f"{first.version} was {deed}{whose}" + (f", and {len(more)} more changes" if more else "")


def _done(
    work: Workplace, changes: Sequence[RecordedChange], scripts: ScriptSet, position: int
) -> tuple[Step, ...] | None:
    """Describe what was done since; None where that was with other scripts than those that are there."""
    steps = []
    for change in changes:
        script = scripts.get(change.version)
        if change.rollback:
            steps.append(_rollback(work, change.version, position))
        elif script is not None and script.up.checksum == change.checksum:
            action = Action.NONE if change.baseline else Action.APPLY
            steps.append(applied(script, work.request.variables, action))
        else:
            return None
    return tuple(steps)
