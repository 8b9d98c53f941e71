"""Kills the controller exactly around one of its requests, and lets the next one go on.

The controller is a process of this machine. It speaks HTTP to a proxy, and that speaks to the API server as `kubectl
proxy` does, so that all it asks and is answered can be read on the way.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp
import yaml
from aiohttp import web
from dev.cluster.kubectl import Cluster

from support.controller import free_port, start, without_its_own

_NOT_FORWARDED = frozenset(
    {"host", "connection", "content-length", "transfer-encoding", "accept-encoding", "authorization"}
)
_NOT_RETURNED = frozenset({"connection", "content-length", "transfer-encoding", "content-encoding"})


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of the controller, and its answer once there is one."""

    method: str
    path: str
    body: Any = None
    answer: Any = None


@dataclass(frozen=True, slots=True)
class Point:
    """Where the controller is killed: a request, before it reaches the API server or before its answer comes back."""

    request: Callable[[Asked], bool]
    before: bool = False


@dataclass(slots=True)
class Way:
    """A proxy to a server, which can stop the process that uses it."""

    target: str
    stop: Callable[[], None]
    point: Point | None = None
    stopped: threading.Event = field(default_factory=threading.Event)
    """Set once the point was reached."""
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _thread: threading.Thread | None = None
    port: int = 0

    def __enter__(self) -> Self:
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve(ready)))
        self._thread.start()
        assert ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        for task in asyncio.all_tasks(self._loop):
            self._loop.call_soon_threadsafe(task.cancel)
        if self._thread is not None:
            self._thread.join()
        self._loop.close()

    async def _serve(self, ready: threading.Event) -> None:
        app = web.Application()
        runner = web.AppRunner(app, access_log=None)
        forever = aiohttp.ClientTimeout(total=None)
        with contextlib.suppress(asyncio.CancelledError):
            async with aiohttp.ClientSession(self.target, timeout=forever) as session:

                async def passed(request: web.Request) -> web.StreamResponse:
                    return await self._pass(session, request)

                app.router.add_route("*", "/{path:.*}", passed)
                await runner.setup()
                await web.TCPSite(runner, "127.0.0.1", 0).start()
                self.port = runner.addresses[0][1]
                ready.set()
                await asyncio.Event().wait()
        await runner.cleanup()

    async def _pass(self, session: aiohttp.ClientSession, request: web.Request) -> web.StreamResponse:
        sent = await request.read()
        asked = Asked(request.method, request.path, _plain(sent))
        if self._reached(asked, before=True):
            return self._lost(request)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _NOT_FORWARDED}
        headers["Accept-Encoding"] = "identity"
        async with session.request(request.method, request.path_qs, data=sent or None, headers=headers) as got:
            back = {name: value for name, value in got.headers.items() if name.lower() not in _NOT_RETURNED}
            if "watch" in request.query:
                return await self._stream(request, got, back)
            answer = await got.read()
        asked = Asked(asked.method, asked.path, asked.body, _plain(answer))
        if got.ok and self._reached(asked, before=False):
            return self._lost(request)
        return web.Response(status=got.status, body=answer, headers=back)

    @staticmethod
    async def _stream(request: web.Request, got: aiohttp.ClientResponse, headers: dict[str, str]) -> web.StreamResponse:
        response = web.StreamResponse(status=got.status, headers=headers)
        with contextlib.suppress(OSError):
            await response.prepare(request)
            async for part in got.content.iter_any():
                await response.write(part)
        return response

    def _reached(self, asked: Asked, *, before: bool) -> bool:
        point = self.point
        if point is None or point.before is not before or not point.request(asked):
            return False
        self.point = None
        self.stop()
        self.stopped.set()
        return True

    @staticmethod
    def _lost(request: web.Request) -> web.StreamResponse:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()


def _plain(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None


@dataclass(slots=True)
class Controllers:
    """One controller after another, each until it is killed."""

    image: str
    folder: Path
    way: Way | None = None
    _process: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        """Start the next one, for all namespaces."""
        assert self.way is not None
        assert self._process is None
        kubeconfig = self.folder / "kubeconfig"
        kubeconfig.write_text(yaml.safe_dump(_kubeconfig(f"http://127.0.0.1:{self.way.port}")))
        self._process = start(self.image, free_port(), KUBECONFIG=str(kubeconfig))

    def kill(self) -> None:
        """Kill the one there is, and wait until it is gone."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def die_at(self, point: Point) -> None:
        """Let the one there is be killed at a point."""
        assert self.way is not None
        self.way.stopped.clear()
        self.way.point = point

    def died(self, seconds: float) -> bool:
        """Wait until the point was reached; tell whether it was."""
        assert self.way is not None
        return self.way.stopped.wait(seconds)


def _kubeconfig(server: str) -> dict[str, Any]:
    one = {"name": "way", "cluster": {"server": server}}
    context = {"name": "way", "context": {"cluster": "way", "user": "way"}}
    user = {"name": "way", "user": {"token": "kubectl-proxy-has-its-own"}}
    kind = {"apiVersion": "v1", "kind": "Config", "current-context": "way"}
    return {**kind, "clusters": [one], "contexts": [context], "users": [user]}


@contextlib.contextmanager
def controllers(cluster: Cluster, folder: Path) -> Iterator[Controllers]:
    """Let controllers of this machine work, one after the other, in place of the one in the cluster."""
    with without_its_own(cluster) as image, _kubectl_proxy(cluster) as target:
        found = Controllers(image, folder)
        try:
            with Way(target, found.kill) as way:
                found.way = way
                found.begin()
                yield found
        finally:
            found.kill()


@contextlib.contextmanager
def _kubectl_proxy(cluster: Cluster) -> Iterator[str]:
    command = [str(cluster.kubectl_path), f"--kubeconfig={cluster.kubeconfig_path}", "proxy", "--port=0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        said = process.stdout.readline()
        yield f"http://{said.rpartition(' ')[2].strip()}"
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()
