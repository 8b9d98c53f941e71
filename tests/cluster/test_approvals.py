"""A plan, a person's yes or no, and what is done then, in a cluster."""

from __future__ import annotations

import subprocess
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from support.gates import passes, shut, until_at_gate, with_gates
from support.operator import RUNS, Shop, conditions, database, message

FIRST = {"version": "1", "up": "CREATE TABLE first ();", "down": "DROP TABLE first;"}
SECOND = {"version": "2", "up": "CREATE TABLE second ();", "down": "DROP TABLE second;"}
ALICE = "alice@example.com"
LONG = {"version": "2", "up": f"CREATE TABLE second (); {passes(1)};", "down": "DROP TABLE second;"}
ROWS = "SELECT version, applied_by FROM schema_operator.schema_versions ORDER BY applied_at"
APPROVER = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: approver}
rules:
  - apiGroups: [schema-operator.dev]
    resources: [migrationapprovals]
    verbs: [create, get, list, patch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: approver}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: approver}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: alice@example.com}]
"""


def approval(name: str, digest: str, **spec: Any) -> str:
    """Give a MigrationApproval as text."""
    asked = {"migration": "shop", "planDigest": digest, "decision": "Approve", "approver": ALICE} | spec
    kind = {"apiVersion": "schema-operator.dev/v1alpha1", "kind": "MigrationApproval"}
    return yaml.safe_dump({**kind, "metadata": {"name": name}, "spec": asked})


def say(shop: Shop, name: str, digest: str, *, user: str = ALICE, **spec: Any) -> None:
    """Let a user, by default Alice, decide about a plan."""
    shop.kubectl("create", "-f", "-", f"--as={user}", input=approval(name, digest, **spec))


def refused(shop: Shop, *arguments: str, text: str) -> str:
    """See that the API server refuses what a user does; give what it says."""
    with pytest.raises(subprocess.CalledProcessError) as caught:
        shop.kubectl(*arguments, input=text, stderr=subprocess.STDOUT)
    return str(caught.value.output)


def waiting(shop: Shop, count: int | None = None) -> dict[str, Any]:
    """Wait until the present generation waits for an approval, of a plan of so many steps; give its status."""

    def waits(found: dict[str, Any]) -> bool:
        status = found.get("status", {})
        return (
            status.get("observedGeneration") == found["metadata"]["generation"]
            and status.get("state") == "AwaitingApproval"
            and count in (None, status["plan"]["count"])
        )

    return shop.until(waits)


def test_a_plan_waits_for_a_yes_and_the_database_says_whose(shop: Shop) -> None:
    shop.apply(database(policy={"approval": {"apply": "Required"}}))
    shop.kubectl("apply", "-f", "-", input=APPROVER)
    shop.migrate(FIRST)
    status = waiting(shop)
    found = conditions(status)
    assert found["Approved"] == found["Ready"] == "False AwaitingApproval"
    assert not {"Reconciling", "Stalled"} & found.keys()
    plan = status["plan"]
    assert (plan["action"], plan["count"], plan["applies"], plan["versionBefore"]) == ("Apply", 1, 1, "0")
    assert plan["digest"] in message(status)
    assert not shop.has_history()
    assert [(run["mode"], run["outcome"]) for run in status["runs"]] == [("Plan", "Done")]

    create = ("create", "-f", "-", f"--as={ALICE}")
    said = refused(shop, *create, text=approval("forged", plan["digest"], approver="bob@example.com"))
    assert f"spec.approver must be who makes the MigrationApproval: {ALICE}" in said
    assert "forbidden" in refused(shop, "create", "-f", "-", "--as=mallory", text=approval("m", plan["digest"]))

    say(shop, "no", plan["digest"], decision="Reject", reason="not on a Friday")
    rejected = shop.settled()
    assert (conditions(rejected)["Stalled"], conditions(rejected)["Approved"]) == ("True Rejected", "False Rejected")
    assert rejected["state"] == "Rejected"
    assert f"{ALICE} rejected the plan" in message(rejected)
    assert "not on a Friday" in message(rejected)

    time.sleep(1.1)  # what counts is the newer one, and creationTimestamp has whole seconds
    say(shop, "yes", plan["digest"])
    changed = approval("yes", "0" * 64)
    assert "cannot be changed" in refused(shop, "apply", "-f", "-", f"--as={ALICE}", text=changed)
    status = shop.until(lambda found: conditions(found["status"]).get("Ready") == "True Applied")
    assert conditions(status)["Approved"] == "True Approved"
    assert status["runs"][0]["approvedBy"] == ALICE
    assert shop.query("SELECT version, applied_by FROM schema_operator.schema_versions") == [("1", ALICE)]
    events = shop.kubectl("get", "events", "-o", "jsonpath={.items[*].reason}").split()
    assert {"Planned", "AwaitingApproval", "Rejected", "Approved", "Applied"} <= {*events}
    assert len(shop.jobs()) == 2

    shop.migrate(FIRST, version="0")  # rollbacks need no approval here; that they were planned is seen in the runs
    status = shop.settled()
    assert conditions(status)["Ready"] == "True RolledBack"
    assert "Approved" not in conditions(status)
    assert [run.get("mode") for run in status["runs"]] == [None, "Plan", None, "Plan"]


def test_an_approval_is_void_when_the_plan_moves_or_its_time_is_over(shop: Shop) -> None:
    shop.apply(database(policy={"approval": {"apply": "Required", "rollback": "Required"}}))
    shop.kubectl("apply", "-f", "-", input=APPROVER)
    shop.migrate(FIRST)
    before = waiting(shop)["plan"]["digest"]
    shop.migrate(FIRST, suspend=True)
    shop.until(lambda found: found["status"].get("state") == "Suspended")
    say(shop, "old", before)
    shop.migrate(FIRST | {"up": "CREATE TABLE first (id int);"}, SECOND, suspend=False)
    status = waiting(shop, 2)
    digest = status["plan"]["digest"]
    assert f"MigrationApproval old of {ALICE} does not count: it is for the plan {before[:12]}" in message(status)

    say(shop, "late", digest, expires=(datetime.now(UTC) - timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ"))
    shop.until(lambda found: "it has expired" in message(found["status"]))
    assert not shop.has_history()
    shop.apply(database(policy={"approval": {"rollback": "Required"}}))
    assert conditions(shop.settled())["Ready"] == "True Applied"  # applying waits for nobody any more
    assert shop.versions() == ["1", "2"]

    # What is in the database moves after the plan: the run changes nothing, and the yes is no longer enough.
    shop.migrate(FIRST | {"up": "CREATE TABLE first (id int);"}, SECOND, version="1", suspend=False)
    digest = waiting(shop)["plan"]["digest"]
    shop.query("INSERT INTO schema_operator.schema_versions (version, applied_by) VALUES ('0.5', 'somebody')")
    say(shop, "back", digest)
    moved = shop.until(lambda found: found["status"].get("plan", {}).get("digest") not in (None, digest))
    assert [run["reason"] for run in moved["runs"] if run["outcome"] == "Retryable"] == ["PlanChanged"]
    assert shop.query("SELECT to_regclass('second') IS NOT NULL") == [(True,)]
    say(shop, "again", waiting(shop)["plan"]["digest"])
    assert conditions(shop.settled())["Ready"] == "True RolledBack"


def reasons(shop: Shop) -> list[str]:
    return shop.kubectl("get", "events", "-o", "jsonpath={.items[*].reason}").split()


@pytest.mark.fault(1)
def test_a_killed_pod_needs_no_second_yes_and_the_rollback_before_a_deletion_needs_its_own(shop: Shop) -> None:
    both = {"apply": "Required", "rollback": "Required"}
    shop.apply(database(policy={"approval": both, "retries": {"backoff": "1s"}}))
    shop.kubectl("apply", "-f", "-", input=APPROVER)
    with_gates(shop)
    shop.migrate(FIRST, LONG, deletionPolicy="Rollback")
    digest = waiting(shop, 2)["plan"]["digest"]
    with shut(shop, 1):
        say(shop, "yes", digest)
        until_at_gate(shop)
        assert shop.versions() == ["1"]
        shop.kubectl("delete", "pod", "-l", RUNS, "--grace-period=0", "--force")
        shop.until(lambda found: len(found["status"]["runs"]) == 2)
    status = shop.settled()
    assert conditions(status)["Ready"] == "True Applied"
    assert conditions(status)["Approved"] == "True Approved"
    plan, killed, *others = reversed(status["runs"])
    assert (plan["mode"], plan["outcome"]) == ("Plan", "Done")
    assert killed["outcome"] in {"Killed", "Stopped"}  # whether it heard that it was asked to stop
    assert others[-1]["outcome"] == "Done"
    assert {run["approvedBy"] for run in (killed, *others)} == {ALICE}
    assert [run for run in (killed, *others) if run.get("mode")] == []  # the plan was made once
    assert others[-1]["versions"] == ["2"]
    assert shop.query(ROWS) == [("1", ALICE), ("2", ALICE)]
    assert reasons(shop).count("AwaitingApproval") == 1

    shop.kubectl("delete", "sm", "shop", "--wait=false")
    status = waiting(shop, 2)
    assert (status["plan"]["action"], status["plan"]["rollbacks"]) == ("Rollback", 2)
    for part in ("a plan to roll back versions 2, 1 waits for an approval", "the deletion waits"):
        assert part in message(status)
    say(shop, "no", status["plan"]["digest"], decision="Reject", reason="we need the rows")
    rejected = shop.until(lambda found: found["status"].get("state") == "Rejected")
    assert conditions(rejected)["Stalled"] == "True Rejected"
    for part in ("we need the rows", "the deletion waits"):
        assert part in message(rejected)
    assert shop.versions() == ["1", "2"]
    time.sleep(1.1)  # what counts is the newer one, and creationTimestamp has whole seconds
    say(shop, "back", status["plan"]["digest"])
    shop.kubectl("wait", "--for=delete", "sm/shop", "--timeout=60s")
    assert shop.query(ROWS) == [("1", ALICE), ("2", ALICE), ("2-rollback", ALICE), ("1-rollback", ALICE)]
