"""Which database a command is for: what its options and its environment say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schema_operator.postgres import address as addresses

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schema_operator.postgres.address import Address

URI_VARIABLE: Final = "SCHEMA_OPERATOR_URI"
PARTS: Final = {
    "PGHOST": "host",
    "PGHOSTADDR": "hostaddr",
    "PGPORT": "port",
    "PGDATABASE": "dbname",
    "PGUSER": "user",
    "PGPASSWORD": "password",
}
"""libpq's own variables for what a message names, or must not; it reads the others itself."""


def named(uri: str | None, environment: Mapping[str, str]) -> Address | None:
    """Give the database that is named by a URI; None where there is none. Raises `Refused(InvalidConnection)`."""
    text = uri or environment.get(URI_VARIABLE)
    return addresses.from_text(text) if text else None


def in_parts(environment: Mapping[str, str]) -> Address | None:
    """Give the database that libpq's variables name; None where they name none, not even a service of a file.

    Raises `Refused(InvalidConnection)`.
    """
    if not any(environment.get(name) for name in ("PGHOST", "PGHOSTADDR", "PGSERVICE")):
        return None
    return addresses.from_parts({part: environment[name] for name, part in PARTS.items() if environment.get(name)})
