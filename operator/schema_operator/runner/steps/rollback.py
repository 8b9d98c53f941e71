"""Roll back one version with the SQL that was stored when it was applied, in one transaction, or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schema_operator.errors import Location, Reason, Refused
from schema_operator.history import store
from schema_operator.history.records import AppliedVersion, Change
from schema_operator.postgres.session import Begun, transaction_ended
from schema_operator.runner.report import Step
from schema_operator.runner.steps.scripted import run_script
from schema_operator.runner.transaction import Deed, commit, look
from schema_operator.scripts.script import Source

if TYPE_CHECKING:
    from schema_operator.runner.workplace import Workplace


def rollback(work: Workplace, applied: AppliedVersion) -> None:
    """Roll a version back; raises `Failed` where a statement fails, and as `transaction.commit` does."""
    version = applied.version.text
    source = look(work, lambda: _stored(work, applied), pinned=True)

    def body(begun: Begun) -> None:
        run_script(work, source, version, Step.ROLLING_BACK, work.request.variables)
        work.session.restore()
        if store.record(work.session, _change(version, source), work.author) != begun.transaction:
            raise transaction_ended(Location(version=version, file=source.file))

    def done() -> bool:
        return store.recorded(work.session, work.request.run, version, rollback=True)

    commit(work, Deed(body, done, f"the rollback of version {version}"))
    work.findings = work.findings.with_rolled_back(applied)


def _stored(work: Workplace, applied: AppliedVersion) -> Source:
    stored = store.stored_scripts(work.session, applied.version)
    if stored.down is None:
        raise Refused(
            Reason.NOT_REVERSIBLE,
            "no rollback script is stored with this version",
            Location(version=applied.version.text),
        )
    return Source.from_bytes(stored.down_name or f"the rollback script of {applied.version}", stored.down.encode())


def _change(version: str, source: Source) -> Change:
    return Change(
        version=version,
        rollback=True,
        description=f"Rollback of {version}",
        script_name=source.file,
        checksum=source.checksum,
        up=None,
        down=source.text,
        down_name=source.file,
        verify=None,
    )
