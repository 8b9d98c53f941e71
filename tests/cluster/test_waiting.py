"""An application of the example that starts when its schema is ready, and pipelines that wait as the page says."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from dev.cache import CHECKOUT
from dev.image import image

from support.operator import CANARY, PATIENCE, Shop

APPLICATION = CHECKOUT / "examples/shop-application/application.yaml"
PAGE = CHECKOUT / "docs/waiting.md"
SCRIPT = {"version": "1.0.0", "up": "CREATE TABLE t ();", "down": "DROP TABLE t;"}
GRACE = 30.0
"""Seconds that the kubelet gives a container to end by itself."""


@pytest.fixture
def role(shop: Shop) -> Iterator[str]:
    """A role that may look at the history, once there is one, as the page says."""
    name = shop.namespace.replace("-", "_")
    (block,) = re.findall(r"```sql\n(CREATE SCHEMA schema_operator AUTHORIZATION .*?)```", PAGE.read_text(), re.DOTALL)
    shop.query(f"CREATE ROLE {name} LOGIN PASSWORD '{CANARY}'")
    shop.query(re.sub(r"\bdeploy\b", "owner", block.replace("shop_app", name)))
    yield name
    shop.query(f"DROP OWNED BY {name}; DROP ROLE {name}")


def application(shop: Shop, role: str) -> list[dict[str, Any]]:
    """The example in the shop's namespace, with a main container that goes on until it is stopped."""
    text = APPLICATION.read_text().replace("shop/shop]", f"{shop.namespace}/shop]")
    secret, deployment = yaml.safe_load_all(text.replace("namespace: shop", f"namespace: {shop.namespace}"))
    secret["data"]["uri"] = base64.b64encode(shop.uri(user=role, password=CANARY).encode()).decode()
    pod = deployment["spec"]["template"]["spec"]
    (first,), (main,) = pod["initContainers"], pod["containers"]
    first["image"] = main["image"] = image()
    main |= {"args": ["wait", "--version", "9", "--timeout", "0"], "env": first["env"]}
    deployment["spec"]["replicas"] = 1
    return [secret, deployment]


def waits_for(shop: Shop, text: str) -> None:
    deadline = time.monotonic() + PATIENCE
    log: str = ""
    while text not in log:
        assert time.monotonic() < deadline, log
        time.sleep(0.2)
        running = "jsonpath={.items[*].status.initContainerStatuses[0].state.running.startedAt}"
        if shop.kubectl("get", "pods", "-l", "app=shop", "-o", running):
            log = shop.kubectl("logs", "deployment/shop", "-c", "wait-for-schema")


def test_an_application_starts_when_its_schema_is_ready_and_stops_at_once(shop: Shop, role: str) -> None:
    shop.kubectl("label", "namespace", shop.namespace, "pod-security.kubernetes.io/enforce=restricted")
    shop.apply(*application(shop, role))
    waits_for(shop, "the database has no history yet")
    shop.migrate(SCRIPT)
    shop.kubectl("rollout", "status", "deployment/shop", f"--timeout={PATIENCE:.0f}s")
    log = shop.kubectl("logs", "deployment/shop", "-c", "wait-for-schema")
    assert log.endswith(f"version 1.0.0 of {shop.namespace}/shop is applied\n")
    begun = time.monotonic()
    shop.kubectl("delete", "deployment", "shop", "--cascade=foreground")
    assert time.monotonic() - begun < GRACE / 2


def test_a_pipeline_waits_as_the_page_says(shop: Shop) -> None:
    shop.migrate(SCRIPT, version="1.0.0")
    commands = re.findall(r"kubectl -n shop (wait --for=.*) sm/shop --timeout=\d+m$", PAGE.read_text(), re.MULTILINE)
    generation = shop.kubectl("get", "sm", "shop", "-o", "jsonpath={.metadata.generation}")
    assert len(commands) == 4
    for command in commands:
        known = command.replace('"$generation"', generation).replace("1.4.0", "1.0.0").replace("'", "")
        shop.kubectl(*known.split(), "sm/shop", "--timeout=60s")
