"""Run a script inside the open transaction, statement by statement, so that an error names its statement."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from schema_operator.errors import Failed, Location, Refused
from schema_operator.postgres.queries import Message
from schema_operator.postgres.session import transaction_ended
from schema_operator.postgres.sqlstate import ServerError, ServerFailure
from schema_operator.runner.limits import Limit, with_limits
from schema_operator.runner.steps.archives import archive_before
from schema_operator.runner.transaction import Watch
from schema_operator.scripts.destruction import may_destroy
from schema_operator.scripts.statements import is_plain, statements_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from psycopg.pq.abc import PGresult

    from schema_operator.runner.report import Step
    from schema_operator.runner.steps.archives import Archiving
    from schema_operator.runner.workplace import Workplace
    from schema_operator.scripts.script import Source
    from schema_operator.scripts.statements import Statement

_CHUNK_SECONDS: Final = 0.1
_FEWEST: Final = 3
_FIRST_CHUNK: Final = 16
_LAST_CHUNK: Final = 2000
_MOST_CHARACTERS: Final = 1_000_000
_WORDS = {"Applying": "applying", "RollingBack": "rolling back", "Installing": "installing the control schema"}


def run_script(work: Workplace, source: Source, version: str, step: Step) -> None:
    """Run a whole script inside the open transaction; raises as `run_statements` does."""
    statements = statements_of(source)
    run_statements(work, Part(source, version, step, len(statements), {}), statements)


@dataclass(frozen=True, slots=True)
class Part:
    """Whose statements are run, and why."""

    source: Source
    version: str
    step: Step
    count: int
    """How many statements the whole script has."""
    variables: Mapping[str, str]
    """Filled in where the statements use them."""
    archiving: Archiving | None = None
    """How what they destroy is archived; None where nothing is."""

    def destroys(self, statement: Statement) -> bool:
        """Whether something must be archived before a statement."""
        return self.archiving is not None and may_destroy(statement.filled_in(self.variables))

    @property
    def place(self) -> Location:
        """Where the script is."""
        return Location(version=self.version, file=self.source.file)


def run_statements(work: Workplace, part: Part, statements: Sequence[Statement]) -> None:
    """Run statements of a script in order, in the open transaction or, where none is open, each by itself.

    Raises `ServerFailure` with the place of the statement, `Refused(PlaceholderError)`, `Failed`, `PartlyApplied` and
    `Stopped`.
    """
    try:
        _run_in_order(work, part, statements)
    except ServerFailure as failure:
        number = failure.location.statement or 0
        raise ServerFailure(failure.error, failure.location, up_to(number, statements, part)) from None


def up_to(number: int, statements: Sequence[Statement], part: Part) -> tuple[str, ...]:
    """Give the texts of the statements up to one of them, that one last; messages about it look there for names."""
    before = (one.sql for one in statements if one.number < number)
    return (*before, *(filled_in(one, part).sql for one in statements if one.number == number))


def _run_in_order(work: Workplace, part: Part, statements: Sequence[Statement]) -> None:
    if not work.session.in_transaction:
        for statement in statements:
            _run_one(work, part, statement)
        return
    chunk = _Chunk(work, part)
    for one in with_limits(statements, part.destroys):
        if isinstance(one, Limit):
            chunk.flush()
            _limit(work, one)
        elif is_plain(one) and not part.destroys(one):
            chunk.take(one)
        else:
            chunk.flush()
            _run_one(work, part, one)
    chunk.flush()


def _limit(work: Workplace, limit: Limit) -> None:
    match limit:
        case Limit.PATIENT:
            work.session.be_patient(work.request.locks.give_up_seconds)
        case Limit.IMPOSED:
            work.session.impose()


def _run_one(work: Workplace, part: Part, statement: Statement) -> None:
    work.stop.check()
    _say(work, part, statement)
    if part.archiving is not None and part.destroys(statement) and work.session.in_transaction:
        place = place_of(statement, part.count, part.place)
        archive_before(work, part.archiving, part.step, filled_in(statement, part), place)
    _run_statement(work, statement, part)


class _Chunk:
    """Plain statements that are sent together, as many as take about a tenth of a second.

    So the way to the server and back is paid once for many, and progress and a wish to stop still get through.
    """

    def __init__(self, work: Workplace, part: Part) -> None:
        self._work = work
        self._part = part
        self._statements: list[Statement] = []
        self._characters = 0
        self._most = _FIRST_CHUNK

    def take(self, statement: Statement) -> None:
        """Take a statement, and send those that are waiting where they are enough."""
        self._statements.append(statement)
        self._characters += len(statement.sql)
        if len(self._statements) >= self._most or self._characters >= _MOST_CHARACTERS:
            self.flush()

    def flush(self) -> None:
        """Send what is waiting; raises as `run_statements` does."""
        statements, self._statements, self._characters = self._statements, [], 0
        if len(statements) < _FEWEST:
            for one in statements:
                _run_one(self._work, self._part, one)
            return
        began = time.monotonic()
        _run_together(self._work, self._part, statements)
        seconds = time.monotonic() - began
        wanted = int(len(statements) * _CHUNK_SECONDS / max(seconds, 0.001))
        self._most = max(_FIRST_CHUNK, min(wanted, self._most * 4, _LAST_CHUNK))


def _run_together(work: Workplace, part: Part, written: Sequence[Statement]) -> None:
    work.stop.check()
    _say(work, part, written[0])
    statements = [filled_in(one, part) for one in written]
    messages = [Message(one.sql.encode()) for one in statements]
    found = work.session.pipeline(messages, lambda _number, _result: None, Watch(work, together=True))
    if found is not None:
        error = found.failure.error
        raise ServerFailure(error, place_of_error(statements[found.number], part, error))
    if not work.session.in_transaction:
        raise transaction_ended(place_of(written[0], part.count, part.place))


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


def execute(work: Workplace, statement: Statement, on_row: Callable[[PGresult], None] | None = None) -> None:
    """Send a statement, and its rows where it is a COPY; raises as `Session.run` does."""
    rows, size = (None, 0) if statement.data is None else (statement.data.chunks(), statement.data.size)
    work.session.run(statement.sql, Watch(work, expected_bytes=size), on_row, rows)


def filled_in(statement: Statement, part: Part) -> Statement:
    """Fill in the variables of a statement; raises `Refused(PlaceholderError)` with its place."""
    try:
        return statement.filled_in(part.variables)
    except Refused as refused:
        line, column = refused.location.line, refused.location.column
        place = replace(place_of(statement, part.count, part.place), line=line, column=column)
        raise Refused(refused.reason, refused.sentence, place) from None


def _run_statement(work: Workplace, written: Statement, part: Part) -> None:
    statement, inside = filled_in(written, part), work.session.in_transaction
    try:
        execute(work, statement)
    except ServerFailure as failure:
        raise ServerFailure(failure.error, place_of_error(statement, part, failure.error)) from None
    except Failed as failed:
        raise Failed(failed.reason, failed.sentence, place_of(statement, part.count, part.place)) from None
    if inside and not work.session.in_transaction:
        raise transaction_ended(place_of(statement, part.count, part.place))


def place_of_error(statement: Statement, part: Part, error: ServerError) -> Location:
    """Give the place of an error: the row of a COPY, the character, or else the statement."""
    if statement.data is None or error.data_line is None:
        return place_of(statement, part.count, part.place, error.position)
    line = statement.line + statement.data.lines_below + error.data_line - 1
    return replace(place_of(statement, part.count, part.place), line=line, column=None)
