"""Kills a controller exactly around one of its requests, and lets the next one go on.

Controllers are processes of this machine, one a namespace at a time. They speak HTTP to a proxy, and that to `kubectl
proxy`, so that all they ask and are answered can be read on the way. Run as a program, this module forks them: to
import all they need takes a second each.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Self

import aiohttp
import yaml
from aiohttp import web
from dev.cluster.kubectl import Cluster

from support.controller import free_port, program, run, without_its_own

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
class Controllers:
    """One controller of a namespace after another, each until it is killed."""

    forks: Forks
    image: str
    namespace: str
    point: Point | None = None
    dead: threading.Event = field(default_factory=threading.Event)
    _process: int | None = None

    def begin(self) -> None:
        """Start the next one."""
        assert self._process is None
        self._process = self.forks.begin(self.image, self.namespace, str(free_port()))

    def kill(self) -> None:
        """Kill the one there is, and wait until it is gone."""
        process, self._process = self._process, None
        if process is not None:
            self.forks.kill(process)

    def die_at(self, point: Point) -> None:
        """Let the one there is be killed at a point."""
        self.dead.clear()
        self.point = point

    def reached(self, asked: Asked, *, before: bool) -> bool:
        """Kill the one there is where this is the point; tell whether it was."""
        point = self.point
        if point is None or point.before is not before or not point.request(asked):
            return False
        self.point = None
        self.kill()
        self.dead.set()
        return True


@dataclass(slots=True)
class Way:
    """A proxy to the API server, by which the controllers are killed on their requests."""

    target: str
    """Where the API server takes requests without credentials."""
    controllers: dict[str, Controllers] = field(default_factory=dict)
    """By namespace."""
    port: int = 0
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _thread: threading.Thread | None = None

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
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
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
        _, _, rest = asked.path.partition("/namespaces/")
        those = self.controllers.get(rest.partition("/")[0])
        return those is not None and those.reached(asked, before=before)

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


class Forks:
    """Starts and kills controllers."""

    def __init__(self, kubeconfig: Path) -> None:
        command, environment = program("support.points", KUBECONFIG=str(kubeconfig))
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._lock = threading.Lock()

    def begin(self, *arguments: str) -> int:
        """Start one; give its number."""
        return int(self._order("begin", *arguments))

    def kill(self, number: int) -> None:
        """Kill one, and wait until it is gone."""
        self._order("kill", str(number))

    def _order(self, *words: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(" ".join(words) + "\n")
            self._process.stdin.flush()
            return self._process.stdout.readline()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:
            self._process.kill()


def serve() -> None:
    """Carry orders out until there are no more."""
    for line in sys.stdin:
        order, *words = line.split()
        if order == "begin":
            number = os.fork()
            if number == 0:
                _become_a_controller(*words)
        else:
            number = int(words[0])
            os.kill(number, signal.SIGKILL)  # it has not been waited for, so its number is still its own
            os.waitpid(number, 0)
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


def _become_a_controller(image: str, namespace: str, port: str) -> NoReturn:
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    run(image, namespace, port)
    sys.exit()


def _kubeconfig(server: str) -> dict[str, Any]:
    one = {"name": "way", "cluster": {"server": server}}
    context = {"name": "way", "context": {"cluster": "way", "user": "way"}}
    user = {"name": "way", "user": {"token": "kubectl-proxy-has-its-own"}}
    kind = {"apiVersion": "v1", "kind": "Config", "current-context": "way"}
    return {**kind, "clusters": [one], "contexts": [context], "users": [user]}


@dataclass(frozen=True, slots=True)
class Stage:
    """A cluster whose own controller rests, so that others can work in its namespaces."""

    image: str
    """What runs are started from."""
    way: Way
    forks: Forks

    @contextlib.contextmanager
    def controllers(self, namespace: str) -> Iterator[Controllers]:
        """Let controllers work in a namespace, one after the other."""
        found = Controllers(self.forks, self.image, namespace)
        self.way.controllers[namespace] = found
        found.begin()
        try:
            yield found
        finally:
            found.kill()


@contextlib.contextmanager
def stage(cluster: Cluster, folder: Path) -> Iterator[Stage]:
    """Let the controller of a cluster rest, and make a way to its API server for others."""
    with without_its_own(cluster) as image, _kubectl_proxy(cluster) as server, Way(server) as way:
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(yaml.safe_dump(_kubeconfig(f"http://127.0.0.1:{way.port}")))
        with Forks(kubeconfig) as forks:
            yield Stage(image, way, forks)


@contextlib.contextmanager
def _kubectl_proxy(cluster: Cluster) -> Iterator[str]:
    command = [str(cluster.kubectl_path), f"--kubeconfig={cluster.kubeconfig_path}", "proxy", "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://{process.stdout.readline().rpartition(' ')[2].strip()}"
        finally:
            process.terminate()


if __name__ == "__main__":
    serve()
