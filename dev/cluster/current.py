"""The cluster kubectl talks to anyway. It is used as it is, and neither created nor deleted."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from dev import programs
from dev.cache import cache, replace
from dev.cluster import local
from dev.cluster.failure import ClusterFailed
from dev.cluster.kubectl import WithKubectl
from dev.cluster.parts import context_name

if TYPE_CHECKING:
    from collections.abc import Callable

_KIND = "kind-"


class CurrentCluster(WithKubectl):
    """The current kubectl context, with the interface of pytest-kind's `KindCluster` except `api`.

    The context is looked up once: a later `kubectl config use-context` does not lead a running test elsewhere.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name, cache() / "kubeconfigs" / "current", programs.kubectl)
        _write_private(self.kubeconfig_path, self._configured("view", "--minify", "--flatten", "--raw"))
        self.context = self._configured("current-context").strip()

    def create(self, config_file: str | Path | None = None) -> None:
        """Ask the cluster whether it is there. `config_file` would be kind's and must be absent."""
        if config_file is not None:
            raise ValueError("The current cluster is used as it is: leave kind's configuration out")
        self.kubectl("get", "--raw", "/readyz", "--request-timeout=30s")

    def delete(self) -> None:
        """Leave the cluster alone: it is not ours."""

    def load_docker_image(self, docker_image: str) -> None:
        """Load an image into a kind cluster or one of our local ones. Raises `ClusterFailed` for any other context."""
        loader = _loader(self.context)
        if loader is None:
            raise ClusterFailed(
                f"No image can be loaded into the context {self.context}. Push {docker_image} to a registry "
                "the cluster can pull from, and name it there: IMAGE=registry/schema-operator:tag"
            )
        loader(docker_image)

    def _configured(self, *question: str) -> str:
        """Ask kubectl about the configuration it would use here."""
        command = [str(self.kubectl_path), "config", *question]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            why = done.stderr.strip()
            raise ClusterFailed(f"kubectl has no current context ({why}). Choose one: kubectl config use-context NAME")
        return done.stdout


def _write_private(path: Path, text: str) -> None:
    """Write a file only its owner can read, and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace(path, text, mode=0o600)


def _loader(context: str) -> Callable[[str], None] | None:
    """Give what loads an image into the cluster of a context, as far as its name tells."""
    ours = context_name("")
    if context.startswith(ours):
        return lambda image: local.load(context.removeprefix(ours), image)
    if context.startswith(_KIND):
        return lambda image: _load_into_kind(context.removeprefix(_KIND), image)
    return None


def _load_into_kind(name: str, image: str) -> None:
    subprocess.run([programs.kind(), "load", "docker-image", "--name", name, image], check=True)
