"""Changes of the session that a run would not survive, or that would not do what they say.

Allowed, because every version begins with a session as good as new and the lock is held by another session: SET of any
other setting (dumps write `SET lock_timeout = 0` and `set_config('search_path', '', false)`), SET ROLE, SET SESSION
AUTHORIZATION, RESET, DISCARD, LISTEN, PREPARE, DECLARE, temporary tables, advisory locks of the script's own and
`pg_advisory_unlock_all()`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schema_operator.errors import Reason
from schema_operator.scripts.finding import Finding
from schema_operator.scripts.settings import settings_of
from schema_operator.scripts.tokens import tokens

if TYPE_CHECKING:
    from schema_operator.scripts.statements import Statement

LOCK_CLASS: Final = 0x736F7064
"""The class of our advisory locks; `postgres.guard` has the same number, which a test compares."""
_CLASS_FORMS: Final = (("(", str(LOCK_CLASS), ","), ("(", "0", f"X{LOCK_CLASS:X}", ","))
"""Hexadecimal since PostgreSQL 16."""
_UTF8: Final = frozenset({"UTF8", "UTF-8", "UNICODE", "DEFAULT"})
_ON: Final = frozenset({"ON", "TRUE", "YES", "1", "DEFAULT"})
_OFF: Final = frozenset({"OFF", "FALSE", "NO", "0", "F", "N"})

_ISOLATION = Finding(
    Reason.SESSION_STATE_CHANGE,
    "the isolation level and the access mode are the runner's: it has begun the transaction and looked at its lock "
    "before a script can choose; remove the statement",
)
_ENCODING = Finding(
    Reason.SESSION_STATE_CHANGE,
    "scripts are UTF-8 and sent as UTF-8, so another client_encoding would garble what follows; save the script as "
    "UTF-8 and remove the statement, or write UTF8",
)
_STRINGS = Finding(
    Reason.FORBIDDEN_STATEMENT,
    "standard_conforming_strings must stay on; remove the statement and write strings with backslashes as E'…'",
)
_OUR_LOCKS = Finding(
    Reason.SESSION_STATE_CHANGE,
    f"advisory locks of the class {LOCK_CLASS:#x} tell runs of schema-operator from each other; choose another number",
)


def refuse_session_state(statement: Statement) -> Finding | None:
    """Refuse the few changes of a session that matter."""
    for name, value in settings_of(statement):
        if finding := _of_setting(name, value):
            return finding
    return _OUR_LOCKS if _takes_our_lock(statement.sql) else None


def _of_setting(name: str, value: str) -> Finding | None:
    match name:
        case "TRANSACTION":
            return None if value == "READ WRITE" else _ISOLATION
        case "CHARACTERISTICS" | "TRANSACTION_ISOLATION" | "TRANSACTION_DEFERRABLE":
            return _ISOLATION
        case "TRANSACTION_READ_ONLY":
            return None if value in _OFF else _ISOLATION
        case "CLIENT_ENCODING":
            return None if value in _UTF8 else _ENCODING
        case "STANDARD_CONFORMING_STRINGS":
            return None if value in _ON else _STRINGS
        case _:
            return None


def _takes_our_lock(sql: str) -> bool:
    if "advisory" not in sql and "ADVISORY" not in sql.upper():
        return False
    symbols = tuple(tokens(sql))
    return any(
        symbols[at + 1 : at + 1 + len(form)] == form
        for at, symbol in enumerate(symbols)
        if symbol.strip('"').upper().startswith(("PG_ADVISORY_", "PG_TRY_ADVISORY_"))
        for form in _CLASS_FORMS
    )
