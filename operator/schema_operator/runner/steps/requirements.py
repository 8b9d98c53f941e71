"""Requirements that only the database can answer for: its extensions, and columns to do batches by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schema_operator.errors import Location, Reason, Refused
from schema_operator.postgres.extensions import MissingExtension, missing_extensions
from schema_operator.postgres.queries import identifier
from schema_operator.runner.steps.rollback import stored_down
from schema_operator.runner.transaction import look
from schema_operator.scripts.statements import statements_of

if TYPE_CHECKING:
    from schema_operator.runner.plan import Plan
    from schema_operator.runner.workplace import Workplace
    from schema_operator.scripts.script import Source


def require_extensions(work: Workplace, decided: Plan) -> None:
    """Refuse to apply anything where a required extension is missing.

    Raises `Refused(MissingDependency)` with the command that installs the first that is.
    """
    names = work.request.requires.extensions
    if not names or not decided.applies:
        return
    if missing := look(work, lambda: missing_extensions(work.session, names), pinned=True):
        raise Refused(Reason.MISSING_DEPENDENCY, _sentence(missing, work.facts.database))


def _sentence(missing: tuple[MissingExtension, ...], database: str) -> str:
    first, *others = missing
    more = f"; {', '.join(one.name for one in others)} too" if others else ""
    if first.available is None:
        how = (
            "and the server does not have its files either; install its package on the server, then run in "
            f"{database}: CREATE EXTENSION {identifier(first.name)}"
        )
    else:
        how = (
            f"but the server has version {first.available} of it; as a role that may, run in {database}: "
            f"CREATE EXTENSION {identifier(first.name)}"
        )
    return f"the extension {first.name} is required and not installed in the database, {how}{more}"


def require_keys(work: Workplace, decided: Plan) -> None:
    """Refuse, before anything is changed, columns that scripts could not be done in batches by.

    A table that is not there yet, or that an earlier script of the same run mentions, is looked at when its turn comes.
    Raises `Refused`: ObjectNotFound, InvalidBatch, NoKey.
    """
    before = ""
    for version, source in _sources(work, decided):
        if source.batch is not None and source.batch.table not in before:
            from schema_operator.runner.steps.walk import require_key  # noqa: PLC0415 (most scripts are not done so)

            line = next((one.line for one in statements_of(source)), None)
            require_key(work, source.batch, Location(version=version, file=source.file, line=line))
        before += source.text


def _sources(work: Workplace, decided: Plan) -> tuple[tuple[str, Source], ...]:
    """Give the scripts of a plan in their order, with their versions."""

    def stored() -> tuple[tuple[str, Source], ...]:
        return tuple((one.version.text, stored_down(work, one.version)[0]) for one in decided.rollbacks)

    rollbacks = look(work, stored, pinned=True) if decided.rollbacks else ()
    return (*rollbacks, *((one.version.text, one.up) for one in decided.applies))
