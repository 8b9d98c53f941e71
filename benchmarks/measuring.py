"""What a whole process costs, and tables of it. Shared by the benchmarks."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
from dev.postgres.server import PostgresServer
from psycopg import sql

LAUNCHER: Final = Path(__file__).with_name("launcher.py")
PROGRAM: Final = Path(sys.executable).with_name("schema-operator")
MAJOR: Final = 18
_AS_INSTALLED: Final = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")
"""Variables taken away, because they make Python slower than it is where people install it."""
_AS_DEPLOYED: Final = {"fsync": "on", "full_page_writes": "on", "shared_buffers": "256MB", "max_wal_size": "1GB"}
"""PostgreSQL's own defaults, with more memory; the server of the tests does without what a power failure needs."""
_LAST_WORDS: Final = 2000


class ProgramFailed(Exception):
    """A program that was measured did not end with 0; the message has its last words."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process cost, from its start to its end."""

    seconds: float
    cpu: float
    mebibytes: float


@dataclass(frozen=True, slots=True)
class Costs:
    """What the same cost several times."""

    all: tuple[Cost, ...]

    @property
    def seconds(self) -> float:
        """The median of the seconds."""
        return statistics.median(one.seconds for one in self.all)

    @property
    def cpu(self) -> float:
        """The median of the seconds of processor time."""
        return statistics.median(one.cpu for one in self.all)

    @property
    def mebibytes(self) -> float:
        """The highest of the peaks of memory."""
        return max(one.mebibytes for one in self.all)

    def __str__(self) -> str:
        times = [one.seconds for one in self.all]
        spread = f"{min(times):.3f} to {max(times):.3f}"
        return f"{self.seconds:8.3f}  {spread:>16}  {self.cpu:6.3f}  {self.mebibytes:6.1f}"


HEADING: Final = f"{'median s':>8}  {'min to max':>16}  {'CPU s':>6}  {'MiB':>6}"
"""What the columns of `Costs` are, printed."""


def measure(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> Cost:
    """Run a program to its end and give what it cost; raises `ProgramFailed`."""
    surroundings = {name: value for name, value in os.environ.items() if name not in _AS_INSTALLED}
    with tempfile.NamedTemporaryFile() as said:
        launch = [sys.executable, "-I", "-S", str(LAUNCHER), said.name, *map(str, command)]
        changed = {**surroundings, **(environment or {})}
        told = subprocess.run(launch, check=True, stdout=subprocess.PIPE, env=changed).stdout
        found = json.loads(told)
        if found.pop("code") != 0:
            raise ProgramFailed(f"{' '.join(map(str, command[:3]))}\n{_end_of(Path(said.name))}")
    return Cost(**found)


def interleaved(rounds: int, contestants: Mapping[str, Callable[[], Cost]]) -> dict[str, Costs]:
    """Let each have its turn, round after round, so that whatever else the machine does falls on all."""
    found: dict[str, list[Cost]] = {name: [] for name in contestants}
    for number in range(1, rounds + 1):
        for name, contest in contestants.items():
            found[name].append(contest())
        print(f"  round {number} of {rounds}", file=sys.stderr, flush=True)
    return {name: Costs(tuple(costs)) for name, costs in found.items()}


def verdict(name: str, found: float, bound: float, unit: str = "") -> str:
    """Say a number beside its bound, and whether it keeps to it."""
    return f"{name:44} {found:8.2f}{unit} (bound {bound:g}{unit}): {'kept' if found <= bound else 'NOT KEPT'}"


def rounds_asked(default: int) -> int:
    """Give how many rounds the command line asks for."""
    return int(sys.argv[1]) if len(sys.argv) > 1 else default


@contextmanager
def deployed(**settings: str) -> Iterator[PostgresServer]:
    """Run a server with the settings that people use, as far as they cost time."""
    with PostgresServer(MAJOR, _AS_DEPLOYED | settings) as server:
        yield server


@contextmanager
def fresh_database(server: PostgresServer, name: str) -> Iterator[str]:
    """Make an empty database and give its address; it is dropped afterwards."""
    with psycopg.connect(server.uri(), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        admin.execute("CHECKPOINT")
        yield server.uri(name)
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _end_of(path: Path) -> str:
    return path.read_text(errors="replace")[-_LAST_WORDS:].strip()
