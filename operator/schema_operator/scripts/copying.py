"""COPY: what it reads from or writes to."""

from __future__ import annotations

from enum import Enum, unique
from typing import TYPE_CHECKING

from schema_operator.scripts.tokens import is_word, outside_parentheses

if TYPE_CHECKING:
    from collections.abc import Iterator


@unique
class CopyForm(Enum):
    """The four kinds of COPY, by who has the data."""

    FROM_CLIENT = "COPY … FROM STDIN"
    TO_CLIENT = "COPY … TO STDOUT"
    PROGRAM = "COPY … PROGRAM"
    SERVER_FILE = "COPY with a file of the server"


def copy_form(sequence: Iterator[str]) -> CopyForm | None:
    """Tell the form of COPY from a statement's tokens; None where it is no COPY or not a complete one.

    `COPY t FROM STDOUT` is the same as `FROM STDIN` for the server, and `TO STDIN` the same as `TO STDOUT`
    (PostgreSQL 18, gram.y, copy_file_name).
    """
    if next(sequence, None) != "COPY":
        return None
    previous, direction = "COPY", ""
    for token in outside_parentheses(sequence):
        if direction:
            return _form(direction, token)
        # FROM and TO are reserved, so they cannot be a table's name; after a dot they would be part of one.
        direction = token if token in {"FROM", "TO"} and previous != "." else ""
        previous = token
    return None


def _form(direction: str, source: str) -> CopyForm | None:
    if source in {"STDIN", "STDOUT"}:
        return CopyForm.FROM_CLIENT if direction == "FROM" else CopyForm.TO_CLIENT
    if source == "PROGRAM":
        return CopyForm.PROGRAM
    return None if is_word(source) else CopyForm.SERVER_FILE
