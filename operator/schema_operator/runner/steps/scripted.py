"""Run a script inside the open transaction, statement by statement, so that an error names its statement."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schema_operator.errors import Failed, Location
from schema_operator.postgres.session import transaction_ended
from schema_operator.postgres.sqlstate import ServerFailure
from schema_operator.runner.transaction import Watch
from schema_operator.scripts.statements import statements_of

if TYPE_CHECKING:
    from schema_operator.runner.report import Step
    from schema_operator.runner.workplace import Workplace
    from schema_operator.scripts.script import Source
    from schema_operator.scripts.statements import Statement

_WORDS = {"Applying": "applying", "RollingBack": "rolling back", "Installing": "installing the control schema"}


def run_script(work: Workplace, source: Source, version: str, step: Step) -> None:
    """Run the statements of a script in order.

    Raises `ServerFailure` with the place of the statement, `Failed`, `PartlyApplied` and `Stopped`.
    """
    statements = statements_of(source)
    count = len(statements)
    for statement in statements:
        work.stop.check()
        work.reporter.progress(
            step,
            f"{_WORDS[step]} {version}",
            version=version,
            statement=statement.number,
            statements=count,
            percent=work.findings.percent(statement.number, count),
        )
        try:
            _run_statement(work, statement, count, Location(version=version, file=source.file))
        except ServerFailure as failure:
            script = tuple(one.sql for one in statements[: statement.number])
            raise ServerFailure(failure.error, failure.location, script) from None


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


def _run_statement(work: Workplace, statement: Statement, count: int, within: Location) -> None:
    try:
        work.session.run(statement.sql, Watch(work))
    except ServerFailure as failure:
        place = place_of(statement, count, within, failure.error.position)
        raise ServerFailure(failure.error, place) from None
    except Failed as failed:
        raise Failed(failed.reason, failed.sentence, place_of(statement, count, within)) from None
    if not work.session.in_transaction:
        raise transaction_ended(place_of(statement, count, within))
