"""Run a script inside the open transaction, statement by statement, so that an error names its statement."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

from schema_operator.errors import Failed, Location
from schema_operator.postgres.session import transaction_ended
from schema_operator.postgres.sqlstate import ServerFailure
from schema_operator.runner.limits import Limit, with_limits
from schema_operator.runner.transaction import Watch
from schema_operator.scripts.statements import statements_of

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
    inside = work.session.in_transaction
    for one in with_limits(statements) if inside else statements:
        match one:
            case Limit.PATIENT:
                work.session.be_patient(work.request.locks.give_up_seconds)
            case Limit.IMPOSED:
                work.session.impose()
            case _:
                work.stop.check()
                _say(work, part, one)
                _run_statement(work, one, part, statements)


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


def up_to(statement: Statement, statements: Sequence[Statement]) -> tuple[str, ...]:
    """Give the texts of the statements up to one of them, that one last; messages about it look there for names."""
    return (*(one.sql for one in takewhile(lambda one: one is not statement, statements)), statement.sql)


def _run_statement(work: Workplace, statement: Statement, part: Part, statements: Sequence[Statement]) -> None:
    within, inside = part.place, work.session.in_transaction
    try:
        work.session.run(statement.sql, Watch(work))
    except ServerFailure as failure:
        place = place_of(statement, part.count, within, failure.error.position)
        raise ServerFailure(failure.error, place, up_to(statement, statements)) from None
    except Failed as failed:
        raise Failed(failed.reason, failed.sentence, place_of(statement, part.count, within)) from None
    if inside and not work.session.in_transaction:
        raise transaction_ended(place_of(statement, part.count, within))
