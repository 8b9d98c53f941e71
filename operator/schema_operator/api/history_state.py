"""What is applied in a database, small enough to travel with every report: fingerprints, one for each owner."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import msgspec

from schema_operator.api.request import Record
from schema_operator.api.version import NOTHING

NOBODY = ""
"""Stands for the owner of versions that a person applied without a resource."""


def fingerprint(parts: Iterable[Sequence[str]]) -> str:
    """Give 64 bits of SHA-256 over lines of parts, as hex; enough to notice a change, and short."""
    text = "".join("\t".join(line) + "\n" for line in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


NOTHING_APPLIED = fingerprint(())
"""The fingerprint of an owner, or of a history, without any applied version."""


class OwnerState(Record, frozen=True, kw_only=True, array_like=True):
    """What is applied of one owner; an array in JSON, because a report may have 4,096 bytes."""

    owner: str
    """The resource, `namespace/name`, or `NOBODY`."""
    digest: str
    """Fingerprint of its versions and their checksums, in the order they were applied."""
    version: str = NOTHING
    """The highest of them."""
    versions: int = 0
    """How many there are."""
    counted: bool = False
    """Whether the resource of the run relies on them: its own, and those of others that are among its scripts."""


class HistoryState(Record, frozen=True, kw_only=True):
    """What is applied in the whole database, as one run or inspection has found or left it."""

    digest: str
    """Fingerprint of all owners, versions and checksums, in the order they were applied."""
    version: str = NOTHING
    """The highest version, of whomever."""
    owner: str | None = None
    """Whose it is; absent where nothing is applied."""
    versions: int = 0
    """How many versions are applied."""
    counted: int = 0
    """How many owners the resource of the run relies on."""
    owners: tuple[OwnerState, ...] = ()
    """The first of the owners: those relied on, those asked for, then those who applied something last."""
    left_out: int = 0
    """How many owners are not among them."""

    def cut(self, most: int) -> HistoryState:
        """Give the same with not more owners than that."""
        left_out = self.left_out + max(len(self.owners) - most, 0)
        return msgspec.structs.replace(self, owners=self.owners[:most], left_out=left_out)
