"""Scripts from where they are kept: files of a folder, keys of a ConfigMap, the resource itself.

A file is a script when its name is `VERSION_NAME.up.sql`, `VERSION_NAME.down.sql` or `VERSION_NAME.verify.sql` (`_NAME`
may be absent, NAME may hold anything but a slash). A file that begins with a digit and ends in `.sql` all the same is
refused: left alone, a script whose name is misspelt would be a version that has gone, and be rolled back. Other files
are left alone and listed, hidden ones are not seen.
Scripts of one version are found by the version: their names may differ, the up script's counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from schema_operator.api.version import NOTHING, Version
from schema_operator.errors import Location, Reason, Refused
from schema_operator.scripts.script import Script, ScriptKind, ScriptSet, Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from schema_operator.api.request import InlineScript, ScriptFolder

_FILE_NAME = re.compile(r"(?P<version>[^_]*)(?:_(?P<name>.*))?\.(?P<kind>up|down|verify)\.sql", re.DOTALL)
_LOOKS_LIKE_A_SCRIPT = re.compile(r"[0-9].*\.sql", re.DOTALL | re.IGNORECASE)
_FORM = "VERSION_NAME.up.sql (and .down.sql, .verify.sql)"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, wherever it is kept."""

    label: str
    """What messages call its container, for example a ConfigMap's name; may be empty."""
    name: str
    content: bytes

    @property
    def file(self) -> str:
        """What messages call the file."""
        return f"{self.label}/{self.name}" if self.label else self.name


@dataclass(frozen=True, slots=True)
class _Found:
    """One script before the scripts of a version are put together."""

    version: Version
    kind: ScriptKind
    name: str
    source: Source

    @property
    def location(self) -> Location:
        return Location(version=self.version.text, file=self.source.file)


def from_entries(entries: Iterable[Entry]) -> ScriptSet:
    """Make the scripts of files, in whatever order they come.

    Raises `Refused` for the first thing wrong: UnrecognizedScript, MalformedVersion, InvalidEncoding, DuplicateVersion,
    MissingUpScript.
    """
    known = sorted(entries, key=lambda entry: (entry.label, entry.name))
    others = [entry for entry in known if not _script_name(entry.name) and not entry.name.startswith(".")]
    for entry in others:
        _refuse_unrecognized(entry)
    found = [_found(entry, match) for entry in known if (match := _script_name(entry.name))]
    return _script_set(found, [entry.file for entry in others])


def from_inline(scripts: Sequence[InlineScript]) -> ScriptSet:
    """Make the scripts written into a resource; messages call them `spec.scripts.inline[0].up` and so on.

    Raises `Refused` as `from_entries` does.
    """
    return _script_set([found for index, script in enumerate(scripts) for found in _found_inline(index, script)], ())


def from_folders(folders: Sequence[ScriptFolder]) -> ScriptSet:
    """Read the script files of folders, not of folders within; files that are no scripts are not opened.

    Raises `Refused` as `from_entries` does, and `Refused(InvalidRequest)` where a folder or a script cannot be read.
    """
    return from_entries(entry for folder in folders for entry in _entries(folder))


def require_not_empty(scripts: ScriptSet) -> ScriptSet:
    """Give the scripts back, or raise `Refused(EmptySource)`: nothing to apply never means roll everything back."""
    if scripts.scripts:
        return scripts
    seen = ", ".join(scripts.ignored[:_MOST_NAMED])
    more = " and others" if len(scripts.ignored) > _MOST_NAMED else ""
    others = f"; found only {seen}{more}" if seen else ""
    raise Refused(Reason.EMPTY_SOURCE, f"there is no script{others}; add one, as a file named {_FORM}")


def _script_name(name: str) -> re.Match[str] | None:
    return None if name.startswith(".") else _FILE_NAME.fullmatch(name)


def _refuse_unrecognized(entry: Entry) -> None:
    if _LOOKS_LIKE_A_SCRIPT.fullmatch(entry.name):
        raise Refused(
            Reason.UNRECOGNIZED_SCRIPT,
            "the name is like a script's, but ends in none of .up.sql, .down.sql and .verify.sql (in lower case); "
            "correct it, or, if the file is no script, give it another ending than .sql",
            Location(file=entry.file),
        )


def _found(entry: Entry, match: re.Match[str]) -> _Found:
    version = _version(match["version"], entry.file, f"; files are named {_FORM}")
    kind = ScriptKind(match["kind"])
    return _Found(version, kind, match["name"] or "", _source(entry.file, version, entry.content))


def _found_inline(index: int, script: InlineScript) -> Iterator[_Found]:
    field = f"spec.scripts.inline[{index}]"
    version = _version(script.version, f"{field}.version", "")
    texts = {ScriptKind.UP: script.up, ScriptKind.DOWN: script.down, ScriptKind.VERIFY: script.verify}
    for kind, text in texts.items():
        if text is not None:
            # A lone half of a surrogate pair is refused as what it is: no UTF-8.
            source = _source(f"{field}.{kind}", version, text.encode("utf-8", "surrogatepass"))
            yield _Found(version, kind, script.name, source)


def _version(text: str, file: str, hint: str) -> Version:
    try:
        version = Version.parse(text)
    except Refused as refused:
        raise Refused(refused.reason, refused.sentence + hint, Location(file=file)) from None
    if version <= Version.parse(NOTHING):
        raise Refused(
            Reason.MALFORMED_VERSION,
            f"the version {text} is not above {NOTHING}, which means that nothing is applied; "
            f"give the script a higher version, for example 1{hint}",
            Location(version=text, file=file),
        )
    return version


def _source(file: str, version: Version, content: bytes) -> Source:
    location = Location(version=version.text, file=file)
    try:
        source = Source.from_bytes(file, content)
    except UnicodeDecodeError as error:
        guess = " (it looks like UTF-16)" if content.startswith(_UTF16_MARKS) else ""
        _refuse_byte(content, error.start, f"is not UTF-8{guess}; save the file as UTF-8", location)
    if "\0" in source.text:
        _refuse_byte(content, content.index(0), "is a NUL, which no script can hold; remove it", location)
    return source


def _refuse_byte(content: bytes, offset: int, problem: str, location: Location) -> NoReturn:
    line = content.count(b"\n", 0, offset) + 1
    raise Refused(
        Reason.INVALID_ENCODING,
        f"the byte at offset {offset} {problem}",
        Location(version=location.version, file=location.file, line=line),
    )


def _script_set(found: Iterable[_Found], ignored: Iterable[str]) -> ScriptSet:
    # Sorting keeps the order of files with equal versions, so a refusal names the same file every time.
    groups = groupby(sorted(found, key=lambda one: one.version), key=lambda one: one.version)
    return ScriptSet.of((_script(tuple(group)) for _, group in groups), ignored)


def _script(group: tuple[_Found, ...]) -> Script:
    by_kind: dict[ScriptKind, _Found] = {}
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
    )


def _refuse_another_writing(first: _Found, other: _Found) -> None:
    if first.version.text != other.version.text:
        raise Refused(
            Reason.DUPLICATE_VERSION,
            f"{first.version} in {first.source.file} and {other.version} in {other.source.file} are the same version, "
            "written in two ways; write it in one way, or give one of them another version",
            other.location,
        )


def _refuse_second(first: _Found, other: _Found) -> None:
    if first is not other:
        raise Refused(
            Reason.DUPLICATE_VERSION,
            f"{first.source.file} and {other.source.file} are both the {other.kind} script of version {other.version}; "
            "give one of them another version or remove it",
            other.location,
        )


def _entries(folder: ScriptFolder) -> Iterator[Entry]:
    """Read a folder: the only place here that touches a disk.

    The keys of a mounted ConfigMap are symbolic links through the hidden folder `..data`, and are followed.
    """
    try:
        paths = [path for path in Path(folder.path).iterdir() if not path.is_dir()]
    except OSError as error:
        raise Refused(
            Reason.INVALID_REQUEST,
            f"the folder of scripts {folder.label or folder.path} cannot be read ({error.strerror}); "
            "check its path and its permissions",
        ) from None
    for path in paths:
        # A name that is not UTF-8 must still fit into messages.
        name = path.name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        yield Entry(folder.label, name, _content(path, folder.label, name) if _script_name(name) else b"")


def _content(path: Path, label: str, name: str) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise Refused(
                Reason.INVALID_REQUEST,
                "this is no regular file; put a file there or rename it",
                Location(file=Entry(label, name, b"").file),
            )
        return path.read_bytes()
    except OSError as error:
        raise Refused(
            Reason.INVALID_REQUEST,
            f"the script cannot be read ({error.strerror}); check that it is there and its permissions",
            Location(file=Entry(label, name, b"").file),
        ) from None
