"""Which relations a statement locks against readers or writers, and how strongly. Told by its words.

Source: PostgreSQL's documentation, "Explicit Locking", and AlterTableGetLockLevel in tablecmds.c (13 to 18). What the
text does not name is left out: an index's table when the index is dropped, what CASCADE reaches, the table a dropped
foreign key points to, a table's default partition.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum, unique
from typing import TYPE_CHECKING, Final

from schema_operator.scripts.names import name_at
from schema_operator.scripts.tokens import tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from schema_operator.scripts.statements import Statement

    Tokens = Sequence[str]

__all__ = ["LockMode", "RelationName", "locked_relations"]


@unique
class LockMode(IntEnum):
    """The lock modes that keep writers or readers away, weakest first. Weaker ones do neither and are not told of."""

    SHARE = 5
    """Writers wait."""
    SHARE_ROW_EXCLUSIVE = 6
    """Writers wait."""
    EXCLUSIVE = 7
    """Writers wait, and SELECT FOR UPDATE."""
    ACCESS_EXCLUSIVE = 8
    """Readers wait, too."""

    @property
    def catalog_name(self) -> str:
        """The name pg_locks has for it."""
        return f"{self.name.title().replace('_', '')}Lock"

    @property
    def sql(self) -> str:
        """The words LOCK TABLE takes."""
        return self.name.replace("_", " ")


@dataclass(frozen=True, slots=True)
class RelationName:
    """A table, view, index or sequence as a statement names it, and the lock the statement needs on it."""

    schema: str | None
    """As written; None where the search_path decides."""
    name: str
    mode: LockMode


_SHARE: Final = LockMode.SHARE
_ROW: Final = LockMode.SHARE_ROW_EXCLUSIVE
_ALL: Final = LockMode.ACCESS_EXCLUSIVE


def locked_relations(statement: Statement) -> tuple[RelationName, ...]:
    """Give the relations on which a statement needs a lock that readers or writers wait for, each once, in its order.

    Empty for statements that need none and for those not known here.
    """
    rule = _RULES.get(statement.words[0]) if statement.words else None
    return _merged(rule(tuple(tokens(statement.sql)))) if rule else ()


def _merged(found: Iterable[RelationName]) -> tuple[RelationName, ...]:
    """Keep of each relation the strongest lock."""
    strongest: dict[tuple[str | None, str], RelationName] = {}
    for one in found:
        known = strongest.setdefault((one.schema, one.name), one)
        if one.mode > known.mode:
            strongest[one.schema, one.name] = one
    return tuple(strongest.values())


def _relation(symbols: Tokens, at: int, mode: LockMode) -> tuple[list[RelationName], int]:
    """Read a relation's name, with ONLY or IF EXISTS before it and a star behind it; give none where there is none."""
    at = _past(symbols, at, "IF", "NOT", "EXISTS")
    at = _past(symbols, at, "IF", "EXISTS")
    at = _past(symbols, at, "ONLY")
    parts, at = name_at(symbols, at)
    at = _past(symbols, at, "*")
    return [RelationName(parts[-2] if len(parts) > 1 else None, parts[-1], mode)] if parts else [], at


def _past(symbols: Tokens, at: int, *words: str) -> int:
    return at + len(words) if tuple(symbols[at : at + len(words)]) == words else at


def _one(symbols: Tokens, at: int, mode: LockMode) -> list[RelationName]:
    return _relation(symbols, at, mode)[0]


def _several(symbols: Tokens, at: int, mode: LockMode) -> list[RelationName]:
    """Read names with commas between them."""
    found, at = _relation(symbols, at, mode)
    names = list(found)
    while found and symbols[at : at + 1] == (",",):
        found, at = _relation(symbols, at + 1, mode)
        names += found
    return names


def _after(symbols: Tokens, word: str, mode: LockMode, start: int = 0) -> list[RelationName]:
    """Read the relation behind the first occurrence of a reserved word."""
    at = _find(symbols, word, start)
    return [] if at is None else _one(symbols, at + 1, mode)


def _find(symbols: Tokens, word: str, start: int = 0) -> int | None:
    places = (at for at in range(start, len(symbols)) if symbols[at] == word and symbols[at - 1] != ".")
    return next(places, None)


def _references(symbols: Tokens) -> Iterator[RelationName]:
    """Give the tables foreign keys point to. REFERENCES is reserved, so it is nothing else."""
    for at, symbol in enumerate(symbols):
        if symbol == "REFERENCES":
            yield from _one(symbols, at + 1, _ROW)


def _create(symbols: Tokens) -> list[RelationName]:
    at = 3 if symbols[1:3] == ("OR", "REPLACE") else 1
    match symbols[at : at + 2]:
        case ("INDEX", *_) | ("UNIQUE", "INDEX"):
            return [] if "CONCURRENTLY" in symbols[2:4] else _after(symbols, "ON", _SHARE)
        case (what, *_) if what in _CREATED_ON:
            before, mode = _CREATED_ON[what]
            return _after(symbols, before, mode)
        case _ if at > 1:
            view = _find(symbols[:6], "VIEW")
            return [] if view is None else _one(symbols, view + 1, _ALL)
        case _:
            return _create_table(symbols)


_CREATED_ON: Final = {
    "TRIGGER": ("ON", _ROW),
    "CONSTRAINT": ("ON", _ROW),
    "POLICY": ("ON", _ALL),
    "RULE": ("TO", _ALL),
}
"""What is created on a table: the word before its name, and the lock."""


def _create_table(symbols: Tokens) -> list[RelationName]:
    table = symbols.index("TABLE") if "TABLE" in symbols[:3] else None
    if table is None:
        return []
    itself, behind = _relation(symbols, table + 1, _ALL)
    parent = _one(symbols, behind + 2, _ALL) if tuple(symbols[behind : behind + 2]) == ("PARTITION", "OF") else []
    names = [(one.schema, one.name) for one in itself]
    return parent + [one for one in _references(symbols) if (one.schema, one.name) not in names]


_DROPPED: Final = frozenset({"TABLE", "VIEW", "INDEX", "SEQUENCE"})
_ON_TABLE: Final = frozenset({"TRIGGER", "POLICY", "RULE"})


def _drop(symbols: Tokens) -> list[RelationName]:
    match symbols[1:3]:
        case ("MATERIALIZED", "VIEW") | ("FOREIGN", "TABLE"):
            return _several(symbols, 3, _ALL)
        case ("INDEX", "CONCURRENTLY"):
            return []
        case (what, _) if what in _DROPPED:
            return _several(symbols, 2, _ALL)
        case (what, _) if what in _ON_TABLE:
            return _after(symbols, "ON", _ALL)
        case _:
            return []


def _alter(symbols: Tokens) -> list[RelationName]:
    match symbols[1:3]:
        case ("TABLE" | "INDEX" | "VIEW" | "MATERIALIZED" | "FOREIGN", following) if following != "ALL":
            return _alter_relation(symbols, 3 if symbols[1] in {"MATERIALIZED", "FOREIGN"} else 2)
        case ("SEQUENCE", _):
            sequence, at = _relation(symbols, 2, _ROW)
            as_relation = symbols[at : at + 1] in {("OWNER",), ("RENAME",), ("SET",)} and symbols[at + 1] != "BY"
            return [replace(one, mode=_ALL) for one in sequence] if as_relation else sequence
        case (what, _) if what in _ON_TABLE:
            return _after(symbols, "ON", _ALL)
        case _:
            return []


def _alter_relation(symbols: Tokens, at: int) -> list[RelationName]:
    if tuple(symbols[at : at + 3]) == ("ALL", "IN", "TABLESPACE"):
        return []
    relation, at = _relation(symbols, at, _ALL)
    found: list[RelationName] = []
    for action in _actions(symbols[at:]):
        mode = _mode_of(symbols[1], action)
        found += [replace(one, mode=mode) for one in relation] if mode else []
        found += _others(action)
    return found


def _actions(symbols: Tokens) -> Iterator[Tokens]:
    """Cut the actions of ALTER TABLE at the commas between them."""
    depth, begin = 0, 0
    for at, symbol in enumerate(symbols):
        depth += (symbol == "(") - (symbol == ")")
        if symbol == "," and depth == 0:
            yield symbols[begin:at]
            begin = at + 1
    yield symbols[begin:]


def _mode_of(what: str, action: Tokens) -> LockMode | None:
    """Give the lock one action needs on its own table; None where readers and writers go on."""
    if action[1:2] == ("(",):
        # SET and RESET of storage parameters.
        return None if _STRONG_OPTIONS.isdisjoint(action) else _ALL
    if any(action[: len(weak)] == weak for weak in _WEAK[what == "INDEX"]) or _lets_go_on(action):
        return None
    return _ROW if _stops_writers_only(action) else _ALL


_WEAK: Final = (
    (("VALIDATE",), ("CLUSTER", "ON"), ("SET", "WITHOUT", "CLUSTER"), ("ATTACH", "PARTITION")),
    (("RENAME", "TO"), ("ATTACH", "PARTITION")),
)
"""How actions begin that let readers and writers go on: of a table, of an index."""
_STRONG_OPTIONS: Final = frozenset(
    {"USER_CATALOG_TABLE", "SECURITY_BARRIER", "SECURITY_INVOKER", "CHECK_OPTION"}
    | {"FASTUPDATE", "GIN_PENDING_LIST_LIMIT", "BUFFERING", "AUTOSUMMARIZE", "PAGES_PER_RANGE"}
)
"""The storage parameters that change how a relation is read (reloptions.c); the others need a weak lock."""


def _lets_go_on(action: Tokens) -> bool:
    if action[:2] == ("DETACH", "PARTITION"):
        return action[-1] == "CONCURRENTLY"
    return action[:1] == ("ALTER",) and _only_statistics(action)


def _stops_writers_only(action: Tokens) -> bool:
    match action[:3]:
        case ("ENABLE" | "DISABLE", "TRIGGER", *_) | ("ENABLE", "ALWAYS" | "REPLICA", "TRIGGER"):
            return True
        case ("ADD", "FOREIGN", "KEY") | ("ADD", "CONSTRAINT", _):
            return "FOREIGN" in action[1:4]
        case _:
            return False


def _only_statistics(action: Tokens) -> bool:
    """Whether `ALTER [COLUMN] name …` sets what the planner assumes and nothing else."""
    at = 3 if action[1:2] == ("COLUMN",) else 2
    return action[at : at + 2] in {("SET", "STATISTICS"), ("SET", "("), ("RESET", "(")}


def _others(action: Tokens) -> Iterator[RelationName]:
    """Give the other relations an action of ALTER TABLE names: foreign keys' tables and partitions."""
    yield from _references(action)
    if action[:2] in {("ATTACH", "PARTITION"), ("DETACH", "PARTITION")}:
        yield from _one(action, 2, _ALL)


def _truncate(symbols: Tokens) -> list[RelationName]:
    return _several(symbols, _past(symbols, 1, "TABLE"), _ALL)


_MODES: Final = {
    ("SHARE", "MODE"): _SHARE,
    ("SHARE", "ROW", "EXCLUSIVE", "MODE"): _ROW,
    ("EXCLUSIVE", "MODE"): LockMode.EXCLUSIVE,
    ("ACCESS", "EXCLUSIVE", "MODE"): _ALL,
}


def _lock(symbols: Tokens) -> list[RelationName]:
    mode_at = _find(symbols, "IN", 1)
    words = () if mode_at is None else tuple(word for word in symbols[mode_at + 1 :] if word != "NOWAIT")
    mode = _ALL if mode_at is None else _MODES.get(words)
    return [] if mode is None else _several(symbols, _past(symbols, 1, "TABLE"), mode)


def _refresh(symbols: Tokens) -> list[RelationName]:
    concurrently = symbols[3:4] == ("CONCURRENTLY",)
    return _one(symbols, 4, LockMode.EXCLUSIVE) if concurrently else _one(symbols, 3, _ALL)


def _reindex(symbols: Tokens) -> list[RelationName]:
    at = _past_parentheses(symbols, 1)
    mode = {"TABLE": _SHARE, "INDEX": _ALL}.get(next(iter(symbols[at:]), ""))
    concurrently = symbols[at + 1 : at + 2] == ("CONCURRENTLY",) or _is_on(symbols[:at], "CONCURRENTLY")
    return [] if mode is None or concurrently else _one(symbols, at + 1, mode)


def _is_on(options: Tokens, name: str) -> bool:
    """Whether `(NAME [value], …)` turns an option on."""
    if name not in options:
        return False
    value = options[options.index(name) + 1].strip("'").upper()
    return value not in {"FALSE", "OFF", "0"}


def _past_parentheses(symbols: Tokens, at: int) -> int:
    return symbols.index(")", at) + 1 if symbols[at : at + 1] == ("(",) and ")" in symbols[at:] else at


def _cluster(symbols: Tokens) -> list[RelationName]:
    return _one(symbols, _past(symbols, _past_parentheses(symbols, 1), "VERBOSE"), _ALL)


def _vacuum(symbols: Tokens) -> list[RelationName]:
    at = _past_parentheses(symbols, 1)
    full = _is_on(symbols[:at], "FULL") or symbols[1:2] == ("FULL",)
    if not full:
        return []
    while symbols[at : at + 1] and symbols[at] in {"FULL", "FREEZE", "VERBOSE", "ANALYZE", "ANALYSE"}:
        at += 1
    return _several(symbols, at, _ALL)


_RULES: Final[dict[str, Callable[[Tokens], list[RelationName]]]] = {
    "CREATE": _create,
    "DROP": _drop,
    "ALTER": _alter,
    "TRUNCATE": _truncate,
    "LOCK": _lock,
    "REFRESH": _refresh,
    "REINDEX": _reindex,
    "CLUSTER": _cluster,
    "VACUUM": _vacuum,
}
