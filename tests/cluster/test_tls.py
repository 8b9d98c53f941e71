"""A server with a certificate of its own, and whom the runs of a cluster trust."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.certificates import make_certificates
from support.operator import CANARY, SERVER, Shop, conditions, connect, database, message

HOST = "postgres.postgres.svc"
SCRIPT = {"version": "1", "up": "CREATE TABLE t ();"}

# By what name the server is reached, whom the run trusts, and what the sentence must say; None where it works.
TRUST: dict[str, tuple[str, str, str | None]] = {
    "right": (HOST, "right", None),
    "other-authority": (HOST, "wrong", "its certificate is not signed by the given authority"),
    "other-name": ("postgres.postgres", "right", "its certificate is for another host"),
}


@pytest.fixture
def certificates(shop: Shop, tmp_path: Path) -> Iterator[Path]:
    """Let the server of all tests offer TLS for a while."""
    make_certificates(tmp_path, f"DNS:{HOST}")
    for name in ("server.crt", "server.key"):
        write = ("sh", "-c", f'umask 077; cat > "$PGDATA/{name}"')
        text = (tmp_path / name).read_text()
        shop.cluster.kubectl("-n", "postgres", "exec", "-i", "deployment/postgres", "--", *write, input=text)
    with connect(shop.port, "postgres") as connection:
        connection.execute("ALTER SYSTEM SET ssl = on")
        connection.execute("SELECT pg_reload_conf()")
        try:
            yield tmp_path
        finally:
            connection.execute("ALTER SYSTEM RESET ssl")
            connection.execute("SELECT pg_reload_conf()")


@pytest.mark.fault(42)
@pytest.mark.bad_input(15)
def test_a_certificate_must_be_signed_by_the_authority_and_for_the_host(shop: Shop, certificates: Path) -> None:
    for authority in ("right", "wrong"):
        shop.secret(authority, **{"ca.crt": (certificates / f"{authority}.crt").read_text()})
    shop.secret("parts", user=SERVER.user, password=SERVER.password)
    for name, (host, authority, _) in TRUST.items():
        shop.apply(database(name, connection(shop, host, authority), inspection={"suspend": True}))
        shop.migrate(SCRIPT, name=name, database={"name": name})
    for name, (_, _, said) in TRUST.items():
        status = shop.settled(name)
        if said is None:
            assert conditions(status)["Ready"] == "True Applied"
            continue
        assert conditions(status)["Stalled"] == "True TlsFailed", name
        assert said in message(status)
        assert "never tried without TLS" in message(status)
        assert conditions(shop.target(name))["Reachable"] == "False TlsFailed"
    shop.has_no(CANARY)


def connection(shop: Shop, host: str, authority: str) -> dict[str, Any]:
    return {
        "host": host,
        "database": shop.database,
        "userSecret": {"name": "parts", "key": "user"},
        "passwordSecret": {"name": "parts", "key": "password"},
        "tls": {"caSecret": {"name": authority, "key": "ca.crt"}},
    }
