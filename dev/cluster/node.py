"""The first process of a node, in network, mount and PID namespaces of its own. It starts the parts and watches them.

Started by `local.py` as `unshare --net --mount --pid --fork python3 -m dev.cluster.node NAME PROGRAMS`. It writes its
process id as the host sees it, and waits for the number of its network's slot; if that does not come, it ends. When
this process ends, however that happens, the kernel ends every other process of the namespace (the parts, containerd's
shims, the containers), and with the last one go all mounts, addresses and routes. Nothing has to be cleaned up.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from http import HTTPStatus
from pathlib import Path
from typing import Any

from dev.cluster import cgroups
from dev.cluster.layout import Layout, layout
from dev.cluster.network import Network, ip
from dev.cluster.parts import (
    CTR,
    USERS,
    Node,
    Part,
    api_server,
    configuration,
    first_parts,
    kubeconfig,
    name_service,
    other_parts,
)
from dev.cluster.pause import write_pause_image
from dev.cluster.status import State, Status

_PATIENCE = 90.0
_PAUSE_BETWEEN_LOOKS = 0.05
# What each node has of its own under /var; the host's folders of these names are covered.
_VAR = ("lib/etcd", "lib/kubelet", "lib/containerd", "lib/cni", "log")


class PartFailed(Exception):
    """A part of the node does not work."""

    def __init__(self, part: str, why: str) -> None:
        super().__init__(f"{part} {why}")
        self.part = part
        self.why = why


class Running:
    """The parts that were started. The only state of this program."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, part: Part) -> None:
        """Start a part; it writes to a log of its name."""
        Status(State.STARTING, part.name).write(self._node.layout.status)
        with self._node.layout.log(part.name).open("ab") as log:
            self._processes[part.name] = subprocess.Popen(
                part.command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=self._node.layout.etc
            )

    def wait_for(self, part: Part) -> None:
        """Wait until a part works. Raises PartFailed where it ends instead, or takes too long."""
        self.wait_until(part.name, f"answer at {part.health}", lambda: _answers(part.health))

    def wait_until(self, part: str, goal: str, reached: Any) -> None:
        """Wait until `reached()` holds, for which `part` is responsible. Raises PartFailed."""
        deadline = time.monotonic() + _PATIENCE
        while not reached():
            status = self._processes[part].poll()
            if status is not None:
                raise PartFailed(part, f"ended with exit status {status}")
            if time.monotonic() > deadline:
                raise PartFailed(part, f"did not {goal} within {_PATIENCE:.0f} s")
            time.sleep(_PAUSE_BETWEEN_LOOKS)

    def watch(self) -> None:
        """Collect every process that ends, and write down when it was a part. Returns when none is left."""
        names = {process.pid: name for name, process in self._processes.items()}
        while True:
            try:
                pid, status = os.wait()
            except ChildProcessError:
                return
            if pid in names:
                why = f"ended with exit status {os.waitstatus_to_exitcode(status)}"
                Status(State.FAILED, names[pid], why).write(self._node.layout.status)


class Api:
    """The little of the API that is needed before the node is handed over, as the administrator."""

    def __init__(self, node: Node, token: str) -> None:
        self._server = node.server
        self._token = token
        self._tls = ssl.create_default_context(cafile=str(node.layout.certificate))

    def get(self, path: str) -> dict[str, Any] | None:
        """Give an object, None where it does not exist (yet)."""
        return self._send(path, None)

    def create(self, path: str, thing: dict[str, object]) -> bool:
        """Create an object; say whether its namespace was there already."""
        return self._send(path, json.dumps(thing).encode()) is not None

    def _send(self, path: str, body: bytes | None) -> dict[str, Any] | None:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self._server + path, body, headers)  # noqa: S310 - our own https URL
        try:
            with urllib.request.urlopen(request, context=self._tls, timeout=10) as answer:  # noqa: S310
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            if error.code == HTTPStatus.NOT_FOUND:
                return None
            raise


def main() -> None:
    """Be the first process of a node."""
    home, programs = layout(sys.argv[1]), Path(sys.argv[2])
    # /proc is still the host's, so this link names the process as the host knows it.
    print(Path("/proc/self").readlink(), flush=True)
    slot = sys.stdin.readline()
    if not slot:
        return
    node = Node(home, Network(int(slot)), programs, _snapshotter(home))
    os.dup2(2, 1)
    running = Running(node)
    try:
        _start_all(node, running)
    except PartFailed as failure:
        Status(State.FAILED, failure.part, failure.why).write(home.status)
    except Exception as error:
        Status(State.FAILED, "node", f"failed: {error}").write(home.status)
        raise
    running.watch()


def _start_all(node: Node, running: Running) -> None:
    _mount(node.layout)
    _connect(node.network)
    cgroups.create(node.layout.name)
    tokens = {user: secrets.token_hex(16) for user in USERS}
    _write_configuration(node, tokens)
    early, server = first_parts(node), api_server(node)
    for part in early:
        running.start(part)
    for part in early:
        running.wait_for(part)
    running.start(server)
    _import_pause(node)
    running.wait_for(server)
    late = other_parts(node)
    for part in late:
        running.start(part)
    _announce(node, running, Api(node, tokens["admin"]))
    for part in late:
        running.wait_for(part)
    _hand_over(node, tokens["admin"])


def _announce(node: Node, running: Running, api: Api) -> None:
    """Wait until pods can be made here and names be looked up."""
    for path, thing in name_service(node):
        running.wait_until("apiserver", "make the namespace kube-system", lambda: api.create(path, thing))  # noqa: B023 - called at once
    running.wait_until("kubelet", "make its node Ready", lambda: _ready(api.get(f"/api/v1/nodes/{node.name}")))
    for wanted in ("serviceaccounts/default", "configmaps/kube-root-ca.crt"):
        path = f"/api/v1/namespaces/default/{wanted}"
        running.wait_until("controller-manager", f"make {wanted}", lambda: api.get(path) is not None)  # noqa: B023 - called at once


def _ready(node: dict[str, Any] | None) -> bool:
    conditions = node["status"].get("conditions", []) if node else []
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def _hand_over(node: Node, token: str) -> None:
    """Write the kubeconfig for the host, then say that the node is ready."""
    authority = base64.b64encode(node.layout.certificate.read_bytes()).decode()
    text = kubeconfig(node, token, {"certificate-authority-data": authority})
    node.layout.kubeconfig.touch(mode=0o600)
    node.layout.kubeconfig.write_text(text)
    Status(State.READY).write(node.layout.status)


def _mount(home: Layout) -> None:
    """Give the node folders of its own for what the parts keep in fixed places."""
    _run("mount", "-t", "proc", "proc", "/proc")
    _run("mount", "-t", "tmpfs", "-o", "mode=755", "node", "/run")
    for name in _VAR:
        home.var(name).mkdir(parents=True, exist_ok=True)
        Path("/var", name).mkdir(parents=True, exist_ok=True)
        _run("mount", "--bind", str(home.var(name)), f"/var/{name}")
    # Kubernetes hands mounts on to containers, which needs peer groups; these end with this mount namespace.
    _run("mount", "--make-rshared", "/")


def _connect(network: Network) -> None:
    ip("link", "set", "lo", "up")
    ip("address", "add", f"{network.node}/{network.between.prefixlen}", "dev", "eth0")
    ip("link", "set", "eth0", "up")
    ip("route", "add", "default", "via", str(network.host))
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


def _write_configuration(node: Node, tokens: dict[str, str]) -> None:
    for folder in (node.layout.etc / "pki", node.layout.etc / "cni", node.layout.logs):
        folder.mkdir(parents=True, exist_ok=True)
    node.layout.etc.chmod(0o700)
    for name, text in configuration(node, tokens).items():
        (node.layout.etc / name).write_text(text)
    _run("openssl", "genrsa", "-out", str(node.layout.etc / "pki/service-account.key"), "2048")


def _import_pause(node: Node) -> None:
    archive = node.layout.home / "pause.tar"
    write_pause_image(node.programs / "pause", archive)
    _run(*CTR, "images", "import", str(archive))


def _snapshotter(home: Layout) -> str:
    """Overlay file systems cannot be stacked: where the cache lies on one, files are copied instead."""
    kind = subprocess.run(
        ["stat", "--file-system", "--format=%T", home.home], check=True, capture_output=True, text=True
    )
    return "native" if kind.stdout.strip() == "overlayfs" else "overlayfs"


def _answers(health: str) -> bool:
    """Say whether a part answers: a socket takes a connection, a URL gives 200."""
    if health.startswith("/"):
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(health) == 0
    try:
        # The certificates are made by the parts themselves and only asked whether anybody is there.
        urllib.request.urlopen(health, context=ssl._create_unverified_context(), timeout=5).close()  # noqa: S310, S323, SLF001
    except OSError:
        return False
    return True


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
