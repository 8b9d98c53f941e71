"""What the steps of a run share: the request, the two sessions, and what was learnt so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from schema_operator import __version__
from schema_operator.history.records import Author
from schema_operator.postgres.connecting import connect
from schema_operator.postgres.guard import Guard
from schema_operator.postgres.session import Session
from schema_operator.runner.outcome import Findings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schema_operator.api.request import RunRequest
    from schema_operator.history.records import History
    from schema_operator.postgres.address import Address
    from schema_operator.postgres.locks import Wanted
    from schema_operator.postgres.session import Facts
    from schema_operator.runner.report import Reporter
    from schema_operator.runner.stop import Stop
    from schema_operator.scripts.locking import RelationName

APPLICATION = "schema-operator"
T = TypeVar("T")


class Workplace:
    """A run's tools. Sessions can be replaced (after a lost COMMIT); findings are succeeded by newer ones."""

    def __init__(self, request: RunRequest, reporter: Reporter, stop: Stop, *, only_looks: bool = False) -> None:
        self.request = request
        self.only_looks = only_looks
        """Whether the run only says what it would do: then it takes no lock, and every transaction is read-only."""
        self.reporter = reporter
        self.stop = stop
        self.findings = Findings(owner=self.owner)
        self.wanted: tuple[Wanted, ...] = ()
        """The locks that the present transaction needs, as far as that is known."""
        self.told: list[str] = []
        """What the present transaction has to say for itself, once it is committed."""
        self._address: Address | None = None
        self._guard: Guard | None = None
        self._session: Session | None = None
        self._facts: Facts | None = None

    @property
    def owner(self) -> str | None:
        """The resource this run is for, `namespace/name`; None where a person runs it without one."""
        return self.request.resource.owner if self.request.resource else None

    @property
    def author(self) -> Author:
        """Who is written down for what this run does."""
        resource = self.request.resource
        return Author(
            actor=self.request.actor,
            run=self.request.run,
            owner=self.owner,
            resource_uid=(resource.uid or None) if resource else None,
            program=f"{APPLICATION} {__version__}",
            reason=self.request.emergency,
        )

    @property
    def guard(self) -> Guard:
        """The guard session."""
        return _there(self._guard)

    @property
    def session(self) -> Session:
        """The working session."""
        return _there(self._session)

    @property
    def facts(self) -> Facts:
        """What the server is."""
        return _there(self._facts)

    @property
    def address(self) -> Address:
        """Where the database is."""
        return _there(self._address)

    @property
    def history(self) -> History:
        """The history as this run knows it."""
        return _there(self.findings.now)

    def open_guard(self, address: Address) -> None:
        """Open the guard session, without its lock, and learn what the server is; replaces one that was lost."""
        if self._guard is not None:
            self._guard.close()
        self._address = address
        with self.stop.at_once():
            self._guard = Guard(connect(address, self._application()))
        self._facts = self._guard.facts()

    def open_session(self) -> None:
        """Open the working session; replaces one that was lost."""
        if self._session is not None:
            self._session.close()
        with self.stop.at_once():
            connection = connect(self.address, self._application())
        self._session = Session(connection, self.facts, self.address.role, self._warned)

    def _warned(self, text: str) -> None:
        """Pass on what the server warns of, once: an attempt that is made again says it again."""
        self.warn(f"the server says: {text}")

    def tell(self, sentence: str) -> None:
        """Say something at the end of the run, if the present transaction is committed; each thing once."""
        if sentence not in self.told:
            self.told.append(sentence)

    def warn(self, sentence: str) -> None:
        """Warn, once: an attempt that is made again warns again."""
        if sentence not in self.findings.warnings:
            self.findings = self.findings.with_warning(sentence)
            self.reporter.warn(sentence)

    def resolved(self, names: Sequence[RelationName], *, keeps: bool) -> tuple[Wanted, ...]:
        """Find the relations a transaction will lock; for those that do not exist yet nobody can be in the way."""
        if not names:
            return ()
        return self.session.resolve([(one.schema, one.name, one.mode.catalog_name) for one in names], keeps=keeps)

    def close(self) -> None:
        """End both sessions, the working one first, so that the guard outlives what it guards."""
        if self._session is not None:
            self._session.close()
        if self._guard is not None:
            self._guard.close()

    def _application(self) -> str:
        return f"{APPLICATION}/{self.owner}" if self.owner else APPLICATION


def _there(value: T | None) -> T:
    if value is None:
        raise RuntimeError("a step was taken before the one that opens what it needs")
    return value
