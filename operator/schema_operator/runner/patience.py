"""Wait between attempts: outside of the server's queue for as long as an old transaction is in the way."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from schema_operator.errors import NOWHERE, Reason, Retryable
from schema_operator.postgres.locks import AUTOVACUUM, Holder, names
from schema_operator.postgres.sqlstate import ServerFailure
from schema_operator.runner.attempts import MOST_DEADLOCKS, MUCH_WORK, lock_timeouts
from schema_operator.runner.polling import Lines
from schema_operator.runner.report import Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schema_operator.errors import Location
    from schema_operator.runner.workplace import Workplace
    from schema_operator.scripts.locking import RelationName

_LOOK_SECONDS: Final = 0.05
"""Between looks at who is in the way. Soon enough after its end, and a look costs the server about a millisecond."""
_SHORTEST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 0.5
_DEADLOCK: Final = "40P01"
LOCK_NOT_AVAILABLE: Final = "55P03"


@dataclass(frozen=True, slots=True)
class Foreseen:
    """Locks that a transaction is known to take before it begins."""

    relations: tuple[RelationName, ...]
    place: Location
    """The statement that takes the first of them."""


class Patience:
    """The attempts at one transaction: iterating gives the seconds that each may wait for a lock."""

    def __init__(self, work: Workplace, foreseen: Foreseen | None = None, *, keeps: bool = False) -> None:
        self._work = work
        self._names = foreseen.relations if foreseen else ()
        self._keeps = keeps
        self._first_failure: float | None = None
        self._began = 0.0
        self._pause = _SHORTEST_PAUSE
        self._deadlocks = 0
        self._much_work = False
        self._seen: dict[str, float] = {}
        """When each transaction that was in the way was seen first."""
        self._place = foreseen.place if foreseen else NOWHERE
        work.wanted = ()
        work.findings = replace(work.findings, blocker=None)

    def __iter__(self) -> Iterator[float]:
        limits = self._work.request.locks
        self._work.wanted = self._work.resolved(self._names, keeps=self._keeps)
        for seconds in lock_timeouts(limits.max_stall_seconds):
            self._let_old_ones_pass()
            self._began = time.monotonic()
            yield limits.max_stall_seconds if self._much_work else seconds
            self._rest()

    def allows_another(self, failure: ServerFailure) -> bool:
        """Take note of an attempt that failed; say whether there may be another."""
        now = time.monotonic()
        self._place = failure.location
        self._much_work = self._much_work or now - self._began > MUCH_WORK
        self._deadlocks += failure.error.sqlstate == _DEADLOCK
        if self._first_failure is None:
            waited = min(now - self._began, self._work.session.longest_wait)
            self._first_failure = now - waited if failure.error.sqlstate == LOCK_NOT_AVAILABLE else now
        if self._work.findings.blocker is None and (holders := self._holders()):
            self._work.findings = replace(self._work.findings, blocker=names(holders))
        return self._deadlocks <= MOST_DEADLOCKS and not self._over()

    def _over(self) -> bool:
        since = self._first_failure
        return since is not None and time.monotonic() - since >= self._work.request.locks.give_up_seconds

    def _rest(self) -> None:
        self._say(self._work.findings.blocker)
        self._work.stop.sleep(self._pause * random.uniform(0.5, 1.0))  # noqa: S311 (jitter, so that two do not keep step)
        self._pause = min(self._pause * 1.5, _LONGEST_PAUSE)

    def _let_old_ones_pass(self) -> None:
        """Wait, without queueing, while a transaction older than the stall that is allowed holds what is wanted."""
        lines = Lines()
        began = time.monotonic()
        while old := self._old_ones():
            now = time.monotonic()
            if self._first_failure is None:
                self._first_failure = began
            self._work.findings = replace(self._work.findings, blocker=names(old))
            if self._over():
                raise Retryable(
                    Reason.LOCK_TIMEOUT,
                    f"the lock was held by {names(old)} all the time; nothing was changed; {remedy_against(old)}",
                    replace(self._place, sqlstate=LOCK_NOT_AVAILABLE),
                )
            if lines.due([one.pid for one in old], now - began):
                self._say(names(old))
                self._ask_autovacuum_to_go(old)
            self._work.stop.sleep(_LOOK_SECONDS)

    def _ask_autovacuum_to_go(self, old: tuple[Holder, ...]) -> None:
        """Do what the server does for whoever waits a second in its queue, where we never wait so long.

        Autovacuum starts again by itself. One that prevents wraparound is left alone, as the server does.
        """
        for one in old:
            if one.application == AUTOVACUUM:
                with suppress(ServerFailure):
                    self._work.guard.cancel_autovacuum(one.pid)

    def _old_ones(self) -> tuple[Holder, ...]:
        """Give the holders whose transactions are old; one whose age may not be seen is as old as we have seen it."""
        now = time.monotonic()
        stall = self._work.request.locks.max_stall_seconds
        return tuple(one for one in self._holders() if _age(one, self._seen, now) > stall)

    def _holders(self) -> tuple[Holder, ...]:
        """Give those who hold what is wanted, as far as that is known and can be asked for."""
        if self._work.wanted:
            with suppress(ServerFailure):
                return self._work.guard.lockers(
                    self._work.wanted,
                    self._work.session.pid,
                    show_queries=self._work.request.locks.show_queries,
                )
        return ()

    def _say(self, blocker: str | None) -> None:
        self._work.reporter.progress(
            Step.WAITING,
            f"waiting for a lock{f' held by {blocker}' if blocker else ''}",
            version=self._place.version,
            statement=self._place.statement,
            statements=self._place.statements,
        )


def remedy_against(holders: tuple[Holder, ...]) -> str:
    """Say what to do about those in the way."""
    autovacuum = next((one.pid for one in holders if one.application == AUTOVACUUM), None)
    if autovacuum is None:
        return "end that session or run again later"
    return (
        f"as a role that may, run: SELECT pg_cancel_backend({autovacuum}) (autovacuum starts again by itself), or run "
        "again later"
    )


def _age(holder: Holder, ages: dict[str, float], now: float) -> float:
    if holder.seconds is not None:
        return holder.seconds
    return now - ages.setdefault(holder.transaction, now)
