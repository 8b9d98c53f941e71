"""Find out what a message about a failed statement needs to be concrete: from the script, and from the database.

The database is asked after the rollback, in statements of their own, and only for the few errors that need it. What
cannot be found out is left out: a message is never worth another failure.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from schema_operator.errors import Reason
from schema_operator.postgres import queries
from schema_operator.postgres.naming import qualified
from schema_operator.postgres.remedies import denied_object
from schema_operator.postgres.server_error import NOTHING_KNOWN, Circumstances, ServerFailure
from schema_operator.postgres.sqlstate import explain
from schema_operator.scripts import mentions

if TYPE_CHECKING:
    from collections.abc import Callable

    from schema_operator.postgres.server_error import ServerError
    from schema_operator.runner.workplace import Workplace

    Enquiry = Callable[["_Case"], Circumstances]

QUERIES: Final = queries.load(Path(__file__).with_name("enquiry.sql"))
_RELATION: Final = "relation "


class _Case:
    """One failure, with what it may be asked of."""

    def __init__(self, work: Workplace, failure: ServerFailure) -> None:
        self._work = work
        self.error: ServerError = failure.error
        self.before = failure.script[:-1]
        self.statement = failure.script[-1] if failure.script else ""
        self.version = failure.location.version

    @property
    def nothing_recorded(self) -> bool:
        history = self._work.findings.now
        return history is not None and not history.applied

    @property
    def database(self) -> str:
        return self._work.facts.database

    def ask(self, query: str, **parameters: object) -> list[tuple[Any, ...]]:
        """Give the rows of an answer; none where the database cannot be asked any more."""
        if self._work.session.lost:
            return []
        with suppress(ServerFailure):
            return self._work.session.query(QUERIES[query], parameters)
        return []


def circumstances(work: Workplace, failure: ServerFailure) -> Circumstances:
    """Give what is known about a failure beside what the server said; rolls back what is still open."""
    work.session.rollback()
    case = _Case(work, failure)
    if failure.error.raised:
        return _raised(case)
    enquiry = _ENQUIRIES.get(explain(failure.error).reason)
    return enquiry(case) if enquiry else NOTHING_KNOWN


def of_statement(failure: ServerFailure) -> Circumstances:
    """Give what the script alone says about a failure."""
    if not failure.error.raised:
        return NOTHING_KNOWN
    return Circumstances(raised=mentions.raised_text(failure.error.message, reversed(failure.script)))


def _raised(case: _Case) -> Circumstances:
    text = mentions.raised_text(case.error.message, [case.statement, *case.before])
    if text is None and case.error.routine is not None:
        sources = [source for (source,) in case.ask("routine", routine=case.error.routine)]
        text = mentions.raised_text(case.error.message, sources)
    return Circumstances(raised=text)


def _not_found(case: _Case) -> Circumstances:
    path = mentions.search_path(case.before)
    if path is None:
        path = next((str(value) for (value,) in case.ask("search_path")), None)
    name = _missing_relation(case.error.message)
    elsewhere = tuple(str(schema) for (schema,) in case.ask("schemas", name=name)) if name else ()
    return Circumstances(search_path=path, elsewhere=elsewhere)


def _missing_relation(message: str) -> str | None:
    """Give the name without a schema that was not found; None where another kind of object or a schema was given."""
    if not message.startswith(f'{_RELATION}"') or not message.endswith('" does not exist'):
        return None
    name = message[len(_RELATION) + 1 : -len('" does not exist')]
    return None if "." in name else name


def _exists(case: _Case) -> Circumstances:
    return Circumstances(version=case.version, nothing_recorded=case.nothing_recorded)


def _violation(case: _Case) -> Circumstances:
    there = mentions.changes_table(case.statement) if case.statement else None
    condition = mentions.check_condition(case.statement, case.error.constraint) if case.error.constraint else None
    known = Circumstances(rows_there=there, condition=condition)
    return replace(known, **_referenced(case)) if there and case.error.key_table else known


def _foreign_key(case: _Case) -> Circumstances:
    return Circumstances(**_referenced(case))


def _referenced(case: _Case) -> dict[str, Any]:
    found = mentions.reference(case.statement, case.error.key_table)
    if found is None:
        return {}
    table = qualified(*found.table)
    columns = found.columns or tuple(str(name) for (name,) in case.ask("primary_key", relation=table))
    return {"referenced": table, "referenced_columns": columns}


def _dependents(case: _Case) -> Circumstances:
    table = mentions.altered_table(case.statement)
    if not table or case.error.sqlstate != "0A000" or not case.error.dependants:
        return NOTHING_KNOWN
    views = case.ask("views", relation=qualified(*table))
    return Circumstances(dependants=tuple(f"{kind} {name}" for kind, name in views))


def _denied(case: _Case) -> Circumstances:
    role = mentions.role(case.before) or next((str(name) for (name,) in case.ask("current_role")), None)
    known = Circumstances(role=role, database=case.database)
    found = denied_object(case.error)
    if found is None:
        return known
    kind, name = found
    if kind == "schema":
        known = replace(known, privilege="USAGE, CREATE" if mentions.creates(case.statement) else "USAGE")
        places = [(None, owner) for (owner,) in case.ask("schema_owner", name=name)]
    else:
        places = case.ask("places", name=name, kind=kind)
    if kind in {"table", "view", "materialized view", "foreign table"}:
        known = replace(known, privilege=mentions.privilege(case.statement, name))
    if len(places) != 1:
        return known
    ((schema, owner),) = places
    return replace(known, object_schema=schema, owner=owner)


_ENQUIRIES: Final[dict[Reason, Enquiry]] = {
    Reason.OBJECT_NOT_FOUND: _not_found,
    Reason.ALREADY_EXISTS: _exists,
    Reason.DATA_VIOLATION: _violation,
    Reason.INVALID_FOREIGN_KEY: _foreign_key,
    Reason.DEPENDENT_OBJECTS: _dependents,
    Reason.PERMISSION_DENIED: _denied,
}
