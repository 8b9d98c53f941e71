"""Waiting for the Lease, holding it while the controller works, and giving it back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from aiohttp import web

from schema_operator.controller.cluster import Cluster
from schema_operator.controller.connection import ApiError
from schema_operator.controller.lease import Elector

_log = logging.getLogger(__name__)


async def stand_by(elector: Elector, endpoint: str) -> bool:
    """Wait until the Lease is held, and answer probes meanwhile; False where the process was told to stop."""
    async with _answering(endpoint), _connected() as cluster:
        _log.info("waiting for the Lease %s/%s", elector.namespace, elector.name)
        waiting = asyncio.ensure_future(elector.wait(cluster))
        # As the first process of a container it would not be ended by the signal itself.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, waiting.cancel)
        try:
            await waiting
        except asyncio.CancelledError:
            return False
        finally:
            asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
    _log.info("the Lease is held by %s", elector.identity)
    return True


async def hold(elector: Elector) -> None:
    """Renew the Lease; end the process when it is lost."""
    try:
        async with _connected() as cluster:
            await elector.keep(cluster)
        _log.error("the Lease %s/%s is lost; the controller stops", elector.namespace, elector.name)
    except Exception:  # noqa: BLE001 (whatever it is, the Lease would run out unnoticed)
        _log.exception("the Lease %s/%s cannot be renewed; the controller stops", elector.namespace, elector.name)
    os._exit(1)


async def give_back(elector: Elector) -> None:
    """Release the Lease after the end of all work."""
    async with _connected() as cluster:
        with contextlib.suppress(ApiError):  # then it runs out
            await elector.release(cluster)


@contextlib.asynccontextmanager
async def _connected() -> AsyncIterator[Cluster]:
    cluster = Cluster.connect()
    try:
        yield cluster
    finally:
        await cluster.close()


@contextlib.asynccontextmanager
async def _answering(endpoint: str) -> AsyncIterator[None]:
    """Answer probes as kopf does once it works."""
    parts = urlsplit(endpoint)

    async def alive(_: web.Request) -> web.Response:
        return web.json_response({"lease": "waiting"})

    application = web.Application()
    application.add_routes([web.get(parts.path, alive)])
    runner = web.AppRunner(application, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, parts.hostname, parts.port).start()
    try:
        yield
    finally:
        await runner.cleanup()
