"""Own: be the only run on the database, or say who is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from schema_operator.errors import LockHeld, Reason
from schema_operator.postgres.guard import GUARD
from schema_operator.postgres.sqlstate import ServerFailure, to_error
from schema_operator.runner.polling import Pauses
from schema_operator.runner.report import Step

if TYPE_CHECKING:
    from schema_operator.runner.workplace import Workplace


def own(work: Workplace) -> None:
    """Get the guard lock and open the working session.

    Raises `LockHeld` with the holder when the lock was not free within `request.lock_wait_seconds`.
    """
    try:
        _lock(work)
        work.open_session()
        work.session.recognise()
    except ServerFailure as failure:
        raise to_error(failure) from None


def _lock(work: Workplace) -> None:
    pauses = Pauses(work.request.lock_wait_seconds, shortest=0.05, longest=0.5)
    while not work.guard.try_lock():
        holders = ", ".join(str(holder) for holder in work.guard.holders(GUARD)) or "a session that has just ended"
        if pauses.over:
            work.findings = replace(work.findings, blocker=holders)
            raise LockHeld(
                Reason.LOCK_HELD,
                f"another run works on this database: {holders}; waited {pauses.elapsed:.0f} s; wait for its end",
            )
        work.reporter.progress(Step.WAITING, f"waiting for another run on this database: {holders}")
        work.stop.sleep(pauses.next())
