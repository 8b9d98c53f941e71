"""Foresee archives: say before anything is run what cannot be archived that a script will destroy.

Only what is there already can be judged, and only under the name it has now. What an earlier pending statement may
change is left to the moment of the statement itself, where everything is looked at again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from schema_operator.errors import Failed, Location, Reason, Refused
from schema_operator.history import store
from schema_operator.history.records import Direction
from schema_operator.postgres.queries import identifier
from schema_operator.postgres.sqlstate import ServerFailure, Verdict, explain
from schema_operator.runner.report import Step
from schema_operator.runner.steps.archives import ISOLATION, NO_KEY, REMEDIES, TOO_LARGE, archiving
from schema_operator.runner.steps.rollback import stored_down
from schema_operator.runner.steps.scripted import place_of
from schema_operator.runner.transaction import failed, look
from schema_operator.scripts.destruction import as_json, destroyed_by
from schema_operator.scripts.units import units_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from schema_operator.runner.plan import Plan
    from schema_operator.runner.steps.archives import Archiving
    from schema_operator.runner.workplace import Workplace
    from schema_operator.scripts.destruction import Destroyed
    from schema_operator.scripts.script import Source

_STATES: Final = {"NoKey": NO_KEY, "ArchiveTooLarge": TOO_LARGE}
_SETS_PATH: Final = re.compile(r"search_path", re.IGNORECASE)
_CHANGES: Final = {
    "NoKey": re.compile(r"\b(?:unique|primary|rename|create\s+table)\b", re.IGNORECASE),
    "ArchiveTooLarge": re.compile(r"\b(?:delete|truncate|drop)\b", re.IGNORECASE),
}
"""What an earlier statement has in it that may take a problem of a table away."""


@dataclass(frozen=True, slots=True)
class _Script:
    """A script that is about to run."""

    version: str
    source: Source
    variables: Mapping[str, str]
    how: Archiving


@dataclass(frozen=True, slots=True)
class _Destroying:
    """A statement that destroys something, as far as can be said before it runs."""

    place: Location
    destroyed: tuple[Destroyed, ...]
    how: Archiving
    before: int
    """How many pending statements come before it."""
    isolated: bool
    """Whether it is in a transaction that does not see what others commit."""


class _Foreseen(msgspec.Struct, frozen=True):
    """What `schema_operator.foresee_archives` says about one thing."""

    name: str
    what: str
    problem: str | None = None
    sentence: str | None = None


@dataclass(frozen=True, slots=True)
class _Pending:
    """What the scripts of a plan destroy, and put back."""

    destroying: tuple[_Destroying, ...]
    restores: tuple[str, ...]
    texts: tuple[str, ...]
    """Of all statements, in their order."""


def foresee_archives(work: Workplace, decided: Plan) -> None:
    """Look at all that pending scripts will destroy.

    Raises `Refused`: NoKey, ArchiveTooLarge, TransactionControl, and PermissionDenied with the GRANTs to run.
    """
    if pending := _pending(work, decided):
        try:
            foreseen = look(work, partial(_asked, work, pending), pinned=True)
        except Failed as known:
            raise Refused(known.reason, known.sentence, known.location) from None
        _judge_all(work, pending, foreseen)


def foresee_first_archives(work: Workplace, decided: Plan) -> None:
    """Do the same for a first run, in the open transaction that has just made the control schema.

    Raises as `foresee_archives` does, and `ServerFailure` where another attempt may help.
    """
    if pending := _pending(work, decided):
        try:
            foreseen = _asked(work, pending)
        except ServerFailure as failure:
            if explain(failure.error).verdict is Verdict.TRY_AGAIN:
                raise
            work.session.rollback()
            known = failed(work, failure)
            raise Refused(known.reason, known.sentence, known.location) from None
        _judge_all(work, pending, foreseen)


def _pending(work: Workplace, decided: Plan) -> _Pending | None:
    if not work.request.archives.archives:
        return None
    texts: list[str] = []
    found = tuple(one for script in _scripts(work, decided) for one in _destroying(script, texts))
    restores = tuple(one.version.text for one in decided.rollbacks)
    return _Pending(found, restores, tuple(texts)) if found or restores else None


def _scripts(work: Workplace, decided: Plan) -> Iterator[_Script]:
    """Give the scripts in the order in which they will run."""
    for applied in decided.rollbacks:
        if how := archiving(work, Direction.ROLLBACK):
            source, variables = look(work, partial(stored_down, work, applied.version), pinned=True)
            yield _Script(applied.version.text, source, variables, how)
    for script in decided.applies:
        if how := archiving(work, Direction.APPLY, script.allow):
            yield _Script(script.version.text, script.up, work.request.variables, how)


def _destroying(script: _Script, texts: list[str]) -> Iterator[_Destroying]:
    """Give the statements of a script that destroy something, and put the texts of all of them into `texts`."""
    sets_path = False
    within = Location(version=script.version, file=script.source.file)
    for unit in units_of(script.source):
        for written in (*unit.settings, *unit.statements):
            statement = written.filled_in(script.variables)
            destroyed = tuple(
                one for one in destroyed_by(statement) if one.schema is not None or not sets_path or not one.by_name
            )
            if destroyed:
                place = place_of(statement, unit.count, within)
                yield _Destroying(place, destroyed, script.how, len(texts), unit.isolation is not None)
            texts.append(statement.sql)
            sets_path = sets_path or _SETS_PATH.search(statement.sql) is not None


def _asked(work: Workplace, pending: _Pending) -> list[tuple[_Destroying, list[_Foreseen]]]:
    """Ask the server, in a transaction; nothing where it has no control schema yet, as in a plan of the first run."""
    found, restores = pending.destroying, pending.restores
    enough = store.archive_rights(work.session)
    if enough is None or not (found or any(store.restorable(work.session, version) for version in restores)):
        return []
    if not enough:
        raise _denied(work, found[0].place if found else Location(version=restores[0]))
    statements = ", ".join(f'{{"destroyed": {as_json(one.destroyed)}, "policy": {one.how.as_json}}}' for one in found)
    work.session.unpin()
    answers = store.foresee_archives(work.session, f"[{statements}]")
    return [(found[number - 1], msgspec.json.decode(text, type=list[_Foreseen])) for number, text in answers]


def _judge_all(work: Workplace, pending: _Pending, foreseen: list[tuple[_Destroying, list[_Foreseen]]]) -> None:
    for one, things in foreseen:
        for thing in things:
            _judge(work, one, thing, pending.texts[: one.before])


def _judge(work: Workplace, one: _Destroying, thing: _Foreseen, before: tuple[str, ...]) -> None:
    if one.isolated:
        reason, remedy = REMEDIES[ISOLATION]
        raise Refused(
            reason,
            f"{thing.what} cannot be archived in a transaction that does not see what others commit; {remedy}",
            one.place,
        )
    if thing.problem is not None and not _may_change(thing, before):
        reason, remedy = REMEDIES[_STATES[thing.problem]]
        if not one.how.skips(reason):
            raise Refused(reason, f"{thing.sentence}; {remedy}", one.place)
        if work.only_looks:
            work.warn(f"{one.place}: {thing.what} would be destroyed without an archive: {thing.sentence}")
    elif work.only_looks:
        work.reporter.note(Step.PLANNING, f"{thing.what} would be archived", version=one.place.version)


def _may_change(thing: _Foreseen, before: tuple[str, ...]) -> bool:
    """Whether a statement before may change what is wrong with a table."""
    name = thing.name.rpartition(".")[2].strip('"').lower()
    pattern = _CHANGES[thing.problem or ""]
    return any(name in text.lower() and pattern.search(text) for text in before)


def _denied(work: Workplace, place: Location) -> Refused:
    """Name the GRANTs with which archives can be made and put back."""
    name = work.address.role or work.session.user
    role = identifier(name)
    return Refused(
        Reason.PERMISSION_DENIED,
        f"the role {name} may not keep archives of what scripts destroy in the schema schema_operator; as its owner, "
        f"run: GRANT USAGE, CREATE ON SCHEMA schema_operator TO {role}; GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA "
        f"schema_operator TO {role}; GRANT EXECUTE ON ALL ROUTINES IN SCHEMA schema_operator TO {role}; or set "
        "policy.archives.mode (--archives) to Off",
        place,
    )
