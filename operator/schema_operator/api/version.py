"""Versions of a schema and their order.

The order is semver 2.0's (https://semver.org/#spec-item-11) where a version is one, and the same rule read loosely
where it is not: `12`, `1.4` and `20260101120000` are compared by their numbers, and numbers that are missing count as
0. A version is kept as it is written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import total_ordering

from schema_operator.errors import Reason, Refused

MAX_LENGTH = 41
"""So that `VERSION-rollback` fits the `varchar(50)` of `schema_versions.version`."""
ROLLBACK_SUFFIX = "-rollback"
NOTHING = "0"
"""The version of a schema to which nothing has been applied."""
NOTHING_PATTERN = r"^[0.]+([-+].*)?$"
"""Writings of versions that are not above `NOTHING`, among those that fit `PATTERN`; RE2 as well as Python."""
PATTERN = r"^[0-9]+(\.[0-9]+)*(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$"
"""RE2 as well as Python: the CRDs use the same pattern. Identifiers after a dash or a plus may hold dashes anywhere
(semver 2.0, items 9 and 10)."""

_FORM = re.compile(PATTERN.removeprefix("^").removesuffix("$"))


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """A version: `text` as written, equal and ordered by precedence (so `1.0` equals `1.0.0` and `1.0+build`)."""

    text: str
    _key: tuple[tuple[int, ...], tuple[tuple[int, int, str], ...]] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Version:
        """Read a version; raises `Refused(MalformedVersion)` with what is wrong with it."""
        if len(text) > MAX_LENGTH:
            raise Refused(
                Reason.MALFORMED_VERSION,
                f"the version {text[:MAX_LENGTH]!r}… has {len(text)} characters; at most {MAX_LENGTH} are possible, "
                f"so that {ROLLBACK_SUFFIX!r} can be added in schema_versions; shorten it",
            )
        if not _FORM.fullmatch(text):
            raise Refused(
                Reason.MALFORMED_VERSION,
                f"{text!r} is not a version; write it as numbers with dots, for example 1.4.0, 12 or 20260101120000, "
                "with a pre-release after a dash if need be (1.4.0-rc.1)",
            )
        if text.endswith(ROLLBACK_SUFFIX) or text.partition("+")[0].endswith(ROLLBACK_SUFFIX):
            raise Refused(
                Reason.MALFORMED_VERSION,
                f"the version {text!r} ends in {ROLLBACK_SUFFIX!r}, which marks rollbacks in schema_versions; "
                "rename it",
            )
        release, _, pre = text.partition("+")[0].partition("-")
        numbers = [int(part) for part in release.split(".")]
        while numbers and numbers[-1] == 0:
            numbers.pop()
        return cls(text, (tuple(numbers), _precedence(pre)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self._key == other._key

    def __lt__(self, other: object) -> bool:
        return self._key < other._key if isinstance(other, Version) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key)

    def __str__(self) -> str:
        return self.text

    @property
    def is_nothing(self) -> bool:
        """Whether this is version 0, the empty schema."""
        return self._key == ((), _precedence(""))


def _precedence(pre: str) -> tuple[tuple[int, int, str], ...]:
    """Semver 2.0 item 11.3 and 11.4.

    A release is higher than its pre-releases, numbers are lower than words, and a longer list of identifiers is higher
    than its beginning.
    """
    if not pre:
        return ((2, 0, ""),)
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in pre.split("."))
