"""One transaction of a run: fenced, tried again where that helps, resolved where its COMMIT was not answered."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from schema_operator.errors import (
    LockHeld,
    OutcomeUnknown,
    Reason,
    Refused,
    Retryable,
    SchemaOperatorError,
    Stopped,
)
from schema_operator.postgres.guard import FENCE
from schema_operator.postgres.locks import names
from schema_operator.postgres.session import OURS, SCRIPT, Begun, CommitLost, Opening
from schema_operator.postgres.sqlstate import ServerFailure, Verdict, explain, to_error
from schema_operator.runner.patience import Foreseen, Patience
from schema_operator.runner.polling import Lines, Pauses
from schema_operator.runner.report import Step

if TYPE_CHECKING:
    from schema_operator.api.report import Progress
    from schema_operator.postgres.locks import Holder
    from schema_operator.runner.workplace import Workplace

T = TypeVar("T")

END_OLD_SESSION_SECONDS: Final = 5.0
"""After which a session whose connection was lost, and which still holds the fence, is ended."""
_CANCEL_AGAIN_SECONDS: Final = 0.5
PATIENT_SECONDS: Final = 600.0
"""How long a statement at least waits for a lock that nobody else is kept from by its waiting. An index that is built
concurrently waits for every transaction that is older than it, and is lost when it gives up."""
_LOOK_SECONDS: Final = (0.01, 0.2, 0.4)
_LOOK_AGAIN_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Deed:
    """What a transaction does, as far as its begin and its end must know."""

    body: Callable[[Begun], None]
    done: Callable[[], bool]
    """Asks the database, in a later transaction, whether this one was committed."""
    what: str
    """For messages, for example `version 1.2.0`."""
    opening: Opening = SCRIPT
    foreseen: Foreseen | None = None
    """The locks the body is known to take: who holds them for long is waited for before the transaction begins."""


def commit(work: Workplace, deed: Deed) -> None:
    """Carry a deed out and commit it.

    Raises `Retryable` (nothing was changed), `Failed` (rolled back), `LockHeld`, `OutcomeUnknown`, `Stopped`.
    """

    def attempt(lock_timeout: float) -> None:
        work.told = []
        deed.body(_begin(work, deed.opening, lock_timeout))
        work.stop.check()
        work.session.commit()

    try:
        insist(work, attempt, deed.foreseen, keeps=deed.opening.keeps)
    except CommitLost:
        if not resolve(work, deed.done, deed.what):
            raise Retryable(
                Reason.CONNECTION_LOST,
                f"the connection was lost at the COMMIT of {deed.what}; the history says that it was not committed, so "
                "the database is as before it; the next run goes on from there",
            ) from None
    for sentence in work.told:
        work.reporter.told(sentence)
    work.findings = replace(work.findings, told=(*work.findings.told, *work.told))


def look(work: Workplace, body: Callable[[], T], *, pinned: bool) -> T:
    """Run a body in a read-only transaction that is rolled back; raises as `commit` does."""

    def attempt(lock_timeout: float) -> T:
        if work.only_looks:
            work.session.begin_look()
        else:
            _begin(work, OURS if pinned else SCRIPT, lock_timeout, read_only=True)
        value = body()
        work.session.rollback()
        return value

    return insist(work, attempt)


def alone(work: Workplace, body: Callable[[], T], prepare: Callable[[], None], *, patient: bool) -> T:
    """Run a body outside of any transaction, under the fence; raises as `commit` does.

    `prepare` sets the session up before our limits are set. `patient` is for what keeps nobody waiting while it waits.
    """

    def attempt(_lock_timeout: float) -> T:
        # Such a statement is not cheap to begin again, so it is not asked for without waiting.
        with _fenced(work):
            prepare()
            limits = work.request.locks
            longest = max(limits.give_up_seconds, PATIENT_SECONDS) if patient else limits.max_stall_seconds
            work.session.limit_alone(longest)
            return body()

    return insist(work, attempt, keeps=True)


@contextmanager
def _fenced(work: Workplace) -> Iterator[None]:
    keys = work.guard.keys()
    _wait_for_fence(work, lambda: work.session.begin_alone(keys))
    try:
        yield
    finally:
        work.session.end_alone(keys)


class Watch:
    """Looks after a statement while it runs: cancels it when asked to stop, sees whom it waits for and what it does."""

    def __init__(self, work: Workplace, *, together: bool = False, expected_bytes: int = 0) -> None:
        """Take a run; `together` says that several statements were sent, so that nobody knows which of them runs.

        `expected_bytes` is how much a COPY will read from us.
        """
        self._work = work
        self._together = together
        self._expected_bytes = expected_bytes
        self._looks = [*_LOOK_SECONDS]
        self._cancelled = -_CANCEL_AGAIN_SECONDS
        self._lines = Lines()
        self._waited = False
        self._fraction = 0.0

    def __call__(self, seconds: float) -> None:
        """Is called again and again, at first after a few milliseconds, with the seconds the statement has run."""
        if self._work.stop.requested and seconds - self._cancelled >= _CANCEL_AGAIN_SECONDS:
            self._cancelled = seconds
            self._work.session.cancel()
        if seconds >= self._looks[0]:
            self._looks = self._looks[1:] or [seconds + _LOOK_AGAIN_SECONDS]
            # The guard may be gone; then the next transaction finds out, at the fence.
            with suppress(ServerFailure):
                self._look(seconds)

    def _look(self, seconds: float) -> None:
        show = self._work.request.locks.show_queries
        blockers, wanted = self._work.guard.blockers(self._work.session.pid, show_queries=show)
        if blockers:
            self._work.findings = replace(self._work.findings, blocker=names(blockers))
        if wanted is not None:
            self._work.wanted = (*(one for one in self._work.wanted if one != wanted), wanted)
        if seconds >= _LOOK_SECONDS[1]:
            self._tell(blockers, self._activity(), seconds)

    def _activity(self) -> str:
        """Say what the statement does, as far as the server says; empty where it does not."""
        activity = self._work.guard.activity(self._work.session.pid)
        if activity is None:
            return ""
        from schema_operator.postgres.activity import tell  # noqa: PLC0415 (most runs need none)

        told = tell(activity, expected_bytes=self._expected_bytes)
        # Of a command for several tables each begins anew.
        self._fraction = max(self._fraction, told.fraction or 0.0)
        return told.sentence

    def _tell(self, blockers: tuple[Holder, ...], activity: str, seconds: float) -> None:
        if (at := self._present()) is None:
            return
        about: object = [one.pid for one in blockers], activity
        if blockers and self._lines.due(about, seconds):
            sentence = f"waiting for a lock held by {names(blockers)}"
            waiting = msgspec.structs.replace(at, step=Step.WAITING, message=sentence)
            self._work.reporter.detail(waiting, activity)
        elif not blockers and (activity or self._waited) and self._lines.due(about, seconds):
            self._work.reporter.detail(at, activity)
        self._waited = bool(blockers)

    def _present(self) -> Progress | None:
        """Give the line of the statement, further in percent; None where nothing was said to be at work."""
        at = self._work.reporter.at
        if at is None or at.statement is None or at.statements is None:
            return at
        if self._together:
            return msgspec.structs.replace(at, statement=None, statements=None)
        percent = self._work.findings.percent(at.statement + self._fraction, at.statements)
        return msgspec.structs.replace(at, percent=percent)


def insist(
    work: Workplace, attempt: Callable[[float], T], foreseen: Foreseen | None = None, *, keeps: bool = False
) -> T:
    """Make attempts until one passes, fails for good, or time is up; what is open is rolled back between them.

    An attempt is given the seconds it may wait for a lock.
    """
    patience = Patience(work, foreseen, keeps=keeps)
    for lock_timeout in patience:
        try:
            value = attempt(lock_timeout)
        except ServerFailure as failure:
            work.session.rollback()
            work.stop.check()
            if explain(failure.error).verdict is not Verdict.TRY_AGAIN or not patience.allows_another(failure):
                raise failed(work, failure) from None
        except (SchemaOperatorError, CommitLost):
            work.session.rollback()
            raise
        else:
            work.findings = replace(work.findings, blocker=None)
            return value
    raise AssertionError("attempts end by themselves")


def failed(work: Workplace, failure: ServerFailure) -> SchemaOperatorError:
    """Give the error that users see of a failure that was the last."""
    from schema_operator.runner.enquiry import circumstances  # noqa: PLC0415 (most runs need none)

    located = replace(failure.location, sqlstate=failure.error.sqlstate)
    known = circumstances(work, failure)
    error = to_error(ServerFailure(failure.error, located, failure.script), work.findings.blocker, known)
    if error.reason is not Reason.LOCK_TIMEOUT:
        work.findings = replace(work.findings, blocker=None)
    return error


def _begin(work: Workplace, opening: Opening, lock_timeout: float, *, read_only: bool = False) -> Begun:
    """Begin a transaction that holds the fence; raises `LockHeld` where another keeps it, `Retryable(GuardLost)`."""
    keys = work.guard.keys()
    return _wait_for_fence(
        work, lambda: work.session.begin(keys, opening, read_only=read_only, lock_timeout=lock_timeout)
    )


def _wait_for_fence(work: Workplace, ask: Callable[[], Begun]) -> Begun:
    pauses = Pauses(work.request.lock_wait_seconds, shortest=0.05, longest=0.5)
    lines = Lines()
    while True:
        work.stop.check()
        begun = ask()
        if begun.fenced and begun.guarded:
            return begun
        work.session.rollback()
        if begun.fenced:
            raise guard_lost()
        found = work.guard.holders(FENCE)
        holders = names(found)
        if pauses.over:
            work.findings = replace(work.findings, blocker=holders)
            raise LockHeld(Reason.LOCK_HELD, f"a transaction of another run is still open: {holders}; wait for its end")
        if lines.due([one.pid for one in found], pauses.elapsed):
            work.reporter.progress(Step.WAITING, f"waiting for the transaction of another run: {holders}")
        work.stop.sleep(pauses.next())


def guard_lost() -> Retryable:
    """Give the error of a run whose guard session has gone."""
    return Retryable(
        Reason.GUARD_LOST,
        "the session that keeps other runs away was ended, so another run may have come in between; nothing of "
        "the present version was changed; the next run reads the history anew",
    )


def resolve(work: Workplace, done: Callable[[], bool], what: str) -> bool:
    """Find out whether a transaction whose COMMIT was not answered was committed: lock first, then ask the history.

    Raises `OutcomeUnknown` where that cannot be proved in time.
    """
    old_pid, old_started = work.session.pid, work.session.started
    work.session.close()
    pauses = Pauses(work.request.locks.give_up_seconds, shortest=0.02, longest=2.0)
    while not pauses.over and not work.stop.requested:
        with suppress(ServerFailure, Retryable, Refused):
            if (answer := _ask(work, done)) is not None:
                return answer
            if pauses.elapsed > END_OLD_SESSION_SECONDS and old_started:
                work.guard.end_backend(old_pid, old_started)
        time.sleep(pauses.next())
    raise OutcomeUnknown(
        Reason.OUTCOME_UNKNOWN,
        f"the connection was lost at the COMMIT of {what}, and the history could not be read since; the next run "
        "reads it and knows",
    )


def _ask(work: Workplace, done: Callable[[], bool]) -> bool | None:
    """Ask once; None where the old session may still be at its COMMIT, or another run is at work."""
    try:
        work.open_session()
        begun = work.session.begin(work.guard.keys(), read_only=True)
        if begun.fenced and not begun.guarded:
            work.session.rollback()
            work.open_guard(work.address)
            return None if not work.guard.try_lock() else _ask(work, done)
        if not begun.fenced:
            return None
        answer = done()
        work.session.rollback()
    except Stopped:
        return None
    return answer
