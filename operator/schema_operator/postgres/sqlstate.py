"""What an error of the server means: SQLSTATE -> reason, verdict, and a sentence that says what to do. Pure.

SQLSTATEs: PostgreSQL documentation, appendix A. The sentences hold names (constraint, table, column) and the server's
primary message with literals masked; never its DETAIL, which contains row values in class 23, and never its CONTEXT,
which contains queries.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from schema_operator.errors import NOWHERE, Failed, Location, Reason, Retryable, SchemaOperatorError


class Verdict(Enum):
    """What an error means for a run."""

    TRY_AGAIN = auto()
    """The same transaction may pass in a moment: locks, deadlocks, serialization."""
    LATER = auto()
    """The same run may pass later; this session is of no more use."""
    FAILED = auto()
    """The statement is wrong for this database; the transaction was rolled back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerError:
    """What the server said about an error. `lost` means that the connection is gone, with or without last words."""

    sqlstate: str | None = None
    message: str = ""
    hint: str | None = None
    position: int | None = None
    """Of the error in the statement, in characters from 1."""
    schema: str | None = None
    table: str | None = None
    column: str | None = None
    constraint: str | None = None
    data_line: int | None = None
    """The line of a COPY's rows that was read last, from 1."""
    lost: bool = False

    @property
    def relation(self) -> str:
        """The table's name with its schema, as far as they are known."""
        return ".".join(part for part in (self.schema, self.table) if part)


class ServerFailure(Exception):
    """A statement ended in an error of the server; `to_error` makes of it what users see."""

    def __init__(self, error: ServerError, location: Location = NOWHERE) -> None:
        super().__init__(error, location)
        self.error = error
        self.location = location


@dataclass(frozen=True, slots=True)
class Explanation:
    """A reason, what it means for the run, and what to do."""

    reason: Reason
    verdict: Verdict
    remedy: str


MESSAGE_LIMIT: Final = 300
"""Characters kept of the server's primary message."""

_TRY_AGAIN = Verdict.TRY_AGAIN
_LATER = Verdict.LATER
_FAILED = Verdict.FAILED

_COUNT: Final = "find out how many rows with: SELECT count(*) FROM {relation}"
_BY_STATE: Final[dict[str, Explanation]] = {
    "55P03": Explanation(Reason.LOCK_TIMEOUT, _TRY_AGAIN, "end the other transaction, or run when there is none"),
    "40P01": Explanation(Reason.DEADLOCK, _TRY_AGAIN, "another transaction wants the same locks in another order"),
    "40001": Explanation(Reason.SERIALIZATION_FAILURE, _TRY_AGAIN, "another transaction changed the same rows"),
    "57014": Explanation(
        Reason.STATEMENT_TIMEOUT,
        _FAILED,
        "it was cancelled, either by a statement_timeout that the script sets or by somebody with pg_cancel_backend; "
        "raise or remove the script's limit, or ask who cancelled it",
    ),
    "57P01": Explanation(Reason.SERVER_SHUTDOWN, _LATER, "an administrator ended the session or stopped the server"),
    "57P02": Explanation(Reason.SERVER_SHUTDOWN, _LATER, "another session crashed and the server restarts"),
    "57P03": Explanation(Reason.SERVER_SHUTDOWN, _LATER, "the server is starting up or shutting down"),
    "57P05": Explanation(Reason.CONNECTION_LOST, _LATER, "the server ended the session for being idle"),
    "25P03": Explanation(
        Reason.CONNECTION_LOST, _LATER, "the server ended the session for being idle in a transaction"
    ),
    "25P04": Explanation(Reason.STATEMENT_TIMEOUT, _FAILED, "raise or remove the transaction_timeout the script sets"),
    "25006": Explanation(Reason.NOT_PRIMARY, _LATER, "this is a standby, or the database is set to read-only"),
    "25001": Explanation(
        Reason.NEEDS_NO_TRANSACTION, _FAILED, "the statement cannot run inside a transaction; each version is one here"
    ),
    "2D000": Explanation(
        Reason.TRANSACTION_CONTROL,
        _FAILED,
        "each version is one transaction; remove COMMIT and ROLLBACK from what it calls",
    ),
    "53100": Explanation(Reason.DISK_FULL, _FAILED, "free or add space on the server, then run again"),
    "53200": Explanation(
        Reason.LIMIT_EXCEEDED, _FAILED, "the server has no memory left; split the script or add memory"
    ),
    "53300": Explanation(Reason.UNREACHABLE, _LATER, "the server has no free connection"),
    "42601": Explanation(Reason.SYNTAX_ERROR, _FAILED, "correct the script"),
    "42830": Explanation(
        Reason.INVALID_FOREIGN_KEY,
        _FAILED,
        "the columns a foreign key points to need a primary key or a unique constraint",
    ),
    "2BP01": Explanation(
        Reason.DEPENDENT_OBJECTS, _FAILED, "drop or change what depends on it first, in the same script"
    ),
    "42804": Explanation(Reason.DATATYPE_MISMATCH, _FAILED, "say how to convert, for example ALTER … TYPE … USING …"),
    "42846": Explanation(Reason.DATATYPE_MISMATCH, _FAILED, "say how to convert, for example ALTER … TYPE … USING …"),
    "42501": Explanation(
        Reason.PERMISSION_DENIED, _FAILED, "GRANT the role what it needs, or let the connection SET ROLE to the owner"
    ),
    "55P04": Explanation(
        Reason.STATEMENT_FAILED,
        _FAILED,
        "a new enum value can be used once it is committed: move its use to the next version",
    ),
    "23502": Explanation(
        Reason.DATA_VIOLATION, _FAILED, "fill the rows that have no value first; " + _COUNT + " WHERE {column} IS NULL"
    ),
    "23503": Explanation(
        Reason.DATA_VIOLATION,
        _FAILED,
        "rows of {relation} point to rows that do not exist (foreign key {constraint}); add or delete them first",
    ),
    "23505": Explanation(
        Reason.DATA_VIOLATION,
        _FAILED,
        "rows of {relation} share what {constraint} wants unique; find them with GROUP BY … HAVING count(*) > 1",
    ),
    "23514": Explanation(
        Reason.DATA_VIOLATION,
        _FAILED,
        "rows of {relation} break the condition {constraint}; count them with SELECT count(*) … WHERE NOT (…)",
    ),
    "23P01": Explanation(
        Reason.DATA_VIOLATION, _FAILED, "rows of {relation} exclude each other under {constraint}; change them first"
    ),
    "P0001": Explanation(Reason.STATEMENT_FAILED, _FAILED, "the script or what it calls raised this on purpose"),
}
_NOT_FOUND = Explanation(
    Reason.OBJECT_NOT_FOUND, _FAILED, "write the schema before the name, or create it in an earlier version"
)
_EXISTS = Explanation(
    Reason.ALREADY_EXISTS,
    _FAILED,
    "something outside these scripts made it; drop or rename it, or leave it out of the script",
)
_LOST = Explanation(Reason.CONNECTION_LOST, _LATER, "the next run starts where this one ended")
_EXTENSION = Explanation(
    Reason.EXTENSION_NOT_AVAILABLE, _FAILED, "install the extension's package on the server, or choose another"
)
_OTHER = Explanation(Reason.STATEMENT_FAILED, _FAILED, "correct the script or the database")
_GROUPS: Final = (
    (("42P01", "42703", "42704", "42883", "42P02", "3F000", "3D000"), _NOT_FOUND),
    (("42P07", "42701", "42710", "42723", "42P06", "42P04", "42P03", "42P05"), _EXISTS),
)
_BY_CLASS: Final = {
    "08": _LOST,
    "22": Explanation(Reason.DATA_VIOLATION, _FAILED, "a value does not fit the type it is meant for"),
    "23": Explanation(Reason.DATA_VIOLATION, _FAILED, "rows break {constraint} on {relation}; change them first"),
    "40": Explanation(Reason.SERIALIZATION_FAILURE, _TRY_AGAIN, "another transaction was in the way"),
    "42": Explanation(Reason.STATEMENT_FAILED, _FAILED, "correct the script"),
    "53": Explanation(Reason.LIMIT_EXCEEDED, _FAILED, "the server lacks a resource"),
    "54": Explanation(Reason.LIMIT_EXCEEDED, _FAILED, "PostgreSQL has a limit there; split what the script makes"),
}
_FEATURE_TEXTS: Final = (
    (re.compile(r"during recovery"), _BY_STATE["25006"]),
    (re.compile(r"extension \".*\" is not available|extension control file"), _EXTENSION),
    (
        re.compile(
            r"used by a view|used by a generated column|used in a trigger|used in a publication|used in a policy"
        ),
        _BY_STATE["2BP01"],
    ),
)
_KEPT_BEFORE_LITERAL: Final = (
    r"type|enum|parameter|encoding|column|relation|table|constraint|function|schema|view|index|role|extension|sequence"
)
_QUOTED = re.compile(rf'(?P<word>\b(?:{_KEPT_BEFORE_LITERAL}) )?"(?P<text>[^"]*)"')


def explain(error: ServerError) -> Explanation:
    """Say what an error means; a state that is not in the tables is a failed statement."""
    state = error.sqlstate
    if state is None:
        return _LOST if error.lost else _OTHER
    if state in {"0A000", "58P01"}:
        return next((meaning for text, meaning in _FEATURE_TEXTS if text.search(error.message)), _OTHER)
    found = _BY_STATE.get(state) or next((meaning for states, meaning in _GROUPS if state in states), None)
    if found is None:
        found = _BY_CLASS.get(state[:2], _OTHER)
    return found if found.verdict is _LATER or not error.lost else _LOST


def sentence(error: ServerError) -> str:
    """Write what went wrong and what to do, without literals, in one sentence."""
    message = masked(error)[:MESSAGE_LIMIT] or "the connection to the server was lost"
    names = {
        "relation": error.relation or "the table",
        "column": error.column or "the column",
        "constraint": error.constraint or "the constraint",
    }
    hint = f" ({error.hint})" if error.hint and (error.sqlstate or "").startswith("42") else ""
    return f"{message}{hint}; {explain(error).remedy.format(**names)}"


def masked(error: ServerError) -> str:
    """Give the primary message with what may be a value replaced by `"…"`.

    Class 22 quotes values of rows and of literals; a syntax error quotes the token, which may be a string.
    """
    state = error.sqlstate or ""
    if state.startswith("22"):
        return _QUOTED.sub(lambda found: found[0] if found["word"] else '"…"', error.message)
    if state == "42601":
        return re.sub(r"\"[^\"]*'.*", '"…"', error.message, flags=re.DOTALL)
    return error.message


def to_error(failure: ServerFailure, blocker: str | None = None) -> SchemaOperatorError:
    """Make the error that users see of a failure, with the place it carries."""
    explanation = explain(failure.error)
    text = sentence(failure.error)
    if blocker is not None and explanation.reason is Reason.LOCK_TIMEOUT:
        text = f"the lock was held by {blocker} all the time; nothing was changed; end that session or run again later"
    kind = Failed if explanation.verdict is _FAILED else Retryable
    return kind(explanation.reason, text, failure.location)
