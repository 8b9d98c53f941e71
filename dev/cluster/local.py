"""A local cluster: one node in namespaces of this machine, without Docker. Needs root and a Debian-like system."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from dataclasses import replace as replaced
from pathlib import Path
from urllib.parse import quote

from dev import debian, programs
from dev.cache import CHECKOUT, environment, locked, replace
from dev.cluster import cgroups, network, status
from dev.cluster.failure import ClusterFailed
from dev.cluster.kubectl import WithKubectl
from dev.cluster.layout import Layout, layout
from dev.cluster.parts import CTR
from dev.cluster.processes import Record, start_time
from dev.cluster.status import State, Status
from dev.image.builder import builder
from dev.progress import run_quietly, say

PACKAGES = (
    debian.Package("containerd", "containerd"),
    debian.Package("runc", "runc"),
    debian.Package("containernetworking-plugins", "/usr/lib/cni/ptp"),
    debian.Package("nftables", "nft"),
    debian.Package("iproute2", "ip"),
    debian.Package("openssl", "openssl"),
)
_START = 180.0
_STOP = 30.0
_ANSWER = 5
_PAUSE = 0.05
_LINES = 15
_NO_STATUS = Status(State.STARTING, "node")


class LocalCluster(WithKubectl):
    """A local cluster with the interface of pytest-kind's `KindCluster`, except `api`, which would need pykube.

    `name` may be any; clusters of different names do not disturb each other. Pods reach each other and the host, not
    the internet; no NetworkPolicy is enforced, and no host port is served. `image` and `kind_path` are there for
    the interface's sake and must be absent: there is no node image and no kind.
    """

    def __init__(
        self,
        name: str,
        kubeconfig: Path | None = None,
        image: str | None = None,
        kind_path: Path | None = None,
        kubectl_path: Path | None = None,
    ) -> None:
        if image is not None or kind_path is not None:
            raise ValueError("A local cluster has neither a node image nor a kind program: leave both out")
        self._layout = layout(name)
        super().__init__(name, kubeconfig or self._layout.kubeconfig, lambda: kubectl_path or _kubectl())

    def ensure_kind(self) -> None:
        """Build and install what a node consists of."""
        prepare()

    def create(self, config_file: str | Path | None = None) -> None:
        """Start the cluster; quick where it runs, from scratch where something of it has died.

        `config_file` would be kind's and must be absent. Raises `ClusterFailed`.
        """
        if config_file is not None:
            raise ValueError("A local cluster always has one node: leave kind's configuration out")
        up(self.name)
        if self.kubeconfig_path != self._layout.kubeconfig:
            replace(self.kubeconfig_path, self._layout.kubeconfig.read_text(), mode=0o600)

    def delete(self) -> None:
        """Stop the cluster and remove all that was in it."""
        down(self.name)

    def load_docker_image(self, docker_image: str) -> None:
        """Copy an image of this machine's builder to the node; quick where it is there."""
        load(self.name, docker_image)


def prepare() -> Path:
    """Install what a node needs and give the folder of our own programs. Quick where all is there."""
    if os.geteuid() != 0:
        raise ClusterFailed("A local cluster needs root. Run this as root, or choose another: CLUSTER=kind or current")
    debian.install(*PACKAGES)
    return programs.localkube()


def up(name: str) -> None:
    """Start a cluster, or find it running. Raises `ClusterFailed`."""
    place = layout(name)
    built = prepare()
    with locked(f"cluster-{name}"):
        if _healthy(place):
            return
        _say_what_is_wrong(place)
        _clean(place)
        _start(place, built)


def down(name: str) -> None:
    """Stop a cluster and remove its files and whatever a killed run left of it."""
    with locked(f"cluster-{name}"):
        _clean(layout(name))


def running(name: str) -> bool:
    """Say whether a cluster of that name is there and whole."""
    return _healthy(layout(name))


def load(name: str, image: str) -> None:
    """Import an image of this machine's builder into the node's containerd. Quick where it is there.

    Raises `ClusterFailed` where the image or the cluster does not exist.
    """
    place, here = layout(name), builder()
    found, record = here.image_id(image), _record(place)
    if found is None:
        raise ClusterFailed(f"There is no image {image} to load. Build it first: make image")
    if record is None or not record.alive():
        raise ClusterFailed(
            f"There is no cluster {name} to load an image into. Start it first: make cluster NAME={name}"
        )
    marker = place.loaded / quote(image, safe="")
    if marker.exists() and marker.read_text() == found:
        return
    with tempfile.TemporaryDirectory(dir=place.home) as folder:
        archive = Path(folder, "image.tar")
        here.archive(image, archive)
        # With its digest, as if it had been pulled: the kubelet tells it of what runs, and pods may name it.
        repository = image.rpartition(":")[0] or image
        _inside(record, *CTR, "images", "import", "--digests", f"--base-name={repository}", str(archive))
    place.loaded.mkdir(exist_ok=True)
    replace(marker, found)


def _inside(record: Record, *command: str) -> None:
    """Run a program in the node's namespaces."""
    run_quietly(("nsenter", f"--target={record.pid}", "--mount", "--net", "--pid", *command))


def _start(place: Layout, built: Path) -> None:
    """Start a node and wait until it is ready. What failed is stopped again; its logs stay until the next start."""
    place.logs.mkdir(parents=True)
    node = _start_first_process(place, built)
    try:
        _wait_until_ready(place, node)
    except BaseException:
        node.kill(_STOP)
        raise


def _wait_until_ready(place: Layout, node: Record) -> None:
    deadline = time.monotonic() + _START
    while True:
        now = status.read(place.status) or _NO_STATUS
        if now.state is State.READY:
            return
        if now.state is State.FAILED:
            raise ClusterFailed(_explanation(place, now))
        if not node.alive():
            raise ClusterFailed(_explanation(place, Status(State.FAILED, "node", "ended while it started")))
        if time.monotonic() > deadline:
            raise ClusterFailed(_explanation(place, replaced(now, why=f"was not ready after {_START:.0f} s")))
        time.sleep(_PAUSE)


def _start_first_process(place: Layout, built: Path) -> Record:
    """Start the node's first process, connect it with the host, write down who it is, and let it go.

    If this run is killed before the end of it, the process finds its standard input closed and ends by itself.
    """
    namespaces = ("unshare", "--net", "--mount", "--pid", "--fork", "--propagation", "private")
    command = ("setsid", "--fork", *namespaces, sys.executable, "-m", "dev.cluster.node", place.name, str(built))
    pipe = subprocess.PIPE
    with (
        place.log("node").open("ab") as log,
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=log, cwd=CHECKOUT, text=True, bufsize=1) as process,
    ):
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("Popen gave no pipes though asked to")
        said = process.stdout.readline()
        started = start_time(int(said)) if said else None
        if started is None:
            raise ClusterFailed(_explanation(place, Status(State.FAILED, "node", "ended at once")))
        node = Record(int(said), started)
        slot = network.connect(node.pid).slot
        replace(place.record, json.dumps(asdict(node)))
        process.stdin.write(f"{slot}\n")
    return node


def _explanation(place: Layout, last: Status) -> str:
    why = last.why or "did not start in time"
    log = place.log(last.part or "node")
    end = log.read_text(errors="replace").splitlines()[-_LINES:] if log.exists() else []
    return "\n".join([f"Cluster {place.name}: {last.part} {why}. The end of {log}:", *end])


def _healthy(place: Layout) -> bool:
    """Say whether the node runs, no part of it has ended, and the API server answers."""
    record, last = _record(place), status.read(place.status)
    if record is None or not record.alive() or last is None or last.state is not State.READY:
        return False
    command = [str(_kubectl()), f"--request-timeout={_ANSWER}s", "get", "--raw", "/readyz"]
    settings = environment(KUBECONFIG=str(place.kubeconfig))
    return subprocess.run(command, check=False, capture_output=True, env=settings).returncode == 0


def _kubectl() -> Path:
    """Give the kubectl of exactly the cluster's version."""
    return programs.localkube() / "kubectl"


def _say_what_is_wrong(place: Layout) -> None:
    """Tell that a cluster which somebody may have worked with is started afresh, and why."""
    last = status.read(place.status)
    if last is not None:
        why = f"{last.part} {last.why}" if last.state is State.FAILED else "it was killed, or does not answer"
        say(f"Cluster {place.name} is not whole ({why}): starting it afresh")


def _record(place: Layout) -> Record | None:
    try:
        return Record(**json.loads(place.record.read_text()))
    except FileNotFoundError:
        return None


def _clean(place: Layout) -> None:
    """Remove a cluster in whatever state it is. The node's first process takes everything else with it."""
    record = _record(place)
    if record is not None:
        record.kill(_STOP)
    cgroups.remove(place.name)
    if place.home.exists():
        shutil.rmtree(place.home)
