"""Rest between batches: look at standbys and at old transactions, and wait as `pace` decides."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from schema_operator.postgres.locks import names
from schema_operator.postgres.queries import identifier
from schema_operator.postgres.sqlstate import ServerFailure
from schema_operator.runner.pace import Log, rest

if TYPE_CHECKING:
    from collections.abc import Callable

    from schema_operator.runner.report import Step
    from schema_operator.runner.workplace import Workplace

_LOOK_SECONDS: Final = 0.1
"""Between looks: soon enough for a lag that is allowed in seconds, and a look costs about a third of a millisecond."""
_MOST_NAMED: Final = 3


class Pacer:
    """Keeps batches from coming faster than others can bear."""

    def __init__(self, work: Workplace, step: Step) -> None:
        self._work = work
        self._step = step
        self._log = Log()
        self._lags: dict[str, float] = {}
        self._old = ""
        self._looked = 0.0
        self._looks = True
        self.why = ""
        """Why the batches are slower than they could be, for progress; empty where they are not."""

    def require_sight(self) -> None:
        """Say once what cannot be looked at, because the role may not see it."""
        try:
            may_see = self._work.guard.may_see_others()
        except ServerFailure as failure:
            self._give_up(failure)
            return
        if not may_see:
            role = self._work.session.user
            self._work.reporter.note(
                self._step,
                f"the user {role} may not see what standbys and other sessions do, so batches do not wait for them; if "
                f"they should, run: GRANT pg_read_all_stats TO {identifier(role)}",
            )

    def rest_after(self, seconds: float, say: Callable[[], None]) -> None:
        """Rest after a batch of some seconds; `say` is called while it is waited for something, see `why`."""
        while True:
            self._look()
            found = rest(self._lags, self._old, seconds, self._work.request.batches)
            self.why = found.why
            if found.waits:
                say()
            if found.seconds:
                self._work.stop.sleep(found.seconds)
            if not found.waits:
                return

    def _look(self) -> None:
        now = time.monotonic()
        if not self._looks or now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        try:
            self._look_at_standbys(now)
            self._look_at_old_transactions()
        except ServerFailure as failure:
            self._give_up(failure)

    def _look_at_standbys(self, now: float) -> None:
        position, standbys = self._work.guard.standbys()
        self._log.note(now, position)
        self._lags = {}
        for name, replayed in standbys:
            self._lags[name] = max(self._lags.get(name, 0.0), self._log.lag(now, replayed))
        self._log.forget(min((replayed for _, replayed in standbys), default=position))

    def _look_at_old_transactions(self) -> None:
        seconds = self._work.request.batches.long_transaction_seconds
        found = self._work.guard.long_transactions(seconds)
        self._old = names(found[:_MOST_NAMED]) if found else ""

    def _give_up(self, failure: ServerFailure) -> None:
        """Look no more where that is not possible; that the guard is gone, the next transaction finds out."""
        self._looks, self._lags, self._old = False, {}, ""
        if not self._work.guard.lost:
            self._work.reporter.note(
                self._step,
                "the server does not say what standbys and other sessions do, so batches do not wait for them "
                f"(SQLSTATE {failure.error.sqlstate})",
            )
