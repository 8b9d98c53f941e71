"""Addresses: what is read, what is refused, and that nothing secret is repeated."""

from __future__ import annotations

import pytest

from schema_operator.errors import Reason, Refused
from schema_operator.postgres.address import from_parts, from_text

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("text", "place", "user", "database"),
    [
        ("postgresql://me:pw@db:5433/shop", "db:5433", "me", "shop"),
        ("postgres://me@db/shop?sslmode=require", "db", "me", "shop"),
        ("postgresql://me:p%2Fw%40@db/shop", "db", "me", "shop"),
        ("postgresql://me@a:1,b:2/shop", "a,b", "me", "shop"),
        ("postgresql://[::1]:5432/shop", "::1:5432", "", "shop"),
        ("host=db port=5433 user=me dbname=shop password='a b'", "db:5433", "me", "shop"),
        ("postgresql:///shop?host=/run/postgresql", "/run/postgresql", "", "shop"),
        ("dbname=shop", "the local socket", "", "shop"),
        ("user=me", "the local socket", "me", "me"),
    ],
)
def test_read(text: str, place: str, user: str, database: str) -> None:
    address = from_text(text)
    assert (address.place, address.user, address.database) == (place, user, database)
    assert "pw" not in repr(address)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"postgresql://me:{SECRET}/x@db/shop", "%2F"),
        (f"postgresql://me:12/{SECRET}@db/shop", "%2F"),
        (f"postgresql://me:a@{SECRET}@db/shop", "%40"),
        (f"postgresql://me:a?{SECRET}=x@db/shop", "percent-encoded"),
        (f"postgresql://me:a#{SECRET}@db/shop", "percent-encoded"),
        (f"postgresql://me:{SECRET}%@db/shop", "percent-encoded"),
        (f"postgresql://db:{SECRET}/shop", "port"),
        (f"postgresql://me:{SECRET}@db:70000/shop", "port"),
        (f"postgresql://me:{SECRET}@db/shop?sslmood=x", "'sslmood'"),
        (f"postgresql://me:{SECRET}@db/shop?sslmode=x", "sslmode"),
        (f"postgresql://me:{SECRET}@db/shop?connect_timeout=x", "connect_timeout"),
        (f"host=db passwort={SECRET}", "'passwort'"),
        (f"host=db password='{SECRET}", "keyword string"),
        (f"{SECRET}", "postgresql://"),
        (f"host=db password={SECRET}\0", "NUL"),
    ],
)
def test_refused(text: str, says: str) -> None:
    with pytest.raises(Refused) as refused:
        from_text(text)
    assert refused.value.reason is Reason.INVALID_CONNECTION
    assert says in refused.value.sentence
    assert SECRET not in str(refused.value)


def test_extra_parameters_win() -> None:
    address = from_text("postgresql://me@db/shop?sslmode=disable", {"sslmode": "verify-full"})
    assert address.parameters["sslmode"] == "verify-full"


def test_connecting_is_bounded() -> None:
    assert from_parts({"host": "db"}).parameters["connect_timeout"] == "10"
    assert from_text("host=db connect_timeout=3").parameters["connect_timeout"] == "3"
