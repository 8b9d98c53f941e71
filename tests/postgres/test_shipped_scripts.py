"""SQL that ships inside packages, cut by us and by PostgreSQL's own parser: the same statements."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from dev.postgres import install
from dev.postgres.packages import MAJORS

from schema_operator.scripts.grammar import syntax_problem
from schema_operator.scripts.lexer import PieceKind, lex
from schema_operator.scripts.pending import check_pending
from schema_operator.scripts.reading import Entry, from_entries
from support import graphile_worker, procrastinate
from support.parser import agrees, plain

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.postgres

PROCRASTINATE = [procrastinate.SQL / "schema.sql", *sorted((procrastinate.SQL / "migrations").glob("*.sql"))]


def disagreements(files: list[Path]) -> list[str]:
    return [path.name for path in files if not same(path.read_text("utf-8"))]


def same(text: str) -> bool:
    pieces = lex(text)
    statements = tuple(piece for piece in pieces if piece.kind is PieceKind.STATEMENT)
    understood = plain(text, pieces)
    problems = [piece for piece in statements if syntax_problem(understood[piece.start : piece.end])]
    return not problems and agrees(understood, statements)


@pytest.mark.parametrize("major", MAJORS)
def test_the_extensions_of_postgresql(major: int) -> None:
    files = sorted((install.server(major) / "share/postgresql/extension").glob("*.sql"))
    assert len(files) > 100
    # An operator => has been a syntax error since 9.5: that script ships with 13, but runs nowhere.
    assert [name for name in disagreements(files) if name != "hstore--1.0--1.1.sql"] == []


def test_procrastinates_migrations() -> None:
    assert len(PROCRASTINATE) == 39
    assert disagreements(PROCRASTINATE) == []


def test_graphile_workers_migrations() -> None:
    files = sorted(graphile_worker.folder().glob("*.sql"))
    assert len(files) == 19
    assert [path.name for path in files if not same(graphile_worker.filled(path.read_text("utf-8")))] == []


def test_they_pass_every_rule() -> None:
    graphile = sorted(graphile_worker.folder().glob("*.sql"))
    for files in (PROCRASTINATE[1:], graphile):
        entries = [Entry("", f"{number}_x.up.sql", path.read_bytes()) for number, path in enumerate(files, start=1)]
        assert check_pending(from_entries(entries).scripts, 18, [graphile_worker.VARIABLE]) == ()
