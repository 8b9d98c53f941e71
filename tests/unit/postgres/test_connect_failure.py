"""What libpq's texts mean."""

from __future__ import annotations

import pytest

from schema_operator.errors import Reason, Refused, Retryable
from schema_operator.postgres.address import from_parts
from schema_operator.postgres.connect_failure import explain

ADDRESS = from_parts({"host": "db", "port": "5432", "user": "me", "dbname": "shop", "password": "s3cr3t"})
AT = 'connection failed: connection to server at "db", port 5432 failed: '


@pytest.mark.parametrize(
    ("text", "reason", "kind"),
    [
        ('FATAL:  password authentication failed for user "me"', Reason.AUTH_FAILED, Refused),
        ("fe_sendauth: no password supplied", Reason.AUTH_FAILED, Refused),
        ('FATAL:  role "me" does not exist', Reason.AUTH_FAILED, Refused),
        ('FATAL:  role "me" is not permitted to log in', Reason.AUTH_FAILED, Refused),
        (
            'FATAL:  no pg_hba.conf entry for host "1", user "me", database "shop", no encryption',
            Reason.AUTH_FAILED,
            Refused,
        ),
        ('FATAL:  database "shop" does not exist', Reason.DATABASE_NOT_FOUND, Refused),
        ('FATAL:  permission denied for database "shop"', Reason.AUTH_FAILED, Refused),
        ("server does not support SSL, but SSL was required", Reason.TLS_FAILED, Refused),
        ("SSL error: certificate verify failed", Reason.TLS_FAILED, Refused),
        ('root certificate file "/x" does not exist', Reason.TLS_FAILED, Refused),
        ('server certificate for "a" does not match host name "db"', Reason.TLS_FAILED, Refused),
        ("session is read-only", Reason.NOT_PRIMARY, Retryable),
        ("Connection refused\n\tIs the server running?", Reason.UNREACHABLE, Retryable),
        ('could not translate host name "db" to address: Name or service not known', Reason.UNREACHABLE, Retryable),
        ("connection timeout expired", Reason.UNREACHABLE, Retryable),
        ("FATAL:  the database system is starting up", Reason.UNREACHABLE, Retryable),
        ("FATAL:  sorry, too many clients already", Reason.UNREACHABLE, Retryable),
        ('FATAL:  database "shop" is not currently accepting connections', Reason.UNREACHABLE, Retryable),
        ("FATAL:  something nobody has seen", Reason.UNREACHABLE, Retryable),
    ],
)
def test_meaning(text: str, reason: Reason, kind: type[Exception]) -> None:
    error = explain(AT + text, ADDRESS)
    assert error.reason is reason
    assert isinstance(error, kind)
    assert "s3cr3t" not in str(error)
    assert "{" not in str(error)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("server does not support SSL, but SSL was required", "it offers none"),
        ("SSL error: certificate verify failed", "not signed by the given authority"),
        ("SSL error: certificate has expired", "not valid now"),
        ('server certificate for "a" does not match host name "db"', "for another host"),
        ('root certificate file "/x" does not exist', "the file of the authority cannot be read"),
        ('private key file "/x" has group or world access', "key file cannot be used"),
        ('could not open certificate file "/x": No such file', "the client's certificate file cannot be used"),
        ("SSL error: tlsv1 alert protocol version", "agree on no version"),
        ("SSL error: something else", "could not agree"),
    ],
)
def test_what_is_wrong_with_tls_is_said(text: str, said: str) -> None:
    sentence = explain(AT + text, ADDRESS).sentence
    assert said in sentence
    assert "never tried without TLS" in sentence
