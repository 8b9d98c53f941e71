"""Where, among the statements of a transaction, our limits are put in force. Pure."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from schema_operator.scripts.statements import is_about_rows, is_setting, may_change_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from schema_operator.scripts.statements import Statement


class Limit(Enum):
    """What is done about the limits."""

    PATIENT = auto()
    """Wait longer for locks."""
    IMPOSED = auto()
    """Put the limits of the attempt back where they are weaker."""


def with_limits(
    statements: Sequence[Statement], destroys: Callable[[Statement], bool] = lambda _: False
) -> Iterator[Statement | Limit]:
    """Give the statements of a transaction, and between them what is done about the limits.

    Who only reads and writes rows may wait for them: as long as the transaction has no stronger lock, that keeps
    nobody from anything but those rows. Before the first other statement, and wherever the script may have changed
    its settings since, the limits of the attempt are put in force. A row of settings is not interrupted.
    A DELETE before which rows are archived (`destroys`) locks its table.
    """
    only_rows, loose, patient = True, False, False
    for statement in statements:
        if only_rows and is_about_rows(statement) and not destroys(statement):
            if not patient:
                yield Limit.PATIENT
            loose = patient = True
        elif not is_setting(statement) and statement.words[:2] != ("SET", "LOCAL"):
            only_rows = False
            if loose:
                yield Limit.IMPOSED
            loose = False
        yield statement
        # Where a script says itself how long it waits for rows, that stands.
        patient = patient or "LOCK_TIMEOUT" in statement.words
        loose = loose or (not is_about_rows(statement) and may_change_settings(statement))
