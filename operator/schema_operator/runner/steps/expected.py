"""Expected: be on the database that the runs before have worked on, or on one that somebody has said is meant."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from schema_operator.api.request import ACCEPT_DATABASE, DatabaseIdentity
from schema_operator.errors import Reason, Refused

if TYPE_CHECKING:
    from schema_operator.api.request import RunRequest
    from schema_operator.runner.workplace import Workplace


def require_expected(work: Workplace) -> None:
    """Refuse another database before anything is read or changed there; raises `Refused(DatabaseMoved)`."""
    expected, server = work.request.expected, work.findings.server
    if expected is None or server is None:
        return
    found = DatabaseIdentity(system_identifier=server.system_identifier, name=server.database)
    accepted = work.request.accepted
    if found.may_be(expected) or (accepted is not None and found.may_be(accepted)):
        return
    raise Refused(Reason.DATABASE_MOVED, _sentence(work.request, expected, found))


def _sentence(request: RunRequest, expected: DatabaseIdentity, found: DatabaseIdentity) -> str:
    return (
        f"the connection leads to {_called(found)}, and the runs before have worked on {_called(expected)}; nothing "
        "was changed. If it leads to the wrong place, correct the TargetDatabase or its Secret. If it is meant (a dump "
        f"restored elsewhere, a major upgrade, a new name): {_command(request, found)}; then the history in that "
        "database decides what is left to do"
    )


def _called(identity: DatabaseIdentity) -> str:
    cluster = f" of the cluster {identity.system_identifier}" if identity.system_identifier else ""
    return f"the database {identity.name}{cluster}"


def _command(request: RunRequest, found: DatabaseIdentity) -> str:
    resource = request.resource
    if resource is None:
        return f"accept {found}"
    value = shlex.quote(f"{ACCEPT_DATABASE}={found}")
    return f"kubectl -n {resource.namespace} annotate --overwrite sm/{resource.name} {value}"
