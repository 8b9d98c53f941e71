"""Open a session. What goes wrong comes out as our errors, without a word of libpq's."""

from __future__ import annotations

import psycopg
from psycopg.conninfo import make_conninfo

from schema_operator.errors import Reason, Refused
from schema_operator.postgres import connect_failure
from schema_operator.postgres.address import Address

OLDEST_SERVER = 13
"""Major version. Since 13, gen_random_uuid() and pg_current_xact_id() are built in."""
_NAME_LIMIT = 63
"""Bytes the server keeps of application_name (NAMEDATALEN - 1)."""

Connection = psycopg.Connection[tuple[object, ...]]


def connect(address: Address, name: str) -> Connection:
    """Open a session, in autocommit mode, on a server that can be written to.

    `name` becomes its application_name. Raises `Refused` or `Retryable` with the reason of a failed connection, and
    `Refused(UnsupportedServer)` for a server that is too old.
    """
    return _open(address, name, {"target_session_attrs": "read-write"})


def connect_to_read(address: Address, name: str) -> Connection:
    """Open a session, in autocommit mode, on any server, a standby too, unless the address itself is choosy.

    `name` and errors are as with `connect`.
    """
    return _open(address, name, {})


def _open(address: Address, name: str, wanted: dict[str, str]) -> Connection:
    ours = wanted | {
        "application_name": name.encode()[:_NAME_LIMIT].decode(errors="ignore"),
        "client_encoding": "UTF8",
        # A guard session is idle for as long as a migration takes; address translation on the way must not forget it.
        "keepalives_idle": "30",
        "keepalives_interval": "10",
        "keepalives_count": "3",
        # Milliseconds after which a connection whose peer confirms nothing is given up.
        "tcp_user_timeout": "30000",
    }
    try:
        conninfo = make_conninfo("", **(address.parameters | ours))
        connection = psycopg.connect(conninfo, autocommit=True, prepare_threshold=None)
    except (psycopg.Error, UnicodeError) as error:
        raise connect_failure.explain(str(error), address) from None
    major = connection.info.server_version // 10000
    if major < OLDEST_SERVER:
        connection.close()
        raise Refused(
            Reason.UNSUPPORTED_SERVER,
            f"the server at {address.place} is PostgreSQL {major}; {OLDEST_SERVER} is the oldest that is supported; "
            "upgrade the server",
        )
    return connection
