"""Connect: from references to credentials to a server that may be worked with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from schema_operator.api.report import Server
from schema_operator.errors import Reason, Refused
from schema_operator.postgres import address as addresses
from schema_operator.postgres.sqlstate import ServerFailure, to_error
from schema_operator.runner.report import Step

if TYPE_CHECKING:
    from schema_operator.api.request import ConnectionFiles, SecretFile, TlsFiles
    from schema_operator.postgres.address import Address
    from schema_operator.runner.workplace import Workplace


def address_of(connection: ConnectionFiles) -> Address:
    """Read an address from mounted Secrets.

    Where an authority is given and no sslmode, neither here nor in the URI, the server is checked in full: libpq's own
    default would go on without TLS when the authority has not signed.
    Raises `Refused`: SecretNotFound, SecretKeyNotFound, InvalidConnection.
    """
    address = _address_of(connection, _tls(connection.tls))
    return address.verifying() if connection.tls.ca else address


def _address_of(connection: ConnectionFiles, tls: dict[str, str]) -> Address:
    if connection.uri is not None:
        return addresses.from_text(read(connection.uri), tls, connection.role)
    parts: dict[str, str | None] = {
        "host": connection.host,
        "port": None if connection.port is None else str(connection.port),
        "dbname": connection.database,
        "user": read(connection.user) if connection.user else None,
        "password": read(connection.password) if connection.password else None,
    }
    given = {name: value for name, value in parts.items() if value is not None}
    return addresses.from_parts(given | tls, connection.role)


def read(file: SecretFile) -> str:
    """Read one key of a mounted Secret, without the line break at its end that `echo` adds.

    Raises `Refused`: SecretNotFound, SecretKeyNotFound, InvalidConnection for bytes that are no text.
    """
    try:
        return _path(file).read_bytes().decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise Refused(
            Reason.INVALID_CONNECTION, f"the key {file.key} of Secret {file.secret} is not UTF-8; save it as UTF-8"
        ) from None


def connect(work: Workplace, address: Address) -> None:
    """Open the guard session and look at the server.

    Raises `Refused` or `Retryable` as `postgres.connecting` does, and `Refused`: PoolerDetected, UnsupportedEncoding.
    """
    work.reporter.progress(Step.CONNECTING, f"connecting to {address.place}")
    try:
        work.open_guard(address)
        facts = work.facts
        identifier = work.guard.system_identifier() if facts.may_identify else ""
    except ServerFailure as failure:
        raise to_error(failure) from None
    if facts.pid != work.guard.pid:
        raise Refused(
            Reason.POOLER_DETECTED,
            f"{address.place} is a connection pooler, not the server itself (the process id it announced is not the "
            "server's); locks and settings of a session do not work through one; give the server's own address",
        )
    if facts.encoding == "SQL_ASCII":
        raise Refused(
            Reason.UNSUPPORTED_ENCODING,
            f"the database {facts.database} has the encoding SQL_ASCII, so the server does not know what its text "
            "means and cannot be trusted to store scripts; use a database with a real encoding, best UTF8",
        )
    server = Server(version=facts.version, system_identifier=identifier, database=facts.database)
    work.findings = replace(work.findings, server=server)


def _tls(tls: TlsFiles) -> dict[str, str]:
    parts: dict[str, str | None] = {
        "sslmode": tls.mode,
        "sslrootcert": str(_path(tls.ca)) if tls.ca else None,
        "sslcert": str(_path(tls.certificate)) if tls.certificate else None,
        "sslkey": str(_path(tls.key)) if tls.key else None,
    }
    return {name: value for name, value in parts.items() if value is not None}


def _path(file: SecretFile) -> Path:
    """Find the file of a key; an absent Secret is mounted as a folder without visible files, an absent key as none."""
    folder = Path(file.folder)
    path = folder / file.key
    if path.is_file():
        return path
    if not folder.is_dir() or all(entry.name.startswith("..") for entry in folder.iterdir()):
        raise Refused(
            Reason.SECRET_NOT_FOUND, f"the Secret {file.secret} does not exist; create it with the key {file.key}"
        )
    raise Refused(
        Reason.SECRET_KEY_NOT_FOUND, f"the Secret {file.secret} has no key {file.key}; add it, or name another"
    )
