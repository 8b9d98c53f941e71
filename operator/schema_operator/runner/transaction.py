"""One transaction of a run: fenced, tried again where that helps, resolved where its COMMIT was not answered."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar

from schema_operator.errors import (
    LockHeld,
    OutcomeUnknown,
    Reason,
    Refused,
    Retryable,
    SchemaOperatorError,
    Stopped,
)
from schema_operator.postgres.guard import FENCE, Holder
from schema_operator.postgres.session import Begun, CommitLost
from schema_operator.postgres.sqlstate import ServerFailure, Verdict, explain, to_error
from schema_operator.runner.polling import Lines, Pauses
from schema_operator.runner.report import Step

if TYPE_CHECKING:
    from schema_operator.runner.workplace import Workplace

T = TypeVar("T")

END_OLD_SESSION_SECONDS: Final = 5.0
"""After which a session whose connection was lost, and which still holds the fence, is ended."""
_CANCEL_AGAIN_SECONDS: Final = 0.5
_LOOK_SECONDS: Final = (0.2, 0.4)
_LOOK_AGAIN_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Deed:
    """What a transaction does, as far as its begin and its end must know."""

    body: Callable[[Begun], None]
    done: Callable[[], bool]
    """Asks the database, in a later transaction, whether this one was committed."""
    what: str
    """For messages, for example `version 1.2.0`."""
    pinned: bool = False
    """Whether the body is our own and not a script."""


def commit(work: Workplace, deed: Deed) -> None:
    """Carry a deed out and commit it.

    Raises `Retryable` (nothing was changed), `Failed` (rolled back), `LockHeld`, `OutcomeUnknown`, `Stopped`.
    """

    def attempt() -> None:
        deed.body(_begin(work, pinned=deed.pinned))
        work.stop.check()
        work.session.commit()

    try:
        _again(work, attempt)
    except CommitLost:
        if not _resolve(work, deed):
            raise Retryable(
                Reason.CONNECTION_LOST,
                f"the connection was lost at the COMMIT of {deed.what}; the history says that it was not committed, so "
                "the database is as before it; the next run goes on from there",
            ) from None


def look(work: Workplace, body: Callable[[], T], *, pinned: bool) -> T:
    """Run a body in a read-only transaction that is rolled back; raises as `commit` does."""

    def attempt() -> T:
        _begin(work, pinned=pinned, read_only=True)
        value = body()
        work.session.rollback()
        return value

    return _again(work, attempt)


class Watch:
    """Looks after a statement while it runs: cancels it when asked to stop, and sees whom it waits for."""

    def __init__(self, work: Workplace) -> None:
        self._work = work
        self._looks = [*_LOOK_SECONDS]
        self._cancelled = -_CANCEL_AGAIN_SECONDS

    def __call__(self, seconds: float) -> None:
        """Is called about ten times a second, with the seconds the statement has run."""
        if self._work.stop.requested and seconds - self._cancelled >= _CANCEL_AGAIN_SECONDS:
            self._cancelled = seconds
            self._work.session.cancel()
        if seconds >= self._looks[0]:
            self._looks = self._looks[1:] or [seconds + _LOOK_AGAIN_SECONDS]
            self._see_blockers()

    def _see_blockers(self) -> None:
        # The guard may be gone; then the next transaction finds out, at the fence.
        with suppress(ServerFailure):
            blockers = self._work.guard.blockers(self._work.session.pid)
            if blockers:
                self._work.findings = replace(self._work.findings, blocker=_names(blockers))


def _again(work: Workplace, attempt: Callable[[], T]) -> T:
    """Make attempts until one passes, fails for good, or time is up; what is open is rolled back between them."""
    pauses = Pauses(work.request.locks.give_up_seconds, shortest=0.05, longest=2.0)
    work.findings = replace(work.findings, blocker=None)
    while True:
        try:
            value = attempt()
        except ServerFailure as failure:
            work.session.rollback()
            work.stop.check()
            if explain(failure.error).verdict is not Verdict.TRY_AGAIN or pauses.over:
                raise _error(work, failure) from None
            blocker = work.findings.blocker
            work.reporter.progress(
                Step.WAITING,
                f"waiting for a lock{f' held by {blocker}' if blocker else ''}, trying again",
                version=failure.location.version,
                statement=failure.location.statement,
                statements=failure.location.statements,
            )
        except (SchemaOperatorError, CommitLost):
            work.session.rollback()
            raise
        else:
            work.findings = replace(work.findings, blocker=None)
            return value
        work.stop.sleep(pauses.next() * random.uniform(0.5, 1.0))  # noqa: S311 (jitter, so that two do not keep step)


def _error(work: Workplace, failure: ServerFailure) -> SchemaOperatorError:
    from schema_operator.runner.enquiry import circumstances  # noqa: PLC0415 (most runs need none)

    located = replace(failure.location, sqlstate=failure.error.sqlstate)
    known = circumstances(work, failure)
    error = to_error(ServerFailure(failure.error, located, failure.script), work.findings.blocker, known)
    if error.reason is not Reason.LOCK_TIMEOUT:
        work.findings = replace(work.findings, blocker=None)
    return error


def _begin(work: Workplace, *, pinned: bool, read_only: bool = False) -> Begun:
    """Begin a transaction that holds the fence; raises `LockHeld` where another keeps it, `Retryable(GuardLost)`."""
    pauses = Pauses(work.request.lock_wait_seconds, shortest=0.05, longest=0.5)
    lines = Lines()
    while True:
        work.stop.check()
        begun = work.session.begin(work.guard.keys(), read_only=read_only, pinned=pinned)
        if begun.fenced and begun.guarded:
            return begun
        work.session.rollback()
        if begun.fenced:
            raise Retryable(
                Reason.GUARD_LOST,
                "the session that keeps other runs away was ended, so another run may have come in between; nothing of "
                "the present version was changed; the next run reads the history anew",
            )
        found = work.guard.holders(FENCE)
        holders = _names(found)
        if pauses.over:
            work.findings = replace(work.findings, blocker=holders)
            raise LockHeld(Reason.LOCK_HELD, f"a transaction of another run is still open: {holders}; wait for its end")
        if lines.due([one.pid for one in found], pauses.elapsed):
            work.reporter.progress(Step.WAITING, f"waiting for the transaction of another run: {holders}")
        work.stop.sleep(pauses.next())


def _names(holders: tuple[Holder, ...]) -> str:
    return ", ".join(str(holder) for holder in holders) or "a session that has just ended"


def _resolve(work: Workplace, deed: Deed) -> bool:
    """Find out whether a transaction whose COMMIT was not answered was committed: lock first, then ask the history.

    Raises `OutcomeUnknown` where that cannot be proved in time.
    """
    old_pid, old_started = work.session.pid, work.session.started
    work.session.close()
    pauses = Pauses(work.request.locks.give_up_seconds, shortest=0.1, longest=2.0)
    while not pauses.over and not work.stop.requested:
        with suppress(ServerFailure, Retryable, Refused):
            if (answer := _ask(work, deed)) is not None:
                return answer
            if pauses.elapsed > END_OLD_SESSION_SECONDS and old_started:
                work.guard.end_backend(old_pid, old_started)
        time.sleep(pauses.next())
    raise OutcomeUnknown(
        Reason.OUTCOME_UNKNOWN,
        f"the connection was lost at the COMMIT of {deed.what}, and the history could not be read since; the next run "
        "reads it and knows",
    )


def _ask(work: Workplace, deed: Deed) -> bool | None:
    """Ask once; None where the old session may still be at its COMMIT, or another run is at work."""
    try:
        work.open_session()
        begun = work.session.begin(work.guard.keys(), read_only=True, pinned=True)
        if begun.fenced and not begun.guarded:
            work.session.rollback()
            work.open_guard(work.address)
            return None if not work.guard.try_lock() else _ask(work, deed)
        if not begun.fenced:
            return None
        answer = deed.done()
        work.session.rollback()
    except Stopped:
        return None
    return answer
