"""A PostgreSQL server in a cluster, for the demo and for tests."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from dev.cache import digest, locked
from dev.cluster.provider import Source, source
from dev.image.base import debian_image
from dev.image.builder import Build, builder
from dev.postgres import install

if TYPE_CHECKING:
    from dev.cluster.kubectl import Cluster

PUBLIC_IMAGE = "docker.io/library/postgres:18"
MAJOR = 18
# What the server's programs are linked with and its package does not bring.
_LIBRARIES = ("usr-is-merged", "libstdc++6")
_MANIFEST = Path(__file__).with_name("pod.yaml")
_RECIPE = Path(__file__).with_name("image")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A server by its Service: `NAME.NAMESPACE.svc:5432`."""

    namespace: str
    name: str = "postgres"
    user: str = "shop"
    password: str = "only-for-the-demo"  # noqa: S105 (of a server that lives for minutes)
    database: str = "shop"

    def uri(self, address: str | None = None) -> str:
        """Give the libpq URI, by default as pods of the cluster reach it."""
        host = address or f"{self.name}.{self.namespace}.svc:5432"
        return f"postgresql://{self.user}:{self.password}@{host}/{self.database}"


def start(cluster: Cluster, pod: Pod) -> None:
    """Start a server, or find it running, and wait until it answers. Its namespace must exist."""
    values = {"image": _image(cluster), "namespace": pod.namespace, "name": pod.name}
    values |= {"user": pod.user, "password": pod.password, "database": pod.database}
    manifest = Template(_MANIFEST.read_text().partition("\n")[2]).substitute(values)
    cluster.kubectl("apply", "-f", "-", input=manifest)
    cluster.kubectl("-n", pod.namespace, "rollout", "status", f"deployment/{pod.name}", "--timeout=90s")


def _image(cluster: Cluster) -> str:
    """Give the image of the server: the public one, but our own where the cluster is a local one without a registry."""
    if source() is not Source.LOCAL:
        return PUBLIC_IMAGE
    name = build()
    cluster.load_docker_image(name)
    return name


def build() -> str:
    """Give the name of an image with the server the tests use, built where there is none yet."""
    here = builder()
    recipe = [file for file in _RECIPE.iterdir() if file.is_file()]
    name = f"localhost/schema-operator-postgres:{MAJOR}-{digest(recipe, str(install.server(MAJOR)))}"
    with locked("postgres-image"):
        if here.image_id(name) is None:
            print(f"Building {name} (a minute, once)", flush=True)
            with tempfile.TemporaryDirectory() as folder:
                shutil.copytree(_RECIPE, folder, dirs_exist_ok=True)
                shutil.copytree(install.server(MAJOR), Path(folder) / "server", symlinks=True)
                arguments = {"BASE": debian_image(here, "postgres-base", _LIBRARIES)}
                here.build(Build(name, Path(folder), Path(folder) / "Dockerfile", arguments, {}))
    return name
