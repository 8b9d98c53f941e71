"""Install or upgrade the control schema, under the lock, in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
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
    from collections.abc import Callable

    from schema_operator.api.version import Version
    from schema_operator.history.records import Access, Reading
    from schema_operator.runner.workplace import Workplace
    from schema_operator.scripts.script import Script

_NOT_OURS = (Reason.ALREADY_EXISTS, Reason.OBJECT_NOT_FOUND)


def history_of(work: Workplace, before_first: Callable[[], None], before_first_commit: Callable[[], None]) -> Reading:
    """Read the history, after installing or upgrading what is missing to read it.

    Where the control schema is as it should be, which is nearly always, that is one query. Where
    there is none at all, `before_first` is called before it is installed, and `before_first_commit` in the transaction
    that installs it: both may refuse what would then be the first run, and leave nothing there.
    Raises `Refused`: ControlSchemaNewer, ControlSchemaDamaged, PermissionDenied with the GRANT to run.
    """
    try:
        reading = _present(work)
        if reading is not None and installation.is_current(reading.control, installation.newest()):
            return reading
        installed = look(work, lambda: _installed(work), pinned=True)
        if installed is None:
            before_first()
        if missing := installation.missing(installation.scripts(), installed):
            _install(work, missing, installed, before_first_commit if installed is None else None)
        return look(work, lambda: store.read(work.session), pinned=True)
    except Failed as failed:
        raise _refused(work, failed) from None


def _present(work: Workplace) -> Reading | None:
    """Read the history; None where the control schema is missing, or has another form than this program's."""
    try:
        return look(work, lambda: store.read(work.session), pinned=True)
    except Failed as failed:
        if failed.reason is not Reason.OBJECT_NOT_FOUND:
            raise
        return None


def _installed(work: Workplace) -> Version | None:
    return store.control_version(work.session) if store.installed(work.session) else None


def present_history(work: Workplace) -> History:
    """Read the history and install nothing: where there is no control schema, nothing is applied.

    Raises as `history_of` does, and `Refused(ControlSchemaOlder)` where it must be upgraded before it can be read.
    """
    known = installation.newest()
    try:
        reading = _present(work)
        if reading is not None and installation.is_current(reading.control, known):
            return reading.history
        installed = look(work, lambda: _installed(work), pinned=True)
        if installed is None:
            return History()
        if installation.is_current(installed, known):  # and yet it cannot be read
            return look(work, lambda: store.read(work.session), pinned=True).history
    except Failed as failed:
        raise _refused(work, failed) from None
    raise Refused(
        Reason.CONTROL_SCHEMA_OLDER,
        f"the control schema of the database has version {installed}, which this program upgrades before it reads it; "
        "any run does that, also one that has nothing to do; a plan only looks",
    )


@dataclass(frozen=True, slots=True)
class Present:
    """A control schema as it is found."""

    history: History
    """What is applied; of a control schema that is not current, nothing else."""
    current: bool
    """Whether it has the newest version this program knows, so that a run upgrades nothing."""


def present_as_it_is(work: Workplace) -> Present | None:
    """Read what is applied, also from an older control schema, and install nothing; None where there is none.

    Raises `Refused`: ControlSchemaNewer, ControlSchemaDamaged, PermissionDenied with the GRANT to run.
    """
    known = installation.newest()
    try:
        reading = _present(work)
        if reading is not None and installation.is_current(reading.control, known):
            return Present(reading.history, current=True)
        installed = look(work, lambda: _installed(work), pinned=True)
        if installed is None:
            return None
        if installation.is_current(installed, known):  # and yet it cannot be read
            return Present(look(work, lambda: store.read(work.session), pinned=True).history, current=True)
        return Present(look(work, lambda: store.read_applied(work.session), pinned=True), current=False)
    except Failed as failed:
        raise _refused(work, failed) from None


def require_installable(work: Workplace) -> None:
    """Refuse where the role could not make the control schema; raises `Refused(PermissionDenied)` with the GRANT."""
    if not look(work, lambda: store.may_install(work.session), pinned=True):
        raise _denied(work, look(work, lambda: store.access(work.session), pinned=True))


def require_recordable(work: Workplace) -> None:
    """Refuse, before a script has run for hours, where the role could not write into the history that it has done so.

    Raises `Refused(PermissionDenied)` with the GRANTs to run.
    """
    access = look(work, lambda: store.access(work.session), pinned=True)
    if access is not None and not access.enough:
        raise _denied(work, access)


def _install(
    work: Workplace,
    missing: tuple[Script, ...],
    installed: Version | None,
    before_commit: Callable[[], None] | None,
) -> None:
    newest = missing[-1].version

    def body(begun: Begun) -> None:
        store.become_owner(work.session)
        store.trust_functions(work.session)
        for script in missing:
            run_script(work, script.up, script.version.text, Step.INSTALLING)
            transaction = store.record_control_version(
                work.session, script.version.text, script.up.file, script.up.checksum, work.author
            )
            if transaction != begun.transaction:
                raise transaction_ended(Location(file=script.up.file))
        if before_commit is not None:
            before_commit()

    try:
        commit(work, Deed(body, lambda: _has(work, newest), "the control schema", OURS))
    except Failed as failed:
        if installed is None or failed.reason is not Reason.PERMISSION_DENIED:
            raise
        raise _not_upgradable(work, installed, newest) from None


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
    elif access.table_owner is not None:
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


def _not_upgradable(work: Workplace, installed: Version, newest: Version) -> Refused:
    """Name who can upgrade the control schema: PostgreSQL lets nobody change a table but its owner."""
    access = look(work, lambda: store.access(work.session), pinned=True)
    owner = (access and access.table_owner) or "its owner"
    name = work.address.role or work.session.user
    # Nobody is told to make an application's role a superuser.
    grant = "" if access and access.owner_is_superuser else f", or run: GRANT {identifier(owner)} TO {identifier(name)}"
    return Refused(
        Reason.PERMISSION_DENIED,
        f"the control schema has version {installed} and must be upgraded to {newest}, which only the owner of its "
        f"tables, {owner}, can do, and the role {name} is not; let one run connect as {owner} (it need have nothing "
        f"else to do){grant}",
    )
