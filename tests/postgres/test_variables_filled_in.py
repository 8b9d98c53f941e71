"""Variables of psql in scripts, and graphile-worker's own migrations, which use one everywhere."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import msgspec
import pytest
from dev.postgres import install
from hypothesis import given, settings
from hypothesis import strategies as st

from schema_operator.api.request import RunRequest, ScriptFolder
from schema_operator.scripts.variables import render
from support.postgres import Database, Ended, Product, write

pytestmark = pytest.mark.postgres

WORKER_SCHEMA = "GRAPHILE_WORKER_SCHEMA"


def request(folder: Path, **variables: str) -> RunRequest:
    return RunRequest(run="r", actor="a", folders=(ScriptFolder(path=str(folder), label=""),), variables=variables)


def run(product: Product, folder: Path, **variables: str) -> Ended:
    return product.request(folder.parent, request(folder, **variables))


@pytest.mark.parametrize("schema", ["graphile_worker", "Jobs"])
def test_the_migrations_of_graphile_worker_run_unmodified(
    product: Product, database: Database, tmp_path: Path, schema: str
) -> None:
    migrations = sorted(install.graphile_worker().glob("*.sql"))
    assert len(migrations) == 19
    database.execute(f'CREATE SCHEMA "{schema}"')
    for path in migrations:
        # What its own runner does (dist/migrate.js, runMigration).
        database.execute(re.sub(rf":{WORKER_SCHEMA}\b", f'"{schema}"', path.read_text()))
    expected = database.dump("--exclude-schema=schema_operator")
    assert expected.count("CREATE FUNCTION") == 7
    database.execute(f'DROP SCHEMA "{schema}" CASCADE')
    scripts = {f"{path.stem}_worker.up.sql": path.read_text() for path in migrations}
    scripts["0.1.up.sql"] = f"CREATE SCHEMA :{WORKER_SCHEMA};"
    ended = run(product, write(tmp_path / "a", scripts), **{WORKER_SCHEMA: schema})
    assert (ended.code, ended.report.versions_count) == (0, 20), ended
    assert database.dump("--exclude-schema=schema_operator") == expected
    for path in migrations:
        stored = database.value(f"SELECT up_sql FROM schema_operator.version_scripts WHERE version = '{path.stem}'")
        assert stored.encode() == path.read_bytes()


def test_every_value_comes_back_as_it_was_given(database: Database) -> None:
    texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
    hard = st.text(st.sampled_from("'\"\\$\n\r%{}:ae;-/*é"))

    with database.connect() as connection:

        @settings(max_examples=300, deadline=None)
        @given(texts | hard, st.sampled_from(["on", "off"]))
        def comes_back(value: str, conforming: str) -> None:
            connection.execute(f"SET standard_conforming_strings = {conforming}".encode())
            sent = render("SELECT :'x', upper(:'x')", {"x": value})
            row = connection.execute(sent.sql.encode()).fetchone()
            assert row is not None
            assert row[0] == value

        comes_back()


def test_every_name_comes_back_as_it_was_given(database: Database) -> None:
    names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=15)

    with database.connect() as connection:

        @settings(max_examples=200, deadline=None)
        @given(names)
        def comes_back(name: str) -> None:
            cursor = connection.execute(render('SELECT 1 AS :"x"', {"x": name}).sql.encode())
            assert cursor.description is not None
            assert cursor.description[0].name == name

        comes_back()


SCRIPTS = {
    "1_shop.up.sql": (
        "CREATE SCHEMA :S;\n"
        "CREATE TABLE :S.product (id int DEFAULT :start, note text DEFAULT :'note', :\"odd\" text);\n"
        "CREATE FUNCTION :S.notes() RETURNS SETOF text LANGUAGE sql AS $$ SELECT note FROM :S.product -- :S\n$$;\n"
        "INSERT INTO :S.product DEFAULT VALUES; SELECT ':S', :S.notes() AS a, 1::int, ('{1,2}'::int[])[1:2];\n"
    ),
    "1_shop.verify.sql": "SELECT count(*) = 1 FROM :S.product WHERE id = :start AND note = :'note';",
    "1_shop.down.sql": "DROP SCHEMA :S CASCADE;",
}
VALUES = {"S": "Shop", "start": "-7", "note": "it's \\ $$ %s", "odd": 'a "b" ü'}


def test_scripts_checks_and_rollbacks_have_their_values_and_are_stored_as_written(
    product: Product, database: Database, tmp_path: Path
) -> None:
    folder = write(tmp_path / "a", SCRIPTS)
    ended = run(product, folder, **VALUES)
    assert ended.code == 0, ended
    assert database.rows('SELECT id, note, "a ""b"" ü" FROM "Shop".product') == [(-7, "it's \\ $$ %s", None)]
    source = database.value("SELECT prosrc FROM pg_proc WHERE proname = 'notes'")
    assert source == ' SELECT note FROM "Shop".product -- :S\n'
    (stored,) = database.rows("SELECT up_sql, down_sql, verify_sql FROM schema_operator.version_scripts")
    assert stored == (SCRIPTS["1_shop.up.sql"], SCRIPTS["1_shop.down.sql"], SCRIPTS["1_shop.verify.sql"])
    checksum = hashlib.sha256(SCRIPTS["1_shop.up.sql"].encode()).hexdigest()
    assert database.value("SELECT checksum FROM schema_operator.schema_versions") == checksum
    assert run(product, folder, **VALUES).report.action == "None"
    back = product.request(tmp_path, msgspec.structs.replace(request(folder, **VALUES), version="0"))
    assert back.code == 0, back
    assert database.value("SELECT to_regnamespace('\"Shop\"') IS NULL")


REFUSED = {
    "text as a name": (
        {"S": "canary; DROP TABLE t"},
        "version 1, file 1_shop.up.sql, statement 1 of 5, line 1, column 15: the variable S is written without quotes",
    ),
    "not declared": (
        {"S": "shop", "start": "1", "odd": "a"},
        "version 1, file 1_shop.up.sql, statement 2 of 5, line 2, column 67: :'note' is a variable of psql",
    ),
    "a name that is none": ({**VALUES, "a-b": "canary"}, "'a-b' is no name for a variable"),
    "a NUL": ({**VALUES, "b": "canary\0"}, "the value of the variable b holds a NUL"),
}


@pytest.mark.parametrize(("values", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused_before_anything_is_done(
    product: Product, database: Database, tmp_path: Path, values: dict[str, str], sentence: str
) -> None:
    ended = run(product, write(tmp_path / "a", SCRIPTS), **values)
    assert (ended.code, ended.report.reason) == (20, "PlaceholderError")
    assert ended.report.message is not None
    assert ended.report.message.startswith(sentence)
    assert "canary" not in ended.stdout + ended.stderr
    assert database.value("SELECT to_regnamespace('schema_operator') IS NULL")


def test_an_error_behind_a_value_is_where_the_script_has_it(
    product: Product, database: Database, tmp_path: Path
) -> None:
    folder = write(tmp_path / "a", {"1.up.sql": "SELECT 1;\n SELECT :'long', :'long',\n :'long', absent, :'long'"})
    ended = run(product, folder, long="x" * 1000)
    assert (ended.code, ended.report.reason) == (21, "ObjectNotFound")
    place = ended.report.place
    assert place is not None
    assert (place.line, place.column) == (3, 11)
    assert database.versions() == []


def test_variables_that_no_script_uses_are_named_and_do_no_harm(
    product: Product, database: Database, tmp_path: Path
) -> None:
    ended = run(product, write(tmp_path / "a", {"1.up.sql": "SELECT :a, ':b' -- :c"}), a="1", b="canary", c="canary")
    assert ended.code == 0
    assert "declared, but used by no script: b, c" in {line.message for line in ended.progress}
    assert "canary" not in ended.stdout
    assert database.versions() == ["1"]
