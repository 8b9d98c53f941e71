"""The product as processes that cost little: forked from one that has imported it, and killed when a test says so.

A process of Python takes 0.2 s to start, and nothing in that time touches a database. Loops of hundreds of killed runs
leave it out. One process is at work at a time.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import NoReturn, Self

import msgspec


class Order(msgspec.Struct):
    """What a forked process is to do."""

    uri: str
    arguments: list[str]
    output: str
    """File its standard output goes to."""
    kill_after: float | None = None
    """Seconds after which it is killed, if it is still there."""


@dataclass(frozen=True)
class Forker:
    """Starts the processes."""

    process: subprocess.Popen[bytes]

    @classmethod
    def start(cls) -> Self:
        command = [sys.executable, "-m", "support.forked"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        return cls(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment))

    def begin(self, order: Order) -> None:
        """Start what is ordered."""
        assert self.process.stdin is not None
        self.process.stdin.write(msgspec.json.encode(order) + b"\n")
        self.process.stdin.flush()

    def end(self) -> int:
        """Wait for the end and give the exit code; negative for a signal."""
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self.process:
            self.process.kill()


def serve() -> None:
    """Carry orders out until there are no more."""
    from schema_operator.cli import main  # noqa: PLC0415 (the importing is what this process is for)
    from schema_operator.cli import run as _run  # noqa: F401, PLC0415

    for line in sys.stdin.buffer:
        order = msgspec.json.decode(line, type=Order)
        child = os.fork()
        if child == 0:
            _become_the_product(order, main)
        sys.stdout.write(f"{_end_of(child, order.kill_after)}\n")
        sys.stdout.flush()


def _become_the_product(order: Order, main: ModuleType) -> NoReturn:
    output = os.open(order.output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(output, 1)
    os.environ["SCHEMA_OPERATOR_URI"] = order.uri
    code = 70
    try:
        code = main.execute(order.arguments)
    finally:
        sys.stdout.flush()
        os._exit(code)


def _end_of(child: int, kill_after: float | None) -> int:
    if kill_after is not None:
        descriptor = os.pidfd_open(child)
        select.select([descriptor], [], [], kill_after)
        # It has not been waited for, so its number is still its own.
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        os.close(descriptor)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    serve()
