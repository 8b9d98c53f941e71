"""Extensions: which of those that are required a database lacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from schema_operator.postgres.session import QUERIES

if TYPE_CHECKING:
    from schema_operator.postgres.session import Session


@dataclass(frozen=True, slots=True)
class MissingExtension:
    """An extension that is not installed in the database."""

    name: str
    available: str | None
    """The version the server could install; None where it does not have the extension's files."""


def missing_extensions(session: Session, names: Sequence[str]) -> tuple[MissingExtension, ...]:
    """Give those of some extensions that are not installed, in their order; the transaction is pinned."""
    rows = session.query(QUERIES["missing_extensions"], {"names": list(names)})
    return tuple(MissingExtension(*row) for row in rows)
