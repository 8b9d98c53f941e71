"""What the operator knows of databases without a run, and what it does about a history that is not as it was left."""

from __future__ import annotations

import pytest
from psycopg import sql

from support.operator import CANARY, Shop, conditions, connect, database, kubectl_json, message

FIRST = {
    "version": "1.0.0",
    "name": "item",
    "up": "CREATE TABLE item (id int PRIMARY KEY);",
    "down": "DROP TABLE item;",
}
SECOND = {
    "version": "1.1.0",
    "name": "name",
    "up": "ALTER TABLE item ADD COLUMN name text;",
    "down": "ALTER TABLE item DROP COLUMN name;",
}
SLOW = {
    "version": "1",
    "up": "DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM pg_class WHERE relname = 'go') LOOP PERFORM pg_sleep(0.1); "
    "END LOOP; END $$;",
}
"""Works until there is a table `go`."""


def inspections(shop: Shop) -> list[str]:
    found = kubectl_json(
        shop.cluster, "-n", shop.namespace, "get", "jobs", "-l", "app.kubernetes.io/component=inspection"
    )
    return [item["metadata"]["name"] for item in found["items"]]


def keep_copy(shop: Shop) -> None:
    """Keep a copy of the database as it is, to be restored."""
    with connect(shop.port, "postgres") as connection:
        copy = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        connection.execute(copy.format(sql.Identifier(f"{shop.database}-copy"), sql.Identifier(shop.database)))


def restore_copy(shop: Shop) -> None:
    """Put the copy in the place of the database."""
    with connect(shop.port, "postgres") as connection:
        name, copy = sql.Identifier(shop.database), sql.Identifier(f"{shop.database}-copy")
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
        connection.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(copy, name))


def test_a_target_is_known_without_any_migration_and_its_database_stays_as_it_is(shop: Shop) -> None:
    status = shop.target_until(lambda found: conditions(found).get("Ready") == "True Reachable")
    assert list(conditions(status)) == ["Reachable", "Ready"]
    assert status["serverVersion"].startswith("18")
    assert (status["database"], status["version"], status["appliedVersions"]) == (shop.database, "0", 0)
    assert "pending" not in status
    shop.target_until(lambda _: not inspections(shop))
    assert shop.query("SELECT to_regnamespace('schema_operator') IS NULL") == [(True,)]

    shop.secret(uri=shop.uri(password=f"wrong-{CANARY}"))
    shop.inspect()
    status = shop.target_until(lambda found: conditions(found).get("Ready") == "False AuthFailed")
    assert conditions(status)["Stalled"] == "True AuthFailed"
    assert status["serverVersion"].startswith("18")
    shop.secret(uri=shop.uri())
    shop.inspect()
    shop.target_until(lambda found: conditions(found).get("Ready") == "True Reachable")
    shop.has_no(CANARY)


@pytest.mark.fault(19, 21)
def test_an_older_backup_is_noticed_and_what_is_missing_is_applied_again(shop: Shop) -> None:
    """The same as a failover to a standby that has not got the last commits: never silently Applied."""
    shop.migrate(FIRST)
    shop.settled()
    keep_copy(shop)
    shop.migrate(FIRST, SECOND)
    left = shop.settled()
    assert (left["version"], left["historyDigest"]) == ("1.1.0", shop.target()["owners"][0]["digest"])
    assert (shop.target()["pending"], shop.target()["version"]) == (0, "1.1.0")
    assert shop.kubectl("get", "tdb", "shop", "--no-headers").split()[2:5] == ["1.1.0", "True", "True"]

    restore_copy(shop)
    shop.inspect()
    again = shop.until(lambda found: "currentRun" in found["status"])
    assert conditions(again)["Ready"].startswith("False")
    status = shop.until(lambda found: len(found["status"]["runs"]) == 3 and "currentRun" not in found["status"])
    assert (status["version"], conditions(status)["Ready"]) == ("1.1.0", "True Applied")
    assert [run["versions"] for run in status["runs"]] == [["1.1.0"], ["1.1.0"], ["1.0.0"]]
    assert (shop.versions(), shop.columns("item")) == (["1.0.0", "1.1.0"], {"id", "name"})
    assert "HistoryMoved" in shop.kubectl("get", "events", "-o", "jsonpath={.items[*].reason}")

    # And what a person took back with SQL is noticed without any change either.
    shop.query("CALL schema_operator.emergency_rollback('1.0.0')")
    shop.inspect()
    status = shop.until(lambda found: conditions(found["status"]).get("Ready") == "False RolledBackByHand")
    assert (status["version"], shop.columns("item")) == ("1.0.0", {"id"})


def test_what_is_there_beyond_it_is_not_rolled_back_before_somebody_asks(shop: Shop) -> None:
    shop.migrate(FIRST, SECOND)
    shop.settled()
    keep_copy(shop)
    shop.migrate(FIRST, SECOND, version="1.0.0")
    assert conditions(shop.settled())["Ready"] == "True RolledBack"

    restore_copy(shop)
    shop.inspect()
    status = shop.until(lambda found: conditions(found["status"]).get("Ready") == "False HistoryAhead")
    assert (status["version"], conditions(status)["Stalled"]) == ("1.1.0", "True HistoryAhead")
    assert "1.1.0" in message(status)
    assert shop.columns("item") == {"id", "name"}

    shop.kubectl("annotate", "sm", "shop", "schema-operator.dev/requested-at=now")
    status = shop.until(lambda found: conditions(found["status"]).get("Ready") == "True RolledBack")
    assert (status["version"], shop.columns("item")) == ("1.0.0", {"id"})


@pytest.mark.fault(19)
def test_what_is_missing_waits_for_an_approval_where_the_policy_says_so(shop: Shop) -> None:
    shop.migrate(FIRST)
    shop.settled()
    keep_copy(shop)
    shop.migrate(FIRST, SECOND)
    shop.settled()
    shop.apply(database(policy={"approval": {"apply": "Required"}}))

    restore_copy(shop)
    shop.inspect()
    status = shop.until(lambda found: found["status"].get("state") == "AwaitingApproval")
    assert (status["version"], conditions(status)["Ready"]) == ("1.0.0", "False AwaitingApproval")
    assert [run.get("mode") for run in status["runs"]] == ["Plan", None, None]
    assert (shop.versions(), shop.columns("item")) == (["1.0.0"], {"id"})
    approve(shop, status["plan"]["digest"])
    status = shop.until(lambda found: conditions(found["status"]).get("Ready") == "True Applied")
    assert (status["version"], shop.columns("item")) == ("1.1.0", {"id", "name"})


def approve(shop: Shop, digest: str) -> None:
    """Approve a plan as whoever runs this test."""
    approver = shop.kubectl("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
    asked = {"migration": "shop", "planDigest": digest, "decision": "Approve", "approver": approver}
    kind = {"apiVersion": "schema-operator.dev/v1alpha1", "kind": "MigrationApproval"}
    shop.apply({**kind, "metadata": {"name": "again"}, "spec": asked})


@pytest.mark.fault(41)
def test_a_password_that_changes_does_not_touch_the_run_at_work_and_the_next_uses_the_new_secret(shop: Shop) -> None:
    user = f"rotated-{shop.namespace}"
    passwords = [f"first-{CANARY}", f"second-{CANARY}"]
    with connect(shop.port, "postgres") as connection:
        role = sql.Identifier(user)
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, passwords[0]))
        connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(sql.Identifier(shop.database), role))
        shop.secret(uri=shop.uri(user=user, password=passwords[0]))
        shop.migrate(SLOW, {"version": "2", "up": "SELECT 2"})
        shop.until(lambda found: found.get("status", {}).get("progress", {}).get("step") == "Applying")
        connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, passwords[1]))
    shop.query("CREATE TABLE go ()")
    status = shop.settled()
    assert (conditions(status)["Ready"], status["version"], len(status["runs"])) == ("True Applied", "2", 1)

    shop.migrate(SLOW, {"version": "2", "up": "SELECT 2"}, {"version": "3", "up": "SELECT 3"})
    assert conditions(shop.settled())["Stalled"] == "True AuthFailed"
    shop.secret(uri=shop.uri(user=user, password=passwords[1]))
    # That it is found without being asked for is seen in test_bad_input.py, where there is more to wait for.
    shop.kubectl("annotate", "sm", "shop", "schema-operator.dev/requested-at=now")
    status = shop.until(lambda found: conditions(found["status"]).get("Ready") == "True Applied")
    assert (status["version"], shop.versions()) == ("3", ["1", "2", "3"])
    assert conditions(shop.target())["Ready"] == "True Reachable"
    shop.has_no(CANARY)

    shop.kubectl("delete", "tdb", "shop")
    status = shop.until(lambda found: conditions(found["status"]).get("Ready") == "False TargetNotFound")
    assert (status["version"], conditions(status)["Stalled"]) == ("3", "True TargetNotFound")
    assert "TargetDatabase shop does not exist" in message(status)
