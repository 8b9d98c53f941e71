"""When to try again: waits between the attempts at one piece of work, and which refusals are looked at again."""

from __future__ import annotations

from datetime import datetime, timedelta

from schema_operator.api.duration import seconds
from schema_operator.api.schema_migration import RunOutcome, RunStatus
from schema_operator.api.target_database import Retries
from schema_operator.controller.deciding.statuses import moment
from schema_operator.controller.observation import Observation
from schema_operator.errors import Reason

PROBLEM_RECHECK_SECONDS = 15.0
"""How often the controller looks again for an object that does not exist; costs one read."""


SECRET_RECHECK_SECONDS = 30.0
"""How often a run looks again at a Secret. The operator may not read Secrets, so only a run can tell."""


LOCK_HELD_SECONDS = 2.0


STOPPED_SECONDS = 1.0


UNKNOWN_SECONDS = 5.0


UNCOUNTED_LIMIT_SECONDS = 60.0


RECHECKED = {
    Reason.SECRET_NOT_FOUND: SECRET_RECHECK_SECONDS,
    Reason.SECRET_KEY_NOT_FOUND: SECRET_RECHECK_SECONDS,
    Reason.AUTH_FAILED: SECRET_RECHECK_SECONDS,
}
"""Refusals whose cause is in a Secret, and how often they are looked at again. Others whose cause is outside the
resource are looked at again after the longest backoff."""


RECHECKED_SLOWLY = frozenset(
    {
        Reason.DATABASE_NOT_FOUND,
        Reason.DATABASE_MOVED,
        Reason.TLS_FAILED,
        Reason.INVALID_CONNECTION,
        Reason.POOLER_DETECTED,
        Reason.PERMISSION_DENIED,
        Reason.VERSION_IN_THE_WAY,
        Reason.MISSING_DEPENDENCY,
        Reason.RETRIES_EXHAUSTED,
        Reason.DISK_FULL,
    }
)


CONNECTION_REASONS = frozenset(
    {
        Reason.SECRET_NOT_FOUND,
        Reason.SECRET_KEY_NOT_FOUND,
        Reason.AUTH_FAILED,
        Reason.DATABASE_NOT_FOUND,
        Reason.UNREACHABLE,
        Reason.TLS_FAILED,
        Reason.INVALID_CONNECTION,
        Reason.NOT_PRIMARY,
        Reason.POOLER_DETECTED,
        Reason.UNSUPPORTED_SERVER,
        Reason.UNSUPPORTED_ENCODING,
    }
)
"""Reasons that say something about the way to the database and nothing about the scripts."""


def due(seen: Observation, last: RunStatus, wait: float) -> datetime:
    """Give when the attempt after `last` is due."""
    finished = moment(last.finished_at or "1970-01-01T00:00:00Z")
    # A time to come was written by a controller whose clock was ahead; waiting for it could take for ever.
    return seen.now if finished > seen.now else finished + timedelta(seconds=wait)


def uncounted_wait(outcome: RunOutcome, number: int) -> float:
    """Give the wait after a run that used up no attempt; it grows, because such runs have no limit.

    Not while another run holds the lock: the run itself has waited for it.
    """
    if outcome is RunOutcome.LOCK_HELD:
        return LOCK_HELD_SECONDS
    first = UNKNOWN_SECONDS if outcome is RunOutcome.UNKNOWN else STOPPED_SECONDS
    return min(first * 2.0 ** min(number - 1, 10), UNCOUNTED_LIMIT_SECONDS)


def backoff(failures: int, retries: Retries) -> float:
    """Give the wait after so many counted failures; it doubles."""
    return min(seconds(retries.backoff) * 2.0 ** min(failures - 1, 20), seconds(retries.max_backoff))
