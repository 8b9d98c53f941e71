"""What can be said against scripts without a database.

A rule takes a statement and gives what is wrong with it, if anything is. `check` is for those who stop at the first
problem, `problems` for those who show them all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from schema_operator.api.request import Acknowledgement
from schema_operator.errors import Location, Reason, Refused
from schema_operator.scripts.header import MARK
from schema_operator.scripts.lexer import Piece, PieceKind, lex
from schema_operator.scripts.script import Script, ScriptKind, ScriptSet, Source
from schema_operator.scripts.statements import (
    CopyForm,
    Statement,
    copy_of,
    needs_no_transaction,
    statements_in,
    transaction_control,
    turns_off_standard_strings,
)
from schema_operator.scripts.units import divide_for

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    _Rule = Callable[[Statement], "Finding | None"]

_PG_DUMP_COMMAND = re.compile(r"\\(?:un)?restrict[ \t]+[A-Za-z0-9]+")
"""What pg_dump writes since 2025 (CVE-2025-8714); the key is letters and digits. It changes nothing in the database."""
_META_COMMAND_NAME = re.compile(r"\\(?:[A-Za-z_]+|.?)")


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a statement, and what to do."""

    reason: Reason
    sentence: str


def check(scripts: ScriptSet, allow: Collection[Acknowledgement] = ()) -> None:
    """Raise the first of the `problems`, if there is one."""
    for problem in _problems(scripts, allow):
        raise problem


def problems(scripts: ScriptSet, allow: Collection[Acknowledgement] = ()) -> tuple[Refused, ...]:
    """Give all that is wrong and not allowed by name, by version, then up, down, verify, then line.

    Reasons: SyntaxError (something opened and never closed), EmptyMigration, MetaCommandNotSupported,
    TransactionControl, NeedsNoTransaction, CopyNotSupported, ForbiddenStatement. Down and verify scripts are held to
    the same rules, but a down script may be empty: there is nothing to undo, and it says so (`Source.does_nothing`).
    `allow` is what is acknowledged for all scripts, beside what the header of each says.
    """
    return tuple(_problems(scripts, allow))


def _problems(scripts: ScriptSet, allow: Collection[Acknowledgement]) -> Iterator[Refused]:
    for script in scripts.scripts:
        may_be_empty = _MAY_BE_EMPTY | (
            {ScriptKind.UP} if Acknowledgement.EMPTY_SCRIPT in {*allow, *script.allow} else set()
        )
        for kind, source in script.sources:
            for problem in _problems_of(kind, source, may_be_empty):
                yield _in_script(problem, script, source)


def _in_script(problem: Refused, script: Script, source: Source) -> Refused:
    location = replace(source.in_file(problem.location), version=script.version.text, file=source.file)
    return Refused(problem.reason, problem.sentence, location)


def _problems_of(kind: ScriptKind, source: Source, may_be_empty: Collection[ScriptKind]) -> Iterator[Refused]:
    try:
        pieces = lex(source.text)
    except Refused as unclosed:
        yield unclosed
        return
    statements = statements_in(source.text, pieces)
    rules = VERIFY_RULES if kind is ScriptKind.VERIFY else RULES
    found = [*_meta_commands(source.text, pieces), *_findings(statements, rules)]
    if kind is not ScriptKind.VERIFY:
        found.extend(_division(statements, source))
    if not statements and not found and kind not in may_be_empty:
        yield Refused(Reason.EMPTY_MIGRATION, _EMPTY[kind])
    yield from sorted(found, key=lambda problem: (problem.location.line or 0, problem.location.column or 0))


_MAY_BE_EMPTY: Final = frozenset({ScriptKind.DOWN})
_EMPTY: Final = {
    ScriptKind.UP: "the script holds no statement, so it would do nothing; write what it should do, or, if nothing is "
    f"meant, begin it with -- {MARK} allow={Acknowledgement.EMPTY_SCRIPT}",
    ScriptKind.VERIFY: "the script holds no statement, so it would verify nothing; write a query or remove the script",
}


def _meta_commands(text: str, pieces: tuple[Piece, ...]) -> Iterator[Refused]:
    for piece in pieces:
        if piece.kind is PieceKind.META_COMMAND and not _is_of_pg_dump(text, piece):
            name = _META_COMMAND_NAME.match(text, piece.start, piece.end)
            yield Refused(
                Reason.META_COMMAND_NOT_SUPPORTED,
                f"{name[0] if name else ''} is a command of psql, not of the server; write it as SQL or remove it",
                Location(line=piece.line, column=piece.column),
            )


def _is_of_pg_dump(text: str, piece: Piece) -> bool:
    return not piece.interrupts and _PG_DUMP_COMMAND.fullmatch(text, piece.start, piece.end) is not None


def _division(statements: tuple[Statement, ...], source: Source) -> Iterator[Refused]:
    try:
        divide_for(source, statements)
    except Refused as refused:
        yield refused


def _findings(statements: tuple[Statement, ...], rules: Sequence[_Rule]) -> Iterator[Refused]:
    for statement in statements:
        location = Location(
            statement=statement.number, statements=len(statements), line=statement.line, column=statement.column
        )
        for rule in rules:
            if finding := rule(statement):
                yield Refused(finding.reason, finding.sentence, location)


def refuse_transaction_control(statement: Statement) -> Finding | None:
    """Keep a verify script inside the transaction that it looks at."""
    command = transaction_control(statement)
    if command is None:
        return None
    return Finding(
        Reason.TRANSACTION_CONTROL,
        f"{command} is not possible in a verify script, which runs inside the transaction of its version; remove it",
    )


def refuse_what_needs_no_transaction(statement: Statement) -> Finding | None:
    """Say of a verify script before anything runs what the server would say in the middle (SQLSTATE 25001)."""
    command = needs_no_transaction(statement)
    if command is None:
        return None
    return Finding(
        Reason.NEEDS_NO_TRANSACTION,
        f"{command} cannot run in a transaction, and a verify script runs in that of its version; remove it",
    )


def refuse_copy(statement: Statement) -> Finding | None:
    """Refuse COPY: nobody sends or takes rows, and the server's files and programs are out of bounds."""
    form = copy_of(statement)
    return None if form is None else _COPY_FINDINGS[form]


_COPY_FINDINGS: Final = {
    CopyForm.FROM_CLIENT: Finding(
        Reason.COPY_NOT_SUPPORTED, "COPY … FROM STDIN is not possible in a script; write the rows as INSERT"
    ),
    CopyForm.TO_CLIENT: Finding(
        Reason.COPY_NOT_SUPPORTED, "COPY … TO STDOUT is not possible in a script: nobody takes the rows; remove it"
    ),
    CopyForm.PROGRAM: Finding(
        Reason.FORBIDDEN_STATEMENT,
        "COPY with PROGRAM runs a program on the database's server, which a migration must not; remove it",
    ),
    CopyForm.SERVER_FILE: Finding(
        Reason.FORBIDDEN_STATEMENT,
        "COPY with a file reads or writes on the database's server, which a migration must not; write rows as INSERT",
    ),
}


def refuse_other_strings(statement: Statement) -> Finding | None:
    """Keep the rules for strings by which `lex` has cut the script."""
    if not turns_off_standard_strings(statement):
        return None
    return Finding(
        Reason.FORBIDDEN_STATEMENT,
        "standard_conforming_strings must stay on; remove the statement and write strings with backslashes as E'…'",
    )


RULES: Final[tuple[_Rule, ...]] = (
    refuse_copy,
    refuse_other_strings,
)
"""The rules for statements of all scripts, in the order in which they speak."""
VERIFY_RULES: Final[tuple[_Rule, ...]] = (
    refuse_transaction_control,
    refuse_what_needs_no_transaction,
    *RULES,
)
"""The rules for statements of verify scripts. Those of other scripts are divided into units instead."""
