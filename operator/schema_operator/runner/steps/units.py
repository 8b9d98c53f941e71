"""Carry out a script: as one transaction where it is one unit, else unit by unit, with a journal.

A unit that is a transaction has its row of the journal in the same transaction. A statement that cannot be in one has
two: `Started`, committed before it runs, and `Finished` after. So a run that resumes knows of each unit whether it is
done, is not begun, or was begun; of the last, `interrupted` finds out from what is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from schema_operator.api.request import TransactionMode
from schema_operator.errors import (
    Failed,
    Location,
    PartlyApplied,
    Reason,
    Refused,
    Retryable,
    SchemaOperatorError,
    Stopped,
)
from schema_operator.history import store
from schema_operator.history.records import Direction, JournalEntry, OpenUnit, UnitEvent, still_begun
from schema_operator.postgres.session import OURS, SCRIPT, Begun, Opening, transaction_ended
from schema_operator.runner.patience import Foreseen
from schema_operator.runner.steps.interrupted import Trace, clean_quietly, trace_of
from schema_operator.runner.steps.scripted import Part, place_of, run_statements
from schema_operator.runner.steps.verify import NOTHING_LEFT
from schema_operator.runner.transaction import Deed, alone, commit, look
from schema_operator.scripts.locking import locked_relations
from schema_operator.scripts.script import Source
from schema_operator.scripts.statements import Statement, statements_of
from schema_operator.scripts.units import Unit, UnitKind, divide, settings_of, units_of, waits_harmlessly

if TYPE_CHECKING:
    from schema_operator.postgres.session import Session
    from schema_operator.runner.report import Step
    from schema_operator.runner.steps.archives import Archiving
    from schema_operator.runner.workplace import Workplace

T = TypeVar("T")
_MOST_LOOKED_AT: Final = 1000
"""Statements of a unit, whose locks are foreseen."""


@dataclass(frozen=True, slots=True)
class Undertaking:
    """What is done to a version."""

    version: str
    direction: Direction
    step: Step
    source: Source
    variables: Mapping[str, str]
    """Filled in where the script uses them."""
    finish: Callable[[Begun], None]
    """Writes the version down and verifies it, within the last transaction."""
    done: Callable[[], bool]
    """Asks the database whether that transaction was committed."""
    archiving: Archiving | None = None
    """How what the script destroys is archived; None where nothing is."""

    @property
    def what(self) -> str:
        """For messages."""
        return f"version {self.version}" if self.direction is Direction.APPLY else f"the rollback of {self.version}"

    def part(self, unit: Unit) -> Part:
        """Give what running statements of a unit is about."""
        return Part(self.source, self.version, self.step, unit.count, self.variables, self.archiving)

    @property
    def place(self) -> Location:
        """Where it is written."""
        return Location(version=self.version, file=self.source.file)


def carry_out(work: Workplace, task: Undertaking, begun_before: tuple[OpenUnit, ...]) -> None:
    """Run a script; `begun_before` are the open rows of the journal about it.

    Raises `Refused(ChecksumMismatch)` for an edited unit that is done, `Failed` where all was rolled back,
    `PartlyApplied` where earlier units stay, and as `transaction.commit` does.
    """
    units = units_of(task.source)
    if not units:
        _say_that_nothing_is_run(work, task)
    if not begun_before and all(unit.kind is UnitKind.TRANSACTION for unit in units) and len(units) <= 1:
        _whole(work, task, units)
    else:
        _Series(work, task, units, begun_before).run()


def _say_that_nothing_is_run(work: Workplace, task: Undertaking) -> None:
    work.reporter.note(
        task.step,
        f"{task.source.file} holds no statement, so {task.what} does nothing but is written down",
        version=task.version,
    )


def abandon(work: Workplace, begun: OpenUnit) -> None:
    """Clean up after a statement that was begun and is not wanted any more, and close the journal of its version.

    Raises `Refused(PartlyApplied)` where it has been done after all, and as `transaction.commit` does.
    """
    version = begun.version.text
    for unit in _units_to_abandon(begun):
        trace, patient = trace_of(work, unit), waits_harmlessly(unit)
        done = alone(work, partial(trace.has_effect, begun.seen), work.session.renew, patient=patient)
        _refuse_done(begun, unit, done=done)
        alone(work, partial(trace.clean, begun.seen), work.session.renew, patient=patient)

    def body(_: Begun) -> None:
        store.complete_units(work.session, version, begun.direction, work.author)

    def closed() -> bool:
        return not any(one.version == begun.version for one in store.read(work.session).history.open)

    commit(work, Deed(body, closed, f"the end of what was begun of version {version}", OURS))


def require_abandonable(work: Workplace, begun: OpenUnit) -> None:
    """Raise what `abandon` would, and change nothing."""
    for unit in _units_to_abandon(begun):
        trace = trace_of(work, unit)

        def has_effect(trace: Trace = trace) -> bool:
            work.session.unpin()
            return trace.has_effect(begun.seen)

        _refuse_done(begun, unit, done=look(work, has_effect, pinned=False))


def _units_to_abandon(begun: OpenUnit) -> tuple[Unit, ...]:
    return _units_begun(begun) if begun.event is UnitEvent.STARTED else ()


def _refuse_done(begun: OpenUnit, unit: Unit, *, done: bool) -> None:
    if done:
        raise Refused(
            Reason.PARTLY_APPLIED,
            f"{unit.command} of this version was done, or cannot be undone any more, when its run ended; want this "
            "version until it is finished, then go back",
            Location(version=begun.version.text),
        )


def _units_begun(begun: OpenUnit) -> tuple[Unit, ...]:
    """Read a statement from the journal again."""
    statements = statements_of(Source("", begun.statements, ""))
    return tuple(unit for unit in divide(statements, TransactionMode.AUTO) if unit.kind is UnitKind.ALONE)


def _whole(work: Workplace, task: Undertaking, units: tuple[Unit, ...]) -> None:
    (unit,) = units or (None,)

    def body(begun: Begun) -> None:
        if unit is not None:
            statements = (*unit.settings, *unit.statements)
            run_statements(work, task.part(unit), statements)
        task.finish(begun)

    isolation = unit.isolation if unit else None
    foreseen = None if unit is None else _foreseen(task, unit)
    commit(work, Deed(body, task.done, task.what, Opening(isolation=isolation), foreseen))


def _foreseen(task: Undertaking, unit: Unit) -> Foreseen | None:
    """Give the locks a unit will take against others; none for one so long that it builds rather than alters."""
    if len(unit.statements) > _MOST_LOOKED_AT:
        return None
    found = [(statement, locked) for statement in unit.statements if (locked := locked_relations(statement))]
    if not found:
        return None
    relations = tuple(dict.fromkeys(one for _, locked in found for one in locked))
    return Foreseen(relations, place_of(found[0][0], unit.count, task.place))


class _Series:
    """A script of several units, or one that an earlier run has begun."""

    def __init__(
        self, work: Workplace, task: Undertaking, units: tuple[Unit, ...], begun_before: tuple[OpenUnit, ...]
    ) -> None:
        self.work = work
        self.task = task
        self.units = units
        self.finished = {one.unit for one in begun_before if one.finished}
        self.started = still_begun(begun_before)
        self.prepared: Session | None = None
        """The session that has what the script has set so far."""
        self.is_closed = False
        """Whether the version is written down."""
        refuse_edited(task.what, task.place, units, begun_before)

    def run(self) -> None:
        try:
            self.forget_edited()
            for unit in self.units:
                if unit.number not in self.finished:
                    self.run_unit(unit)
                    self.finished.add(unit.number)
            if not self.is_closed:
                self.close()
        except (Failed, Retryable) as error:
            raise self.explained(error) from None
        except Stopped as stopped:
            raise Stopped(stopped.reason, self.stopped()) from None

    def run_unit(self, unit: Unit) -> None:
        if unit.kind is UnitKind.ALONE:
            self.run_alone(unit)
        else:
            self.run_transaction(unit)

    def run_transaction(self, unit: Unit) -> None:
        last = unit is self.units[-1]

        def body(begun: Begun) -> None:
            replayed = () if self.prepared is self.work.session else settings_of(self.units[: unit.number - 1])
            self.run_statements((*replayed, *unit.settings, *unit.statements))
            if last:
                self.finish(begun)
            else:
                self.work.session.step_aside()
                self.journal(begun, unit, UnitEvent.FINISHED)

        done = self.task.done if last else lambda: self.is_recorded(unit, UnitEvent.FINISHED)
        opening = replace(self.opening, isolation=unit.isolation)
        before = self.work.session
        commit(self.work, Deed(body, done, self.what(unit), opening, _foreseen(self.task, unit)))
        # A session that took the place of one lost at COMMIT has nothing of the script.
        self.prepared = before if before is self.work.session else None
        self.is_closed = last

    def run_alone(self, unit: Unit) -> None:
        trace = trace_of(self.work, unit)
        started = self.started.get(unit.number)

        def observe() -> tuple[bool, tuple[int, ...]]:
            if started is not None:
                return trace.is_done(started.seen), started.seen
            return False, trace.before()

        done, seen = self.alone(unit, observe)
        if not done:
            if started is None:
                self.write(unit, UnitEvent.STARTED, seen)
            self.insist(unit, trace, seen)
        self.write(unit, UnitEvent.FINISHED)

    def forget_edited(self) -> None:
        """Remove what statements left that an earlier run has begun and that the script has no more as they were."""
        present = {unit.number: unit.checksum for unit in self.units}
        for number, started in [*self.started.items()]:
            if present.get(number) != started.checksum:
                for former in _units_begun(started):
                    clean = partial(trace_of(self.work, former).clean, started.seen)
                    prepare = partial(self.prepare_anew, number)
                    alone(self.work, clean, prepare, patient=waits_harmlessly(former))
                del self.started[number]

    def alone(self, unit: Unit, body: Callable[[], T]) -> T:
        return alone(self.work, body, partial(self.prepare, unit), patient=waits_harmlessly(unit))

    def insist(self, unit: Unit, trace: Trace, seen: tuple[int, ...]) -> None:
        """Run a statement that is written down as begun; where it fails and leaves nothing, write that down as well."""
        try:
            self.alone(unit, partial(self.attempt_alone, unit, trace, seen))
        except (Failed, Retryable):
            if clean_quietly(self.work, trace, seen):
                with suppress(SchemaOperatorError):
                    self.write(unit, UnitEvent.FAILED)
            raise

    def attempt_alone(self, unit: Unit, trace: Trace, seen: tuple[int, ...]) -> None:
        trace.clean(seen)
        self.run_statements(unit.statements)
        trace.require_whole(seen, self.task.place)

    def prepare(self, unit: Unit) -> None:
        """Set the session up as the script has it at a statement outside of transactions."""
        if self.prepared is not self.work.session:
            self.prepare_anew(unit.number)
        self.run_statements(unit.settings)
        self.prepared = self.work.session

    def prepare_anew(self, number: int) -> None:
        """Give a session like new what the units before a number have set."""
        self.work.session.renew()
        self.run_statements(settings_of(self.units[: number - 1]))

    def close(self) -> None:
        """Write the version down in a transaction of its own, after a last unit that could be in none."""
        commit(self.work, Deed(self.finish, self.task.done, self.task.what, self.opening))
        self.is_closed = True

    def finish(self, begun: Begun) -> None:
        self.task.finish(begun)
        store.complete_units(self.work.session, self.task.version, self.task.direction, self.work.author)

    def write(self, unit: Unit, event: UnitEvent, seen: tuple[int, ...] = ()) -> None:
        def body(begun: Begun) -> None:
            self.work.session.step_aside()
            self.journal(begun, unit, event, seen)

        commit(self.work, Deed(body, lambda: self.is_recorded(unit, event), self.what(unit), self.opening))

    def journal(self, begun: Begun, unit: Unit, event: UnitEvent, seen: tuple[int, ...] = ()) -> None:
        entry = self.entry(unit)
        if store.record_unit(self.work.session, entry, self.work.author, event, seen) != begun.transaction:
            raise transaction_ended(self.task.place)

    def is_recorded(self, unit: Unit, event: UnitEvent) -> bool:
        return store.unit_recorded(self.work.session, self.work.request.run, self.entry(unit), event)

    def entry(self, unit: Unit) -> JournalEntry:
        task = self.task
        return JournalEntry(
            version=task.version,
            direction=task.direction,
            script_name=task.source.file,
            unit=unit.number,
            units=len(self.units),
            checksum=unit.checksum,
            statements=unit.text,
        )

    def run_statements(self, statements: tuple[Statement, ...]) -> None:
        if statements:
            run_statements(self.work, self.task.part(self.units[0]), statements)

    @property
    def opening(self) -> Opening:
        """A session that has run a part of the script keeps what that has set."""
        return replace(SCRIPT, keeps=self.prepared is self.work.session)

    def what(self, unit: Unit) -> str:
        return f"unit {unit.number} of {len(self.units)} of {self.task.what}"

    def stopped(self) -> str:
        """Say what stays where the run was asked to stop."""
        done = f"{max(self.finished)} of its {len(self.units)} units are done" if self.finished else "no unit is done"
        return (
            f"the run was asked to stop in {self.task.what}, which is committed in units: {done}, and a statement "
            "outside of transactions may have left something behind; the next run removes that and goes on"
        )

    def explained(self, error: SchemaOperatorError) -> SchemaOperatorError:
        """Say what stays: nothing, or the units that are done."""
        if not self.finished:
            return error
        done = "the first unit is" if self.finished == {1} else f"the first {max(self.finished)} units are"
        said = error.sentence.replace(NOTHING_LEFT, "")
        sentence = (
            f"{said}; {self.task.what} has {len(self.units)} units, which are committed one by one: {done} done, "
            "and the next run goes on after that"
        )
        if isinstance(error, Failed):
            return PartlyApplied(error.reason, sentence, error.location)
        return type(error)(error.reason, sentence, error.location)


def refuse_edited(what: str, place: Location, units: tuple[Unit, ...], begun_before: tuple[OpenUnit, ...]) -> None:
    """Raise `Refused(ChecksumMismatch)` for a script whose finished units are not those it has now."""
    present = {unit.number: unit for unit in units}
    for one in begun_before:
        unit = present.get(one.unit)
        if one.finished and (unit is None or unit.checksum != one.checksum):
            raise Refused(
                Reason.CHECKSUM_MISMATCH,
                f"{what} is done in part, and unit {one.unit}, which is done, was changed since (its checksum was "
                f"{one.checksum} and is {unit.checksum if unit else 'none: the unit is gone'}); put its statements "
                "back as they were; what comes after it may be changed",
                replace(place, line=unit.statements[0].line if unit else None),
            )
