"""The control schema's own scripts: where they are, and which of them a database lacks.

They are in the same form as everybody's scripts and run through the same engine.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from schema_operator.api.request import ScriptFolder
from schema_operator.api.version import Version
from schema_operator.errors import Reason, Refused
from schema_operator.scripts import reading

if TYPE_CHECKING:
    from schema_operator.scripts.script import Script, ScriptSet

LABEL = "migrations"
"""What messages call the folder."""


def folder() -> Path:
    """Find the folder of the control schema's scripts: inside an installed package, at the top of a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "migrations"
    return inside if inside.is_dir() else package.parents[1] / "migrations"


def scripts() -> ScriptSet:
    """Read the control schema's scripts."""
    return reading.require_not_empty(reading.from_folders([ScriptFolder(path=str(folder()), label=LABEL)]))


def newest() -> Version:
    """Give the newest version of the control schema, told by the names of its scripts: most runs need no more."""
    names = (path.name.partition("_")[0] for path in folder().glob("*.up.sql"))
    return max(map(Version.parse, names))


def is_current(installed: Version, known: Version) -> bool:
    """Say whether a database has the newest version of the control schema that this program knows.

    Raises `Refused(ControlSchemaNewer)` where the database is ahead of this program.
    """
    if installed > known:
        raise Refused(
            Reason.CONTROL_SCHEMA_NEWER,
            f"the control schema of the database has version {installed}, this program knows versions up to {known}; "
            "use a newer schema-operator",
        )
    return installed == known


def missing(known: ScriptSet, installed: Version | None) -> tuple[Script, ...]:
    """Give the scripts that a database lacks, oldest first; `installed` is None where there is no control schema.

    Raises `Refused(ControlSchemaNewer)` as `is_current` does.
    """
    if installed is not None and is_current(installed, known.scripts[-1].version):
        return ()
    return tuple(script for script in known.scripts if installed is None or script.version > installed)
