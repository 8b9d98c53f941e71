"""Real servers, a fresh database for each test, and the product as the process a user starts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import psycopg
import pytest
from dev.postgres import install
from dev.postgres.packages import MAJORS
from dev.postgres.server import PASSWORD, SUPERUSER, PostgresServer
from psycopg import sql

from schema_operator.api import request as requests
from schema_operator.api.report import LogLine, Progress, RunReport
from schema_operator.api.request import RunRequest

PROGRAM = Path(sys.executable).with_name("schema-operator")
CANARY = "c4n4ry/P@ss:w?rd#%"
"""A password no output may contain; full of what must be encoded in a URI."""
CANARY_ENCODED = "c4n4ry%2FP%40ss%3Aw%3Frd%23%25"
WAIT_SECONDS = 30.0
FINISH_SECONDS = 120.0


@dataclass(frozen=True)
class Ended:
    """A run of the product that has ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def lines(self) -> list[LogLine]:
        return [msgspec.json.decode(line, type=LogLine) for line in self.stdout.splitlines()]

    @property
    def report(self) -> RunReport:
        (report,) = [line.report for line in self.lines if line.report is not None]
        return report

    @property
    def progress(self) -> list[Progress]:
        return [line.progress for line in self.lines if line.progress is not None]


class Database:
    """A database of one test."""

    def __init__(self, server: PostgresServer, name: str) -> None:
        self.server = server
        self.name = name

    @property
    def uri(self) -> str:
        return self.server.uri(self.name)

    def uri_of(self, user: str, password: str = PASSWORD) -> str:
        return self.server.uri(self.name, user, password)

    def connect(self, name: str = "tests") -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(self.uri, autocommit=True, application_name=name)

    def execute(self, text: str) -> None:
        with self.connect() as connection:
            connection.execute(text.encode())

    def rows(self, text: str) -> list[tuple[Any, ...]]:
        with self.connect() as connection:
            return connection.execute(text.encode()).fetchall()

    def value(self, text: str) -> Any:
        ((value,),) = self.rows(text)
        return value

    def relations(self, schema: str = "public") -> list[str]:
        query = (
            "SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind IN ('r','v','m') ORDER BY 1"
        )
        with self.connect() as connection:
            return [name for (name,) in connection.execute(query, [schema])]

    def versions(self) -> list[str]:
        """Every row of schema_versions, in the order they were written; none where there is no history yet."""
        query = (
            "SELECT v.version FROM schema_operator.schema_versions v "
            "JOIN schema_operator.version_scripts s ON s.version_id = v.id ORDER BY s.position"
        )
        return [version for (version,) in self.rows(query)] if self._has_history() else []

    def applied(self) -> list[str]:
        """What is applied now, in the order it was applied; nothing where there is no history yet."""
        query = "SELECT version FROM schema_operator.applied_versions"
        return [version for (version,) in self.rows(query)] if self._has_history() else []

    def _has_history(self) -> bool:
        return bool(self.value("SELECT to_regclass('schema_operator.applied_versions') IS NOT NULL"))

    def dump(self, *options: str) -> str:
        """Everything in it, schema and rows, as pg_dump writes it, without what differs by itself."""
        command = [str(install.pg_dump()), "--dbname", self.uri, "--no-owner", *options]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return re.sub(r"^(\\(un)?restrict .*|-- Dumped (from|by) .*)\n", "", text, flags=re.MULTILINE)

    def wait_for(self, query: str) -> None:
        """Wait until a query gives true."""
        until(lambda: bool(self.value(query)), query)


class Product:
    """The program, started for one database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def start(self, *arguments: str | Path, uri: str | None = None) -> subprocess.Popen[str]:
        environment = {**os.environ, "SCHEMA_OPERATOR_URI": self.database.uri if uri is None else uri}
        command = [str(PROGRAM), "run", "--log-format", "json", *map(str, arguments)]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, *arguments: str | Path, uri: str | None = None) -> Ended:
        return finish(self.start(*arguments, uri=uri))

    def request(self, folder: Path, request: RunRequest, uri: str | None = None) -> Ended:
        path = folder / "request.json"
        path.write_bytes(requests.encode(request))
        return self.run("--request", path, uri=uri)


def finish(process: subprocess.Popen[str]) -> Ended:
    """Wait for the end of a run; one that hangs is killed and fails its test."""
    try:
        stdout, stderr = process.communicate(timeout=FINISH_SECONDS)
    finally:
        process.kill()
    return Ended(process.returncode, stdout, stderr)


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < end, f"waited too long for: {what}"
        time.sleep(0.02)


def write(folder: Path, files: Mapping[str, str]) -> Path:
    """Make a folder hold these scripts and nothing else."""
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


OLDEST_AND_NEWEST: Final = pytest.mark.parametrize(
    "server", [MAJORS[0], MAJORS[-1]], indirect=True, ids=lambda major: f"postgres{major}"
)
"""For long tables of cases that no server between these treats in a way of its own."""


@pytest.fixture(scope="session", params=MAJORS, ids=lambda major: f"postgres{major}")
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    with PostgresServer(request.param) as running:
        yield running


@contextmanager
def new_database(server: PostgresServer) -> Iterator[Database]:
    """A database that is dropped at the end of the block."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    _administer(server, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield Database(server, name)
    finally:
        _administer(server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def database(server: PostgresServer) -> Iterator[Database]:
    with new_database(server) as made:
        yield made


def _administer(server: PostgresServer, statement: sql.Composed) -> None:
    with psycopg.connect(server.uri(), autocommit=True) as connection:
        connection.execute(statement)


@pytest.fixture
def product(database: Database) -> Product:
    return Product(database)


@pytest.fixture
def role(database: Database) -> Iterator[str]:
    """A role without rights that may log in with the canary for its password; removed with all it owns."""
    name = f"role_{uuid.uuid4().hex[:8]}"
    database.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{CANARY}'")
    yield name
    database.execute(f"REASSIGN OWNED BY {name} TO {SUPERUSER}; DROP OWNED BY {name}; DROP ROLE {name}")
