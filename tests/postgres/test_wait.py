"""Waiting for a version, as an application does: with its own role, against real servers."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import yaml
from dev.cache import CHECKOUT
from dev.postgres.packages import MAJORS
from dev.postgres.server import PostgresServer

from support.postgres import (
    CANARY,
    CANARY_ENCODED,
    OLDEST_AND_NEWEST,
    PROGRAM,
    Database,
    Product,
    new_database,
    until,
    write,
)
from support.proxy import Break, Proxy

pytestmark = pytest.mark.postgres

APPLICATION = CHECKOUT / "examples/shop-application/application.yaml"
NO_HISTORY = (
    "the database has no history yet: no run has worked on it; if one has, this is another database than that run's"
)
SOON = 3.0
"""Seconds within which a wait sees what has changed: it looks once a second."""


NEWEST = pytest.mark.parametrize("server", [MAJORS[-1]], indirect=True, ids=lambda major: f"postgres{major}")
"""For what the server has no part in."""


class Waiting:
    """A wait that was started."""

    def __init__(self, folder: Path, uri: str, *arguments: str) -> None:
        self._output = folder / "stdout"
        with self._output.open("w") as output:
            self.process = subprocess.Popen(
                [str(PROGRAM), "wait", *arguments],
                env=os.environ | {"SCHEMA_OPERATOR_URI": uri},
                stdout=output,
                stderr=subprocess.PIPE,
                text=True,
            )

    @property
    def lines(self) -> list[str]:
        return self._output.read_text().splitlines()

    def says(self, text: str) -> None:
        until(lambda: text in self._output.read_text() or self.process.poll() is not None, text)
        assert text in self._output.read_text()

    def waits(self, reason: str) -> None:
        self.says(reason)
        assert self.process.poll() is None

    def end(self, seconds: float = 20.0) -> tuple[int, str]:
        """The exit code, and what it says of a failure."""
        _, stderr = self.process.communicate(timeout=seconds)
        return self.process.returncode, stderr


Start = Callable[..., Waiting]


@pytest.fixture
def start(tmp_path: Path, database: Database) -> Iterator[Start]:
    started: list[Waiting] = []

    def _start(*arguments: str, uri: str | None = None) -> Waiting:
        folder = tmp_path / f"wait{len(started)}"
        folder.mkdir()
        started.append(Waiting(folder, uri or database.uri, *arguments))
        return started[-1]

    yield _start
    for one in started:
        one.process.kill()
        one.process.wait()
        if one.process.stderr is not None:
            one.process.stderr.close()


def scripts(folder: Path, *versions: str) -> Path:
    files: dict[str, str] = {}
    for version in versions:
        name = "t" + re.sub(r"\W", "_", version)
        files |= {f"{version}_x.up.sql": f"CREATE TABLE {name} ()", f"{version}_x.down.sql": f"DROP TABLE {name}"}
    return write(folder / "scripts", files)


def migrate(product: Product, folder: Path, version: str, *options: str) -> None:
    ended = product.run("--scripts", folder, "--version", version, *options)
    assert ended.code == 0, ended


OF_THE_WAIT = "FROM pg_stat_activity WHERE application_name LIKE 'schema-operator wait%'"


@OLDEST_AND_NEWEST
def test_it_ends_when_the_version_appears_and_holds_nothing_until_then(
    database: Database, product: Product, start: Start, tmp_path: Path
) -> None:
    database.execute(f"ALTER DATABASE {database.name} SET log_statement = 'all'")
    folder = scripts(tmp_path, "1.3.0", "1.4.0", "1.5.0")
    waiting = start("--version", "1.4", "--of", "shop/shop")
    waiting.says("the database has no history yet: no run has worked on it")
    migrate(product, folder, "1.3.0", "--as", "shop/shop")
    waiting.says("version 1.4 of shop/shop is not applied; the highest applied version of shop/shop is 1.3.0")
    ((pid, name),) = database.rows(f"SELECT pid, application_name {OF_THE_WAIT}")
    assert name == "schema-operator wait 1.4 shop/shop"
    database.wait_for(f"SELECT state = 'idle' AND backend_xmin IS NULL AND xact_start IS NULL {OF_THE_WAIT}")
    assert database.rows(f"SELECT FROM pg_locks WHERE pid = {pid}") == []
    migrate(product, folder, "1.5.0", "--as", "shop/shop")
    assert waiting.end(SOON) == (0, "")
    assert waiting.lines == [
        f"waiting for version 1.4 of shop/shop in database {database.name} at {_place(database)}, at most 300 s",
        NO_HISTORY,
        "version 1.4 of shop/shop is not applied; the highest applied version of shop/shop is 1.3.0",
        "version 1.4 of shop/shop is applied, as 1.4.0",
    ]
    # Whole sessions are one query of the simple protocol, again and again: any pooler passes that on.
    said = {line.partition(f"[{pid}] ")[2] for line in database.server.log().splitlines() if f"[{pid}] LOG" in line}
    assert said == {"LOG:  statement: SELECT version, owner FROM schema_operator.applied_versions"}


@OLDEST_AND_NEWEST
def test_a_version_that_was_rolled_back_does_not_count(product: Product, start: Start, tmp_path: Path) -> None:
    folder = scripts(tmp_path, "1.3.0", "1.4.0")
    migrate(product, folder, "1.4.0", "--as", "shop/shop")
    assert start("--version", "1.4.0").end() == (0, "")
    migrate(product, folder, "1.3.0", "--as", "shop/shop")
    assert start("--version", "1.4.0", "--timeout", "2").end() == (
        10,
        "version 1.4.0 was not there in 2 s: version 1.4.0 is not applied; the highest applied version is 1.3.0\n",
    )
    waiting = start("--version", "1.4.0", "--timeout", "0")
    waiting.says("without a limit")
    waiting.says("the highest applied version is 1.3.0")
    migrate(product, folder, "1.4.0", "--as", "shop/shop")
    assert waiting.end(SOON) == (0, "")


@NEWEST
def test_whose_version_it_is_matters_where_that_is_asked(product: Product, start: Start, tmp_path: Path) -> None:
    migrate(product, scripts(tmp_path, "1.4.0"), "1.4.0", "--as", "shop/other")
    assert start("--version", "1.4.0").end() == (0, "")
    assert start("--version", "1.4.0", "--of", "shop/other").end() == (0, "")
    start("--version", "1.4.0", "--of", "shop/shop").waits("it is one of shop/other and not of shop/shop")
    migrate(product, scripts(tmp_path, "1.5.0"), "1.5.0")
    start("--version", "1.5.0", "--of", "shop/other").waits("by hand and for no resource")


@NEWEST
def test_a_baseline_is_applied_and_what_is_below_it_only_where_newer_is_enough(
    product: Product, start: Start, tmp_path: Path
) -> None:
    migrate(product, scripts(tmp_path, "1.5.0", "1.6.0"), "1.6.0", "--as", "shop/shop", "--baseline", "1.5.0")
    of = ("--of", "shop/shop")
    assert start("--version", "1.5.0", *of).end() == (0, "")
    start("--version", "1.4.0", *of).waits("what is begins above it, with 1.5.0")
    assert start("--version", "1.4.0", "--newer-is-enough", *of).end() == (0, "")


@OLDEST_AND_NEWEST
def test_who_may_not_read_is_told_the_grants_and_needs_no_more_than_them(
    database: Database, product: Product, start: Start, tmp_path: Path, role: str
) -> None:
    uri = database.uri_of(role, CANARY_ENCODED)
    migrate(product, scripts(tmp_path, "1.4.0"), "1.4.0")
    code, said = start("--version", "1.4.0", uri=uri).end()
    assert code == 20
    assert said.startswith(f"PermissionDenied: the role {role} may not read the history; let its owner run: GRANT ")
    grants = re.findall(r"(GRANT .*?);", said)
    database.execute(grants[0])
    assert start("--version", "1.4.0", uri=uri).end() == (20, said)  # the schema alone is not enough
    database.execute(grants[1])
    assert len(grants) == 2
    assert start("--version", "1.4.0", uri=uri).end() == (0, "")
    with psycopg.connect(uri) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("SELECT up_sql FROM schema_operator.version_scripts")


@OLDEST_AND_NEWEST
def test_the_right_can_be_given_before_the_first_run(
    database: Database, product: Product, start: Start, tmp_path: Path, role: str
) -> None:
    """As docs/waiting.md says it."""
    (block,) = re.findall(
        r"```sql\n(CREATE SCHEMA schema_operator AUTHORIZATION .*?)```",
        (CHECKOUT / "docs/waiting.md").read_text(),
        re.DOTALL,
    )
    database.execute(re.sub(r"\bdeploy\b", "postgres", re.sub(r"\bshop_app\b", role, block)))
    waiting = start("--version", "1.4.0", uri=database.uri_of(role, CANARY_ENCODED))
    waiting.says("the database has no history yet")
    migrate(product, scripts(tmp_path, "1.4.0"), "1.4.0")
    assert waiting.end(SOON) == (0, "")


@OLDEST_AND_NEWEST
def test_a_wrong_password_ends_it_at_once_and_is_not_shown(database: Database, start: Start, role: str) -> None:
    waiting = start("--version", "1.4.0", uri=database.uri_of(role, f"{CANARY_ENCODED}x"))
    code, said = waiting.end()
    assert code == 20
    assert said.startswith(f"AuthFailed: the server at 127.0.0.1:{database.server.port} does not let user {role} into")
    assert CANARY not in said + "".join(waiting.lines)
    assert CANARY_ENCODED not in said + "".join(waiting.lines)


@OLDEST_AND_NEWEST
def test_a_lock_on_the_history_holds_up_neither_the_timeout_nor_a_signal(
    database: Database, product: Product, start: Start, tmp_path: Path
) -> None:
    """As a run takes it that upgrades the control schema."""
    migrate(product, scripts(tmp_path, "1.4.0"), "1.4.0")
    with database.connect() as connection, connection.transaction():
        connection.execute("LOCK TABLE schema_operator.schema_versions")
        timed, stopped, patient = (
            start("--version", "1.4.0", "--timeout", seconds) for seconds in ("1500ms", "60", "60")
        )
        database.wait_for(f"SELECT count(*) = 3 {OF_THE_WAIT} AND wait_event_type = 'Lock'")
        asked = time.monotonic()
        stopped.process.send_signal(signal.SIGTERM)
        assert stopped.end() == (143, "")
        assert time.monotonic() - asked < 1.0
        assert timed.end() == (10, f"version 1.4.0 was not there in 1.5 s: {_place(database)} has not answered\n")
        assert patient.process.poll() is None
    assert patient.end(SOON) == (0, "")


@OLDEST_AND_NEWEST
def test_a_session_that_is_ended_or_cancelled_is_no_end_of_waiting(
    database: Database, product: Product, start: Start, tmp_path: Path
) -> None:
    folder = scripts(tmp_path, "1.3.0", "1.4.0")
    migrate(product, folder, "1.3.0")
    waiting = start("--version", "1.4.0")
    waiting.says("the highest applied version is 1.3.0")
    database.execute(f"SELECT pg_terminate_backend(pid) {OF_THE_WAIT}")
    waiting.says("could not be read: terminating connection due to administrator command; it is tried again")
    database.execute(f"ALTER DATABASE {database.name} SET statement_timeout = '200ms'")
    until(lambda: waiting.lines[-1].endswith("the highest applied version is 1.3.0"), "the next look")
    with database.connect() as connection, connection.transaction():
        connection.execute("LOCK TABLE schema_operator.schema_versions")
        waiting.says("canceling statement due to statement timeout; it is tried again")
    migrate(product, folder, "1.4.0")
    assert waiting.end(SOON) == (0, "")


@NEWEST
def test_a_database_that_is_read_only_a_pooler_and_a_list_of_hosts_will_do(
    database: Database, product: Product, start: Start, tmp_path: Path
) -> None:
    migrate(product, scripts(tmp_path, "1.4.0"), "1.4.0")
    database.execute(f"ALTER DATABASE {database.name} SET default_transaction_read_only = on")
    several = database.uri.replace("@127.0.0.1:", "@127.0.0.1:1,127.0.0.1:")
    assert start("--version", "1.4.0", uri=several).end() == (0, "")
    with Proxy(database.server.port, Break.NEVER) as pooler:
        assert start("--version", "1.4.0", uri=pooler.through(database.uri)).end() == (0, "")
    start("--version", "1.4.0", uri=f"{database.uri}?target_session_attrs=read-write").waits("can be written to")


@NEWEST
def test_the_init_container_of_the_example_waits_for_the_example(
    product: Product, start: Start, tmp_path: Path
) -> None:
    deployment = next(one for one in yaml.safe_load_all(APPLICATION.read_text()) if one["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["initContainers"]
    command, *arguments = container["args"]
    waiting = start(*arguments)
    waiting.says("waiting for version 1.0.0 of shop/shop")
    waiting.says("no history yet")
    (migration,) = yaml.safe_load_all((CHECKOUT / "examples/shop/migration.yaml").read_text())
    first = migration["spec"]["scripts"]["inline"][0]
    folder = write(tmp_path / "scripts", {f"{first['version']}_first.up.sql": first["up"]})
    migrate(product, folder, first["version"], "--as", "shop/shop")
    assert (command, waiting.end(SOON)) == ("wait", (0, ""))


def test_a_server_that_comes_goes_and_comes_again(tmp_path: Path) -> None:
    folder = scripts(tmp_path, "1.4.0")
    server = PostgresServer(MAJORS[-1])
    try:
        server.create()
        early = Waiting(tmp_path, server.uri(), "--version", "1.4.0")
        early.says("nothing listens there")
        server.start()
        early.says("no history yet")
        server.stop()
        early.says("it is tried again")
        server.start()
        migrate(Product(Database(server, "postgres")), folder, "1.4.0")
        assert early.end() == (0, "")
        with new_database(server) as other:
            missing = Waiting(tmp_path, server.uri(other.name + "x"), "--version", "1.4.0")
            code, said = missing.end()
        assert (code, said.startswith("DatabaseNotFound: ")) == (20, True)
    finally:
        server.__exit__(None, None, None)


def _place(database: Database) -> str:
    return f"127.0.0.1:{database.server.port}"
