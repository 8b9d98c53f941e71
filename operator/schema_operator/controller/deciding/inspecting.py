"""What to do next about one TargetDatabase: when it is looked at without a run. Pure.

An inspection is due when the connection has not been tried, when a person asks by an annotation, when the interval is
over since the last look, by whomever, and some time after one that failed. A run that works there will tell as much, so
nothing but a person's wish starts an inspection beside it. And no run waits for one: it holds no lock.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from schema_operator.api.duration import seconds
from schema_operator.api.schema_migration import RunOutcome
from schema_operator.api.target_database import (
    InspectionStatus,
    TargetConditionType,
    TargetDatabaseStatus,
)
from schema_operator.controller import names
from schema_operator.controller.deciding.attempts import RECHECKED, RECHECKED_SLOWLY, SECRET_RECHECK_SECONDS, backoff
from schema_operator.controller.deciding.statuses import Verdict, moment, timestamp
from schema_operator.controller.observation import Ended, Run, Target
from schema_operator.controller.target_status import (
    first_status,
    is_older,
    status_after_inspection,
    untried,
    without_runs_of,
)
from schema_operator.errors import Reason

FIRST_SECONDS = 5.0
"""How long a target with a new connection waits for a run, which would tell as much as an inspection."""
BUSY_SECONDS = 30.0
"""How soon it is asked again whether a run still works there."""
FLIGHT_SECONDS = 30.0
"""How soon an inspection is looked at although nothing was heard of it."""
LEAST_WAIT_SECONDS = 5.0
"""Between inspections that fail: their number has no limit."""
JITTER = 0.1
DEADLINE_SECONDS = 120
"""An inspection takes about a second; more only where a host does not answer, or its pod cannot start."""
_TOO_LONG = f"the inspection did not end within {DEADLINE_SECONDS} s: its pod did not start, or the host did not answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """The Job of an inspection."""

    run: Run
    connection: str
    requested_at: str | None
    began: str
    """When it was started, by the controller's clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSeen:
    """Everything known of one TargetDatabase at one instant."""

    target: Target
    inspections: tuple[Inspection, ...]
    """Oldest first."""
    busy: bool
    """Whether a run of a migration works there, as far as is known."""
    gone: frozenset[str] = frozenset()
    """Migrations that the status names and that are not there any more."""
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StartInspection:
    """The decision to start an inspection."""

    name: str
    connection: str
    requested_at: str | None
    began: str
    failures: int
    """How many in a row before this one did not end well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetDecision:
    """What to do: a status to show, an inspection to start, Jobs to delete; `requeue` says when to look again."""

    status: TargetDatabaseStatus | None = None
    start: StartInspection | None = None
    delete: tuple[str, ...] = ()
    requeue: float | None = None


def decide_target(seen: TargetSeen) -> TargetDecision:
    """Decide the next step for one target."""
    target = seen.target
    if target.deleting:
        return TargetDecision()
    status = without_runs_of(first_status(target, seen.now), seen.gone)
    recorded = status.inspection.name if status.inspection else None
    old = tuple(one.run.name for one in seen.inspections if one.run.name == recorded)
    current = [one for one in seen.inspections if one.run.name != recorded]
    working = [one for one in current if one.run.ended is None]
    if working:
        return TargetDecision(status=_shown(seen, status, working[-1].run), delete=old, requeue=FLIGHT_SECONDS)
    for one in current:
        if one.run.ended is not None:
            status = _harvested(seen, status, one, one.run.ended)
    delete = (*old, *(one.run.name for one in current))
    start, requeue = _next(seen, status)
    return TargetDecision(status=status, start=start, delete=delete, requeue=requeue)


def _shown(seen: TargetSeen, status: TargetDatabaseStatus, run: Run) -> TargetDatabaseStatus:
    """Say why the first look does not begin, where nothing else is known."""
    if run.trouble is None or _ready(status) != "Unknown":
        return status
    verdict = Verdict("Unknown", run.trouble.reason, f"{run.trouble.message} (Job {run.name})")
    return untried(seen.target, status, verdict, seen.now)


def _harvested(seen: TargetSeen, status: TargetDatabaseStatus, one: Inspection, ended: Ended) -> TargetDatabaseStatus:
    before = status.inspection or InspectionStatus()
    current = one.connection == seen.target.connection
    inspection = InspectionStatus(
        name=one.run.name,
        finished_at=timestamp(seen.now),
        failures=0 if ended.outcome is RunOutcome.DONE else one.run.failures + 1,
        connection=one.connection if current else before.connection,
        requested_at=one.requested_at,
        overtaken=_overtaken(status, one, ended, seen.now) or None,
    )
    if not current:  # it has tried what is not there any more, and says nothing of what is
        return status.model_copy(update={"inspection": inspection})
    at = replace(seen.target, status=status)
    following = status_after_inspection(at, ended, inspection, one.began, seen.now)
    if ended.report is None and _ready(following) == "Unknown":
        message = _TOO_LONG if ended.reason is Reason.DEADLINE_EXCEEDED else ended.message
        return untried(at, following, Verdict("Unknown", ended.reason or ended.outcome, message), seen.now)
    return following


def _overtaken(status: TargetDatabaseStatus, one: Inspection, ended: Ended, now: datetime) -> bool:
    """Tell whether a run that has ended since tells something else, so that nobody knows which of the two is so now."""
    history = ended.report.history if ended.report else None
    return history is not None and is_older(one.began, status, now) and history.digest != status.history_digest


def _next(seen: TargetSeen, status: TargetDatabaseStatus) -> tuple[StartInspection | None, float | None]:
    """Give the inspection to start, or the seconds after which to ask again."""
    target, last = seen.target, status.inspection or InspectionStatus()
    if target.spec.inspection.suspend:
        return None, None
    asked = target.requested_at is not None and target.requested_at != last.requested_at
    when = seen.now if asked else _due(seen, status, last)
    if when is None:
        return None, None
    if when > seen.now:
        return None, (when - seen.now).total_seconds()
    if seen.busy and not asked:
        return None, BUSY_SECONDS
    began = timestamp(seen.now)
    if began == status.history_seen_at:
        # A run has ended in this second. What is read now could not be told from what was there before its end.
        return None, 1.0
    name = names.inspection_name(
        target.name, target.uid, target.connection, target.requested_at or "", last.name or "", last.finished_at or ""
    )
    return (
        StartInspection(
            name=name,
            connection=target.connection,
            requested_at=target.requested_at,
            began=began,
            failures=last.failures,
        ),
        FLIGHT_SECONDS,
    )


def _due(seen: TargetSeen, status: TargetDatabaseStatus, last: InspectionStatus) -> datetime | None:
    """Give when the next inspection is due by itself; None where nothing but a change asks for one."""
    target = seen.target
    if last.connection != target.connection:
        since = next(
            (one.last_transition_time for one in status.conditions if one.type == TargetConditionType.REACHABLE), None
        )
        return (moment(since) if since else seen.now) + timedelta(seconds=FIRST_SECONDS)
    if last.overtaken and last.finished_at:
        return min(moment(last.finished_at), seen.now) + timedelta(seconds=FIRST_SECONDS)
    looks = [last.finished_at or "", *(run.finished_at for run in status.runs or [])]
    latest = max(looks)
    if not latest:
        return seen.now
    wait = _wait(target, status, last)
    if wait is None:
        return None
    # A time to come was written by a controller whose clock was ahead; waiting for it could take for ever.
    return min(moment(latest), seen.now) + timedelta(seconds=wait * _spread(target.uid, latest))


def _wait(target: Target, status: TargetDatabaseStatus, last: InspectionStatus) -> float | None:
    """Give the seconds from the last look to the next."""
    retries = target.spec.policy.retries
    longest = max(seconds(retries.max_backoff), SECRET_RECHECK_SECONDS)
    reason = next((one.reason for one in status.conditions if one.type == TargetConditionType.READY), "")
    if _ready(status) != "True" or last.failures:
        doubled = backoff(last.failures, retries) if last.failures else longest
        if reason in RECHECKED:
            return min(max(doubled, SECRET_RECHECK_SECONDS), longest)
        if reason in RECHECKED_SLOWLY:
            return longest
        return min(max(doubled, LEAST_WAIT_SECONDS), longest)
    return seconds(target.spec.inspection.interval) or None


def _ready(status: TargetDatabaseStatus) -> str:
    return next((one.status for one in status.conditions if one.type == TargetConditionType.READY), "Unknown")


def _spread(*parts: str) -> float:
    """Give a factor around 1: another for each target and each time, and the same when it is asked for again."""
    digest = hashlib.sha256("/".join(parts).encode()).digest()
    return 1 - JITTER + 2 * JITTER * int.from_bytes(digest[:4], "big") / 0xFFFF_FFFF
