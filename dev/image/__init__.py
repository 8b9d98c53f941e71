"""The product's image, built with whatever builder is here and reused while nothing it is made of has changed."""

from __future__ import annotations

import os
import tempfile
import tomllib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dev.cache import CHECKOUT, digest, locked
from dev.image.base import DOCKERFILE, base_image
from dev.image.builder import Build, builder
from dev.progress import say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dev.image.builder import Builder

# `localhost/` keeps every container runtime from looking for the image in a registry.
REPOSITORY = "localhost/schema-operator"
_INPUTS = (
    "Dockerfile",
    ".dockerignore",
    "pyproject.toml",
    "requirements.lock",
    "dev/locks/requirements-go.lock",
    "dev/locks/requirements-image.lock",
    "dev/locks/requirements-pgclient.lock",
    "dev/image/postgresql_client.py",
)
_TREES = ("copier", "operator/schema_operator", "migrations")


def image() -> str:
    """Give the name of the image of this checkout, built where there is none yet.

    The tag stands for the content of everything the image is built from, README and LICENSE aside. `$IMAGE`, if set,
    is given back as it is: an image that somebody else built, which the cluster can pull.
    """
    given = os.environ.get("IMAGE")
    if given:
        return given
    here = builder()
    name = f"{REPOSITORY}:{digest(_inputs())}"
    with locked("image"):
        if here.image_id(name) is None:
            _build(here, name)
        here.tag(name, f"{REPOSITORY}:dev")
    return name


def _inputs() -> list[Path]:
    trees = [file for tree in _TREES for file in (CHECKOUT / tree).rglob("*") if file.is_file()]
    return [*(CHECKOUT / name for name in _INPUTS), *(file for file in trees if file.suffix != ".pyc")]


def _build(here: Builder, name: str) -> None:
    say(f"Building {name} (a minute the first time, then seconds)")
    arguments = {"BASE": base_image(here), "VERSION": _version()}
    with _secrets() as secrets:
        here.build(Build(name, CHECKOUT, DOCKERFILE, arguments, secrets))


def _version() -> str:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    return str(project["version"])


@contextmanager
def _secrets() -> Iterator[dict[str, Path]]:
    """Give the files the build needs to reach a package index from here, as far as the environment names them."""
    authority = os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE")
    index = os.environ.get("PIP_INDEX_URL")
    with tempfile.TemporaryDirectory() as folder:
        lines = [
            "[global]",
            *(["cert = /run/secrets/ca"] if authority else []),
            *([f"index-url = {index}"] if index else []),
        ]
        configuration = Path(folder, "pip.conf")
        configuration.write_text("\n".join(lines) + "\n")
        yield {"pip": configuration, **({"ca": Path(authority)} if authority else {})}
