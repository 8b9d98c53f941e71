"""The history as fingerprints, for the report. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schema_operator.api.history_state import NOBODY, HistoryState, OwnerState, fingerprint
from schema_operator.api.version import NOTHING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from schema_operator.api.version import Version
    from schema_operator.history.records import AppliedVersion, History

_MOST_OWNERS: Final = 50


def state_of(
    history: History, *, own: str | None = None, wanted: Collection[Version] = (), asked: Sequence[str] = ()
) -> HistoryState:
    """Give what is applied, as a whole and by owner.

    `own` is the owner a run is for, and `wanted` the versions of its scripts: owners that have applied one of these are
    relied on. `asked` are owners somebody wants to know about, also where they have applied nothing.
    """
    by_owner: dict[str, list[AppliedVersion]] = {}
    for one in history.applied:
        by_owner.setdefault(one.owner or NOBODY, []).append(one)
    others = {one.owner or NOBODY for one in history.applied if one.version in wanted}
    counted = [] if own is None else list(dict.fromkeys((own, *sorted(others))))
    order = dict.fromkeys((*counted, *asked, *_newest_first(history)))
    highest = max(history.applied, key=lambda one: one.version, default=None)
    return HistoryState(
        digest=_digest(history.applied),
        version=highest.version.text if highest else NOTHING,
        owner=highest.owner or NOBODY if highest else None,
        versions=len(history.applied),
        counted=len(counted),
        owners=tuple(_state(one, by_owner.get(one, ()), counted=one in counted) for one in order),
    ).cut(_MOST_OWNERS)


def _newest_first(history: History) -> Iterable[str]:
    return (one.owner or NOBODY for one in reversed(history.applied))


def _state(owner: str, versions: Sequence[AppliedVersion], *, counted: bool) -> OwnerState:
    highest = max((one.version for one in versions), default=None)
    return OwnerState(
        owner=owner,
        digest=_digest(versions),
        version=highest.text if highest else NOTHING,
        versions=len(versions),
        counted=counted,
    )


def _digest(versions: Iterable[AppliedVersion]) -> str:
    return fingerprint((one.owner or NOBODY, one.version.text, one.checksum or "") for one in versions)
