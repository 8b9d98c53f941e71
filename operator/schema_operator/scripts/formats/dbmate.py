"""dbmate's: `20240115120000_name.sql` with `-- migrate:up` and `-- migrate:down` in it, each with its own options."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from schema_operator.api.request import TransactionMode
from schema_operator.scripts.formats.files import Inventory
from schema_operator.scripts.formats.sections import Both, Mark
from schema_operator.scripts.script import ScriptKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schema_operator.scripts.formats.files import File, Found

NAME: Final = "dbmate's"
_MARK = re.compile(r"^--[ \t]*migrate:(?P<kind>up|down)(?![^ \t\r\n])(?P<options>[^\n]*)", re.MULTILINE)
_MODES: Final = {"transaction:true": None, "transaction:false": TransactionMode.NEVER}


def inventory(files: Sequence[File]) -> Inventory:
    """Find both ways in every file; raises `Refused(UnrecognizedScript)`, and as `Both` does."""
    return Inventory(tuple(one for file in files for one in _found(Both.read(file))), ())


def _found(both: Both) -> tuple[Found, ...]:
    return both.cut([_mark(both, match) for match in _MARK.finditer(both.text)], "dbmate")


def _mark(both: Both, match: re.Match[str]) -> Mark:
    mode = None
    for option in match["options"].split():
        if option not in _MODES:
            both.refuse(
                "an option is unknown; only transaction:true and transaction:false are; correct or remove it",
                match.start(),
            )
        mode = _MODES[option]
    return Mark(ScriptKind(match["kind"]), match.start(), mode)
