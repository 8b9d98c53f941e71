"""What formats are made of: files in, scripts with their versions out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NoReturn, Protocol

import msgspec

from schema_operator.api.request import TransactionMode
from schema_operator.api.version import NOTHING, Version
from schema_operator.errors import Location, Reason, Refused
from schema_operator.scripts.header import MARK, NO_HEADER, Header
from schema_operator.scripts.script import ScriptKind, Source

if TYPE_CHECKING:
    from collections.abc import Iterable

FORM: Final = "VERSION_NAME.up.sql (and .down.sql, .verify.sql)"
OF_FILE_NAMES: Final = f"; files are named {FORM}"
_UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_NO_TRANSACTION: Final = b"-- no-transaction"
"""How sqlx has it said, at the very beginning of a file; for everybody else it is a comment."""
_DOWN_PART: Final = rb"(?im)^--[ \t]*(?:\+goose[ \t]+down|migrate:down)\b"


class File(Protocol):
    """A file, wherever it is kept."""

    @property
    def label(self) -> str:
        """What messages call its container, for example a ConfigMap's name; may be empty."""

    @property
    def name(self) -> str:
        """Its name; that of a file in a folder within has the folder's before it, and a slash."""

    @property
    def file(self) -> str:
        """What messages call it."""

    def read(self) -> bytes:
        """Give its content; called once at most. Raises `Refused(InvalidRequest)` where it cannot be read."""


class Entry(msgspec.Struct, frozen=True):
    """A file whose content is known."""

    label: str
    name: str
    content: bytes

    @property
    def file(self) -> str:
        """What messages call it: its name, after its container's where that has one."""
        return file_name(self.label, self.name)

    def read(self) -> bytes:
        """Give the content."""
        return self.content


def file_name(label: str, name: str) -> str:
    """Give what messages call a file."""
    return f"{label}/{name}" if label else name


class Found(msgspec.Struct, frozen=True):
    """One script before the scripts of a version are put together."""

    version: Version
    kind: ScriptKind
    name: str
    source: Source
    header: Header = NO_HEADER

    @property
    def location(self) -> Location:
        """Where it is."""
        return Location(version=self.version.text, file=self.source.file)


class Inventory(msgspec.Struct, frozen=True):
    """What a format makes of files."""

    found: tuple[Found, ...]
    ignored: tuple[str, ...]
    """Files that are no scripts, as messages call them."""


def names_of(files: Iterable[File]) -> tuple[str, ...]:
    """Give what messages call files."""
    return tuple(file.file for file in files)


def whole(file: File, version: Version, kind: ScriptKind, name: str, mode: TransactionMode | None = None) -> Found:
    """Make a script of a whole file; `mode` is what the format says of its transactions.

    Raises `Refused`: InvalidEncoding, InvalidSpec for its header, UnrecognizedScript where it holds a way back too.
    """
    content = file.read()
    if kind is ScriptKind.UP:
        _refuse_two_ways(content, Location(version=version.text, file=file.file))
    if mode is None and content.removeprefix(_BYTE_ORDER_MARK).startswith(_NO_TRANSACTION):
        mode = TransactionMode.NEVER
    return found(version, kind, name, source_of(file.file, version, content), mode=mode)


def found(
    version: Version,
    kind: ScriptKind,
    name: str,
    source: Source,
    *,
    mode: TransactionMode | None = None,
    preamble: str = "",
) -> Found:
    """Give a script with what its header says of it; `mode` counts where the header has none.

    `preamble` is what stands before a section, from the first line of the file; it belongs to the header.
    """
    text = preamble + source.text
    header = _header(text, kind, version, source, 1 if preamble else source.line) if MARK in text else NO_HEADER
    return Found(version, kind, name, header.applied_to(source, mode), header)


def _header(text: str, kind: ScriptKind, version: Version, source: Source, first_line: int) -> Header:
    from schema_operator.scripts.directives import header_of  # noqa: PLC0415 (most scripts have none, and it is felt)

    return header_of(text, kind, Location(version=version.text, file=source.file), first_line)


def _refuse_two_ways(content: bytes, location: Location) -> None:
    if (b"+goose" in content or b"migrate:" in content) and (mark := re.search(_DOWN_PART, content)):
        raise Refused(
            Reason.UNRECOGNIZED_SCRIPT,
            "here begins the way back, as goose and dbmate write it, but by its name the whole file is the way there; "
            "put the way back into a file of its own, or give the file a name without .up",
            Location(version=location.version, file=location.file, line=content.count(b"\n", 0, mark.start()) + 1),
        )


def above_nothing(version: str) -> str:
    """Give a version of numbers and dots that is above 0, which means that nothing is applied.

    `00000000000000_diesel_initial_setup` is a script like any other: it becomes version 00000000000000.1, which is
    above nothing and below all that follows.
    """
    return version if version.strip("0.") else f"{version}.1"


def version_of(text: str, file: str, hint: str = OF_FILE_NAMES) -> Version:
    """Read a version; raises `Refused(MalformedVersion)` with the file and a hint where it is none, or not above 0."""
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


def source_of(file: str, version: Version, content: bytes) -> Source:
    """Make a source of a file's content; raises `Refused(InvalidEncoding)` with the byte that is no text."""
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


def refuse_name(file: File, sentence: str) -> NoReturn:
    """Refuse a file that is like a script and must not be left out; the sentence says why and what to do."""
    raise Refused(Reason.UNRECOGNIZED_SCRIPT, sentence, Location(file=file.file))
