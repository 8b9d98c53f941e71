"""A history that is not as the last run left it, with nothing new asked for: what a run may do about it. Pure.

What is missing is applied again: the same was asked for, and was there. What is there beyond it is never taken away:
another cluster, a person or a backup has brought it, with rows in it, and nobody here has asked for its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schema_operator.errors import Location, Reason, Refused

if TYPE_CHECKING:
    from schema_operator.runner.plan import Plan

_MOST_NAMED: Final = 10


def require_forward(decided: Plan) -> None:
    """Refuse a plan that rolls something back; raises `Refused(HistoryAhead)`."""
    if not decided.rollbacks:
        return
    versions = [one.version.text for one in reversed(decided.rollbacks)]
    names = ", ".join(versions[:_MOST_NAMED])
    more = f" and {len(versions) - _MOST_NAMED} more" if len(versions) > _MOST_NAMED else ""
    raise Refused(
        Reason.HISTORY_AHEAD,
        f"the database has {names}{more}, which the last run of this resource did not leave there, and "
        f"{decided.wanted} is wanted; nothing was rolled back, because that was not asked for since; to keep what is "
        f"there, want {versions[-1]}; to roll it back, give the annotation schema-operator.dev/requested-at a new "
        "value, or change the spec",
        Location(version=versions[0]),
    )
