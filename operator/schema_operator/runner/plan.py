"""What a run will do, decided from the scripts and the history. Pure.

One rule: scripts up to the wanted version that the history lacks are applied, oldest first; applied versions above it
*that this owner applied* are rolled back before, newest first, with the SQL stored when they were applied. Versions of
other owners are never touched. A version that another owner has applied with the same script counts as applied, but is
not ours: it is not rolled back with us, and says nothing about the order of our versions. Where it is above the wanted
version, that version cannot be reached, and the run is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, NoReturn

from schema_operator.api.request import OutOfOrder
from schema_operator.api.version import NOTHING, Version
from schema_operator.errors import Location, Reason, Refused
from schema_operator.history.records import Direction
from schema_operator.scripts.reading import require_not_empty

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from schema_operator.history.records import AppliedVersion, History, OpenUnit
    from schema_operator.scripts.script import Script, ScriptSet


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done, in this order."""

    wanted: Version
    rollbacks: tuple[AppliedVersion, ...] = ()
    applies: tuple[Script, ...] = ()
    abandons: tuple[OpenUnit, ...] = ()
    """What was begun, has done nothing, and is not wanted any more; the last row about each. Comes first."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A version whose script is not the one it was applied with."""

    script: Script
    applied: AppliedVersion


def plan(
    scripts: ScriptSet,
    history: History,
    wanted: str | None,
    owner: str | None,
    out_of_order: OutOfOrder = OutOfOrder.REFUSE,
) -> Plan:
    """Decide what to do. The caller has found no `mismatches`.

    Raises `Refused`: EmptySource, MalformedVersion, UnknownVersion, NotReversible, VersionInTheWay, OutOfOrder.
    """
    goal = goal_of(scripts, history, wanted)
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
    _require_nothing_in_the_way(rollbacks, history, owner)
    _require_reversible(rollbacks)
    if out_of_order is OutOfOrder.REFUSE:
        _require_order(applies, history, owner, goal)
    abandons = _abandoned(history, owner, (*gone, *(one.version for one in applies)))
    return Plan(goal, rollbacks, applies, abandons)


def goal_of(scripts: ScriptSet, history: History, wanted: str | None) -> Version:
    """Give the version to reach: the wanted one, else the newest script's.

    Raises `Refused`: EmptySource (also where "0" is wanted: an empty source is a mistake more often than a wish),
    MalformedVersion, UnknownVersion for a version that is neither a script nor applied.
    """
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


def mismatches(scripts: ScriptSet, history: History, wanted: str | None) -> tuple[Mismatch, ...]:
    """Give the applied versions up to the wanted one whose scripts have changed since; raises as `goal_of` does.

    A script above the wanted version is not looked at: it is not run, and a rollback uses what is stored.
    """
    goal = goal_of(scripts, history, wanted)
    pairs = ((script, history.get(script.version)) for script in scripts.scripts if script.version <= goal)
    return tuple(
        Mismatch(script, applied)
        for script, applied in pairs
        if applied is not None and applied.checksum is not None and applied.checksum != script.up.checksum
    )


def refuse_mismatch(mismatch: Mismatch, stored: str | None, owner: str | None) -> NoReturn:
    """Refuse an edited script, with both hashes and, where the stored text is there, the first line that differs."""
    script, applied = mismatch.script, mismatch.applied
    line = None if stored is None else first_difference(stored, script.up.text)
    whose = "" if applied.owner == owner else f" by {applied.owner or 'a person, without a resource'}"
    where = "" if line is None else f", and line {line} is the first that differs"
    raise Refused(
        Reason.CHECKSUM_MISMATCH,
        f"the script was changed after it was applied{whose}: it was applied with SHA-256 {applied.checksum} and has "
        f"{script.up.checksum} now{where}; put the old text back and write the change as a new version",
        Location(version=script.version.text, file=script.up.file, line=line),
    )


def first_difference(stored: str, present: str) -> int | None:
    """Give the number of the first line that differs; None where only the bytes differ (a byte-order mark)."""
    pairs = zip_longest(stored.split("\n"), present.split("\n"))
    return next((number for number, (old, new) in enumerate(pairs, start=1) if old != new), None)


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
    for one in history.open:
        known = scripts.get(one.version)
        if one.owner != owner and known is not None and one.version <= goal:
            whose = one.owner or "nobody in particular (by hand, without --as)"
            _refuse_half_done(one, f"it was begun for {whose}, who must finish it first")
        ours = one.owner == owner and one.direction is Direction.APPLY and one.finished
        if ours and known is None:
            _refuse_half_done(one, "its script is no longer there; put it back, so that it can be finished")
        if ours and one.version > goal:
            _refuse_half_done(one, f"{goal} is wanted; want {one.version} until it is finished, then go back")


def _refuse_half_done(one: OpenUnit, why: str) -> NoReturn:
    what = "applied" if one.direction is Direction.APPLY else "rolled back"
    state = "done" if one.finished else "begun"
    raise Refused(
        Reason.PARTLY_APPLIED,
        f"this version is {what} in part (unit {one.unit} of {one.units} is {state}), and {why}",
        Location(version=one.version.text),
    )


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
