"""Files that hold both ways, goose's and dbmate's: a comment of a certain form says where a section begins."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from schema_operator.errors import Location, Reason, Refused
from schema_operator.scripts.formats.files import Found, above_nothing, found, source_of, version_of
from schema_operator.scripts.formats.numbers import SEPARATORS
from schema_operator.scripts.lexer import position_to_line_column
from schema_operator.scripts.script import ScriptKind, Source
from schema_operator.scripts.tokens import header_end

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schema_operator.api.request import TransactionMode
    from schema_operator.api.version import Version
    from schema_operator.scripts.formats.files import File


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a section begins: at the comment that says so."""

    kind: ScriptKind
    start: int
    mode: TransactionMode | None = None


@dataclass(frozen=True, slots=True)
class Both:
    """A file with both ways."""

    file: str
    version: Version
    name: str
    text: str

    @classmethod
    def read(cls, file: File) -> Both:
        """Read a file; the digits with which its name begins are the version, as goose and dbmate have it."""
        digits = file.name[: len(file.name) - len(file.name.lstrip("0123456789"))]
        version = version_of(above_nothing(digits), file.file, "; files are named NUMBER_NAME.sql")
        name = file.name[len(digits) : -len(".sql")].lstrip(SEPARATORS)
        return cls(file.file, version, name, source_of(file.file, version, file.read()).text)

    def line(self, position: int) -> int:
        """Give the line of a character."""
        return position_to_line_column(self.text, position)[0]

    def refuse(
        self, sentence: str, position: int | None = None, reason: Reason = Reason.UNRECOGNIZED_SCRIPT
    ) -> NoReturn:
        """Refuse the file."""
        line = None if position is None else self.line(position)
        raise Refused(reason, sentence, Location(version=self.version.text, file=self.file, line=line))

    def cut(self, marks: Sequence[Mark], tool: str) -> tuple[Found, ...]:
        """Cut the file into its sections.

        Raises `Refused(UnrecognizedScript)` unless there is one up section, first, with nothing but comments before it,
        and at most one down section.
        """
        for number, mark in enumerate(marks):
            self._refuse_disorder(number, mark, tool)
        if not marks:
            self.refuse(f"{tool} begins each script with an up section, and there is none; mark where it begins")
        if header_end(self.text[: marks[0].start]) < marks[0].start:
            self.refuse(
                f"there are statements before the up section, which {tool} never runs; move or remove them",
                header_end(self.text),
            )
        ends = [*(mark.start for mark in marks[1:]), len(self.text)]
        return tuple(self._section(mark, end) for mark, end in zip(marks, ends, strict=True))

    def _refuse_disorder(self, number: int, mark: Mark, tool: str) -> None:
        expected = (ScriptKind.UP, ScriptKind.DOWN)
        if number >= len(expected) or mark.kind is not expected[number]:
            self.refuse(
                f"a {mark.kind} section cannot begin here: a file of {tool} holds one up section, and one down section "
                "after it at most; put further ones into files of their own",
                mark.start,
            )

    def _section(self, mark: Mark, end: int) -> Found:
        text = self.text[mark.start : end]
        source = Source(self.file, text, hashlib.sha256(text.encode()).hexdigest(), self.line(mark.start))
        preamble = self.text[: mark.start] if mark.kind is ScriptKind.UP else ""
        return found(self.version, mark.kind, self.name, source, mode=mark.mode, preamble=preamble)
