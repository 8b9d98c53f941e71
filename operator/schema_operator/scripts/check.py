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
from schema_operator.scripts.finding import Finding
from schema_operator.scripts.header import MARK
from schema_operator.scripts.lexer import Piece, PieceKind, lex
from schema_operator.scripts.placeholders import BATCH_BOUNDS, undeclared
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
from schema_operator.scripts.units import as_sent, divide_for
from schema_operator.scripts.variables import require_usable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    Rule = Callable[[Statement], Finding | None]

_PG_DUMP_COMMAND = re.compile(r"\\(?:un)?restrict[ \t]+[A-Za-z0-9]+")
"""What pg_dump writes since 2025 (CVE-2025-8714); the key is letters and digits. It changes nothing in the database."""
_META_COMMAND_NAME = re.compile(r"\\(?:[A-Za-z_]+|.?)")


@dataclass(frozen=True, slots=True)
class _Terms:
    """By what the scripts of a run are judged, besides themselves."""

    variables: Mapping[str, str]
    allow: frozenset[str]
    """What is acknowledged for all scripts, beside what the header of each says."""


def check(
    scripts: ScriptSet, allow: Collection[Acknowledgement] = (), variables: Mapping[str, str] | None = None
) -> None:
    """Raise the first of the `problems`, if there is one."""
    for problem in _problems(scripts, allow, variables or {}):
        raise problem


def problems(
    scripts: ScriptSet, allow: Collection[Acknowledgement] = (), variables: Mapping[str, str] | None = None
) -> tuple[Refused, ...]:
    """Give all that is wrong and not allowed by name, by version, then up, down, verify, then line.

    `allow` are the acknowledgements of the run, `variables` those declared for it. Statements are judged as they are
    sent, with their variables filled in.

    Reasons: SyntaxError (something opened and never closed), EmptyMigration, MetaCommandNotSupported, PlaceholderError,
    TransactionControl, NeedsNoTransaction, InvalidBatch, CopyNotSupported, ForbiddenStatement. Down and verify scripts
    are held to the same rules, but a down script may be empty: there is nothing to undo, and it says so
    (`Source.does_nothing`). `allow` is what is acknowledged for all scripts, beside what the header of each says.
    """
    return tuple(_problems(scripts, allow, variables or {}))


def _problems(
    scripts: ScriptSet, allow: Collection[Acknowledgement], variables: Mapping[str, str]
) -> Iterator[Refused]:
    try:
        require_usable(variables)
    except Refused as unusable:
        yield unusable
        return
    for script in scripts.scripts:
        terms = _Terms(variables, frozenset((*allow, *script.allow)))
        for kind, source in script.sources:
            for problem in _problems_of(kind, source, terms):
                yield _in_script(problem, script, source)


def _in_script(problem: Refused, script: Script, source: Source) -> Refused:
    location = replace(source.in_file(problem.location), version=script.version.text, file=source.file)
    return Refused(problem.reason, problem.sentence, location)


def _problems_of(kind: ScriptKind, source: Source, terms: _Terms) -> Iterator[Refused]:
    try:
        pieces = lex(source.text)
    except Refused as unclosed:
        yield unclosed
        return
    statements = statements_in(source.text, pieces)
    rules = VERIFY_RULES if kind is ScriptKind.VERIFY else RULES
    sent = as_sent(source, statements)
    found = [*_meta_commands(source.text, pieces), *_findings(sent, rules, terms.variables)]
    found.extend(_reserved(source, terms.variables))
    if kind is not ScriptKind.VERIFY:
        found.extend(_division(statements, source))
    if statements or not found:
        found.extend(unacknowledged(kind, source, statements, terms.allow))
    yield from sorted(found, key=lambda problem: (problem.location.line or 0, problem.location.column or 0))


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


def unacknowledged(
    kind: ScriptKind, source: Source, statements: tuple[Statement, ...], allow: Collection[str]
) -> Iterator[Refused]:
    """Give what is wrong with a script unless somebody says that it is meant, and nobody does.

    Reasons: EmptyMigration, CopyNotSupported for rows in the script. Places count within the text.
    """
    if not statements and not _may_be_empty(kind, allow):
        yield Refused(Reason.EMPTY_MIGRATION, _EMPTY[kind])
    if not source.copy_data_allowed and Acknowledgement.COPY_DATA not in allow:
        yield from _findings(statements, (refuse_copy_data,), {})


def _may_be_empty(kind: ScriptKind, allow: Collection[str]) -> bool:
    return kind is ScriptKind.DOWN or (kind is ScriptKind.UP and Acknowledgement.EMPTY_SCRIPT in allow)


def _division(statements: tuple[Statement, ...], source: Source) -> Iterator[Refused]:
    try:
        divide_for(source, statements)
    except Refused as refused:
        yield refused


def _reserved(source: Source, variables: Collection[str]) -> Iterator[Refused]:
    """Refuse variables that would be overlooked, because their names mean something in a script done in batches."""
    for name in BATCH_BOUNDS:
        if source.batch is not None and name in variables:
            yield Refused(
                Reason.PLACEHOLDER_ERROR,
                f"the variable {name} has a name that stands for the bounds of a batch in this script; give it another",
            )


def _findings(
    statements: tuple[Statement, ...], rules: Sequence[Rule], variables: Mapping[str, str]
) -> Iterator[Refused]:
    for statement in statements:
        here = Location(
            statement=statement.number, statements=len(statements), line=statement.line, column=statement.column
        )
        try:
            sent = statement.filled_in(variables)
        except Refused as unfit:
            place = replace(here, line=unfit.location.line, column=unfit.location.column)
            yield Refused(unfit.reason, unfit.sentence, place)
            continue
        for rule in rules:
            if finding := rule(sent):
                place = here if finding.place is None else replace(here, line=finding.place[0], column=finding.place[1])
                yield Refused(finding.reason, finding.sentence, place)


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
    """Refuse COPY other than from rows in the script: nobody takes rows, the server's files are out of bounds."""
    form = copy_of(statement)
    return None if form is None else _COPY_FINDINGS.get(form)


def refuse_copy_data(statement: Statement) -> Finding | None:
    """Refuse rows in a script, because whoever did not ask for them has mistaken a dump of data for a migration."""
    return _COPY_DATA_FINDING if copy_of(statement) is CopyForm.FROM_CLIENT else None


_COPY_DATA_FINDING: Final = Finding(
    Reason.COPY_NOT_SUPPORTED,
    "COPY … FROM STDIN is refused unless the script or the run says that rows in scripts are meant; write the line "
    f"-- schema-operator: copy=allow at its beginning, or allow {Acknowledgement.COPY_DATA}, or write the rows "
    "as INSERT",
)
_COPY_FINDINGS: Final = {
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


def refuse_undeclared_variable(statement: Statement) -> Finding | None:
    """Say before anything runs what the server would call a syntax error at a colon."""
    place = undeclared(statement.sql)
    if place is None:
        return None
    written = statement.sql[place.start : place.end]
    if place.name in BATCH_BOUNDS:
        return Finding(
            Reason.PLACEHOLDER_ERROR,
            f"{written} is for a script that is done in batches, and this one is not; write the line -- {MARK} "
            "batch=TABLE.COLUMN at its beginning, or leave the placeholder out",
            statement.line_column(place.start + 1),
        )
    return Finding(
        Reason.PLACEHOLDER_ERROR,
        f"{written} is a variable of psql and no value is declared for {place.name}; declare it in spec.variables, by "
        f"hand with --var {place.name}=VALUE, or correct its name",
        statement.line_column(place.start + 1),
    )


RULES: Final[tuple[Rule, ...]] = (
    refuse_undeclared_variable,
    refuse_copy,
    refuse_other_strings,
)
"""The rules for statements of all scripts, in the order in which they speak.

`refuse_copy_data` is for where rows are not meant.
"""
VERIFY_RULES: Final[tuple[Rule, ...]] = (
    refuse_transaction_control,
    refuse_what_needs_no_transaction,
    *RULES,
)
"""The rules for statements of verify scripts. Those of other scripts are divided into units instead."""
