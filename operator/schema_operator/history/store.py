"""Read and write the history, inside a transaction that the caller has begun with the search_path pinned."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from psycopg import sql

from schema_operator.api.request import TransactionMode
from schema_operator.api.version import ROLLBACK_SUFFIX, Version
from schema_operator.errors import Reason, Refused
from schema_operator.history.records import (
    Access,
    AppliedVersion,
    Author,
    BatchPosition,
    Change,
    Direction,
    HeldVersion,
    History,
    JournalEntry,
    OpenUnit,
    Reading,
    RecordedChange,
    StoredScripts,
    UnitEvent,
)
from schema_operator.postgres import queries

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from schema_operator.postgres.queries import Message
    from schema_operator.postgres.session import Session

QUERIES: Final = queries.load(Path(__file__).with_name("queries.sql"))
_RECORD: Final = b"schema_operator_record"
NAME_LIMIT: Final = 255
"""Characters of `schema_versions.script_name` and `applied_by`."""
_Applied = tuple[str, str | None, str | None, bool, tuple[str, ...]]
_OpenUnit = tuple[str, str, str | None, int, int, str, str, str, tuple[int, ...] | None, int]
_Held = tuple[str, str | None, int, str, str, dict[str, int]]
_ACCESS: Final = QUERIES["access"].format(needed=QUERIES["needed"])
_HISTORY: Final = QUERIES["history"].format(needed=QUERIES["needed"])


def installed(session: Session) -> bool:
    """Say whether the control schema is there."""
    return bool(session.query(QUERIES["installed"])[0][0])


def access(session: Session) -> Access | None:
    """Say what the present role may do with the control schema; None where there is none. Needs no rights itself."""
    rows = session.query(_ACCESS)
    return Access(*rows[0]) if rows else None


def become_owner(session: Session) -> None:
    """Be the owner of the control schema's tables until the transaction ends, where there is one and one may.

    So that what an upgrade adds belongs to whom the rest belongs, also where a superuser makes the upgrade.
    """
    found = access(session)
    if found is not None and found.table_owner is not None and found.may_become_owner:
        session.query(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(found.table_owner)))


def trust_functions(session: Session) -> None:
    """Let the rest of the transaction make functions without checking their bodies."""
    session.query(QUERIES["trust_functions"])


def control_version(session: Session) -> Version:
    """Give the version of the control schema; raises `Refused(ControlSchemaDamaged)` where none is recorded."""
    return _newest(text for (text,) in session.query(QUERIES["control_version"]))


def read(session: Session) -> Reading:
    """Give all that a run must know, in one round trip.

    Fails with SQLSTATE 42P01, 42703 or 3F000 where the control schema is missing or of an older version. Raises
    `Refused(ControlSchemaDamaged)` where it holds what nobody can have written.
    """
    ((versions, recordable, applied, open_units, held, expired),) = session.query(_HISTORY)
    history = History(
        tuple(_applied(*row) for row in msgspec.json.decode(applied or "[]", type=list[_Applied])),
        tuple(_open_unit(*row) for row in msgspec.json.decode(open_units or "[]", type=list[_OpenUnit])),
        tuple(_held(*row) for row in msgspec.json.decode(held or "[]", type=list[_Held])),
    )
    return Reading(_newest((versions or "").split()), bool(recordable), history, bool(expired))


def read_applied(session: Session) -> History:
    """Give what is applied now, and nothing else; understood by every version of the control schema."""
    rows = session.query(QUERIES["applied"])
    return History(tuple(_applied(version, owner, checksum, False, ()) for version, owner, checksum in rows))


def may_install(session: Session) -> bool:
    """Say whether the present role may make the control schema, or one is there that somebody has made for it."""
    return bool(session.query(QUERIES["may_install"])[0][0])


def recorded_versions(session: Session) -> frozenset[tuple[Version, str | None]]:
    """Give every version that was ever applied, recorded or rolled back, with its owner."""
    return frozenset((_version(text), owner) for text, owner in session.query(QUERIES["recorded_versions"]))


def stored_texts(session: Session, versions: Iterable[Version]) -> dict[Version, str | None]:
    """Give the up scripts that some versions were applied with, in one round trip; those that are stored."""
    parameters: dict[str, object] = {"versions": [one.text for one in versions]}
    return {_version(text): up for text, up in session.query(QUERIES["stored_texts"], parameters)}


def newest_position(session: Session) -> int:
    """Give where the history stands: the position of its newest change, 0 before the first."""
    return int(session.query(QUERIES["newest_position"])[0][0])


def changes_since(session: Session, position: int) -> tuple[RecordedChange, ...]:
    """Give what was done since the history stood at a position, oldest first."""
    rows = session.query(QUERIES["changes_since"], {"position": position})
    return tuple(RecordedChange(_version(text), *row) for text, *row in rows)


def applied_until(session: Session, position: int) -> tuple[AppliedVersion, ...]:
    """Give what was applied when the history stood at a position, in the order it was applied."""
    return tuple(_applied(*row) for row in session.query(QUERIES["applied_until"], {"position": position}))


def stored_scripts(session: Session, version: Version, until: int | None = None) -> StoredScripts:
    """Give the scripts a version was applied with; all absent where none are stored.

    Those of its last application, or of the last one up to a position of the history (`until`).
    """
    rows = session.query(QUERIES["stored_scripts"], {"version": version.text, "until": until})
    if not rows:
        return StoredScripts(None, None, None)
    up, down, down_name, variables, transaction = rows[0]
    values = msgspec.json.decode(variables, type=dict[str, str]) if variables else {}
    return StoredScripts(up, down, down_name, values, TransactionMode(transaction))


def record(session: Session, change: Change, author: Author) -> str:
    """Write down what was done to a version; gives the id of the transaction it is part of."""
    return str(session.query(QUERIES["record"], _recorded(change, author))[0][0])


def messages_to_record(change: Change, author: Author) -> tuple[Message, Message]:
    """Give the messages of a pipeline that do what `record` does: one that prepares it, once, and one that does it."""
    return queries.prepared(queries.message(QUERIES["record"], _recorded(change, author)), _RECORD)


def _recorded(change: Change, author: Author) -> dict[str, object]:
    return {
        "version": change.version,
        "recorded_version": change.version + (ROLLBACK_SUFFIX if change.rollback else ""),
        "description": change.description,
        "script_name": change.script_name[:NAME_LIMIT],
        "checksum": change.checksum,
        "event": _event(change),
        "action": _action(rollback=change.rollback),
        "up_sql": change.up,
        "down_sql": change.down,
        "down_name": change.down_name and change.down_name[:NAME_LIMIT],
        "verify_sql": change.verify,
        "down_transaction": change.down_transaction.value,
        # Versions hold no blanks; and a message of a pipeline knows nothing but text.
        "requires": " ".join(change.requires),
        "variables": msgspec.json.encode(dict(change.variables)).decode() if change.variables else None,
        "down_steps": msgspec.json.encode(change.down_steps.as_json).decode() if change.down_steps else None,
        **_author(author),
    }


def record_seen(session: Session, positions: Sequence[int], uid: str, generation: int, run: str) -> None:
    """Write down that a run for a resource has found versions rolled back by hand, given by their positions."""
    session.query(
        QUERIES["record_seen"],
        {"positions": list(positions), "resource_uid": uid, "generation": generation, "run": run},
    )


def is_seen(session: Session, position: int, uid: str) -> bool:
    """Say whether that is written down."""
    return bool(session.query(QUERIES["seen"], {"position": position, "resource_uid": uid})[0][0])


def applied_by_run(session: Session, run: str) -> frozenset[str]:
    """Give the versions that a run has applied."""
    return frozenset(version for (version,) in session.query(QUERIES["applied_by_run"], {"run": run}))


def record_control_version(session: Session, version: str, script_name: str, checksum: str, author: Author) -> str:
    """Write down that a version of the control schema was installed; gives the id of the transaction."""
    parameters = {"version": version, "script_name": script_name, "checksum": checksum, **_author(author)}
    return str(session.query(QUERIES["record_control_version"], parameters)[0][0])


def record_unit(
    session: Session, entry: JournalEntry, author: Author, event: UnitEvent, seen: Sequence[int] | None = None
) -> str:
    """Write into the journal what became of a unit; gives the id of the transaction.

    `seen` are the oids of the indexes that were there before a statement that builds one concurrently.
    """
    return str(
        session.query(
            QUERIES["record_unit"],
            {
                "event": event,
                "version": entry.version,
                "action": entry.direction,
                "owner": author.owner,
                "run": author.run,
                "script_name": entry.script_name[:NAME_LIMIT],
                "unit": entry.unit,
                "units": entry.units,
                "checksum": entry.checksum,
                "statements": entry.statements,
                "seen": None if seen is None else list(seen),
            },
        )[0][0]
    )


def complete_units(session: Session, version: str, direction: Direction, author: Author) -> None:
    """Close the journal of a version; the caller writes the version itself in the same transaction."""
    session.query(
        QUERIES["complete_units"],
        {"version": version, "action": direction, "owner": author.owner, "run": author.run},
    )


def unit_recorded(session: Session, run: str, entry: JournalEntry, event: UnitEvent) -> bool:
    """Say whether a run has written a row into the journal."""
    parameters: dict[str, object] = {
        "run": run,
        "version": entry.version,
        "action": entry.direction,
        "unit": entry.unit,
        "event": event,
    }
    return bool(session.query(QUERIES["unit_recorded"], parameters)[0][0])


def resolve_destroyed(session: Session, destroyed: str) -> str:
    """Give, as JSON, the tables whose columns or rows are destroyed; names are looked up under the search_path."""
    return str(session.query(QUERIES["resolve_destroyed"], {"destroyed": destroyed})[0][0])


def archive_rights(session: Session) -> bool | None:
    """Say whether the present role may archive and put back; None where the control schema knows no archives."""
    ((known, enough),) = session.query(QUERIES["archive_rights"])
    return bool(enough) if known else None


def foresee_archives(session: Session, statements: str) -> list[tuple[int, str]]:
    """Give what is against archives of what statements destroy: the statement's place in the list from 1, and JSON."""
    return session.query(QUERIES["foresee_archives"], {"statements": statements})


def restorable(session: Session, version: str) -> bool:
    """Say whether a version has ever destroyed something that was archived."""
    return bool(session.query(QUERIES["restorable"], {"version": version})[0][0])


def drop_expired_archives(session: Session) -> list[int]:
    """Drop the archives that are older than they are kept, and give their numbers."""
    return list(session.query(QUERIES["drop_expired_archives"])[0][0])


def begin_batches(session: Session, version: str, direction: Direction, run: str, last: str | None) -> BatchPosition:
    """Write down that a version is begun that is done in batches; its row of the journal has just been written."""
    parameters: dict[str, object] = {"version": version, "action": direction, "run": run, "last": last}
    ((started,),) = session.query(QUERIES["begin_batches"], parameters)
    return BatchPosition(started, 0, None, None, last)


def message_to_record_batch(
    counting: Message, version: str, direction: Direction, run: str, one: BatchPosition
) -> Message:
    """Give the message that runs a counting statement and writes down the batch it is for.

    Its answer is a row: how many rows were changed, how many of these are none of the batch, the seconds it took, and
    the id of the transaction. `changed` and `seconds` of the position are left to the server.
    """
    parameters: dict[str, object] = {
        "started": one.started,
        "batch": one.batch,
        "version": version,
        "action": direction,
        "run": run,
        "after": one.after,
        "upto": one.upto,
        "last": one.last,
        "walked": one.walked,
    }
    record = _numbered_batch(len(counting.parameters) + 1).message(parameters)
    return replace(
        counting, sql=counting.sql + b"\n" + record.sql, parameters=(*counting.parameters, *record.parameters)
    )


@lru_cache(maxsize=4)
def _numbered_batch(first: int) -> queries.Numbered:
    return queries.numbered(QUERIES["record_batch"], first=first)


def last_batch(session: Session, version: str, direction: Direction) -> BatchPosition | None:
    """Give how far a version has come; `walked` and `changed` are of all its batches. None where nothing is known."""
    rows = session.query(QUERIES["last_batch"], {"version": version, "action": direction})
    return BatchPosition(*rows[0]) if rows else None


def batch_recorded(session: Session, started: int, batch: int) -> bool:
    """Say whether a batch is done."""
    return bool(session.query(QUERIES["batch_recorded"], {"started": started, "batch": batch})[0][0])


def recorded(session: Session, run: str, version: str, *, rollback: bool) -> bool:
    """Say whether a run has applied or rolled back a version."""
    parameters: dict[str, object] = {"run": run, "version": version, "action": _action(rollback=rollback)}
    return bool(session.query(QUERIES["recorded"], parameters)[0][0])


def _author(author: Author) -> dict[str, object]:
    return {
        "actor": author.actor[:NAME_LIMIT],
        "owner": author.owner,
        "resource_uid": author.resource_uid,
        "run": author.run,
        "program": author.program,
        "reason": author.reason,
    }


def _event(change: Change) -> str:
    if change.rollback:
        return "RolledBack"
    return "Baselined" if change.baseline else "Applied"


def _action(*, rollback: bool) -> Direction:
    return Direction.ROLLBACK if rollback else Direction.APPLY


def _open_unit(  # noqa: PLR0917 (the columns of a row)
    text: str,
    action: str,
    owner: str | None,
    unit: int,
    units: int,
    checksum: str,
    event: str,
    statements: str,
    seen: tuple[int, ...] | None,
    batches: int,
) -> OpenUnit:
    what, before = UnitEvent(event), seen or ()
    return OpenUnit(_version(text), Direction(action), owner, unit, units, checksum, what, statements, before, batches)


def _newest(control_versions: Iterable[str]) -> Version:
    newest = max((_version(text) for text in control_versions), default=None)
    if newest is None:
        raise Refused(
            Reason.CONTROL_SCHEMA_DAMAGED,
            "schema_operator.control_versions is empty; restore the schema schema_operator from a backup, or drop "
            "it if its history may be lost",
        )
    return newest


def _applied(
    version: str,
    owner: str | None,
    checksum: str | None,
    reversible: bool,  # noqa: FBT001 (a column)
    requires: tuple[str, ...],
) -> AppliedVersion:
    return AppliedVersion(_version(version), owner, checksum, reversible, tuple(map(_version, requires)))


def _held(  # noqa: PLR0917 (the columns of a row)
    version: str, owner: str | None, position: int, when: str, who: str, seen: dict[str, int]
) -> HeldVersion:
    return HeldVersion(_version(version), owner, position, when, who, seen)


def _version(text: str) -> Version:
    try:
        return Version.parse(text)
    except Refused as refused:
        raise Refused(
            Reason.CONTROL_SCHEMA_DAMAGED,
            f"the schema schema_operator holds what this program cannot have written: {refused.sentence}",
        ) from None
