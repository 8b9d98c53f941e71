"""What users get wrong: each its own reason, a sentence that helps, and a database as it was before."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from dev import release

import support.relay as relays
from support.bad_input_resources import CONNECTIONS, FIRST, SCRIPTS, BadScripts
from support.bad_inputs import CATALOGUE, SECRET, require_remedy
from support.operator import CANARY, Shop, conditions, database, message, migration
from support.relay import OLD_SERVER_PORT, POOLER_PORT

GOOD = {"version": "1", "name": "good", "up": "CREATE TABLE good ();", "down": "DROP TABLE good;"}
SOON_SECONDS = 30.0
"""Within which a pod that cannot start is named."""
MENDED_SECONDS = 60.0
"""Within which a Secret that was mended is used."""
PARTS = {
    "host": "postgres.postgres.svc",
    "database": "postgres",
    "userSecret": {"name": "parts", "key": "user"},
    "passwordSecret": {"name": "parts", "key": "password"},
}


@pytest.mark.fault(40)
@pytest.mark.bad_input(3, 4, 5, 6, 7, 8, 19, 20, 24, 28, 29, 44)
def test_bad_scripts_are_refused_and_change_nothing(shop: Shop) -> None:
    for name, bad in SCRIPTS.items():
        if bad.applied:
            apply_before(shop, name, bad)
            assert conditions(shop.settled(name))["Ready"] == "True Applied"
    before = (shop.query(CATALOGUE), shop.versions())
    jobs = {one["metadata"]["name"] for one in shop.jobs()}
    for name, bad in SCRIPTS.items():
        give(shop, name, bad)

    wrong: list[str] = []
    for name, bad in SCRIPTS.items():
        status = shop.settled(name)
        wrong += badly_said(name, status, bad.reason, bad.says)
        if bool(status.get("runs", [])[len(bad.applied[:1]) :]) != bad.run:
            wrong.append(f"{name}: its runs are {status.get('runs')}")
    assert not wrong, "\n".join(wrong)
    runs = [one for one in shop.jobs() if one["metadata"]["name"] not in jobs]
    assert len(runs) == sum(bad.run for bad in SCRIPTS.values())
    assert (shop.query(CATALOGUE), shop.versions()) == before
    shop.has_no(SECRET)


def apply_before(shop: Shop, name: str, bad: BadScripts) -> None:
    if not bad.config_maps:
        shop.migrate(*bad.applied, name=name)
        return
    (config_map,) = bad.config_maps
    shop.config_map(config_map, {f"{one['version']}.up.sql": one["up"] for one in bad.applied})
    shop.migrate(name=name, scripts={"configMaps": [{"name": config_map}]})


def give(shop: Shop, name: str, bad: BadScripts) -> None:
    for config_map, files in bad.config_maps.items():
        text = {key: value for key, value in files.items() if isinstance(value, str)}
        binary = {key: value for key, value in files.items() if isinstance(value, bytes)}
        shop.config_map(config_map, text, binary)
    scripts = {"scripts": {"configMaps": [{"name": one} for one in bad.config_maps]}} if bad.config_maps else {}
    manifest = json.dumps(migration(name, **bad.spec, **scripts))
    if bad.applied:
        shop.kubectl("apply", "-f", "-", input=manifest)
    else:  # what a client applies is kept a second time in an annotation, for which the largest has no room
        shop.kubectl("create", "-f", "-", input=manifest)


def badly_said(name: str, status: dict[str, Any], reason: str, says: Iterable[str]) -> list[str]:
    """Name what is wrong with a status that should say what is wrong and what to do."""
    found, said = conditions(status), message(status)
    wrong = [] if found.get("Ready") == f"False {reason}" else [f"Ready is {found.get('Ready')}"]
    wrong += [] if found.get("Stalled") == f"True {reason}" else [f"Stalled is {found.get('Stalled')}"]
    wrong += [f"{part!r} is not in: {said}" for part in says if part not in said]
    try:
        require_remedy(said)
    except AssertionError as problem:
        wrong.append(f"no remedy: {problem}")
    return [f"{name}: {one}" for one in wrong]


@pytest.mark.fault(20, 41, 42)
@pytest.mark.bad_input(9, 11, 12, 13, 14, 15, 16, 17, 18)
def test_bad_connections_are_refused_without_the_password_and_used_when_they_are_mended(shop: Shop) -> None:
    relay(shop)
    policy = {"retries": {"limit": 0, "backoff": "5s", "maxBackoff": "5s"}}
    for name, bad in CONNECTIONS.items():
        if bad.target:
            shop.apply(target(name, policy))
        if bad.secret is not None:
            uri = shop.uri(**{part: value for part, value in bad.parts.items() if part != "query"})
            shop.secret(name, **{bad.secret: uri + bad.parts.get("query", "")})
        shop.migrate(FIRST, name=name, database={"name": name})

    wrong: list[str] = []
    for name, bad in CONNECTIONS.items():
        status = shop.settled(name)
        says = [part.format(namespace=shop.namespace) for part in bad.says]
        wrong += badly_said(name, status, "RetriesExhausted" if bad.retried else bad.reason, says)
        outcome = [(run["outcome"], run.get("reason")) for run in status.get("runs", [])[-1:]]
        if outcome != ([("Retryable" if bad.retried else "Refused", bad.reason)] if bad.target else []):
            wrong.append(f"{name}: {outcome}")
        if bad.target and conditions(shop.target(name))["Reachable"] != f"False {bad.reason}":
            wrong.append(f"{name}: {conditions(shop.target(name))}")
    assert not wrong, "\n".join(wrong)
    assert shop.query("SELECT to_regnamespace('schema_operator') IS NULL") == [(True,)]

    for name, bad in CONNECTIONS.items():
        shop.secret(name, uri=shop.uri())
        if not bad.target:
            shop.apply(target(name, policy))
    began = time.monotonic()
    for name in [name for name, bad in CONNECTIONS.items() if bad.mended]:
        shop.until(lambda found: conditions(found["status"])["Ready"] == "True Applied", name)
        assert time.monotonic() - began < MENDED_SECONDS, name
    assert shop.versions() == ["1"]
    shop.has_no(CANARY)


def target(name: str, policy: dict[str, Any]) -> dict[str, Any]:
    connection = {"uriSecret": {"name": name, "key": "uri"}}
    return database(name, connection, policy=policy, inspection={"suspend": True})


def relay(shop: Shop) -> None:
    """Put something between that looks like a pooler, or like an old server."""
    image = shop.cluster.kubectl(
        *("-n", release.NAME, "get", f"deployment/{release.NAME}", "-o"),
        "jsonpath={.spec.template.spec.containers[0].image}",
    )
    shop.config_map("relay", {"relay.py": Path(relays.__file__).read_text()})
    ports = [POOLER_PORT, OLD_SERVER_PORT]
    container = {
        "name": "relay",
        "image": image,
        "command": ["python3", "/relay/relay.py", "postgres.postgres.svc", "5432"],
        "readinessProbe": {"tcpSocket": {"port": OLD_SERVER_PORT}, "periodSeconds": 1},
        "volumeMounts": [{"name": "relay", "mountPath": "/relay"}],
    }
    pod = {"containers": [container], "volumes": [{"name": "relay", "configMap": {"name": "relay"}}]}
    metadata = {"name": "relay", "labels": {"app": "relay"}}
    service = {"selector": {"app": "relay"}, "ports": [{"name": f"p{port}", "port": port} for port in ports]}
    shop.apply(
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod},
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service},
    )
    shop.kubectl("wait", "--for=condition=Ready", "pod/relay", "--timeout=60s")


@pytest.mark.fault(42)
def test_an_unreachable_host_is_tried_again_and_named(shop: Shop) -> None:
    shop.apply(database(policy={"retries": {"limit": 1, "backoff": "1s", "maxBackoff": "1s"}}))
    shop.secret(uri=shop.uri(host="postgres.postgres.svc:5433"))
    shop.migrate(GOOD)
    waiting = shop.until(lambda found: found["status"].get("runs"))
    assert conditions(waiting)["Ready"].startswith("False")
    status = shop.until(lambda found: conditions(found["status"]).get("Stalled") == "True RetriesExhausted")
    assert "Unreachable" in message(status)
    assert "5433" in message(status)
    assert [run["failures"] for run in status["runs"]][-2:] == [2, 1]


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
    ("too large", {"scripts": {"inline": [GOOD | {"up": "-" * 262_145}]}}, "may not be more than 262144 bytes"),
    ("a number for a version", {"scripts": INLINE, "version": 1}, "spec.version: Invalid value"),
    ("unknown field", {"scripts": INLINE, "wersion": "1"}, 'unknown field "spec.wersion"'),
]


@pytest.mark.bad_input(1, 2, 29, 50)
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
    (
        "another namespace",
        {"uriSecret": {"name": "a", "key": "b", "namespace": "c"}},
        'unknown field "spec.connection.uriSecret.namespace"',
    ),
    ("a port that is none", {**PARTS, "port": 70_000}, "less than or equal to 65535"),
]


@pytest.mark.bad_input(10, 50)
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
