"""What an error of the server means: SQLSTATE -> reason, verdict, and a sentence that says what to do. Pure.

SQLSTATEs: PostgreSQL documentation, appendix A; every class of it is in `CLASSES`, and what differs in a class in
`STATES`. The sentences hold names (constraint, table, column) and what `masking` lets through of the server's primary
message; never its DETAIL, which contains row values in class 23, and never its CONTEXT, which contains queries.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from schema_operator.errors import Failed, Reason, Retryable, SchemaOperatorError
from schema_operator.postgres.server_error import NOTHING_KNOWN, Circumstances, ServerError, ServerFailure

__all__ = [
    "CLASSES",
    "STATES",
    "Circumstances",
    "Explanation",
    "ServerError",
    "ServerFailure",
    "Verdict",
    "explain",
    "masked",
    "sentence",
    "to_error",
]


class Verdict(Enum):
    """What an error means for a run."""

    TRY_AGAIN = auto()
    """The same transaction may pass in a moment: locks, deadlocks, serialization."""
    LATER = auto()
    """The same run may pass later; this session is of no more use."""
    FAILED = auto()
    """The statement is wrong for this database; the transaction was rolled back."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A reason, what it means for the run, and what to do."""

    reason: Reason
    verdict: Verdict
    remedy: str
    """For where `remedies` knows nothing more concrete."""


def _again(reason: Reason, remedy: str) -> Explanation:
    return Explanation(reason, Verdict.TRY_AGAIN, remedy)


def _later(reason: Reason, remedy: str) -> Explanation:
    return Explanation(reason, Verdict.LATER, remedy)


def _failed(reason: Reason, remedy: str) -> Explanation:
    return Explanation(reason, Verdict.FAILED, remedy)


_CORRECT: Final = _failed(Reason.STATEMENT_FAILED, "correct the script or the database")
_SCRIPT: Final = _failed(Reason.STATEMENT_FAILED, "correct the script")
_LOST: Final = _later(Reason.CONNECTION_LOST, "nothing to do; the next run starts where this one ended")
_NOT_FOUND: Final = _failed(
    Reason.OBJECT_NOT_FOUND, "write the schema before the name, or create it in an earlier version"
)
_EXISTS: Final = _failed(
    Reason.ALREADY_EXISTS,
    "something outside these scripts made it; drop or rename it, or leave it out of the script",
)
_TYPES: Final = _failed(Reason.DATATYPE_MISMATCH, "say how to convert, for example ALTER … TYPE … USING …")
_DEPENDENT: Final = _failed(
    Reason.DEPENDENT_OBJECTS, "drop or change what depends on it first, in the same script, and make it anew after"
)
_EXTENSION: Final = _failed(
    Reason.EXTENSION_NOT_AVAILABLE, "install the extension's package on the server, or choose another"
)
_ROLE: Final = _failed(
    Reason.PERMISSION_DENIED, "GRANT the role what it needs, or let the connection SET ROLE to the owner"
)
_CONTROL: Final = _failed(
    Reason.TRANSACTION_CONTROL, "remove what begins or ends a transaction from the script and from what it calls"
)
_STANDBY: Final = _later(
    Reason.NOT_PRIMARY,
    "this is a standby, or the database is set to read-only (default_transaction_read_only); name the primary",
)
_ROUTINE: Final = _failed(Reason.STATEMENT_FAILED, "correct the function, or how the script calls it")
_CANCELLED: Final = _failed(
    Reason.STATEMENT_TIMEOUT,
    "it was cancelled, either by a statement_timeout that the script sets or by somebody with pg_cancel_backend; "
    "raise or remove the script's limit, or ask who cancelled it",
)
_CANCELLED_BY_TIMEOUT: Final = _failed(
    Reason.STATEMENT_TIMEOUT,
    "the script, or a function it calls, sets a statement_timeout (this program sets none); raise or remove it",
)
_CANCELLED_BY_PERSON: Final = _failed(
    Reason.STATEMENT_TIMEOUT,
    "somebody cancelled the statement, with pg_cancel_backend or another program; ask who and why, then run again",
)
_FOREIGN_KEY: Final = _failed(
    Reason.INVALID_FOREIGN_KEY, "the columns a foreign key points to need a primary key or a unique constraint"
)
_MEANWHILE: Final = _failed(
    Reason.STATEMENT_FAILED, "another session changed the same object at the same time; run again"
)
_DAMAGED: Final = _failed(
    Reason.STATEMENT_FAILED,
    "the files of the database are damaged; stop, look at the server's log and at its disk, and restore from a backup "
    "or repair it before anything is run again",
)

STATES: Final[dict[str, Explanation]] = {
    "22023": _failed(Reason.STATEMENT_FAILED, "a value in the script is none that is possible there; correct it"),
    "22012": _failed(Reason.DATA_VIOLATION, "guard the division, for example with NULLIF(…, 0), or correct the rows"),
    "23502": _failed(Reason.DATA_VIOLATION, "fill the rows that have no value first"),
    "23503": _failed(
        Reason.DATA_VIOLATION,
        "rows of {relation} point to rows that do not exist (foreign key {constraint}); add or delete them first",
    ),
    "23505": _failed(
        Reason.DATA_VIOLATION,
        "rows of {relation} share what {constraint} wants unique; find them with GROUP BY … HAVING count(*) > 1",
    ),
    "23514": _failed(
        Reason.DATA_VIOLATION,
        "rows of {relation} break the condition {constraint}; count them with SELECT count(*) … WHERE NOT (…)",
    ),
    "23P01": _failed(
        Reason.DATA_VIOLATION, "rows of {relation} exclude each other under {constraint}; change them first"
    ),
    "25001": _failed(
        Reason.NEEDS_NO_TRANSACTION,
        "the statement cannot run inside a transaction; move it to a script of its own, or out of its function",
    ),
    "25006": _STANDBY,
    "25P02": _CONTROL,
    "25P03": _later(
        Reason.CONNECTION_LOST,
        "the server ended the session for being idle in a transaction; the next run starts where this one ended",
    ),
    "25P04": _failed(
        Reason.STATEMENT_TIMEOUT, "the script sets a transaction_timeout (this program sets none); raise or remove it"
    ),
    "28000": _ROLE,
    "28P01": _ROLE,
    "2D000": _failed(
        Reason.TRANSACTION_CONTROL,
        "what the statement calls ends the transaction; take that out of it, or begin the script with "
        "-- schema-operator: transaction=never, so that its statements are committed one by one",
    ),
    "3D000": _NOT_FOUND,
    "3F000": _NOT_FOUND,
    "40001": _again(
        Reason.SERIALIZATION_FAILURE,
        "another transaction changed the same rows, again and again; run again when there is less going on",
    ),
    "40002": _failed(Reason.DATA_VIOLATION, "rows break {constraint}, which is checked at COMMIT; change them first"),
    "40003": _LOST,
    "40P01": _again(
        Reason.DEADLOCK,
        "another transaction wants the same locks in another order, again and again; run again when there is less "
        "going on",
    ),
    "42501": _ROLE,
    "42601": _failed(Reason.SYNTAX_ERROR, "correct the script there"),
    "42602": _failed(Reason.SYNTAX_ERROR, "correct the name"),
    "42622": _failed(Reason.SYNTAX_ERROR, "shorten the name to 63 bytes"),
    "42701": _EXISTS,
    "42703": _NOT_FOUND,
    "42704": _NOT_FOUND,
    "42710": _EXISTS,
    "42723": _EXISTS,
    "42725": _failed(
        Reason.STATEMENT_FAILED, "several functions fit; cast the arguments to the types of the one meant"
    ),
    "42804": _TYPES,
    "42809": _failed(Reason.STATEMENT_FAILED, "the name is of another kind of object; use the command for that kind"),
    "42830": _FOREIGN_KEY,
    "42846": _TYPES,
    "42883": _NOT_FOUND,
    "428C9": _failed(
        Reason.STATEMENT_FAILED,
        "leave the column out, or write DEFAULT for it (identity columns also take OVERRIDING SYSTEM VALUE)",
    ),
    "42939": _failed(Reason.STATEMENT_FAILED, "the name is kept for the server; choose another"),
    "42P01": _NOT_FOUND,
    "42P02": _failed(Reason.STATEMENT_FAILED, "a script has no parameters; write the value in its place"),
    "42P03": _EXISTS,
    "42P04": _EXISTS,
    "42P05": _EXISTS,
    "42P06": _EXISTS,
    "42P07": _EXISTS,
    "42P10": _failed(
        Reason.STATEMENT_FAILED,
        "name columns that are there; ON CONFLICT needs a unique constraint or index on exactly the columns it names",
    ),
    "42P16": _failed(
        Reason.STATEMENT_FAILED,
        "the table or view cannot become so; drop what is in the way first (the other primary key, the view's columns)",
    ),
    "42P17": _failed(
        Reason.STATEMENT_FAILED,
        "the definition cannot work; indexes and generated columns take only functions that are IMMUTABLE",
    ),
    "53000": _failed(Reason.LIMIT_EXCEEDED, "the server lacks a resource; look at its log"),
    "53100": _failed(Reason.DISK_FULL, "free or add space on the server, then run again"),
    "53200": _failed(
        Reason.LIMIT_EXCEEDED,
        "the server has no memory left (or too few locks: max_locks_per_transaction); split the script, or add memory",
    ),
    "53300": _later(Reason.UNREACHABLE, "the server has no free connection; it is tried again; raise max_connections"),
    "53400": _failed(
        Reason.LIMIT_EXCEEDED, "a limit in the server's settings is reached (temp_file_limit, for example); raise it"
    ),
    "55000": _failed(
        Reason.STATEMENT_FAILED, "the object is not in the state the statement needs; bring it there first"
    ),
    "55006": _failed(
        Reason.STATEMENT_FAILED,
        "something still uses the object; end what uses it (other sessions, or, in this script, cursors and changes "
        "whose deferred checks wait: SET CONSTRAINTS ALL IMMEDIATE, or two versions)",
    ),
    "55P02": _failed(
        Reason.STATEMENT_FAILED, "the setting cannot be changed in a session; set it for the server, or leave it out"
    ),
    "55P03": _again(Reason.LOCK_TIMEOUT, "end the other transaction, or run when there is none"),
    "55P04": _failed(
        Reason.ENUM_VALUE_NOT_USABLE,
        "a new enum value can be used once it is committed: move its use to the next version",
    ),
    "57014": _CANCELLED,
    "57P01": _later(
        Reason.SERVER_SHUTDOWN,
        "an administrator ended the session or stopped the server; the next run starts where this one ended",
    ),
    "57P02": _later(
        Reason.SERVER_SHUTDOWN,
        "another session crashed and the server restarts; the next run starts where this one ended",
    ),
    "57P03": _later(Reason.SERVER_SHUTDOWN, "the server is starting up or shutting down; it is tried again"),
    "57P04": _later(Reason.CONNECTION_LOST, "the database was dropped while this ran; create it, or name another"),
    "57P05": _later(
        Reason.CONNECTION_LOST,
        "the server ended the session for being idle; the next run starts where this one ended",
    ),
    "58030": _failed(
        Reason.STATEMENT_FAILED,
        "the server could not read or write its disk; look at the server's log and at its disk before it is run again",
    ),
    "58P01": _failed(
        Reason.STATEMENT_FAILED, "a file the statement needs is not on the server; install it, or correct the name"
    ),
    "P0002": _failed(Reason.STATEMENT_FAILED, "SELECT … INTO STRICT found no row; correct the script or the rows"),
    "P0003": _failed(Reason.STATEMENT_FAILED, "a query that must give one row gives several; correct it or the rows"),
    "XX001": _DAMAGED,
    "XX002": _failed(
        Reason.STATEMENT_FAILED,
        "an index is damaged; stop, look at the server's log and at its disk, and REINDEX before anything is run again",
    ),
}
"""States that mean something of their own."""

CLASSES: Final[dict[str, Explanation]] = {
    "00": _CORRECT,
    "01": _CORRECT,
    "02": _CORRECT,
    "03": _CORRECT,
    "08": _LOST,
    "09": _ROUTINE,
    "0A": _failed(Reason.STATEMENT_FAILED, "the server cannot do this; write it in another way"),
    "0B": _CONTROL,
    "0F": _CORRECT,
    "0L": _ROLE,
    "0P": _ROLE,
    "0Z": _ROUTINE,
    "10": _SCRIPT,
    "20": _failed(Reason.STATEMENT_FAILED, "a CASE of a function knows no branch for the value; add ELSE"),
    "21": _failed(Reason.STATEMENT_FAILED, "a query that must give one row gives several; correct it or the rows"),
    "22": _failed(
        Reason.DATA_VIOLATION, "a value does not fit the type it is meant for; correct the script or the rows"
    ),
    "23": _failed(Reason.DATA_VIOLATION, "rows break {constraint} on {relation}; change them first"),
    "24": _SCRIPT,
    "25": _CONTROL,
    "26": _NOT_FOUND,
    "27": _ROUTINE,
    "28": _ROLE,
    "2B": _DEPENDENT,
    "2D": _CONTROL,
    "2F": _ROUTINE,
    "34": _NOT_FOUND,
    "38": _ROUTINE,
    "39": _ROUTINE,
    "3B": _failed(Reason.TRANSACTION_CONTROL, "the savepoint is not there; correct the script's SAVEPOINT and RELEASE"),
    "3D": _NOT_FOUND,
    "3F": _NOT_FOUND,
    "40": _failed(Reason.STATEMENT_FAILED, "the server rolled the transaction back; look at its log, and run again"),
    "42": _SCRIPT,
    "44": _failed(Reason.DATA_VIOLATION, "rows would not be seen in the view they are written through; correct them"),
    "53": _failed(Reason.LIMIT_EXCEEDED, "the server lacks a resource; look at its log"),
    "54": _failed(Reason.LIMIT_EXCEEDED, "PostgreSQL has a limit there; split what the script makes"),
    "55": _CORRECT,
    "57": _failed(Reason.STATEMENT_FAILED, "an administrator stopped the statement; ask who and why, then run again"),
    "58": _failed(Reason.STATEMENT_FAILED, "the server's system refused; look at the server's log"),
    "72": _failed(Reason.STATEMENT_FAILED, "the transaction is too old; split the script"),
    "F0": _failed(Reason.STATEMENT_FAILED, "a file of the server's settings is wrong; correct it"),
    "HV": _failed(Reason.STATEMENT_FAILED, "another server, behind a foreign table, said no; look at its log"),
    "P0": _failed(Reason.STATEMENT_FAILED, "the script or what it calls raised this on purpose; see what it asks for"),
    "XX": _failed(
        Reason.STATEMENT_FAILED, "the server found a mistake of its own; look at its log, and report it there"
    ),
}
"""All classes of appendix A, for the states that mean what their class does."""

_RAISED: Final = CLASSES["P0"]
_BY_TEXT: Final = (
    ("0A000", r"during recovery", _STANDBY),
    ("0A000", r'^extension ".*" is not available', _EXTENSION),
    ("22023", r'^extension ".*" has no (?:installation script|update path)', _EXTENSION),
    ("58P01", r"extension control file", _EXTENSION),
    (
        "0A000",
        r"used by a (?:view|rule|generated column|function)|used in a (?:trigger|publication|policy)",
        _DEPENDENT,
    ),
    ("42601", r"used by a generated column", _DEPENDENT),
    ("42601", r"^cannot insert into column", STATES["428C9"]),
    ("42704", r"^there is no primary key for referenced table", _FOREIGN_KEY),
    ("22023", r'^role ".*" does not exist$', _NOT_FOUND),
    ("57014", r"statement timeout", _CANCELLED_BY_TIMEOUT),
    ("57014", r"user request", _CANCELLED_BY_PERSON),
    ("XX000", r"^tuple concurrently (?:updated|deleted)", _MEANWHILE),
)
"""What only the text tells apart; where it is not English, the state or its class counts."""
_LAST_WORDS: Final = {
    "25P04": STATES["25P04"],
    "53100": _later(
        Reason.DISK_FULL, "the server went down because its disk is full; free or add space, then start it"
    ),
}
"""What a session was ended with that says more than that it was ended."""


def explain(error: ServerError) -> Explanation:
    """Say what an error means; a state that is not in the tables is a failed statement."""
    state = error.sqlstate
    if state is None:
        return _LOST if error.lost else _CORRECT
    found = next((meaning for one, text, meaning in _BY_TEXT if one == state and re.search(text, error.message)), None)
    found = found or STATES.get(state) or CLASSES.get(state[:2], _CORRECT)
    if error.lost:
        return found if found.verdict is Verdict.LATER else _LAST_WORDS.get(state, _LOST)
    if error.raised:
        return _of_raised(found)
    return found


def _of_raised(found: Explanation) -> Explanation:
    """Say what a state means that a function raised: it does not end the connection, and no names come with it."""
    reason = Reason.STATEMENT_FAILED if found.verdict is Verdict.LATER else found.reason
    verdict = Verdict.TRY_AGAIN if found.verdict is Verdict.TRY_AGAIN else Verdict.FAILED
    return Explanation(reason, verdict, _RAISED.remedy)


def sentence(error: ServerError, known: Circumstances = NOTHING_KNOWN, statement: str = "") -> str:
    """Write what went wrong and what to do, without literals, in one sentence."""
    from schema_operator.postgres import masking, remedies  # noqa: PLC0415 (most runs need no sentence)

    explanation = explain(error)
    message = masking.shown(error, known, statement) or "the connection to the server was lost"
    remedy = None if error.raised else remedies.concrete(error, explanation.reason, known)
    if remedy is None:
        text, hint = masking.hint(error), explanation.remedy.format(**_names(error))
        return f"{message}{f' ({text})' if text else ''}; {hint}"
    return f"{message}; {remedy}"


def _names(error: ServerError) -> dict[str, str]:
    return {"relation": error.relation or "the table", "constraint": error.constraint or "the constraint"}


def masked(error: ServerError) -> str:
    """Give what may be shown of the primary message."""
    from schema_operator.postgres import masking  # noqa: PLC0415 (most runs need no sentence)

    return masking.shown(error)


def to_error(
    failure: ServerFailure, blocker: str | None = None, known: Circumstances = NOTHING_KNOWN
) -> SchemaOperatorError:
    """Make the error that users see of a failure, with the place it carries."""
    explanation = explain(failure.error)
    text = sentence(failure.error, known, failure.script[-1] if failure.script else "")
    if blocker is not None and explanation.reason is Reason.LOCK_TIMEOUT:
        text = f"the lock was held by {blocker} all the time; nothing was changed; end that session or run again later"
    kind = Failed if explanation.verdict is Verdict.FAILED else Retryable
    return kind(explanation.reason, text, failure.location)
