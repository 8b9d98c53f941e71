"""Names longer than PostgreSQL keeps.

The server cuts a name at 63 bytes and only gives a NOTICE. Two names that begin alike then collide, or a later script
does not find what it made. Only names in CREATE and ALTER count: other statements name what is there already, and are
cut in the same way.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from schema_operator.api.request import Acknowledgement
from schema_operator.errors import Reason
from schema_operator.scripts.finding import Finding
from schema_operator.scripts.names import folded
from schema_operator.scripts.tokens import NAME_PART, NAME_START, tokens

if TYPE_CHECKING:
    from schema_operator.scripts.statements import Statement

MOST_BYTES: Final = 63
"""NAMEDATALEN - 1."""
_SHOWN: Final = 20
_STATEMENTS: Final = (("CREATE",), ("ALTER",))
_MAYBE_LONG = re.compile(rf"{NAME_START}{NAME_PART}{{{MOST_BYTES}}}|\"[^\"]{{{MOST_BYTES}}}|\"[^\"]*\"\"")
"""What may be such a name in ASCII: a quick no for most statements."""


def refuse_names_cut_off(statement: Statement) -> Finding | None:
    """Refuse what the server would quietly call by another name."""
    if statement.words[:1] not in _STATEMENTS:
        return None
    if statement.sql.isascii() and _MAYBE_LONG.search(statement.sql) is None:
        return None
    previous = ""
    for symbol in tokens(statement.sql):
        # What U&"…" stands for is written in escapes, which are longer than the name.
        name = None if previous == "&" else folded(symbol)
        if name is not None and len(name.encode()) > MOST_BYTES:
            return _finding(name)
        previous = symbol
    return None


def _finding(name: str) -> Finding:
    kept = name.encode()[:MOST_BYTES].decode(errors="ignore")
    return Finding(
        Reason.IDENTIFIER_TRUNCATED,
        f"the name {name[:_SHOWN]}… has {len(name.encode())} bytes and PostgreSQL keeps {MOST_BYTES}, so it would be "
        f"called {kept}; choose a shorter name, or write this one, or allow {Acknowledgement.LONG_NAME}",
    )
