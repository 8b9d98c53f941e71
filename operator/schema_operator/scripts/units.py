"""Divide a script into units: what is committed together. Pure.

All of a script is one unit where it can be. A statement that the server refuses in a transaction is a unit of its
own, a `BEGIN … COMMIT` block of the script is one, and so is what stands between these. Settings (`SET`, `RESET`)
that stand outside of blocks belong to the unit after them: they prepare it, and a script that only puts some before
its block stays in one piece.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, NoReturn

from schema_operator.api.request import TransactionMode
from schema_operator.errors import Location, Reason, Refused
from schema_operator.scripts.committing import commits, committing_procedures
from schema_operator.scripts.statements import (
    Statement,
    is_setting,
    needs_no_transaction,
    statements_of,
    transaction_control,
)
from schema_operator.scripts.tokens import tokens, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from schema_operator.scripts.script import BatchKey, Source

_CALL: Final = re.compile(r"\bcall\b", re.IGNORECASE)
_CONCURRENTLY: Final = "CONCURRENTLY"
_ISOLATION_LEVELS: Final = {
    ("SERIALIZABLE",): "SERIALIZABLE",
    ("REPEATABLE", "READ"): "REPEATABLE READ",
    ("READ", "COMMITTED"): None,
    ("READ", "UNCOMMITTED"): None,
}
"""The level to ask for; None is what every transaction of a run has. The server treats READ UNCOMMITTED as READ
COMMITTED (PostgreSQL documentation, "Transaction Isolation")."""


class UnitKind(Enum):
    """How a unit is run."""

    TRANSACTION = auto()
    ALONE = auto()
    """One statement, outside of any transaction, because the server refuses it inside one."""
    BATCHES = auto()
    """One statement, again and again, each time for another range of rows and in a transaction of its own."""


@dataclass(frozen=True, slots=True)
class Unit:
    """What is committed together."""

    number: int
    """From 1, within its script."""
    kind: UnitKind
    statements: tuple[Statement, ...]
    count: int
    """How many statements the script has."""
    settings: tuple[Statement, ...] = ()
    """What sets the session up before; run again where a later run resumes at a unit after this one."""
    command: str = ""
    """What refuses a transaction, for example `CREATE INDEX CONCURRENTLY`; empty for a transaction."""
    isolation: str | None = None
    """Isolation level of the transaction, where its BEGIN asks for another than READ COMMITTED."""
    batch: BatchKey | None = None
    """By what it is done in batches; absent where it is not."""

    @property
    def checksum(self) -> str:
        """SHA-256, in hex, over the words and signs of the statements: blanks and comments do not count.

        The column counts by which it is done in batches.
        """
        digest = hashlib.sha256(b"" if self.batch is None else f"batch {self.batch}".encode())
        for statement in self.statements:
            for symbol in tokens(statement.sql):
                encoded = symbol.encode("utf-8", "surrogatepass")
                digest.update(b"%d:%b" % (len(encoded), encoded))
            digest.update(b";")
        return digest.hexdigest()

    @property
    def text(self) -> str:
        """The statements, for people."""
        return ";\n".join(statement.sql for statement in self.statements)


def units_of(source: Source) -> tuple[Unit, ...]:
    """Divide a script; a script without statements has no unit.

    Raises `Refused` with the place of the statement: TransactionControl, NeedsNoTransaction, SplitRequired,
    InvalidBatch, and SyntaxError as `lex` does.
    """
    return divide_for(source, statements_of(source))


def divide_for(source: Source, statements: Sequence[Statement]) -> tuple[Unit, ...]:
    """Divide the statements of a script as `units_of` does."""
    if source.batch is not None:
        from schema_operator.scripts.batched import batched_statement  # noqa: PLC0415 (most scripts are not)

        statement = batched_statement(source, statements)
        return (Unit(1, UnitKind.BATCHES, (statement,), 1, batch=source.batch),)
    units = divide(statements, source.transaction)
    if source.transaction is TransactionMode.REQUIRED:
        _require_one(units, len(statements))
    return units


def as_sent(source: Source, statements: tuple[Statement, ...]) -> tuple[Statement, ...]:
    """Give the statements of a script as the server will read them, but for their variables."""
    if source.batch is None:
        return statements
    from schema_operator.scripts.batched import with_parameters  # noqa: PLC0415 (most scripts are not)

    return tuple(with_parameters(one, first=False) for one in statements)


def divide(statements: Sequence[Statement], mode: TransactionMode) -> tuple[Unit, ...]:
    """Divide statements; raises `Refused` as `units_of` does, apart from what only `REQUIRED` refuses."""
    calls = any(statement.words[:1] == ("CALL",) for statement in statements)
    division = _Division(mode, len(statements), committing_procedures(statements) if calls else frozenset())
    for statement in statements:
        division.take(statement)
    return division.finish()


@dataclass(slots=True)
class _Division:
    """One pass over the statements of one script."""

    mode: TransactionMode
    count: int
    procedures: frozenset[str]
    """Those that the script itself creates and that commit."""
    units: list[Unit] = field(default_factory=list)
    loose: list[Statement] = field(default_factory=list)
    settings: list[Statement] = field(default_factory=list)
    begin: Statement | None = None
    """The BEGIN of the block we are in."""
    block: list[Statement] = field(default_factory=list)

    def take(self, statement: Statement) -> None:
        control = transaction_control(statement)
        if control is not None:
            self.control(statement, control)
        elif command := self.refuses_transaction(statement):
            self.alone(statement, command)
        elif self.begin is not None:
            self.block.append(statement)
        else:
            self.take_loose(statement)

    def refuses_transaction(self, statement: Statement) -> str | None:
        """Name the command of a statement that cannot be in a transaction."""
        if commits(statement, self.procedures) or (self.mode is TransactionMode.NEVER and _may_commit(statement)):
            return f"{statement.words[0]} of what commits"
        return needs_no_transaction(statement)

    def take_loose(self, statement: Statement) -> None:
        if is_setting(statement) and not self.loose:
            self.settings.append(statement)
            return
        self.loose.append(statement)
        if self.mode is TransactionMode.NEVER:
            self.end_loose()

    def control(self, statement: Statement, control: str) -> None:
        match control:
            case "BEGIN" | "START TRANSACTION" if self.begin is None:
                self.end_loose()
                self.begin = statement
            case "COMMIT" | "END" if self.begin is not None and _ends_plainly(statement):
                isolation = _isolation(self.begin, self.count)
                self.add(UnitKind.TRANSACTION, self.block, isolation=isolation)
                self.begin, self.block = None, []
            case _:
                self.refuse_control(statement, control)

    def alone(self, statement: Statement, command: str) -> None:
        if self.begin is not None:
            raise Refused(
                Reason.NEEDS_NO_TRANSACTION,
                f"{command} cannot run in a transaction, and here it stands between BEGIN and COMMIT; move it out of "
                "the block",
                _place(statement, self.count),
            )
        self.end_loose()
        self.add(UnitKind.ALONE, [statement], command=command)

    def end_loose(self) -> None:
        self.add(UnitKind.TRANSACTION, self.loose)
        self.loose = []

    def add(
        self, kind: UnitKind, statements: list[Statement], *, command: str = "", isolation: str | None = None
    ) -> None:
        if statements:
            settings, self.settings = tuple(self.settings), []
            self.units.append(
                Unit(len(self.units) + 1, kind, tuple(statements), self.count, settings, command, isolation)
            )

    def finish(self) -> tuple[Unit, ...]:
        if self.begin is not None:
            raise Refused(
                Reason.TRANSACTION_CONTROL,
                "the transaction that begins here is never committed; write COMMIT after its last statement, or leave "
                "BEGIN out: a script is one transaction by itself",
                _place(self.begin, self.count),
            )
        if not self.loose:
            self.take_last_settings()
        self.end_loose()
        return tuple(self.units)

    def take_last_settings(self) -> None:
        """Run settings that have nothing to prepare all the same, with what is before them."""
        last, self.settings = self.settings, []
        if self.units and self.units[-1].kind is UnitKind.TRANSACTION:
            self.units[-1] = replace(self.units[-1], statements=(*self.units[-1].statements, *last))
        else:
            self.loose = last

    def refuse_control(self, statement: Statement, control: str) -> NoReturn:
        raise Refused(
            Reason.TRANSACTION_CONTROL,
            f"{control} is not possible here: {_why(control, in_block=self.begin is not None)}",
            _place(statement, self.count),
        )


def _may_commit(statement: Statement) -> bool:
    """Whether a statement runs a procedure, of which the script cannot tell whether it commits."""
    match statement.words[:1]:
        case ("CALL",):
            return True
        case ("DO",):
            return _CALL.search(statement.sql) is not None
        case _:
            return False


def _why(control: str, *, in_block: bool) -> str:
    match control:
        case "BEGIN" | "START TRANSACTION":
            return "the transaction before it has no COMMIT; write one before it, or leave this one out"
        case "COMMIT" | "END" if in_block:
            return "a transaction of a script ends in a plain COMMIT; leave out AND CHAIN"
        case "COMMIT" | "END":
            return "no BEGIN belongs to it; leave it out (a script is one transaction by itself), or write BEGIN before"
        case "ROLLBACK" | "ABORT":
            return "a script that takes back what it did does nothing; remove it and what it takes back"
        case _:
            return (
                "a prepared transaction outlives the run, and nobody can tell what became of it; write the statements "
                "themselves"
            )


def _ends_plainly(statement: Statement) -> bool:
    """Whether a COMMIT or END is without AND CHAIN."""
    return words(statement.sql, most=4)[1:] in {(), ("WORK",), ("TRANSACTION",), ("AND", "NO", "CHAIN")}


def _isolation(begin: Statement, count: int) -> str | None:
    """Read the modes of a BEGIN; raises `Refused(TransactionControl)` for those that a migration cannot have."""
    symbols = [symbol for symbol in tokens(begin.sql) if symbol != ","]
    rest = symbols[2:] if symbols[1:2] in (["WORK"], ["TRANSACTION"]) else symbols[1:]
    isolation: str | None = None
    while rest:
        match rest:
            case ["ISOLATION", "LEVEL", "SERIALIZABLE" as level, *others]:
                isolation, rest = _ISOLATION_LEVELS[level,], others
            case ["ISOLATION", "LEVEL", first, second, *others] if (first, second) in _ISOLATION_LEVELS:
                isolation, rest = _ISOLATION_LEVELS[first, second], others
            case ["READ", "WRITE", *others] | ["NOT", "DEFERRABLE", *others]:
                rest = others
            case _:
                raise Refused(
                    Reason.TRANSACTION_CONTROL,
                    f"BEGIN with {' '.join(rest)} is not possible, because a migration writes and is not deferred; "
                    "leave it out",
                    _place(begin, count),
                )
    return isolation


def _require_one(units: Sequence[Unit], count: int) -> None:
    """Refuse what cannot be one transaction where the script says that it must."""
    for unit in units:
        if unit.kind is UnitKind.ALONE:
            raise Refused(
                Reason.NEEDS_NO_TRANSACTION,
                f"{unit.command} cannot run in a transaction, and this script says transaction=required; take that "
                "away, or move the statement to a version of its own",
                _place(unit.statements[0], count),
            )
    if len(units) > 1:
        raise Refused(
            Reason.SPLIT_REQUIRED,
            f"this script says transaction=required, but commits {len(units)} times; a failure after this place would "
            "leave what was committed before it; take its BEGIN and COMMIT away, or split it here into two versions",
            _place(units[1].statements[0], count),
        )


def _place(statement: Statement, count: int) -> Location:
    return Location(statement=statement.number, statements=count, line=statement.line, column=statement.column)


def waits_harmlessly(unit: Unit) -> bool:
    """Whether a statement that runs alone keeps nobody from reading and writing while it waits for a lock.

    The CONCURRENTLY forms and a plain VACUUM take SHARE UPDATE EXCLUSIVE (PostgreSQL documentation, "Explicit
    Locking").
    """
    (statement,) = unit.statements
    full = unit.command == "VACUUM" and "FULL" in tokens(statement.sql)
    return unit.command.endswith(_CONCURRENTLY) or (unit.command == "VACUUM" and not full)


def settings_of(units: Iterable[Unit]) -> tuple[Statement, ...]:
    """Give the statements of units that set the session up, for a session that has not run the units themselves."""
    return tuple(
        statement for unit in units for statement in (*unit.settings, *unit.statements) if is_setting(statement)
    )


def transactions_of(source: Source, statements: Sequence[Statement]) -> tuple[tuple[Statement, ...], ...]:
    """Give the statements of each transaction that a script is divided into; raises as `units_of` does."""
    return tuple(unit.statements for unit in divide_for(source, statements) if unit.kind is UnitKind.TRANSACTION)


def is_atomic(units: Sequence[Unit]) -> bool:
    """Whether a script is committed as a whole, with its row of the history, so that a failure leaves nothing."""
    return len(units) <= 1 and all(unit.kind is UnitKind.TRANSACTION for unit in units)
