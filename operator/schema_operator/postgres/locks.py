"""PostgreSQL's table-level locks, and who holds one that is wanted.

Source: PostgreSQL documentation, "Explicit Locking", table "Conflicting Lock Modes"; the names are those of pg_locks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

AUTOVACUUM: Final = "autovacuum"
"""What an autovacuum worker is called that may be cancelled; one that prevents wraparound has a longer name."""
_MODES: Final = (
    "AccessShareLock",
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)
_CONFLICTS: Final = {
    "AccessShareLock": ("AccessExclusiveLock",),
    "RowShareLock": ("ExclusiveLock", "AccessExclusiveLock"),
    "RowExclusiveLock": _MODES[4:],
    "ShareUpdateExclusiveLock": _MODES[3:],
    "ShareLock": (*_MODES[2:4], *_MODES[5:]),
    "ShareRowExclusiveLock": _MODES[2:],
    "ExclusiveLock": _MODES[1:],
    "AccessExclusiveLock": _MODES,
}


def conflicting(mode: str) -> tuple[str, ...]:
    """Give the modes that cannot be held by another transaction together with a mode; all for one nobody knows."""
    return _CONFLICTS.get(mode, _MODES)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A lock that is wanted: a relation by its oid, and the mode."""

    relation: int
    mode: str


@dataclass(frozen=True, slots=True)
class Holder:
    """A session that holds a lock. State, age and query are absent where the role may not see them."""

    pid: int
    application: str
    state: str | None
    seconds: float | None
    """How long its transaction has been open, or, without one, the session."""
    since: str | None = None
    """When the session began, in UTC; only asked for where the lock is one of ours."""
    lock: str | None = None
    """What it holds of what is wanted, for example `AccessShareLock on public.item`."""
    query: str | None = None
    """What it runs or ran last; only asked for where that is allowed."""
    transaction: str = ""
    """Identity of its transaction (`virtualtransaction` of pg_locks), where that is asked for."""

    @property
    def at_work(self) -> str:
        """Name the run whose session this is: what the session does says nothing, a guard session is always idle."""
        since = f", since {self.since}" if self.since else ""
        return f"{self.application or 'a run without a name'} (session {self.pid}){since}"

    def __str__(self) -> str:
        parts = [self.application if self.application.startswith("autovacuum") else f"application {self.application}"]
        if not self.application:
            parts = ["no application name"]
        if self.state:
            parts.append(self.state)
        if self.seconds is not None:
            parts.append(f"for {self.seconds:.0f} s")
        if self.lock:
            parts.append(f"holds {self.lock}")
        if self.query:
            parts.append(f"query: {self.query}")
        return f"session {self.pid} ({', '.join(parts)})"


def names(holders: tuple[Holder, ...]) -> str:
    """Name sessions in a message."""
    return ", ".join(map(str, holders)) or "a session that has just ended"
