"""The migrations and the schema that ship inside procrastinate: SQL written for PostgreSQL by others."""

from __future__ import annotations

import re
from pathlib import Path

import procrastinate
import pytest

from schema_operator.api.request import ScriptFolder
from schema_operator.scripts.check import problems
from schema_operator.scripts.lexer import PieceKind, lex, tokens
from schema_operator.scripts.reading import from_folders
from schema_operator.scripts.script import Source
from schema_operator.scripts.statements import statements_of

FOLDER = Path(procrastinate.__file__).parent / "sql"
FILES = [FOLDER / "schema.sql", *sorted((FOLDER / "migrations").glob("*.sql"))]
# The first words of any statement in these files: a wrongly cut statement begins with something else.
BEGINNINGS = {"ALTER", "CREATE", "DROP", "DO", "UPDATE", "INSERT", "DELETE", "WITH", "COMMENT", "SELECT"}


def test_there_are_real_files() -> None:
    assert len(FILES) == 39


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_statements_begin_like_statements_and_nothing_is_lost(path: Path) -> None:
    text = path.read_text("utf-8")
    pieces = lex(text)
    assert {piece.kind for piece in pieces} == {PieceKind.STATEMENT}
    statements = statements_of(Source.from_bytes(path.name, path.read_bytes()))
    assert {statement.words[0] for statement in statements} <= BEGINNINGS
    significant = [symbol for symbol in tokens(text) if symbol != ";"]
    assert [symbol for statement in statements for symbol in tokens(statement.sql)] == significant


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_statements_stand_where_they_say(path: Path) -> None:
    lines = path.read_text("utf-8").splitlines()
    for statement in statements_of(Source.from_bytes(path.name, path.read_bytes())):
        first_line = statement.sql.splitlines()[0]
        assert lines[statement.line - 1][statement.column - 1 :].startswith(first_line)


def test_the_schema_has_as_many_statements_as_lines_that_begin_one() -> None:
    # Here every statement begins at the beginning of a line, and no line of a body begins there with these words.
    text = (FOLDER / "schema.sql").read_text("utf-8")
    begun = re.findall(r"^(?:CREATE|ALTER|DROP|DO)\b", text, re.MULTILINE)
    assert len(lex(text)) == len(begun) == 42  # and libpg_query says the same


def test_their_folder_is_read_as_it_is_and_fit_to_run() -> None:
    scripts = from_folders([ScriptFolder(path=str(FOLDER / "migrations"), label="")])
    assert [script.up.file for script in scripts.scripts] == [path.name for path in FILES[1:]]
    first, *_, last = scripts.scripts
    assert (first.version.text, first.name) == ("00.00.00.01", "initial")
    assert (last.version.text, last.name) == ("03.04.00.50", "post_add_retry_failed_job_procedure")
    assert set(scripts.ignored) <= {"__init__.py"}
    assert problems(scripts) == ()
