"""What a run will do, decided from the scripts and the history. Pure.

One rule: scripts up to the wanted version that the history lacks are applied, oldest first; applied versions above it
*that this owner applied* are rolled back before, newest first, with the SQL stored when they were applied. Versions of
other owners are never touched. A version that another owner has applied with the same script counts as applied, but is
not ours: it is not rolled back with us, and says nothing about the order of our versions. Where it is above the wanted
version, that version cannot be reached, and the run is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from schema_operator.api.request import OutOfOrder
from schema_operator.api.version import NOTHING, Version
from schema_operator.errors import Location, Reason, Refused
from schema_operator.history.records import AppliedVersion, Direction
from schema_operator.runner import dependencies
from schema_operator.runner.held import require_not_held
from schema_operator.scripts.reading import require_not_empty

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from schema_operator.api.request import Resource
    from schema_operator.history.records import History, OpenUnit
    from schema_operator.scripts.script import Script, ScriptSet


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done, in this order: what is abandoned, the baseline, the rollbacks, the applications."""

    wanted: Version
    rollbacks: tuple[AppliedVersion, ...] = ()
    applies: tuple[Script, ...] = ()
    abandons: tuple[OpenUnit, ...] = ()
    """What was begun, has done nothing, and is not wanted any more; the last row about each. Comes first."""
    baseline: tuple[Script, ...] = ()
    """What is recorded as applied, and not run."""

    @property
    def changes(self) -> bool:
        """Whether anything is done at all."""
        return bool(self.abandons or self.rollbacks or self.applies or self.baseline)


def plan(
    scripts: ScriptSet,
    history: History,
    wanted: str | None,
    owner: str | None,
    out_of_order: OutOfOrder = OutOfOrder.REFUSE,
    *,
    requires: Sequence[str] = (),
    baseline: tuple[Script, ...] = (),
    resource: Resource | None = None,
    allow: Collection[str] = (),
) -> Plan:
    """Decide what to do. The caller has judged edited scripts, and decided on the baseline.

    `requires` are the versions that must be applied before anything is; `baseline` is recorded as applied first;
    `resource` and `allow` say whether what a person rolled back in SQL is wanted again.
    Raises `Refused`: EmptySource, MalformedVersion, UnknownVersion, NotReversible, VersionInTheWay, RolledBackByHand,
    OutOfOrder, MissingDependency, DependencyCycle.
    """
    goal = goal_of(scripts, history, wanted)
    history = history.with_applied(*(as_applied(script, owner) for script in baseline))
    _require_resumable(scripts, history, owner, goal)
    rollbacks = tuple(
        one for one in reversed(history.of(owner)) if one.version > goal or _half_rolled_back(one.version, history)
    )
    gone = {one.version for one in rollbacks}
    applies = tuple(
        one
        for one in scripts.scripts
        if one.version <= goal and (history.get(one.version) is None or one.version in gone)
    )
    _require_none_of_others_above(scripts, history, owner, goal)
    require_not_held(applies, history, owner, resource, allow)
    dependencies.require_free(rollbacks, history)
    _require_nothing_in_the_way(rollbacks, history, owner)
    _require_reversible(rollbacks)
    if out_of_order is OutOfOrder.REFUSE:
        _require_order(applies, history, owner, goal)
    dependencies.require_no_cycle(applies)
    dependencies.require_versions(scripts, history, dependencies.Planned(rollbacks, applies), requires)
    abandons = _abandoned(history, owner, (*gone, *(one.version for one in applies)))
    return Plan(goal, rollbacks, applies, abandons, baseline)


def as_applied(script: Script, owner: str | None) -> AppliedVersion:
    """Give what the history holds of a script once it is applied."""
    reversible = script.down is not None
    return AppliedVersion(script.version, owner, script.up.checksum, reversible, dependencies.required_by(script))


def baseline_of(
    scripts: ScriptSet,
    recorded: Collection[tuple[Version, str | None]],
    baseline: Version,
    wanted: Version,
    owner: str | None,
) -> tuple[Script, ...]:
    """Give the scripts that a database has already without a history of them: those up to the baseline.

    `recorded` is every version that was ever applied, recorded or rolled back, with its owner. Where the baseline is
    among them, it has done its work, and nothing is recorded again: what was rolled back since is gone.
    Raises `Refused`: UnknownVersion where the baseline is no script, InvalidSpec where these scripts have a history, or
    where a lower version is wanted.
    """
    if any(version == baseline for version, _ in recorded):
        return ()
    if scripts.get(baseline) is None:
        raise Refused(
            Reason.UNKNOWN_VERSION,
            f"the baseline {baseline} is none of the scripts, which go from {scripts.scripts[0].version} to "
            f"{scripts.scripts[-1].version}; name the script the database is at",
        )
    _require_no_history(scripts, recorded, baseline, owner)
    if wanted < baseline:
        raise Refused(
            Reason.INVALID_SPEC,
            f"the baseline {baseline} is above the wanted version {wanted}, so what the database has already would be "
            f"rolled back at once; want {baseline} first, and lower the version afterwards if that is meant",
        )
    return tuple(one for one in scripts.scripts if one.version <= baseline)


def _require_no_history(
    scripts: ScriptSet, recorded: Collection[tuple[Version, str | None]], baseline: Version, owner: str | None
) -> None:
    """Refuse a baseline beside a history of the same scripts, or of the same owner: one of the two is not true."""
    ours = sorted(version for version, whose in recorded if whose == owner or scripts.get(version) is not None)
    if ours:
        found = f"{ours[0]} and {len(ours) - 1} more are" if len(ours) > 1 else f"{ours[0]} is"
        raise Refused(
            Reason.INVALID_SPEC,
            f"the baseline {baseline} is for a database without a history of these scripts, but {found} "
            f"recorded in it and {baseline} is not; take the baseline away, so that what is missing is applied",
        )


def goal_of(scripts: ScriptSet, history: History, wanted: str | None) -> Version:
    """Give the version to reach: the wanted one, else the newest script's.

    Raises `Refused`: EmptySource (also where "0" is wanted: an empty source is a mistake more often than a wish),
    MalformedVersion, UnknownVersion for a version that is neither a script nor applied.
    """
    if scripts.needless:
        return Version.parse(NOTHING)
    newest = require_not_empty(scripts).scripts[-1].version
    if wanted is None:
        return newest
    goal = Version.parse(wanted)
    if goal.is_nothing or scripts.get(goal) is not None or history.get(goal) is not None:
        return goal
    raise Refused(
        Reason.UNKNOWN_VERSION,
        f"there is no script of version {goal} and it is not applied; the scripts go from {scripts.scripts[0].version} "
        f"to {newest}; correct the version or add its script",
    )


def _half_rolled_back(version: Version, history: History) -> bool:
    """Whether a rollback is done in part: it is finished first, whatever is wanted now."""
    return history.is_half_done(version, Direction.ROLLBACK)


def _abandoned(history: History, owner: str | None, goes_on: Collection[Version]) -> tuple[OpenUnit, ...]:
    """Give the statements of ours that were begun, and with which this plan does not go on."""
    last = {(one.version, one.direction): one for one in history.open if one.owner == owner}
    return tuple(
        one
        for (version, direction), one in last.items()
        if version not in goes_on and not history.is_half_done(version, direction)
    )


def _require_resumable(scripts: ScriptSet, history: History, owner: str | None, goal: Version) -> None:
    """Refuse where a version is applied in part and what is wanted now does not finish it."""
    for one in reversed(history.open):
        known = scripts.get(one.version)
        if one.owner != owner and known is not None and one.version <= goal:
            whose = one.owner or "nobody in particular (by hand, without --as)"
            _refuse_half_done(one, f"it was begun for {whose}, who must finish it first")
        ours = one.owner == owner and one.direction is Direction.APPLY and one.stays
        if ours and known is None:
            _refuse_half_done(one, "its script is no longer there; put it back, so that it can be finished")
        if ours and one.version > goal:
            _refuse_half_done(one, f"{goal} is wanted; want {one.version} until it is finished, then go back")


def _refuse_half_done(one: OpenUnit, why: str) -> NoReturn:
    what = "applied" if one.direction is Direction.APPLY else "rolled back"
    raise Refused(
        Reason.PARTLY_APPLIED,
        f"this version is {what} in part ({_state(one)}), and {why}",
        Location(version=one.version.text),
    )


def _state(one: OpenUnit) -> str:
    if one.batches:
        return "1 batch of its rows is done" if one.batches == 1 else f"{one.batches} batches of its rows are done"
    return f"unit {one.unit} of {one.units} is {'done' if one.finished else 'begun'}"


def _require_none_of_others_above(scripts: ScriptSet, history: History, owner: str | None, goal: Version) -> None:
    """Refuse where another owner applied one of our scripts that must not be there: the version cannot be reached."""
    above = [one for one in history.applied if one.version > goal and scripts.get(one.version) is not None]
    others = [one for one in above if one.owner != owner]
    if others:
        raise Refused(
            Reason.VERSION_IN_THE_WAY,
            f"{goal} is wanted, but another owner has applied {_names_with_owners(others)}, which is among these "
            "scripts; only its owner can roll it back; let it do so, or want "
            f"{max(one.version for one in others)} or higher",
            Location(version=others[0].version.text),
        )


def _require_nothing_in_the_way(rollbacks: Sequence[AppliedVersion], history: History, owner: str | None) -> None:
    """Refuse where another owner applied something after the oldest change that would be undone."""
    if not rollbacks:
        return
    later = history.applied[history.applied.index(rollbacks[-1]) + 1 :]
    others = [one for one in later if one.owner != owner]
    if others:
        raise Refused(
            Reason.VERSION_IN_THE_WAY,
            f"rolling back {_names(rollbacks)} would take away what later versions of others may build on: "
            f"{_names_with_owners(others)}; roll those back first",
            Location(version=rollbacks[-1].version.text),
        )


def _require_reversible(rollbacks: Sequence[AppliedVersion]) -> None:
    lacking = [one for one in rollbacks if not one.reversible]
    if lacking:
        raise Refused(
            Reason.NOT_REVERSIBLE,
            f"no rollback script was stored with {_names(lacking)} when it was applied, so nothing is rolled back; "
            "write a new version that undoes the change",
            Location(version=lacking[0].version.text),
        )


def _require_order(applies: Sequence[Script], history: History, owner: str | None, goal: Version) -> None:
    """Refuse scripts below the highest version of the same owner that stays."""
    highest = max((one.version for one in history.of(owner) if one.version <= goal), default=Version.parse(NOTHING))
    late = [one for one in applies if one.version < highest]
    if late:
        names = ", ".join(one.version.text for one in late)
        raise Refused(
            Reason.OUT_OF_ORDER,
            f"{names} is below {highest}, which is applied already, so it was never tried in this order; give it a "
            "higher version, or allow it: with policy.outOfOrder: Allow in the TargetDatabase, by hand with "
            "--out-of-order Allow",
            Location(version=late[0].version.text, file=late[0].up.file),
        )


def _names_with_owners(versions: Sequence[AppliedVersion]) -> str:
    return ", ".join(f"{one.version} (of {one.owner or 'no resource, by hand without --as'})" for one in versions)


def _names(versions: Sequence[AppliedVersion]) -> str:
    return ", ".join(one.version.text for one in versions)
