"""Diesel's and Hasura's: a folder for each version, `NUMBER_NAME/up.sql` and `down.sql`; ours alone, `verify.sql`.

Diesel's `metadata.toml` beside them may say `run_in_transaction = false`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schema_operator.api.request import TransactionMode
from schema_operator.errors import Location, Reason, Refused
from schema_operator.scripts.formats.files import Inventory, refuse_name, version_of, whole
from schema_operator.scripts.formats.numbers import SEPARATORS, leading
from schema_operator.scripts.script import ScriptKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from schema_operator.scripts.formats.files import File, Found

NAME: Final = "Diesel's FOLDER/up.sql"
KINDS: Final = {"up.sql": ScriptKind.UP, "down.sql": ScriptKind.DOWN, "verify.sql": ScriptKind.VERIFY}
METADATA: Final = "metadata.toml"
_SETTING: Final = "run_in_transaction"


def inventory(files: Sequence[File]) -> Inventory:
    """Find the scripts among the files of folders within.

    Raises `Refused`: MalformedVersion for a folder without a number, InvalidSpec for its metadata, and as `whole` does.
    """
    scripts = [file for file in files if _base(file) in KINDS]
    places = {_place(file) for file in scripts}
    modes = {_place(file): _mode(file) for file in files if _base(file) == METADATA and _place(file) in places}
    return Inventory(tuple(_found(file, modes) for file in scripts), ())


def _place(file: File) -> tuple[str, str]:
    return file.label, file.name.rpartition("/")[0]


def _base(file: File) -> str:
    return file.name.rpartition("/")[2]


def _found(file: File, modes: Mapping[tuple[str, str], TransactionMode | None]) -> Found:
    folder, _, base = file.name.rpartition("/")
    if not folder[0].isdecimal() or not folder[0].isascii():
        refuse_name(file, "the folder's name does not begin with a number, as those of others here do; give it one")
    text, rest = leading(folder)
    version = version_of(text, file.file, "; folders are named NUMBER_NAME")
    return whole(file, version, KINDS[base], rest.lstrip(SEPARATORS), modes.get(_place(file)))


def _mode(file: File) -> TransactionMode | None:
    import tomllib  # noqa: PLC0415 (most folders need none, and it is felt)

    location = Location(file=file.file)
    try:
        metadata = tomllib.loads(file.read().decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError):
        raise Refused(Reason.INVALID_SPEC, "this is not TOML; correct or remove it", location) from None
    unknown = [key for key in metadata if key != _SETTING]
    if unknown or not isinstance(metadata.get(_SETTING, True), bool):
        raise Refused(Reason.INVALID_SPEC, f"only {_SETTING} = true or false can be said here; correct it", location)
    return None if metadata.get(_SETTING, True) else TransactionMode.NEVER
