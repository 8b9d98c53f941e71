"""Own: be the only run on the database, or say who is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from schema_operator.errors import LockHeld, Reason, Refused
from schema_operator.postgres.guard import GUARD
from schema_operator.postgres.queries import identifier
from schema_operator.postgres.sqlstate import ServerFailure, to_error
from schema_operator.runner.polling import Lines, Pauses
from schema_operator.runner.report import Step

if TYPE_CHECKING:
    from schema_operator.runner.workplace import Workplace

_NO_SUCH_ROLE: Final = "22023"
_NO_MEMBER: Final = "42501"


def own(work: Workplace) -> None:
    """Get the guard lock and open the working session.

    Raises `LockHeld` with the holder when the lock was not free within `request.lock_wait_seconds`, and `Refused`:
    InvalidConnection, PermissionDenied for a role that cannot be taken on.
    """
    try:
        _lock(work)
        work.open_session()
        work.session.recognise()
        _become(work)
    except ServerFailure as failure:
        raise to_error(failure) from None


def visit(work: Workplace) -> None:
    """Open the working session of a run that only looks, without any lock; raises as `own` does, but for `LockHeld`."""
    try:
        work.open_session()
        _become(work)
    except ServerFailure as failure:
        raise to_error(failure) from None


def _become(work: Workplace) -> None:
    """See, once and before anything else, that the role of the connection can be taken on."""
    role = work.address.role or ""
    try:
        work.session.become()
    except ServerFailure as failure:
        if failure.error.sqlstate == _NO_SUCH_ROLE:
            raise Refused(
                Reason.INVALID_CONNECTION,
                f"the role {role}, which connection.role names, does not exist; create it or correct its name",
            ) from None
        if failure.error.sqlstate == _NO_MEMBER:
            user = work.session.user
            raise Refused(
                Reason.PERMISSION_DENIED,
                f"the user {user} is no member of the role {role}, which connection.role names; run: "
                f"GRANT {identifier(role)} TO {identifier(user)}",
            ) from None
        raise


def _lock(work: Workplace) -> None:
    pauses = Pauses(work.request.lock_wait_seconds, shortest=0.05, longest=0.5)
    lines = Lines()
    while not work.guard.try_lock():
        holders = ", ".join(one.at_work for one in work.guard.holders(GUARD)) or "a session that has just ended"
        if pauses.over:
            work.findings = replace(work.findings, blocker=holders)
            raise LockHeld(
                Reason.LOCK_HELD,
                f"another run of schema-operator is at work: {holders}; waited {pauses.elapsed:.0f} s; wait for its "
                "end",
            )
        if lines.due(holders, pauses.elapsed):
            work.reporter.progress(Step.WAITING, f"another run of schema-operator is at work: {holders}; waiting")
        work.stop.sleep(pauses.next())
