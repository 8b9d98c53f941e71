"""What the resources accept, field by field."""

import re
from typing import Any

import pytest
from pydantic import ValidationError

from schema_operator.api.migration_approval import MigrationApprovalSpec
from schema_operator.api.request import Acknowledgement, ChecksumPolicy, TransactionMode
from schema_operator.api.schema_migration import SchemaMigrationSpec
from schema_operator.api.structural import structural
from schema_operator.api.target_database import TargetDatabaseSpec
from schema_operator.api.version import NOTHING, NOTHING_PATTERN, PATTERN, Version

MIGRATION = {"database": {"name": "shop"}, "scripts": {"inline": [{"version": "1", "up": "SELECT 1"}]}}
TARGET = {"connection": {"uriSecret": {"name": "shop", "key": "uri"}}}


def migration(**spec: Any) -> SchemaMigrationSpec:
    return SchemaMigrationSpec.model_validate(MIGRATION | spec)


def policy(**spec: Any) -> Any:
    return TargetDatabaseSpec.model_validate(TARGET | {"policy": spec}).policy


def named(name: str, value: str = "x") -> dict[str, Any]:
    return {"variables": [{"name": name, "value": value}]}


def scripted(transaction: str) -> dict[str, Any]:
    return {"scripts": {"inline": [{"version": "1", "up": "SELECT 1", "transaction": transaction}]}}


GOOD = [
    named("GRAPHILE_WORKER_SCHEMA"),
    named("_", ""),
    named("a" * 63, "x" * 1024),
    {"requires": {"versions": ["1.0.0", "2-rc.1"]}},
    {"requires": {"extensions": ["uuid-ossp"]}},
    {"baseline": "2026.01"},
    {"allow": ["EmptyScript", "CopyData"]},
    scripted("Never"),
]
BAD = [
    named("1a"),
    named("a-b"),
    named("ä"),
    named("a b"),
    named("a\n"),
    named(""),
    named("a" * 64),
    named("a", "x" * 1025),
    {"variables": [{"name": "a"}]},
    {"variables": []},
    {"requires": {"versions": []}},
    {"requires": {"versions": ["v1"]}},
    {"requires": {"extensions": [""]}},
    {"requires": {"extensions": ["a" * 64]}},
    {"baseline": "v1"},
    {"baseline": ""},
    {"allow": ["Everything"]},
    {"allow": []},
    scripted("Sometimes"),
    scripted("auto"),
]


@pytest.mark.parametrize("spec", GOOD, ids=str)
def test_a_migration_accepts(spec: dict[str, Any]) -> None:
    assert migration(**spec).database.name == "shop"


@pytest.mark.parametrize("spec", BAD, ids=str)
def test_a_migration_refuses(spec: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        migration(**spec)


def test_what_is_absent_stays_absent() -> None:
    spec = migration()
    assert (spec.variables, spec.requires, spec.baseline, spec.allow) == (None, None, None, None)
    assert [item.transaction for item in spec.scripts.inline or ()] == [None]


def test_a_policy_has_careful_defaults() -> None:
    found = TargetDatabaseSpec.model_validate(TARGET).policy
    assert found == policy() == policy(locks={})
    assert found.checksums is ChecksumPolicy.STRICT
    assert (found.locks.max_stall, found.locks.give_up_after, found.locks.show_queries) == ("100ms", "30s", False)


@pytest.mark.parametrize(
    "spec",
    [
        {"checksums": "Ignore"},
        {"locks": {"maxStall": "0s"}},
        {"locks": {"maxStall": "1"}},
        {"locks": {"giveUpAfter": "1.5s"}},
        {"locks": {"giveUpAfter": "1d"}},
        {"locks": {"showQueries": "often"}},
    ],
    ids=str,
)
def test_a_policy_refuses(spec: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        policy(**spec)


def test_batches_say_only_what_is_said() -> None:
    said = {"targetTime": "50ms", "pause": "0s", "maxReplicationLag": "1m", "longTransaction": "1h", "minSize": 1}
    found = migration(batches=said).batches
    assert found is not None
    assert found.model_dump(by_alias=True, exclude_none=True) == said
    assert structural(SchemaMigrationSpec)["properties"]["batches"]["x-kubernetes-validations"] == [
        {
            "rule": "!has(self.minSize) || !has(self.maxSize) || self.minSize <= self.maxSize",
            "message": "minSize must not be above maxSize",
        }
    ]


@pytest.mark.parametrize(
    "batches",
    [{"targetTime": "0s"}, {"targetTime": "5"}, {"maxReplicationLag": "0s"}, {"minSize": 0}],
    ids=str,
)
def test_batches_refuse(batches: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        migration(batches=batches)


@pytest.mark.parametrize("text", ["0", "0.0", "00", "0-rc.1", "0.0+build", "0.1", "1", "1.0", "10", "0.0.1-rc", "1+0"])
def test_a_baseline_is_above_nothing(text: str) -> None:
    assert re.search(PATTERN, text)
    assert bool(re.search(NOTHING_PATTERN, text)) == (Version.parse(text) <= Version.parse(NOTHING))


def test_lists_say_what_tells_their_items_apart() -> None:
    fields = structural(SchemaMigrationSpec)["properties"]
    assert fields["variables"]["x-kubernetes-list-map-keys"] == ["name"]
    assert fields["allow"]["x-kubernetes-list-type"] == "set"
    assert [*fields["allow"]["items"]["enum"]] == [*Acknowledgement]
    required = fields["requires"]["properties"]
    kinds = {name: part["x-kubernetes-list-type"] for name, part in required.items()}
    assert kinds == {"versions": "set", "extensions": "set", "migrations": "map"}
    script = fields["scripts"]["properties"]["inline"]["items"]["properties"]
    assert script["transaction"]["enum"] == [*TransactionMode]


APPROVAL = {"migration": "shop", "planDigest": "0a" * 32, "decision": "Approve", "approver": "alice@example.com"}


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"decision": "Reject", "reason": "not on a Friday"},
        {"expires": "2026-12-01T18:00:00Z"},
        {"expires": "2026-12-01T18:00:00.123+01:00"},
        {"approver": "system:serviceaccount:argocd:argocd-application-controller"},
        {"approver": "a" * 255},
    ],
    ids=str,
)
def test_an_approval_accepts(extra: dict[str, Any]) -> None:
    assert MigrationApprovalSpec.model_validate(APPROVAL | extra).migration == "shop"


@pytest.mark.parametrize(
    "extra",
    [
        {"decision": "approve"},
        {"planDigest": "0a" * 31},
        {"planDigest": "0A" * 32},
        {"planDigest": "0a" * 32 + "\n"},
        {"approver": ""},
        {"approver": "a" * 256},
        {"expires": "2026-12-01T18:00:00"},
        {"expires": "2026-12-01"},
        {"expires": "tomorrow"},
        {"migration": "Shop"},
    ],
    ids=str,
)
def test_an_approval_refuses(extra: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MigrationApprovalSpec.model_validate(APPROVAL | extra)


def test_an_approval_cannot_be_changed() -> None:
    assert structural(MigrationApprovalSpec)["x-kubernetes-validations"][0]["rule"] == "self == oldSelf"


def test_nothing_waits_for_a_person_unless_that_is_said() -> None:
    assert policy().approval.model_dump() == {"apply": "Automatic", "rollback": "Automatic"}
    with pytest.raises(ValidationError):
        policy(approval={"apply": "Manual"})
