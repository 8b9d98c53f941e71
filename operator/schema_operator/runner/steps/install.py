"""Install or upgrade the control schema, under the lock, in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schema_operator.errors import Failed, Location, Reason, Refused
from schema_operator.history import installation, store
from schema_operator.history.records import History
from schema_operator.postgres.queries import identifier
from schema_operator.postgres.session import OURS, Begun, transaction_ended
from schema_operator.runner.report import Step
from schema_operator.runner.steps.scripted import run_script
from schema_operator.runner.transaction import Deed, commit, look

if TYPE_CHECKING:
    from schema_operator.api.version import Version
    from schema_operator.history.records import Access
    from schema_operator.runner.workplace import Workplace
    from schema_operator.scripts.script import Script

_NOT_OURS = (Reason.ALREADY_EXISTS, Reason.OBJECT_NOT_FOUND)


def history_of(work: Workplace) -> History:
    """Read the history, after installing what is missing to read it.

    Raises `Refused`: ControlSchemaNewer, ControlSchemaDamaged, PermissionDenied with the GRANT to run.
    """
    known = installation.scripts()

    def read() -> tuple[tuple[Script, ...], History | None]:
        installed = store.control_version(work.session) if store.installed(work.session) else None
        missing = installation.missing(known, installed)
        return missing, None if missing else store.read(work.session)

    try:
        missing, history = look(work, read, pinned=True)
        if history is None:
            _install(work, missing)
            history = look(work, lambda: store.read(work.session), pinned=True)
    except Failed as failed:
        raise _refused(work, failed) from None
    return history


def present_history(work: Workplace) -> History:
    """Read the history and install nothing: where there is no control schema, nothing is applied.

    Raises as `history_of` does, and `Refused(ControlSchemaOlder)` where it must be upgraded before it can be read.
    """
    known = installation.scripts()

    def read() -> History:
        if not store.installed(work.session):
            return History()
        installed = store.control_version(work.session)
        if installation.missing(known, installed):
            raise Refused(
                Reason.CONTROL_SCHEMA_OLDER,
                f"the control schema of the database has version {installed}, which this program upgrades before it "
                "reads it; any run does that, also one that has nothing to do; a plan only looks",
            )
        return store.read(work.session)

    try:
        return look(work, read, pinned=True)
    except Failed as failed:
        raise _refused(work, failed) from None


def require_recordable(work: Workplace) -> None:
    """Refuse, before a script has run for hours, where the role could not write into the history that it has done so.

    Raises `Refused(PermissionDenied)` with the GRANTs to run.
    """
    access = look(work, lambda: store.access(work.session), pinned=True)
    if access is not None and not access.enough:
        raise _denied(work, access)


def _install(work: Workplace, missing: tuple[Script, ...]) -> None:
    newest = missing[-1].version

    def body(begun: Begun) -> None:
        for script in missing:
            run_script(work, script.up, script.version.text, Step.INSTALLING)
            transaction = store.record_control_version(
                work.session, script.version.text, script.up.file, script.up.checksum, work.author
            )
            if transaction != begun.transaction:
                raise transaction_ended(Location(file=script.up.file))

    commit(work, Deed(body, lambda: _has(work, newest), "the control schema", OURS))


def _has(work: Workplace, version: Version) -> bool:
    return store.installed(work.session) and store.control_version(work.session) >= version


def _refused(work: Workplace, failed: Failed) -> Refused:
    """Say what a failure of our own statements means: nothing of the user's was touched."""
    if failed.reason is Reason.PERMISSION_DENIED:
        return _denied(work, look(work, lambda: store.access(work.session), pinned=True))
    if failed.reason in _NOT_OURS:
        return Refused(
            Reason.CONTROL_SCHEMA_DAMAGED,
            f"the schema schema_operator is not as this program left it ({failed.sentence}); restore it from a backup, "
            "or move away what somebody else made there",
        )
    return Refused(failed.reason, f"the control schema cannot be installed: {failed.sentence}", failed.location)


def _denied(work: Workplace, access: Access | None) -> Refused:
    """Name the GRANTs that help: to make the schema where there is none, else what its owner can give."""
    name = work.address.role or work.session.user
    role = identifier(name)
    if access is None:
        sentence = (
            f"the role {name} may not create the schema schema_operator, where the history is kept; run: "
            f"GRANT CREATE ON DATABASE {identifier(work.facts.database)} TO {role} (or, as an administrator, "
            f"CREATE SCHEMA schema_operator AUTHORIZATION {role})"
        )
    elif access.tables:
        sentence = (
            f"the role {name} may not use the schema schema_operator, where the history is kept; as its owner "
            f"{access.schema_owner}, run: GRANT USAGE ON SCHEMA schema_operator TO {role}; "
            f"GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA schema_operator TO {role}; or let "
            "connection.role be the owner"
        )
    else:
        sentence = (
            f"the role {name} may not create tables in the schema schema_operator, where the history is kept; as its "
            f"owner {access.schema_owner}, run: GRANT USAGE, CREATE ON SCHEMA schema_operator TO {role}"
        )
    return Refused(Reason.PERMISSION_DENIED, sentence)
