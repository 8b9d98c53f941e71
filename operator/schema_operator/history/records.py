"""The history as values."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum, unique
from typing import TYPE_CHECKING

from schema_operator.api.request import TransactionMode
from schema_operator.api.version import Version

if TYPE_CHECKING:
    from schema_operator.scripts.down_steps import DownSteps


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
    requires: tuple[Version, ...] = ()
    """The versions that must stay for as long as this one is applied."""


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
    batches: int = 0
    """How many batches of its rows are done; 0 for a unit that is not done in batches."""

    @property
    def finished(self) -> bool:
        """Whether the unit is done."""
        return self.event is UnitEvent.FINISHED

    @property
    def stays(self) -> bool:
        """Whether something of the unit is committed."""
        return self.finished or self.batches > 0


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
class HeldVersion:
    """A version that a person rolled back in SQL, and that was not applied since."""

    version: Version
    owner: str | None
    position: int
    """Of the rollback, in `version_scripts`."""
    when: str
    """When it was rolled back, in UTC."""
    who: str
    seen: Mapping[str, int] = field(default_factory=dict)
    """The generation of each resource, by UID, whose run has found that first."""


@dataclass(frozen=True, slots=True)
class History:
    """What is applied now, in the order it was applied, what is so in part, and what a person rolled back in SQL."""

    applied: tuple[AppliedVersion, ...] = ()
    open: tuple[OpenUnit, ...] = ()
    held: tuple[HeldVersion, ...] = ()
    """In the order they were rolled back."""
    _by_version: dict[Version, AppliedVersion] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Made when it is asked for: hundreds of scripts look for their versions."""

    def open_units(self, version: Version, direction: Direction) -> tuple[OpenUnit, ...]:
        """Give the open rows of the journal for a version, oldest first."""
        return tuple(one for one in self.open if one.version == version and one.direction is direction)

    def is_half_done(self, version: Version, direction: Direction) -> bool:
        """Whether units of a version are done, or batches of one, but not all."""
        return any(one.stays for one in self.open_units(version, direction))

    def get(self, version: Version) -> AppliedVersion | None:
        """Find a version (`1.0` finds `1.0.0`); None where it is not applied."""
        if len(self._by_version) < len(self.applied):
            self._by_version.update((one.version, one) for one in reversed(self.applied))
        return self._by_version.get(version)

    def of(self, owner: str | None) -> tuple[AppliedVersion, ...]:
        """Give the versions of one owner, in the order they were applied."""
        return tuple(one for one in self.applied if one.owner == owner)

    def highest(self, owner: str | None, wanted: Collection[Version] = ()) -> Version | None:
        """Give the highest version that is of one owner or among those wanted; None where there is none."""
        return max((one.version for one in self.applied if one.owner == owner or one.version in wanted), default=None)

    def with_applied(self, *added: AppliedVersion) -> History:
        """Give the history after versions were applied."""
        versions = [one.version for one in added]
        still_open = self._without_units(versions, Direction.APPLY)
        still_held = tuple(one for one in self.held if one.version not in versions)
        return replace(self, applied=(*self.applied, *added), open=still_open, held=still_held)

    def without(self, *versions: Version) -> History:
        """Give the history after versions were rolled back."""
        left = tuple(one for one in self.applied if one.version not in versions)
        return replace(self, applied=left, open=self._without_units(versions, Direction.ROLLBACK))

    def _without_units(self, versions: Collection[Version], direction: Direction) -> tuple[OpenUnit, ...]:
        return tuple(one for one in self.open if one.version not in versions or one.direction is not direction)


@dataclass(frozen=True, slots=True)
class Reading:
    """All that a run reads of the control schema before it decides."""

    control: Version
    """The control schema's own version."""
    recordable: bool
    """Whether the present role may write down what it does."""
    history: History
    expired: bool = False
    """Whether archives are older than they are kept, and the present role may drop them."""


@dataclass(frozen=True, slots=True)
class Access:
    """What the present role may do with the control schema."""

    schema_owner: str
    """The role that may give rights to it."""
    table_owner: str | None
    """The role that may change its tables; None where there are none."""
    owner_is_superuser: bool
    """Whether that role is a superuser."""
    may_become_owner: bool
    """Whether the user that is logged in may SET ROLE to it."""
    enough: bool
    """Whether a run may read and write the history."""


@dataclass(frozen=True, slots=True)
class StoredScripts:
    """What a version was applied with."""

    up: str | None
    down: str | None
    down_name: str | None
    variables: Mapping[str, str] = field(default_factory=dict)
    """Values the scripts were filled in with, which the rollback needs too."""
    down_transaction: TransactionMode = TransactionMode.AUTO
    """How the down script is divided into transactions."""


@dataclass(frozen=True, slots=True)
class Author:
    """Who makes a change, and in which run."""

    actor: str
    run: str
    owner: str | None
    resource_uid: str | None
    program: str
    """The program with its version."""
    reason: str | None = None
    """Why it is done although it should wait; absent where it need not."""


@dataclass(frozen=True, slots=True)
class RecordedChange:
    """A row of the history: what was done to a version."""

    version: Version
    rollback: bool
    baseline: bool
    """Whether it was recorded and not run."""
    by_hand: bool
    """Whether a person did it in SQL."""
    owner: str | None
    resource_uid: str | None
    checksum: str | None
    """SHA-256 of the script that was run, in hex."""


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
class BatchPosition:
    """How far a version has come that is done in batches."""

    started: int
    """Identity of the undertaking: the position of its first row in the journal."""
    batch: int
    """Number of the batch; 0 before the first."""
    after: str | None
    """The key above which the batch has its rows; None in the first, which has all up to `upto`."""
    upto: str | None
    """The highest key of the batch; None before the first."""
    last: str | None
    """The highest key when the undertaking began; None where the table was empty."""
    walked: int = 0
    """How many rows the batch went through."""
    changed: int = 0
    """How many rows its statement changed."""
    seconds: float = 0.0
    """How long its statement took."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is written down for a version that was applied (`rollback` false) or rolled back.

    A baseline (`baseline` true) is an application that is recorded and was not run.
    """

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
    baseline: bool = False
    requires: tuple[str, ...] = ()
    """Versions that must not be rolled back before this one."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Values the scripts were filled in with."""
    down_transaction: TransactionMode = TransactionMode.AUTO
    down_steps: DownSteps | None = None
    """The down script made ready for `schema_operator.emergency_rollback`; absent without one."""
