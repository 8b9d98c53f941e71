"""What to do about an error, with the names that are known: commands and queries to copy. Pure.

Each function gives None where it lacks the names; then the general remedy of the SQLSTATE is said.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from schema_operator.errors import Reason
from schema_operator.postgres.naming import listed, qualified, quoted

if TYPE_CHECKING:
    from collections.abc import Callable

    from schema_operator.postgres.server_error import Circumstances, ServerError

    Remedy = Callable[[ServerError, Circumstances], str | None]

MOST_DEPENDANTS: Final = 10


def concrete(error: ServerError, reason: Reason, known: Circumstances) -> str | None:
    """Say what to do about an error of this reason, with names; None where too few are known."""
    remedy = _REMEDIES.get(reason)
    return remedy(error, known) if remedy else None


def _not_found(_error: ServerError, known: Circumstances) -> str | None:
    if known.search_path is None:
        return None
    path = f"the search_path in force is {known.search_path or 'empty'}"
    if known.elsewhere:
        names = ", ".join(quoted(schema) for schema in known.elsewhere)
        return f"{path}, and there is one of this name in {names}; write its schema before the name"
    return f"{path}; write the schema before the name, or create it in an earlier version"


def _exists(_error: ServerError, known: Circumstances) -> str | None:
    if known.version is None:
        return None
    made = "something outside these scripts made it, or a run of which only a part was kept"
    if known.nothing_recorded:
        return (
            f"{made}; compare it with the script: where it is what the script makes, take over what is there with "
            f'spec.baseline: "{known.version}" (by hand, --baseline {known.version}), which records the versions up to '
            "this one and runs none of them; where it is not, drop or rename it"
        )
    return (
        f"{made}; compare it with the script: where it is what the script makes, write IF NOT EXISTS or leave it out "
        "of the script (a baseline is possible only where no version is recorded yet); where it is not, drop or rename "
        "it"
    )


def _violation(error: ServerError, known: Circumstances) -> str | None:
    count = _COUNTS.get(error.sqlstate or "")
    if count is None or not error.table:
        return None
    there = _there(error) if known.rows_there is None else known.rows_there
    return count(error, known) if there else _NEW_ROWS[error.sqlstate or ""](error)


def _there(error: ServerError) -> bool:
    """Whether the message is about rows that were there, as far as it says so."""
    return not re.match(r"new row|null value in column|duplicate key value", error.message)


_NEW_ROWS: Final[dict[str, Callable[[ServerError], str]]] = {
    "23502": lambda error: f"give {quoted(error.column or 'the column')} a value in the statement, or a DEFAULT",
    "23503": lambda error: (
        f"the statement writes rows of {error.relation} that point to nothing, or takes away rows that "
        f"{error.relation} points to ({_constraint(error)}); write what they point to first, or change what points"
    ),
    "23505": lambda error: (
        f"the statement writes a row into {error.relation} that {_constraint(error)} allows only once; leave the row "
        "out, or say what to do with ON CONFLICT"
    ),
    "23514": lambda error: (
        f"the statement writes a row into {error.relation} that breaks {_constraint(error)}; correct the statement, or "
        "make the partition that takes the row"
    ),
}


def _constraint(error: ServerError) -> str:
    return quoted(error.constraint) if error.constraint else "a constraint"


def _count_nulls(error: ServerError, _known: Circumstances) -> str | None:
    if error.column is None:
        return None
    query = f"SELECT count(*) FROM {error.relation} WHERE {quoted(error.column)} IS NULL"
    return f"fill the rows that have no value first; count them with: {query}"


def _count_broken(error: ServerError, known: Circumstances) -> str:
    condition = known.condition or f"the condition of {_constraint(error)}"
    query = f"SELECT count(*) FROM {error.relation} WHERE NOT ({condition})"
    return f"correct the rows that break {_constraint(error)} first; count them with: {query}"


def _count_twins(error: ServerError, _known: Circumstances) -> str | None:
    if not error.key_columns:
        return None
    columns = ", ".join(map(quoted, error.key_columns))
    filled = " AND ".join(f"{quoted(column)} IS NOT NULL" for column in error.key_columns)
    twins = f"SELECT {columns} FROM {error.relation} WHERE {filled} GROUP BY {columns} HAVING count(*) > 1"
    return (
        f"change or delete the rows that share what {_constraint(error)} wants unique first; count the values that "
        f"occur more than once with: SELECT count(*) FROM ({twins}) AS twins"
    )


def _count_orphans(error: ServerError, known: Circumstances) -> str | None:
    if not error.key_columns or len(error.key_columns) != len(known.referenced_columns) or not known.referenced:
        return None
    pairs = zip(error.key_columns, known.referenced_columns, strict=True)
    filled = " AND ".join(f"r.{quoted(column)} IS NOT NULL" for column in error.key_columns)
    equal = " AND ".join(f"k.{quoted(key)} = r.{quoted(column)}" for column, key in pairs)
    query = (
        f"SELECT count(*) FROM {error.relation} AS r WHERE {filled} AND NOT EXISTS "
        f"(SELECT FROM {known.referenced} AS k WHERE {equal})"
    )
    return (
        f"add what rows of {error.relation} point to, or change or delete these rows, first ({_constraint(error)}); "
        f"count them with: {query}"
    )


_COUNTS: Final[dict[str, Remedy]] = {
    "23502": _count_nulls,
    "23503": _count_orphans,
    "23505": _count_twins,
    "23514": _count_broken,
}


def _foreign_key(error: ServerError, known: Circumstances) -> str | None:
    if "number of referencing" in error.message:
        return "name as many columns after REFERENCES as before it"
    if known.referenced is None:
        return None
    if not known.referenced_columns:
        return (
            f"{known.referenced} has no primary key; name columns that are unique after it, or give it one before: "
            f"ALTER TABLE {known.referenced} ADD PRIMARY KEY (…)"
        )
    columns = ", ".join(map(quoted, known.referenced_columns))
    return (
        f"the columns a foreign key points to need a unique constraint; add it before, in the same script: "
        f"ALTER TABLE {known.referenced} ADD UNIQUE ({columns})"
    )


def _dependent(error: ServerError, known: Circumstances) -> str | None:
    dependants = known.dependants if len(known.dependants) > len(error.dependants) else error.dependants
    if not dependants:
        return None
    return (
        f"what depends on it: {listed(dependants, MOST_DEPENDANTS)}; drop or change that first, in the same script, "
        "and make it anew after, if it is still wanted"
    )


def _datatype(error: ServerError, _known: Circumstances) -> str | None:
    if error.message.startswith("default for column"):
        return (
            "drop the default before, and set one of the new type after: ALTER COLUMN … DROP DEFAULT, … SET DEFAULT …"
        )
    if error.message.startswith("foreign key constraint"):
        return "give the columns of the foreign key the types of the columns it points to"
    found = re.search(r'"USING (?P<using>[^"]+|"(?:[^"]|"")+"::.+)"\.?$', error.hint or "")
    if found is None:
        return None
    return f"say how to convert: ALTER COLUMN … TYPE … USING {found['using']} (or another expression)"


_EXTENSION_NAME: Final = re.compile(r'extension "(?P<name>[^"]+)"|/(?P<file>[^/"]+)\.control"')


def _extension(error: ServerError, _known: Circumstances) -> str | None:
    found = _EXTENSION_NAME.search(error.message)
    if found is None:
        return None
    name = found["name"] or found["file"]
    return (
        f"install the package of the extension {name} on the server, or use a server that has it "
        "(pg_available_extensions lists what is there)"
    )


_DENIED: Final = re.compile(
    r"permission denied for (?P<kind>table|view|materialized view|foreign table|sequence|schema|database|function|"
    r"procedure|routine|aggregate|language|tablespace|type|domain|foreign-data wrapper|foreign server) (?P<name>.+)"
)
_OWNED: Final = re.compile(
    r"must be owner of (?P<kind>(?:materialized |foreign |foreign-data |event |text search |operator |large )?[a-z]+) "
    r"(?P<name>.+)"
)
_MEMBER: Final = re.compile(
    r'(?:must be member of role|must be able to SET ROLE|permission denied to set role) "(?P<name>.+)"'
)
_PARAMETER: Final = re.compile(r'permission denied to set parameter "(?P<name>.+)"')
_RIGHTS: Final = {
    "sequence": "USAGE, SELECT",
    "schema": "USAGE",
    "database": "CREATE",
    "function": "EXECUTE",
    "procedure": "EXECUTE",
    "routine": "EXECUTE",
    "aggregate": "EXECUTE",
    "language": "USAGE",
    "tablespace": "CREATE",
    "type": "USAGE",
    "domain": "USAGE",
    "foreign-data wrapper": "USAGE",
    "foreign server": "USAGE",
}
_TABLES: Final = frozenset({"table", "view", "materialized view", "foreign table"})
_WITHOUT_SCHEMA: Final = frozenset(
    {"schema", "database", "language", "tablespace", "foreign-data wrapper", "foreign server"}
)
_ATTRIBUTES: Final = (
    (re.compile(r"permission denied to (?:create|alter|drop|rename) role"), "CREATEROLE"),
    (re.compile(r"permission denied to create database"), "CREATEDB"),
)


def denied_object(error: ServerError) -> tuple[str, str] | None:
    """Give kind and name of the object that a right or the ownership is lacking for, as the server says them."""
    found = _DENIED.fullmatch(error.message) or _OWNED.fullmatch(error.message)
    return (found["kind"], found["name"]) if found else None


def _permission(error: ServerError, known: Circumstances) -> str | None:
    role = quoted(known.role) if known.role else None
    if role is None:
        return None
    rules: tuple[Callable[[], str | None], ...] = (
        lambda: _grant_on_object(error, known, role),
        lambda: _ownership(error, known, role),
        lambda: _membership(error, role),
        lambda: _parameter(error, role),
        lambda: _attribute(error, role),
        lambda: _create_extension(error, known, role),
    )
    found = next((remedy for rule in rules if (remedy := rule())), None)
    return (
        found or f"the role {role} may not do this; let a role that may (often a superuser) do it, or give it the right"
    )


def _grant_on_object(error: ServerError, known: Circumstances, role: str) -> str | None:
    found = _DENIED.fullmatch(error.message)
    if found is None:
        return None
    kind, name = found["kind"], found["name"]
    rights = known.privilege or _RIGHTS.get(kind, "…")
    where = qualified(None if kind in _WITHOUT_SCHEMA else known.object_schema, name)
    what = "TABLE" if kind in _TABLES else kind.upper()
    grant = f"GRANT {rights} ON {what} {where} TO {role}"
    return f"the role {role} lacks a right on the {kind} {where}; as its owner, run: {grant}"


def _ownership(error: ServerError, known: Circumstances, role: str) -> str | None:
    found = _OWNED.fullmatch(error.message)
    if found is None:
        return None
    what = f"the {found['kind']} {qualified(known.object_schema, found['name'])}"
    if known.owner is None:
        return (
            f"only the owner of {what} may do this, and {role} is not; run: GRANT its owner TO {role}, or connect as it"
        )
    owner = quoted(known.owner)
    return (
        f"only {owner}, the owner of {what}, may do this; run: GRANT {owner} TO {role} (or name {owner} as the role of "
        "the connection)"
    )


def _membership(error: ServerError, role: str) -> str | None:
    found = _MEMBER.fullmatch(error.message)
    return f"run: GRANT {quoted(found['name'])} TO {role}" if found else None


def _parameter(error: ServerError, role: str) -> str | None:
    found = _PARAMETER.fullmatch(error.message)
    if found is None:
        return None
    return (
        f"only a superuser may set {found['name']}, unless (PostgreSQL 15 and later) one runs: "
        f"GRANT SET ON PARAMETER {found['name']} TO {role}"
    )


def _attribute(error: ServerError, role: str) -> str | None:
    attribute = next((name for pattern, name in _ATTRIBUTES if pattern.match(error.message)), None)
    return f"the role {role} lacks {attribute}; run: ALTER ROLE {role} {attribute}" if attribute else None


def _create_extension(error: ServerError, known: Circumstances, role: str) -> str | None:
    found = re.match(r'permission denied to (?:create|alter) extension "(?P<name>.+)"', error.message)
    if found is None:
        return None
    if "CREATE privilege" in (error.hint or "") and known.database:
        grant = f"GRANT CREATE ON DATABASE {quoted(known.database)} TO {role}"
        return f"the role {role} may not create extensions; run: {grant}"
    return f"let a superuser run it once: CREATE EXTENSION {quoted(found['name'])} (with IF NOT EXISTS in the script)"


_REMEDIES: Final[dict[Reason, Remedy]] = {
    Reason.OBJECT_NOT_FOUND: _not_found,
    Reason.ALREADY_EXISTS: _exists,
    Reason.DATA_VIOLATION: _violation,
    Reason.INVALID_FOREIGN_KEY: _foreign_key,
    Reason.DEPENDENT_OBJECTS: _dependent,
    Reason.DATATYPE_MISMATCH: _datatype,
    Reason.EXTENSION_NOT_AVAILABLE: _extension,
    Reason.PERMISSION_DENIED: _permission,
}
