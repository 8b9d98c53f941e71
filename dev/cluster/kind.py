"""A cluster in Docker containers, through pytest-kind.

pytest-kind is licensed under the GPL and brings pykube, so it is in no lock of the product: it is installed into this
virtual environment when a kind cluster is asked for.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import subprocess
import sys
from typing import TYPE_CHECKING, cast

from dev import programs
from dev.cache import CHECKOUT, cache

if TYPE_CHECKING:
    from pathlib import Path

    from dev.cluster.kubectl import Cluster

_LOCK = CHECKOUT / "dev/locks/requirements-kind.lock"


def kind_cluster(name: str) -> Cluster:
    """Give pytest-kind's `KindCluster` of that name, with a kind and a kubectl of our version."""
    _install_pytest_kind()
    kubeconfig = kind_kubeconfig(name)
    kubeconfig.parent.mkdir(parents=True, exist_ok=True)
    module = importlib.import_module("pytest_kind.cluster")
    # KindCluster makes a folder for its own downloads where it is constructed; with both programs given it stays empty.
    with contextlib.chdir(kubeconfig.parent):
        made = module.KindCluster(
            _kind_name(name), kubeconfig=kubeconfig, kind_path=programs.kind(), kubectl_path=programs.kubectl()
        )
    return cast("Cluster", made)


def kind_kubeconfig(name: str) -> Path:
    """Give where the kubeconfig of a kind cluster is kept."""
    return cache() / "kubeconfigs" / f"kind-{name}"


def kind_runs(name: str) -> bool:
    """Say whether kind has a cluster of that name."""
    said = subprocess.run([programs.kind(), "get", "clusters"], check=True, capture_output=True, text=True).stdout
    return _kind_name(name) in said.splitlines()


def _kind_name(name: str) -> str:
    """Give the name kind knows, which shares its names with everybody else's clusters."""
    return f"schema-operator-{name}"


def _install_pytest_kind() -> None:
    if importlib.util.find_spec("pytest_kind") is None:
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", f"-r{_LOCK}"], check=True
        )
        importlib.invalidate_caches()
