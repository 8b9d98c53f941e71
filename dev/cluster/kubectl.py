"""What every kind of cluster can do once it is there: run kubectl, forward a port."""

from __future__ import annotations

import re
import subprocess
from contextlib import contextmanager
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any, Protocol

from dev.cache import environment
from dev.cluster.failure import ClusterFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextlib import AbstractContextManager
    from pathlib import Path

_FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(?P<port>\d+) ->")


class Cluster(Protocol):
    """The part of pytest-kind's `KindCluster` that all our clusters have."""

    name: str
    kubeconfig_path: Path

    @property
    def kubectl_path(self) -> Path:
        """The kubectl that is used."""

    def create(self, config_file: str | Path | None = None) -> None:
        """Create the cluster if it is not there, and use it again if it is."""

    def delete(self) -> None:
        """Delete the cluster with all that is in it."""

    def load_docker_image(self, docker_image: str) -> None:
        """Make an image of this machine's builder known to the cluster's nodes."""

    def ensure_kubectl(self) -> None:
        """Make `kubectl_path` a program that is there."""

    def kubectl(self, *args: str, **kwargs: Any) -> str:
        """Run kubectl and give what it prints; keywords go to `subprocess.check_output`."""

    def port_forward(
        self, service_or_pod_name: str, remote_port: int, *args: str, local_port: int | None = None, retries: int = 10
    ) -> AbstractContextManager[int]:
        """Forward a local port while the context lasts; gives its number."""


class WithKubectl:
    """Kubectl with one kubeconfig, with `KindCluster`'s interface."""

    def __init__(self, name: str, kubeconfig: Path, kubectl: Callable[[], Path]) -> None:
        self.name = name
        self.kubeconfig_path = kubeconfig
        self._find_kubectl = kubectl

    @cached_property
    def kubectl_path(self) -> Path:
        """The kubectl that is used, built when it is first asked for and not there."""
        return self._find_kubectl()

    def ensure_kubectl(self) -> None:
        """Build kubectl where that is needed. Raises FileNotFoundError where a given one is not there."""
        if not self.kubectl_path.exists():
            raise FileNotFoundError(f"There is no kubectl at {self.kubectl_path}")

    def kubectl(self, *args: str, **kwargs: Any) -> str:
        """Run kubectl and give what it prints; keywords go to `subprocess.check_output`.

        Raises `CalledProcessError` where kubectl fails.
        """
        self.ensure_kubectl()
        command = [str(self.kubectl_path), *args]
        said: str = subprocess.check_output(command, env=self._environment(), encoding="utf-8", **kwargs)
        return said

    @contextmanager
    def port_forward(
        self, service_or_pod_name: str, remote_port: int, *args: str, local_port: int | None = None, retries: int = 10
    ) -> Generator[int]:
        """Forward `local_port`, or a free one, while the context lasts; gives its number.

        A forward that ends at once, for instance because the pod is not running yet, is tried again up to `retries`
        times. `args` are further arguments of `kubectl port-forward`. Raises `ClusterFailed`.
        """
        ports = f"{local_port or ''}:{remote_port}"
        command = [str(self.kubectl_path), "port-forward", service_or_pod_name, ports, "--address=127.0.0.1", *args]
        process, port = self._forward(command, retries)
        try:
            yield port
        finally:
            process.terminate()
            process.communicate()

    def _forward(self, command: list[str], retries: int) -> tuple[subprocess.Popen[str], int]:
        self.ensure_kubectl()
        for _ in range(retries):
            process = subprocess.Popen(command, env=self._environment(), stdout=subprocess.PIPE, text=True)
            port = _forwarded_port(process.stdout)
            if port is not None:
                return process, port
            process.communicate()
        raise ClusterFailed(f"'{' '.join(command[1:4])}' did not start in {retries} attempts; kubectl said why")

    def _environment(self) -> dict[str, str]:
        return environment(KUBECONFIG=str(self.kubeconfig_path))


def _forwarded_port(output: IO[str] | None) -> int | None:
    """Give the port kubectl says it forwards, None where it ended instead."""
    for line in output or ():
        if found := _FORWARDING.match(line):
            return int(found["port"])
    return None
