"""A rollback script made ready for `schema_operator.emergency_rollback`, which has no more than PL/pgSQL's EXECUTE.

Pure. What the runner does with a script is done once, when its version is recorded: it is cut into statements, its
variables are filled in, the BEGIN and COMMIT around it are left out, and what each statement destroys is found. Where
it cannot run inside one transaction and inside a procedure, the reason is kept instead, for whoever needs it at night.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import msgspec

from schema_operator.errors import Refused
from schema_operator.scripts.copying import CopyForm
from schema_operator.scripts.statements import copy_of
from schema_operator.scripts.tokens import outside_parentheses, tokens
from schema_operator.scripts.units import Unit, UnitKind, units_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schema_operator.scripts.destruction import Destroyed
    from schema_operator.scripts.script import Source
    from schema_operator.scripts.statements import Statement

_MOST_CHARACTERS: Final = 8 * 1024 * 1024
"""Of a script that is kept twice; PostgreSQL's jsonb holds strings of 256 MiB at most."""
_INTO: Final = re.compile(r"\binto\b", re.IGNORECASE)
_NO_TARGET: Final = frozenset({"INSERT", "MERGE", "AS", "."})
"""What stands before an INTO that names no new table."""


@dataclass(frozen=True, slots=True)
class DownStep:
    """One statement."""

    sql: str
    """With its variables filled in."""
    line: int
    """In its file, from 1."""
    destroyed: tuple[Destroyed, ...] = ()
    """What it destroys, as far as its text shows."""


@dataclass(frozen=True, slots=True)
class DownSteps:
    """The statements of a rollback script, or the reason why a procedure cannot run them."""

    statements: tuple[DownStep, ...] = ()
    obstacle: str | None = None
    restores: bool = True
    """Whether what the version has destroyed is put back afterwards."""

    @property
    def as_json(self) -> dict[str, Any]:
        """What is written into `version_scripts.down_steps`."""
        if self.obstacle is not None:
            return {"obstacle": self.obstacle}
        never = {} if self.restores else {"restore": False}
        return {"statements": [_as_json(one) for one in self.statements], **never}


def _as_json(step: DownStep) -> dict[str, Any]:
    fields: dict[str, Any] = {"sql": step.sql, "line": step.line}
    if step.destroyed:
        from schema_operator.scripts.destruction import Kind, as_json  # noqa: PLC0415 (few scripts need it)

        fields["destroyed"] = msgspec.Raw(as_json(step.destroyed).encode())
        if any(one.kind is Kind.UNKNOWN for one in step.destroyed):
            fields["unread"] = True
    return fields


def down_steps(source: Source, variables: Mapping[str, str]) -> DownSteps:
    """Make a rollback script ready. Never refuses: what is wrong with the script is the obstacle."""
    try:
        return _steps(source, variables)
    except Refused as refused:
        return DownSteps(obstacle=f"{refused.sentence} (line {refused.location.line or 1})")


def _steps(source: Source, variables: Mapping[str, str]) -> DownSteps:
    if len(source.text) > _MOST_CHARACTERS:
        return DownSteps(obstacle=f"the script has {len(source.text)} characters, more than {_MOST_CHARACTERS}")
    units = units_of(source)
    statements = tuple(one for unit in units for one in _of(unit))
    if obstacle := _obstacle(units, statements):
        return DownSteps(obstacle=obstacle)
    return DownSteps(tuple(_step(one.filled_in(variables)) for one in statements), restores=source.restores)


def _of(unit: Unit) -> tuple[Statement, ...]:
    """Give the statements of a unit; what is done in batches otherwise is done at once where it must be."""
    if unit.kind is not UnitKind.BATCHES:
        return (*unit.settings, *unit.statements)
    from schema_operator.scripts.batched import in_one_go  # noqa: PLC0415 (most scripts are not)

    return tuple(in_one_go(one) for one in unit.statements)


def _step(statement: Statement) -> DownStep:
    from schema_operator.scripts.destruction import destroyed_by  # noqa: PLC0415 (it loads the parser)

    return DownStep(statement.sql, statement.line, destroyed_by(statement))


def _obstacle(units: tuple[Unit, ...], statements: tuple[Statement, ...]) -> str | None:
    """Say why a script cannot run inside the transaction of a procedure."""
    for unit in units:
        if unit.kind is UnitKind.ALONE:
            return f"{unit.command} at line {unit.statements[0].line} cannot be in a transaction"
        if unit.isolation is not None:
            return f"the script wants a transaction of its own, with ISOLATION LEVEL {unit.isolation}"
    if len(units) > 1:
        return f"the script commits in between, before line {units[1].statements[0].line}"
    return next((refused for one in statements if (refused := _refused(one))), None)


def _refused(statement: Statement) -> str | None:
    """Name a statement that a transaction takes and PL/pgSQL's EXECUTE refuses.

    Source: `_SPI_execute_plan` (COPY with the client, transaction statements, which savepoints are) and
    `exec_stmt_dynexecute` (SELECT INTO) in PostgreSQL 13 to 18.
    """
    what: str | None = None
    match statement.words:
        case ("SAVEPOINT" | "RELEASE" | "ROLLBACK", *_):
            what = "a savepoint"
        case ("COPY", *_) if (form := copy_of(statement)) is CopyForm.FROM_CLIENT or form is CopyForm.TO_CLIENT:
            what = form.value
        case ("SELECT" | "WITH", *_) if _selects_into(statement.sql):
            what = "SELECT INTO (CREATE TABLE AS is possible)"
    return what and f"{what} at line {statement.line} is not possible inside a procedure"


def _selects_into(sql: str) -> bool:
    if _INTO.search(sql) is None:
        return False
    return any(
        word == "INTO" and before not in _NO_TARGET for before, word in pairwise(outside_parentheses(tokens(sql)))
    )
