"""Versions that a person rolled back in SQL: which of them a run may apply again. Pure.

What was rolled back in an emergency had a reason that no run knows. So a run leaves it as it is and says who did it.
Once that has been said, a change of the spec is a decision, and counts as one; before, it may be older than the
emergency.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schema_operator.api.request import Acknowledgement
from schema_operator.errors import Location, Reason, Refused

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from schema_operator.api.request import Resource
    from schema_operator.api.version import Version
    from schema_operator.history.records import HeldVersion, History
    from schema_operator.scripts.script import Script

_MOST_NAMED: Final = 10
_SPEC: Final = "change the spec (any change counts from now on), or allow it (spec.allow: Reapply)"
_BY_HAND: Final = "allow it (--allow Reapply)"


def concerning(history: History, owner: str | None, versions: Collection[Version]) -> tuple[HeldVersion, ...]:
    """Give the versions rolled back by hand that are an owner's or among some versions."""
    return tuple(one for one in history.held if one.owner == owner or one.version in versions)


def unseen(held: Iterable[HeldVersion], resource: Resource | None) -> tuple[HeldVersion, ...]:
    """Give those that no run for a resource has found before; none where the run is for no resource of a cluster."""
    if resource is None or not resource.uid:
        return ()
    return tuple(one for one in held if resource.uid not in one.seen)


def may_apply_again(held: HeldVersion, resource: Resource | None, allow: Collection[str]) -> bool:
    """Whether a version is wanted in spite of its rollback: by name, or by a spec newer than what was said of it."""
    if Acknowledgement.REAPPLY in allow:
        return True
    seen = held.seen.get(resource.uid) if resource is not None and resource.uid else None
    return resource is not None and seen is not None and seen < resource.generation


def require_not_held(
    applies: Sequence[Script], history: History, owner: str | None, resource: Resource | None, allow: Collection[str]
) -> None:
    """Refuse to apply what a person rolled back; raises `Refused(RolledBackByHand)` with who did it and what to do."""
    by_version = {one.version: one for one in history.held}
    found = [
        (script, by_version[script.version])
        for script in applies
        if script.version in by_version and not may_apply_again(by_version[script.version], resource, allow)
    ]
    if found:
        first = found[0][0]
        again = _SPEC if resource is not None and resource.uid else _BY_HAND
        stay = history.highest(owner)
        raise Refused(
            Reason.ROLLED_BACK_BY_HAND,
            f"{described([held for _, held in found])}; to stay there, want {'0' if stay is None else stay}; to apply "
            f"it again, {again}",
            Location(version=first.version.text, file=first.up.file),
        )


def described(held: Sequence[HeldVersion]) -> str:
    """Say which versions were rolled back by hand, by whom and when."""
    deeds: dict[tuple[str, str], list[str]] = {}
    for one in held:
        deeds.setdefault((one.when, one.who), []).append(one.version.text)
    parts = [f"{_names(versions)} by {who or 'somebody'} at {when}" for (when, who), versions in deeds.items()]
    return f"rolled back by hand: {'; '.join(parts)}"


def _names(versions: Sequence[str]) -> str:
    if len(versions) <= _MOST_NAMED:
        return ", ".join(versions)
    return f"{len(versions)} versions from {versions[0]} to {versions[-1]}"
