"""Scripts built from labelled parts, so that the exact span of every piece is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from schema_operator.scripts.lexer import Piece, PieceKind

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Part:
    """A part of a script: a piece of some kind, or filler where `kind` is None."""

    text: str
    kind: PieceKind | None = None


def sql(text: str) -> Part:
    return Part(text, PieceKind.STATEMENT)


def data(text: str) -> Part:
    return Part(text, PieceKind.COPY_DATA)


def meta(text: str) -> Part:
    return Part(text, PieceKind.META_COMMAND)


def written(parts: Iterable[Part | str]) -> str:
    return "".join(part if isinstance(part, str) else part.text for part in parts)


def spans(parts: Iterable[Part | str]) -> list[tuple[PieceKind, int, int]]:
    found, position = [], 0
    for part in parts:
        text, kind = (part, None) if isinstance(part, str) else (part.text, part.kind)
        if kind is not None:
            found.append((kind, position, position + len(text)))
        position += len(text)
    return found


def spans_of(pieces: Iterable[Piece]) -> list[tuple[PieceKind, int, int]]:
    return [(piece.kind, piece.start, piece.end) for piece in pieces]
