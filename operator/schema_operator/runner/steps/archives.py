"""Archives: copy what a statement is about to destroy, put it back in a rollback, drop what is too old.

The copy is made in the statement's own transaction, right before it, as the role of the connection: a script may have
taken on another one, which has no business in the control schema. Its names are looked up where the script's are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import msgspec
from psycopg import sql

from schema_operator.api.request import AboveMaxSize, Acknowledgement, ArchivePolicy
from schema_operator.errors import Failed, Location, Reason
from schema_operator.history import store
from schema_operator.postgres.session import OURS, Begun
from schema_operator.postgres.sqlstate import ServerFailure, masked
from schema_operator.runner.transaction import Deed, Watch, commit
from schema_operator.scripts.destruction import Kind, as_json, destroyed_by

if TYPE_CHECKING:
    from collections.abc import Iterable

    from psycopg.pq.abc import PGresult

    from schema_operator.history.records import Direction
    from schema_operator.runner.report import Step
    from schema_operator.runner.workplace import Workplace
    from schema_operator.scripts.statements import Statement

_ARCHIVE: Final = "schema_operator.archive("
NO_KEY: Final = "SO001"
TOO_LARGE: Final = "SO002"
ISOLATION: Final = "25000"
"""States in which the function `archive` refuses."""
_DISK_FULL: Final = "53100"
REMEDIES: Final = {
    NO_KEY: (
        Reason.NO_KEY,
        "add a primary key in an earlier version, or allow DeletesData to destroy it without an archive",
    ),
    TOO_LARGE: (
        Reason.ARCHIVE_TOO_LARGE,
        "raise policy.archives.maxSize (--archive-max-size), or allow DeletesData to destroy it without an archive",
    ),
    ISOLATION: (
        Reason.TRANSACTION_CONTROL,
        "leave the isolation level out of the script's BEGIN, or set policy.archives.mode (--archives) to Off",
    ),
}


@dataclass(frozen=True, slots=True)
class Archiving:
    """How what a script destroys is archived."""

    direction: Direction
    policy: ArchivePolicy
    allow: frozenset[str]
    """What is acknowledged for the script."""

    def skips(self, reason: Reason) -> bool:
        """Whether what cannot be archived for a reason is destroyed all the same."""
        allowed = Acknowledgement.DELETES_DATA in self.allow
        return allowed or (reason is Reason.ARCHIVE_TOO_LARGE and self.policy.above is AboveMaxSize.SKIP)

    @property
    def as_json(self) -> str:
        """The policy as `schema_operator.archive` takes it."""
        fields = {
            "max_bytes": self.policy.max_bytes,
            "above": _skip_or_refuse(skips=self.skips(Reason.ARCHIVE_TOO_LARGE)),
            "keep_seconds": self.policy.keep_seconds,
            "no_key": _skip_or_refuse(skips=self.skips(Reason.NO_KEY)),
        }
        return msgspec.json.encode(fields).decode()


def _skip_or_refuse(*, skips: bool) -> AboveMaxSize:
    return AboveMaxSize.SKIP if skips else AboveMaxSize.REFUSE


def archiving(work: Workplace, direction: Direction, allow: Iterable[str] = ()) -> Archiving | None:
    """Say how what a script destroys is archived; None where nothing is. `allow` is what its header acknowledges."""
    policy = work.request.archives
    return Archiving(direction, policy, frozenset((*work.request.allow, *allow))) if policy.archives else None


class Archived(msgspec.Struct, frozen=True):
    """What `schema_operator.archive` says about one thing."""

    what: str
    rows: int
    archive: int | None = None
    skipped: str | None = None


class PutBack(msgspec.Struct, frozen=True):
    """What `schema_operator.restore_version` says about one archive."""

    what: str
    archive: int
    restored: int
    gone: int
    conflicts: int
    left_out: tuple[dict[str, str], ...]
    there: bool = False
    """Whether the script has put something there already, which stays."""
    skipped: str | None = None
    recovery: int | None = None


def archive_before(work: Workplace, how: Archiving, step: Step, statement: Statement, place: Location) -> None:
    """Archive what a statement is about to destroy, in the open transaction.

    Raises `Failed`: NoKey, ArchiveTooLarge, TransactionControl; and `ServerFailure` with the statement's place.
    """
    destroyed = destroyed_by(statement)
    if any(one.kind is Kind.UNKNOWN for one in destroyed):
        work.warn(f"{place}: what this statement destroys cannot be told, so nothing of it is archived")
    try:
        with work.session.aside():
            resolved = store.resolve_destroyed(work.session, as_json(destroyed))
            if resolved != "[]":
                what = f"archiving what statement {place.statement} of {place.statements} destroys"
                work.reporter.note(step, what, version=place.version)
                _archive(work, how, resolved, place.version or "")
    except ServerFailure as failure:
        raise _refusal(failure, place) or ServerFailure(failure.error, place) from None


def _archive(work: Workplace, how: Archiving, resolved: str, version: str) -> None:
    query = store.QUERIES["archive"].format(
        resolved=resolved, version=version, action=how.direction.value, run=work.request.run, policy=how.as_json
    )
    for one in msgspec.json.decode(_answer(work, query), type=list[Archived]):
        if one.skipped is not None:
            work.warn(f"version {version}: {one.what} is destroyed without an archive: {one.skipped}")
        else:
            work.tell(f"Archived {one.what} ({_rows(one.rows)}, in schema_operator.archive_{one.archive})")


def _answer(work: Workplace, query: sql.Composed) -> bytes:
    """Run a query of ours that may take long, and give its only value."""
    found: list[bytes] = []

    def take(result: PGresult) -> None:
        if result.ntuples:
            found.append(result.get_value(0, 0) or b"[]")

    work.session.run(query.as_string(None), Watch(work), take)
    return found[0]


def _refusal(failure: ServerFailure, place: Location) -> Failed | None:
    """Give the error of a refusal of ours, or of a disk that is full; another state alone could be anybody's."""
    error = failure.error
    if error.sqlstate == _DISK_FULL and not (error.raised or error.lost):
        # Who drops a table expects it to need no room.
        sentence = (
            f"there is no room to archive what this statement destroys: {masked(error)}; free or add space on the "
            "server, then run again, or set policy.archives.mode (--archives) to Off to destroy it without an archive"
        )
        return Failed(Reason.DISK_FULL, sentence, replace(place, sqlstate=error.sqlstate))
    if not (error.raised and (error.routine or "").startswith(_ARCHIVE) and error.sqlstate in REMEDIES):
        return None
    reason, remedy = REMEDIES[error.sqlstate]
    return Failed(reason, f"{error.message}; {remedy}", replace(place, sqlstate=error.sqlstate))


def put_back(work: Workplace, version: str) -> None:
    """Put back what the last application of a version has destroyed, in the transaction of its rollback.

    Nothing is refused: what cannot be put back stays in its archive, and is a warning.
    """
    if not store.restorable(work.session, version):
        return
    query = store.QUERIES["restore_version"].format(version=version, actor=work.author.actor)
    for one in msgspec.json.decode(_answer(work, query), type=list[PutBack]):
        _tell_put_back(work, version, one)


def _tell_put_back(work: Workplace, version: str, one: PutBack) -> None:
    if one.there:
        work.tell(f"Did not put back {one.what}, because {one.skipped}")
    elif one.skipped is not None:
        work.warn(
            f"version {version}: {one.what} could not be put back: {one.skipped}; it stays in "
            f"schema_operator.archive_{one.archive}"
        )
    else:
        work.tell(f"Put back {one.what} ({', '.join(_numbers(one))})")
    for statement in one.left_out:
        work.warn(
            f"version {version}: {one.what} is back, but without what the server refused (SQLSTATE "
            f"{statement['sqlstate']}); see left_out in schema_operator.recoveries, id {one.recovery}"
        )


def _numbers(one: PutBack) -> tuple[str, ...]:
    gone = (f"{_rows(one.gone)} gone since",) if one.gone else ()
    conflicts = f"{_rows(one.conflicts)} kept as newer, listed in schema_operator.recovery_conflicts"
    return (_rows(one.restored), *gone, *((conflicts,) if one.conflicts else ()))


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def drop_expired(work: Workplace) -> None:
    """Drop the archives that are older than they are kept; raises as `transaction.commit` does."""

    def body(_: Begun) -> None:
        for number in store.drop_expired_archives(work.session):
            work.tell(f"Dropped the expired archive schema_operator.archive_{number}")

    commit(work, Deed(body, lambda: not store.read(work.session).expired, "the end of expired archives", OURS))
