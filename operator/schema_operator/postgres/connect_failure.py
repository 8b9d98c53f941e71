"""What a failed connection means. Pure.

libpq gives no SQLSTATE for a connection that was not made, only text, so the text is matched (PostgreSQL's in English,
and PgBouncer's). A text nobody knows counts as unreachable, which is tried again, up to the limit.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from schema_operator.errors import Reason, Refused, Retryable, SchemaOperatorError

if TYPE_CHECKING:
    from schema_operator.postgres.address import Address

_TEXTS: Final = (
    (r"no pg_hba\.conf entry", Reason.AUTH_FAILED),
    (r"password authentication failed|authentication failed for user|no password supplied", Reason.AUTH_FAILED),
    (r'role ".*" does not exist|is not permitted to log in|SASL authentication|no such user', Reason.AUTH_FAILED),
    (r"password retrieved from file|SCRAM|requires? a (?:valid client )?certificate", Reason.AUTH_FAILED),
    (r'database ".*" does not exist|no such database', Reason.DATABASE_NOT_FOUND),
    (r"permission denied for database", Reason.AUTH_FAILED),
    (r"\bSSL\b|\bTLS\b|certificate|private key file", Reason.TLS_FAILED),
    (r"session is read-only|server is in hot standby mode|server is not in hot standby mode", Reason.NOT_PRIMARY),
    (r"invalid [a-z_ ]+ value|invalid connection option|unsupported startup parameter", Reason.INVALID_CONNECTION),
)
_BUSY: Final = re.compile(
    r"too many (?:clients|connections)|remaining connection slots|starting up|shutting down|recovery mode"
    r"|not (?:yet )?accepting connections|currently accepting connections"
)
_NO_CONNECT: Final = re.compile(r"permission denied for database")
_MAY_NOT_CONNECT: Final = (
    "the server at {place} knows user {user}, but does not let it into database {database}; run: "
    'GRANT CONNECT ON DATABASE "{database}" TO "{user}"'
)
_WHY_UNREACHABLE: Final = (
    (r"could not translate host name|Name or service not known|name resolution", "its name is not known"),
    (r"Connection refused", "nothing listens there"),
    (r"timeout|timed out", "it did not answer in time"),
    (r"No such file or directory", "there is no socket"),
    (r"No route to host|Network is unreachable", "there is no way to it"),
    (r"server closed the connection", "it closed the connection at once"),
)
_WHY_NO_TLS: Final = (
    (r"does not support SSL|server does not support", "it offers none"),
    (r"root certificate file|sslrootcert|could not read root", "the file of the authority cannot be read"),
    (r"does not match host name|host name .*certificate", "its certificate is for another host"),
    (r"expired|not yet valid", "its certificate is not valid now"),
    (r"verify failed|self.signed|unable to get", "its certificate is not signed by the given authority"),
    (r"private key", "the client's key file cannot be used (is it there, only for this user, and of the certificate?)"),
    (r"could not (?:read|load|open) certificate|certificate file", "the client's certificate file cannot be used"),
    (
        r"alert|no protocols|unsupported protocol|version",
        "server and client agree on no version, or one refused the other",
    ),
    (r"", "the two could not agree"),
)


def explain(text: str, address: Address) -> SchemaOperatorError:
    """Make the error that users see of libpq's text, of which nothing is repeated."""
    if _BUSY.search(text):
        return Retryable(
            Reason.UNREACHABLE,
            f"the server at {address.place} takes no connection now (too many, or it is starting or stopping); "
            "it is tried again",
        )
    reason = next((reason for pattern, reason in _TEXTS if re.search(pattern, text)), Reason.UNREACHABLE)
    template = _MAY_NOT_CONNECT if _NO_CONNECT.search(text) else _SENTENCES[reason]
    sentence = template.format(
        place=address.place,
        user=address.user or "(not given)",
        database=address.database or "(not given)",
        why=_why(text, reason),
    )
    if reason in {Reason.UNREACHABLE, Reason.NOT_PRIMARY}:
        return Retryable(reason, sentence)
    return Refused(reason, sentence)


def _why(text: str, reason: Reason) -> str:
    reasons = _WHY_NO_TLS if reason is Reason.TLS_FAILED else _WHY_UNREACHABLE
    return next((why for pattern, why in reasons if re.search(pattern, text)), "the connection failed")


_SENTENCES: Final = {
    Reason.AUTH_FAILED: (
        "the server at {place} does not let user {user} into database {database}; check user and password, and that "
        "pg_hba.conf admits this client (with TLS, if it wants TLS)"
    ),
    Reason.DATABASE_NOT_FOUND: (
        "the server at {place} has no database {database}; create it, or correct the name in the connection"
    ),
    Reason.TLS_FAILED: (
        "TLS with the server at {place} failed: {why}; correct that, or the tls settings of the connection (it is "
        "never tried without TLS where TLS is asked for)"
    ),
    Reason.NOT_PRIMARY: (
        "no server at {place} can be written to: it is a standby, or read-only by default_transaction_read_only; name "
        "the primary, or all hosts with commas between"
    ),
    Reason.INVALID_CONNECTION: (
        "the connection to {place} has an option that libpq or the server does not accept; correct or remove it"
    ),
    Reason.UNREACHABLE: "no server could be reached at {place}: {why}; check host, port and network",
}
