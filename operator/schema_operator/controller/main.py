"""`schema-operator controller`: run the controller until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from typing import Any

import kopf

from schema_operator.controller import logs
from schema_operator.controller.handlers import Handler, register
from schema_operator.controller.lease import Elector
from schema_operator.controller.logs import LogFormat
from schema_operator.controller.standby import give_back, hold, stand_by

IMAGE = "SCHEMA_OPERATOR_IMAGE"
NAMESPACES = "SCHEMA_OPERATOR_NAMESPACES"
LEASE = "SCHEMA_OPERATOR_LEASE"
WATCH_CONFIG_MAPS = "SCHEMA_OPERATOR_WATCH_CONFIG_MAPS"
LIVENESS_ENDPOINT = "http://0.0.0.0:8080/healthz"


def main(log_format: LogFormat = LogFormat.JSON) -> int:
    """Run the controller; give the exit code.

    Environment: SCHEMA_OPERATOR_IMAGE is the image of runners; SCHEMA_OPERATOR_NAMESPACES, separated by commas, limits
    the controller to these namespaces; SCHEMA_OPERATOR_WATCH_CONFIG_MAPS=true lets it watch ConfigMaps that ask for it;
    SCHEMA_OPERATOR_LEASE, NAMESPACE/NAME, makes it wait until it holds that Lease.
    """
    logs.configure(log_format)
    image = os.environ.get(IMAGE, "")
    if not image:
        logging.getLogger(__name__).error(
            "the environment variable %s must name the image that runners are started from", IMAGE
        )
        return 2
    namespaces = [item.strip() for item in os.environ.get(NAMESPACES, "").split(",") if item.strip()]
    elector = _elector()
    if elector is None:
        _work(image, namespaces)
        return 0
    if not asyncio.run(stand_by(elector, LIVENESS_ENDPOINT)):
        return 0
    try:
        _work(image, namespaces, elector)
    finally:
        asyncio.run(give_back(elector))
    return 0


def _elector() -> Elector | None:
    namespace, _, name = os.environ.get(LEASE, "").partition("/")
    return Elector(namespace, name, socket.gethostname()) if namespace else None


def _work(image: str, namespaces: list[str], elector: Elector | None = None) -> None:
    registry = kopf.OperatorRegistry()
    if elector is not None:
        kopf.on.startup(registry=registry, id="lease")(_holding(elector))
    register(registry, image, namespaces, watch_config_maps=os.environ.get(WATCH_CONFIG_MAPS) == "true")
    settings = kopf.OperatorSettings()
    # Scanning needs the right to list namespaces and CRDs, which an installation for some namespaces does not have.
    settings.scanning.disabled = bool(namespaces)
    kopf.run(
        registry=registry,
        settings=settings,
        standalone=True,
        clusterwide=not namespaces,
        namespaces=namespaces,
        liveness_endpoint=LIVENESS_ENDPOINT,
    )


def _holding(elector: Elector) -> Handler:
    async def held(memo: kopf.Memo, **_: Any) -> None:
        memo.lease = asyncio.create_task(hold(elector))

    return held
