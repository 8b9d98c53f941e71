"""Rules for scripts that are about to be run, one file each: what the server would accept, and what would go wrong.

A rule takes a statement and gives what is wrong with it, if anything is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schema_operator.scripts.rules.history_schema import refuse_changes_of_the_history
from schema_operator.scripts.rules.identifier_length import refuse_names_cut_off
from schema_operator.scripts.rules.session_state import refuse_session_state

if TYPE_CHECKING:
    from collections.abc import Callable

    from schema_operator.scripts.finding import Finding
    from schema_operator.scripts.statements import Statement

__all__ = ["RULES"]

RULES: Final[tuple[Callable[[Statement], Finding | None], ...]] = (
    refuse_names_cut_off,
    refuse_session_state,
    refuse_changes_of_the_history,
)
"""All of them, in the order in which they speak."""
