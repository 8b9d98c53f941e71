"""The status of a TargetDatabase: what the runs have learnt of it. Pure."""

from __future__ import annotations

from datetime import datetime

from schema_operator.api.schema_migration import RunOutcome
from schema_operator.api.target_database import TargetConditionType, TargetDatabaseStatus, TargetRun
from schema_operator.controller.deciding.attempts import CONNECTION_REASONS
from schema_operator.controller.deciding.statuses import Verdict, succeeded, timestamp
from schema_operator.controller.observation import Ended, Target

RUNS_KEPT = 50


def first_status(target: Target, now: datetime) -> TargetDatabaseStatus:
    """Give the status of a target at a generation no run has seen yet."""
    if target.status.observed_generation == target.generation:
        return target.status
    return _with(
        target, target.status, Verdict("Unknown", "NotTried", "no run has connected with these settings yet"), now
    )


def status_after(target: Target, migration: str, run: str, ended: Ended, now: datetime) -> TargetDatabaseStatus:
    """Give the status of a target after a run has ended."""
    report = ended.report
    server = report.server if report else None
    entry = TargetRun(
        migration=migration,
        run=run,
        outcome=ended.outcome,
        version=report.version if report else None,
        finished_at=timestamp(now),
    )
    others = [item for item in target.status.runs or [] if item.migration != migration]
    update: dict[str, object] = {"runs": [entry, *others][:RUNS_KEPT]}
    if server is not None:
        update |= {
            "server_version": server.version,
            "system_identifier": server.system_identifier or None,
            "database": server.database,
        }
    return _with(target, target.status.model_copy(update=update), _reachable(ended, reached=server is not None), now)


def _reachable(ended: Ended, *, reached: bool) -> Verdict | None:
    if ended.reason in CONNECTION_REASONS:
        return Verdict("False", ended.reason or RunOutcome.REFUSED, ended.message)
    if reached:
        return Verdict("True", "Reachable", "the last run connected")
    return None


def _with(
    target: Target, status: TargetDatabaseStatus, reachable: Verdict | None, now: datetime
) -> TargetDatabaseStatus:
    if reachable is None:
        return status
    verdicts = {TargetConditionType.REACHABLE.value: reachable, TargetConditionType.READY.value: reachable}
    conditions = succeeded(target.status.conditions, verdicts, target.generation, now)
    return status.model_copy(update={"observed_generation": target.generation, "conditions": conditions})
