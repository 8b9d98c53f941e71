"""TLS: a server with a certificate of its own, and whom a run trusts."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from dev.postgres.packages import MAJORS
from dev.postgres.server import PASSWORD, SUPERUSER, PostgresServer

from schema_operator.api.request import ConnectionFiles, InlineScript, RunRequest, SecretFile, TlsFiles
from support.certificates import make_certificates
from support.postgres import Database, Ended, Product

pytestmark = pytest.mark.postgres

TLS = {"ssl": "on", "ssl_cert_file": "server.crt", "ssl_key_file": "server.key"}


@dataclass(frozen=True)
class Secured:
    """A server that offers TLS, the authority that signed its certificate for 127.0.0.1, and another one."""

    server: PostgresServer
    secrets: Path


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder, "IP:127.0.0.1")
    (folder / "username").write_text(SUPERUSER)
    (folder / "password").write_text(PASSWORD)
    server = PostgresServer(MAJORS[-1], TLS)
    with ExitStack() as at_the_end:
        at_the_end.push(server)
        server.create()
        _give_certificate(server, folder)
        server.start()
        yield Secured(server, folder)


def _give_certificate(server: PostgresServer, folder: Path) -> None:
    data = server.home / "data"
    for name in ("server.crt", "server.key"):
        shutil.copy(folder / name, data / name)
        os.chown(data / name, data.stat().st_uid, data.stat().st_gid)
        (data / name).chmod(0o600)


def _run(secured: Secured, folder: Path, connection: ConnectionFiles) -> Ended:
    (folder / "requests").mkdir(exist_ok=True)
    request = RunRequest(
        run="r", actor="a", inline=(InlineScript(version="1", up="SELECT 1"),), connection=connection, version="1"
    )
    return Product(Database(secured.server, "postgres")).request(folder / "requests", request, uri="")


def _file(secured: Secured, key: str) -> SecretFile:
    return SecretFile(secret="shop", key=key, folder=str(secured.secrets))


def _by_parts(secured: Secured, tls: TlsFiles, host: str = "127.0.0.1") -> ConnectionFiles:
    return ConnectionFiles(
        host=host,
        port=secured.server.port,
        database="postgres",
        user=_file(secured, "username"),
        password=_file(secured, "password"),
        tls=tls,
    )


def _by_uri(secured: Secured, tls: TlsFiles, query: str = "") -> ConnectionFiles:
    (secured.secrets / "uri").write_text(secured.server.uri("postgres") + query)
    return ConnectionFiles(uri=_file(secured, "uri"), tls=tls)


def _refused(ended: Ended) -> bool:
    return (ended.code, ended.report.reason) == (20, "TlsFailed")


@pytest.mark.fault(42)
@pytest.mark.parametrize("form", [_by_parts, _by_uri], ids=["by parts", "by URI"])
def test_an_authority_without_a_mode_must_have_signed_the_certificate(
    secured: Secured, tmp_path: Path, form: Callable[[Secured, TlsFiles], ConnectionFiles]
) -> None:
    assert _refused(_run(secured, tmp_path, form(secured, TlsFiles(ca=_file(secured, "wrong.crt")))))
    right = _run(secured, tmp_path, form(secured, TlsFiles(ca=_file(secured, "right.crt"))))
    assert right.code == 0, right


@pytest.mark.fault(42)
def test_an_authority_without_a_mode_must_have_signed_for_this_host(secured: Secured, tmp_path: Path) -> None:
    other_name = _by_parts(secured, TlsFiles(ca=_file(secured, "right.crt")), host="localhost")
    assert _refused(_run(secured, tmp_path, other_name))
    other_name = _by_parts(secured, TlsFiles(ca=_file(secured, "right.crt"), mode="verify-ca"), host="localhost")
    assert _run(secured, tmp_path, other_name).code == 0


@pytest.mark.fault(42)
def test_a_mode_that_is_given_counts(secured: Secured, tmp_path: Path) -> None:
    wrong = _file(secured, "wrong.crt")
    assert _run(secured, tmp_path, _by_uri(secured, TlsFiles(ca=wrong), "?sslmode=disable")).code == 0
    assert _run(secured, tmp_path, _by_uri(secured, TlsFiles(ca=wrong, mode="disable"))).code == 0
    both = _by_uri(secured, TlsFiles(ca=wrong, mode="verify-full"), "?sslmode=disable")
    assert _refused(_run(secured, tmp_path, both))
