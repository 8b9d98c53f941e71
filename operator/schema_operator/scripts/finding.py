"""What a rule says against a statement."""

from __future__ import annotations

from dataclasses import dataclass

from schema_operator.errors import Reason


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a statement, and what to do."""

    reason: Reason
    sentence: str
    place: tuple[int, int] | None = None
    """Line and column in the script; absent where it is the statement's beginning."""
