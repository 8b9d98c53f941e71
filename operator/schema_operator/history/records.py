"""The history as values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum, unique
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from schema_operator.api.version import Version


@dataclass(frozen=True, slots=True)
class AppliedVersion:
    """A version that is applied now."""

    version: Version
    owner: str | None
    """The resource it belongs to, `namespace/name`; None where a person applied it without one."""
    checksum: str | None
    """SHA-256 of its up script, in hex; None where somebody wrote the row by hand."""
    reversible: bool
    """Whether rollback SQL is stored."""


@unique
class Direction(StrEnum):
    """What is done to a version; the values are those of the column `action`."""

    APPLY = "apply"
    ROLLBACK = "rollback"


@unique
class UnitEvent(StrEnum):
    """What a row of the journal says of a unit; the values are those of the column `event`."""

    STARTED = "Started"
    FAILED = "Failed"
    FINISHED = "Finished"


@dataclass(frozen=True, slots=True)
class OpenUnit:
    """A row of the journal of a version that is applied or rolled back in part."""

    version: Version
    direction: Direction
    owner: str | None
    unit: int
    """Number of the unit in its script, from 1."""
    units: int
    """How many units the script had when the row was written."""
    checksum: str
    """Of the unit, as `Unit.checksum`."""
    event: UnitEvent
    """What the row says of it."""
    statements: str
    """What was begun; empty in other rows."""
    seen: tuple[int, ...]
    """Oids of the indexes that were there when it was begun."""

    @property
    def finished(self) -> bool:
        """Whether the unit is done."""
        return self.event is UnitEvent.FINISHED


def still_begun(rows: Iterable[OpenUnit]) -> dict[int, OpenUnit]:
    """Give the units, by their numbers, that were begun and of which nothing is known since; `rows` come in order."""
    begun: dict[int, OpenUnit] = {}
    for row in rows:
        if row.event is UnitEvent.STARTED:
            begun[row.unit] = row
        else:
            begun.pop(row.unit, None)
    return begun


@dataclass(frozen=True, slots=True)
class History:
    """What is applied now, in the order it was applied, and what is so in part."""

    applied: tuple[AppliedVersion, ...] = ()
    open: tuple[OpenUnit, ...] = ()

    def open_units(self, version: Version, direction: Direction) -> tuple[OpenUnit, ...]:
        """Give the open rows of the journal for a version, oldest first."""
        return tuple(one for one in self.open if one.version == version and one.direction is direction)

    def is_half_done(self, version: Version, direction: Direction) -> bool:
        """Whether units of a version are done, but not all."""
        return any(one.finished for one in self.open_units(version, direction))

    def get(self, version: Version) -> AppliedVersion | None:
        """Find a version (`1.0` finds `1.0.0`); None where it is not applied."""
        return next((one for one in self.applied if one.version == version), None)

    def of(self, owner: str | None) -> tuple[AppliedVersion, ...]:
        """Give the versions of one owner, in the order they were applied."""
        return tuple(one for one in self.applied if one.owner == owner)

    def highest(self, owner: str | None, wanted: Collection[Version] = ()) -> Version | None:
        """Give the highest version that is of one owner or among those wanted; None where there is none."""
        return max((one.version for one in self.applied if one.owner == owner or one.version in wanted), default=None)

    def with_applied(self, added: AppliedVersion) -> History:
        """Give the history after a version was applied."""
        return replace(self, applied=(*self.applied, added), open=self._closed(added.version, Direction.APPLY))

    def without(self, version: Version) -> History:
        """Give the history after a version was rolled back."""
        left = tuple(one for one in self.applied if one.version != version)
        return replace(self, applied=left, open=self._closed(version, Direction.ROLLBACK))

    def _closed(self, version: Version, direction: Direction) -> tuple[OpenUnit, ...]:
        return tuple(one for one in self.open if one.version != version or one.direction is not direction)


@dataclass(frozen=True, slots=True)
class Access:
    """What the present role may do with the control schema."""

    schema_owner: str
    """The role that may give rights to it."""
    tables: bool
    """Whether its tables are there."""
    enough: bool
    """Whether a run may read and write the history."""


@dataclass(frozen=True, slots=True)
class StoredScripts:
    """What a version was applied with."""

    up: str | None
    down: str | None
    down_name: str | None


@dataclass(frozen=True, slots=True)
class Author:
    """Who makes a change, and in which run."""

    actor: str
    run: str
    owner: str | None
    resource_uid: str | None
    program: str
    """The program with its version."""


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """What is written down of a unit."""

    version: str
    direction: Direction
    script_name: str
    unit: int
    units: int
    checksum: str
    statements: str


@dataclass(frozen=True, slots=True)
class Change:
    """What is written down for a version that was applied (`rollback` false) or rolled back."""

    version: str
    """As in the script's file name, without `-rollback`."""
    rollback: bool
    description: str | None
    script_name: str
    checksum: str
    up: str | None
    down: str | None
    down_name: str | None
    verify: str | None
