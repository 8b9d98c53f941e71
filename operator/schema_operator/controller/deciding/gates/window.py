"""Maintenance windows and freezes of the TargetDatabase."""

from __future__ import annotations

from datetime import timedelta

from schema_operator.api.duration import seconds
from schema_operator.api.schema_migration import ConditionType, RunOutcome, SchemaMigrationStatus, State
from schema_operator.controller.deciding.gates.gate import Hold, Passage
from schema_operator.controller.deciding.statuses import Verdict, moment, timestamp
from schema_operator.controller.observation import Observation
from schema_operator.controller.windows import InvalidWindow, Opening, opening
from schema_operator.errors import Reason

LATEST_LOOK_SECONDS = 3600.0
"""A clock may be set while it is waited for: no wait is longer than this."""


def window(seen: Observation, base: SchemaMigrationStatus) -> Passage:
    """Hold a run that would begin outside of a window, in a freeze, or too late to fit."""
    policy = seen.target.spec.policy if seen.target is not None else None
    if policy is None or not (policy.windows or policy.freezes):
        return Passage()
    need = expected(seen, base)
    try:
        found = opening(policy.windows or (), policy.freezes or (), seen.now, need or timedelta())
    except InvalidWindow as error:
        message = f"spec.policy of the TargetDatabase {seen.migration.spec.database.name}: {error}"
        return _closed(seen, Hold(state=State.STALLED, reason=Reason.INVALID_WINDOW, message=message, stalled=True))
    if found.open:
        until = f" until {timestamp(found.until)}" if found.until else ""
        return Passage({ConditionType.WINDOW_OPEN: Verdict("True", "WindowOpen", f"a run may begin{until}")})
    return _closed(seen, _hold(seen, found, need))


def _hold(seen: Observation, found: Opening, need: timedelta | None) -> Hold:
    if found.next is None:
        never = _never(found, need)
        return Hold(state=State.STALLED, reason=Reason.WINDOW_TOO_SHORT, message=never, stalled=True)
    return Hold(
        state=State.AWAITING_WINDOW,
        reason="AwaitingWindow",
        message=_sentence(found, need),
        requeue=min((found.next - seen.now).total_seconds(), LATEST_LOOK_SECONDS),
    )


def _closed(seen: Observation, hold: Hold) -> Passage:
    emergency = seen.migration.spec.emergency
    if emergency is None:
        return Passage({ConditionType.WINDOW_OPEN: Verdict("False", hold.reason, hold.message)}, hold)
    verdict = Verdict("True", "Emergency", f"spec.emergency opens every window: {emergency.reason}")
    return Passage({ConditionType.WINDOW_OPEN: verdict}, emergency=emergency.reason)


def expected(seen: Observation, base: SchemaMigrationStatus) -> timedelta | None:
    """Give how long a run is expected to take: as the spec says, or as the longest that changed something took."""
    declared = seen.migration.spec.expected_duration
    if declared is not None:
        return timedelta(seconds=seconds(declared))
    took = [
        moment(run.finished_at) - moment(run.started_at)
        for run in base.runs or ()
        if run.outcome is RunOutcome.DONE and run.versions and run.started_at and run.finished_at
    ]
    return max(took, default=None)


def _sentence(found: Opening, need: timedelta | None) -> str:
    why = f"no run may begin now ({found.frozen})" if found.frozen else "no maintenance window is open"
    fits = f" that is long enough for a run of {_length(need)}" if need else ""
    when = timestamp(found.next) if found.next else ""
    return f"{why}; the next opening{fits} is at {when}; spec.emergency opens it at once"


def _never(found: Opening, need: timedelta | None) -> str:
    if found.longest is None or need is None:
        return "no maintenance window of the TargetDatabase will ever open; correct spec.policy.windows and freezes"
    return (
        f"no maintenance window is long enough: a run is expected to take {_length(need)}, and the longest opening is "
        f"{_length(found.longest)}; make a window longer, set spec.expectedDuration if less is expected, or divide the "
        "migration"
    )


def _length(length: timedelta) -> str:
    whole = round(length.total_seconds())
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    parts = [f"{number}{unit}" for number, unit in ((hours, "h"), (minutes, "m"), (rest, "s")) if number]
    return "".join(parts) or "0s"
