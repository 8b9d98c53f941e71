"""The history is written by the runner alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schema_operator.errors import Reason
from schema_operator.scripts.finding import Finding

if TYPE_CHECKING:
    from schema_operator.scripts.statements import Statement

SCHEMA: Final = "schema_operator"
_FINDING = Finding(
    Reason.FORBIDDEN_STATEMENT,
    f"the schema {SCHEMA} holds the history of this database, which only schema-operator writes; remove the statement "
    "(reading from it is fine)",
)


def refuse_changes_of_the_history(statement: Statement) -> Finding | None:
    """Refuse statements that make, change or drop something in the history's schema, or write to it.

    Not what they do in strings (DO, EXECUTE), and not where the search_path leads there.
    """
    # The quick no for nearly all: an upper-case name without quotes is the same name.
    if SCHEMA not in statement.sql and SCHEMA not in statement.sql.lower():
        return None
    from schema_operator.scripts.tree import Parsed, Touch, parse  # noqa: PLC0415 (few scripts need it)

    parsed = parse(statement.sql)
    if not isinstance(parsed, Parsed):
        return None
    ours = (one for one in parsed.objects if one.schema == SCHEMA and one.touch is not Touch.READS)
    return _FINDING if any(ours) else None
