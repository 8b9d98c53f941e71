"""Flyway's: `V1_4__name.sql` leads to version 1.4, `U1_4__name.sql` back.

What Flyway runs beside versions is refused, because without it the versions would not do what they do there: repeatable
scripts (`R__name.sql`), baselines (`B1_4__name.sql`), callbacks (`afterMigrate.sql`) and migrations in Java. So are its
placeholders (`${name}`), whose values are not known here. `V1_4__name.sql.conf` beside a script may say
`executeInTransaction=false`, and `placeholderReplacement=false` for a script in which `${` means nothing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from schema_operator.api.request import TransactionMode
from schema_operator.errors import Location, Reason, Refused
from schema_operator.scripts.formats.files import Inventory, above_nothing, names_of, refuse_name, version_of, whole
from schema_operator.scripts.lexer import position_to_line_column
from schema_operator.scripts.script import ScriptKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from schema_operator.scripts.formats.files import File, Found

NAME: Final = "Flyway's"
_SCRIPT = re.compile(
    r"(?P<prefix>[VU])(?P<version>[0-9]+(?:[._][0-9]+)*)(?:__(?P<name>.*))?\.sql",
    re.DOTALL,
)
_KINDS: Final = {"V": ScriptKind.UP, "U": ScriptKind.DOWN}
_COMPANION: Final = ".conf"
_WRITE_A_VERSION: Final = "write it as a version of its own (V…), again for each change, or move it away"
_REPEATABLE: Final = f"Flyway runs this whenever it has changed, which no version stands for; {_WRITE_A_VERSION}"
_BASELINE: Final = (
    "Flyway runs this in a new database in place of the versions up to its own; remove it if those are here, or begin "
    "its name with V if they are not"
)
_CALLBACK: Final = f"Flyway runs this around its migrations, which no version stands for; {_WRITE_A_VERSION}"
_PROGRAM: Final = (
    "this is a migration written as a program, which cannot be run here, and without it the others would not fit; "
    "write it as SQL"
)
_MISSPELT: Final = (
    "the name is like a script's, and Flyway would leave it out; write it as V1_4__name.sql (U1_4__name.sql for the "
    "way back), or, if the file is no script, give it another ending than .sql"
)
_REFUSED: Final = (
    (r"R__.*\.sql", _REPEATABLE),
    (r"B[0-9][0-9._]*__.*\.sql", _BASELINE),
    (
        r"(?:before|after)(?:Connect|(?:Each)?Migrate|Versioned|Repeatables|(?:Each)?Undo)[A-Za-z]*(?:__.*)?\.sql",
        _CALLBACK,
    ),
    (r"[VUR][0-9_].*\.(?:java|kt|groovy|scala)", _PROGRAM),
    (r"[VvUu][0-9].*\.sql", _MISSPELT),
)
_SETTINGS: Final = ("executeInTransaction", "placeholderReplacement")
_BOOLEANS: Final = {"true": True, "false": False}


def inventory(files: Sequence[File]) -> Inventory:
    """Find the scripts, also those in folders within.

    Raises `Refused`: UnrecognizedScript for what is like a script and is none, MalformedVersion, PlaceholderError,
    InvalidSpec for a companion file, and as `files.whole` does.
    """
    scripts = [(file, match) for file in files if (match := _SCRIPT.fullmatch(_base(file)))]
    companions = _companions(files, {(file.label, file.name + _COMPANION) for file, _ in scripts})
    known = {id(file) for file in (*companions.values(), *(file for file, _ in scripts))}
    others = [file for file in files if id(file) not in known]
    for file in others:
        _refuse_what_flyway_runs(file)
    found = tuple(_found(file, match, companions.get((file.label, file.name + _COMPANION))) for file, match in scripts)
    return Inventory(found, names_of(others))


def _base(file: File) -> str:
    return file.name.rpartition("/")[2]


def _companions(files: Sequence[File], names: set[tuple[str, str]]) -> dict[tuple[str, str], File]:
    return {(file.label, file.name): file for file in files if (file.label, file.name) in names}


def _refuse_what_flyway_runs(file: File) -> None:
    for pattern, sentence in _REFUSED:
        if re.fullmatch(pattern, _base(file), re.DOTALL):
            refuse_name(file, sentence)


def _found(file: File, match: re.Match[str], companion: File | None) -> Found:
    version = version_of(
        above_nothing(match["version"].replace("_", ".")), file.file, "; files are named V1_4__name.sql"
    )
    settings = {} if companion is None else _settings(companion)
    mode = None if settings.get(_SETTINGS[0], True) else TransactionMode.NEVER
    one = whole(file, version, _KINDS[match["prefix"]], match["name"] or "", mode)
    if settings.get(_SETTINGS[1], True):
        _refuse_placeholder(one)
    return one


def _refuse_placeholder(one: Found) -> None:
    position = one.source.text.find("${")
    if position >= 0:
        line, column = position_to_line_column(one.source.text, position)
        raise Refused(
            Reason.PLACEHOLDER_ERROR,
            "Flyway would fill in a placeholder here, whose value is not known here; write the value, or, if ${ means "
            f"nothing in this script, put placeholderReplacement=false into a file of its name with {_COMPANION} added",
            Location(version=one.version.text, file=one.source.file, line=line, column=column),
        )


def _settings(companion: File) -> Mapping[str, bool]:
    settings = {}
    lines = companion.read().decode("utf-8", "replace").splitlines()
    for number, line in enumerate(lines, start=1):
        key, _, value = (part.strip() for part in line.partition("="))
        if not key or key.startswith("#"):
            continue
        if key not in _SETTINGS or value.lower() not in _BOOLEANS:
            raise Refused(
                Reason.INVALID_SPEC,
                f"only {' and '.join(_SETTINGS)} can be said here, each true or false; correct or remove the line",
                Location(file=companion.file, line=number),
            )
        settings[key] = _BOOLEANS[value.lower()]
    return settings
