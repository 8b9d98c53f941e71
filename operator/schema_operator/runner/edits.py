"""Applied versions whose scripts were edited since: which, how, and what that means. Pure.

An edit that cannot have changed what the script does is said and passed over. Any other is refused or, where the policy
is Warn, said: the database stays as it was applied, and the edited script is run only on databases to come.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from schema_operator.errors import Location, Reason, Refused
from schema_operator.runner.plan import goal_of
from schema_operator.scripts.difference import Edit, edit_of, first_difference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schema_operator.history.records import AppliedVersion, History
    from schema_operator.scripts.script import Script, ScriptSet

_MOST_NAMED: Final = 10
_POLICY: Final = "policy.checksums: Warn in the TargetDatabase, by hand --checksums Warn"


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A version whose script is not, byte for byte, the one it was applied with."""

    script: Script
    applied: AppliedVersion


@dataclass(frozen=True, slots=True)
class Edited:
    """A mismatch, looked at."""

    script: Script
    applied: AppliedVersion
    edit: Edit
    line: int | None
    """The first line that differs, counted in the file; None where the old text is not stored."""

    @property
    def location(self) -> Location:
        """The place of the edit."""
        return Location(version=self.script.version.text, file=self.script.up.file, line=self.line)


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


def edited(mismatch: Mismatch, stored: str | None) -> Edited:
    """Look at a mismatch; `stored` is the text the version was applied with, None where none is stored."""
    script, applied = mismatch.script, mismatch.applied
    if stored is None:
        return Edited(script, applied, Edit.TEXT, None)
    line = first_difference(stored, script.up.text)
    return Edited(script, applied, edit_of(stored, script.up.text), None if line is None else line + script.up.line - 1)


Said = tuple[str, str]
"""A version and a sentence about it."""


def harmless(found: Sequence[Edited]) -> tuple[Said, ...]:
    """Say, in a sentence for each kind, which edits are passed over; the version is the first of its kind."""
    kinds: dict[Edit, list[Edited]] = {}
    for one in found:
        if one.edit.harmless:
            kinds.setdefault(one.edit, []).append(one)
    return tuple(
        (
            those[0].script.version.text,
            f"{_names(those)}: not as applied, but {edit.value} differ, which changes nothing",
        )
        for edit, those in kinds.items()
    )


def warnings(found: Sequence[Edited], owner: str | None) -> tuple[Said, ...]:
    """Say, in a sentence for each, which edits may have changed what a script does."""
    return tuple(
        (one.script.version.text, f"{one.location}: {_sentence(one, owner)}; the database stays as it was applied")
        for one in found
        if not one.edit.harmless
    )


def refuse(found: Sequence[Edited], owner: str | None) -> None:
    """Refuse edits that may have changed what a script does: the first in full, the others by name."""
    bad = [one for one in found if not one.edit.harmless]
    if not bad:
        return
    first, *others = bad
    more = f"; the same is true of {_names(others)}" if others else ""
    raise Refused(
        Reason.CHECKSUM_MISMATCH,
        f"{_sentence(first, owner)}; put the old text back and write the change as a new version, or accept it "
        f"({_POLICY}){more}",
        first.location,
    )


def _sentence(one: Edited, owner: str | None) -> str:
    whose = "" if one.applied.owner == owner else f" by {one.applied.owner or 'a person, without a resource'}"
    where = "" if one.line is None else f", and line {one.line} is the first that differs"
    what = f" ({one.edit.value}, differ)" if one.edit is Edit.QUOTED_LINE_ENDS else ""
    return (
        f"the script was changed after it was applied{whose}: it was applied with SHA-256 {one.applied.checksum} and "
        f"has {one.script.up.checksum} now{where}{what}"
    )


def _names(those: Sequence[Edited]) -> str:
    names = ", ".join(one.script.version.text for one in those[:_MOST_NAMED])
    more = len(those) - _MOST_NAMED
    return f"{names} and {more} more" if more > 0 else names
