"""Run a script inside the open transaction, statement by statement, so that an error names its statement."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from schema_operator.errors import Failed, Location, Refused
from schema_operator.postgres.session import transaction_ended
from schema_operator.postgres.sqlstate import ServerError, ServerFailure
from schema_operator.runner.transaction import Watch
from schema_operator.scripts.statements import statements_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from psycopg.pq.abc import PGresult

    from schema_operator.runner.report import Step
    from schema_operator.runner.workplace import Workplace
    from schema_operator.scripts.script import Source
    from schema_operator.scripts.statements import Statement

_WORDS = {"Applying": "applying", "RollingBack": "rolling back", "Installing": "installing the control schema"}


def run_script(work: Workplace, source: Source, version: str, step: Step, variables: Mapping[str, str]) -> None:
    """Run the statements of a script in order, with its variables filled in.

    Raises `ServerFailure` with the place of the statement, `Refused(PlaceholderError)`, `Failed`, `PartlyApplied` and
    `Stopped`.
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
        within = Location(version=version, file=source.file)
        _run_statement(work, _filled_in(statement, count, within, variables), count, within)


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


def execute(work: Workplace, statement: Statement, on_row: Callable[[PGresult], None] | None = None) -> None:
    """Send a statement, and its rows where it is a COPY; raises as `Session.run` does."""
    rows = None if statement.data is None else statement.data.chunks()
    work.session.run(statement.sql, Watch(work), on_row, rows)


def _filled_in(statement: Statement, count: int, within: Location, variables: Mapping[str, str]) -> Statement:
    try:
        return statement.filled_in(variables)
    except Refused as refused:
        line, column = refused.location.line, refused.location.column
        place = replace(place_of(statement, count, within), line=line, column=column)
        raise Refused(refused.reason, refused.sentence, place) from None


def _run_statement(work: Workplace, statement: Statement, count: int, within: Location) -> None:
    try:
        execute(work, statement)
    except ServerFailure as failure:
        raise ServerFailure(failure.error, _place_of_error(statement, count, within, failure.error)) from None
    except Failed as failed:
        raise Failed(failed.reason, failed.sentence, place_of(statement, count, within)) from None
    if not work.session.in_transaction:
        raise transaction_ended(place_of(statement, count, within))


def _place_of_error(statement: Statement, count: int, within: Location, error: ServerError) -> Location:
    """Give the place of an error: the row of a COPY, the character, or else the statement."""
    if statement.data is None or error.data_line is None:
        return place_of(statement, count, within, error.position)
    line = statement.line + statement.data.lines_below + error.data_line - 1
    return replace(place_of(statement, count, within), line=line, column=None)
