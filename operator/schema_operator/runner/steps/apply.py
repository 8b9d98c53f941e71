"""Apply one version: its statements, its history row and its checks in one transaction, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from schema_operator.errors import Location
from schema_operator.history import store
from schema_operator.history.records import AppliedVersion, Change
from schema_operator.postgres.session import Begun, transaction_ended
from schema_operator.runner.report import Step
from schema_operator.runner.steps.scripted import run_script
from schema_operator.runner.steps.verify import Reports, before_commit
from schema_operator.runner.transaction import Deed, commit

if TYPE_CHECKING:
    from schema_operator.api.request import Verification
    from schema_operator.runner.workplace import Workplace
    from schema_operator.scripts.script import Script


def apply(work: Workplace, script: Script, verifications: Sequence[Verification]) -> None:
    """Apply a version; `verifications` are the resource's that run before its commit.

    Raises `Failed` where a statement or a check fails (all is rolled back), and as `transaction.commit` does.
    """
    version = script.version.text
    passed: Reports = ()

    def body(begun: Begun) -> None:
        nonlocal passed
        run_script(work, script.up, version, Step.APPLYING, work.request.variables)
        work.session.restore()
        if store.record(work.session, _change(work, script), work.author) != begun.transaction:
            raise transaction_ended(Location(version=version, file=script.up.file))
        if script.verify or verifications:
            work.session.unpin()
            passed = before_commit(work, script, verifications)

    def done() -> bool:
        return store.recorded(work.session, work.request.run, version, rollback=False)

    commit(work, Deed(body, done, f"version {version}"))
    applied = AppliedVersion(script.version, work.owner, script.up.checksum, script.down is not None)
    work.findings = work.findings.with_applied(applied).with_verification(passed)


def _name(work: Workplace, script: Script) -> str:
    """Name a script as its file is named; one that is written into the resource as its file would be."""
    return f"{script.version}_{script.name}" if work.request.inline and script.name else script.up.file


def _change(work: Workplace, script: Script) -> Change:
    return Change(
        version=script.version.text,
        rollback=False,
        description=work.request.description or script.name or None,
        script_name=_name(work, script),
        checksum=script.up.checksum,
        up=script.up.text,
        down=script.down.text if script.down else None,
        down_name=script.down.file if script.down else None,
        verify=script.verify.text if script.verify else None,
    )
