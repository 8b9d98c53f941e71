"""The image ours is built on: the public one of the Dockerfile, or one made from Debian packages."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from dev import debian
from dev.cache import CHECKOUT, cache, digest, locked
from dev.image.builder import Build
from dev.progress import run_quietly, say

if TYPE_CHECKING:
    from dev.image.builder import Builder

DOCKERFILE = CHECKOUT / "Dockerfile"
_PUBLIC = re.compile(r"^ARG BASE=(?P<image>\S+)$", re.MULTILINE)
_MMDEBSTRAP = debian.Package("mmdebstrap", "mmdebstrap")
_RELEASE = "bookworm"
# `usr-is-merged` keeps out `usrmerge`, which would bring 45 MB of Perl.
_PACKAGES = ("usr-is-merged", "python3", "python3-venv", "ca-certificates")
_LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
_KEPT = "/usr/share/doc/*/copyright"


def base_image(builder: Builder) -> str:
    """Give the name of a base image this builder has, fetched or made where needed."""
    public = public_image(DOCKERFILE.read_text())
    if builder.image_id(public) is not None or builder.pull(public):
        return public
    say(f"{public} cannot be fetched here; building on Debian packages instead")
    return debian_image(builder, "base", _PACKAGES)


def public_image(dockerfile: str) -> str:
    """Give the default of the Dockerfile's argument BASE."""
    found = _PUBLIC.search(dockerfile)
    if found is None:
        raise ValueError("The Dockerfile has no line 'ARG BASE=IMAGE' that names the public base image")
    return found["image"]


def debian_image(builder: Builder, name: str, packages: tuple[str, ...]) -> str:
    """Give an image made of nothing but Debian packages, with mmdebstrap (half a minute) where it is not there yet."""
    recipe = digest([Path(__file__).resolve()], *packages)
    image = f"localhost/schema-operator-{name}:{recipe}"
    if builder.image_id(image) is None:
        context = _debian_tree(f"{name}-{recipe}", packages)
        builder.build(Build(image, context, context / "Dockerfile", arguments={}, secrets={}))
    return image


def _debian_tree(name: str, packages: tuple[str, ...]) -> Path:
    """Give a folder to build an image of Debian packages in, made where it is not in the cache."""
    folder = cache() / name
    with locked("base"):
        if not folder.exists():
            debian.install(_MMDEBSTRAP)
            say("Making an image of Debian packages (half a minute, once)")
            draft = folder.with_name(f".{folder.name}")
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir()
            (draft / "Dockerfile").write_text("FROM scratch\nADD base.tar /\n")
            run_quietly(_mmdebstrap(draft / "base.tar", packages))
            draft.rename(folder)
    return folder


def _mmdebstrap(archive: Path, packages: tuple[str, ...]) -> list[str]:
    return [
        *("mmdebstrap", "--quiet", "--variant=essential", f"--include={','.join(packages)}"),
        "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
        '--aptopt=Apt::Install-Recommends "false"',
        *(f"--dpkgopt=path-exclude={path}" for path in _LEFT_OUT),
        f"--dpkgopt=path-include={_KEPT}",
        *(_RELEASE, str(archive)),
    ]
