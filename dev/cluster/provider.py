"""Where a cluster comes from: the environment variable CLUSTER, or else what this machine can do."""

from __future__ import annotations

import os
from enum import StrEnum, unique
from typing import TYPE_CHECKING

from dev.cluster import local
from dev.cluster.current import CurrentCluster
from dev.cluster.kind import kind_cluster, kind_kubeconfig, kind_runs
from dev.cluster.layout import layout
from dev.cluster.local import LocalCluster
from dev.image.builder import docker_answers

if TYPE_CHECKING:
    from pathlib import Path

    from dev.cluster.kubectl import Cluster


@unique
class Source(StrEnum):
    """Where a cluster may come from."""

    CURRENT = "current"
    KIND = "kind"
    LOCAL = "local"


def provider(name: str) -> Cluster:
    """Give the cluster of that name, not yet created, with the interface of pytest-kind's `KindCluster`.

    `$CLUSTER` says where it comes from: `current` is the current kubectl context, whatever the name, and is neither
    created nor deleted; `kind` needs a Docker daemon; `local` needs root. If absent: kind where a Docker daemon
    answers, local otherwise. Raises ValueError for any other value.
    """
    match source():
        case Source.CURRENT:
            return CurrentCluster(name)
        case Source.KIND:
            return kind_cluster(name)
        case Source.LOCAL:
            return LocalCluster(name)


def kubeconfig(name: str) -> Path:
    """Give where the kubeconfig of that cluster is, or will be. Nothing is installed to find out."""
    match source():
        case Source.CURRENT:
            return CurrentCluster(name).kubeconfig_path
        case Source.KIND:
            return kind_kubeconfig(name)
        case Source.LOCAL:
            return layout(name).kubeconfig


def running(name: str) -> bool:
    """Say whether the cluster of that name is there already. The current cluster always is."""
    match source():
        case Source.CURRENT:
            return True
        case Source.KIND:
            return kind_runs(name)
        case Source.LOCAL:
            return local.running(name)


def source() -> Source:
    """Give where clusters come from here."""
    chosen = os.environ.get("CLUSTER")
    if not chosen:
        return Source.KIND if docker_answers() else Source.LOCAL
    if chosen not in set(Source):
        raise ValueError(f"CLUSTER={chosen} is unknown: choose {', '.join(Source)}, or leave it out")
    return Source(chosen)
