"""From libpq's fields of an error to ours: the border that row values do not pass. Pure.

DETAIL holds row values in most states, so nothing of it is kept but names, and these only where the server's own code
wrote it (a function can raise any SQLSTATE with any DETAIL). Which source file wrote an error is part of the protocol.
"""

from __future__ import annotations

import re
from typing import Final, Protocol

from schema_operator.postgres.server_error import ServerError


class Diagnosis(Protocol):
    """The fields of an error, as psycopg gives them."""

    @property
    def sqlstate(self) -> str | None: ...  # noqa: D102 (PostgreSQL documentation, "Error and Notice Message Fields")
    @property
    def severity_nonlocalized(self) -> str | None: ...  # noqa: D102
    @property
    def message_primary(self) -> str | None: ...  # noqa: D102
    @property
    def message_detail(self) -> str | None: ...  # noqa: D102
    @property
    def message_hint(self) -> str | None: ...  # noqa: D102
    @property
    def statement_position(self) -> str | None: ...  # noqa: D102
    @property
    def context(self) -> str | None: ...  # noqa: D102
    @property
    def schema_name(self) -> str | None: ...  # noqa: D102
    @property
    def table_name(self) -> str | None: ...  # noqa: D102
    @property
    def column_name(self) -> str | None: ...  # noqa: D102
    @property
    def constraint_name(self) -> str | None: ...  # noqa: D102
    @property
    def source_file(self) -> str | None: ...  # noqa: D102
    @property
    def source_function(self) -> str | None: ...  # noqa: D102


_ADVISORY_LOCKS: Final = "lock.c"
"""Where the server warns of an advisory lock that is given back and not held: scripts and we do so on purpose."""
_LAST_WORDS: Final = frozenset({"FATAL", "PANIC"})
"""Severities of errors after which the server ends the session; the connection may look alive for a moment longer."""
_RAISING: Final = frozenset({"exec_stmt_raise", "exec_stmt_assert"})
"""Functions of pl_exec.c that carry out RAISE and ASSERT."""
_LANGUAGES: Final = frozenset(
    {"plpy_elog.c", "plpy_plpymodule.c", "plperl.c", "Util.xs", "Util.c", "SPI.xs", "SPI.c", "pltcl.c", "plv8.cc"}
)
"""Source files of languages whose errors are texts of functions."""
_NAMES_DEPENDANTS: Final = frozenset({"dependency.c", "user.c", "tablecmds.c"})
_NAMES_KEYS: Final = frozenset({"ri_triggers.c", "nbtinsert.c", "tuplesort.c", "tuplesortvariants.c", "execIndexing.c"})
_DEPENDANT: Final = re.compile(
    r"(?:rule \S+ on )?(?P<object>.+) depends on .+|(?P<right>(?:owner of|privileges for|target of) .+)"
    r'|Column ".+" is used by (?P<generated>generated column) "(?P<column>.+)"\.'
)
_IDENTIFIER: Final = r'(?:[a-z_][a-z0-9_$]*|"(?:[^"]|"")+")'
_KEY: Final = re.compile(rf"Key \((?P<columns>{_IDENTIFIER}(?:, {_IDENTIFIER})*)\)=\(")
# The greedy part before goes over the values, so what matches is the server's own end of the sentence.
_KEY_TABLE: Final = re.compile(r'[\s\S]* (?:is not present in|is still referenced from) table "(?P<table>[^"]+)"\.')
_RAISED_AT: Final = re.compile(
    r"PL/pgSQL function (?P<routine>[^()'\n]+\([^()'\n]*\)|inline_code_block) line (?P<line>\d+) at "
)
_LINE_OF_COPY: Final = re.compile(r"^COPY .+?, [^\d,:]*(\d+)", re.MULTILINE)
"""Of the CONTEXT of an error, in whatever language the server speaks; what follows the number may be values."""


def warning(notice: Diagnosis) -> str | None:
    """Give what may be shown of a warning of the server's; None for notices, and for texts of functions (RAISE)."""
    if notice.severity_nonlocalized != "WARNING" or notice.source_file in {None, _ADVISORY_LOCKS}:
        return None
    known = server_error(notice, lost=False)
    if known.raised:
        return None
    from schema_operator.postgres import masking  # noqa: PLC0415 (most runs need no sentence)

    return masking.shown(known)


def server_error(diagnosis: Diagnosis, *, lost: bool) -> ServerError:
    """Take of an error what may be kept."""
    raised = _is_raised(diagnosis)
    detail = diagnosis.message_detail or ""
    source = "" if raised else diagnosis.source_file or ""
    position = diagnosis.statement_position
    routine = _RAISED_AT.match(diagnosis.context or "") if raised else None
    return ServerError(
        sqlstate=diagnosis.sqlstate,
        message=diagnosis.message_primary or "",
        hint=None if raised else diagnosis.message_hint,
        position=int(position) if position else None,
        schema=None if raised else diagnosis.schema_name,
        table=None if raised else diagnosis.table_name,
        column=None if raised else diagnosis.column_name,
        constraint=None if raised else diagnosis.constraint_name,
        key_columns=_key_columns(detail) if source in _NAMES_KEYS else (),
        key_table=_key_table(detail) if source in _NAMES_KEYS else None,
        dependants=_dependants(detail) if source in _NAMES_DEPENDANTS else (),
        raised=raised,
        routine=routine["routine"] if routine else None,
        routine_line=int(routine["line"]) if routine else None,
        data_line=_data_line(diagnosis.context or ""),
        lost=lost or diagnosis.severity_nonlocalized in _LAST_WORDS,
    )


def _data_line(context: str) -> int | None:
    found = _LINE_OF_COPY.search(context)
    return int(found[1]) if found else None


def _is_raised(diagnosis: Diagnosis) -> bool:
    return diagnosis.source_function in _RAISING or diagnosis.source_file in _LANGUAGES


def _key_columns(detail: str) -> tuple[str, ...]:
    """Give the columns of a key, where they are columns: an expression may hold literals."""
    found = _KEY.match(detail)
    if found is None:
        return ()
    return tuple(_unquoted(name) for name in re.findall(_IDENTIFIER, found["columns"]))


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def _key_table(detail: str) -> str | None:
    found = _KEY_TABLE.fullmatch(detail)
    return found["table"] if found else None


def _dependants(detail: str) -> tuple[str, ...]:
    """Give what depends, one a line; lines of another form (`and 7 other objects (see server log …)`) are left out."""
    lines = (_DEPENDANT.fullmatch(line) for line in detail.splitlines())
    return tuple(
        found["object"] or found["right"] or f"{found['generated']} {found['column']}" for found in lines if found
    )
