"""PostgreSQL's own grammar, that of version 18: whether a statement is well formed.

The parser is libpg_query, PostgreSQL's own in a shared library, which ships inside the package postgast. It is called
directly: importing postgast costs 58 ms and 15 MiB, most of it for protobuf messages of every node, loading the library
0.5 ms and 1 MiB. `pg_query_split_with_parser` parses without handing out a tree (2 µs a statement),
`pg_query_parse` gives the tree as JSON, which `tree` reads where a rule asks (10 µs and more).

None means unknown, everywhere: the library is not there, the statement is too long, the error is one that the server
need not share. Unknown is never a reason to refuse; the server will say.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from schema_operator.scripts.tokens import is_word, tokens

NEWEST: Final = 18
"""The major version whose grammar this is. A newer server may know more."""
_LONGEST: Final = 1024 * 1024
"""Bytes of the longest statement that is parsed; parsing takes ten times as much memory."""
_LONGEST_TREE: Final = 64 * 1024
"""Bytes of the longest statement whose tree is read, which takes a hundred times as much."""
_TOGETHER: Final = 64 * 1024
"""Bytes of statements that are parsed in one call."""
_PACKAGE: Final = "postgast"
_LIBRARY: Final = "libpg_query.so"
_UNEXPECTED: Final = "syntax error at or near "
_UNEXPECTED_END: Final = "syntax error at end of input"

STRICTER_SINCE: Final = {
    16: frozenset({"JSON_ARRAY", "JSON_ARRAYAGG", "JSON_OBJECT", "JSON_OBJECTAGG", "SYSTEM_USER"}),
    17: frozenset(
        {"JSON", "JSON_EXISTS", "JSON_QUERY", "JSON_SCALAR", "JSON_SERIALIZE", "JSON_TABLE", "JSON_VALUE"}
        | {"MERGE_ACTION"}
    ),
}
"""Words that could name anything before that version (pg_get_keywords, 13 to 18)."""
_POSTFIX_OPERATORS_UNTIL: Final = 13
_COMMENT_BEFORE = re.compile(r"--[^\n\r]*[\n\r]\s*\Z")
_OPERATOR_AT_END = re.compile(r"[-+*/<>=~!@#%^&|`?]\s*\)?\s*\Z")


@dataclass(frozen=True, slots=True)
class SyntaxProblem:
    """Where a statement stops being one."""

    position: int
    """Of the first token that does not fit, in characters from 0; the statement's length where its end is missing."""
    token: str
    """That token, where it is a word or a sign; what it is, where it could be a value; empty at the end."""

    @property
    def sentence(self) -> str:
        """What is wrong and what to do."""
        what = f"syntax error at or near {self.token}" if self.token else "syntax error: the statement is not complete"
        return f"{what}; correct the script"


class _Error(ctypes.Structure):
    _fields_ = (
        ("message", ctypes.c_char_p),
        ("funcname", ctypes.c_char_p),
        ("filename", ctypes.c_char_p),
        ("lineno", ctypes.c_int),
        ("cursorpos", ctypes.c_int),
        ("context", ctypes.c_char_p),
    )


class _SplitResult(ctypes.Structure):
    _fields_ = (
        ("stmts", ctypes.c_void_p),
        ("n_stmts", ctypes.c_int),
        ("stderr_buffer", ctypes.c_char_p),
        ("error", ctypes.POINTER(_Error)),
    )


class _ParseResult(ctypes.Structure):
    _fields_ = (
        ("parse_tree", ctypes.c_char_p),
        ("stderr_buffer", ctypes.c_char_p),
        ("error", ctypes.POINTER(_Error)),
    )


@cache
def library() -> ctypes.CDLL | None:
    """Load the parser at the first call; None where it is not installed or not for this machine."""
    found = find_spec(_PACKAGE)
    for folder in (found.submodule_search_locations or ()) if found else ():
        try:
            return _declared(ctypes.CDLL(str(Path(folder) / _LIBRARY)))
        except (OSError, AttributeError):
            continue
    return None


def _declared(loaded: ctypes.CDLL) -> ctypes.CDLL:
    """Say what the functions take and give: pg_query.h of libpg_query."""
    loaded.pg_query_split_with_parser.argtypes = [ctypes.c_char_p]
    loaded.pg_query_split_with_parser.restype = _SplitResult
    loaded.pg_query_free_split_result.argtypes = [_SplitResult]
    loaded.pg_query_free_split_result.restype = None
    loaded.pg_query_parse.argtypes = [ctypes.c_char_p]
    loaded.pg_query_parse.restype = _ParseResult
    loaded.pg_query_free_parse_result.argtypes = [_ParseResult]
    loaded.pg_query_free_parse_result.restype = None
    return loaded


def syntax_problem(sql: str, server: int = NEWEST) -> SyntaxProblem | None:
    """Give the syntax error of one statement; None where there is none, or none that is certain.

    `server` is the major version the statement is for: a newer one than the grammar's may accept what this does not,
    and so may an older one where a word has become reserved since or an operator stood behind its operand.
    """
    loaded, encoded = library(), sql.encode()
    if loaded is None or server > NEWEST or len(encoded) > _LONGEST:
        return None
    failure = _failure(loaded, encoded)
    problem = _problem(sql, *failure) if failure else None
    return None if problem is None or _was_right(sql, problem, server) else problem


def syntax_problems(statements: Sequence[str], server: int = NEWEST) -> Iterator[tuple[int, SyntaxProblem]]:
    """Give the index of each statement with a syntax error, and the error: `syntax_problem` of many, quickly."""
    loaded = library()
    if loaded is None or server > NEWEST:
        return
    for first, together in _groups(statements):
        if _failure(loaded, b";\n".join(together)) is not None:
            for index in range(first, first + len(together)):
                if problem := syntax_problem(statements[index], server):
                    yield index, problem


def _groups(statements: Sequence[str]) -> Iterator[tuple[int, list[bytes]]]:
    """Give statements, encoded, in groups of neighbours with the index of the first; one too long stands for nothing.

    They hold nothing that is open at their end, so one after the other with semicolons between they are what each is
    alone.
    """
    group: list[bytes] = []
    first = size = 0
    for index, sql in enumerate(statements):
        encoded = sql.encode()
        if size + len(encoded) > _TOGETHER and group:
            yield first, group
            group, first, size = [], index, 0
        group.append(encoded if len(encoded) <= _LONGEST else b"")
        size += len(encoded)
    yield first, group


def _failure(loaded: ctypes.CDLL, encoded: bytes) -> tuple[str, int] | None:
    """Parse; give what the parser said, or None where all is well."""
    result = loaded.pg_query_split_with_parser(encoded)
    try:
        return _said(result.error) if result.error else None
    finally:
        loaded.pg_query_free_split_result(result)


def _said(error: Any) -> tuple[str, int]:
    """Give the parser's message and the character it points at, from 1 (characters, whatever postgast writes)."""
    return (error.contents.message or b"").decode(errors="replace"), error.contents.cursorpos


def _problem(sql: str, message: str, cursor: int) -> SyntaxProblem | None:
    """Make a problem of the parser's message.

    Messages of other kinds are left to the server: limits of the parser's stack differ, and PostgreSQL 13 and 14 accept
    a number with letters behind it. So is a string that goes on behind a comment and a line break, which libpg_query,
    to keep comments, reads as two.
    """
    if message == _UNEXPECTED_END:
        return SyntaxProblem(len(sql), "")
    if not message.startswith(_UNEXPECTED) or not 0 < cursor <= len(sql):
        return None
    if sql[cursor - 1] == "'" and _COMMENT_BEFORE.search(sql, 0, cursor - 1):
        return None
    return SyntaxProblem(cursor - 1, _shown(sql, cursor - 1))


def _shown(sql: str, position: int) -> str:
    """Show a token where it cannot be a value. A word after PASSWORD may be a password without its quotes."""
    token = next(tokens(sql, position), "")
    *_, before = ("", *tokens(sql, 0, position))
    match token[:1]:
        case "'" | "$" if len(token) > 1:
            return "a string"
        case '"':
            return "a quoted name"
        case first if first.isdigit():
            return "a number"
        case _ if before == "PASSWORD" and is_word(token):
            return "a word"
        case _:
            return sql[position : position + len(token)]


def _was_right(sql: str, problem: SyntaxProblem, server: int) -> bool:
    """Whether an older server may accept a statement that the newest does not."""
    reserved = frozenset[str]().union(*(words for since, words in STRICTER_SINCE.items() if since > server))
    if reserved and not reserved.isdisjoint(tokens(sql)):
        return True
    return server <= _POSTFIX_OPERATORS_UNTIL and _OPERATOR_AT_END.search(sql, 0, problem.position) is not None


def tree_of(sql: str) -> str | SyntaxProblem | None:
    """Give the parse tree of one statement as JSON; None where it is unknown."""
    loaded, encoded = library(), sql.encode()
    if loaded is None or len(encoded) > _LONGEST_TREE:
        return None
    result = loaded.pg_query_parse(encoded)
    try:
        if result.error:
            return _problem(sql, *_said(result.error))
        return bytes(result.parse_tree).decode()
    finally:
        loaded.pg_query_free_parse_result(result)
