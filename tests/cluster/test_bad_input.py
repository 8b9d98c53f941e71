"""What users get wrong: each its own reason, a sentence that helps, and a database as it was before."""

from __future__ import annotations

from typing import Any

import pytest

from support.operator import CANARY, Shop, conditions, database, kubectl_json, message, migration

GOOD = {"version": "1", "name": "good", "up": "CREATE TABLE good ();", "down": "DROP TABLE good;"}
SOON_SECONDS = 30.0
"""Within which a pod that cannot start is named."""
PARTS = {
    "host": "postgres.postgres.svc",
    "database": "postgres",
    "userSecret": {"name": "parts", "key": "user"},
    "passwordSecret": {"name": "parts", "key": "password"},
}

# Scripts that are refused or fail: reason, and what the sentence must say.
SCRIPTS: list[tuple[str, dict[str, str], str, tuple[str, ...]]] = [
    ("only a comment", {"version": "1", "up": "-- nothing\n"}, "EmptyMigration", ("version 1", "inline[0].up")),
    (
        "syntax error in statement 2 of 3",
        {"version": "1", "up": "CREATE TABLE a ();\nCREATE TABEL b ();\nSELECT 1;"},
        "SyntaxError",
        ("version 1", "inline[0].up", "statement 2 of 3", "line 2", "column 8"),
    ),
    ("open quote", {"version": "1", "up": "SELECT 1;\nSELECT 'a;\n"}, "SyntaxError", ("line 2", "column 8")),
    ("its own COMMIT", {"version": "1", "up": "SELECT 1;\nCOMMIT;"}, "TransactionControl", ("line 2",)),
    ("equal by precedence", {"version": "1.0", "up": "SELECT 1"}, "DuplicateVersion", ("inline[0]", "inline[1]")),
    ("version 0", {"version": "0.0", "up": "SELECT 1"}, "MalformedVersion", ("0",)),
]


@pytest.mark.parametrize(
    ("script", "reason", "said"), [line[1:] for line in SCRIPTS], ids=[line[0] for line in SCRIPTS]
)
def test_a_bad_script_is_refused(shop: Shop, script: dict[str, str], reason: str, said: tuple[str, ...]) -> None:
    scripts = [GOOD, script] if reason == "DuplicateVersion" else [script]
    shop.migrate(*scripts)
    status = shop.settled()
    assert conditions(status)["Stalled"] == f"True {reason}"
    assert conditions(status)["Ready"] == f"False {reason}"
    for part in said:
        assert part in message(status)
    assert not shop.has_history()
    assert shop.columns("a") == shop.columns("good") == set()


def rekey(shop: Shop) -> None:
    shop.kubectl("delete", "secret", "shop")
    shop.secret(url=shop.uri())


def uri_of(shop: Shop, **parts: str) -> None:
    shop.secret(uri=shop.uri(**parts))


# What is wrong with the way to the database: how it is made wrong, reason, what the sentence must say.
CONNECTIONS: list[tuple[str, Any, str, tuple[str, ...]]] = [
    ("no Secret", lambda shop: shop.kubectl("delete", "secret", "shop"), "SecretNotFound", ("shop",)),
    ("no such key", rekey, "SecretKeyNotFound", ("shop", "uri")),
    ("wrong password", lambda shop: uri_of(shop, password=f"wrong-{CANARY}"), "AuthFailed", ("owner",)),
    ("no such database", lambda shop: uri_of(shop, database="nowhere"), "DatabaseNotFound", ("nowhere",)),
    (
        "a server without TLS",
        lambda shop: shop.secret(uri=f"{shop.uri()}?sslmode=require"),
        "TlsFailed",
        ("TLS",),
    ),
    (
        "malformed URI",
        lambda shop: shop.secret(uri=f"postgresql://a:{CANARY}@h/d?nonsense=1"),
        "InvalidConnection",
        ("nonsense",),
    ),
]


@pytest.mark.parametrize(
    ("break_it", "reason", "said"), [line[1:] for line in CONNECTIONS], ids=[line[0] for line in CONNECTIONS]
)
def test_a_bad_connection_is_refused_and_the_password_never_shown(
    shop: Shop, break_it: Any, reason: str, said: tuple[str, ...]
) -> None:
    break_it(shop)
    shop.migrate(GOOD)
    status = shop.settled()
    assert conditions(status)["Stalled"] == f"True {reason}"
    for part in said:
        assert part in message(status)
    target = kubectl_json(shop.cluster, "-n", shop.namespace, "get", "tdb", "shop")
    assert conditions(target["status"])["Reachable"] == f"False {reason}"
    shop.has_no(CANARY)


@pytest.mark.fault(41)
def test_a_secret_that_is_mended_is_used_without_any_change_of_the_resource(shop: Shop) -> None:
    uri_of(shop, password="wrong")
    shop.migrate(GOOD)
    assert conditions(shop.settled())["Stalled"] == "True AuthFailed"
    shop.secret(uri=shop.uri())
    status = shop.until(lambda found: conditions(found["status"]).get("Ready") == "True Applied")
    assert status["version"] == "1"


@pytest.mark.fault(42)
def test_an_unreachable_host_is_tried_again_and_named(shop: Shop) -> None:
    shop.apply(database(policy={"retries": {"limit": 1, "backoff": "1s", "maxBackoff": "1s"}}))
    uri_of(shop, host="postgres.postgres.svc:5433")
    shop.migrate(GOOD)
    waiting = shop.until(lambda found: found["status"].get("runs"))
    assert conditions(waiting)["Ready"].startswith("False")
    status = shop.until(lambda found: conditions(found["status"]).get("Stalled") == "True RetriesExhausted")
    assert "Unreachable" in message(status)
    assert "5433" in message(status)
    assert [run["failures"] for run in status["runs"]][-2:] == [2, 1]
    uri_of(shop)
    shop.until(lambda found: conditions(found["status"]).get("Ready") == "True Applied")


def test_an_unknown_target_is_named(shop: Shop) -> None:
    shop.apply(migration(database={"name": "nowhere"}, scripts={"inline": [GOOD]}))
    status = shop.settled()
    assert conditions(status)["Stalled"] == "True TargetNotFound"
    assert "nowhere" in message(status)


def test_an_edited_script_of_an_applied_version_is_refused(shop: Shop) -> None:
    shop.migrate(GOOD)
    shop.settled()
    shop.migrate(GOOD | {"up": "CREATE TABLE good ();\nCREATE TABLE evil ();"}, {"version": "2", "up": "SELECT 1"})
    status = shop.settled()
    assert conditions(status)["Stalled"] == "True ChecksumMismatch"
    for part in ("version 1", "inline[0].up", "line 2"):
        assert part in message(status)
    assert shop.versions() == ["1"]
    assert shop.columns("evil") == set()


def test_a_script_that_is_not_utf8_is_refused(shop: Shop) -> None:
    shop.config_map("scripts", {}, {"1_a.up.sql": b"CREATE TABLE a ();\n-- \xff\n"})
    shop.migrate(scripts={"configMaps": [{"name": "scripts"}]})
    status = shop.settled()
    assert conditions(status)["Stalled"] == "True InvalidEncoding"
    for part in ("scripts/1_a.up.sql", "line 2"):
        assert part in message(status)
    assert not shop.has_history()


def test_an_empty_source_never_means_to_roll_everything_back(shop: Shop) -> None:
    shop.config_map("scripts", {"1_a.up.sql": "CREATE TABLE a ();", "1_a.down.sql": "DROP TABLE a;"})
    shop.migrate(scripts={"configMaps": [{"name": "scripts"}]})
    shop.settled()
    shop.config_map("empty", {"README": "nothing here"})
    shop.migrate(scripts={"configMaps": [{"name": "empty"}]}, version="0")
    status = shop.settled()
    assert conditions(status)["Stalled"] == "True EmptySource"
    assert shop.versions() == ["1"]


def test_a_config_map_that_does_not_exist_is_named_and_used_when_it_appears(shop: Shop) -> None:
    shop.migrate(scripts={"configMaps": [{"name": "later"}]})
    status = shop.settled()
    assert conditions(status)["Stalled"] == "True ConfigMapNotFound"
    assert "later" in message(status)
    shop.config_map("later", {"1_a.up.sql": "CREATE TABLE a ();"})
    shop.until(lambda found: conditions(found["status"]).get("Ready") == "True Applied")


def test_a_runner_image_that_does_not_exist_is_named_and_can_be_corrected(shop: Shop) -> None:
    shop.apply(database(runner={"image": "localhost/there-is-no-such:image"}))
    shop.migrate(GOOD)
    status = shop.until(
        lambda found: conditions(found["status"]).get("Ready") == "False ImageNotPulled", patience=SOON_SECONDS
    )
    assert "there-is-no-such" in message(status)
    shop.apply(database())
    assert conditions(shop.settled())["Ready"] == "True Applied"


def test_a_pod_that_no_node_takes_is_named_and_can_be_corrected(shop: Shop) -> None:
    shop.apply(database(runner={"nodeSelector": {"disk": "there-is-none"}}))
    shop.migrate(GOOD)
    status = shop.until(
        lambda found: conditions(found["status"]).get("Ready") == "False Unschedulable", patience=SOON_SECONDS
    )
    assert "not scheduled" in message(status)
    shop.apply(database())
    assert conditions(shop.settled())["Ready"] == "True Applied"


@pytest.mark.fault(42)
def test_a_host_that_has_no_address_is_named(shop: Shop) -> None:
    shop.apply(database(policy={"retries": {"limit": 0}}))
    uri_of(shop, host="nowhere.postgres.svc:5432")
    shop.migrate(GOOD)
    status = shop.settled()
    assert conditions(status)["Stalled"] == "True RetriesExhausted"
    assert status["runs"][0]["reason"] == "Unreachable"
    assert "nowhere.postgres.svc" in message(status)
    shop.has_no(CANARY)


INLINE = {"inline": [GOOD]}
IMAGE = {"reference": "a", "path": "/a"}
VARIABLE = {"name": "a", "value": "1"}

# What the API server refuses at once: the spec, and what it says.
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("no source", {"scripts": {}}, "exactly one of inline, configMaps and image"),
    ("two sources", {"scripts": {**INLINE, "image": IMAGE}}, "exactly one of inline, configMaps and image"),
    ("a path that does not begin at the root", {"scripts": {"image": IMAGE | {"path": "a"}}}, "should match"),
    ("no path", {"scripts": {"image": {"reference": "a"}}}, "path: Required value"),
    ("no scripts at all", {}, "spec.scripts"),
    ("no inline script", {"scripts": {"inline": []}}, "should have at least 1 items"),
    ("malformed version", {"scripts": {"inline": [GOOD | {"version": "one"}]}}, "should match"),
    ("malformed wanted version", {"scripts": INLINE, "version": "v1"}, "should match"),
    ("version of 42 characters", {"scripts": INLINE, "version": "1" * 42}, "may not be more than 41"),
    ("version that looks like a rollback", {"scripts": INLINE, "version": "1-rollback"}, "may not end in -rollback"),
    ("one version twice", {"scripts": {"inline": [GOOD, GOOD]}}, "Duplicate value"),
    ("empty up", {"scripts": {"inline": [{"version": "1", "up": ""}]}}, "should be at least 1 chars long"),
    ("unknown transaction", {"scripts": {"inline": [GOOD | {"transaction": "never"}]}}, "supported values"),
    ("one variable twice", {"scripts": INLINE, "variables": [VARIABLE, VARIABLE]}, "Duplicate value"),
    ("no name of a variable", {"scripts": INLINE, "variables": [VARIABLE | {"name": "1a"}]}, "should match"),
    ("variable without a value", {"scripts": INLINE, "variables": [{"name": "a"}]}, "value: Required value"),
    ("nothing required", {"scripts": INLINE, "requires": {}}, "at least one of versions, extensions and migrations"),
    ("one required version twice", {"scripts": INLINE, "requires": {"versions": ["1", "1"]}}, "Duplicate value"),
    ("required version 0", {"scripts": INLINE, "requires": {"versions": ["0"]}}, "version 0 means that nothing"),
    ("malformed baseline", {"scripts": INLINE, "baseline": "v1"}, "should match"),
    ("baseline 0", {"scripts": INLINE, "baseline": "0.0"}, "version 0 means that nothing is applied"),
    ("unknown acknowledgement", {"scripts": INLINE, "allow": ["Everything"]}, "supported values"),
    ("unknown field", {"scripts": INLINE, "wersion": "1"}, 'unknown field "spec.wersion"'),
]


@pytest.mark.parametrize(("spec", "said"), [line[1:] for line in REFUSED], ids=[line[0] for line in REFUSED])
def test_the_api_server_refuses_at_once(shop: Shop, spec: dict[str, Any], said: str) -> None:
    assert said in shop.refusal(migration(**spec))


TARGETS: list[tuple[str, dict[str, Any], str]] = [
    ("neither URI nor parts", {}, "exactly one of uriSecret and the parts"),
    ("URI and parts", {"uriSecret": {"name": "a", "key": "b"}, "host": "h"}, "exactly one of uriSecret and the parts"),
    ("half the parts", {"host": "h", "database": "d"}, "host, database and userSecret are needed"),
    (
        "half a client certificate",
        {**PARTS, "tls": {"certSecret": {"name": "a", "key": "b"}}},
        "tls.certSecret and tls.keySecret belong together",
    ),
    ("another namespace", {"uriSecret": {"name": "a", "key": "b", "namespace": "c"}}, "unknown field"),
    ("a port that is none", {**PARTS, "port": 70_000}, "less than or equal to 65535"),
]


@pytest.mark.parametrize(("connection", "said"), [line[1:] for line in TARGETS], ids=[line[0] for line in TARGETS])
def test_the_api_server_refuses_a_bad_target(shop: Shop, connection: dict[str, Any], said: str) -> None:
    manifest = database()
    manifest["spec"]["connection"] = connection
    assert said in shop.refusal(manifest)


POLICIES: list[tuple[str, dict[str, Any], str]] = [
    ("no stall at all", {"locks": {"maxStall": "0s"}}, "should match"),
    ("a stall without a unit", {"locks": {"maxStall": "1"}}, "should match"),
    ("a day", {"locks": {"giveUpAfter": "1d"}}, "should match"),
    ("unknown policy for checksums", {"checksums": "Ignore"}, "supported values"),
]


@pytest.mark.parametrize(("policy", "said"), [line[1:] for line in POLICIES], ids=[line[0] for line in POLICIES])
def test_the_api_server_refuses_a_bad_policy(shop: Shop, policy: dict[str, Any], said: str) -> None:
    assert said in shop.refusal(database(policy=policy))


def test_the_database_of_a_migration_cannot_be_changed(shop: Shop) -> None:
    shop.migrate(GOOD)
    assert "cannot be changed" in shop.refusal(migration(database={"name": "other"}, scripts=INLINE))
