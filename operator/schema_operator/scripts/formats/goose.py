"""goose's: `00012_name.sql` with `-- +goose Up` and `-- +goose Down` in it.

Its annotations are lines: `StatementBegin` and `StatementEnd` mean nothing here, because statements are found without
them; `NO TRANSACTION` holds for both ways, wherever it stands.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from schema_operator.api.request import TransactionMode
from schema_operator.errors import Reason
from schema_operator.scripts.formats.files import Inventory
from schema_operator.scripts.formats.sections import Both, Mark
from schema_operator.scripts.script import ScriptKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from schema_operator.scripts.formats.files import File, Found

NAME: Final = "goose's"
_ANNOTATION = re.compile(r"^[ \t]*--[^\n]*?\+goose(?P<word>[^\n]*)", re.MULTILINE)
_SECTIONS: Final = {"UP": ScriptKind.UP, "DOWN": ScriptKind.DOWN}
_WITHOUT_EFFECT: Final = frozenset({"STATEMENTBEGIN", "STATEMENTEND", "ENVSUB OFF"})
_NO_TRANSACTION: Final = "NO TRANSACTION"


def inventory(files: Sequence[File]) -> Inventory:
    """Find both ways in every file; raises `Refused`: UnrecognizedScript, PlaceholderError, and as `Both` does."""
    return Inventory(tuple(one for file in files for one in _found(Both.read(file))), ())


def _found(both: Both) -> tuple[Found, ...]:
    annotations = tuple(_annotations(both))
    never = any(word == _NO_TRANSACTION for word, _ in annotations)
    mode = TransactionMode.NEVER if never else None
    marks = [Mark(_SECTIONS[word], start, mode) for word, start in annotations if word in _SECTIONS]
    return both.cut(marks, "goose")


def _annotations(both: Both) -> Iterator[tuple[str, int]]:
    for match in _ANNOTATION.finditer(both.text):
        word = match["word"].strip().upper()
        if word == "ENVSUB ON":
            both.refuse(
                "goose would fill in environment variables from here on, which are not known here; write the values, "
                "or declare variables of psql (:name), and remove the line",
                match.start(),
                Reason.PLACEHOLDER_ERROR,
            )
        if word not in _SECTIONS and word not in _WITHOUT_EFFECT and word != _NO_TRANSACTION:
            both.refuse(
                "goose knows no such annotation; the known ones are Up, Down, StatementBegin, StatementEnd, "
                "NO TRANSACTION and ENVSUB OFF; correct or remove it",
                match.start(),
            )
        yield word, match.start()
