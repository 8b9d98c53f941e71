"""What we promise about rights, tokens, examples, parts and real input."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from dev import release
from dev.cache import CHECKOUT
from dev.cluster.kubectl import Cluster

from support.operator import SERVER, Shop, conditions, database, migration
from support.procrastinate import numbered_scripts, schema_of, schema_sql

ACCOUNT = "system:serviceaccount:schema-operator:schema-operator"
EMPTY = "DROP SCHEMA public CASCADE; CREATE SCHEMA public"
GOOD = {"version": "1", "up": "CREATE TABLE t ();", "down": "DROP TABLE t;"}


@pytest.fixture
def confined(shop: Shop) -> Iterator[str]:
    """Install an operator for the shop's namespace alone, while the other one is away; give its account."""
    name = "confined"
    scale = ("-n", "schema-operator", "scale", "deployment/schema-operator")
    shop.cluster.kubectl(*scale, "--replicas=0")
    try:
        release.install(shop.cluster, [shop.namespace], name, crds=False)
        yield f"system:serviceaccount:{name}:{name}"
    finally:
        release.helm(shop.cluster, "uninstall", name, "--namespace", name, "--ignore-not-found", "--wait")
        shop.cluster.kubectl("delete", "namespace", name, "--wait=false")
        shop.cluster.kubectl(*scale, "--replicas=1")
        shop.cluster.kubectl("-n", "schema-operator", "rollout", "status", "deployment/schema-operator")


def test_an_operator_for_one_namespace_has_no_right_elsewhere_and_does_its_work(shop: Shop, confined: str) -> None:
    shop.migrate(GOOD)
    assert conditions(shop.settled())["Ready"] == "True Applied"
    assert allowed(shop.cluster, "list", "sm", confined, "-n", shop.namespace)
    assert not allowed(shop.cluster, "list", "sm", confined, "-n", "default")
    assert not allowed(shop.cluster, "list", "secrets", confined, "-n", shop.namespace)
    assert not allowed(shop.cluster, "list", "configmaps", confined, "-n", shop.namespace)
    shop.migrate(GOOD, version="0")
    assert conditions(shop.settled())["Ready"] == "True RolledBack"


def allowed(cluster: Cluster, verb: str, kind: str, account: str, *place: str) -> bool:
    try:
        return cluster.kubectl("auth", "can-i", verb, kind, f"--as={account}", *place).strip() == "yes"
    except subprocess.CalledProcessError as refused:
        if refused.output.strip() != "no":
            raise
        return False


@pytest.mark.parametrize("verb", ["get", "list", "watch"])
def test_the_operator_can_read_no_secret(operator: Cluster, verb: str) -> None:
    assert not allowed(operator, verb, "secrets", ACCOUNT, "--all-namespaces")
    assert allowed(operator, "list", "jobs", ACCOUNT, "--all-namespaces")


def test_the_runner_has_no_token_and_no_rights(shop: Shop) -> None:
    shop.migrate(GOOD)
    shop.settled()
    (pod,) = shop.pods()
    assert pod["spec"]["automountServiceAccountToken"] is False
    volumes = pod["spec"]["volumes"]
    assert not [volume for volume in volumes if "projected" in volume]
    shop.cluster.kubectl("label", "namespace", shop.namespace, "pod-security.kubernetes.io/enforce=restricted")
    shop.migrate(GOOD, version="0")
    assert conditions(shop.settled())["Ready"] == "True RolledBack"


def test_applying_the_examples_twice_changes_nothing_the_second_time(operator: Cluster) -> None:
    examples = CHECKOUT / "examples"
    plain, kustomized, templated = examples / "shop", examples / "argocd/shop/schema", examples / "helm/shop"
    chart = release.helm(operator, "template", "shop", str(templated), "--set=application.enabled=false")
    ways: list[tuple[tuple[str, ...], str]] = [
        (("-f", str(plain)), ""),
        (("-k", str(kustomized)), ""),
        (("-n", "shop", "-f", "-"), chart),
    ]
    for arguments, manifests in ways:
        operator.kubectl("apply", *arguments, input=manifests)
        again = operator.kubectl("apply", *arguments, input=manifests).splitlines()
        assert [line for line in again if not line.endswith(" unchanged")] == []
    operator.kubectl("delete", "namespace", "shop", "--wait=false")


def test_a_resource_that_says_everything_is_applied_twice_without_a_change(shop: Shop) -> None:
    """Defaults of the API server inside a list would be a difference for ever to kubectl and Argo CD."""
    locks = {"maxStall": "50ms", "giveUpAfter": "10s", "showQueries": True}
    target = database(policy={"checksums": "Warn", "locks": locks})
    full = migration(
        scripts={"inline": [GOOD | {"transaction": "Required"}]},
        requires={"extensions": ["plpgsql"]},
        allow=["EmptyScript", "CopyData"],
    )
    shop.apply(target, full)
    assert conditions(shop.settled())["Ready"] == "True Applied"
    again = shop.apply(target, full).splitlines()
    assert [line for line in again if not line.endswith(" unchanged")] == []


def test_a_changed_spec_is_acted_upon_where_only_an_acknowledgement_changes(shop: Shop) -> None:
    empty = {"version": "2", "up": "-- nothing"}
    shop.migrate(GOOD, empty)
    assert conditions(shop.settled())["Stalled"] == "True EmptyMigration"
    shop.migrate(GOOD, empty, allow=["EmptyScript"])
    assert conditions(shop.settled())["Ready"] == "True Applied"
    assert shop.versions() == ["1", "2"]


def test_parts_instead_of_a_uri(shop: Shop) -> None:
    shop.secret("parts", user=SERVER.user, password=SERVER.password)
    shop.apply(
        database(
            connection={
                "host": "postgres.postgres.svc",
                "port": 5432,
                "database": shop.database,
                "userSecret": {"name": "parts", "key": "user"},
                "passwordSecret": {"name": "parts", "key": "password"},
            }
        )
    )
    shop.migrate(GOOD)
    assert conditions(shop.settled())["Ready"] == "True Applied"


def test_a_role_owns_what_the_scripts_create(shop: Shop) -> None:
    role = shop.database.replace("-", "_")
    shop.query(f"CREATE ROLE {role}")
    shop.query(f'GRANT CREATE ON DATABASE "{shop.database}" TO {role}')
    shop.query(f"GRANT CREATE ON SCHEMA public TO {role}")
    shop.apply(database(connection={"uriSecret": {"name": "shop", "key": "uri"}, "role": role}))
    shop.migrate(GOOD)
    assert conditions(shop.settled())["Ready"] == "True Applied"
    assert shop.query("SELECT tableowner FROM pg_tables WHERE tablename = 't'") == [(role,)]


def test_a_requested_run_looks_again(shop: Shop) -> None:
    shop.migrate(GOOD, verify=[{"name": "empty", "sql": "SELECT count(*) FROM t", "expect": "0"}])
    shop.settled()
    shop.query("CREATE TABLE other (); DROP TABLE t; CREATE TABLE t (x int); INSERT INTO t VALUES (1)")
    shop.kubectl("annotate", "sm", "shop", "schema-operator.dev/requested-at=now")
    status = shop.until(lambda found: len(found["status"].get("runs", [])) == 2)
    assert conditions(status)["Verified"] == "False VerificationFailed"
    assert shop.versions() == ["1"]


def test_the_migrations_of_a_real_project(shop: Shop) -> None:
    """Procrastinate's migrations, in their order, through ConfigMaps; the result is its own schema.sql."""
    scripts = numbered_scripts()
    assert len(scripts) >= 38
    names = sorted(scripts)
    shop.query(EMPTY)
    shop.config_map("first", {name: scripts[name] for name in names[::2]})
    shop.config_map("second", {name: scripts[name] for name in names[1::2]})
    shop.migrate(scripts={"configMaps": [{"name": "first"}, {"name": "second"}]})
    status = shop.settled()
    assert conditions(status)["Ready"] == "True Applied"
    assert len(shop.versions()) == len(scripts)
    assert status["version"] == str(len(scripts))
    found = schema_of(shop.local_uri())
    assert "procrastinate_jobs" in found
    shop.query(EMPTY)
    shop.query(schema_sql())
    assert schema_of(shop.local_uri()) == found
