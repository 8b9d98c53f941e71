"""The life of a migration, seen through the API server and in the database."""

import json

import pytest

from support.operator import Shop, conditions, message

FIRST = {
    "version": "1.0.0",
    "name": "products",
    "up": "CREATE TABLE product (id int PRIMARY KEY, name text NOT NULL);\nINSERT INTO product VALUES (1, 'bell');",
    "down": "DROP TABLE product;",
    "verify": "SELECT count(*) = 1 FROM product;",
}
SECOND = {
    "version": "1.1.0",
    "name": "stock",
    "up": "ALTER TABLE product ADD COLUMN stock int NOT NULL DEFAULT 0;",
    "down": "ALTER TABLE product DROP COLUMN stock;",
}
READY = {
    "Validated": "True ScriptsValid",
    "Applied": "True Applied",
    "Verified": "True Verified",
    "Ready": "True Applied",
}


def test_apply_then_apply_again_then_upgrade(shop: Shop) -> None:
    shop.migrate(FIRST, description="The shop", version="1.0.0")
    status = shop.settled()
    assert conditions(status) == READY
    assert (status["version"], status["state"]) == ("1.0.0", "Applied")
    assert [item["result"] for item in status["verification"]] == ["Passed"]
    assert "progress" not in status
    assert "currentRun" not in status
    (run,) = status["runs"]
    assert (run["action"], run["outcome"], run["versions"]) == ("Apply", "Done", ["1.0.0"])
    rows = shop.query("SELECT version, description, applied_by, length(checksum) FROM schema_operator.schema_versions")
    assert rows == [("1.0.0", "The shop", f"{shop.namespace}/shop", 64)]

    before = shop.get()["metadata"]
    shop.migrate(FIRST, description="The shop", version="1.0.0")
    assert shop.get()["metadata"]["resourceVersion"] == before["resourceVersion"]
    assert len(shop.jobs()) == 1

    shop.migrate(FIRST, SECOND, description="The shop")
    status = shop.settled()
    assert conditions(status) == READY
    assert status["version"] == "1.1.0"
    assert shop.versions() == ["1.0.0", "1.1.0"]
    assert shop.columns("product") == {"id", "name", "stock"}
    assert [run["versions"] for run in status["runs"]] == [["1.1.0"], ["1.0.0"]]


def test_the_target_tells_what_the_run_learnt(shop: Shop) -> None:
    shop.migrate(FIRST)
    shop.settled()
    target = shop.kubectl("get", "tdb", "shop", "-o", "jsonpath={.status}")
    assert '"serverVersion":"18' in target
    assert '"reason":"Reachable"' in target
    assert '"migration":"shop"' in target


def test_people_see_it_in_columns_and_events(shop: Shop) -> None:
    shop.migrate(FIRST)
    shop.settled()
    line = shop.kubectl("get", "sm", "shop", "--no-headers").split()
    assert line[:5] == ["shop", "shop", "1.0.0", "Applied", "True"]
    events = shop.kubectl("get", "events", "--field-selector=involvedObject.kind=SchemaMigration", "-o", "name")
    assert events.strip().count("\n") == 0
    told = shop.kubectl("get", "events", "--field-selector=involvedObject.kind=SchemaMigration")
    assert "Applied" in told
    logged = shop.cluster.kubectl("-n", "schema-operator", "logs", "deployment/schema-operator").splitlines()
    lines = [json.loads(line) for line in logged]
    started = [line for line in lines if line.get("namespace") == shop.namespace and "run" in line]
    assert [(line["name"], line["generation"], line["run"]) for line in started] == [
        ("shop", 1, shop.get()["status"]["runs"][0]["name"])
    ]


def test_a_failing_statement_changes_nothing_and_is_named(shop: Shop) -> None:
    shop.migrate(FIRST)
    shop.settled()
    bad = {
        "version": "1.1.0",
        "name": "bad",
        "up": "CREATE TABLE extra ();\n\nALTER TABLE prodct ADD COLUMN x int;\nSELECT 1;",
    }
    shop.migrate(FIRST, bad)
    status = shop.settled()
    assert conditions(status)["Stalled"] == "True ObjectNotFound"
    assert conditions(status)["Ready"] == "False ObjectNotFound"
    assert status["version"] == "1.0.0"
    place = status["runs"][0]["place"]
    assert (place["version"], place["statement"], place["statements"], place["line"]) == ("1.1.0", 2, 3, 3)
    assert place["sqlstate"] == "42P01"
    for part in ("1.1.0", "statement 2 of 3", "line 3", "prodct"):
        assert part in message(status)
    assert shop.columns("extra") == set()
    assert shop.versions() == ["1.0.0"]
    assert len(shop.jobs()) == 2


def test_a_failing_verification_leaves_nothing_and_is_named(shop: Shop) -> None:
    shop.migrate(FIRST)
    shop.settled()
    shop.migrate(
        FIRST,
        SECOND,
        verify=[{"name": "there is stock", "sql": "SELECT min(stock) > 0 FROM product", "expect": "true"}],
    )
    status = shop.settled()
    found = conditions(status)
    assert found["Ready"] == "False VerificationFailed"
    assert found["Verified"] == "False VerificationFailed"
    assert found["Applied"] == "False VerificationFailed"
    assert "there is stock" in message(status)
    (failed,) = [item for item in status["verification"] if item["result"] != "Passed"]
    assert (failed["name"], failed["expected"], failed["found"]) == ("there is stock", "true", "false")
    assert shop.columns("product") == {"id", "name"}
    assert shop.versions() == ["1.0.0"]


@pytest.mark.fault(44)
def test_a_verification_after_the_commit_leaves_it_applied_but_not_ready(shop: Shop) -> None:
    check = {"name": "impossible", "sql": "SELECT false", "when": "AfterCommit"}
    shop.migrate(FIRST, verify=[check])
    status = shop.settled()
    found = conditions(status)
    assert found["Applied"] == "True Applied"
    assert found["Verified"] == "False VerificationFailed"
    assert found["Ready"] == "False VerificationFailed"
    assert shop.versions() == ["1.0.0"]


def test_rollback_by_one_line_and_forward_again(shop: Shop) -> None:
    shop.migrate(FIRST, SECOND)
    shop.settled()
    shop.migrate(FIRST, SECOND, version="1.0.0")
    status = shop.settled()
    assert (status["version"], status["state"]) == ("1.0.0", "RolledBack")
    assert conditions(status)["Ready"] == "True RolledBack"
    assert shop.columns("product") == {"id", "name"}
    assert shop.versions() == ["1.0.0", "1.1.0", "1.1.0-rollback"]

    shop.migrate(FIRST, SECOND, version="1.1.0")
    status = shop.settled()
    assert (status["version"], status["state"]) == ("1.1.0", "Applied")
    assert shop.versions() == ["1.0.0", "1.1.0", "1.1.0-rollback", "1.1.0"]

    shop.migrate(FIRST, SECOND, version="0")
    status = shop.settled()
    assert status["version"] == "0"
    assert shop.columns("product") == set()
    assert shop.versions()[-2:] == ["1.1.0-rollback", "1.0.0-rollback"]


def test_rollback_with_the_files_gone(shop: Shop) -> None:
    shop.migrate(FIRST, SECOND)
    shop.settled()
    shop.migrate(FIRST)
    status = shop.settled()
    assert (status["version"], status["state"]) == ("1.0.0", "RolledBack")
    assert shop.columns("product") == {"id", "name"}


def test_a_version_without_rollback_sql_stands_in_the_way_and_nothing_is_done(shop: Shop) -> None:
    shop.migrate(
        FIRST,
        {"version": "1.1.0", "up": "CREATE TABLE one_way ();"},
        {"version": "1.2.0", "up": "SELECT 1", "down": "SELECT 1"},
    )
    shop.settled()
    shop.migrate(FIRST)
    status = shop.settled()
    assert conditions(status)["Stalled"] == "True NotReversible"
    assert "1.1.0" in message(status)
    assert shop.versions() == ["1.0.0", "1.1.0", "1.2.0"]


def test_a_later_version_of_another_resource_stands_in_the_way(shop: Shop) -> None:
    shop.migrate(FIRST, SECOND)
    shop.settled()
    shop.migrate({"version": "7", "up": "CREATE TABLE other ();", "down": "DROP TABLE other;"}, name="other")
    shop.settled("other")
    shop.migrate(FIRST)
    status = shop.settled()
    assert conditions(status)["Stalled"] == "True VersionInTheWay"
    assert "7" in message(status)
    assert f"{shop.namespace}/other" in message(status)
    assert shop.columns("product") == {"id", "name", "stock"}


def test_config_maps_are_a_source_and_their_change_is_noticed(shop: Shop) -> None:
    shop.config_map("scripts", {"1_a.up.sql": "CREATE TABLE a ();", "1_a.down.sql": "DROP TABLE a;"})
    shop.migrate(scripts={"configMaps": [{"name": "scripts"}]})
    assert shop.settled()["version"] == "1"
    shop.config_map("scripts", {"1_a.up.sql": "CREATE TABLE a ();", "2_b.up.sql": "CREATE TABLE b ();"})
    status = shop.until(lambda found: found["status"].get("version") == "2")
    assert shop.versions() == ["1", "2"]
    assert status["version"] == "2"
