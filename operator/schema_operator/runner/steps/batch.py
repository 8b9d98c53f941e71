"""Apply several plain versions in one message to the server, each in a transaction of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from schema_operator.errors import Location, PartlyApplied, Reason, Retryable
from schema_operator.history import store
from schema_operator.postgres.queries import Message
from schema_operator.postgres.session import COMMIT, OURS
from schema_operator.postgres.sqlstate import ServerFailure, Verdict, explain
from schema_operator.runner.attempts import AT_ONCE
from schema_operator.runner.limits import Limit, with_limits
from schema_operator.runner.report import Step
from schema_operator.runner.steps.record import applied_version, change_of
from schema_operator.runner.steps.scripted import Part, filled_in, place_of_error, up_to
from schema_operator.runner.transaction import Deed, Watch, commit, failed, resolve

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from psycopg.pq.abc import PGresult

    from schema_operator.runner.batches import Simple
    from schema_operator.runner.workplace import Workplace
    from schema_operator.scripts.statements import Statement


@dataclass(frozen=True, slots=True)
class _Sent:
    """A message, and what it is for."""

    message: Message
    version: int
    """Number of the version in the batch, from 0."""
    statement: Statement | None = None
    """The statement of the script; absent for one of ours."""


def apply_batch(work: Workplace, batch: Sequence[Simple]) -> int:
    """Apply versions; give how many of them were, which is fewer where one should be tried with more patience.

    Raises `Failed` for a version that failed (those before it stay), and as `transaction.commit` does.
    """
    work.stop.check()
    sent = [one for number in range(len(batch)) for one in _messages(work, batch, number)]
    progress = _Progress(work, batch, sent)
    progress.say(0)
    try:
        found = work.session.pipeline([one.message for one in sent], progress.take, Watch(work, together=True))
    except ServerFailure:
        _resolve(work, batch, progress)
        return len(batch)
    if found is not None:
        work.session.rollback()
        _outlast(work, progress)
        work.stop.check()
        _raise_unless_patience_helps(work, batch, sent[found.number], found.failure)
    return progress.done


class _Progress:
    """Follows the answers to a batch."""

    def __init__(self, work: Workplace, batch: Sequence[Simple], sent: Sequence[_Sent]) -> None:
        self._work = work
        self._batch = batch
        self._sent = sent
        self.done = 0
        """How many versions are committed."""
        self._before = work.findings

    def recount(self, applied: Collection[str]) -> None:
        """Count again, by the history: what was answered without waiting for the disk a crash may have undone."""
        self.done = 0
        self._work.findings = replace(self._before, warnings=self._work.findings.warnings)
        while self.done < len(self._batch) and self._batch[self.done].script.version.text in applied:
            self.count()

    def take(self, number: int, result: PGresult) -> None:
        """Take the answer to a message."""
        if self._sent[number].message.sql != COMMIT:
            return
        if result.command_status != COMMIT:
            raise _ended(self._batch[self.done])
        self.count()

    def count(self) -> None:
        """Count one more version as applied."""
        one = self._batch[self.done]
        self.done += 1
        self._work.findings = self._work.findings.with_applied(applied_version(self._work, one.script))
        if self.done < len(self._batch):
            self.say(self.done)

    def say(self, number: int) -> None:
        """Say which version is being applied."""
        one = self._batch[number]
        self._work.reporter.progress(
            Step.APPLYING,
            f"applying {one.script.version}",
            version=one.script.version.text,
            statement=1,
            statements=max(one.unit.count, 1),
            percent=self._work.findings.percent(1, max(one.unit.count, 1)),
        )


def _messages(work: Workplace, batch: Sequence[Simple], number: int) -> Iterator[_Sent]:
    """Give the messages of one version. Its row comes first: what fails after it takes it away again."""
    one = batch[number]
    lasting = number == len(batch) - 1
    prepare, record = store.messages_to_record(change_of(work, one.script), work.author)
    for message in (*work.session.messages_to_start(), prepare) if number == 0 else ():
        yield _Sent(message, number)
    for message in work.session.messages_to_begin(work.guard.keys(), AT_ONCE, lasting=lasting):
        yield _Sent(message, number)
    yield _Sent(record, number)
    yield _Sent(work.session.message_to_unpin(), number)
    for part in with_limits((*one.unit.settings, *one.unit.statements)):
        match part:
            case Limit.PATIENT:
                pass  # who has to wait is tried again by itself, and has its patience there
            case Limit.IMPOSED:
                yield _Sent(work.session.message_to_impose(AT_ONCE), number)
            case _:
                statement = filled_in(part, _part(work, one))
                yield _Sent(Message(statement.sql.encode()), number, statement)
    yield _Sent(Message(COMMIT), number)


def _part(work: Workplace, one: Simple) -> Part:
    return Part(one.script.up, one.script.version.text, Step.APPLYING, one.unit.count, work.request.variables)


def _raise_unless_patience_helps(work: Workplace, batch: Sequence[Simple], sent: _Sent, failure: ServerFailure) -> None:
    """Raise the error of a version that failed for good; do nothing where it is worth an attempt by itself.

    That is so for a lock that was not free at once, and for what none of the script's statements is to blame for: the
    fence, the guard, our own row.
    """
    if sent.statement is None and sent.message.sql != COMMIT:
        return
    if explain(failure.error).verdict is Verdict.TRY_AGAIN:
        return
    one = batch[sent.version]
    part = _part(work, one)
    if sent.statement is None:
        raise failed(work, ServerFailure(failure.error, part.place))
    script = up_to(sent.statement.number, (*one.unit.settings, *one.unit.statements), part)
    raise failed(work, ServerFailure(failure.error, place_of_error(sent.statement, part, failure.error), script))


def _ended(one: Simple) -> PartlyApplied:
    return PartlyApplied(
        Reason.TRANSACTION_CONTROL,
        "the transaction of this version was ended by something in it, so what it did before may have stayed; look at "
        "what is there",
        Location(version=one.script.version.text, file=one.script.up.file),
    )


def _resolve(work: Workplace, batch: Sequence[Simple], progress: _Progress) -> None:
    """Find out which versions of a batch were committed whose connection was lost.

    Raises `Retryable(ConnectionLost)` where some were not, and `OutcomeUnknown`.
    """
    applied: frozenset[str] = frozenset()

    def done() -> bool:
        nonlocal applied
        applied = store.applied_by_run(work.session, work.request.run)
        return True

    names = [one.script.version.text for one in batch]
    what = f"versions {names[progress.done]} to {names[-1]}" if progress.done < len(names) else f"version {names[-1]}"
    progress.recount(())
    resolve(work, done, what)
    progress.recount(applied)
    _outlast(work, progress)
    if progress.done < len(batch):
        raise Retryable(
            Reason.CONNECTION_LOST,
            "the connection was lost; the history says that this version was not committed, so the database is as "
            "before it; the next run goes on from there",
            Location(version=names[progress.done], file=batch[progress.done].script.up.file),
        )


def _outlast(work: Workplace, progress: _Progress) -> None:
    """See that what was committed is on disk, before anybody is told: a commit that waits covers those before it."""

    def done() -> bool:
        before = progress.done
        progress.recount(store.applied_by_run(work.session, work.request.run))
        return progress.done == before

    if progress.done:
        commit(work, Deed(lambda _: None, done, "what was applied", OURS))
