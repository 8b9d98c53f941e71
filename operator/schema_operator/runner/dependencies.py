"""What versions require of each other, and whether a plan keeps to it. Pure.

A version that is required must be there before the one that requires it: applied already, by whomever, or applied
earlier in the same plan. It stays for as long as the other is applied.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from schema_operator.api.version import Version
from schema_operator.errors import NOWHERE, Location, Reason, Refused

if TYPE_CHECKING:
    from schema_operator.history.records import AppliedVersion, History
    from schema_operator.scripts.script import Script, ScriptSet


@dataclass(frozen=True, slots=True)
class Planned:
    """The part of a plan that requirements are about."""

    rollbacks: Sequence[AppliedVersion]
    applies: Sequence[Script]


def required_by(script: Script) -> tuple[Version, ...]:
    """Give the versions a script requires; raises `Refused(MalformedVersion)` with the script's place."""
    return tuple(_version(text, _place(script)) for text in script.requires)


def require_no_cycle(applies: Sequence[Script]) -> None:
    """Refuse versions that require each other, so that none of them can be the first.

    Raises `Refused(DependencyCycle)` with the shortest circle, in its order.
    """
    by_version = {script.version: script for script in applies}
    for script in applies:
        # In every circle there is a script that requires itself or a higher version.
        for upward in (one for one in required_by(script) if one >= script.version and one in by_version):
            if way := _way(by_version, by_version[upward], script):
                raise _cycle(way)


def _way(by_version: Mapping[Version, Script], start: Script, end: Script) -> tuple[Script, ...] | None:
    """Find the shortest way from one script to another along what they require; None where there is none."""
    ways: deque[tuple[Script, ...]] = deque([(start,)])
    seen = {start.version}
    while ways:
        way = ways.popleft()
        if way[-1] is end:
            return way
        for one in required_by(way[-1]):
            if one in by_version and one not in seen:
                seen.add(one)
                ways.append((*way, by_version[one]))
    return None


def _cycle(way: tuple[Script, ...]) -> Refused:
    """Name a circle; `way` ends with the script that requires the first of it."""
    *_, last = way
    names = [one.version.text for one in (last, *way)]
    if len(way) == 1:
        sentence = "the version requires itself; take the requirement away"
    else:
        steps = ", ".join(f"{name} requires {required}" for name, required in pairwise(names))
        sentence = f"the versions require each other in a circle: {steps}; take one of the requirements away"
    return Refused(Reason.DEPENDENCY_CYCLE, sentence, _place(last))


def require_versions(scripts: ScriptSet, history: History, planned: Planned, of_the_run: Sequence[str]) -> None:
    """Refuse a plan in which a required version would not be there in time; `of_the_run` must be before anything.

    Raises `Refused`: MissingDependency with the version and who requires it, MalformedVersion.
    """
    stays = history.without(*(one.version for one in planned.rollbacks))
    for version in (_version(text, NOWHERE) for text in of_the_run if planned.applies):
        if stays.get(version) is None:
            raise Refused(
                Reason.MISSING_DEPENDENCY,
                f"the version {version} must be there before anything is applied (spec.requires.versions; by hand "
                "--requires-version), but "
                f"{_absence(version, scripts, history, _OURS)}",
            )
    done: set[Version] = set()
    for script in planned.applies:
        for version in required_by(script):
            if stays.get(version) is None and version not in done:
                raise Refused(
                    Reason.MISSING_DEPENDENCY,
                    f"the version requires {version}, but {_absence(version, scripts, history, _TOO_LATE)}",
                    _place(script),
                )
        done.add(script.version)


_TOO_LATE: Final = (
    "it is one of these scripts, not applied yet and not lower, so it would come too late: lower versions are applied "
    "first; change the versions so that the required one is lower, or take the requirement away"
)
_OURS: Final = (
    "it is one of these scripts and not applied yet; let the script that needs it say so in its header "
    "(-- schema-operator: requires=VERSION)"
)


def _absence(version: Version, scripts: ScriptSet, history: History, ours: str) -> str:
    """Say why a required version is not there in time, and what to do; `ours` is for one of these scripts."""
    if history.get(version) is not None:
        return "this run would roll it back before; want a version from which it stays"
    if scripts.get(version) is not None:
        return ours
    return "it is neither applied nor among these scripts; apply it first, or add its script"


def require_free(rollbacks: Sequence[AppliedVersion], history: History) -> None:
    """Refuse to roll back a version that another one, of whomever, requires and that stays.

    Raises `Refused(VersionInTheWay)` with both.
    """
    going = {one.version: one for one in rollbacks}
    for one in history.applied:
        for version in one.requires:
            if version in going and one.version not in going:
                raise Refused(
                    Reason.VERSION_IN_THE_WAY,
                    f"rolling back {version} would take away what {one.version} "
                    f"(of {one.owner or 'no resource, by hand without --as'}) requires; roll {one.version} back first",
                    Location(version=going[version].version.text),
                )


def _version(text: str, place: Location) -> Version:
    try:
        return Version.parse(text)
    except Refused as refused:
        raise Refused(refused.reason, f"{refused.sentence} (it is named as a requirement)", place) from None


def _place(script: Script) -> Location:
    return Location(version=script.version.text, file=script.up.file)
