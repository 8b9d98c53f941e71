"""`schema-operator controller`: run the controller until it is told to stop."""

from __future__ import annotations

import logging
import os

import kopf

from schema_operator.controller import logs
from schema_operator.controller.handlers import register
from schema_operator.controller.logs import LogFormat

IMAGE = "SCHEMA_OPERATOR_IMAGE"
NAMESPACES = "SCHEMA_OPERATOR_NAMESPACES"
LIVENESS_ENDPOINT = "http://0.0.0.0:8080/healthz"


def main(log_format: LogFormat = LogFormat.JSON) -> int:
    """Run the controller; give the exit code.

    Environment: SCHEMA_OPERATOR_IMAGE is the image of runners; SCHEMA_OPERATOR_NAMESPACES, separated by commas, limits
    the controller to these namespaces.
    """
    logs.configure(log_format)
    image = os.environ.get(IMAGE, "")
    if not image:
        logging.getLogger(__name__).error(
            "the environment variable %s must name the image that runners are started from", IMAGE
        )
        return 2
    namespaces = [item.strip() for item in os.environ.get(NAMESPACES, "").split(",") if item.strip()]
    registry = kopf.OperatorRegistry()
    register(registry, image, namespaces)
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
    return 0
