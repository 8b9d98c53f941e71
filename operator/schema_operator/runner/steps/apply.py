"""Apply one version: its statements, its history row and its checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from schema_operator.errors import Location
from schema_operator.history import store
from schema_operator.history.records import Direction
from schema_operator.postgres.session import Begun, transaction_ended
from schema_operator.runner.report import Step
from schema_operator.runner.steps.archives import archiving
from schema_operator.runner.steps.record import applied_version, change_of
from schema_operator.runner.steps.units import Undertaking, carry_out
from schema_operator.runner.steps.verify import Reports, before_commit

if TYPE_CHECKING:
    from schema_operator.api.request import Verification
    from schema_operator.runner.workplace import Workplace
    from schema_operator.scripts.script import Script


def apply(work: Workplace, script: Script, verifications: Sequence[Verification]) -> None:
    """Apply a version; `verifications` are the resource's that run before its commit.

    Raises `Failed` where a statement or a check fails and all is rolled back, and as `units.carry_out` does.
    """
    version = script.version.text
    passed: Reports = ()

    def finish(begun: Begun) -> None:
        nonlocal passed
        work.session.restore()
        if store.record(work.session, change_of(work, script), work.author) != begun.transaction:
            raise transaction_ended(Location(version=version, file=script.up.file))
        if script.verify or verifications:
            work.session.unpin()
            passed = before_commit(work, script, verifications)

    def done() -> bool:
        return store.recorded(work.session, work.request.run, version, rollback=False)

    how = archiving(work, Direction.APPLY, script.allow)
    task = Undertaking(version, Direction.APPLY, Step.APPLYING, script.up, work.request.variables, finish, done, how)
    carry_out(work, task, work.history.open_units(script.version, Direction.APPLY))
    work.findings = work.findings.with_applied(applied_version(work, script)).with_verification(passed)
