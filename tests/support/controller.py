"""The product's controller as a process of this machine, with a proxy between it and the API server.

Run as a program it is that controller. It differs from `schema-operator controller` in three things: watches may have
their own way to the API server, they lose patience sooner, and the port of the probe is chosen.
"""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kopf
import yaml
from dev import release
from dev.cluster.kubectl import Cluster

from schema_operator.controller import connection, logs
from schema_operator.controller.handlers import register
from support.operator import Shop

_CHUNK = 65536
IMPATIENT_SECONDS = 4.0
WATCHES_BY = "WATCHES_BY"
"""Environment: the kubeconfig of watches alone."""


def main() -> None:
    """Run the controller for one namespace: IMAGE NAMESPACE PORT."""
    requests_by, watches_by = os.environ["KUBECONFIG"], os.environ.get(WATCHES_BY, os.environ["KUBECONFIG"])
    connection.login = functools.partial(_login_by, requests_by)
    os.environ["KUBECONFIG"] = watches_by
    run(*sys.argv[1:])


def run(image: str, namespace: str, port: str) -> None:
    """Run the controller."""
    logs.configure(logs.LogFormat.TEXT)
    registry = kopf.OperatorRegistry()
    register(registry, image, [namespace])
    kopf.on.startup(registry=registry, id="impatient")(_impatient)
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True
    kopf.run(
        registry=registry,
        settings=settings,
        standalone=True,
        namespaces=[namespace],
        liveness_endpoint=f"http://127.0.0.1:{port}/healthz",
    )


def _login_by(kubeconfig: str, settings: kopf.OperatorSettings) -> kopf.ConnectionInfo | None:
    others, os.environ["KUBECONFIG"] = os.environ["KUBECONFIG"], kubeconfig
    try:
        return kopf.login_with_kubeconfig(settings=settings)
    finally:
        os.environ["KUBECONFIG"] = others


async def _impatient(settings: kopf.OperatorSettings, **_: Any) -> None:
    settings.watching.inactivity_timeout = IMPATIENT_SECONDS


class Gate:
    """A way to a server that can be closed, and whose connections can fall silent."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._silent: set[socket.socket] = set()
        self._closed = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def silence(self) -> int:
        """Forward nothing any more on the connections there are, which stay open; give how many there are."""
        pairs = [pair for pair in self._pairs if pair[0].fileno() != -1]
        self._silent.update(*pairs)
        return len(pairs)

    def close(self) -> None:
        """Break all connections and refuse new ones."""
        self._closed.set()
        for pair in self._pairs:
            self._break(pair)

    def open(self) -> None:
        """Let connections through again."""
        self._closed.clear()

    def end(self) -> None:
        """Stop for good."""
        self.close()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._closed.is_set():
                client.close()
                continue
            server = socket.create_connection(self._target)
            self._pairs.append((client, server))
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._forward, args=(source, sink), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while (data := source.recv(_CHUNK)) or source in self._silent:
                if source in self._silent:
                    if not data:
                        return  # nobody learns that the other end is gone
                    continue
                sink.sendall(data)
        self._break((source, sink))

    @staticmethod
    def _break(pair: tuple[socket.socket, socket.socket]) -> None:
        for end in pair:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@dataclass(frozen=True)
class OwnController:
    """A controller that works in a shop's namespace, behind a gate."""

    gate: Gate
    process: subprocess.Popen[bytes]
    port: int

    def health(self) -> int:
        """Ask as the kubelet does; 0 where nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0


def _kubeconfig(shop: Shop, folder: Path, port: int) -> tuple[Path, tuple[str, int]]:
    """Write a kubeconfig that leads through a port; also give where it would have led."""
    found = yaml.safe_load(Path(shop.cluster.kubeconfig_path).read_text())
    cluster = found["clusters"][0]["cluster"]
    address = urlsplit(cluster["server"])
    cluster.pop("certificate-authority-data", None)
    cluster.pop("certificate-authority", None)
    cluster |= {"server": f"https://127.0.0.1:{port}", "insecure-skip-tls-verify": True}
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(found))
    return path, (str(address.hostname), address.port or 443)


@contextlib.contextmanager
def without_its_own(cluster: Cluster) -> Iterator[str]:
    """Let the controller in the cluster rest meanwhile; give the image it starts runners from."""
    deployment = ("-n", release.NAME, "scale", f"deployment/{release.NAME}")
    image = cluster.kubectl(
        *("-n", release.NAME, "get", f"deployment/{release.NAME}", "-o"),
        "jsonpath={.spec.template.spec.containers[0].image}",
    )
    cluster.kubectl(*deployment, "--replicas=0")
    try:
        yield image
    finally:
        cluster.kubectl(*deployment, "--replicas=1")
        cluster.kubectl("-n", release.NAME, "rollout", "status", f"deployment/{release.NAME}")


def program(module: str, *arguments: str, **environment: str) -> tuple[list[str], dict[str, str]]:
    """Give the command and the environment that start a module of the tests as a process."""
    tests = Path(__file__).parents[1]
    path = os.pathsep.join([str(tests), str(tests.parent), *sys.path])
    return [sys.executable, "-m", module, *arguments], {**os.environ, **environment, "PYTHONPATH": path}


def free_port() -> int:
    """Give a port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


@contextlib.contextmanager
def own_controller(shop: Shop, folder: Path, *, watches_only: bool) -> Iterator[OwnController]:
    """Let a controller of this machine work in place of the one in the cluster.

    Its requests go through the gate, or only its watches.
    """
    _, target = _kubeconfig(shop, folder, 0)
    gate = Gate(*target)
    through, _ = _kubeconfig(shop, folder, gate.port)
    direct = str(shop.cluster.kubeconfig_path)
    ways = {"KUBECONFIG": direct if watches_only else str(through), WATCHES_BY: str(through)}
    port = free_port()
    with without_its_own(shop.cluster) as image:
        command, environment = program("support.controller", image, shop.namespace, str(port), **ways)
        found = OwnController(gate, subprocess.Popen(command, env=environment), port)
        try:
            deadline = time.monotonic() + 60
            while found.health() != 200:
                assert found.process.poll() is None, "the controller ended"
                assert time.monotonic() < deadline, "the controller does not start"
                time.sleep(0.1)
            yield found
        finally:
            found.process.terminate()
            found.process.wait(timeout=30)
            gate.end()


if __name__ == "__main__":
    main()
