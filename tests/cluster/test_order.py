"""Which migration comes first: on one database, and where one requires another."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from support.operator import Shop, another, conditions, database, message

SLOW = {
    "version": "1",
    "up": "DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM pg_class WHERE relname = 'go') LOOP PERFORM pg_sleep(0.1); "
    "END LOOP; END $$;",
    "down": "SELECT 1;",
}
"""Works until there is a table `go`."""
GO = "CREATE TABLE go ()"
MIGRATION = "schema-operator.dev/migration"
"""Annotation that inspections of a target do not have."""


def quick(version: str) -> dict[str, str]:
    return {"version": version, "up": f"CREATE TABLE t{version} ();", "down": f"DROP TABLE t{version};"}


def at_work(found: dict[str, Any]) -> bool:
    return bool(found.get("status", {}).get("progress", {}).get("step") == "Applying")


def ready_because(reason: str) -> Any:
    return lambda found: conditions(found.get("status", {})).get("Ready") == f"False {reason}"


def ended(pod: dict[str, Any]) -> bool:
    containers = pod["status"].get("containerStatuses", [])
    return bool(containers) and all("terminated" in one["state"] for one in containers)


@contextmanager
def most_at_once(shop: Shop) -> Iterator[list[int]]:
    """Count, ten times a second, the pods of runs whose container has not ended.

    A Job is called complete some time after that, when the next run may have begun.
    """
    seen: list[int] = []
    done = threading.Event()

    def count() -> None:
        while not done.wait(0.1):
            runs = [pod for pod in shop.pods() if MIGRATION in pod["metadata"]["annotations"]]
            seen.append(sum(not ended(pod) for pod in runs))

    counter = threading.Thread(target=count)
    counter.start()
    try:
        yield seen
    finally:
        done.set()
        counter.join()


def test_migrations_of_one_database_work_one_after_the_other_and_those_of_another_do_not_wait(shop: Shop) -> None:
    """A second TargetDatabase leads to the same database by another name, which its server tells."""
    shop.apply(database("again"))
    shop.migrate(quick("19"), name="here")
    shop.migrate(quick("20"), name="there", database={"name": "again"})
    shop.settled("here")
    shop.settled("there")
    shop.migrate(SLOW, name="first")
    shop.until(at_work, "first")
    with most_at_once(shop) as pods:
        shop.migrate(quick("21"), name="second")
        waiting = shop.until(ready_because("WaitingForDatabase"), "second")
        shop.migrate(quick("22"), name="third", database={"name": "again"})
        third = shop.until(ready_because("WaitingForDatabase"), "third")
        with another(shop) as target:
            shop.migrate(quick("1"), name="elsewhere", database={"name": target})
            assert conditions(shop.settled("elsewhere"))["Ready"] == "True Applied"
            assert shop.get("first")["status"]["state"] == "Applying"
            shop.query(GO)
            for name in ("first", "second", "third"):
                assert conditions(shop.settled(name))["Ready"] == "True Applied"
    assert f"{shop.namespace}/first is at work" in message(waiting)
    assert f"{shop.namespace}/second waits" in message(third)
    assert shop.versions()[2:] == ["1", "21", "22"]
    assert max(pods) == 2  # one of each database
    runs = [shop.get(name)["status"]["runs"] for name in ("first", "second", "third")]
    assert [len(found) for found in runs] == [1, 1, 1]


def test_one_waits_for_those_it_requires_and_goes_on_at_once(shop: Shop) -> None:
    shop.migrate(quick("2"), name="shop", requires={"migrations": [{"name": "base"}]})
    missing = shop.until(ready_because("WaitingForMigration"))
    assert "base, which does not exist in this namespace" in message(missing)
    assert missing["state"] == "Pending"
    assert "Stalled" not in conditions(missing)
    shop.migrate(SLOW, name="base")
    shop.until(lambda found: "base (Applying)" in message(found["status"]))
    shop.query(GO)
    assert conditions(shop.settled("base"))["Ready"] == "True Applied"
    ended = time.monotonic()
    shop.until(lambda found: not ready_because("WaitingForMigration")(found))
    assert time.monotonic() - ended < 3  # where only the resync looked, it would take up to a minute
    assert conditions(shop.settled())["Ready"] == "True Applied"
    assert shop.versions() == ["1", "2"]
    shop.migrate(SLOW, name="base", version="0")
    held = shop.until(ready_because("WaitingForMigration"), "base")
    assert "shop (Applied)" in message(held)
    shop.migrate(quick("2"), name="shop", version="0", requires={"migrations": [{"name": "base"}]})
    for name in ("shop", "base"):
        assert conditions(shop.settled(name))["Ready"] == "True RolledBack"
    assert shop.versions() == ["1", "2", "2-rollback", "1-rollback"]


def test_a_circle_is_named_without_a_pod_and_ends_when_it_is_cut(shop: Shop) -> None:
    for name, required in (("a", "b"), ("b", "c"), ("c", "a")):
        shop.migrate(quick(str(ord(name))), name=name, requires={"migrations": [{"name": required}]})
    for name in "abc":
        status = shop.until(lambda found: "Stalled" in conditions(found.get("status", {})), name)
        assert conditions(status)["Stalled"] == "True DependencyCycle"
    assert "a -> b -> c -> a" in message(shop.get("a")["status"])
    assert shop.pods() == []
    shop.migrate(quick(str(ord("c"))), name="c")
    for name in "abc":
        status = shop.until(lambda found: conditions(found["status"]).get("Ready") == "True Applied", name)
    assert shop.versions() == ["99", "98", "97"]


def test_another_database_is_refused_until_somebody_says_that_it_is_meant(shop: Shop) -> None:
    shop.migrate(quick("1"))
    before = shop.settled()["database"]
    assert before["name"] == shop.database
    with another(shop):
        (uri,) = [shop.uri(database=f"{shop.database}-b")]
    shop.secret(uri=uri)
    shop.migrate(quick("1"), quick("2"))
    status = shop.until(lambda found: "DatabaseMoved" in str(conditions(found.get("status", {}))))
    assert conditions(status)["Stalled"] == "True DatabaseMoved"
    assert status["database"] == before
    accept = f"schema-operator.dev/accept-database={before['systemIdentifier']}/{shop.database}-b"
    assert f"annotate --overwrite sm/shop {accept}" in message(status)
    with psycopg.connect(shop.local_uri().replace(shop.database, f"{shop.database}-b")) as connection:
        there = connection.execute("SELECT to_regnamespace('schema_operator')").fetchone()
    assert there == (None,)
    shop.kubectl("annotate", "--overwrite", "sm/shop", accept)
    moved = shop.until(lambda found: conditions(found["status"]).get("Ready") == "True Applied")
    assert moved["database"] == {**before, "name": f"{shop.database}-b"}
    assert shop.versions() == ["1"]  # of the first database
