"""Scripts from where they are kept: files of a folder, keys of a ConfigMap, the resource itself.

Which files are scripts, of which version and which kind, is for the format to say (`formats.telling`). Files that are
no scripts are left alone and listed, hidden ones are not seen.
Scripts of one version are found by the version: their names may differ, the up script's counts.
"""

from __future__ import annotations

import os
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from schema_operator.errors import Location, Reason, Refused
from schema_operator.scripts.formats import telling
from schema_operator.scripts.formats.files import FORM, Entry, Found, file_name, found, source_of, version_of
from schema_operator.scripts.script import Script, ScriptKind, ScriptSet, Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from schema_operator.api.request import InlineScript, ScriptFolder
    from schema_operator.api.version import Version
    from schema_operator.scripts.formats.files import File

__all__ = ["Entry", "from_entries", "from_folders", "from_inline", "from_stored", "require_not_empty"]

_MOST_NAMED = 5


def from_entries(entries: Iterable[Entry]) -> ScriptSet:
    """Make the scripts of files, in whatever order they come and in whatever format.

    Raises `Refused` for the first thing wrong: UnrecognizedScript, MalformedVersion, InvalidEncoding, InvalidSpec,
    PlaceholderError, DuplicateVersion, MissingUpScript.
    """
    return _from_files(entries)


def _from_files(files: Iterable[File]) -> ScriptSet:
    inventory = telling.inventory(sorted(files, key=lambda file: (file.label, file.name)))
    return _script_set(inventory.found, inventory.ignored)


def from_inline(scripts: Sequence[InlineScript]) -> ScriptSet:
    """Make the scripts written into a resource; messages call them `spec.scripts.inline[0].up` and so on.

    Raises `Refused` as `from_entries` does.
    """
    return _script_set([one for index, script in enumerate(scripts) for one in _found_inline(index, script)], ())


def from_stored(file: str, text: str, version: Version) -> Source:
    """Make a source of the down script that is stored with a version, to be run as its header says.

    Nothing is refused: what is wrong with a header was refused before it was stored, or stored before there were any.
    """
    source = Source.from_bytes(file, text.encode())
    try:
        return found(version, ScriptKind.DOWN, "", source).source
    except Refused:
        return source


def from_folders(folders: Sequence[ScriptFolder]) -> ScriptSet:
    """Read the script files of folders; files that are no scripts are not opened.

    Of folders within, only what is named as scripts are is looked at: `NUMBER_NAME/up.sql`, and Flyway's at any depth.
    Raises `Refused` as `from_entries` does, and `Refused(InvalidRequest)` where a folder or a script cannot be read.
    """
    return _from_files(file for folder in folders for file in _files(folder))


def require_not_empty(scripts: ScriptSet) -> ScriptSet:
    """Give the scripts back, or raise `Refused(EmptySource)`: nothing to apply never means roll everything back."""
    if scripts.scripts:
        return scripts
    seen = ", ".join(scripts.ignored[:_MOST_NAMED])
    more = " and others" if len(scripts.ignored) > _MOST_NAMED else ""
    others = f"; found only {seen}{more}" if seen else ""
    raise Refused(Reason.EMPTY_SOURCE, f"there is no script{others}; add one, as a file named {FORM}")


def _found_inline(index: int, script: InlineScript) -> Iterator[Found]:
    field = f"spec.scripts.inline[{index}]"
    version = version_of(script.version, f"{field}.version", "")
    texts = {ScriptKind.UP: script.up, ScriptKind.DOWN: script.down, ScriptKind.VERIFY: script.verify}
    for kind, text in texts.items():
        if text is not None:
            # A lone half of a surrogate pair is refused as what it is: no UTF-8.
            source = source_of(f"{field}.{kind}", version, text.encode("utf-8", "surrogatepass"))
            mode = None if kind is ScriptKind.VERIFY else script.transaction
            yield found(version, kind, script.name, source, mode=mode)


def _script_set(scripts: Iterable[Found], ignored: Iterable[str]) -> ScriptSet:
    # Sorting keeps the order of files with equal versions, so a refusal names the same file every time.
    groups = groupby(sorted(scripts, key=lambda one: one.version), key=lambda one: one.version)
    return ScriptSet.of((_script(tuple(group)) for _, group in groups), ignored)


def _script(group: tuple[Found, ...]) -> Script:
    by_kind: dict[ScriptKind, Found] = {}
    for one in group:
        _refuse_another_writing(group[0], one)
        _refuse_second(by_kind.setdefault(one.kind, one), one)
    up = by_kind.get(ScriptKind.UP)
    if up is None:
        raise Refused(
            Reason.MISSING_UP_SCRIPT,
            f"this {group[0].kind} script has no up script beside it; add the up script of version "
            f"{group[0].version} or remove this one",
            group[0].location,
        )
    down, verify = by_kind.get(ScriptKind.DOWN), by_kind.get(ScriptKind.VERIFY)
    return Script(
        up.version,
        up.name,
        up.source,
        down.source if down else None,
        verify.source if verify else None,
        up.header.description,
        up.header.requires,
        up.header.allow,
    )


def _refuse_another_writing(first: Found, other: Found) -> None:
    if first.version.text != other.version.text:
        raise Refused(
            Reason.DUPLICATE_VERSION,
            f"{first.version} in {first.source.file} and {other.version} in {other.source.file} are the same version, "
            "written in two ways; write it in one way, or give one of them another version",
            other.location,
        )


def _refuse_second(first: Found, other: Found) -> None:
    if first is not other:
        raise Refused(
            Reason.DUPLICATE_VERSION,
            f"{first.source.file} and {other.source.file} are both the {other.kind} script of version {other.version}; "
            "give one of them another version or remove it",
            other.location,
        )


class _OnDisk(msgspec.Struct, frozen=True):
    """A file that is read when a format asks for it."""

    label: str
    name: str
    path: str

    @property
    def file(self) -> str:
        return file_name(self.label, self.name)

    def read(self) -> bytes:
        try:
            path = Path(self.path)
            if path.exists() and not path.is_file():
                raise Refused(
                    Reason.INVALID_REQUEST,
                    "this is no regular file; put a file there or rename it",
                    Location(file=self.file),
                )
            return path.read_bytes()
        except OSError as error:
            raise Refused(
                Reason.INVALID_REQUEST,
                f"the script cannot be read ({error.strerror}); check that it is there and its permissions",
                Location(file=self.file),
            ) from None


def _files(folder: ScriptFolder) -> Iterator[_OnDisk]:
    """List a folder and those within it: with `_OnDisk.read`, the only places here that touch a disk.

    The keys of a mounted ConfigMap are symbolic links through the hidden folder `..data`, and are followed.
    """
    for entry in _listed(folder.path, folder.label or folder.path):
        if not _is_folder(entry):
            yield _OnDisk(folder.label, _name(entry), entry.path)
        elif not entry.name.startswith("."):
            yield from _files_within(folder.label, entry)


def _files_within(label: str, folder: os.DirEntry[str]) -> Iterator[_OnDisk]:
    name = _name(folder)
    for entry in _listed_within(folder, file_name(label, name)):
        if not _is_folder(entry):
            if telling.within(entry.name):
                yield _OnDisk(label, f"{name}/{_name(entry)}", entry.path)
        elif not entry.is_symlink():
            yield from _files_deep_within(label, name, entry)


def _files_deep_within(label: str, above: str, folder: os.DirEntry[str]) -> Iterator[_OnDisk]:
    """List what is deeper than one folder, where only Flyway looks; links are not followed, for they may go round."""
    name = f"{above}/{_name(folder)}"
    for entry in _listed_within(folder, file_name(label, name)):
        if entry.is_dir(follow_symlinks=False):
            yield from _files_deep_within(label, name, entry)
        elif telling.deep_within(entry.name):
            yield _OnDisk(label, f"{name}/{_name(entry)}", entry.path)


def _listed_within(folder: os.DirEntry[str], name: str) -> list[os.DirEntry[str]]:
    try:
        return _listed(folder.path, name)
    except Refused:
        if folder.name[0].isdecimal():
            raise  # it may be a version
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link that leads nowhere or in circles: what is wrong with it is said where it is read


def _listed(path: str, name: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return list(entries)
    except OSError as error:
        raise Refused(
            Reason.INVALID_REQUEST,
            f"the folder of scripts {name} cannot be read ({error.strerror}); check its path and its permissions",
        ) from None


def _name(entry: os.DirEntry[str]) -> str:
    """Give a name as text: one that is not UTF-8 must still fit into messages."""
    return entry.name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
