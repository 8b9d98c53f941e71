"""Which runs belong to what is asked for now, and what a run looks like in the status."""

from __future__ import annotations

from datetime import datetime

from schema_operator.api.report import Action, RunReport
from schema_operator.api.request import Mode
from schema_operator.api.schema_migration import RunStatus, SchemaMigrationStatus, StatementStatus
from schema_operator.controller import images, names
from schema_operator.controller.deciding.statuses import timestamp
from schema_operator.controller.observation import Ended, Observation, Run


def work_of(seen: Observation) -> str | None:
    """Give the digest of what is asked for now; None where target or scripts cannot be read."""
    if seen.target is None or seen.scripts_digest is None:
        return None
    return names.work_digest(
        migration=(seen.migration.uid, seen.migration.asked),
        target=(seen.target.uid, seen.target.asked),
        scripts=seen.scripts_digest,
        requested_at=seen.migration.requested_at,
        accepts=seen.migration.accepts,
    )


def scripts_image(seen: Observation, base: SchemaMigrationStatus, work: str) -> str | None:
    """Give the image of the scripts with the digest that runs before at this work have had; None where unknown."""
    image = seen.migration.spec.scripts.image
    if image is None:
        return None
    before = (*reversed(seen.runs), *(base.runs or ()))
    return images.pinned(image.reference, (run.scripts_image for run in before if run.work == work))


def unrecorded(seen: Observation) -> tuple[Run, ...]:
    """Give the runs whose end is not in the status yet, oldest first.

    Those older than the last recorded one have been recorded and forgotten, except where the status names one as the
    run in flight or it still works: times of the API server and of the controller cannot be compared.
    """
    status = seen.migration.status
    recorded = status.runs or []
    known = {item.name for item in recorded}
    last_started = recorded[0].started_at or "" if recorded else ""
    current = status.current_run.name if status.current_run else None
    return tuple(
        run
        for run in seen.runs
        if run.name not in known and (run.ended is None or run.name == current or run.created >= last_started)
    )


def run_status(run: Run, ended: Ended | None = None, now: datetime | None = None) -> RunStatus:
    """Give the entry of a run in the status; with its end, where it has ended."""
    report = ended.report if ended else None
    return RunStatus(
        name=run.name,
        work=run.work,
        number=run.number,
        failures=run.failures + (1 if ended and ended.counted else 0),
        generation=run.generation,
        mode=run.mode if run.mode is Mode.PLAN else None,
        approved_by=run.approved_by,
        action=_action(run, report) if report else None,
        outcome=ended.outcome if ended else None,
        reason=ended.reason if ended else None,
        message=ended.message if ended else None,
        version=report.version if report else None,
        versions=list(report.versions) if report and report.versions else None,
        place=_place(report) if report else None,
        blocker=report.blocker if report else None,
        scripts_image=run.scripts_image,
        started_at=run.created,
        finished_at=timestamp(now) if now else None,
    )


def _action(run: Run, report: RunReport) -> Action:
    """Give what a run did: one that only planned has done nothing, whatever its plan is about."""
    return Action.NONE if run.mode is Mode.PLAN else report.action


def _place(report: RunReport) -> StatementStatus | None:
    place = report.place
    if place is None:
        return None
    return StatementStatus(
        version=place.version,
        file=place.file,
        statement=place.statement,
        statements=place.statements,
        line=place.line,
        column=place.column,
        sqlstate=place.sqlstate,
    )
