"""Observations for tables: a migration, its target and its runs, with what does not matter left out."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from schema_operator.api.migration_approval import ApprovalDecision
from schema_operator.api.report import Action, Outcome, PlannedVersion, PlanSummary, RunReport
from schema_operator.api.schema_migration import (
    PlanStatus,
    PlanStep,
    RunOutcome,
    RunStatus,
    SchemaMigrationSpec,
    SchemaMigrationStatus,
)
from schema_operator.api.target_database import TargetDatabaseSpec, TargetDatabaseStatus
from schema_operator.controller import names
from schema_operator.controller.deciding.statuses import timestamp
from schema_operator.controller.observation import Approval, Ended, Migration, Observation, Run, Target, leaving

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
NIGHTLY: dict[str, Any] = {"windows": [{"schedule": "0 22 * * *", "duration": "2h", "timeZone": "UTC"}]}
"""A policy whose window is closed at NOW, and open at IN_WINDOW."""
IN_WINDOW = NOW.replace(hour=23)
SCRIPTS = "5c0ffee"
UID = "11111111-2222-3333-4444-555555555555"

SPEC = {
    "database": {"name": "shop"},
    "scripts": {"inline": [{"version": "1.0.0", "up": "CREATE TABLE t ()", "down": "DROP TABLE t"}]},
    "version": "1.0.0",
}


def ago(seconds: float) -> str:
    return timestamp(NOW - timedelta(seconds=seconds))


def migration(
    *,
    generation: int = 1,
    status: SchemaMigrationStatus | None = None,
    deleting: bool = False,
    finalizers: tuple[str, ...] = (),
    **spec: object,
) -> Migration:
    found = Migration(
        namespace="shop",
        name="shop",
        uid=UID,
        generation=generation,
        asked=f"asked {generation}",
        deleting=deleting,
        requested_at=None,
        spec=SchemaMigrationSpec.model_validate(SPEC | spec),
        status=status or SchemaMigrationStatus(),
        finalizers=finalizers,
    )
    return leaving(found)


def target(*, generation: int = 1, limit: int = 5, **policy: object) -> Target:
    spec = {
        "connection": {"uriSecret": {"name": "shop", "key": "uri"}},
        "policy": {"retries": {"limit": limit, "backoff": "10s", "maxBackoff": "1m"}, **policy},
    }
    return Target(
        namespace="shop",
        name="shop",
        uid="target-uid",
        generation=generation,
        asked=f"asked {generation}",
        spec=TargetDatabaseSpec.model_validate(spec),
        status=TargetDatabaseStatus(),
    )


def work(generation: int = 1) -> str:
    asked = f"asked {generation}"
    return names.work_digest(
        migration=(UID, asked), target=("target-uid", "asked 1"), scripts=SCRIPTS, requested_at=None
    )


def run(
    number: int = 1,
    *,
    ended: Ended | None = None,
    started: bool = True,
    generation: int = 1,
    failures: int = 0,
    recheck: bool = False,
    created: str | None = None,
    **extra: object,
) -> Run:
    values: dict[str, object] = {
        "name": names.job_name("shop", UID, work(generation), number),
        "work": work(generation),
        "number": number,
        "failures": failures,
        "generation": generation,
        "recheck": recheck,
        "created": created or ago(5),
        "started": started,
        "pod": "pod",
        "ended": ended,
        "trouble": None,
    }
    return Run(**(values | extra))  # type: ignore[arg-type]  # the table gives each field its own type


def report(outcome: Outcome = Outcome.DONE, **extra: object) -> RunReport:
    base = RunReport(run="r", outcome=outcome, action=Action.APPLY, message="version 1.0.0 applied", version="1.0.0")
    return msgspec.structs.replace(base, **extra)


def ended(outcome: RunOutcome = RunOutcome.DONE, *, counted: bool = False, **extra: object) -> Ended:
    values: dict[str, object] = {"outcome": outcome, "message": "it ended", "counted": counted, "reason": None}
    return Ended(**(values | extra))  # type: ignore[arg-type]  # the table gives each field its own type


def recorded(
    outcome: RunOutcome,
    *,
    number: int = 1,
    failures: int = 0,
    generation: int = 1,
    seconds_ago: float = 1,
    **extra: object,
) -> SchemaMigrationStatus:
    """Give a status whose last run ended so."""
    values: dict[str, object] = {
        "name": names.job_name("shop", UID, work(generation), number),
        "work": work(generation),
        "number": number,
        "failures": failures,
        "generation": generation,
        "outcome": outcome,
        "message": "it ended",
        "started_at": ago(seconds_ago + 4),
        "finished_at": ago(seconds_ago),
    }
    return SchemaMigrationStatus(
        observed_generation=generation, version="1.0.0", runs=[RunStatus.model_validate(values | extra)]
    )


def observation(
    of: Migration | None = None, *, runs: tuple[Run, ...] = (), at: Target | None = None, **extra: object
) -> Observation:
    values: dict[str, object] = {
        "migration": of or migration(),
        "target": at or target(),
        "scripts_digest": SCRIPTS,
        "problem": None,
        "runs": runs,
        "progress": None,
        "now": NOW,
    }
    return Observation(**(values | extra))  # type: ignore[arg-type]  # the table gives each field its own type


DIGEST = "a" * 64
NO = ApprovalDecision.REJECT


def plan(applies: int = 1, rollbacks: int = 0, *, digest: str = DIGEST, generation: int = 1) -> PlanStatus:
    """Give a plan to roll back and apply so many versions."""
    action = Action.ROLLBACK if rollbacks else Action.APPLY if applies else Action.NONE
    back = [PlanStep(version=f"{9 - n}", action=Action.ROLLBACK, file="d", statements=1) for n in range(rollbacks)]
    steps = [PlanStep(version=f"{n + 1}.0.0", action=Action.APPLY, file="u", statements=1) for n in range(applies)]
    return PlanStatus(
        digest=digest,
        work=work(generation),
        action=action,
        version_before="0",
        steps=[*back, *steps][:20],
        count=applies + rollbacks,
        applies=applies,
        rollbacks=rollbacks,
        position=7,
        made_at=ago(60),
    )


def says(
    decision: ApprovalDecision = ApprovalDecision.APPROVE,
    *,
    digest: str = DIGEST,
    created: float = 30,
    left: float | None = None,
    **extra: Any,
) -> Approval:
    """Give what a person has said so many seconds ago, and how long it still counts."""
    return Approval(
        name=extra.pop("name", "yes"),
        created=ago(created),
        plan_digest=digest,
        decision=decision,
        approver=extra.pop("approver", "alice"),
        expires=None if left is None else NOW + timedelta(seconds=left),
        **extra,
    )


def plan_report(versions: int = 1) -> RunReport:
    """Give the report of a run that has planned to apply so many versions."""
    steps = tuple(
        PlannedVersion(version=f"{number}", action=Action.APPLY, file="f", statements=1)
        for number in range(1, versions + 1)
    )
    summary = PlanSummary(digest=DIGEST, position=7, rollbacks=0, applies=versions, recorded=0)
    return report(plan=steps, planned=summary, version_before="0", version="0")
