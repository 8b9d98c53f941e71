"""The tools that are measured beside ours, each as the command its users start; installed where they are missing."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks import migration_set
from benchmarks.measuring import PROGRAM
from dev import programs
from dev.cache import CHECKOUT, cache, digest, locked
from dev.postgres import install
from dev.progress import say

_ALEMBIC_LOCK: Final = CHECKOUT / "dev/locks/requirements-alembic.lock"
_KUBERNETES_LOCK: Final = CHECKOUT / "dev/locks/requirements-kubernetes.lock"


@functools.cache
def _goose() -> Path:
    return programs.goose()


@functools.cache
def _golang_migrate() -> Path:
    return programs.golang_migrate()


@functools.cache
def _alembic() -> Path:
    return _environment("Alembic", _ALEMBIC_LOCK) / "bin/alembic"


@functools.cache
def kubernetes_client() -> Path:
    """Give the Python that has the official Kubernetes client, installed first if need be."""
    return _environment("the Kubernetes client", _KUBERNETES_LOCK) / "bin/python"


def _environment(name: str, lock: Path) -> Path:
    """Give the path of a virtual environment with what is locked, and nothing of ours."""
    kind = lock.stem.removeprefix("requirements-")
    folder = cache() / "programs" / f"{kind}-{digest([lock], sys.version)}"
    done = folder / ".installed"
    with locked(kind):
        if not done.exists():
            say(f"Installing {name} (10 seconds, once)")
            subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
            pip = (folder / "bin/pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes")
            subprocess.run([*pip, f"-r{lock}"], check=True)
            done.touch()
    return folder


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool: how its folder is written, and what to start with it for the database at an address."""

    name: str
    write: migration_set.Write
    command: Callable[[Path, str], list[str | Path]]
    environment: Callable[[str], Mapping[str, str]] = lambda _uri: {}


OURS: Final = Tool(
    "schema-operator",
    migration_set.write_ours,
    lambda folder, _uri: [PROGRAM, "run", "--scripts", folder],
    lambda uri: {"SCHEMA_OPERATOR_URI": uri},
)
GOOSE: Final = Tool(
    "goose",
    migration_set.write_goose,
    lambda folder, uri: [_goose(), "-dir", folder, "postgres", uri, "up"],
)
ALEMBIC: Final = Tool(
    "alembic",
    migration_set.write_alembic,
    lambda folder, _uri: [_alembic(), "-c", folder / "alembic.ini", "upgrade", "head"],
    # Revisions come from Git or an image's layer, so they are without byte code; that of Alembic itself is there.
    lambda uri: {
        "ALEMBIC_URI": uri.replace("postgresql://", "postgresql+psycopg://", 1),
        "PYTHONDONTWRITEBYTECODE": "1",
    },
)
GOLANG_MIGRATE: Final = Tool(
    "golang-migrate",
    migration_set.write_golang_migrate,
    lambda folder, uri: [_golang_migrate(), "-path", folder, "-database", f"{uri}?sslmode=disable", "up"],
)
PSQL: Final = Tool("psql, one process", migration_set.write_psql, lambda folder, uri: psql(uri, *files(folder)))
PSQL_WITHOUT_HISTORY: Final = Tool(
    "psql, without history rows",
    migration_set.write_psql_without_history,
    lambda folder, uri: psql(uri, *files(folder)),
)
TOOLS: Final = (OURS, GOOSE, ALEMBIC, GOLANG_MIGRATE, PSQL, PSQL_WITHOUT_HISTORY)


def psql(uri: str, *options: str | Path) -> list[str | Path]:
    """Give psql's command for a database, which ends at the first error and reads no settings of the user."""
    return [install.psql(), "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--dbname", uri, *options]


def files(folder: Path) -> list[str | Path]:
    """Give psql's options for all files of a folder, in one process."""
    return [part for path in sorted(folder.iterdir()) for part in ("--file", path)]
