"""Run a script inside the open transaction, statement by statement, so that an error names its statement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from schema_operator.errors import Failed, Location
from schema_operator.postgres.session import transaction_ended
from schema_operator.postgres.sqlstate import ServerFailure
from schema_operator.runner.transaction import Watch
from schema_operator.scripts.statements import is_about_rows, is_setting, may_change_settings, statements_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schema_operator.runner.report import Step
    from schema_operator.runner.workplace import Workplace
    from schema_operator.scripts.script import Source
    from schema_operator.scripts.statements import Statement

_WORDS = {"Applying": "applying", "RollingBack": "rolling back", "Installing": "installing the control schema"}


def run_script(work: Workplace, source: Source, version: str, step: Step) -> None:
    """Run a whole script inside the open transaction; raises as `run_statements` does."""
    statements = statements_of(source)
    run_statements(work, Part(source, version, step, len(statements)), statements)


@dataclass(frozen=True, slots=True)
class Part:
    """Whose statements are run, and why."""

    source: Source
    version: str
    step: Step
    count: int
    """How many statements the whole script has."""

    @property
    def place(self) -> Location:
        """Where the script is."""
        return Location(version=self.version, file=self.source.file)


def run_statements(work: Workplace, part: Part, statements: Sequence[Statement]) -> None:
    """Run statements of a script in order, in the open transaction or, where none is open, each by itself.

    Raises `ServerFailure` with the place of the statement, `Failed`, `PartlyApplied` and `Stopped`.
    """
    limits = _Limits(work)
    for statement in statements:
        work.stop.check()
        _say(work, part, statement)
        limits.before(statement)
        _run_statement(work, statement, part)
        limits.after(statement)


class _Limits:
    """Keeps our limits in force while statements of a script run in a transaction.

    Who only reads and writes rows may wait for them: as long as the transaction has no stronger lock, that keeps nobody
    from anything but those rows. Before the first other statement, and again wherever the script may have changed its
    settings since, the limits of the attempt are put (back) in force.
    """

    def __init__(self, work: Workplace) -> None:
        self._work = work
        self._watches = work.session.in_transaction
        self._only_rows = True
        self._loose = False

    def before(self, statement: Statement) -> None:
        if not self._watches:
            return
        if self._only_rows and is_about_rows(statement):
            if not self._loose:
                self._work.session.be_patient(self._work.request.locks.give_up_seconds)
                self._loose = True
            return
        self._only_rows = self._only_rows and may_change_settings(statement)
        if self._loose and not is_setting(statement):
            self._work.session.impose()
            self._loose = False

    def after(self, statement: Statement) -> None:
        self._loose = self._loose or may_change_settings(statement)


def _say(work: Workplace, part: Part, statement: Statement) -> None:
    work.reporter.progress(
        part.step,
        f"{_WORDS[part.step]} {part.version}",
        version=part.version,
        statement=statement.number,
        statements=part.count,
        percent=work.findings.percent(statement.number, part.count),
    )


def place_of(statement: Statement, count: int, within: Location, position: int | None = None) -> Location:
    """Give the place of a statement, or of the character in it that the server points at, in its file."""
    line, column = (statement.line, statement.column) if position is None else statement.line_column(position)
    return Location(
        version=within.version,
        file=within.file,
        statement=statement.number,
        statements=count,
        line=line,
        column=column,
    )


def _run_statement(work: Workplace, statement: Statement, part: Part) -> None:
    within, inside = part.place, work.session.in_transaction
    try:
        work.session.run(statement.sql, Watch(work))
    except ServerFailure as failure:
        place = place_of(statement, part.count, within, failure.error.position)
        raise ServerFailure(failure.error, place) from None
    except Failed as failed:
        raise Failed(failed.reason, failed.sentence, place_of(statement, part.count, within)) from None
    if inside and not work.session.in_transaction:
        raise transaction_ended(place_of(statement, part.count, within))
