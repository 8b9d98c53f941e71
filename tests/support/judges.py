"""What others make of a status: the library of Flux (kstatus), and Argo CD's interpreter with our health scripts."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dev.programs import gitops

HEALTH = Path(__file__).parents[2] / "examples/argocd/health"
"""Folder of the health scripts, each named for its kind."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What was said of one object: a status with its sentence, or why nothing could be said."""

    status: str = ""
    message: str = ""
    error: str = ""


def kstatus(objects: Iterable[Mapping[str, Any]]) -> list[Judged]:
    """Compute the status of objects with `sigs.k8s.io/cli-utils`."""
    return _judged("kstatus", objects)


def argo_health(kind: str, objects: Iterable[Mapping[str, Any]]) -> list[Judged]:
    """Compute the health of objects of a kind with our script, as Argo CD does."""
    return _judged("argohealth", objects, str(HEALTH / f"{kind}.lua"))


def _judged(program: str, objects: Iterable[Mapping[str, Any]], *arguments: str) -> list[Judged]:
    lines = "".join(f"{json.dumps(item)}\n" for item in objects)
    command = [str(gitops() / program), *arguments]
    said = subprocess.run(command, check=True, input=lines, stdout=subprocess.PIPE, text=True).stdout
    return [Judged(**json.loads(line)) for line in said.splitlines()]
