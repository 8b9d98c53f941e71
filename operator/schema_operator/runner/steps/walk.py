"""A version that is done in batches: from range to range of a column, each in a transaction of its own.

The transaction that changes the rows of a batch also writes down how far it came. So whatever ends a run, each row is
changed once. The last key is written down before the first batch: rows above it came later, and are left alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from schema_operator.errors import Failed, Location, PartlyApplied, Reason, Refused, SchemaOperatorError
from schema_operator.history import store
from schema_operator.history.records import BatchPosition, Direction
from schema_operator.postgres import keys
from schema_operator.postgres.session import SCRIPT, Begun, Opening
from schema_operator.runner.pace import first_size, next_size
from schema_operator.runner.steps.pacing import Pacer
from schema_operator.runner.steps.ranged import Ground, Ran, Range, Task, run_range, sent_of
from schema_operator.runner.steps.scripted import filled_in
from schema_operator.runner.transaction import Deed, commit, look
from schema_operator.scripts.batched import Target, target_of

if TYPE_CHECKING:
    from schema_operator.postgres.keys import Key, Span
    from schema_operator.postgres.session import Session
    from schema_operator.runner.steps.units import Undertaking
    from schema_operator.runner.workplace import Workplace
    from schema_operator.scripts.script import BatchKey
    from schema_operator.scripts.units import Unit

_OPENING: Final = Opening(lasting=False)
"""A batch that a crash takes away takes its position along, so only what comes after all of them waits for the disk."""
_NEAR: Final = (0.5, 1.5)
"""How much the size of the next batch may be off before its end is looked for once more."""
_MOST_PERCENT: Final = 0.99
"""Of a walk that is not at its end, whatever was expected."""


class Walk:
    """One statement on its way through a table: `begin` or `resume`, then `go_on`."""

    def __init__(self, work: Workplace, task: Task) -> None:
        self._work = work
        self._task = task
        self._ground: Ground | None = None
        self._position = BatchPosition(0, 0, None, None, None)
        self._next: Span | None = None
        self._walked = 0
        self._size = first_size(work.request.batches)
        self._kept: Session | None = None
        """The session in which the batch before was run, and which is as that has left it."""
        self._pacer = Pacer(work, task.part.step)

    @property
    def batches(self) -> int:
        """How many batches are committed, by this run and those before."""
        return self._position.batch

    def begin(self, write_down: Callable[[Begun], None], done: Callable[[], bool]) -> None:
        """Write down that the walk begins, and to where; raises as `require_key` and `transaction.commit` do.

        `write_down` writes the row of the journal, in the same transaction, `done` asks for that row.
        """

        def body(begun: Begun) -> None:
            key, target = self._key()
            write_down(begun)
            ends = keys.ends(self._session, key)
            last = ends[1] if ends else None
            task = self._task
            self._position = store.begin_batches(
                self._session, task.part.version, task.direction, self._work.request.run, last
            )
            self._set_out(key, target, ends[0] if ends else None)

        commit(self._work, Deed(body, done, f"the beginning of {self._task.what}", SCRIPT))

    def resume(self) -> None:
        """Find out how far runs before have come; raises as `require_key` and `transaction.look` do."""

        def body() -> None:
            key, target = self._key()
            found = store.last_batch(self._session, self._task.part.version, self._task.direction)
            if found is None:
                raise Refused(
                    Reason.CONTROL_SCHEMA_DAMAGED,
                    "schema_operator.batch_positions does not say how far this version has come, which was begun; "
                    "restore the schema schema_operator from a backup",
                    self._task.place,
                )
            self._position, self._walked = found, found.walked
            ends = keys.ends(self._session, key) if found.last is not None else None
            self._set_out(key, target, ends[0] if ends else None)

        look(self._work, body, pinned=False)

    def go_on(self) -> None:
        """Do batch after batch, up to the last key; raises as `transaction.commit` does, and `Failed(OutsideBatch)`."""
        self._pacer.require_sight()
        while (span := self._next) is not None:
            seconds = self._do(span)
            self._say()
            if self._next is not None:
                self._pacer.rest_after(seconds, self._say)

    def explained(self, error: SchemaOperatorError) -> SchemaOperatorError:
        """Say what stays of a walk that did not come to its end."""
        sentence = (
            f"{error.sentence}; {self._task.what} is done in batches: {self.so_far}, and the next run goes on there"
        )
        if isinstance(error, Failed):
            return PartlyApplied(error.reason, sentence, error.location)
        return type(error)(error.reason, sentence, error.location)

    @property
    def so_far(self) -> str:
        """Say how far the walk has come."""
        batches = "1 batch is" if self.batches == 1 else f"{self.batches} batches are"
        return f"{batches} done, {self._walked} of about {max(self._total, self._walked)} rows"

    @property
    def _session(self) -> Session:
        return self._work.session

    @property
    def _total(self) -> int:
        return self._ground.total if self._ground else 0

    def _key(self) -> tuple[Key, Target | None]:
        """Look at the column, with the script's search_path in force; afterwards ours is, and keys are plain text."""
        target = target_of(filled_in(self._task.statement, self._task.part))
        table, changed = keys.tables(self._session, self._task.batch.names, target.names)
        self._session.step_aside(keys.PLAIN_TEXT)
        try:
            key = _key_of(self._session, table, self._task.batch)
        except Refused as refused:
            raise _as_it_is(self._work, refused, self._task.place) from None
        return key, target if table == changed else None

    def _set_out(self, key: Key, target: Target | None, lowest: str | None) -> None:
        """Find the first rows to do, and how many there will be."""
        after, last = self._position.upto, self._position.last
        self._next = None
        if last is None or lowest is None:
            return
        self._next = keys.span(self._session, key, after, last, self._size)
        total = keys.estimate(self._session, key, after, last, self._walked)
        first, later = (sent_of(self._task, key, target, first=one) for one in (True, False))
        self._ground = Ground(key, target, first, later, lowest, last, total)

    def _do(self, span: Span) -> float:
        """Do one batch, and give the seconds it took."""
        before, began = self._position, 0.0
        ran: Ran | None = None

        def body(begun: Begun) -> None:
            nonlocal ran, began
            began = time.monotonic()
            ran = self._run(before, span, begun)

        def done() -> bool:
            return store.batch_recorded(self._session, before.started, before.batch + 1)

        session = self._session
        opening = replace(_OPENING, keeps=self._kept is session)
        commit(self._work, Deed(body, done, f"batch {before.batch + 1} of {self._task.what}", opening))
        # A session that took the place of one lost at COMMIT is not set up for the script.
        self._kept = session if session is self._session else None
        if ran is not None:
            self._position, self._next = ran.position, ran.following
        self._walked += span.rows
        return time.monotonic() - began

    def _run(self, before: BatchPosition, span: Span, begun: Begun) -> Ran:
        """Run a batch, and choose the size of the next by the time it took."""
        if self._ground is None:
            raise RuntimeError("a batch before the walk has begun")
        ran = run_range(self._work, self._task, self._ground, Range(before, span, self._size), begun)
        size = next_size(span.rows, ran.position.seconds, self._work.request.batches)
        if ran.following is not None and not _NEAR[0] < size / self._size < _NEAR[1]:
            ground = self._ground
            ran = replace(ran, following=keys.span(self._session, ground.key, span.upto, ground.last, size))
        self._size = size
        return ran

    def _say(self) -> None:
        total = max(self._total, self._walked)
        fraction = 1.0 if self._next is None else min(self._walked / total, _MOST_PERCENT)
        verb = "applying" if self._task.direction is Direction.APPLY else "rolling back"
        version = self._task.part.version
        why = f"; {self._pacer.why}" if self._pacer.why else ""
        self._work.reporter.progress(
            self._task.part.step,
            f"{verb} {version}: {self._walked} of about {total} rows, {fraction:.0%}{why}",
            version=version,
            percent=self._work.findings.percent(1 + fraction, 1),
        )


def walk_of(work: Workplace, task: Undertaking, unit: Unit) -> Walk:
    """Make ready for a unit that is done in batches."""
    (statement,) = unit.statements
    if unit.batch is None:
        raise ValueError("the unit is not done in batches")
    return Walk(work, Task(task.what, task.direction, task.part(unit), statement, unit.batch))


def require_key(work: Workplace, batch: BatchKey, place: Location) -> None:
    """Refuse a column that no batches can go by, where its table is there.

    Raises `Refused`: ObjectNotFound, InvalidBatch, NoKey; and as `transaction.look` does.
    """

    def body() -> None:
        work.session.unpin()
        table, _ = keys.tables(work.session, batch.names, batch.names)
        work.session.step_aside()
        if table is not None:
            _key_of(work.session, table, batch)

    try:
        look(work, body, pinned=False)
    except Refused as refused:
        raise Refused(refused.reason, refused.sentence, place) from None


def _key_of(session: Session, table: int | None, batch: BatchKey) -> Key:
    if table is None:
        raise Refused(
            Reason.OBJECT_NOT_FOUND,
            f"the table {keys.sql_name(batch.names)} does not exist; correct batch= in the script, or name its schema",
        )
    return keys.key_of(session, table, batch.column)


def _as_it_is(work: Workplace, refused: Refused, place: Location) -> SchemaOperatorError:
    """Give what was found out before a version was begun: where the run has done others, it has not changed nothing."""
    kind = Failed if work.findings.applied or work.findings.rolled_back else Refused
    return kind(refused.reason, refused.sentence, place)
