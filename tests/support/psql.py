"""psql, as somebody has it who has nothing else."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dev.postgres import install

from support.postgres import FINISH_SECONDS

if TYPE_CHECKING:
    from support.postgres import Database


@dataclass(frozen=True)
class Said:
    """What psql has said."""

    code: int
    output: str
    errors: str

    @property
    def notices(self) -> list[str]:
        return re.findall(r"^NOTICE:  (?:\w{5}: )?(.*)", self.errors, re.MULTILINE)

    @property
    def error(self) -> str:
        """The one error, without its DETAIL and what else belongs to it."""
        (found,) = re.findall(r"ERROR:  \w{5}: (.*)", self.errors)
        return str(found)

    @property
    def sqlstate(self) -> str:
        (found,) = re.findall(r"ERROR:  (\w{5}):", self.errors)
        return str(found)

    @property
    def hint(self) -> str:
        (found,) = re.findall(r"HINT:  (.*)", self.errors)
        return str(found)

    @property
    def detail(self) -> str:
        (found,) = re.findall(r"DETAIL:  (.*(?:\n(?!HINT|CONTEXT|LOCATION).+)*)", self.errors)
        return str(found)


def start(database: Database, *statements: str, uri: str | None = None) -> subprocess.Popen[str]:
    """Start psql with statements; it runs one after the other and ends at the first error."""
    options = ["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose", "-d", uri or database.uri]
    return subprocess.Popen(
        [str(install.psql()), *options, *(part for one in statements for part in ("-c", one))],
        env={**os.environ, "PGCLIENTENCODING": "UTF8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(database: Database, *statements: str, uri: str | None = None) -> Said:
    return finish(start(database, *statements, uri=uri))


def finish(process: subprocess.Popen[str]) -> Said:
    """Wait for the end of psql; one that hangs is killed and fails its test."""
    try:
        output, errors = process.communicate(timeout=FINISH_SECONDS)
    finally:
        process.kill()
    return Said(process.returncode, output, errors)
