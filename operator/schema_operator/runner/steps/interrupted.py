"""What is left of a statement that cannot be in a transaction, when it failed or its runner died.

The server leaves an INVALID index behind when one of the CONCURRENTLY forms fails; `IF NOT EXISTS` then takes it for
the index itself, for ever. So what was there before is written down before such a statement runs, and what is new and
invalid afterwards is dropped and built again. Where a runner died between the end of a statement and its row in the
journal, what the statement should have made or removed says that it is done.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

from schema_operator.errors import Failed, Location, Reason
from schema_operator.postgres import leavings
from schema_operator.postgres.sqlstate import ServerFailure
from schema_operator.runner.report import Step
from schema_operator.runner.transaction import Watch
from schema_operator.scripts import subjects

if TYPE_CHECKING:
    from collections.abc import Callable

    from schema_operator.postgres.leavings import Index
    from schema_operator.runner.workplace import Workplace
    from schema_operator.scripts.units import Unit

CLEANING_SECONDS: Final = 5.0
"""How long the removal of what a failed statement left may wait for locks; the next attempt tries again."""


class Trace(Protocol):
    """What one kind of statement leaves. All methods ask the working session, outside of any transaction."""

    def before(self) -> tuple[int, ...]:
        """Give the oids of what is there before the statement."""

    def is_done(self, seen: tuple[int, ...]) -> bool:
        """Say whether a statement that was begun is done already."""

    def has_effect(self, seen: tuple[int, ...]) -> bool:
        """Say whether it has done what cannot be cleaned away; changes nothing."""

    def clean(self, seen: tuple[int, ...]) -> None:
        """Remove what an earlier attempt has left and what is in the way of another."""

    def require_whole(self, seen: tuple[int, ...], place: Location) -> None:
        """Raise `Failed` where the statement seems to have passed, but what it made is of no use."""


def trace_of(work: Workplace, unit: Unit) -> Trace:
    """Find what looks after a statement."""
    (statement,) = unit.statements
    match unit.command.split():
        case ["CREATE", "INDEX", *_]:
            return _BuiltIndex(work, subjects.built_index(statement.sql))
        case ["REINDEX", *_]:
            return _Reindexed(work)
        case ["DROP", "INDEX", *_]:
            return _Gone(
                lambda: not leavings.any_relation(work.session, _texts(subjects.dropped_indexes(statement.sql)))
            )
        case ["ALTER", "TABLE", *_]:
            return _DetachedPartition(work, subjects.detached(statement.sql))
        case ["CREATE" | "DROP" as verb, "DATABASE" | "TABLESPACE" | "SUBSCRIPTION" as what, *_]:
            name = subjects.third_name(statement.sql)
            return _Gone(lambda: leavings.exists(work.session, what, name) == (verb == "CREATE"))
        case _:
            return _Gone(lambda: False)


def _texts(found: tuple[subjects.Name, ...]) -> tuple[tuple[str, ...], ...]:
    return tuple(name.parts for name in found)


class _Gone:
    """A statement that leaves nothing half done; whether it is done shows in what is there."""

    def __init__(self, done: Callable[[], bool]) -> None:
        self._done = done

    def before(self) -> tuple[int, ...]:
        return ()

    def is_done(self, seen: tuple[int, ...]) -> bool:  # noqa: ARG002 (a Trace)
        return self._done()

    def has_effect(self, seen: tuple[int, ...]) -> bool:
        return self.is_done(seen)

    def clean(self, seen: tuple[int, ...]) -> None:
        pass

    def require_whole(self, seen: tuple[int, ...], place: Location) -> None:
        pass


class _BuiltIndex:
    """CREATE INDEX CONCURRENTLY."""

    def __init__(self, work: Workplace, target: subjects.BuiltIndex) -> None:
        self._work = work
        self._target = target

    def before(self) -> tuple[int, ...]:
        return tuple(one.oid for one in self._indexes())

    def is_done(self, seen: tuple[int, ...]) -> bool:
        return any(one.valid and self._may_be_ours(one) for one in self._new(seen))

    def has_effect(self, seen: tuple[int, ...]) -> bool:
        return self.is_done(seen)

    def clean(self, seen: tuple[int, ...]) -> None:
        invalid = [one for one in self._new(seen) if not one.valid]
        if self._target.if_not_exists:
            # IF NOT EXISTS would take an invalid index for the one that is wanted.
            invalid += [one for one in self._indexes() if not one.valid and one.name == self._target.name]
        for one in dict.fromkeys(invalid):
            drop(self._work, one)

    def require_whole(self, seen: tuple[int, ...], place: Location) -> None:
        named = [one for one in self._indexes() if one.name == self._target.name]
        if any(not one.valid for one in named or self._new(seen)):
            raise Failed(
                Reason.STATEMENT_FAILED,
                "the index is INVALID: its build has not succeeded, whatever the server said; look at its table and "
                "run again",
                place,
            )

    def _new(self, seen: tuple[int, ...]) -> list[Index]:
        return [one for one in self._indexes() if one.oid not in seen and self._may_be_ours(one)]

    def _may_be_ours(self, index: Index) -> bool:
        return self._target.name is None or index.name == self._target.name

    def _indexes(self) -> tuple[Index, ...]:
        return leavings.indexes_of(self._work.session, self._target.table.parts)


class _Reindexed:
    """REINDEX, whose CONCURRENTLY form leaves indexes with `_ccnew` or `_ccold` at the end of their names."""

    def __init__(self, work: Workplace) -> None:
        self._work = work

    def before(self) -> tuple[int, ...]:
        return tuple(one.oid for one in leavings.transient_indexes(self._work.session))

    def is_done(self, seen: tuple[int, ...]) -> bool:  # noqa: ARG002 (a Trace; to index anew does no harm)
        return False

    def has_effect(self, seen: tuple[int, ...]) -> bool:  # noqa: ARG002 (a Trace)
        return False

    def clean(self, seen: tuple[int, ...]) -> None:
        for one in leavings.transient_indexes(self._work.session):
            if one.oid not in seen:
                drop(self._work, one)

    def require_whole(self, seen: tuple[int, ...], place: Location) -> None:
        pass


class _DetachedPartition:
    """ALTER TABLE … DETACH PARTITION … CONCURRENTLY, which has two steps."""

    def __init__(self, work: Workplace, target: subjects.Detached) -> None:
        self._work = work
        self._target = target

    def before(self) -> tuple[int, ...]:
        return ()

    def is_done(self, seen: tuple[int, ...]) -> bool:  # noqa: ARG002 (a Trace)
        table, partition = self._target.table.parts, self._target.partition.parts
        if leavings.detach_is_pending(self._work.session, table, partition):
            leavings.finish_detaching(self._work.session, table, partition, Watch(self._work))
        return not leavings.is_attached(self._work.session, table, partition)

    def has_effect(self, seen: tuple[int, ...]) -> bool:  # noqa: ARG002 (a Trace)
        table, partition = self._target.table.parts, self._target.partition.parts
        session = self._work.session
        pending = leavings.detach_is_pending(session, table, partition)
        return pending or not leavings.is_attached(session, table, partition)

    def clean(self, seen: tuple[int, ...]) -> None:
        pass

    def require_whole(self, seen: tuple[int, ...], place: Location) -> None:
        pass


def drop(work: Workplace, index: Index) -> None:
    """Drop an index that an earlier attempt left, and say so."""
    work.reporter.note(
        Step.APPLYING, f"dropping the invalid index {index.qualified}, which an attempt before left behind"
    )
    leavings.drop(work.session, index, Watch(work))


def clean_quietly(work: Workplace, trace: Trace, seen: tuple[int, ...]) -> bool:
    """Clean up after a failure, if that is possible at once, and say whether it was; else the next attempt does."""
    if work.stop.requested or work.session.lost:
        return False
    with suppress(ServerFailure):
        work.session.limit_alone(CLEANING_SECONDS)
        trace.clean(seen)
        return True
    return False
