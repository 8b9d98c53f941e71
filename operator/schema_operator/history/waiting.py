"""Whether what is applied is what somebody waits for, and if not, why. Pure.

Only the wanted version itself counts, however it is spelt (`1.4` is `1.4.0`): that a higher one is applied says nothing
of it, since versions may come out of order, and may be rolled back while a higher one stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from schema_operator.api.version import Version
from schema_operator.errors import Refused

Applied = tuple[str, str | None]
"""A row of `applied_versions`: the version as it is written there, and its owner."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is waited for."""

    version: Version
    owner: str | None = None
    """Whose version it must be, `namespace/name`; None where anybody's will do."""
    newer_is_enough: bool = False
    """Whether a history of the owner that begins above the version counts as well; means something with an owner."""

    def __str__(self) -> str:
        return f"version {self.version}" + (f" of {self.owner}" if self.owner else "")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether it is there, in a sentence too."""

    reached: bool
    sentence: str


def judge(wanted: Wanted, applied: Sequence[Applied] | None) -> Verdict:
    """Decide by what is applied now; `applied` is None where the database has no history."""
    if applied is None:
        return Verdict(
            False,
            "the database has no history yet: no run has worked on it; if one has, this is another database than "
            "that run's",
        )
    known = tuple(_readable(applied))
    same = [(version, owner) for version, owner in known if version == wanted.version]
    for version, owner in same:
        if wanted.owner in {None, owner}:
            spelt = "" if version.text == wanted.version.text else f", as {version}"
            return Verdict(True, f"{wanted} is applied{spelt}")
    if same:
        return Verdict(False, _of_others(wanted, same))
    return _without_it(wanted, [version for version, owner in known if wanted.owner in {None, owner}])


def _readable(applied: Sequence[Applied]) -> Iterable[tuple[Version, str | None]]:
    """Leave out rows that only a person can have written: what is no version is not the wanted one."""
    for text, owner in applied:
        try:
            yield Version.parse(text), owner
        except Refused:
            continue


def _of_others(wanted: Wanted, same: Sequence[tuple[Version, str | None]]) -> str:
    owner = same[0][1]
    if owner is None:
        return (
            f"version {wanted.version} is applied, but by hand and for no resource, so it is not one of "
            f"{wanted.owner}; to count it, leave --of out"
        )
    return (
        f"version {wanted.version} is applied, but it is one of {owner} and not of {wanted.owner}; to count it, say "
        f"--of {owner}, or leave --of out"
    )


def _without_it(wanted: Wanted, there: Sequence[Version]) -> Verdict:
    """Decide where the version is not applied; `there` are the versions that count."""
    of = f" of {wanted.owner}" if wanted.owner else ""
    if not there:
        return Verdict(False, f"{wanted} is not applied; nothing{of} is applied yet")
    lowest, highest = min(there), max(there)
    if highest < wanted.version:
        return Verdict(False, f"{wanted} is not applied; the highest applied version{of} is {highest}")
    if lowest < wanted.version:
        return Verdict(
            False,
            f"{wanted} is not applied, although {highest} is: it was rolled back, or is still to come, or there is no "
            "such version",
        )
    if wanted.newer_is_enough:
        return Verdict(True, f"{wanted} counts as applied: the history{of} begins above it, with {lowest}")
    return Verdict(
        False,
        f"{wanted} is not applied, and what is begins above it, with {lowest}; where that holds what the wanted "
        "version did (a baseline, for example), --newer-is-enough, with --of, counts it",
    )
