"""Folders of other tools: told apart, read as they are, refused where something would be missing."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from schema_operator.api.request import InlineScript, ScriptFolder, TransactionMode
from schema_operator.errors import Location, Reason, Refused
from schema_operator.scripts.formats.numbers import leading
from schema_operator.scripts.reading import Entry, from_entries, from_folders, from_inline
from schema_operator.scripts.script import ScriptKind, ScriptSet, Source
from schema_operator.scripts.statements import statements_of

if TYPE_CHECKING:
    from pathlib import Path

GOOSE = "-- +goose Up\nSELECT 1;\n-- +goose Down\nSELECT 2;\n"
DBMATE = "-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT 2;\n"


def read(files: dict[str, str] | list[str]) -> ScriptSet:
    texts = files if isinstance(files, dict) else dict.fromkeys(files, "SELECT 1;")
    return from_entries([Entry("", name, text.encode()) for name, text in texts.items()])


def refused(files: dict[str, str] | list[str]) -> Refused:
    with pytest.raises(Refused) as caught:
        read(files)
    return caught.value


def told(scripts: ScriptSet) -> list[tuple[str, str, str]]:
    """Give version, name and the kinds there are."""
    return [(one.version.text, one.name, " ".join(kind for kind, _ in one.sources)) for one in scripts.scripts]


FOLDERS = {
    "ours": (
        ["1.10.0_b.up.sql", "1.9.0_a.up.sql", "1.9.0_a.down.sql", "1.9.0_a.verify.sql", "README.md", "seed.sql"],
        [("1.9.0", "a", "up down verify"), ("1.10.0", "b", "up")],
        ("README.md", "seed.sql"),
    ),
    "golang-migrate": (
        ["000012_make it (so)!.up.sql", "000012_x.down.sql", "2_a.up.sql", "20260101120000_b.up.sql", "3.go", "x.go"],
        [("2", "a", "up"), ("000012", "make it (so)!", "up down"), ("20260101120000", "b", "up")],
        ("3.go", "x.go"),
    ),
    "a project that begins with 0": (
        ["00_init.up.sql", "00_init.down.sql", "01_x.up.sql"],
        [("00.1", "init", "up down"), ("01", "x", "up")],
        (),
    ),
    "Diesel": (
        [
            "00000000000000_diesel_initial_setup/up.sql",
            "00000000000000_diesel_initial_setup/down.sql",
            "2024-01-15-120000_users/up.sql",
            "2024-01-15-120000_users/down.sql",
            "20240115120001_x/up.sql",
            "2024-01-15-120000-0000_y/up.sql",
            "notes/readme.sql",
            "helpers/metadata.toml",
        ],
        [
            ("00000000000000.1", "diesel_initial_setup", "up down"),
            ("20240115120000", "users", "up down"),
            ("20240115120000.0000.1", "y", "up"),
            ("20240115120001", "x", "up"),
        ],
        (),
    ),
    "sqlx, one way": (
        ["20240115120000_a.sql", "20231231000000_b.sql", "README"],
        [("20231231000000", "b", "up"), ("20240115120000", "a", "up")],
        ("README",),
    ),
    "sqlx, both ways": (
        ["20240115120000_a.up.sql", "20240115120000_a.down.sql"],
        [("20240115120000", "a", "up down")],
        (),
    ),
    "goose": (
        {"00010_b.sql": GOOSE, "00009_a.sql": "-- +goose up\nSELECT 1;\n", "helpers.go": "", "00009_test.go": ""},
        [("00009", "a", "up"), ("00010", "b", "up down")],
        ("00009_test.go", "helpers.go"),
    ),
    "dbmate": (
        {"20240115_b.sql": DBMATE, "1a.sql": "-- migrate:up\nSELECT 1;\n", "schema.sql": "CREATE TABLE a ();"},
        [("1", "a", "up"), ("20240115", "b", "up down")],
        ("schema.sql",),
    ),
    "Flyway": (
        ["V1_10__b c.sql", "V1.9__a.sql", "U1_9__undo.sql", "V2.sql", "V0001_02__x.sql", "V0__zero.sql", "seed.sql"],
        [
            ("0.1", "zero", "up"),
            ("0001.02", "x", "up"),
            ("1.9", "a", "up down"),
            ("1.10", "b c", "up"),
            ("2", "", "up"),
        ],
        ("seed.sql",),
    ),
    "Flyway in folders within": (
        ["old/V1__a.sql", "V2__b.sql", "old/up.sql"],
        [("1", "a", "up"), ("2", "b", "up")],
        (),
    ),
    "procrastinate": (
        ["00.00.00_01_initial.sql", "00.17.00_02_delete_finished_jobs.sql", "00.17.00_10_x.sql", "__init__.py"],
        [
            ("00.00.00.01", "initial", "up"),
            ("00.17.00.02", "delete_finished_jobs", "up"),
            ("00.17.00.10", "x", "up"),
        ],
        ("__init__.py",),
    ),
    "graphile-worker": (
        ["000001.sql", "000010.sql", "000009.sql"],
        [("000001", "", "up"), ("000009", "", "up"), ("000010", "", "up")],
        (),
    ),
    "plain, of all widths": (
        ["1-name.sql", "10_x.sql", "0009.sql", "123456789012345_y.sql", "2024-01-15-120000_z.SQL", "3.go"],
        [
            ("1", "name", "up"),
            ("0009", "", "up"),
            ("10", "x", "up"),
            ("20240115120000", "z", "up"),
            ("123456789012345", "y", "up"),
        ],
        ("3.go",),
    ),
    "plain, with endings": (
        ["1_a.sql", "1_a.down.sql", "2_b.sql", "2_b.rollback.sql", "3.sql", "3.undo.sql", "3.verify.sql"],
        [("1", "a", "up down"), ("2", "b", "up down"), ("3", "", "up down verify")],
        (),
    ),
    "plain, a down of another name": (
        ["1_create.sql", "1_drop.down.sql"],
        [("1", "create", "up down")],
        (),
    ),
    "plain, with words": (
        ["1_a.sql", "1_a_down.sql", "2-b-up.sql", "2-b-down.sql", "3_UP.sql", "3_DOWN.sql", "4_c_up.sql"],
        [("1", "a", "up down"), ("2", "b", "up down"), ("3", "", "up down"), ("4", "c", "up")],
        (),
    ),
    "plain, db-migrate's words": (
        ["20150113041938-add-x-up.sql", "20150113041938-remove-x-down.sql"],
        [("20150113041938", "add-x", "up down")],
        (),
    ),
    "plain, words that are names": (
        ["1_scale_down.sql", "2_lock_up.sql", "3_undo.sql"],
        [("1", "scale_down", "up"), ("2", "lock_up", "up"), ("3", "undo", "up")],
        (),
    ),
    "nothing that is a script": (["seed.sql", "x/up.txt", "v1/notes.sql"], [], ("seed.sql",)),
}


@pytest.mark.parametrize(("files", "expected", "ignored"), FOLDERS.values(), ids=FOLDERS)
def test_a_folder_is_told_by_what_is_in_it(
    files: dict[str, str] | list[str], expected: list[tuple[str, str, str]], ignored: tuple[str, ...]
) -> None:
    scripts = read(files)
    assert told(scripts) == expected
    assert scripts.ignored == ignored


@pytest.mark.parametrize(
    ("name", "version", "rest"),
    [
        ("000001.sql", "000001", ".sql"),
        ("1-name", "1", "-name"),
        ("001name", "001", "name"),
        ("1.2-3_4 x", "1.2.3", "_4 x"),
        ("1_2nd_try", "1", "_2nd_try"),
        ("1_2_try", "1.2", "_try"),
        ("00.17.00_02_name", "00.17.00.02", "_name"),
        ("2024-01-15_x", "20240115000000", "_x"),
        ("2024-01-15-120000_x", "20240115120000", "_x"),
        ("2024-01-15_120000_x", "20240115120000", "_x"),
        ("2025-08-01-000060_x", "20250801000060", "_x"),
        ("2024-01-15-1200_x", "20240115000000.1200", "_x"),
        ("2024-01-15-120000-0000_x", "20240115120000.0000.1", "_x"),
        ("2024-01-15-120000-0010_x", "20240115120000.0010", "_x"),
        ("20240115120000_x", "20240115120000", "_x"),
        ("2024-13-15_x", "2024.13.15", "_x"),
        ("0001-02-03_x", "0001.02.03", "_x"),
        ("0_x", "0.1", "_x"),
        ("0.0_x", "0.0.1", "_x"),
        ("1.0_x", "1.0", "_x"),
    ],
)
def test_leading_numbers_are_versions(name: str, version: str, rest: str) -> None:
    assert leading(name) == (version, rest)


REFUSED = {
    "a misspelt ending beside ours": (
        ["1_a.up.sql", "1.1.0_stock.verfy.sql"],
        "UnrecognizedScript",
        "1.1.0_stock.verfy",
    ),
    "no ending beside ours": (["1_a.up.sql", "1.1.0_stock.sql"], "UnrecognizedScript", "ends in none of .up.sql"),
    "a migration in Go beside ours": (
        ["1_a.up.sql", "2_b.up.go"],
        "UnrecognizedScript",
        "in another language than SQL",
    ),
    "a file of goose named as ours": (
        {"1_a.up.sql": GOOSE, "1_a.down.sql": "SELECT 1"},
        "UnrecognizedScript",
        "version 1, file 1_a.up.sql, line 3: here begins the way back",
    ),
    "a file of dbmate in a folder of Diesel": ({"1_a/up.sql": DBMATE}, "UnrecognizedScript", "1_a/up.sql, line 3"),
    "goose and plain": (
        {"1_a.sql": GOOSE, "2_b.sql": "SELECT 1"},
        "UnrecognizedScript",
        "file 2_b.sql: 1_a.sql is goose's and 2_b.sql is a plain numbered script; keep one format",
    ),
    "goose and dbmate": ({"1_a.sql": GOOSE, "2_b.sql": DBMATE}, "UnrecognizedScript", "2_b.sql is dbmate's"),
    "Diesel and ours": (
        ["1_a/up.sql", "2_b.up.sql"],
        "UnrecognizedScript",
        "1_a/up.sql is Diesel's FOLDER/up.sql and 2_b.up.sql is of the form VERSION_NAME.up.sql",
    ),
    "Diesel and plain": (["1_a/up.sql", "2_b.sql"], "UnrecognizedScript", "2_b.sql is a plain numbered script"),
    "Diesel and Flyway": (["1_a/up.sql", "V2__b.sql"], "UnrecognizedScript", "V2__b.sql is Flyway's"),
    "Flyway and ours": (["V1__a.sql", "2_b.up.sql"], "UnrecognizedScript", "V1__a.sql is Flyway's and 2_b.up.sql"),
    "Flyway and plain": (["V1__a.sql", "2_b.sql"], "UnrecognizedScript", "V1__a.sql is Flyway's and 2_b.sql"),
    "two plain files of one number": (
        ["1_a.sql", "01_b.sql"],
        "DuplicateVersion",
        "01 in 01_b.sql and 1 in 1_a.sql are the same version",
    ),
    "a name that ends in down beside another": (
        ["5_scale_down.sql", "5_x.sql"],
        "DuplicateVersion",
        "5_scale_down.sql and 5_x.sql are both the up script",
    ),
    "a name that ends in up beside another": (
        ["5_a.sql", "5_a_up.sql"],
        "DuplicateVersion",
        "5_a.sql and 5_a_up.sql are both the up script",
    ),
    "two that end in down": (["5_a_down.sql", "5_b_down.sql"], "DuplicateVersion", "are both the up script"),
    "a down alone where down leads back": (["1_a.sql", "1_a_down.sql", "2_b_down.sql"], "MissingUpScript", "2_b_down"),
    "a plain down alone": (["1_a.sql", "2_b.rollback.sql"], "MissingUpScript", "2_b.rollback.sql"),
    "a plain ending in capitals": (["1_a.sql", "1_a.DOWN.sql"], "UnrecognizedScript", "NUMBER_NAME.down.sql"),
    "a plain up in capitals": (["1_a.UP.sql"], "UnrecognizedScript", "NUMBER_NAME.up.sql"),
    "our ending with .SQL": (["1_a.up.SQL"], "UnrecognizedScript", "NUMBER_NAME.up.sql"),
    "a number that is too long": ([f"{'1' * 42}_a.sql"], "MalformedVersion", "at most 41"),
    "Diesel, a down alone": (["1_a/up.sql", "2_b/down.sql"], "MissingUpScript", "2_b/down.sql"),
    "Diesel, no number": (["1_a/up.sql", "b/up.sql"], "UnrecognizedScript", "does not begin with a number"),
    "Diesel, two of one version": (
        ["2024-01-15-120000_a/up.sql", "20240115120000_b/up.sql"],
        "DuplicateVersion",
        "2024-01-15-120000_a/up.sql and 20240115120000_b/up.sql are both the up script",
    ),
    "Diesel, metadata that is no TOML": (
        {"1_a/up.sql": "SELECT 1", "1_a/metadata.toml": "run = = 1"},
        "InvalidSpec",
        "1_a/metadata.toml: this is not TOML",
    ),
    "Diesel, metadata of another type": (
        {"1_a/up.sql": "SELECT 1", "1_a/metadata.toml": 'run_in_transaction = "no"'},
        "InvalidSpec",
        "only run_in_transaction = true or false",
    ),
    "Diesel, metadata that is unknown": (
        {"1_a/up.sql": "SELECT 1", "1_a/metadata.toml": "in_transaction = false"},
        "InvalidSpec",
        "only run_in_transaction = true or false",
    ),
    "goose, in Go": (
        {"1_a.sql": GOOSE, "00002_b.go": ""},
        "UnrecognizedScript",
        "00002_b.go: this is a migration of goose",
    ),
    "goose, ENVSUB": (
        {"1_a.sql": "-- +goose Up\n-- +goose ENVSUB ON\nSELECT 1;"},
        "PlaceholderError",
        "version 1, file 1_a.sql, line 2: goose would fill in environment variables",
    ),
    "goose, unknown": (
        {"1_a.sql": "-- +goose Up\n-- +goose StatmentBegin\nSELECT 1;"},
        "UnrecognizedScript",
        "line 2: goose knows no such annotation",
    ),
    "goose, no up section": ({"1_a.sql": "-- +goose StatementBegin\nSELECT 1;"}, "UnrecognizedScript", "up section"),
    "goose, down first": (
        {"1_a.sql": "-- +goose Down\nSELECT 1;\n-- +goose Up\n"},
        "UnrecognizedScript",
        "line 1: a down section cannot begin here",
    ),
    "goose, up twice": ({"1_a.sql": "-- +goose Up\n-- +goose Up\n"}, "UnrecognizedScript", "line 2: a up section"),
    "goose, up after down": ({"1_a.sql": f"{GOOSE}{GOOSE}"}, "UnrecognizedScript", "line 5: a up section"),
    "goose, statements before": (
        {"1_a.sql": "-- a\n\nSELECT 1;\n-- +goose Up\nSELECT 1;"},
        "UnrecognizedScript",
        "line 3: there are statements before the up section, which goose never runs",
    ),
    "dbmate, statements before": ({"1_a.sql": f"SELECT 1;\n{DBMATE}"}, "UnrecognizedScript", "which dbmate never runs"),
    "dbmate, an unknown option": (
        {"1_a.sql": "-- migrate:up transaction:no\nSELECT 1;"},
        "UnrecognizedScript",
        "only transaction:true and transaction:false",
    ),
    "dbmate, several": ({"1_a.sql": f"{DBMATE}{DBMATE}"}, "UnrecognizedScript", "line 5: a up section"),
    "dbmate, two of one number": ({"1_a.sql": DBMATE, "1_b.sql": DBMATE}, "DuplicateVersion", "1_a.sql and 1_b.sql"),
    "Flyway, repeatable": (
        ["V1__a.sql", "R__views.sql"],
        "UnrecognizedScript",
        "R__views.sql: Flyway runs this whenever",
    ),
    "Flyway, nothing but repeatable": (["R__views.sql"], "UnrecognizedScript", "whenever it has changed"),
    "Flyway, a baseline": (["V1__a.sql", "B2__b.sql"], "UnrecognizedScript", "in place of the versions up to its own"),
    "Flyway, a callback": (["V1__a.sql", "afterMigrate.sql"], "UnrecognizedScript", "around its migrations"),
    "Flyway, a callback with a name": (["V1__a.sql", "beforeEachMigrate__x.sql"], "UnrecognizedScript", "around"),
    "Flyway, in Java": (["V1__a.sql", "V2__b.java"], "UnrecognizedScript", "written as a program"),
    "Flyway, one underscore": (
        ["V1__a.sql", "V2_b.sql"],
        "UnrecognizedScript",
        "V2_b.sql: the name is like a script's",
    ),
    "Flyway, a small letter": (["V1__a.sql", "v2__b.sql"], "UnrecognizedScript", "Flyway would leave it out"),
    "Flyway, two of one version": (["V1__a.sql", "V1__b.sql"], "DuplicateVersion", "V1__a.sql and V1__b.sql"),
    "Flyway, one version in two ways": (["V1__a.sql", "V1_0__b.sql"], "DuplicateVersion", "the same version"),
    "Flyway, an undo alone": (["V1__a.sql", "U2__b.sql"], "MissingUpScript", "U2__b.sql"),
    "Flyway, a placeholder": (
        {"V1__a.sql": "SELECT 1;\n  SELECT '${canary}';"},
        "PlaceholderError",
        "version 1, file V1__a.sql, line 2, column 11: Flyway would fill in a placeholder",
    ),
    "Flyway, an unknown setting": (
        {"V1__a.sql": "SELECT 1;", "V1__a.sql.conf": "\n# x\nshouldExecute=false"},
        "InvalidSpec",
        "V1__a.sql.conf, line 3: only executeInTransaction and placeholderReplacement",
    ),
    "Flyway, a setting that is neither": (
        {"V1__a.sql": "SELECT 1;", "V1__a.sql.conf": "executeInTransaction=no"},
        "InvalidSpec",
        "each true or false",
    ),
}


@pytest.mark.parametrize(("files", "reason", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_read_for_sure_is_refused_with_names(
    files: dict[str, str] | list[str], reason: str, words: str
) -> None:
    error = refused(files)
    assert error.reason == reason
    assert words in str(error)
    assert "canary" not in str(error)


NEVER, AUTO = TransactionMode.NEVER, TransactionMode.AUTO
MODES = {
    "nothing said": ({"1_a.up.sql": "SELECT 1", "1_a.down.sql": "SELECT 1"}, [AUTO, AUTO]),
    "sqlx": ({"1_a.sql": "-- no-transaction\nSELECT 1"}, [NEVER]),
    "sqlx, both ways": ({"1_a.up.sql": "-- no-transaction\nSELECT 1", "1_a.down.sql": "SELECT 1"}, [NEVER, AUTO]),
    "sqlx, after a byte-order mark": ({"1_a.sql": "\ufeff-- no-transaction\nSELECT 1"}, [NEVER]),
    "sqlx, too late": ({"1_a.sql": "\n-- no-transaction\nSELECT 1"}, [AUTO]),
    "Diesel": (
        {
            "1_a/up.sql": "SELECT 1",
            "1_a/down.sql": "SELECT 1",
            "1_a/metadata.toml": "run_in_transaction = false",
            "2_b/up.sql": "SELECT 1",
        },
        [NEVER, NEVER, AUTO],
    ),
    "Diesel, true": ({"1_a/up.sql": "SELECT 1", "1_a/metadata.toml": "run_in_transaction = true"}, [AUTO]),
    "Diesel, empty": ({"1_a/up.sql": "SELECT 1", "1_a/metadata.toml": ""}, [AUTO]),
    "goose, for both ways": ({"1_a.sql": f"-- +goose NO TRANSACTION\n{GOOSE}"}, [NEVER, NEVER]),
    "goose, anywhere": ({"1_a.sql": f"{GOOSE}-- +goose no transaction\r\n"}, [NEVER, NEVER]),
    "dbmate, up": ({"1_a.sql": "-- migrate:up transaction:false\nSELECT 1;\n-- migrate:down\n"}, [NEVER, AUTO]),
    "dbmate, down": (
        {"1_a.sql": "-- migrate:up transaction:true\r\nSELECT 1;\r\n-- migrate:down transaction:false\r\n"},
        [AUTO, NEVER],
    ),
    "Flyway": (
        {"V1__a.sql": "SELECT 1", "V1__a.sql.conf": "executeInTransaction=false\r\n", "V2__b.sql": "SELECT 1"},
        [NEVER, AUTO],
    ),
    "Flyway, true": ({"V1__a.sql": "SELECT 1", "V1__a.sql.conf": "executeInTransaction = TRUE"}, [AUTO]),
    "Flyway, in a folder within": (
        {"a/V1__a.sql": "SELECT 1", "a/V1__a.sql.conf": "executeInTransaction=false"},
        [NEVER],
    ),
    "ours": ({"1_a.up.sql": "-- schema-operator: transaction=never\nSELECT 1"}, [NEVER]),
    "ours, before another's": (
        {"1_a.sql": "-- no-transaction\n-- schema-operator: transaction=required\nSELECT 1"},
        [TransactionMode.REQUIRED],
    ),
}


@pytest.mark.parametrize(("files", "modes"), MODES.values(), ids=MODES)
def test_what_a_format_says_of_transactions_is_kept(files: dict[str, str], modes: list[TransactionMode]) -> None:
    assert [source.transaction for script in read(files).scripts for _, source in script.sources] == modes


def test_the_digest_moves_with_what_a_companion_file_says() -> None:
    script = {"V1__a.sql": "SELECT 1"}
    settings = {"V1__a.sql.conf": "executeInTransaction=false"}
    assert read(script).digest != read({**script, **settings}).digest
    assert read({**script, **settings}).ignored == ()


def test_flyways_placeholders_are_left_alone_where_its_companion_says_so() -> None:
    text = "DO $x$ BEGIN PERFORM '${a}'; END $x$;"
    [script] = read({"V1__a.sql": text, "V1__a.sql.conf": "placeholderReplacement=false"}).scripts
    assert script.up.text == text


def test_the_transaction_of_an_inline_script_is_kept_unless_its_header_says_otherwise() -> None:
    [script] = from_inline(
        [
            InlineScript(
                version="1",
                up="SELECT 1",
                down="-- schema-operator: transaction=auto\nSELECT 2",
                verify="SELECT true",
                transaction=TransactionMode.NEVER,
            )
        ]
    ).scripts
    assert [source.transaction for _, source in script.sources] == [NEVER, AUTO, AUTO]


SECTIONS = {
    "goose": (
        "-- what for\n\n-- +goose Up\nCREATE TABLE a ();\n-- +goose Down\nDROP TABLE a;\n",
        [(3, "-- +goose Up\nCREATE TABLE a ();\n"), (5, "-- +goose Down\nDROP TABLE a;\n")],
    ),
    "goose, down empty": (
        "-- +goose Up\nSELECT 1;\n-- +goose Down",
        [(1, "-- +goose Up\nSELECT 1;\n"), (3, "-- +goose Down")],
    ),
    "goose, CRLF after a byte-order mark": (
        "\ufeff--\r\n-- +goose Up\r\nSELECT '\r\n%s {} $x :y \\';\r\n-- +goose Down\r\n",
        [(2, "-- +goose Up\r\nSELECT '\r\n%s {} $x :y \\';\r\n"), (5, "-- +goose Down\r\n")],
    ),
    "goose, statements marked": (
        "-- +goose Up\n-- +goose StatementBegin\nSELECT 1; SELECT 2;\n-- +goose StatementEnd\n",
        [(1, "-- +goose Up\n-- +goose StatementBegin\nSELECT 1; SELECT 2;\n-- +goose StatementEnd\n")],
    ),
    "dbmate": (
        "\n--migrate:up transaction:false\nSELECT 1;\n-- migrate:down\nSELECT 2;",
        [(2, "--migrate:up transaction:false\nSELECT 1;\n"), (4, "-- migrate:down\nSELECT 2;")],
    ),
    "dbmate, a comment that is no mark": (
        "-- migrate:up\nSELECT 1; -- migrate:down\n-- migrate:downwards\n",
        [(1, "-- migrate:up\nSELECT 1; -- migrate:down\n-- migrate:downwards\n")],
    ),
}


@pytest.mark.parametrize(("text", "sections"), SECTIONS.values(), ids=SECTIONS)
def test_a_section_is_a_script_that_knows_its_line(text: str, sections: list[tuple[int, str]]) -> None:
    [script] = read({"1_a.sql": text}).scripts
    sources = [source for _, source in script.sources]
    assert [(source.line, source.text) for source in sources] == sections
    for source in sources:
        assert source.checksum == hashlib.sha256(source.text.encode()).hexdigest()


def test_editing_the_way_back_does_not_change_the_way_there() -> None:
    before, after = (read({"1_a.sql": text}).scripts[0] for text in (GOOSE, f"{GOOSE}SELECT 3;"))
    assert before.down is not None
    assert after.down is not None
    assert before.up == after.up
    assert before.down.checksum != after.down.checksum


def test_the_checksum_of_a_whole_file_is_that_of_its_bytes() -> None:
    content = "\ufeff-- schema-operator: description=x\r\nSELECT 1;\r\n"
    [script] = read({"1_a.sql": content}).scripts
    assert script.up.checksum == hashlib.sha256(content.encode()).hexdigest()


def test_statements_of_a_section_stand_where_they_stand_in_the_file() -> None:
    source = Source("1_a.sql", "-- +goose Down\nSELECT 1;\n  SELECT\n x;", "", 11)
    first, second = statements_of(source)
    assert [(one.line, one.column) for one in (first, second)] == [(12, 1), (13, 3)]
    assert second.line_column(9) == (14, 2)
    with pytest.raises(Refused) as caught:
        statements_of(Source("1_a.sql", "\nSELECT (", "", 11))
    assert caught.value.location == Location(line=12, column=8)


def test_a_script_without_a_way_back_is_named() -> None:
    assert read(["2_b.up.sql", "1_a.up.sql", "1_a.down.sql", "10_c.up.sql"]).without_down == (
        "2_b.up.sql",
        "10_c.up.sql",
    )
    assert read({"1_a.sql": GOOSE}).without_down == ()


def write(folder: Path, files: dict[str, str]) -> ScriptFolder:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return ScriptFolder(path=str(folder), label="")


def test_a_folder_for_each_version_is_read_from_disk(tmp_path: Path) -> None:
    files = {
        "2024-01-15-120000_a/up.sql": "SELECT 1",
        "2024-01-15-120000_a/down.sql": "SELECT 2",
        "2024-01-15-120000_a/metadata.toml": "run_in_transaction = false",
        "2024-01-15-120000_a/notes.txt": "",
        ".git/up.sql": "",
        "docs/x.md": "",
        "README.md": "",
    }
    scripts = from_folders([write(tmp_path, files)])
    assert [(source.file, source.transaction) for one in scripts.scripts for _, source in one.sources] == [
        ("2024-01-15-120000_a/up.sql", NEVER),
        ("2024-01-15-120000_a/down.sql", NEVER),
    ]
    assert scripts.ignored == ("README.md",)


def test_flyways_scripts_are_read_from_folders_at_any_depth(tmp_path: Path) -> None:
    files = {
        "V1__a.sql": "SELECT 1",
        "core/V2__b.sql": "SELECT 1",
        "core/2024/q1/V3__c.sql": "SELECT 1",
        "core/2024/q1/V3__c.sql.conf": "executeInTransaction=false",
        "core/2024/up.sql": "SELECT 1",
        "1_x/y/up.sql": "SELECT 1",
    }
    folder = write(tmp_path, files)
    (tmp_path / "core/2024/round").symlink_to(tmp_path / "core")
    scripts = from_folders([folder])
    assert [(one.up.file, one.up.transaction) for one in scripts.scripts] == [
        ("V1__a.sql", AUTO),
        ("core/V2__b.sql", AUTO),
        ("core/2024/q1/V3__c.sql", NEVER),
    ]


def test_folders_within_do_not_matter_to_formats_that_have_none(tmp_path: Path) -> None:
    files = {
        "1_a.up.sql": "SELECT 1",
        "old/V1__a.sql": "SELECT 1",
        "old/up.sql": "",
        "sub/2_b.up.sql": "",
        "sub/x.sql": "",
    }
    scripts = from_folders([write(tmp_path, files)])
    assert (told(scripts), scripts.ignored) == ([("1", "a", "up")], ("sub/2_b.up.sql",))


def test_a_folder_within_that_cannot_be_read_matters_only_where_it_may_be_a_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path, {"1_a/up.sql": "SELECT 1", "lost+found/x": ""})
    import os  # noqa: PLC0415 (the function that is replaced)

    real = os.scandir

    def scandir(path: str) -> object:
        if ("1_a" in closed and path.endswith("1_a")) or path.endswith("lost+found"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    closed: set[str] = set()
    assert told(from_folders([folder])) == [("1", "a", "up")]
    closed.add("1_a")
    with pytest.raises(Refused, match="the folder of scripts 1_a cannot be read"):
        from_folders([folder])


def test_a_link_in_circles_is_refused_where_it_would_be_a_script(tmp_path: Path) -> None:
    (tmp_path / "1_a.up.sql").symlink_to("1_a.up.sql")
    with pytest.raises(Refused) as caught:
        from_folders([ScriptFolder(path=str(tmp_path), label="")])
    assert caught.value.location.file == "1_a.up.sql"


class Counting:
    """A file that counts how often it is read."""

    def __init__(self, name: str, text: str) -> None:
        self.label, self.name, self.file, self.text, self.count = "", name, name, text, 0

    def read(self) -> bytes:
        self.count += 1
        return self.text.encode()


@pytest.mark.parametrize(
    ("files", "counts"),
    [
        ({"1_a.up.sql": "SELECT 1", "seed.sql": ""}, [1, 0]),
        ({"1_a.sql": GOOSE, "2_b.sql": GOOSE, "README": ""}, [1, 1, 0]),
        ({"1_a.sql": "SELECT 1", "1_a.down.sql": "SELECT 1"}, [1, 1]),
        ({"1_a/up.sql": "SELECT 1", "1_a/metadata.toml": ""}, [1, 1]),
        ({"V1__a.sql": "SELECT 1", "V1__a.sql.conf": "", "V2__b.sql.conf": ""}, [1, 1, 0]),
    ],
)
def test_a_script_is_read_once_and_other_files_are_not(files: dict[str, str], counts: list[int]) -> None:
    from schema_operator.scripts.formats.telling import inventory  # noqa: PLC0415 (used here alone)

    counting = [Counting(name, text) for name, text in files.items()]
    inventory(counting)
    assert [one.count for one in counting] == counts


def test_kinds_are_those_of_scripts() -> None:
    [script] = read({"1_a.sql": DBMATE}).scripts
    assert [kind for kind, _ in script.sources] == [ScriptKind.UP, ScriptKind.DOWN]
    assert refused(["1_a.up.sql", "2_x.sql"]).reason is Reason.UNRECOGNIZED_SCRIPT
