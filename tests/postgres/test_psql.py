"""What psql makes of a script, as the server's log says, against our own pieces."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from dev.postgres import install
from dev.postgres.packages import MAJORS
from dev.postgres.server import PostgresServer
from hypothesis import HealthCheck, Phase, given, settings

from schema_operator.scripts.lexer import PieceKind, lex, tokens
from support import graphile_worker, procrastinate
from unit.scripts.labelled import written
from unit.scripts.test_lexer import SCRIPTS
from unit.scripts.test_lexer_generated import VALID_SCRIPT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.postgres

LOGGING = {"log_statement": "all", "log_line_prefix": ""}
ENTRY = re.compile(r"^(LOG:  statement|STATEMENT): +(.*(?:\n\t.*)*)", re.MULTILINE)
"""A statement is logged once it is parsed, and after an error; one that cannot be parsed only then."""
OTHERWISE = frozenset(
    {
        # psql reads line by line and forgets that what goes on is an escape string; the server does not.
        "an escape string goes on after a line break",
        # For psql, a body ends at a column or an alias called end, and begins at a type called begin.
        "BEGIN ATOMIC with end as a name",
        "atomic as a name",
        # What is between \\if and \\endif is not sent.
        "meta commands",
    }
)
TABLES = "CREATE TABLE t (a text); CREATE TABLE a (a text); CREATE TABLE b (b text);"


@pytest.fixture(scope="module", params=[MAJORS[0], MAJORS[-1]], ids=lambda major: f"postgres{major}")
def logging_server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    with PostgresServer(request.param, LOGGING) as running:
        yield running


def logged(server: PostgresServer, text: str, folder: Path) -> list[list[str]]:
    """Run a script with psql; give the statements the server was sent, as tokens."""
    (folder / "script.sql").write_bytes(text.encode())
    before = len(log(server))
    command = [str(install.psql()), "-X", "-q", "-o", "/dev/null", "-f", str(folder / "script.sql"), server.uri()]
    subprocess.run(command, check=False, capture_output=True, env={"PGCLIENTENCODING": "UTF8"})
    sent: list[tuple[str, str]] = []
    for kind, sql in ENTRY.findall(log(server)[before:]):
        if kind != "STATEMENT" or sent[-1:] != [("LOG:  statement", sql)]:
            sent.append((kind, sql))
    return [symbols for _, sql in sent if (symbols := significant(sql.replace("\n\t", "\n")))]


def log(server: PostgresServer) -> str:
    """Give the log with its carriage returns."""
    return (server.home / "log").read_bytes().decode()


def significant(sql: str) -> list[str]:
    symbols = list(tokens(sql))
    return symbols[:-1] if symbols[-1:] == [";"] else symbols


def cut(text: str) -> list[list[str]]:
    pieces = lex(text)
    return [significant(text[one.start : one.end]) for one in pieces if one.kind is PieceKind.STATEMENT]


@pytest.mark.parametrize("name", [name for name in SCRIPTS if name not in OTHERWISE])
def test_tricky_scripts(logging_server: PostgresServer, tmp_path: Path, name: str) -> None:
    logged(logging_server, TABLES, tmp_path)
    text = written(SCRIPTS[name])
    assert logged(logging_server, text, tmp_path) == cut(text)


def test_scripts_that_others_ship(logging_server: PostgresServer, tmp_path: Path) -> None:
    migrations = sorted(graphile_worker.folder().glob("*.sql"))
    texts = [procrastinate.schema_sql(), *(graphile_worker.filled(path.read_text("utf-8")) for path in migrations)]
    for text in texts:
        assert logged(logging_server, text, tmp_path) == cut(text)


@settings(
    deadline=None,
    max_examples=25,
    phases=[Phase.generate],  # an example is a process, so none are made smaller
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(VALID_SCRIPT)
def test_generated_scripts(logging_server: PostgresServer, tmp_path: Path, text: str) -> None:
    # What psql does worse, see above.
    text = text.replace("t.end", "t.en_").replace("' \n\t'", "'||E'")
    assert logged(logging_server, text, tmp_path) == cut(text)
