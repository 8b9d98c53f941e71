"""The program that builds images here: docker where its daemon answers, podman, or buildah."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from dev import debian
from dev.progress import run_quietly

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_BUILDAH = debian.Package("buildah", "buildah")


class Builder(Protocol):
    """What is asked of a builder. Every method raises `CommandFailed` where the program fails."""

    def image_id(self, image: str) -> str | None:
        """Give the id of an image this builder has, None where it has none of that name."""

    def pull(self, image: str) -> bool:
        """Fetch an image from its registry; say whether that was possible."""

    def build(self, request: Build) -> None:
        """Build an image."""

    def tag(self, image: str, name: str) -> None:
        """Give an image a further name."""

    def archive(self, image: str, file: Path) -> None:
        """Write an image as an archive that `docker load` understands."""


@dataclass(frozen=True, slots=True)
class Build:
    """An image to be built: `secrets` are files that only single build steps see, by their id."""

    tag: str
    context: Path
    dockerfile: Path
    arguments: Mapping[str, str]
    secrets: Mapping[str, Path]

    def options(self) -> list[str]:
        """Give the command-line options all builders share."""
        given = [f"--build-arg={name}={value}" for name, value in self.arguments.items()]
        shown = [f"--secret=id={name},src={file}" for name, file in self.secrets.items()]
        return ["--tag", self.tag, "--file", str(self.dockerfile), *given, *shown, str(self.context)]


@dataclass(frozen=True, slots=True)
class Docker:
    """Docker, or podman, which has the same commands."""

    program: str

    def image_id(self, image: str) -> str | None:
        """Give the id of an image, None where there is none of that name."""
        return _said([self.program, "image", "inspect", "--format", "{{.Id}}", image])

    def pull(self, image: str) -> bool:
        """Fetch an image; say whether that was possible."""
        return _said([self.program, "pull", "--quiet", image]) is not None

    def build(self, request: Build) -> None:
        """Build an image, reusing layers."""
        run_quietly([self.program, "build", *request.options()])

    def tag(self, image: str, name: str) -> None:
        """Give an image a further name."""
        run_quietly([self.program, "tag", image, name])

    def archive(self, image: str, file: Path) -> None:
        """Write an image as an archive."""
        run_quietly([self.program, "save", "--output", str(file), image])


@dataclass(frozen=True, slots=True)
class Buildah:
    """Buildah, which needs no daemon and, with `chroot` isolation, neither a runtime nor a network of its own."""

    def image_id(self, image: str) -> str | None:
        """Give the id of an image, None where there is none of that name."""
        return _said(["buildah", "images", "--quiet", "--no-trunc", image])

    def pull(self, image: str) -> bool:
        """Fetch an image; say whether that was possible."""
        return _said(["buildah", "pull", "--quiet", image]) is not None

    def build(self, request: Build) -> None:
        """Build an image, reusing layers."""
        run_quietly(["buildah", "build", "--isolation", "chroot", "--layers", *request.options()])

    def tag(self, image: str, name: str) -> None:
        """Give an image a further name."""
        run_quietly(["buildah", "tag", image, name])

    def archive(self, image: str, file: Path) -> None:
        """Write an image as an archive."""
        run_quietly(["buildah", "push", "--quiet", image, f"docker-archive:{file}:{image}"])


def docker_answers() -> bool:
    """Say whether a Docker daemon answers."""
    return shutil.which("docker") is not None and _said(["docker", "info", "--format", "{{.ID}}"]) is not None


def builder() -> Builder:
    """Give the builder of this machine; buildah is installed where there is none."""
    if docker_answers():
        return Docker("docker")
    if shutil.which("podman"):
        return Docker("podman")
    debian.install(_BUILDAH)
    return Buildah()


def _said(command: list[str]) -> str | None:
    done = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return (done.stdout.strip() or None) if done.returncode == 0 else None
