"""The cgroups under which a cluster's kubelet keeps its pods.

Every cluster needs a root of its own: a kubelet removes the pods it does not know, and would remove another's.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

_MOUNT = re.compile(r"^\S+ \S+ \S+ / (?P<place>\S+) .* - (?P<kind>cgroup2?) ", re.MULTILINE)
_PATIENCE = 10.0


def cgroup_root(cluster: str) -> str:
    """Give the path of a cluster's pods within every hierarchy."""
    return f"/schema-operator-{cluster}"


def create(cluster: str) -> None:
    """Make the cluster's cgroup in every hierarchy of the machine."""
    for place, kind in _hierarchies():
        if kind == "cgroup2":
            _delegate(place)
        folder = place / cgroup_root(cluster).lstrip("/")
        folder.mkdir(exist_ok=True)
        if kind == "cgroup2":
            _delegate(folder)


def remove(cluster: str) -> None:
    """Remove the cluster's cgroups. The kernel may hold them for a moment after their last process ended."""
    deadline = time.monotonic() + _PATIENCE
    for place, _ in _hierarchies():
        folder = place / cgroup_root(cluster).lstrip("/")
        for inner in [*sorted(folder.rglob("*/"), reverse=True), folder] if folder.exists() else []:
            _remove_one(inner, deadline)


def _remove_one(folder: Path, deadline: float) -> None:
    while True:
        try:
            folder.rmdir()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def _delegate(folder: Path) -> None:
    """Let the children of a version 2 cgroup use every controller it has."""
    for controller in (folder / "cgroup.controllers").read_text().split():
        (folder / "cgroup.subtree_control").write_text(f"+{controller}")


def _hierarchies() -> list[tuple[Path, str]]:
    mounts = Path("/proc/self/mountinfo").read_text()
    return [(Path(found["place"]), found["kind"]) for found in _MOUNT.finditer(mounts)]
