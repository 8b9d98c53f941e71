"""Look at what is applied, again and again, in one session that holds nothing between the looks.

No transaction, no snapshot, no lock, no setting and no prepared statement stay: a standby will do for it, and so will a
pooler in whatever mode.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg

from schema_operator.errors import Reason, Refused, Retryable, SchemaOperatorError
from schema_operator.postgres import queries, sqlstate
from schema_operator.postgres.connecting import connect_to_read
from schema_operator.postgres.diagnosis import server_error
from schema_operator.postgres.naming import quoted

if TYPE_CHECKING:
    from schema_operator.history.waiting import Applied
    from schema_operator.postgres.address import Address
    from schema_operator.postgres.connecting import Connection

QUERIES: Final = queries.load(Path(__file__).with_name("watch.sql"))
_NOT_THERE: Final = frozenset({"42P01", "3F000"})
_NO_RIGHT: Final = "42501"
_FOR_A_PERSON: Final = frozenset({"0A", "42"})
"""Classes of errors that do not pass by themselves; all others are about the session, the server or its load."""


class Watch:
    """A view of the history of one database."""

    def __init__(self, address: Address, name: str) -> None:
        """Connect to nothing yet; `name` becomes the application_name."""
        self._address = address
        self._name = name
        self._connection: Connection | None = None

    def look(self) -> tuple[Applied, ...] | None:
        """Give what is applied now; None where there is no history.

        Raises `Retryable` for what may pass, after which the next look connects anew, and `Refused` for what a person
        must change, with PermissionDenied and the GRANT where the history may not be read.
        """
        if self._connection is None:
            self._connection = connect_to_read(self._address, self._name)
        try:
            rows = self._connection.execute(QUERIES["applied"]).fetchall()
        except psycopg.Error as error:
            if error.diag.sqlstate in _NOT_THERE:
                return None
            explained = self._explained(error, self._connection.info.user)
            self._connection.close()
            raise explained from None
        finally:
            if self._connection.closed:
                self._connection = None
        return tuple((str(version), None if owner is None else str(owner)) for version, owner in rows)

    def _explained(self, error: psycopg.Error, role: str) -> SchemaOperatorError:
        state = error.diag.sqlstate
        if state == _NO_RIGHT:
            user = quoted(role)
            return Refused(
                Reason.PERMISSION_DENIED,
                f"the role {user} may not read the history; let its owner run: GRANT USAGE ON SCHEMA schema_operator "
                f"TO {user}; GRANT SELECT ON schema_operator.applied_versions TO {user}; (the view is there after the "
                "first run)",
            )
        failure = server_error(error.diag, lost=state is None)
        reason = sqlstate.explain(failure).reason
        said = sqlstate.masked(failure) or "the connection was lost"
        if state is not None and state[:2] in _FOR_A_PERSON:
            return Refused(reason, f"the history cannot be read: {said}; look at the schema schema_operator")
        return Retryable(reason, f"the history at {self._address.place} could not be read: {said}; it is tried again")
