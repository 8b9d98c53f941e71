"""Scripts seen without a database."""

import base64
from typing import Any

import pytest

from schema_operator.api.schema_migration import SchemaMigrationSpec
from schema_operator.api.target_database import TargetDatabaseStatus
from schema_operator.api.version import Version
from schema_operator.controller.source import Standing, see, standing_of

UP = {"1.0.0_a.up.sql": "CREATE TABLE a ();", "1.0.0_a.down.sql": "DROP TABLE a;"}


def maps(**items: dict[str, Any] | None) -> dict[str, dict[str, Any] | None]:
    return dict(items)


def only(ending: str) -> dict[str, str]:
    return {name: text for name, text in UP.items() if name.endswith(ending)}


def spec(scripts: dict[str, Any], **others: Any) -> SchemaMigrationSpec:
    return SchemaMigrationSpec.model_validate({"database": {"name": "shop"}, "scripts": scripts, **others})


def of(*names: str) -> SchemaMigrationSpec:
    return spec({"configMaps": [{"name": name} for name in names]})


def inline(*scripts: dict[str, str], **others: Any) -> SchemaMigrationSpec:
    return spec({"inline": list(scripts)}, **others)


SEEN = [
    ("good", of("a"), maps(a={"data": UP}), None),
    (
        "good, as binary data",
        of("a"),
        maps(a={"binaryData": {"1_a.up.sql": base64.b64encode(b"SELECT 1").decode()}}),
        None,
    ),
    ("no such ConfigMap", of("a", "b"), maps(a={"data": UP}, b=None), "ConfigMapNotFound"),
    ("nothing in it", of("a"), maps(a={}), "EmptySource"),
    ("nothing in it that is a script", of("a"), maps(a={"data": {"README.md": "hello"}}), "EmptySource"),
    (
        "not UTF-8",
        of("a"),
        maps(a={"binaryData": {"1_a.up.sql": base64.b64encode(b"SELECT '\xff'").decode()}}),
        "InvalidEncoding",
    ),
    ("malformed version", of("a"), maps(a={"data": {"one_a.up.sql": "SELECT 1"}}), "MalformedVersion"),
    (
        "one version in two ConfigMaps",
        of("a", "b"),
        maps(a={"data": UP}, b={"data": {"1.0.0_b.up.sql": "SELECT 1"}}),
        "DuplicateVersion",
    ),
    ("a down without its up", of("a"), maps(a={"data": {"1_a.down.sql": "SELECT 1"}}), "MissingUpScript"),
    ("inline, good", inline({"version": "1", "up": "SELECT 1"}), {}, None),
    ("inline, only a comment", inline({"version": "1", "up": "-- nothing"}), {}, "EmptyMigration"),
    ("inline, only a comment, allowed", inline({"version": "1", "up": "-- nothing"}, allow=["EmptyScript"]), {}, None),
    (
        "inline, only a comment, another thing allowed",
        inline({"version": "1", "up": ";"}, allow=["CopyData"]),
        {},
        "EmptyMigration",
    ),
    (
        "inline, an empty check, where an empty script is allowed",
        inline({"version": "1", "up": ";", "verify": "-- nothing"}, allow=["EmptyScript"]),
        {},
        "EmptyMigration",
    ),
    (
        "inline, equal versions",
        inline({"version": "1", "up": "SELECT 1"}, {"version": "1.0", "up": "SELECT 1"}),
        {},
        "DuplicateVersion",
    ),
    ("inline, its own COMMIT", inline({"version": "1", "up": "SELECT 1; COMMIT;"}), {}, "TransactionControl"),
    ("inline, an open quote", inline({"version": "1", "up": "SELECT 'a"}), {}, "SyntaxError"),
]


@pytest.mark.parametrize(
    ("source", "config_maps", "reason"), [line[1:] for line in SEEN], ids=[line[0] for line in SEEN]
)
def test_what_is_seen_without_a_database(
    source: SchemaMigrationSpec, config_maps: dict[str, dict[str, Any] | None], reason: str | None
) -> None:
    seen = see(source, config_maps)
    assert (seen.problem.reason if seen.problem else None) == reason
    assert reason is not None or seen.digest is not None


def test_the_digest_moves_with_the_text_and_not_with_the_container() -> None:
    one = see(of("a"), maps(a={"data": UP})).digest
    split = see(of("a", "b"), maps(a={"data": only(".up.sql")}, b={"data": only(".down.sql")})).digest
    assert one == split
    other = see(of("a"), maps(a={"data": UP | {"1.0.0_a.up.sql": "CREATE TABLE b ();"}})).digest
    assert one != other


WRONG = "CREATE TABLE t (id int);\n  CREATE TABEL u (id int);"
TYPO = {"version": "1.2", "up": WRONG}
NOTHING_APPLIED = Version.parse("0")
LONG = {"version": "1", "up": f"CREATE TABLE {'x' * 64} ()"}
POSTFIX = {"version": "1", "up": "SELECT 5 !"}
FOUND_EARLY = [
    ("as it will run", inline(TYPO), Standing(18, Version.parse("0")), "SyntaxError"),
    ("above what is applied", inline({"version": "1", "up": "SELECT 1"}, TYPO), "1.1", "SyntaxError"),
    ("applied, so it cannot be changed any more", inline(TYPO), "1.2", None),
    ("below what another has applied, so perhaps applied", inline(TYPO), "2", None),
    ("above the version that is wanted", inline({"version": "1", "up": "SELECT 1"}, TYPO, version="1"), "0", None),
    ("up to the version that is wanted", inline(TYPO, version="1.2"), "0", "SyntaxError"),
    ("in the baseline, which is not run", inline(TYPO, baseline="1.2"), "0", None),
    ("above the baseline", inline(TYPO, baseline="1.1"), "0", "SyntaxError"),
    ("all is rolled back", inline(TYPO, version="0"), "1", None),
    (
        "in a down script, which may never be wanted",
        inline({**LONG, "up": "SELECT 1", "down": WRONG}),
        "0",
        None,
    ),
    (
        "a name that would be cut off",
        inline(LONG),
        "0",
        "IdentifierTruncated",
    ),
    ("the same, allowed", inline(LONG, allow=["LongName"]), "0", None),
    ("a database that was not seen", inline(TYPO), None, None),
    ("a server that may know more", inline(TYPO), Standing(19, NOTHING_APPLIED), None),
    (
        "an operator that only 13 has there",
        inline(POSTFIX),
        Standing(13, Version.parse("0")),
        None,
    ),
    ("the same on 14", inline(POSTFIX), Standing(14, NOTHING_APPLIED), "SyntaxError"),
]


@pytest.mark.parametrize(("name", "spec", "standing", "reason"), FOUND_EARLY, ids=[row[0] for row in FOUND_EARLY])
def test_pending_scripts_are_held_against_the_grammar_of_a_server_that_is_known(
    name: str, spec: SchemaMigrationSpec, standing: Standing | str | None, reason: str | None
) -> None:
    del name
    known = Standing(18, Version.parse(standing)) if isinstance(standing, str) else standing
    seen = see(spec, {}, known)
    assert (seen.problem.reason if seen.problem else None) == reason


def test_a_syntax_error_is_told_with_its_place() -> None:
    problem = see(inline(TYPO), {}, Standing(18, Version.parse("0"))).problem
    assert problem is not None
    assert (problem.location.version, problem.location.statement, problem.location.line, problem.location.column) == (
        *("1.2", 2),
        *(2, 10),
    )
    assert "TABEL" in problem.sentence


@pytest.mark.parametrize(
    ("server", "version", "standing"),
    [
        ("18.4 (Debian 18.4-1)", "1.2", Standing(18, Version.parse("1.2"))),
        ("13.22", "0", Standing(13, Version.parse("0"))),
        ("19beta1", "0", Standing(19, Version.parse("0"))),
        (None, "0", None),
        ("18.4", None, None),
        ("unknown", "0", None),
    ],
)
def test_how_a_database_stands(server: str | None, version: str | None, standing: Standing | None) -> None:
    assert standing_of(TargetDatabaseStatus(server_version=server, version=version)) == standing
