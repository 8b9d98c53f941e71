"""Where a database is and how to get in: read from a URI or from parts, and refused where it cannot be right. Pure.

libpq quotes what it cannot read, and what it cannot read may be a part of the password. So everything that could be
misread is refused here, in words of our own, before libpq connects.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from schema_operator.errors import Reason, Refused

CONNECT_TIMEOUT = 10
"""Seconds to wait for a connection where the URI says nothing else."""
_URI = re.compile(r"postgres(?:ql)?://", re.IGNORECASE)
_ENCODE = "a character of / ? # @ : % in the password must be percent-encoded (/ as %2F, @ as %40, % as %25)"
_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_HIGHEST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Address:
    """A database and the credentials for it. Only `place` and the parts named there may stand in a message."""

    parameters: dict[str, str] = field(repr=False)
    """libpq's connection parameters, among them the password."""
    role: str | None = None
    """Role to SET after connecting."""

    @property
    def host(self) -> str:
        """The host, or hosts with commas between; libpq's default is the local socket."""
        return self.parameters.get("host") or self.parameters.get("hostaddr") or "the local socket"

    @property
    def user(self) -> str:
        """The user the connection is for, where one is said."""
        return self.parameters.get("user", "")

    @property
    def database(self) -> str:
        """The database; libpq's default is the user's name."""
        return self.parameters.get("dbname") or self.user

    @property
    def place(self) -> str:
        """The host and port, as messages say them."""
        port = self.parameters.get("port", "")
        return f"{self.host}:{port}" if port and "," not in self.host else self.host

    def verifying(self) -> Address:
        """Give the address with certificate and host name of the server checked, unless it names an sslmode itself."""
        return replace(self, parameters={"sslmode": "verify-full"} | self.parameters)


def from_text(text: str, extra: dict[str, str] | None = None, role: str | None = None) -> Address:
    """Read a libpq URI or keyword string; `extra` parameters win over those in it.

    Raises `Refused(InvalidConnection)` with what is wrong, and nothing of the text but the name of an unknown option.
    """
    if "\0" in text:
        raise _refused("it contains a NUL byte; remove it")
    if _URI.match(text):
        _check_uri(text)
    return from_parts(_parse(text) | (extra or {}), role)


def from_parts(parameters: dict[str, str], role: str | None = None) -> Address:
    """Take connection parameters as they are; raises `Refused(InvalidConnection)` for those that cannot be right."""
    for name, value in parameters.items():
        if "\0" in value:
            raise _refused(f"the value of {name} contains a NUL byte; remove it")
    for port in filter(None, parameters.get("port", "").split(",")):
        if not port.isascii() or not port.isdigit() or not 0 < int(port) <= _HIGHEST_PORT:
            raise _refused(f"the port is not a number from 1 to {_HIGHEST_PORT}; {_ENCODE}")
    mode = parameters.get("sslmode", "prefer")
    if mode not in _MODES:
        raise _refused(f"its sslmode is none that there is; write one of {', '.join(_MODES)}")
    timeout = parameters.get("connect_timeout", str(CONNECT_TIMEOUT))
    if not timeout.isascii() or not timeout.isdigit():
        raise _refused("its connect_timeout is not a whole number of seconds; write one, for example 10")
    return Address({"connect_timeout": str(CONNECT_TIMEOUT)} | parameters, role)


def _check_uri(text: str) -> None:
    """Refuse a URI whose password libpq would take for something else, because it is not percent-encoded."""
    rest = _URI.sub("", text, count=1)
    authority = re.split(r"[/?]", rest, maxsplit=1)[0]
    if rest.count("@") > authority.count("@") or authority.count("@") > 1:
        raise _refused(f"a URI has one @, before the host; {_ENCODE}")
    if "#" in rest or re.search(r"%(?![0-9A-Fa-f]{2})", rest):
        raise _refused(f"a character in it means something else than was meant; {_ENCODE}")


def _parse(text: str) -> dict[str, str]:
    try:
        found = conninfo_to_dict(text)
    except ProgrammingError as error:
        # Option names are libpq's words or typing mistakes of them; anything else could be a part of a password.
        unknown = re.search(r'invalid (?:URI query parameter|connection option)[^"]*"([a-z_]{1,30})"', str(error))
        if unknown and (not _URI.match(text) or f"{unknown[1]}=" in text.rpartition("?")[2]):
            raise _refused(f"libpq knows no option {unknown[1]!r}; correct or remove it") from None
        raise _refused(
            f"it is neither a URI (postgresql://user:password@host:port/database) nor a keyword string; {_ENCODE}"
        ) from None
    return {name: str(value) for name, value in found.items() if value is not None}


def _refused(text: str) -> Refused:
    return Refused(Reason.INVALID_CONNECTION, f"the connection cannot be read: {text}")
