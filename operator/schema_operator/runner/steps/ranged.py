"""One batch: the statement for a range of keys, its row of the history, and where the next range ends; sent at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from schema_operator.errors import Failed, Location, Reason
from schema_operator.history import store
from schema_operator.history.records import BatchPosition, Direction
from schema_operator.postgres import keys
from schema_operator.postgres.queries import Message
from schema_operator.postgres.session import transaction_ended
from schema_operator.postgres.sqlstate import ServerFailure
from schema_operator.runner.steps.scripted import Part, filled_in, place_of, place_of_error
from schema_operator.runner.transaction import Watch
from schema_operator.scripts.batched import Counting, Target, counting, counting_all, with_parameters

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

    from schema_operator.postgres.keys import Key, Span
    from schema_operator.postgres.session import Begun, PipelineFailure, Tick
    from schema_operator.runner.workplace import Workplace
    from schema_operator.scripts.script import BatchKey
    from schema_operator.scripts.statements import Statement


_LATE: Final = 3.0
"""Times as long as a batch should take."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is done in batches."""

    what: str
    """For messages, for example `version 1.2.0`."""
    direction: Direction
    part: Part
    statement: Statement
    batch: BatchKey

    @property
    def place(self) -> Location:
        """Where the statement is."""
        return place_of(self.statement, self.part.count, self.part.place)


@dataclass(frozen=True, slots=True)
class Sent:
    """The statement as it is sent for each range."""

    statement: Statement
    counting: Counting


@dataclass(frozen=True, slots=True)
class Ground:
    """What is gone through: found out at the beginning."""

    key: Key
    target: Target | None
    """What the statement changes, where that is the table of the key: then it can be seen which rows it changed."""
    first: Sent
    """For the first range, to which its lower bound belongs."""
    later: Sent
    lowest: str
    last: str
    total: int
    """How many rows there are to go through, about."""


@dataclass(frozen=True, slots=True)
class Range:
    """The rows that are done next."""

    before: BatchPosition
    """The batch before, or where the beginning is written down."""
    span: Span
    next_size: int
    """How many rows the range after this one should have."""

    @property
    def is_first(self) -> bool:
        """Whether nothing is below it."""
        return self.before.upto is None

    @property
    def position(self) -> BatchPosition:
        """What is written down of it."""
        before, span = self.before, self.span
        return BatchPosition(before.started, before.batch + 1, before.upto, span.upto, before.last, span.rows)


@dataclass(frozen=True, slots=True)
class Ran:
    """A batch that was run and not committed yet."""

    position: BatchPosition
    following: Span | None
    """The next range; None where nothing is left."""


def run_range(work: Workplace, task: Task, ground: Ground, one: Range, begun: Begun) -> Ran:
    """Run the statement for a range in the open transaction, and find the range that follows.

    Raises `ServerFailure` with the place in the script, `Failed(OutsideBatch)`, and `PartlyApplied` where the
    transaction is no longer the one that was begun.
    """
    sent = ground.first if one.is_first else ground.later
    position = one.position
    messages = [
        store.message_to_record_batch(
            _bound(sent.counting, ground, one), task.part.version, task.direction, work.request.run, position
        ),
        *work.session.messages_to_step_aside(keys.PLAIN_TEXT),
        keys.message_to_span(ground.key, one.span.upto, ground.last, one.next_size),
    ]
    answers: list[PGresult] = []
    if found := work.session.pipeline(messages, lambda _, result: answers.append(result), _watch(work)):
        raise _placed(found, sent, task)
    changed, strayed, seconds, transaction = (_text(answers[0], column) or "" for column in range(4))
    if strayed != "0":
        raise _strayed(task, strayed, inserts=ground.target is not None and ground.target.inserts)
    if transaction != begun.transaction:
        raise transaction_ended(task.place)
    upto, left = (_text(answers[-1], column) for column in range(2))
    following = keys.found_span(upto, None if left is None else int(left), ground.last, one.next_size)
    return Ran(replace(position, changed=int(changed), seconds=float(seconds)), following)


def _watch(work: Workplace) -> Tick:
    """Look after a batch once it takes much longer than it should: each look costs others about a millisecond."""
    watch, late = Watch(work), work.request.batches.target_seconds * _LATE

    def tick(seconds: float) -> None:
        if seconds > late or work.stop.requested:
            watch(seconds)

    return tick


def _bound(sent: Counting, ground: Ground, one: Range) -> Message:
    """Give the message with what the statement and its count refer to: $1 to $3."""
    lower = ground.lowest if one.before.upto is None else one.before.upto
    values = (lower, one.span.upto, ground.last)
    return Message(sent.sql.encode(), tuple(value.encode() for value in values), types=(ground.key.type,) * len(values))


def _text(result: PGresult, column: int) -> str | None:
    value = result.get_value(0, column)
    return None if value is None else value.decode()


def sent_of(task: Task, key: Key, target: Target | None, *, first: bool) -> Sent:
    """Make the statement ready to be sent: with its parameters and variables, and counting its rows."""
    statement = filled_in(with_parameters(task.statement, first=first), task.part)
    return Sent(statement, _counting(statement, key, target, first=first))


def _counting(statement: Statement, key: Key, target: Target | None, *, first: bool) -> Counting:
    """Let the statement count its rows, and those that are none of its batch.

    A new row may be anywhere but in what is still to come, or else there might be no end.
    """
    if target is None:
        return counting_all(statement.sql)
    if target.inserts:
        outside = f"key {key.above('$2')} AND key {key.at_most('$3')}"
    else:
        outside = f"NOT (key {key.above('$1', itself=first)} AND key {key.at_most('$2')})"
    return counting(statement.sql, target, key.column, outside)


def _placed(found: PipelineFailure, sent: Sent, task: Task) -> ServerFailure:
    """Give a failure its place in the script, if it has one there."""
    error = found.failure.error
    if found.number > 0:
        return ServerFailure(error, task.place)
    if error.position is not None:
        position = error.position - sent.counting.offset
        within = 0 < position <= len(sent.statement.sql)
        error = replace(error, position=position if within else None)
    return ServerFailure(error, place_of_error(sent.statement, task.part, error), (sent.statement.sql,))


def _strayed(task: Task, rows: str, *, inserts: bool) -> Failed:
    column = task.batch.column
    if inserts:
        what = f"inserts {rows} rows that it would come to later, and so might never end"
    else:
        what = f"changes {rows} rows whose {column} is outside of the batch, so that some could be done twice"
    return Failed(
        Reason.OUTSIDE_BATCH,
        f"the statement {what}; let all of its conditions hold for the range, and leave {column} as it is; the batch "
        "was rolled back",
        task.place,
    )
