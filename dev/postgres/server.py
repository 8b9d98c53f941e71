"""A PostgreSQL server of a chosen major version: made, started, crashed and removed by a test run.

It runs as a user without rights, because PostgreSQL refuses to run as root, and without fsync, because its data is
thrown away. It dies with the process that started it, and what a killed run left behind is removed by the next.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from dev.postgres import install

SUPERUSER = "postgres"
PASSWORD = "postgres-of-the-tests"  # noqa: S105 (a server on the loopback interface, gone after the tests)
_PREFIX = "schema-operator-postgres-"
_START_SECONDS = 30.0
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "listen_addresses": "127.0.0.1",
    "max_wal_size": "256MB",
    "timezone": "UTC",
    "lc_messages": "C",
}
_PR_SET_PDEATHSIG = 1
_FOR_OTHERS = stat.S_IROTH | stat.S_IXOTH


@dataclass(frozen=True, slots=True)
class _Account:
    """Who runs the server: nobody where we are root, else ourselves."""

    uid: int
    gid: int

    @classmethod
    def choose(cls) -> _Account:
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid())
        nobody = pwd.getpwnam("nobody")
        return cls(nobody.pw_uid, nobody.pw_gid)

    def run(self, *command: str | Path, log: Path) -> subprocess.Popen[bytes]:
        """Start a program as this user that is stopped at once when the starting process dies."""
        root = os.geteuid() == 0
        with log.open("ab") as output:
            return subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 (tests start servers before they start threads)
                user=self.uid if root else None,
                group=self.gid if root else None,
                extra_groups=[] if root else None,
            )


class PostgresServer:
    """One server: `with PostgresServer(18) as server: server.uri("postgres")`."""

    def __init__(self, major: int, settings: dict[str, str] | None = None) -> None:
        self.major = major
        self.port = _free_port()
        self._settings = _SETTINGS | (settings or {})
        self._account = _Account.choose()
        self._home: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.create()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)

    @property
    def home(self) -> Path:
        """The folder that holds the data, the log and the Unix socket."""
        if self._home is None:
            raise RuntimeError("the server has not been created")
        return self._home

    def uri(self, database: str = "postgres", user: str = SUPERUSER, password: str = PASSWORD) -> str:
        """Give the address of a database over TCP."""
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def create(self) -> None:
        """Make the data folder."""
        home = self._make_home()
        secret = home / "password"
        secret.write_text(PASSWORD)
        os.chown(secret, self._account.uid, self._account.gid)
        where = ("--pgdata", home / "data", "--username", SUPERUSER, "--pwfile", secret)
        access = ("--auth-local=trust", "--auth-host=scram-sha-256")
        form = ("--encoding=UTF8", "--no-locale", "--no-sync")
        command: tuple[str | Path, ...] = (self._binary("initdb"), *where, *access, *form)
        if self._account.run(*command, log=home / "log").wait() != 0:
            raise RuntimeError(f"initdb failed:\n{self.log()}")

    def create_standby(self, primary: PostgresServer) -> None:
        """Make the data folder as a copy of another server's, which must be stopped, and follow it."""
        home = self._make_home()
        if self._account.run("cp", "-a", primary.home / "data", home / "data", log=home / "log").wait() != 0:
            raise RuntimeError(f"the data folder could not be copied:\n{self.log()}")
        signal_file = home / "data" / "standby.signal"
        signal_file.touch()
        os.chown(signal_file, self._account.uid, self._account.gid)
        address = f"host=127.0.0.1 port={primary.port} user={SUPERUSER} password={PASSWORD}"
        self._settings |= {"primary_conninfo": address}

    def folder(self, name: str) -> Path:
        """Make a folder in the server's home that is the server's own."""
        path = self.home / name
        path.mkdir(mode=0o700)
        os.chown(path, self._account.uid, self._account.gid)
        return path

    def _make_home(self) -> Path:
        _remove_leftovers()
        home = self._home = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
        (home / "log").touch()
        for path in (home, home / "log"):
            os.chown(path, self._account.uid, self._account.gid)
        return home

    def start(self) -> None:
        """Start the server and wait until it answers."""
        settings = self._settings | {"port": str(self.port), "unix_socket_directories": str(self.home)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command: tuple[str | Path, ...] = (self._binary("postgres"), "-D", self.home / "data", *options)
        self._process = self._account.run(*command, log=self.home / "log")
        _wait_until(self._ready, f"PostgreSQL {self.major} did not start", self.log)

    def stop(self) -> None:
        """Stop the server, breaking connections off (a fast shutdown)."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """Let the server die as in a power failure (an immediate shutdown)."""
        self._end(signal.SIGQUIT)

    def log(self) -> str:
        """Give what the server has written."""
        return (self.home / "log").read_text(errors="replace")

    def _ready(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"PostgreSQL {self.major} ended at once:\n{self.log()}")
        lock = self.home / "data" / "postmaster.pid"
        lines = lock.read_text().splitlines() if lock.exists() else []
        return len(lines) > _STATUS_LINE and lines[_STATUS_LINE].strip() == "ready"

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)
            self._process.wait()
        self._process = None

    def _binary(self, name: str) -> Path:
        return _reachable(install.server(self.major), self._account, self.home) / "bin" / name


_STATUS_LINE = 7
"""Of postmaster.pid: src/include/utils/pidfile.h, LOCK_FILE_LINE_PM_STATUS, counted from 0."""


def _reachable(folder: Path, account: _Account, home: Path) -> Path:
    """Give a copy of `folder` the account can read: the cache may be in a home folder that is closed to others."""
    ours = account.uid == os.geteuid()
    if ours or all(part.stat().st_mode & _FOR_OTHERS == _FOR_OTHERS for part in (folder, *folder.parents)):
        return folder
    copy = home / "server"
    if not copy.exists():
        shutil.copytree(folder, copy, symlinks=True)
    return copy


def _remove_leftovers() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


def _wait_until(condition: Callable[[], bool], complaint: str, log: Callable[[], str]) -> None:
    end = time.monotonic() + _START_SECONDS
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"{complaint} within {_START_SECONDS:.0f} s:\n{log()}")
        time.sleep(0.02)
