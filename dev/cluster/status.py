"""How far a node has come, as its first process writes it and other runs read it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum, unique
from typing import TYPE_CHECKING

from dev.cache import replace

if TYPE_CHECKING:
    from pathlib import Path


@unique
class State(StrEnum):
    """Where a node is in its life."""

    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a node, the part it concerns, and why it failed."""

    state: State
    part: str = ""
    why: str = ""

    def write(self, path: Path) -> None:
        """Put this status in place of the one before."""
        replace(path, json.dumps(asdict(self)))


def read(path: Path) -> Status | None:
    """Give the status in a file, None where nothing was written yet."""
    try:
        fields = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    return Status(State(fields["state"]), fields["part"], fields["why"])
