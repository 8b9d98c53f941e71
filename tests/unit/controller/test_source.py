"""Scripts seen without a database."""

import base64
from typing import Any

import pytest

from schema_operator.api.schema_migration import SchemaMigrationSpec
from schema_operator.controller.source import see

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
