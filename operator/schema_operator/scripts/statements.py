"""A script's statements, and what kind a statement is, told by its keywords."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Final

from schema_operator.errors import Location, Refused
from schema_operator.scripts.copying import CopyForm, copy_form
from schema_operator.scripts.lexer import Piece, PieceKind, lex, position_to_line_column
from schema_operator.scripts.tokens import outside_parentheses, tokens, words
from schema_operator.scripts.variables import Rendered, render

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from schema_operator.scripts.script import Source

    Tokens = tuple[str, ...]

__all__ = [
    "CopyData",
    "CopyForm",
    "Statement",
    "copy_of",
    "is_about_rows",
    "is_plain",
    "is_setting",
    "may_change_settings",
    "needs_no_transaction",
    "statements_in",
    "statements_of",
    "transaction_control",
    "turns_off_standard_strings",
]

_MOST_WORDS: Final = 3
_CHUNK: Final = 65536
"""Characters of COPY data that are sent at once."""
_BEGINNING: Final = 5
"""Tokens that tell most commands apart."""
_OFF: Final = frozenset({"FALSE", "OFF", "0"})
_ON: Final = frozenset({"TRUE", "ON", "YES", "1", "DEFAULT"})


@dataclass(frozen=True, slots=True)
class CopyData:
    """The rows that follow a COPY … FROM STDIN, `text[start:end]`: whole lines, without the closing backslash and dot.

    The script's own text is kept and not a copy of it, because the rows of a dump are most of it.
    """

    text: str
    start: int
    end: int
    lines_below: int
    """How many lines below its statement the first row stands."""

    @property
    def size(self) -> int:
        """How many characters the rows have; seldom much less than the bytes that are sent."""
        return self.end - self.start

    def chunks(self) -> Iterator[bytes]:
        """Give the bytes of the rows piece by piece."""
        for start in range(self.start, self.end, _CHUNK):
            yield self.text[start : min(start + _CHUNK, self.end)].encode()


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a script; number, line and column count from 1."""

    number: int
    sql: str
    """What is sent: exactly as written, without its semicolon and the comments around it; see `filled_in`."""
    line: int
    column: int
    words: tuple[str, ...]
    """The first keywords and names in upper case, at most 3, without what is quoted or between parentheses."""
    data: CopyData | None = None
    """The rows of a COPY … FROM STDIN; other statements have none."""
    rendered: Rendered | None = None
    """What `sql` was before its variables were filled in; None where it is as written."""

    def line_column(self, position: int) -> tuple[int, int]:
        """Give line and column in the script of a character of `sql`, from 1, as the server counts them."""
        if self.rendered is None:
            return self._in_script(*position_to_line_column(self.sql, position - 1))
        written = self.rendered.position(position - 1)
        return self._in_script(*position_to_line_column(self.rendered.written, written))

    def filled_in(self, variables: Mapping[str, str]) -> Statement:
        """Give the statement with its variables filled in; itself where it uses none of those declared.

        Raises `Refused(PlaceholderError)` with line and column in the script where a value does not fit.
        """
        if not variables:
            return self
        try:
            rendered = render(self.sql, variables)
        except Refused as refused:
            line, column = self._in_script(refused.location.line or 1, refused.location.column or 1)
            raise Refused(refused.reason, refused.sentence, Location(line=line, column=column)) from None
        return replace(self, sql=rendered.sql, rendered=rendered) if rendered.filled else self

    def _in_script(self, line: int, column: int) -> tuple[int, int]:
        return self.line + line - 1, column if line > 1 else self.column + column - 1


def statements_of(source: Source) -> tuple[Statement, ...]:
    """Cut a script into its statements, with their places in the file; raises `Refused(SyntaxError)` as `lex` does."""
    if not source.cut:
        source.cut.append(_cut(source))
    return source.cut[0]


def _cut(source: Source) -> tuple[Statement, ...]:
    try:
        statements = statements_in(source.text, lex(source.text))
    except Refused as refused:
        raise Refused(refused.reason, refused.sentence, source.in_file(refused.location)) from None
    above = source.line - 1
    return tuple(replace(one, line=one.line + above) for one in statements) if above else statements


def statements_in(text: str, pieces: Iterable[Piece]) -> tuple[Statement, ...]:
    """Give the statements among the pieces of a text, each COPY … FROM STDIN with its rows."""
    statements: list[Statement] = []
    waiting: deque[int] = deque()
    """Indices of COPY … FROM STDIN; the first data on the lines below belong to the first of them, as in psql."""
    for piece in pieces:
        if piece.kind is PieceKind.STATEMENT:
            statement = _statement(len(statements) + 1, text, piece)
            if copy_of(statement) is CopyForm.FROM_CLIENT:
                waiting.append(len(statements))
                statement = replace(statement, data=CopyData(text, 0, 0, 0))
            statements.append(statement)
        elif piece.kind is PieceKind.COPY_DATA:
            index = waiting.popleft()
            data = CopyData(text, piece.start, piece.end, piece.line - statements[index].line)
            statements[index] = replace(statements[index], data=data)
    return tuple(statements)


def _statement(number: int, text: str, piece: Piece) -> Statement:
    first_words = words(text, piece.start, piece.end, most=_MOST_WORDS)
    return Statement(number, text[piece.start : piece.end], piece.line, piece.column, first_words)


def copy_of(statement: Statement) -> CopyForm | None:
    """Tell what a COPY reads from or writes to; None for other statements."""
    return copy_form(tokens(statement.sql)) if statement.words[:1] == ("COPY",) else None


def transaction_control(statement: Statement) -> str | None:
    """Name the command when a statement begins or ends a transaction; None for others.

    Savepoints (SAVEPOINT, RELEASE, ROLLBACK TO) stay inside the transaction and are none.
    """
    match statement.words:
        case ("BEGIN" | "COMMIT" | "END" | "ROLLBACK" | "ABORT" as command, *rest):
            return _ending(command, rest)
        case ("START", "TRANSACTION", *_):
            return "START TRANSACTION"
        case ("PREPARE", "TRANSACTION", *rest) if not rest:
            return "PREPARE TRANSACTION"
        case _:
            return None


def _ending(command: str, rest: list[str]) -> str | None:
    if rest[:1] == ["PREPARED"]:
        return f"{command} PREPARED"
    to_savepoint = command == "ROLLBACK" and "TO" in rest[:2]
    return None if to_savepoint else command


def is_setting(statement: Statement) -> bool:
    """Whether a statement only sets up its session: SET, RESET, or a SELECT of set_config alone.

    SET LOCAL, SET CONSTRAINTS and SET TRANSACTION are about the transaction they stand in, and are none.
    """
    match statement.words:
        case ("SET", "LOCAL" | "CONSTRAINTS" | "TRANSACTION", *_):
            return False
        case ("SET" | "RESET", *_):
            return True
        case ("SELECT", *_):
            beginning = [symbol for symbol in islice(tokens(statement.sql), _BEGINNING) if symbol != "."]
            return beginning[1:2] == ["SET_CONFIG"] or beginning[1:3] == ["PG_CATALOG", "SET_CONFIG"]
        case _:
            return False


def may_change_settings(statement: Statement) -> bool:
    """Whether settings of the session may be others after a statement: it sets them, or calls what may."""
    return not statement.words or statement.words[0] not in _KEEP_SETTINGS


_KEEP_SETTINGS: Final = frozenset(
    {"CREATE", "ALTER", "DROP", "COMMENT", "GRANT", "REVOKE", "TRUNCATE", "LOCK", "SAVEPOINT"}
)
"""First words of statements that do not change the settings of their session. Data is another matter: a trigger or a
function in an INSERT may call set_config."""


def is_plain(statement: Statement) -> bool:
    """Whether a statement is one of those that answer with no rows to speak of and change nothing about the session.

    Such statements can follow each other without an answer being waited for, and their answers be read whole.
    """
    return statement.words[:1] in _PLAIN and statement.data is None


_PLAIN: Final = {
    (word,)
    for word in ("CREATE", "ALTER", "DROP", "COMMENT", "GRANT", "REVOKE", "INSERT", "UPDATE", "DELETE", "TRUNCATE")
}


def is_about_rows(statement: Statement) -> bool:
    """Whether a statement reads and writes rows, and locks no more than these: INSERT, UPDATE, DELETE, MERGE, SELECT.

    What it calls may do anything, but seldom does.
    """
    return statement.words[:1] in _ABOUT_ROWS


_ABOUT_ROWS: Final = {(word,) for word in ("INSERT", "UPDATE", "DELETE", "MERGE", "SELECT", "WITH", "VALUES", "COPY")}


def needs_no_transaction(statement: Statement) -> str | None:
    """Name the command when the server refuses it inside a transaction block (SQLSTATE 25001); None for others.

    Source: the callers of PreventInTransactionBlock in PostgreSQL 13 to 18. Left to the server is what depends on the
    database: DROP SUBSCRIPTION (has it a slot?), REINDEX and CLUSTER of a partitioned table, procedures that commit.
    """
    rule = _NO_TRANSACTION.get(statement.words[0]) if statement.words else None
    return rule(tuple(islice(tokens(statement.sql), _BEGINNING)), statement.sql) if rule else None


def _create(beginning: Tokens, sql: str) -> str | None:
    match [symbol for symbol in beginning[1:4] if symbol != "UNIQUE"]:
        case ["INDEX", "CONCURRENTLY", *_]:
            return "CREATE INDEX CONCURRENTLY"
        case [("DATABASE" | "TABLESPACE") as what, *_]:
            return f"CREATE {what}"
        case ["SUBSCRIPTION", *_]:
            options = _options(sql)
            without_slot = options.get("CONNECT") in _OFF or options.get("CREATE_SLOT") in _OFF
            return None if without_slot else "CREATE SUBSCRIPTION with a replication slot"
        case _:
            return None


def _drop(beginning: Tokens, _sql: str) -> str | None:
    match beginning[1:3]:
        case ("INDEX", "CONCURRENTLY"):
            return "DROP INDEX CONCURRENTLY"
        case (("DATABASE" | "TABLESPACE") as what, _):
            return f"DROP {what}"
        case _:
            return None


def _alter(beginning: Tokens, sql: str) -> str | None:
    match beginning[1:]:
        case ("SYSTEM", *_):
            return "ALTER SYSTEM"
        case ("DATABASE", _, "SET", "TABLESPACE"):
            return "ALTER DATABASE … SET TABLESPACE"
        case ("TABLE", *_) if _detaches_concurrently(sql):
            return "ALTER TABLE … DETACH PARTITION … CONCURRENTLY"
        case ("SUBSCRIPTION", _, *action):
            return _alter_subscription(tuple(action), _options(sql))
        case _:
            return None


def _detaches_concurrently(sql: str) -> bool:
    # The end first: most statements are told by it alone, and long ones need not be read.
    concurrently = sql[-len("CONCURRENTLY") :].upper() == "CONCURRENTLY"
    return concurrently and ("DETACH", "PARTITION") in pairwise(tokens(sql))


def _alter_subscription(action: Tokens, options: Mapping[str, str]) -> str | None:
    match action:
        case ("REFRESH", what):
            return f"ALTER SUBSCRIPTION … REFRESH {what}"
        case (("SET" | "ADD" | "DROP") as verb, "PUBLICATION") if options.get("REFRESH") not in _OFF:
            return f"ALTER SUBSCRIPTION … {verb} PUBLICATION with refresh"
        case ("SET", "(") if "FAILOVER" in options:
            return "ALTER SUBSCRIPTION … SET (failover)"
        case ("SET", "(") if options.get("TWO_PHASE") in _OFF:
            return "ALTER SUBSCRIPTION … SET (two_phase = false)"
        case _:
            return None


def _reindex(_beginning: Tokens, sql: str) -> str | None:
    match tuple(outside_parentheses(tokens(sql)))[1:3]:
        case (("SCHEMA" | "DATABASE" | "SYSTEM") as what, *_):
            return f"REINDEX {what}"
        case (_, "CONCURRENTLY"):
            return "REINDEX CONCURRENTLY"
        case _:
            return None if _options(sql).get("CONCURRENTLY", "OFF") in _OFF else "REINDEX CONCURRENTLY"


def _cluster(_beginning: Tokens, sql: str) -> str | None:
    _, *table = (symbol for symbol in outside_parentheses(tokens(sql)) if symbol != "VERBOSE")
    return None if table else "CLUSTER without a table"


def _vacuum(_beginning: Tokens, _sql: str) -> str:
    return "VACUUM"


def _discard(beginning: Tokens, _sql: str) -> str | None:
    return "DISCARD ALL" if beginning[1:2] == ("ALL",) else None


_NO_TRANSACTION: Final[dict[str, Callable[[Tokens, str], str | None]]] = {
    "CREATE": _create,
    "DROP": _drop,
    "ALTER": _alter,
    "REINDEX": _reindex,
    "CLUSTER": _cluster,
    "VACUUM": _vacuum,
    "DISCARD": _discard,
}


def _options(sql: str) -> dict[str, str]:
    """Give what stands between parentheses as `NAME [=] [VALUE], …`, an absent value as the empty text."""
    options: list[list[str]] = []
    depth = 0
    for symbol in tokens(sql):
        depth += (symbol == "(") - (symbol == ")")
        if symbol in {"(", ","}:
            options.append([])
        elif depth > 0 and symbol != "=":
            options[-1].append(symbol.strip("'\"").upper())
    return {name: "".join(value) for name, *value in filter(None, options)}


def turns_off_standard_strings(statement: Statement) -> bool:
    """Whether a statement sets `standard_conforming_strings` to anything but on.

    After that the server would read a backslash in a plain string differently from `lex`.
    """
    match [word for word in statement.words[:3] if word not in {"SESSION", "LOCAL"}]:
        case ["SET", "STANDARD_CONFORMING_STRINGS", *_]:
            *_, value = tokens(statement.sql)
            return value.strip("'").upper() not in _ON
        case _:
            return False
