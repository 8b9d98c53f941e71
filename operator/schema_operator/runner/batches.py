"""Which versions are sent to the server together. Pure.

Versions that are one plain transaction each may follow each other in one message: every one is still begun, fenced,
written down and committed by itself, but nobody waits for an answer in between. An error ends the message there; what
was committed before stands, and nothing after it was run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from schema_operator.scripts.destruction import may_destroy
from schema_operator.scripts.statements import is_plain, is_setting
from schema_operator.scripts.units import Unit, UnitKind, units_of

if TYPE_CHECKING:
    from schema_operator.history.records import History
    from schema_operator.scripts.script import Script

MOST_VERSIONS: Final = 50
MOST_CHARACTERS: Final = 262_144
"""Of all scripts sent together: what the server has not read yet stays in memory, here or there."""
_MOST_STATEMENTS: Final = 100


@dataclass(frozen=True, slots=True)
class Simple:
    """A version that is one plain transaction, with its unit."""

    script: Script
    unit: Unit


def grouped(
    scripts: Sequence[Script], history: History, *, last_is_verified: bool, archives: bool = False
) -> Iterator[Script | tuple[Simple, ...]]:
    """Give the versions in their order: alone, or as many together as may be sent together.

    `last_is_verified` says that checks of the resource run before the commit of the last one, `archives` that what
    versions destroy is archived, for which answers are waited for.
    """
    group: list[Simple] = []
    for script in scripts:
        alone = last_is_verified and script is scripts[-1]
        one = None if alone else simple(script, history, archives=archives)
        if one is None or len(group) == MOST_VERSIONS or _characters((*group, one)) > MOST_CHARACTERS:
            yield from _flushed(group)
            group = []
        if one is None:
            yield script
        else:
            group.append(one)
    yield from _flushed(group)


def simple(script: Script, history: History, *, archives: bool = False) -> Simple | None:
    """Say whether a version can be sent together with others, and as what."""
    if script.verify is not None or any(one.version == script.version for one in history.open):
        return None
    if _length(script) > MOST_CHARACTERS:
        return None
    match units_of(script.up):
        case (unit,) if unit.kind is UnitKind.TRANSACTION and unit.isolation is None and _is_plain(unit):
            return None if archives and any(map(may_destroy, unit.statements)) else Simple(script, unit)
        case _:
            return None


def _is_plain(unit: Unit) -> bool:
    statements = (*unit.settings, *unit.statements)
    return unit.count <= _MOST_STATEMENTS and all(is_plain(one) or is_setting(one) for one in statements)


def _characters(group: Sequence[Simple]) -> int:
    return sum(_length(one.script) for one in group)


def _length(script: Script) -> int:
    """Count what is sent for a version: the way back is written down twice, as it is and made ready."""
    return len(script.up.text) + 2 * (len(script.down.text) if script.down else 0)


def _flushed(group: list[Simple]) -> Iterator[Script | tuple[Simple, ...]]:
    if len(group) == 1:
        yield group[0].script
    elif group:
        yield tuple(group)
