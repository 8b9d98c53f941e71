"""The working session: one transaction after another, each begun as if the session were new.

Statements of scripts are sent as the bytes they are: none is prepared, nothing is replaced, `%` means nothing. `run`
sends one by the simple protocol and drops rows as they come, so that a statement that returns many costs no memory.
`pipeline` sends many by the extended one and waits for no answer in between; it is for statements that return no rows
to speak of.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, LiteralString

import psycopg
from psycopg import generators, pq, sql
from psycopg.errors import error_from_result
from psycopg.waiting import Ready, Wait

from schema_operator.errors import NOWHERE, Failed, Location, PartlyApplied, Reason
from schema_operator.postgres import queries
from schema_operator.postgres.diagnosis import server_error, warning
from schema_operator.postgres.locks import Wanted
from schema_operator.postgres.queries import Message
from schema_operator.postgres.server_error import ServerError, ServerFailure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg.abc import PQGen
    from psycopg.errors import Diagnostic
    from psycopg.pq.abc import PGconn, PGresult

    from schema_operator.postgres.connecting import Connection

QUERIES: Final = queries.load(Path(__file__).with_name("queries.sql"))
STALL: Final = 0.5
"""Seconds that waiting for a lock in the server's queue may take where nothing else is said: of our own statements."""
_FIRST_TICK_SECONDS: Final = 0.01
_TICK_SECONDS: Final = 0.1
COMMIT: Final = b"COMMIT"
_COMMIT_WAITS: Final = "synchronous_commit"
_LEVELS: Final = ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")
_SHUTDOWN_STATES: Final = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03", "25P04"})
_IDLE_SESSION_TIMEOUT_SINCE = 140000
_TRANSACTION_TIMEOUT_SINCE = 170000
_CONNECTION_CHECK_SINCE = 140000
_FENCE_COLUMNS: Final = 3
"""By which the answer of the fence is told from the others of its message."""

Tick = Callable[[float], None]
"""Called about ten times a second while a statement runs, with the seconds it has run."""


@dataclass(frozen=True, slots=True)
class PipelineFailure:
    """Which message of a pipeline failed, from 0, and why."""

    number: int
    failure: ServerFailure


class CommitLost(Exception):
    """The connection was lost at COMMIT: committed or not, the database knows."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a session learnt of its server."""

    pid: int
    encoding: str
    database: str
    linux: bool
    may_identify: bool
    version: str
    version_number: int


@dataclass(frozen=True, slots=True)
class Begun:
    """How a transaction began."""

    fenced: bool
    """Whether the fence is ours."""
    guarded: bool
    """Whether our guard session still holds its locks; only known when fenced."""
    transaction: str
    """The transaction's id."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What a transaction begins with."""

    pinned: bool = False
    """Whether our own statements come first: then the search_path is pinned."""
    keeps: bool = False
    """Whether it goes on with a script: then what the script has set stays."""
    isolation: str | None = None
    """Isolation level; READ COMMITTED when absent."""
    lasting: bool = True
    """Whether its COMMIT waits for the disk. One that does not is covered by the next one that does: what is written
    ahead is written in order."""


OURS: Final = Opening(pinned=True)
"""For statements of ours in a session like new."""
SCRIPT: Final = Opening()
"""For the first transaction of a script."""


class Session:
    """A session for transactions: `begin`, `run` and `query` as needed, then `commit` or `rollback`."""

    def __init__(
        self, connection: Connection, facts: Facts, role: str | None, on_warning: Callable[[str], None]
    ) -> None:
        """Take a connection; `on_warning` is called with what may be shown of the server's warnings, as they come."""
        self._connection = connection
        self._facts = facts
        self._role = role
        self._become = sql.SQL("SET ROLE {}").format(sql.Identifier(role)) if role else None
        self._lock_timeout = _milliseconds(STALL)
        self.longest_wait = STALL
        """Seconds that the statement before may have waited for one lock, by the last of our limits."""
        self._beginnings: dict[tuple[object, ...], bytes] = {}
        """The messages with which transactions were begun: to write one costs half of what sending it does."""
        self._on_warning = on_warning
        connection.add_notice_handler(self._notice)
        self.pid = connection.info.backend_pid
        self.started = ""
        """When the server began this session, to know it again; empty until `recognise` was called."""

    def _notice(self, notice: Diagnostic) -> None:
        if (text := warning(notice)) is not None:
            self._on_warning(text)

    @property
    def lost(self) -> bool:
        """Whether the connection is gone."""
        return self._connection.pgconn.status != pq.ConnStatus.OK

    @property
    def user(self) -> str:
        """The user that is logged in."""
        return self._connection.info.user

    def become(self) -> None:
        """Take on the role of the connection, where it names one, outside any transaction; raises `ServerFailure`."""
        if self._become is not None:
            self._exchange(self._become.as_bytes(None))

    def recognise(self) -> None:
        """Learn when the server began this session; nothing where the role may not see it."""
        rows = self.query(QUERIES["backend_start"])
        self.started = str(rows[0][0] or "") if rows else ""

    def begin(
        self, keys: dict[str, int], opening: Opening = OURS, *, read_only: bool = False, lock_timeout: float = STALL
    ) -> Begun:
        """Begin a transaction and try to take the fence, in one round trip.

        `keys` are the guard's, `lock_timeout` is in seconds. Raises `ServerFailure`.
        """
        self._limit(lock_timeout)
        kind = (*keys.values(), opening, read_only, lock_timeout)
        if kind not in self._beginnings:
            self._beginnings[kind] = self._beginning(keys, opening, read_only=read_only)
        return _begun(self._exchange(self._beginnings[kind]))

    def _beginning(self, keys: dict[str, int], opening: Opening, *, read_only: bool) -> bytes:
        """Write the message that begins a transaction."""
        access = sql.SQL("READ ONLY" if read_only else "READ WRITE")
        isolation = sql.SQL(_literal_level(opening.isolation))
        first = QUERIES["begin_again" if opening.keeps else "begin"].format(access=access, isolation=isolation)
        parts = (
            first,
            self._own_settings(become=not opening.keeps),
            *(() if opening.keeps else (QUERIES["pin"],)),
            QUERIES["fence"].format(**keys),
            *(() if opening.pinned else (QUERIES["unpin_again" if opening.keeps else "unpin"],)),
            *(() if opening.lasting else (sql.SQL("SET LOCAL {} = off").format(sql.Identifier(_COMMIT_WAITS)),)),
        )
        return _message(parts)

    @staticmethod
    def messages_to_start() -> list[Message]:
        """Give the messages with which a pipeline of transactions starts, in a session like new, pinned."""
        return [Message(b"DISCARD ALL"), Message(QUERIES["pin"].as_bytes(None))]

    def messages_to_begin(self, keys: dict[str, int], lock_timeout: float, *, lasting: bool) -> list[Message]:
        """Give the messages of a pipeline that begin a transaction like a new session's, fenced and pinned.

        Without `lasting`, its COMMIT does not wait for the disk. The next one that does covers it: what is written
        ahead is written in order.
        """
        further = [*self._newer_settings(), *([] if lasting else [(_COMMIT_WAITS, "off")])]
        calls = [sql.SQL("set_config({}, {}, false),").format(name, value) for name, value in further]
        fence = QUERIES["begin_fenced"].format(
            **keys, lock_timeout=f"{_milliseconds(lock_timeout)}ms", settings=sql.SQL(" ").join(calls)
        )
        begin = QUERIES["begin_plain"].as_bytes(None).split(b";")
        role = [] if self._become is None else [self._become.as_bytes(None)]
        return [Message(part) for part in (*begin, QUERIES["pin"].as_bytes(None), fence.as_bytes(None), *role)]

    @staticmethod
    def message_to_unpin() -> Message:
        """Give the message of a pipeline after which the search_path is the script's."""
        return Message(QUERIES["unpin"].as_bytes(None))

    @staticmethod
    def message_to_impose(lock_timeout: float) -> Message:
        """Give the message of a pipeline that does what `impose` does."""
        return Message(_imposed(_milliseconds(lock_timeout)))

    def pipeline(
        self, messages: Sequence[Message], done: Callable[[int, PGresult], None], tick: Tick
    ) -> PipelineFailure | None:
        """Send messages one after the other without waiting for answers; `done` is called with each as it comes.

        Gives the first failure, with the number of its message; nothing after that was run, and a transaction that is
        open then is of no more use. Raises `ServerFailure` where the connection is lost.
        """
        pgconn = self._connection.pgconn
        with self._translated():
            pgconn.enter_pipeline_mode()
            for one in messages:
                _send(pgconn, one)
            pgconn.pipeline_sync()
        failure: PipelineFailure | None = self._drive(_answers(pgconn, done), tick)
        with self._translated():
            pgconn.exit_pipeline_mode()
        return failure

    def begin_alone(self, keys: dict[str, int]) -> Begun:
        """Take the fence for a statement outside of any transaction; `end_alone` gives it back."""
        parts = (QUERIES["save_path"], QUERIES["own_alone"].format(**keys), QUERIES["return_path"])
        return _begun(self._exchange(_message(parts)))

    def renew(self) -> None:
        """Make the session like new for a script, outside of any transaction."""
        self._exchange(_message((QUERIES["renew"], self._own_settings())))

    def limit_alone(self, lock_timeout: float) -> None:
        """Set the limits for a statement outside of any transaction; `lock_timeout` is in seconds."""
        self._limit(lock_timeout)
        self._exchange(self._own_settings(become=False).as_bytes(None))

    def _limit(self, lock_timeout: float) -> None:
        self._lock_timeout = _milliseconds(lock_timeout)
        self.longest_wait = lock_timeout

    def end_alone(self, keys: dict[str, int]) -> None:
        """Give the fence back; nothing where the connection is gone, because the server does the same."""
        query = QUERIES["leave_alone"].format(lock_class=keys["lock_class"], fence=keys["fence"])
        with suppress(ServerFailure):
            if not self.lost:
                self._exchange(query.as_bytes(None))

    def resolve(self, relations: Sequence[tuple[str | None, str, str]], *, keeps: bool) -> tuple[Wanted, ...]:
        """Find relations, given as schema, name and lock mode, outside of any transaction.

        Those that are not there are left out, and an index brings its table along. `keeps` as in `Opening`.
        """
        names = [sql.Identifier(*filter(None, (schema, name))).as_string(None) for schema, name, _ in relations]
        query = QUERIES["resolve"].format(names=names, modes=[mode for _, _, mode in relations])
        parts = (query,) if keeps else (QUERIES["unpin"], query)
        with suppress(ServerFailure):
            results = self._exchange(_message(parts))
            rows = [(one.get_value(row, 0), one.get_value(row, 1)) for one in results for row in range(one.ntuples)]
            return tuple(Wanted(int(oid or 0), (mode or b"").decode()) for oid, mode in rows)
        return ()

    def impose(self) -> None:
        """Put back those of our limits that a script has weakened, in the middle of its transaction."""
        self.longest_wait = self._lock_timeout / 1000
        self._exchange(_imposed(self._lock_timeout))

    def be_patient(self, seconds: float) -> None:
        """Let the statements that follow wait longer for locks, until `impose`."""
        self.longest_wait = seconds
        self._exchange(sql.SQL("SET lock_timeout = {}").format(_milliseconds(seconds)).as_bytes(None))

    def begin_look(self) -> None:
        """Begin a transaction that takes no lock of ours, writes nothing and sees one state, the search_path pinned."""
        begin = sql.SQL("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        self._exchange(_message((begin, self._own_settings(), QUERIES["pin"])))

    def unpin(self) -> None:
        """Let what follows run with the search_path of the role and the database."""
        self._exchange(QUERIES["unpin"].as_bytes(None))

    def restore(self) -> None:
        """Become ourselves again after a script, within its transaction, with the search_path pinned."""
        self.longest_wait = self._lock_timeout / 1000
        self._exchange(_message((QUERIES["restore"], self._own_settings(), QUERIES["pin"])))

    def step_aside(self, further: sql.SQL | None = None) -> None:
        """Become ourselves for the rest of the transaction; the script's settings are there again in the next.

        `further` settings for that rest are made in the same round trip.
        """
        self._exchange(_message((self._aside(), *([] if further is None else [further]))))

    def messages_to_step_aside(self, further: sql.SQL) -> list[Message]:
        """Give the messages of a pipeline that do what `step_aside` does."""
        return [Message(part) for part in (*self._aside().as_bytes(None).split(b";"), further.as_bytes(None)) if part]

    def _aside(self) -> sql.Composed:
        role = sql.Identifier(self._role) if self._role else sql.SQL("NONE")
        return QUERIES["step_aside"].format(role=role)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Be ourselves for a block in the middle of a script's transaction, where its names mean the same.

        The schemas of its search_path are named one by one: with another role, `$user` would be another.
        """
        ((user, role, path, timeout, schemas),) = self.query(QUERIES["whereabouts"])
        own = sql.Identifier(self._role) if self._role else sql.SQL("NONE")
        self._exchange(QUERIES["aside"].format(role=own, schemas=schemas).as_bytes(None))
        yield
        before = sql.SQL("NONE") if role == "none" else sql.Identifier(role)
        back = QUERIES["back"].format(user=sql.Identifier(user), role=before, search_path=path, timeout=timeout)
        self._exchange(back.as_bytes(None))

    def run(
        self,
        statement: str,
        tick: Tick | None = None,
        on_row: Callable[[PGresult], None] | None = None,
        rows: Iterable[bytes] | None = None,
    ) -> None:
        """Run one statement of a script; raises `ServerFailure`, and `Failed` where it began a COPY without `rows`.

        `rows` are what a COPY … FROM STDIN reads: bytes as they stand in the script, cut anywhere.
        """
        failure: ServerFailure | None = None
        for result in self._results(statement.encode(), tick):
            if result.status == pq.ExecStatus.FATAL_ERROR:
                failure = ServerFailure(_server_error(error_from_result(result, encoding="utf-8"), lost=self.lost))
            elif result.status == pq.ExecStatus.COPY_IN and rows is not None:
                self._copy_in(rows, tick)
            elif result.status in {pq.ExecStatus.COPY_IN, pq.ExecStatus.COPY_OUT, pq.ExecStatus.COPY_BOTH}:
                self.close()  # because nothing else gets a session out of COPY for certain
                raise Failed(
                    Reason.COPY_NOT_SUPPORTED,
                    "COPY between the client and the server is not supported in scripts; write INSERT statements",
                )
            elif on_row is not None and result.nfields:
                on_row(result)
        if failure is not None:
            raise failure

    def _copy_in(self, rows: Iterable[bytes], tick: Tick | None) -> None:
        """Send the rows of a COPY; what the server says to them is its next result."""
        try:
            self._drive(_sending(self._connection.pgconn, rows), tick)
        except BaseException:
            self.close()  # because the session is still in COPY
            raise

    def _results(self, message: bytes, tick: Tick | None) -> Iterator[PGresult]:
        """Send a message and give its results as they come, rows one by one."""
        pgconn = self._connection.pgconn
        with self._translated():
            pgconn.send_query(message)
            pgconn.set_single_row_mode()
        self._drive(generators.send(pgconn), tick)
        last: PGresult | None = None
        while True:
            try:
                result: PGresult | None = self._drive(generators.fetch(pgconn), tick)
            except ServerFailure:
                # The server's last words, if it had any, say more than that the connection is gone.
                if last is not None and last.status == pq.ExecStatus.FATAL_ERROR:
                    return
                raise
            if result is None:
                return
            last = result
            yield result

    def query(
        self, query: sql.SQL | sql.Composed, parameters: dict[str, object] | None = None
    ) -> list[tuple[Any, ...]]:
        """Run one statement of ours, with parameters apart from its text, and give its rows."""
        with self._translated():
            cursor = self._connection.execute(query, parameters, prepare=False)
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def undone(self, *, read_only: bool = False) -> Iterator[None]:
        """Run a block inside a savepoint that is rolled back whatever happens, so that it leaves nothing."""
        self._exchange(b"SAVEPOINT schema_operator" + (b"; SET LOCAL transaction_read_only = on" if read_only else b""))
        yield
        try:
            self._exchange(b"ROLLBACK TO SAVEPOINT schema_operator; RELEASE SAVEPOINT schema_operator")
        except ServerFailure as failure:
            if failure.error.lost:
                raise
            raise transaction_ended() from None

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open and unharmed."""
        return self._connection.pgconn.transaction_status == pq.TransactionStatus.INTRANS

    def commit(self) -> None:
        """Commit.

        Raises `CommitLost` when the connection goes before the answer comes, `ServerFailure` when the server refuses
        (a deferred constraint), in which case the transaction was rolled back.
        """
        try:
            (result,) = self._exchange(b"COMMIT")
        except ServerFailure as failure:
            if failure.error.lost or self.lost:
                raise CommitLost from failure
            raise
        if result.command_status != b"COMMIT":
            raise transaction_ended()

    def rollback(self) -> None:
        """Roll back what is open; nothing happens where the connection is gone, because the server does the same."""
        with suppress(ServerFailure):
            if not self.lost and self._connection.pgconn.transaction_status != pq.TransactionStatus.IDLE:
                self._exchange(b"ROLLBACK")

    def cancel(self) -> None:
        """Ask the server to cancel the statement that runs."""
        with suppress(psycopg.Error):
            self._connection.cancel_safe(timeout=5.0)

    def close(self) -> None:
        """End the session; the server rolls back what is open."""
        self._connection.close()

    def _own_settings(self, *, become: bool = True) -> sql.Composable:
        extra = [sql.SQL("SET {} = {}").format(sql.Identifier(name), value) for name, value in self._newer_settings()]
        role = [self._become] if become and self._become is not None else []
        return sql.SQL(";").join([*role, QUERIES["limits"].format(lock_timeout=self._lock_timeout), *extra])

    def _newer_settings(self) -> list[tuple[str, str]]:
        """Give the settings that not every server has."""
        number = self._facts.version_number
        newer = [
            (number >= _IDLE_SESSION_TIMEOUT_SINCE, "idle_session_timeout", "0"),
            (number >= _TRANSACTION_TIMEOUT_SINCE, "transaction_timeout", "0"),
            # A runner that is killed leaves its statement running; with this the server looks and ends it.
            (number >= _CONNECTION_CHECK_SINCE and self._facts.linux, "client_connection_check_interval", "500ms"),
        ]
        return [(name, value) for possible, name, value in newer if possible]

    def _exchange(self, message: bytes) -> list[PGresult]:
        """Send one message of statements of ours and give their results; raises `ServerFailure`."""
        with self._translated():
            pgconn = self._connection.pgconn
            pgconn.send_query(message)
            results: list[PGresult] = self._connection.wait(generators.execute(pgconn))
            for result in results:
                if result.status == pq.ExecStatus.FATAL_ERROR:
                    raise error_from_result(result, encoding="utf-8")
            return results

    def _drive(self, generator: PQGen[Any], tick: Tick | None) -> Any:
        with self._translated():
            return wait(generator, self._connection.pgconn.socket, tick)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise ServerFailure(_server_error(error, lost=self.lost)) from None


def _send(pgconn: PGconn, one: Message) -> None:
    if one.prepares:
        pgconn.send_prepare(one.name, one.sql)
    elif one.name:
        pgconn.send_query_prepared(one.name, one.parameters)
    else:
        types = (*one.types, *[0] * (len(one.parameters) - len(one.types))) if one.types else None
        pgconn.send_query_params(one.sql, one.parameters or None, types)
    if one.sql == COMMIT:
        pgconn.send_flush_request()


def _answers(pgconn: PGconn, done: Callable[[int, PGresult], None]) -> PQGen[PipelineFailure | None]:
    """Read the answers to the messages of a pipeline up to its end, as they come; give the first failure."""
    failure: PipelineFailure | None = None
    number = 0
    while True:
        unsent = pgconn.flush()
        ready = yield Wait.RW if unsent else Wait.R
        if not ready & Ready.R:
            continue
        pgconn.consume_input()
        while not pgconn.is_busy():
            result = pgconn.get_result()
            # None stands after the answer to each message, and also where there is nothing more for now.
            if result is None and (pgconn.is_busy() or (result := pgconn.get_result()) is None):
                break
            if result.status == pq.ExecStatus.PIPELINE_SYNC:
                return failure
            if result.status == pq.ExecStatus.FATAL_ERROR:
                error = error_from_result(result, encoding="utf-8")
                lost = pgconn.status != pq.ConnStatus.OK
                failure = failure or PipelineFailure(number, ServerFailure(_server_error(error, lost=lost)))
            elif failure is None:
                done(number, result)
            number += 1


def wait(generator: PQGen[Any], descriptor: int, tick: Tick | None) -> Any:
    """Run one of psycopg's generators to its end, calling `tick` while nothing comes.

    psycopg's own functions wait without telling anybody.
    """
    began = last = time.monotonic()
    poll = select.poll()
    try:
        wanted = next(generator)
        while True:
            poll.register(descriptor, _EVENTS[wanted])
            pause = min(max(_FIRST_TICK_SECONDS, (last - began) / 2), _TICK_SECONDS)
            ready = poll.poll(pause * 1000)
            now = time.monotonic()
            if tick is not None and now - last >= pause:
                last = now
                tick(now - began)
            wanted = generator.send(_ready(ready[0][1])) if ready else wanted
    except StopIteration as end:
        return end.value


def _sending(pgconn: PGconn, rows: Iterable[bytes]) -> PQGen[None]:
    """Send rows, and the end of them. Other than psycopg's `copy_to`, read meanwhile.

    A trigger's notices can fill the way back until the server waits for us to read, while we wait for it to do so.
    """
    for chunk in rows:
        while pgconn.put_copy_data(chunk) == 0:
            yield from generators.send(pgconn)
        yield from generators.send(pgconn)
    while pgconn.put_copy_end() == 0:
        yield from generators.send(pgconn)
    yield from generators.send(pgconn)


_EVENTS: Final = {
    Wait.R: select.POLLIN,
    Wait.W: select.POLLOUT,
    Wait.RW: select.POLLIN | select.POLLOUT,
}


def _ready(events: int) -> Ready:
    """Say what a descriptor is ready for; one with an error is ready for both, so that libpq finds the error."""
    readable = events & ~select.POLLOUT
    writable = events & ~select.POLLIN
    if readable and writable:
        return Ready.RW
    return Ready.R if readable else Ready.W


def transaction_ended(location: Location = NOWHERE) -> PartlyApplied:
    """Give the error of a script that ended the transaction it was run in."""
    return PartlyApplied(
        Reason.TRANSACTION_CONTROL,
        "the script ended the transaction it was run in, so what it did before may have stayed; remove COMMIT and "
        "ROLLBACK from it and from what it calls, and look at what is there",
        location,
    )


def facts(connection: Connection) -> Facts:
    """Ask a server what it is; the caller has pinned the search_path."""
    row: tuple[Any, ...] | None = connection.execute(QUERIES["facts"], prepare=False).fetchone()
    if row is None:
        raise ServerFailure(ServerError(message="the server answered a question about itself with nothing"))
    pid, encoding, database, linux, may_identify = row
    version = connection.info.parameter_status("server_version") or ""
    number = connection.info.server_version
    return Facts(pid, encoding, database, linux, may_identify, version.partition(" ")[0], number)


def _begun(results: list[PGresult]) -> Begun:
    (*_, row) = (result for result in results if result.nfields == _FENCE_COLUMNS)
    return Begun(row.get_value(0, 0) == b"t", row.get_value(0, 1) == b"t", (row.get_value(0, 2) or b"").decode())


def _literal_level(level: str | None) -> LiteralString:
    """Vouch for an isolation level by finding it among those there are."""
    return next(one for one in _LEVELS if one == (level or _LEVELS[0]))


def _imposed(lock_timeout: int) -> bytes:
    text = f"{lock_timeout}ms"
    return QUERIES["impose"].format(lock_timeout=text, lock_timeout_text=text).as_bytes(None)


def _milliseconds(seconds: float) -> int:
    """Give a timeout as the server counts it; 0 would mean none."""
    return max(1, round(seconds * 1000))


def _message(parts: tuple[sql.Composable, ...]) -> bytes:
    return sql.SQL(";\n").join(parts).as_bytes(None)


def _server_error(error: psycopg.Error, *, lost: bool) -> ServerError:
    return server_error(error.diag, lost=lost or error.diag.sqlstate in _SHUTDOWN_STATES)
