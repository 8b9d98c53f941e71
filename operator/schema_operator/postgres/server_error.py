"""What the server said about an error, and what is known beside it. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from schema_operator.errors import NOWHERE, Location
from schema_operator.postgres.naming import qualified


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerError:
    """What the server said about an error. `lost` means that the connection is gone, with or without last words.

    Its DETAIL and its CONTEXT are not kept, because they hold rows and queries; of them, only names are (see
    `diagnosis`).
    """

    sqlstate: str | None = None
    message: str = ""
    hint: str | None = None
    position: int | None = None
    """Of the error in the statement, in characters from 1."""
    schema: str | None = None
    table: str | None = None
    column: str | None = None
    constraint: str | None = None
    key_columns: tuple[str, ...] = ()
    """Columns of the key that rows share, lack or exclude each other by."""
    key_table: str | None = None
    """The other table of a foreign key, without its schema."""
    data_line: int | None = None
    """The line of a COPY's rows that was read last, from 1."""
    dependants: tuple[str, ...] = ()
    """What depends on the object that was to be dropped or changed, each with its kind: `view v`."""
    raised: bool = False
    """Whether a function raised it (RAISE, ASSERT, plpy.error and so on), so that its texts may hold anything."""
    routine: str | None = None
    """The function that raised it, with the types of its arguments."""
    routine_line: int | None = None
    lost: bool = False

    @property
    def relation(self) -> str:
        """The table's name with its schema, as far as they are known, as SQL writes it."""
        return qualified(self.schema, self.table)


class ServerFailure(Exception):
    """A statement ended in an error of the server; `sqlstate.to_error` makes of it what users see.

    `script` are the statements of the script up to the one that failed, that one last. They are only looked at for
    names, and never shown.
    """

    def __init__(self, error: ServerError, location: Location = NOWHERE, script: tuple[str, ...] = ()) -> None:
        super().__init__(error, location)
        self.error = error
        self.location = location
        self.script = script


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What is known about a failure beside what the server said. Every part may be absent; none holds a value."""

    version: str | None = None
    nothing_recorded: bool = False
    """Whether the history is empty, so that a baseline is possible."""
    rows_there: bool | None = None
    """Whether the rows of a violated constraint were there before (the statement changes a table, not rows)."""
    condition: str | None = None
    """The condition of a CHECK, with `…` for literals."""
    search_path: str | None = None
    elsewhere: tuple[str, ...] = ()
    """Schemas, outside of the search_path, in which there is a relation of the name that was not found."""
    role: str | None = None
    object_schema: str | None = None
    """The schema of the object that the role lacks a right for."""
    owner: str | None = None
    """The owner of that object."""
    privilege: str | None = None
    """What the statement needs, as GRANT calls it."""
    database: str | None = None
    referenced: str | None = None
    """The table a foreign key points to, as SQL writes it."""
    referenced_columns: tuple[str, ...] = ()
    dependants: tuple[str, ...] = ()
    """As in `ServerError`, where more is known than the server said."""
    raised: str | None = None
    """The text of a RAISE, with `…` for what was filled in."""


NOTHING_KNOWN = Circumstances()
