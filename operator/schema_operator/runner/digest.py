"""The digest of a plan: what a person who approves it says yes to. Pure.

It covers the database the plan is for, what is applied in it, each step with its texts and the values that are filled
in, and the rules that change what a step does. It does not cover what only says when, how patiently or for whom to
read: descriptions, limits for locks, retries, names of files, the order in which acknowledgements are written.

What an earlier run has begun and what is only cleared away for it is not covered either: of an approved plan that was
interrupted, the rest is done without asking again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from schema_operator.api.report import Action
from schema_operator.scripts.script import ScriptKind
from schema_operator.scripts.variables import used

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from schema_operator.api.request import RunRequest
    from schema_operator.history.records import AppliedVersion
    from schema_operator.scripts.script import Script, Source

_FORM: Final = "schema-operator plan, form 1"
"""Hashed first: a later form never gives a digest of this one."""


@dataclass(frozen=True, slots=True)
class Place:
    """The database a plan is for."""

    system_identifier: str
    database: str
    role: str
    """Role the scripts run as; empty for that of the connection."""


@dataclass(frozen=True, slots=True)
class Step:
    """What is done to one version, as far as the digest goes."""

    action: Action
    """Apply or Rollback; None for a version that is recorded and not run."""
    version: str
    texts: tuple[tuple[str, ...], ...]
    """Of each script: its kind, checksum, and how it is run."""
    variables: tuple[tuple[str, str], ...]
    """What is filled in, sorted by name."""
    said: tuple[str, ...] = ()
    """What the header of the script requires and allows."""
    in_batches: bool = False


def applied(script: Script, variables: Mapping[str, str], action: Action = Action.APPLY) -> Step:
    """Describe a version that is applied or, with `Action.NONE`, recorded and not run."""
    sources = tuple(script.sources)
    return Step(
        action,
        script.version.text,
        tuple(_text(kind, source) for kind, source in sources),
        _filled_in((source for _, source in sources), variables),
        (*(f"requires {one}" for one in script.requires), *(f"allow {one}" for one in script.allow)),
        script.up.batch is not None,
    )


def rolled_back(version: str, down: Source, variables: Mapping[str, str]) -> Step:
    """Describe a version that is rolled back with the script that is stored in the database."""
    return Step(
        Action.ROLLBACK,
        version,
        (_text(ScriptKind.DOWN, down),),
        _filled_in((down,), variables),
        in_batches=down.batch is not None,
    )


def digest(
    place: Place, request: RunRequest, owner: str | None, history: Sequence[AppliedVersion], steps: Sequence[Step]
) -> str:
    """Give the digest, SHA-256 in hex, of the steps that are to be taken from a history; it has what is applied."""
    in_batches = any(step.in_batches for step in steps)
    covered = (
        _FORM,
        place,
        owner,
        [(one.owner, one.version.text, one.checksum) for one in history],
        steps,
        [msgspec.structs.astuple(one) for one in request.verify],
        sorted(set(request.allow)),
        msgspec.structs.astuple(request.archives),
        sorted(request.requires.versions),
        msgspec.structs.astuple(request.batches) if in_batches else None,
    )
    return hashlib.sha256(msgspec.json.encode(covered)).hexdigest()


def _text(kind: ScriptKind, source: Source) -> tuple[str, ...]:
    return (
        kind.value,
        source.checksum,
        source.transaction.value,
        "rows" if source.copy_data_allowed else "",
        "" if source.restores else "keeps",
        str(source.batch or ""),
    )


def _filled_in(sources: Iterable[Source], variables: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    names = frozenset[str]().union(*(used(source.text, variables) for source in sources)) if variables else frozenset()
    return tuple((name, variables[name]) for name in sorted(names))
