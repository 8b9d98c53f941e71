"""`schema-operator controller`: run the controller until it is told to stop."""

from __future__ import annotations

import json
import logging
import os
from datetime import UTC, datetime

import kopf

from schema_operator.controller.handlers import register

IMAGE = "SCHEMA_OPERATOR_IMAGE"
NAMESPACES = "SCHEMA_OPERATOR_NAMESPACES"
WATCH_CONFIG_MAPS = "SCHEMA_OPERATOR_WATCH_CONFIG_MAPS"
LIVENESS_ENDPOINT = "http://0.0.0.0:8080/healthz"


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and the traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def main() -> int:
    """Run the controller; give the exit code.

    Environment: SCHEMA_OPERATOR_IMAGE is the image of runners; SCHEMA_OPERATOR_NAMESPACES, separated by commas, limits
    the controller to these namespaces; SCHEMA_OPERATOR_WATCH_CONFIG_MAPS=true lets it watch ConfigMaps that ask for it.
    """
    image = os.environ.get(IMAGE, "")
    if not image:
        logging.getLogger(__name__).error(
            "the environment variable %s must name the image that runners are started from", IMAGE
        )
        return 2
    _log_as_json()
    namespaces = [item.strip() for item in os.environ.get(NAMESPACES, "").split(",") if item.strip()]
    registry = kopf.OperatorRegistry()
    register(registry, image, watch_config_maps=os.environ.get(WATCH_CONFIG_MAPS) == "true")
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


def _log_as_json() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)  # because it says of every event that it was handled
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)  # because probes are not worth a line each
