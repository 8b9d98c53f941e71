"""What PostgreSQL's own parser says of a script, to compare with."""

from __future__ import annotations

import re

import postgast

from schema_operator.scripts.lexer import Piece, PieceKind, tokens

_PLACEHOLDER = re.compile(r"@(\w+)@|@extschema:(\w+)@")


def cuts(text: str) -> list[tuple[int, int]]:
    """Give the statements the parser sees, in characters; raises `postgast.PgQueryError` for a syntax error.

    The end is that of the statement with what follows it up to its semicolon.
    """
    encoded = text.encode()
    spans = []
    for statement in postgast.parse(text).stmts:
        begin = statement.stmt_location
        end = begin + statement.stmt_len if statement.stmt_len else len(encoded)
        spans.append((len(encoded[:begin].decode()), len(encoded[:end].decode())))
    return spans


def agrees(text: str, pieces: tuple[Piece, ...]) -> bool:
    """Whether the parser and our pieces have the same statements, comments and blanks around them left aside."""
    theirs = [(_first(text, begin, end), end) for begin, end in cuts(text)]
    return [piece.start for piece in pieces] == [begin for begin, _ in theirs] and all(
        piece.end <= end and not list(tokens(text, piece.end, end))
        for piece, (_, end) in zip(pieces, theirs, strict=True)
    )


def _first(text: str, begin: int, end: int) -> int:
    """Skip what the parser counts to a statement before its first token."""
    while list(tokens(text, begin + 1, end)) == list(tokens(text, begin, end)):
        begin += 1
    return begin


def plain(text: str, pieces: tuple[Piece, ...]) -> str:
    """Give a script without what only psql or CREATE EXTENSION understands, everything else at its place."""
    for piece in pieces:
        if piece.kind is not PieceKind.STATEMENT:
            text = text[: piece.start] + " " * (piece.end - piece.start) + text[piece.end :]
    return _PLACEHOLDER.sub(lambda found: "p" * len(found[0]), text)
