"""What a statement destroys: columns, tables, all rows of a table. Told by PostgreSQL's parse tree. Pure.

What the text does not show is not seen: what a function, a DO block, a trigger or a rule does, and rows that a DELETE
chooses. What CASCADE and foreign keys reach, the server finds (`schema_operator.resolve_destroyed`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum, unique
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from schema_operator.scripts.statements import Statement

__all__ = ["Destroyed", "Kind", "as_json", "destroyed_by", "may_destroy"]


@unique
class Kind(StrEnum):
    """What is destroyed; the values are those that `schema_operator.resolve_destroyed` knows."""

    COLUMN = "column"
    TABLE = "table"
    ROWS = "rows"
    """All of a table."""
    OBJECT = "object"
    """Another object, and with it the tables and columns that need it."""
    OWNED = "owned"
    """All that a role owns."""
    UNKNOWN = "unknown"
    """Something, perhaps: the statement is of a kind that destroys, and cannot be read."""


@dataclass(frozen=True, slots=True)
class Destroyed:
    """One thing that a statement destroys."""

    kind: Kind
    schema: str | None
    """As written; None where the search_path decides, or where the thing is in no schema."""
    name: str
    """Of the table, the object or the role."""
    column: str | None = None
    cascade: bool = False
    only: bool = False
    """Whether tables that inherit are left alone."""
    what: str = ""
    """For an object, its type as pg_get_object_address has it."""
    deletes: bool = False
    """For rows, whether they are deleted, so that foreign keys with ON DELETE CASCADE delete others."""

    @property
    def by_name(self) -> bool:
        """Whether the search_path decides which thing is meant, where no schema is written."""
        return self.kind in {Kind.COLUMN, Kind.TABLE, Kind.ROWS} or self.what in _IN_SCHEMAS

    @property
    def parts(self) -> tuple[str, ...]:
        """The name with its schema, where one is written."""
        return (self.schema, self.name) if self.schema is not None else (self.name,)

    @property
    def quoted(self) -> str:
        """The name as SQL reads it back, whatever is in it."""
        return ".".join('"' + part.replace('"', '""') + '"' for part in self.parts)


def destroyed_by(statement: Statement) -> tuple[Destroyed, ...]:
    """Give what a statement destroys, in its order; mostly nothing, which is told without parsing."""
    return _destroyed(statement.sql) if _may_destroy(statement) else ()


def may_destroy(statement: Statement) -> bool:
    """Whether a statement destroys something, as far as its text shows."""
    return bool(destroyed_by(statement))


def as_json(destroyed: Iterable[Destroyed]) -> str:
    """Write what is destroyed as `schema_operator.resolve_destroyed` reads it."""
    return msgspec.json.encode([_fields(one) for one in destroyed if one.kind is not Kind.UNKNOWN]).decode()


def _fields(one: Destroyed) -> dict[str, object]:
    match one.kind:
        case Kind.OBJECT:
            # A type is named by one text, everything else by its parts.
            name: object = [one.quoted] if one.what == "type" else list(one.parts)
            return {"kind": one.kind, "class": one.what, "name": name, "cascade": one.cascade}
        case Kind.OWNED:
            return {"kind": one.kind, "name": one.name, "cascade": one.cascade}
        case _:
            flags = {"cascade": one.cascade, "only": one.only, "deletes": one.deletes}
            return {"kind": one.kind, "name": one.quoted, "column": one.column, **flags}


_DROPPED: Final = {
    "OBJECT_SCHEMA": "schema",
    "OBJECT_TYPE": "type",
    "OBJECT_DOMAIN": "type",
    "OBJECT_EXTENSION": "extension",
    "OBJECT_COLLATION": "collation",
    "OBJECT_VIEW": "view",
    "OBJECT_MATVIEW": "materialized view",
    "OBJECT_FOREIGN_TABLE": "foreign table",
    "OBJECT_FOREIGN_SERVER": "server",
    "OBJECT_FDW": "foreign-data wrapper",
    "OBJECT_ACCESS_METHOD": "access method",
}
"""What a table or a column can need to exist, by the tree's names, and by those of pg_get_object_address."""
_IN_SCHEMAS: Final = frozenset({"type", "collation", "view", "materialized view", "foreign table"})
_FIRST_WORDS: Final = frozenset(
    {"ALTER", "DROP", "TRUNCATE", "DELETE", "WITH", "INSERT", "UPDATE", "SELECT", "MERGE", "COPY", "CREATE", ""}
)
_DELETE: Final = re.compile(r"\bdelete\b", re.IGNORECASE)
_DROP: Final = re.compile(r"\bdrop\b", re.IGNORECASE)
_HARMLESS_DROPS: Final = frozenset(
    {"INDEX", "FUNCTION", "PROCEDURE", "ROUTINE", "TRIGGER", "POLICY", "RULE", "ROLE", "USER", "SEQUENCE", "DATABASE"}
)
_RUN_AT_ONCE: Final = frozenset(
    {"SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt", "CreateTableAsStmt", "CopyStmt"}
)
"""Statements whose parts are run with them. A prepared statement, a rule or a function is run later."""


def _may_destroy(statement: Statement) -> bool:
    first, second, *_ = (*statement.words, "", "")
    match first:
        case "TRUNCATE" | "DELETE":
            return True
        case "DROP":
            return second not in _HARMLESS_DROPS
        case "ALTER":
            return second in {"TABLE", "TYPE"} and _DROP.search(statement.sql) is not None
        case "CREATE" if not {"TABLE", "MATERIALIZED"} & {*statement.words}:
            return False
        case _:
            return first in _FIRST_WORDS and _DELETE.search(statement.sql) is not None


@lru_cache(maxsize=256)
def _destroyed(sql: str) -> tuple[Destroyed, ...]:
    from schema_operator.scripts.grammar import tree_of  # noqa: PLC0415 (it loads the parser, which few scripts need)

    tree = tree_of(sql)
    if not isinstance(tree, str):
        # A newer server may know what this grammar does not, and variables may have to be filled in yet.
        return (Destroyed(Kind.UNKNOWN, None, ""),)
    try:
        return tuple(dict.fromkeys(_of_tree(msgspec.json.decode(tree))))
    except RecursionError:
        return (Destroyed(Kind.UNKNOWN, None, ""),)


def _of_tree(tree: dict[str, Any]) -> Iterator[Destroyed]:
    match tree:
        case {"stmts": [{"stmt": {"AlterTableStmt": fields}}]}:
            yield from _columns(fields)
        case {"stmts": [{"stmt": {"DropStmt": fields}}]}:
            yield from _dropped(fields)
        case {"stmts": [{"stmt": {"TruncateStmt": fields}}]}:
            for relation in fields["relations"]:
                yield _rows(relation["RangeVar"], cascade=_cascades(fields))
        case {"stmts": [{"stmt": {"DropOwnedStmt": fields}}]}:
            yield from _owned(fields)
        case {"stmts": [{"stmt": node}]} if _RUN_AT_ONCE & node.keys():
            yield from _deleted(node)
        case _:
            return


def _cascades(fields: dict[str, Any]) -> bool:
    return fields.get("behavior") == "DROP_CASCADE"


def _columns(fields: dict[str, Any]) -> Iterator[Destroyed]:
    relation = fields["relation"]
    for command in fields["cmds"]:
        match command:
            case {"AlterTableCmd": {"subtype": "AT_DropColumn", "name": column} as action}:
                yield Destroyed(
                    Kind.COLUMN,
                    relation.get("schemaname"),
                    relation["relname"],
                    column,
                    cascade=_cascades(action),
                    only="inh" not in relation,
                )
            case _:
                pass


def _dropped(fields: dict[str, Any]) -> Iterator[Destroyed]:
    what, cascade = fields["removeType"], _cascades(fields)
    if what == "OBJECT_TABLE":
        for one in fields["objects"]:
            schema, name = _name(one)
            yield Destroyed(Kind.TABLE, schema, name, cascade=cascade)
    elif what in _DROPPED and (cascade or what == "OBJECT_EXTENSION"):
        for one in fields["objects"]:
            schema, name = _name(one)
            yield Destroyed(Kind.OBJECT, schema, name, cascade=cascade, what=_DROPPED[what])


def _name(node: dict[str, Any]) -> tuple[str | None, str]:
    """Read a name in whichever of the tree's forms it has: its schema, where one is written, and the last part."""
    match node:
        case {"List": {"items": items}} | {"TypeName": {"names": items}}:
            *before, name = (item["String"]["sval"] for item in items)
            return (before[-1] if before else None), name
        case _:
            return None, node["String"]["sval"]


def _owned(fields: dict[str, Any]) -> Iterator[Destroyed]:
    for role in fields["roles"]:
        match role:
            case {"RoleSpec": {"rolename": name}}:
                yield Destroyed(Kind.OWNED, None, name, cascade=_cascades(fields))
            case _:  # CURRENT_USER and its like, who are somebody else after every SET ROLE
                yield Destroyed(Kind.UNKNOWN, None, "")


def _rows(relation: dict[str, Any], *, cascade: bool = False, deletes: bool = False) -> Destroyed:
    only = "inh" not in relation
    schema = relation.get("schemaname")
    return Destroyed(Kind.ROWS, schema, relation["relname"], cascade=cascade, only=only, deletes=deletes)


def _deleted(node: Any) -> Iterator[Destroyed]:
    """Walk a tree for DELETEs that choose no rows, wherever they stand in it."""
    if isinstance(node, list):
        for one in node:
            yield from _deleted(one)
    elif isinstance(node, dict):
        for kind, fields in node.items():
            if kind == "DeleteStmt" and not _chooses(fields.get("whereClause", {})):
                yield _rows(fields["relation"], deletes=True)
            yield from _deleted(fields)


def _chooses(condition: Any) -> bool:
    """Whether a condition can be true of one row and not of another: it has more in it than constants."""
    if isinstance(condition, list):
        return any(map(_chooses, condition))
    if not isinstance(condition, dict):
        return False
    return bool(_OF_A_ROW & condition.keys()) or any(map(_chooses, condition.values()))


_OF_A_ROW: Final = frozenset({"ColumnRef", "FuncCall", "SubLink", "CurrentOfExpr", "ParamRef", "SQLValueFunction"})
