"""How developer tools talk: on standard error, so that standard output is only what was asked for."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LINES = 30


class CommandFailed(Exception):
    """A program that was run quietly failed; the message has the end of what it said."""


def say(sentence: str) -> None:
    """Tell the person who waits what happens now, and how long it may take."""
    print(sentence, file=sys.stderr, flush=True)


def run_quietly(command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
    """Run a program whose output is of interest only where it fails. Raises CommandFailed."""
    done = subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )
    if done.returncode != 0:
        end = "\n".join(done.stdout.splitlines()[-_LINES:])
        raise CommandFailed(
            f"'{' '.join(command[:3])}' ended with exit status {done.returncode}. Its last words:\n{end}"
        )
