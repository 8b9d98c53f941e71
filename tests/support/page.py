"""A page of the documentation as a test plays it: blocks of SQL, what psql prints below them, and what happens between.

What happens in between stands on the page as a comment that readers do not see: `<!-- test: … -->`.
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

import pytest
from dev.postgres import install
from dev.postgres.server import PASSWORD

from support.postgres import FINISH_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

END_OF_ANSWER: Final = "-- that was all --"
_PART = re.compile(r"^```(?P<kind>\w+)\n(?P<text>.*?)^```$|^<!-- test: (?P<stage>.*?) -->$", re.DOTALL | re.MULTILINE)
_VARYING = (
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?(\+\d\d|Z)?"), "TIME"),
    (re.compile(r"\b(pid|process|session) \d+"), r"\1 N"),
    # What was done within one second is told together.
    (re.compile(r" by oncall[^;]* at TIME; (?=\d)"), ", "),
)


@dataclass(frozen=True)
class Part:
    """A block of the page, or what happens meanwhile; with its line."""

    kind: str
    text: str
    line: int


def parts(path: Path) -> list[Part]:
    """Give the parts of a page in their order."""
    page = path.read_text()
    return [
        Part(found["kind"] or "stage", found["text"] or found["stage"] or "", page[: found.start()].count("\n") + 1)
        for found in _PART.finditer(page)
    ]


def comparable(text: str) -> list[str]:
    """Take out of an answer what differs each time, and the blanks psql puts at the ends of lines."""
    for pattern, replacement in _VARYING:
        text = pattern.sub(replacement, text)
    return [line.rstrip() for line in text.strip("\n").splitlines()]


class Terminal:
    """A psql that somebody types into."""

    def __init__(self, *arguments: str) -> None:
        pipe, command = subprocess.PIPE, [str(install.psql()), "-X", *arguments]
        environment = {**os.environ, "PGPASSWORD": PASSWORD, "LC_ALL": "C"}
        self._psql = subprocess.Popen(
            command, env=environment, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True
        )
        self._lines: SimpleQueue[str] = SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._psql.stdout is not None
        for line in self._psql.stdout:
            self._lines.put(line)

    def answer(self, text: str) -> str:
        """Type something in; give all that is printed."""
        assert self._psql.stdin is not None
        self._psql.stdin.write(f"{text}\n\\echo {END_OF_ANSWER}\n")
        self._psql.stdin.flush()
        said: list[str] = []
        while (line := self._next()) != f"{END_OF_ANSWER}\n":
            said.append(line)
        return "".join(said)

    def _next(self) -> str:
        try:
            return self._lines.get(timeout=FINISH_SECONDS)
        except Empty:
            pytest.fail("psql does not answer")

    def close(self) -> None:
        self._psql.kill()
        self._psql.wait()
        for stream in (self._psql.stdin, self._psql.stdout):
            if stream is not None:
                stream.close()
