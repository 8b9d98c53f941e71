"""Read and write the history, inside a transaction that the caller has begun with the search_path pinned."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from psycopg import sql

from schema_operator.api.request import TransactionMode
from schema_operator.api.version import ROLLBACK_SUFFIX, Version
from schema_operator.errors import Reason, Refused
from schema_operator.history.records import (
    Access,
    AppliedVersion,
    Author,
    Change,
    History,
    Reading,
    StoredScripts,
)
from schema_operator.postgres import queries

if TYPE_CHECKING:
    from collections.abc import Iterable

    from schema_operator.postgres.session import Session

QUERIES: Final = queries.load(Path(__file__).with_name("queries.sql"))
NAME_LIMIT: Final = 255
"""Characters of `schema_versions.script_name` and `applied_by`."""
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


def control_version(session: Session) -> Version:
    """Give the version of the control schema; raises `Refused(ControlSchemaDamaged)` where none is recorded."""
    return _newest(text for (text,) in session.query(QUERIES["control_version"]))


def read(session: Session) -> Reading:
    """Give all that a run must know, in one round trip.

    Fails with SQLSTATE 42P01, 42703 or 3F000 where the control schema is missing or of an older version. Raises
    `Refused(ControlSchemaDamaged)` where it holds what nobody can have written.
    """
    rows = session.query(_HISTORY)
    versions, recordable = rows[0][:2]
    history = History(tuple(_applied(*row[2:]) for row in rows if row[2] is not None))
    return Reading(_newest((versions or "").split()), bool(recordable), history)


def recorded_versions(session: Session) -> frozenset[tuple[Version, str | None]]:
    """Give every version that was ever applied, recorded or rolled back, with its owner."""
    return frozenset((_version(text), owner) for text, owner in session.query(QUERIES["recorded_versions"]))


def stored_texts(session: Session, versions: Iterable[Version]) -> dict[Version, str | None]:
    """Give the up scripts that some versions were applied with, in one round trip; those that are stored."""
    parameters: dict[str, object] = {"versions": [one.text for one in versions]}
    return {_version(text): up for text, up in session.query(QUERIES["stored_texts"], parameters)}


def stored_scripts(session: Session, version: Version) -> StoredScripts:
    """Give the scripts a version was applied with; all absent where none are stored."""
    rows = session.query(QUERIES["stored_scripts"], {"version": version.text})
    if not rows:
        return StoredScripts(None, None, None)
    up, down, down_name, variables, transaction = rows[0]
    values = msgspec.json.decode(variables, type=dict[str, str]) if variables else {}
    return StoredScripts(up, down, down_name, values, TransactionMode(transaction))


def record(session: Session, change: Change, author: Author) -> str:
    """Write down what was done to a version, in one statement; gives the id of the transaction it is part of."""
    rows = session.query(
        QUERIES["record"],
        {
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
            "requires": list(change.requires),
            "variables": msgspec.json.encode(dict(change.variables)).decode() if change.variables else None,
            **_author(author),
        },
    )
    return str(rows[0][0])


def record_control_version(session: Session, version: str, script_name: str, checksum: str, author: Author) -> str:
    """Write down that a version of the control schema was installed; gives the id of the transaction."""
    parameters = {"version": version, "script_name": script_name, "checksum": checksum, **_author(author)}
    return str(session.query(QUERIES["record_control_version"], parameters)[0][0])


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
    }


def _event(change: Change) -> str:
    if change.rollback:
        return "RolledBack"
    return "Baselined" if change.baseline else "Applied"


def _action(*, rollback: bool) -> str:
    return "rollback" if rollback else "apply"


def _newest(control_versions: Iterable[str]) -> Version:
    newest = max((_version(text) for text in control_versions), default=None)
    if newest is None:
        raise Refused(
            Reason.CONTROL_SCHEMA_DAMAGED,
            "schema_operator.control_versions is empty; restore the schema schema_operator from a backup, or drop "
            "it if its history may be lost",
        )
    return newest


def _applied(*row: Any) -> AppliedVersion:
    version, owner, checksum, reversible, requires = row
    needs = tuple(map(_version, requires.split())) if requires else ()
    return AppliedVersion(_version(version), owner, checksum, bool(reversible), needs)


def _version(text: str) -> Version:
    try:
        return Version.parse(text)
    except Refused as refused:
        raise Refused(
            Reason.CONTROL_SCHEMA_DAMAGED,
            f"the schema schema_operator holds what this program cannot have written: {refused.sentence}",
        ) from None
