"""Ours, golang-migrate's and sqlx's: `VERSION_NAME.up.sql`, `.down.sql` and, ours alone, `.verify.sql`.

`_NAME` may be absent and NAME may hold anything but a slash. A number that is 0 counts as 0.1, because there are
projects that begin with `00_init`. A file that begins with a digit and ends in `.sql` all the same is refused: left
alone, a script whose name is misspelt would be a version that has gone, and be rolled back.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from schema_operator.scripts.formats.files import (
    Found,
    Inventory,
    above_nothing,
    names_of,
    refuse_name,
    version_of,
    whole,
)
from schema_operator.scripts.script import ScriptKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schema_operator.scripts.formats.files import File

ENDINGS: Final = (".up.sql", ".down.sql", ".verify.sql")
NAME: Final = "of the form VERSION_NAME.up.sql"
_LOOKS_LIKE_A_SCRIPT: Final = r"(?is)[0-9].*\.sql"
_PROGRAM: Final = r"(?s)[0-9].*\.(?:up|down)\.(?:go|js|ts|py|rb|sh|fizz)"


def inventory(files: Sequence[File]) -> Inventory:
    """Find the scripts; raises `Refused`: UnrecognizedScript, MalformedVersion, and as `files.whole` does."""
    others = [file for file in files if not file.name.endswith(ENDINGS)]
    for file in others:
        _refuse_unrecognized(file)
    found = tuple(_found(file) for file in files if file.name.endswith(ENDINGS))
    return Inventory(found, names_of(others))


def _found(file: File) -> Found:
    stem, kind, _ = file.name.rsplit(".", 2)
    text, _, name = stem.partition("_")
    version = version_of(above_nothing(text) if text.isdecimal() else text, file.file)
    return whole(file, version, ScriptKind(kind), name)


def _refuse_unrecognized(file: File) -> None:
    if re.fullmatch(_LOOKS_LIKE_A_SCRIPT, file.name):
        refuse_name(
            file,
            "the name is like a script's, but ends in none of .up.sql, .down.sql and .verify.sql (in lower case), as "
            "others here do; correct it, or, if the file is no script, give it another ending than .sql",
        )
    if re.fullmatch(_PROGRAM, file.name):
        refuse_name(
            file,
            "this is a migration in another language than SQL, which cannot be run here, and without it the others "
            "would not fit; write it as SQL, or move it away if it is not needed any more",
        )
