"""Scripts as values: one text, one version with its texts, and all versions in order."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from enum import StrEnum, unique
from typing import TYPE_CHECKING

import msgspec

from schema_operator.api.request import TransactionMode
from schema_operator.errors import Refused
from schema_operator.scripts.lexer import PieceKind, lex
from schema_operator.scripts.tokens import header_end

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from schema_operator.api.version import Version
    from schema_operator.errors import Location
    from schema_operator.scripts.statements import Statement


@unique
class ScriptKind(StrEnum):
    """What a script is for; the value is the word in its file's name."""

    UP = "up"
    DOWN = "down"
    VERIFY = "verify"


class BatchKey(msgspec.Struct, frozen=True):
    """The column by whose order a script is done in batches; names as the server keeps them."""

    schema: str | None
    """Absent where the search_path finds the table."""
    table: str
    column: str

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the table."""
        return (self.table,) if self.schema is None else (self.schema, self.table)

    def __str__(self) -> str:
        return ".".join((*self.names, self.column))


@dataclass(frozen=True, slots=True)
class Source:
    """One script."""

    file: str
    """What messages call it."""
    text: str
    """What is executed: without a byte-order mark."""
    checksum: str
    """SHA-256, in hex, of the bytes exactly as they were."""
    line: int = 1
    """Line of the file on which the text begins: a file may hold the up and the down script."""
    transaction: TransactionMode = TransactionMode.AUTO
    """How the script is divided into transactions."""
    copy_data_allowed: bool = False
    """Whether the script says itself that rows may follow its COPY … FROM STDIN."""
    restores: bool = True
    """Whether what its version has destroyed is put back after it, where it is a down script."""
    batch: BatchKey | None = None
    """By what the script is done in batches; absent for one that is not."""
    cut: list[tuple[Statement, ...]] = field(default_factory=list, init=False, repr=False, compare=False)
    """What `statements_of` found, once it has been asked: a script about to run is looked at several times."""

    @classmethod
    def from_bytes(cls, file: str, content: bytes) -> Source:
        """Make a source of a file's content; raises `UnicodeDecodeError` where that is not UTF-8."""
        return cls(file, content.decode("utf-8").removeprefix("\ufeff"), hashlib.sha256(content).hexdigest())

    def in_file(self, location: Location) -> Location:
        """Give a place in the text, whose line counts from the text's beginning, as the place in the file."""
        return location if location.line is None else replace(location, line=location.line + self.line - 1)

    @property
    def does_nothing(self) -> bool:
        """Whether there is no statement in it: nothing, comments, what pg_dump writes around. Looked for when asked."""
        first = header_end(self.text)
        if first < len(self.text) and self.text[first] not in ";\\":
            return False
        try:
            return not any(piece.kind is PieceKind.STATEMENT for piece in lex(self.text))
        except Refused:
            return False


@dataclass(frozen=True, slots=True)
class Script:
    """One version: what brings it about, what undoes it, what checks it."""

    version: Version
    name: str
    """The part of the up script's file name after the version; may be empty."""
    up: Source
    down: Source | None = None
    verify: Source | None = None
    description: str | None = None
    """What the header of the up script says the version is for."""
    requires: tuple[str, ...] = ()
    """Versions that must be applied before this one, as that header names them."""
    allow: tuple[str, ...] = ()
    """Acknowledgements in that header."""

    @property
    def sources(self) -> Iterator[tuple[ScriptKind, Source]]:
        """The scripts there are, up first."""
        for kind, source in ((ScriptKind.UP, self.up), (ScriptKind.DOWN, self.down), (ScriptKind.VERIFY, self.verify)):
            if source is not None:
                yield kind, source


@dataclass(frozen=True, slots=True)
class ScriptSet:
    """All scripts of one resource; made with `of`."""

    scripts: tuple[Script, ...]
    """Lowest version first."""
    ignored: tuple[str, ...]
    """Files that are no scripts, by name."""
    digest: str
    """SHA-256, in hex, over every version, name, kind and content, and how they are to be run: equal for the same
    scripts, whatever container they came in and in which order."""
    needless: bool = False
    """Whether none is needed, because all that was applied is to be rolled back."""

    @classmethod
    def of(cls, scripts: Iterable[Script], ignored: Iterable[str] = ()) -> ScriptSet:
        """Put scripts in order; no two may have the same version."""
        ordered = tuple(sorted(scripts, key=lambda script: script.version))
        return cls(ordered, tuple(sorted(ignored)), _digest(ordered))

    @property
    def newest(self) -> Script | None:
        """The script with the highest version; None where there is none."""
        return self.scripts[-1] if self.scripts else None

    @property
    def without_down(self) -> tuple[str, ...]:
        """The up scripts that have no down script beside them, by file, lowest version first."""
        return tuple(script.up.file for script in self.scripts if script.down is None)

    def get(self, version: Version) -> Script | None:
        """Find a version (`1.0` finds `1.0.0`); None where it is not among the scripts."""
        return next((script for script in self.scripts if script.version == version), None)


def _digest(scripts: Iterable[Script]) -> str:
    """Hash fields with their lengths before them, so that no two different sets give the same bytes."""
    digest = hashlib.sha256()
    for script in scripts:
        for kind, source in script.sources:
            for part in (script.version.text, script.name, kind.value, source.checksum, *_settings(script, source)):
                encoded = part.encode("utf-8", "surrogatepass")
                digest.update(b"%d:%b" % (len(encoded), encoded))
    return digest.hexdigest()


def _settings(script: Script, source: Source) -> Iterator[str]:
    """Give what is said of a script beside its text, for example in a companion file; mostly nothing."""
    if source.transaction is not TransactionMode.AUTO:
        yield f"transaction {source.transaction}"
    if source.copy_data_allowed:
        yield "copy"
    if source is script.up:
        yield from (f"requires {version}" for version in script.requires)
        yield from (f"allow {what}" for what in script.allow)
        if script.description is not None:
            yield f"description {script.description}"
