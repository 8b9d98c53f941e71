"""Requirements that only the database can answer for: its extensions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schema_operator.errors import Reason, Refused
from schema_operator.postgres.extensions import MissingExtension, missing_extensions
from schema_operator.postgres.queries import identifier
from schema_operator.runner.transaction import look

if TYPE_CHECKING:
    from schema_operator.runner.plan import Plan
    from schema_operator.runner.workplace import Workplace


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
