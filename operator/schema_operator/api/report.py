"""What a runner tells: progress lines while it works, one report at the end.

Progress is decoration, the outcome is evidence: the controller shows the one and decides on the other.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum, unique

import msgspec

from schema_operator.api.history_state import HistoryState
from schema_operator.api.request import Record

TERMINATION_MESSAGE_LIMIT = 4096
"""Bytes the kubelet keeps of a termination message (Kubernetes documentation, "Determine the Reason for Pod
Failure")."""
MESSAGE_LIMIT = 500
"""Characters kept of a sentence in a report, so that a report fits the termination message."""

OWNERS_KEPT = (30, 10, 3)
"""How many owners of versions are named in a report that would be too long; at 380 bytes each, three always fit."""


_PLAN_STEPS = (20, 8, 3)
"""How much is kept of a plan that does not fit."""


@unique
class Outcome(IntEnum):
    """How a run ended. The values are the runner's exit codes."""

    DONE = 0
    RETRYABLE = 10
    REFUSED = 20
    FAILED = 21
    VERIFICATION_FAILED = 22
    PARTLY_APPLIED = 30
    UNKNOWN = 31
    LOCK_HELD = 40
    STOPPED = 143


@unique
class Action(StrEnum):
    """What a run does to the schema."""

    APPLY = "Apply"
    ROLLBACK = "Rollback"
    NONE = "None"


@unique
class VerificationResult(StrEnum):
    """How a verification ended."""

    PASSED = "Passed"
    FAILED = "Failed"
    ERROR = "Error"


class VerificationReport(Record, frozen=True, kw_only=True):
    """One verification: what it expected and what it found."""

    name: str
    result: VerificationResult
    version: str | None = None
    expected: str | None = None
    found: str | None = None


class Place(Record, frozen=True, kw_only=True):
    """The statement an error belongs to; lines and columns count from 1."""

    version: str | None = None
    file: str | None = None
    statement: int | None = None
    statements: int | None = None
    line: int | None = None
    column: int | None = None
    sqlstate: str | None = None


class PlannedVersion(Record, frozen=True, kw_only=True):
    """What a run would do to one version."""

    version: str
    action: Action
    """Apply or Rollback; None for a version that would be recorded and not run (a baseline)."""
    file: str
    """The script that would be run: for a rollback, the stored one."""
    statements: int
    """How many statements it has."""
    units: int = 1
    """In how many parts it would be committed."""
    atomic: bool = True
    """Whether it would be committed as a whole, so that a failure leaves nothing of it."""
    in_batches: bool = False
    """Whether it would be done in batches of rows, each committed by itself."""


class PlanSummary(Record, frozen=True, kw_only=True):
    """A plan in short: its digest, and how much it is."""

    digest: str
    """SHA-256, in hex, of all that a person says yes to; see `runner.digest`."""
    position: int
    """Where the history stood when the plan was made."""
    rollbacks: int
    """How many versions would be rolled back."""
    applies: int
    """How many versions would be applied."""
    recorded: int
    """How many versions would be recorded and not run (a baseline)."""


class Server(Record, frozen=True, kw_only=True):
    """What the runner learnt of the server it talked to."""

    version: str
    """As `server_version` says it, for example `18.4`."""
    system_identifier: str
    """Of the cluster, from `pg_control_system()`; empty where the role may not ask."""
    database: str


class Progress(Record, frozen=True, kw_only=True):
    """One line of progress.

    `step` is one of Connecting, WaitingForLock, Installing, Planning, Applying, RollingBack, Verifying.
    """

    step: str
    message: str
    version: str | None = None
    statement: int | None = None
    statements: int | None = None
    percent: int | None = None


class RunReport(Record, frozen=True, kw_only=True):
    """The end of a run."""

    run: str
    outcome: Outcome
    action: Action = Action.NONE
    reason: str = ""
    """A `Reason` where something went wrong; empty when done."""
    message: str
    version_before: str = "0"
    version: str | None = None
    """Highest version of this resource in the history after the run; absent when the history was not read."""
    versions: tuple[str, ...] = ()
    """Versions this run applied or rolled back, in order; the last ten when there are more."""
    versions_count: int = 0
    place: Place | None = None
    verification: tuple[VerificationReport, ...] = ()
    blocker: str | None = None
    """Who holds what was waited for: pid, application, state, age."""
    server: Server | None = None
    plan: tuple[PlannedVersion, ...] | None = None
    """What would be done, in order; only where a run was asked for its plan, and did nothing. In a termination message
    it may be the beginning of the plan."""
    planned: PlanSummary | None = None
    """The whole plan in short, where `plan` is there."""
    wanted: str | None = None
    """The version that was to be reached; absent where nothing was decided."""
    pending: int | None = None
    """How many of the scripts up to it are not applied after the run; absent where nothing was decided."""
    history: HistoryState | None = None
    """What is applied in the database after the run; absent when the history was not read, or may have changed since it
    was."""
    seconds: float = 0.0


class LogLine(Record, frozen=True, kw_only=True):
    """One line of the runner's log, exactly one of the two set."""

    time: str
    progress: Progress | None = None
    report: RunReport | None = None


def for_termination_message(report: RunReport) -> bytes:
    """Write a report so that it fits `TERMINATION_MESSAGE_LIMIT` bytes, dropping the least telling parts first.

    A verification that failed is kept longer than one that passed; the message is cut before the reason.
    """
    long = msgspec.structs.replace(report, message=report.message[:MESSAGE_LIMIT])
    short = msgspec.structs.replace(long, plan=None)
    few, fewer, fewest = (report.history and report.history.cut(most) for most in OWNERS_KEPT)
    beginnings = tuple(
        msgspec.structs.replace(long, plan=report.plan[:most], history=history)
        for most, history in zip(_PLAN_STEPS, (few, fewer, fewest), strict=True)
        if report.plan
    )
    candidates = (
        report,
        *beginnings,
        msgspec.structs.replace(short, verification=_cut(report.verification, 200, 20), history=few),
        msgspec.structs.replace(short, verification=_cut(report.verification, 80, 8), history=fewer),
        msgspec.structs.replace(short, verification=(), versions=report.versions[-3:], history=fewer),
        msgspec.structs.replace(
            short,
            message=report.message[:120],
            verification=(),
            versions=(),
            blocker=None,
            server=None,
            place=None,
            history=fewest,
        ),
    )
    for candidate in candidates:
        encoded = msgspec.json.encode(candidate)
        if len(encoded) <= TERMINATION_MESSAGE_LIMIT:
            return encoded
    return encoded[:TERMINATION_MESSAGE_LIMIT]


def _cut(items: tuple[VerificationReport, ...], width: int, most: int) -> tuple[VerificationReport, ...]:
    failed_first = sorted(items, key=lambda item: item.result is VerificationResult.PASSED)
    return tuple(
        msgspec.structs.replace(
            item,
            name=item.name[:width],
            expected=item.expected and item.expected[:width],
            found=item.found and item.found[:width],
        )
        for item in failed_first[:most]
    )


def decode(data: bytes) -> RunReport:
    """Read a report from a termination message; raises `msgspec.ValidationError` or `msgspec.DecodeError`."""
    return msgspec.json.decode(data, type=RunReport)
