"""Roll back one version with the SQL that was stored when it was applied."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from schema_operator.errors import Location, Reason, Refused
from schema_operator.history import store
from schema_operator.history.records import AppliedVersion, Change, Direction
from schema_operator.postgres.session import Begun, transaction_ended
from schema_operator.runner.report import Step
from schema_operator.runner.steps.archives import archiving, put_back
from schema_operator.runner.steps.units import Undertaking, carry_out
from schema_operator.runner.transaction import look
from schema_operator.scripts import reading
from schema_operator.scripts.script import Source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schema_operator.api.version import Version
    from schema_operator.runner.workplace import Workplace
    from schema_operator.scripts.script import Script, Source


def rollback(work: Workplace, applied: AppliedVersion, script: Script | None) -> None:
    """Roll a version back; `script` is what is there of it now, to know where in its file the stored text stands.

    Raises `Failed` where a statement fails, and as `units.carry_out` does.
    """
    version = applied.version.text
    source, variables = look(work, lambda: stored_down(work, applied.version), pinned=True)
    if script is not None and script.down is not None and script.down.text == source.text:
        source = replace(source, file=script.down.file, line=script.down.line)

    def finish(begun: Begun) -> None:
        work.session.restore()
        if how is not None and source.restores:
            put_back(work, version)
        if store.record(work.session, _change(version, source), work.author) != begun.transaction:
            raise transaction_ended(Location(version=version, file=source.file))

    def done() -> bool:
        return store.recorded(work.session, work.request.run, version, rollback=True)

    how = archiving(work, Direction.ROLLBACK)
    task = Undertaking(version, Direction.ROLLBACK, Step.ROLLING_BACK, source, variables, finish, done, how)
    carry_out(work, task, work.history.open_units(applied.version, Direction.ROLLBACK))
    work.findings = work.findings.with_rolled_back(applied)


def stored_down(work: Workplace, version: Version, until: int | None = None) -> tuple[Source, Mapping[str, str]]:
    """Read the rollback script, in a transaction, and the variables it needs: those of its version come first.

    It is that of the last application, or of the last one up to a position of the history (`until`).
    Raises `Refused(NotReversible)` where none is stored.
    """
    stored = store.stored_scripts(work.session, version, until)
    if stored.down is None:
        raise Refused(
            Reason.NOT_REVERSIBLE,
            "no rollback script is stored with this version",
            Location(version=version.text),
        )
    file = stored.down_name or f"the rollback script of {version}"
    source = reading.from_stored(file, stored.down, version)
    return replace(source, transaction=stored.down_transaction), {**work.request.variables, **stored.variables}


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
