"""Who may change a database: one run at a time, by two locks of PostgreSQL that die with their sessions.

* The *guard* is a session-level advisory lock, held by a session of its own that does nothing else, so that no script
  can lose it (`DISCARD ALL`, `pg_advisory_unlock_all()`). It is asked for again and again with `pg_try_advisory_lock`:
  who waits inside the server for an advisory lock holds a snapshot, and concurrent index builds wait for snapshots.
* The *fence* is a transaction-level advisory lock that every transaction of the working session takes first, in the
  same way, and after which, in the same statement, it looks whether the guard still holds its lock.

Two races remain with the guard alone, and the fence closes both:

1. *The guard dies while our transaction is open.* Another run then gets the guard lock, but not the fence: that stays
   with our transaction until it ends. Each run reads the history under the fence, so the other one plans with what we
   committed or without what we did not, never with something between.
2. *The guard dies between two of our transactions, unnoticed* (the runner was paused, its node cut off). Another run
   may have come and gone, so what we planned is worth nothing. Our next transaction takes the fence, and only then
   looks for the guard's lock; it is not there, and we stop (`GuardLost`). Were it looked for first, the guard could
   still die between the look and the fence.

How the guard is seen to live: it also holds a lock with a number of our own, the token, which no other run has. The
transaction tries to share that lock; as long as it cannot, our guard session is there, and with it the guard lock, that
it got before. Nothing is looked up in the list of all locks (a fifth of a millisecond in each transaction), and no
process id, which may be somebody else's by now, is trusted.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg import sql

from schema_operator.postgres.connecting import Connection
from schema_operator.postgres.locks import Holder, Wanted, conflicting
from schema_operator.postgres.session import QUERIES, Facts, facts
from schema_operator.postgres.sqlstate import ServerError, ServerFailure

if TYPE_CHECKING:
    from schema_operator.postgres.activity import Activity

LOCK_CLASS: Final = 0x736F7064
"""First half of the advisory lock keys, `sopd` in ASCII. The second half is the number of the lock."""
GUARD: Final = 1
FENCE: Final = 2

Rows = list[tuple[Any, ...]]
_IDLE_SESSION_TIMEOUT_SINCE = 140000
_COPY_ACTIVITY_SINCE = 140000
_PREPARE_AT_ONCE = 0


class Guard:
    """The guard session."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        # For what is asked again and again while a statement runs: a plan is most of its cost.
        connection.prepare_threshold = _PREPARE_AT_ONCE
        self._token = int.from_bytes(os.urandom(8)) & 0x7FFFFFFF_FFFFFFFF
        self.pid = connection.info.backend_pid
        self._execute(QUERIES["guard_settings"])
        if connection.info.server_version >= _IDLE_SESSION_TIMEOUT_SINCE:
            self._execute(sql.SQL("SET idle_session_timeout = 0"))

    def facts(self) -> Facts:
        """Ask the server what it is."""
        try:
            return facts(self._connection)
        except psycopg.Error as error:
            raise _failure(error) from None

    def system_identifier(self) -> str:
        """Ask for the identity of the cluster; the caller knows that the role may."""
        return str(self._execute(QUERIES["system_identifier"])[0][0])

    def try_lock(self) -> bool:
        """Try to get the lock; never waits in the server."""
        if not self._execute(QUERIES["try_guard"].format(lock_class=LOCK_CLASS, guard=GUARD))[0][0]:
            return False
        return bool(self._execute(QUERIES["take_token"].format(token=self._token))[0][0])

    def keys(self) -> dict[str, int]:
        """Give what the fence asks for: the fence itself and the token that the guard session should hold."""
        return {"lock_class": LOCK_CLASS, "fence": FENCE, "token": self._token}

    def holders(self, number: int) -> tuple[Holder, ...]:
        """Say who holds the guard lock or the fence."""
        rows = self._execute(QUERIES["lock_holders"], {"lock_class": LOCK_CLASS, "number": number})
        return tuple(Holder(*row) for row in rows)

    def blockers(self, pid: int, *, show_queries: bool) -> tuple[tuple[Holder, ...], Wanted | None]:
        """Say who keeps a session waiting for a lock, and which lock of a relation it waits for."""
        rows = self._execute(QUERIES["blockers"], {"pid": pid, "show_queries": show_queries}, prepare=True)
        wanted = next((Wanted(row[-2], row[-1]) for row in rows if row[-2] is not None), None)
        return tuple(Holder(*row[:-2]) for row in rows), wanted

    def activity(self, pid: int) -> Activity | None:
        """Say what a session reports of a long command; None where it does nothing of the kind."""
        rows = self._execute(QUERIES["activity"], {"pid": pid}, prepare=True)
        if not rows and self._connection.info.server_version >= _COPY_ACTIVITY_SINCE:
            rows = self._execute(QUERIES["copy_activity"], {"pid": pid}, prepare=True)
        if not rows:
            return None
        from schema_operator.postgres.activity import Activity  # noqa: PLC0415 (most runs need none)

        return Activity(*rows[0])

    def lockers(self, wanted: Sequence[Wanted], pid: int, *, show_queries: bool) -> tuple[Holder, ...]:
        """Say who holds locks that conflict with those that are wanted, other than the session that wants them."""
        pairs = [(one.relation, mode) for one in wanted for mode in conflicting(one.mode)]
        parameters: dict[str, object] = {
            "relations": [relation for relation, _ in pairs],
            "modes": [mode for _, mode in pairs],
            "pid": pid,
            "show_queries": show_queries,
        }
        return tuple(Holder(*row) for row in self._execute(QUERIES["lockers"], parameters))

    def cancel_autovacuum(self, pid: int) -> None:
        """Cancel an autovacuum, unless it prevents wraparound; raises `ServerFailure` where we may not."""
        self._execute(QUERIES["cancel_autovacuum"], {"pid": pid})

    def standbys(self) -> tuple[int, tuple[tuple[str, int], ...]]:
        """Give the end of the write-ahead log, and by name how far each standby that can be seen has replayed it."""
        rows = self._execute(QUERIES["standbys"])
        return rows[0][0], tuple((name, replayed) for _, name, replayed in rows if name is not None)

    def long_transactions(self, seconds: float) -> tuple[Holder, ...]:
        """Say whose transactions are open for longer, the longest first."""
        return tuple(Holder(*row) for row in self._execute(QUERIES["long_transactions"], {"seconds": seconds}))

    def may_see_others(self) -> bool:
        """Say whether our role sees what the two above are about."""
        return bool(self._execute(QUERIES["may_see_others"])[0][0])

    @property
    def lost(self) -> bool:
        """Whether the connection is gone."""
        return bool(self._connection.closed)

    def end_backend(self, pid: int, started: str) -> None:
        """End a session of ours that we lost the connection to."""
        self._execute(QUERIES["end_backend"], {"pid": pid, "backend_start": started})

    def close(self) -> None:
        """End the session, and with it the lock."""
        self._connection.close()

    def _execute(
        self, query: sql.SQL | sql.Composed, parameters: dict[str, object] | None = None, *, prepare: bool = False
    ) -> list[tuple[Any, ...]]:
        try:
            cursor = self._connection.execute(query, parameters, prepare=prepare)
            return cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            raise _failure(error) from None


def _failure(error: psycopg.Error) -> ServerFailure:
    return ServerFailure(ServerError(sqlstate=error.diag.sqlstate, message=error.diag.message_primary or "", lost=True))
