"""What a statement is and what it touches, read from PostgreSQL's parse tree."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, unique
from typing import Any, Final

from schema_operator.scripts.grammar import SyntaxProblem, tree_of

__all__ = ["Parsed", "Touch", "Touched", "parse"]


@unique
class Touch(Enum):
    """What a statement does to an object."""

    CREATES = "creates"
    CHANGES = "changes"
    """Its definition, or what depends on it: an index, a trigger, a policy, a foreign key to it."""
    DROPS = "drops"
    WRITES = "writes"
    """Rows."""
    LOCKS = "locks"
    CALLS = "calls"
    READS = "reads"
    """Or anything else that leaves it as it is: privileges are granted, a publication is made."""


@dataclass(frozen=True, slots=True)
class Touched:
    """An object a statement names. For a schema, `name` is empty."""

    schema: str | None
    name: str
    touch: Touch


@dataclass(frozen=True, slots=True)
class Parsed:
    """A statement as the grammar sees it."""

    kind: str
    """The name of its node in PostgreSQL's parse tree: `CreateStmt`, `AlterTableStmt`, …"""
    objects: tuple[Touched, ...]
    """Relations, types, routines and schemas that are named, in the order of the tree; not those inside strings."""


def parse(sql: str) -> Parsed | SyntaxProblem | None:
    """Parse one statement; None where it is unknown what it is: see `grammar`."""
    tree = tree_of(sql)
    if not isinstance(tree, str):
        return tree
    try:
        return _parsed(json.loads(tree))
    except RecursionError:
        return None


def _parsed(tree: dict[str, Any]) -> Parsed | None:
    match tree:
        case {"stmts": [{"stmt": node}]} if len(node) == 1:
            (kind,) = node
            return Parsed(kind, tuple(dict.fromkeys(_touched(node))))
        case _:
            return None


_TARGETS: Final[dict[str, tuple[tuple[str, Touch], ...]]] = {
    "CreateStmt": (("relation", Touch.CREATES), ("inhRelations", Touch.CHANGES)),
    "base": (("relation", Touch.CREATES), ("inhRelations", Touch.CHANGES)),
    "CreateSeqStmt": (("sequence", Touch.CREATES),),
    "into": (("rel", Touch.CREATES),),
    "intoClause": (("rel", Touch.CREATES),),
    "ViewStmt": (("view", Touch.CREATES),),
    "CompositeTypeStmt": (("typevar", Touch.CREATES),),
    "CreateEnumStmt": (("typeName", Touch.CREATES),),
    "CreateRangeStmt": (("typeName", Touch.CREATES),),
    "CreateDomainStmt": (("domainname", Touch.CREATES),),
    "CreateFunctionStmt": (("funcname", Touch.CREATES),),
    "DefineStmt": (("defnames", Touch.CREATES),),
    "CreateSchemaStmt": (("schemaname", Touch.CREATES),),
    "AlterTableStmt": (("relation", Touch.CHANGES),),
    "AlterSeqStmt": (("sequence", Touch.CHANGES),),
    "AlterEnumStmt": (("typeName", Touch.CHANGES),),
    "AlterTypeStmt": (("typeName", Touch.CHANGES),),
    "AlterDomainStmt": (("typeName", Touch.CHANGES),),
    "AlterFunctionStmt": (("func", Touch.CHANGES),),
    "RenameStmt": (("relation", Touch.CHANGES), ("object", Touch.CHANGES)),
    "AlterObjectSchemaStmt": (("relation", Touch.CHANGES), ("object", Touch.CHANGES), ("newschema", Touch.CHANGES)),
    "AlterOwnerStmt": (("relation", Touch.CHANGES), ("object", Touch.CHANGES)),
    "AlterObjectDependsStmt": (("relation", Touch.CHANGES), ("object", Touch.CHANGES)),
    "IndexStmt": (("relation", Touch.CHANGES),),
    "CreateTrigStmt": (("relation", Touch.CHANGES),),
    "RuleStmt": (("relation", Touch.CHANGES),),
    "CreatePolicyStmt": (("table", Touch.CHANGES),),
    "AlterPolicyStmt": (("table", Touch.CHANGES),),
    "Constraint": (("pktable", Touch.CHANGES),),
    "PartitionCmd": (("name", Touch.CHANGES),),
    "ReindexStmt": (("relation", Touch.CHANGES),),
    "ClusterStmt": (("relation", Touch.CHANGES),),
    "VacuumStmt": (("rels", Touch.CHANGES),),
    "DropStmt": (("objects", Touch.DROPS),),
    "TruncateStmt": (("relations", Touch.WRITES),),
    "InsertStmt": (("relation", Touch.WRITES),),
    "UpdateStmt": (("relation", Touch.WRITES),),
    "DeleteStmt": (("relation", Touch.WRITES),),
    "MergeStmt": (("relation", Touch.WRITES),),
    "RefreshMatViewStmt": (("relation", Touch.WRITES),),
    "LockStmt": (("relations", Touch.LOCKS),),
    "CallStmt": (("funccall", Touch.CALLS),),
}
"""Nodes, or fields that hold one whose name the tree leaves out, and their fields that name what a statement does
something to. Every other relation named is read."""
_OF_A_TABLE: Final = frozenset({"OBJECT_TRIGGER", "OBJECT_POLICY", "OBJECT_RULE", "OBJECT_TABCONSTRAINT"})
"""Objects whose name is that of a relation with theirs behind it."""


def _touched(node: Any) -> Iterator[Touched]:
    """Walk a tree: relations by what is done to them, then, deeper down, those that are read."""
    if isinstance(node, list):
        for one in node:
            yield from _touched(one)
    elif isinstance(node, dict):
        for kind, fields in node.items():
            yield from _touched_by(kind, fields) if isinstance(fields, dict) else _touched(fields)


def _touched_by(kind: str, fields: dict[str, Any]) -> Iterator[Touched]:
    if kind == "RangeVar" or (kind not in _TARGETS and "relname" in fields):
        yield _relation(fields, Touch.READS)
        return
    targets = dict(_targets_of(kind, fields))
    for field, value in fields.items():
        if field in targets:
            yield from _named(value, targets[field], fields)
            yield from _touched(value.get("args")) if isinstance(value, dict) else ()
        else:
            yield from _touched_by(field, value) if isinstance(value, dict) else _touched(value)


def _targets_of(kind: str, fields: dict[str, Any]) -> Iterable[tuple[str, Touch]]:
    if kind == "CopyStmt":
        return (("relation", Touch.WRITES if fields.get("is_from") else Touch.READS),)
    if kind == "RenameStmt" and fields.get("renameType") == "OBJECT_SCHEMA":
        return (("subname", Touch.CHANGES), ("newname", Touch.CHANGES))
    return _TARGETS.get(kind, ())


def _named(value: Any, touch: Touch, fields: dict[str, Any]) -> Iterator[Touched]:
    """Read the name or names in a target field, whichever of the tree's forms they have."""
    match value:
        case str() as schema:
            yield Touched(schema, "", touch)
        case list():
            # One name in parts, except in DROP, where each is an object.
            inner = [value] if _is_name(value) and "removeType" not in fields else value
            for one in inner:
                yield from _named_one(one, touch, fields)
        case _:
            yield from _named_one(value, touch, fields)


def _named_one(value: Any, touch: Touch, fields: dict[str, Any]) -> Iterator[Touched]:
    match value:
        case {"relname": _}:
            yield _relation(value, touch)
        case {"RangeVar": relation} | {"VacuumRelation": {"relation": relation}}:
            yield _relation(relation, touch)
        case {"String": {"sval": schema}}:
            yield Touched(schema, "", touch)
        case {"List": {"items": names}} if _OF_A_TABLE & set(map(str, fields.values())):
            yield _qualified(names[:-1], touch)
        case {"List": {"items": names}} | {"funcname": names} | {"objname": names} | {"names": names}:
            yield _qualified(names, touch)
        case {"TypeName": inner} | {"ObjectWithArgs": inner}:
            yield from _named_one(inner, touch, fields)
        case [*names]:
            yield _qualified(names, touch)
        case _:
            return


def _is_name(value: list[Any]) -> bool:
    return bool(value) and "String" in value[0]


def _relation(fields: dict[str, Any], touch: Touch) -> Touched:
    return Touched(fields.get("schemaname"), fields["relname"], touch)


def _qualified(parts: list[Any], touch: Touch) -> Touched:
    *before, name = (part.get("String", {}).get("sval", "") for part in parts)
    return Touched(before[-1] if before else None, name, touch)
