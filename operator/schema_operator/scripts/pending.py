"""What can be said against scripts that are about to be run, before the first of them is.

Applied scripts are not looked at: they ran, and cannot be changed any more. Nor does a run with nothing to do pay.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from schema_operator.api.request import Acknowledgement
from schema_operator.errors import Location, Reason, Refused
from schema_operator.scripts import grammar
from schema_operator.scripts.check import unacknowledged
from schema_operator.scripts.rules import RULES
from schema_operator.scripts.rules.enum_value import enum_value_used
from schema_operator.scripts.script import ScriptKind
from schema_operator.scripts.statements import statements_of
from schema_operator.scripts.units import as_sent

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from schema_operator.scripts.finding import Finding
    from schema_operator.scripts.script import Script, Source
    from schema_operator.scripts.statements import Statement

    Transactions = Callable[[Source, Sequence[Statement]], Iterable[Sequence[Statement]]]

_NO_VARIABLE: Final = re.compile(r"(?!)")


def one_transaction(_source: Source, statements: Sequence[Statement]) -> tuple[Sequence[Statement]]:
    """Take a whole script for one transaction."""
    return (statements,)


def check_pending(
    scripts: Iterable[Script],
    server: int,
    variables: Collection[str] = (),
    transactions: Transactions = one_transaction,
    allow: Collection[str] = (),
) -> tuple[Refused, ...]:
    """Raise the first problem of scripts that lex; give those that are only worth a warning.

    Warnings are syntax errors of down scripts (the rollback they are for may never be wanted, and would end without
    harm), and names that are cut off where `allow` or the script's header has `LongName`. `server` is the server's
    major version, `variables` are psql variables that are not filled in yet, `transactions` gives the statements of
    each transaction a script is divided into. Reasons: SyntaxError, IdentifierTruncated, SessionStateChange,
    ForbiddenStatement, EnumValueNotUsable, and those of `check.unacknowledged`.
    """
    warnings: list[Refused] = []
    unfilled = _pattern(variables)
    for script in scripts:
        for kind, source in script.sources:
            acknowledged = {*allow, *script.allow}
            statements = statements_of(source)
            problems = _problems(source, statements, server, unfilled, transactions)
            found = sorted((*unacknowledged(kind, source, statements, acknowledged), *problems), key=_place)
            harmless = _harmless(kind, acknowledged)
            fatal = [one for one in found if one.reason not in harmless]
            for problem in fatal or found:
                located = _in_script(problem, script, source)
                if fatal:
                    raise located
                warnings.append(located)
    return tuple(warnings)


def _harmless(kind: ScriptKind, allow: Collection[str]) -> frozenset[Reason]:
    """Give the reasons that are worth a warning and no more."""
    broken = {Reason.SYNTAX_ERROR} if kind is ScriptKind.DOWN else set()
    cut_off = {Reason.IDENTIFIER_TRUNCATED} if Acknowledgement.LONG_NAME in allow else set()
    return frozenset(broken | cut_off)


def _place(problem: Refused) -> tuple[int, int]:
    return problem.location.line or 0, problem.location.column or 0


def _in_script(problem: Refused, script: Script, source: Source) -> Refused:
    place = problem.location
    location = Location(
        version=script.version.text,
        file=source.file,
        statement=place.statement,
        statements=place.statements,
        line=place.line,
        column=place.column,
    )
    return Refused(problem.reason, problem.sentence, location)


def _pattern(variables: Collection[str]) -> re.Pattern[str]:
    """Match a use of a variable: `:name`, `:'name'`, `:"name"`."""
    names = "|".join(map(re.escape, variables))
    return re.compile(rf":(?:(?:{names})(?!\w)|(['\"])(?:{names})\1)") if names else _NO_VARIABLE


def _problems(
    source: Source,
    statements: tuple[Statement, ...],
    server: int,
    unfilled: re.Pattern[str],
    transactions: Transactions,
) -> Iterator[Refused]:
    for statement in statements:
        for rule in RULES:
            if finding := rule(statement):
                yield _refused(finding, statement, len(statements))
    for together in transactions(source, statements):
        if used := enum_value_used(together):
            yield _refused(used[1], used[0], len(statements))
    yield from _syntax(as_sent(source, statements), server, unfilled)


def _refused(finding: Finding, statement: Statement, count: int) -> Refused:
    place = Location(statement=statement.number, statements=count, line=statement.line, column=statement.column)
    return Refused(finding.reason, finding.sentence, place)


def _syntax(statements: tuple[Statement, ...], server: int, unfilled: re.Pattern[str]) -> Iterator[Refused]:
    filled = [one for one in statements if unfilled.search(one.sql) is None]
    for index, problem in grammar.syntax_problems([one.sql for one in filled], server):
        statement = filled[index]
        line, column = statement.line_column(problem.position + 1)
        place = Location(statement=statement.number, statements=len(statements), line=line, column=column)
        yield Refused(Reason.SYNTAX_ERROR, problem.sentence, place)
