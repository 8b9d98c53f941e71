"""Puts the operator of this checkout into a cluster, with its chart."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from dev import programs
from dev.cache import CHECKOUT, environment
from dev.image import image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dev.cluster.kubectl import Cluster

NAME = "schema-operator"
CHART = CHECKOUT / "charts/schema-operator"


def install(
    cluster: Cluster,
    namespaces: Sequence[str] = (),
    name: str = NAME,
    *,
    crds: bool = True,
    watch_config_maps: bool = False,
    more: Sequence[str] = (),
) -> str:
    """Install or upgrade the operator and wait until it is ready; give the image it runs.

    `name` is that of the release and of its namespace. With `namespaces` it works in these only; without `crds` it uses
    the definitions that are there; `watch_config_maps` and `more` are further values of the chart. Raises
    CalledProcessError where helm fails, with its words shown.
    """
    built = image()
    if "IMAGE" not in os.environ:
        cluster.load_docker_image(built)
    repository, _, tag = built.rpartition(":")
    values = [f"image.repository={repository}", f"image.tag={tag}", f"crds.enabled={str(crds).lower()}"]
    values += [f"watchNamespaces={{{','.join(namespaces)}}}"] if namespaces else []
    values += [f"watchConfigMaps={str(watch_config_maps).lower()}", *more]
    helm(
        cluster,
        *(
            "upgrade",
            "--install",
            name,
            str(CHART),
            "--namespace",
            name,
            "--create-namespace",
            "--wait",
            "--timeout=3m",
        ),
        *(f"--set={value}" for value in values),
    )
    return built


def helm(cluster: Cluster, *arguments: str) -> str:
    """Run helm and give what it prints; raises CalledProcessError where it fails."""
    settings = environment(KUBECONFIG=str(cluster.kubeconfig_path))
    return subprocess.check_output([programs.helm(), *arguments], env=settings, encoding="utf-8")
