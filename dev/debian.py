"""Debian packages that developer tools need, installed only where something is missing.

`python3 -m dev.debian PACKAGE…` installs packages without looking whether they are there.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from dev.cache import locked
from dev.progress import run_quietly, say


@dataclass(frozen=True, slots=True)
class Package:
    """A Debian package, and the program on PATH (or the absolute path of a file) that shows it is there."""

    name: str
    provides: str

    def installed(self) -> bool:
        """Say whether what the package is wanted for is there, from whatever source."""
        return (
            Path(self.provides).exists() if self.provides.startswith("/") else shutil.which(self.provides) is not None
        )


class PackagesMissing(Exception):
    """Packages are missing and cannot be installed from here; the message says what to run."""


def install(*packages: Package) -> None:
    """Install what is missing of these packages. The lists are fetched only when there is something to install."""
    if all(package.installed() for package in packages):
        return
    with locked("apt"):
        missing = [package.name for package in packages if not package.installed()]
        if missing:
            _apt_install(missing)


def _apt_install(names: list[str]) -> None:
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *names]
    if shutil.which("apt-get") is None:
        raise PackagesMissing(f"Install these first, under whatever name your system has for them: {' '.join(names)}")
    if os.geteuid() != 0:
        raise PackagesMissing(f"Some Debian packages are missing. Install them and try again: sudo {' '.join(command)}")
    say(f"Installing Debian packages: {' '.join(names)}")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run_quietly(["apt-get", "update"], quiet)
    run_quietly(command, quiet)


if __name__ == "__main__":
    _apt_install(sys.argv[1:])
