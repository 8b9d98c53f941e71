"""How a run ended, as a report. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from schema_operator.api.history_state import NOBODY
from schema_operator.api.report import (
    Action,
    Outcome,
    Place,
    PlannedVersion,
    PlanSummary,
    RunReport,
    Server,
    VerificationReport,
)
from schema_operator.api.version import NOTHING
from schema_operator.errors import (
    Failed,
    Location,
    LockHeld,
    OutcomeUnknown,
    PartlyApplied,
    Reason,
    Refused,
    Retryable,
    SchemaOperatorError,
    Stopped,
    VerificationFailed,
)
from schema_operator.runner.held import concerning, described
from schema_operator.runner.history_state import state_of

if TYPE_CHECKING:
    from schema_operator.api.history_state import HistoryState
    from schema_operator.api.version import Version
    from schema_operator.history.records import AppliedVersion, History
    from schema_operator.runner.plan import Plan
    from schema_operator.scripts.script import ScriptSet

OUTCOMES: Final[tuple[tuple[type[SchemaOperatorError], Outcome], ...]] = (
    (Refused, Outcome.REFUSED),
    (Retryable, Outcome.RETRYABLE),
    (Failed, Outcome.FAILED),
    (VerificationFailed, Outcome.VERIFICATION_FAILED),
    (PartlyApplied, Outcome.PARTLY_APPLIED),
    (OutcomeUnknown, Outcome.UNKNOWN),
    (LockHeld, Outcome.LOCK_HELD),
    (Stopped, Outcome.STOPPED),
)
_VERSIONS_LISTED: Final = 10
_MOST_TOLD: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a run has learnt and done so far."""

    owner: str | None = None
    action: Action = Action.NONE
    """What the plan is about; a plan with both is named by what people must see, the rollback."""
    planned: int = 0
    """How many versions the plan rolls back and applies; 0 before it is made."""
    goal: Version | None = None
    """The version to reach; None before it is decided what to do."""
    wanted: frozenset[Version] = frozenset()
    """The versions of the scripts up to the wanted one: applied by whomever, they say how far the schema is."""
    server: Server | None = None
    before: History | None = None
    """The history before the run; None until it was read."""
    now: History | None = None
    applied: tuple[str, ...] = ()
    rolled_back: tuple[str, ...] = ()
    baselined: tuple[str, ...] = ()
    """Versions that were recorded as applied and not run."""
    warnings: tuple[str, ...] = ()
    """What must be said although the run goes on."""
    told: tuple[str, ...] = ()
    """What was done beside: archived, put back."""
    verification: tuple[VerificationReport, ...] = ()
    blocker: str | None = None
    shown: tuple[PlannedVersion, ...] | None = None
    """What was shown of the plan, where showing it was all that was asked for."""
    summary: PlanSummary | None = None
    """That plan in short."""
    inspected: HistoryState | None = None
    """What is applied, where an inspection has read it."""

    def with_history(self, history: History) -> Findings:
        """Give the findings after the history was read."""
        return replace(self, before=history, now=history)

    def with_plan(self, decided: Plan, scripts: ScriptSet) -> Findings:
        """Give the findings after it was decided what to do."""
        action = Action.ROLLBACK if decided.rollbacks else Action.APPLY if decided.applies else Action.NONE
        wanted = frozenset(one.version for one in scripts.scripts if one.version <= decided.wanted)
        planned = len(decided.rollbacks) + len(decided.applies)
        return replace(self, action=action, planned=planned, goal=decided.wanted, wanted=wanted)

    def with_baseline(self, versions: tuple[AppliedVersion, ...]) -> Findings:
        """Give the findings after versions were recorded as applied."""
        now = self.now.with_applied(*versions) if self.now else self.now
        return replace(self, now=now, baselined=tuple(one.version.text for one in versions))

    def with_warning(self, sentence: str) -> Findings:
        """Give the findings with something more to say at the end."""
        return replace(self, warnings=(*self.warnings, sentence))

    def percent(self, statement: float, statements: int) -> int | None:
        """Say how much of the plan is done while a statement runs, each version counting alike; None without a plan.

        1.5 is in the middle of the first statement.
        """
        if not self.planned:
            return None
        return int(100 * (len(self.applied) + len(self.rolled_back) + (statement - 1) / statements) / self.planned)

    def with_applied(self, version: AppliedVersion) -> Findings:
        """Give the findings after a version was committed."""
        now = self.now.with_applied(version) if self.now else self.now
        return replace(self, now=now, applied=(*self.applied, version.version.text))

    def with_rolled_back(self, version: AppliedVersion) -> Findings:
        """Give the findings after a rollback was committed."""
        now = self.now.without(version.version) if self.now else self.now
        return replace(self, now=now, rolled_back=(*self.rolled_back, version.version.text))

    def with_verification(self, reports: tuple[VerificationReport, ...]) -> Findings:
        """Give the findings after verifications were run."""
        return replace(self, verification=(*self.verification, *reports))


def report_of(run: str, findings: Findings, error: SchemaOperatorError | None, seconds: float) -> RunReport:
    """Write the report of a run that ended well (`error` is None) or with an error."""
    versions = (*findings.rolled_back, *findings.applied)
    return RunReport(
        run=run,
        outcome=outcome_of(error),
        action=findings.action,
        reason="" if error is None else error.reason.value,
        message=_success(findings) if error is None else str(error),
        version_before=_highest(findings.before, findings) or NOTHING,
        version=_highest(findings.now, findings),
        versions=versions[-_VERSIONS_LISTED:],
        versions_count=len(versions),
        place=None if error is None else _place(error.location),
        verification=findings.verification,
        blocker=findings.blocker,
        server=findings.server,
        plan=findings.shown,
        planned=findings.summary,
        wanted=findings.goal.text if findings.goal else None,
        pending=_pending(findings, error),
        history=_state(findings, error),
        seconds=round(seconds, 3),
    )


def _pending(findings: Findings, error: SchemaOperatorError | None) -> int | None:
    """Count the scripts up to the wanted version that are not applied."""
    if findings.now is None or findings.goal is None or isinstance(error, OutcomeUnknown):
        return None
    return sum(findings.now.get(version) is None for version in findings.wanted)


def _state(findings: Findings, error: SchemaOperatorError | None) -> HistoryState | None:
    """Give what is applied; nothing where the outcome of a COMMIT is unknown, because then nobody knows."""
    if findings.now is None or isinstance(error, OutcomeUnknown):
        return findings.inspected
    return state_of(findings.now, own=findings.owner or NOBODY, wanted=findings.wanted)


def outcome_of(error: SchemaOperatorError | None) -> Outcome:
    """Give the exit code of an error.

    A version that fails after others of the same run were committed is `FAILED` too: it was rolled back whole, and the
    earlier ones are whole. `PARTLY_APPLIED` is for a version that is itself applied in part.
    """
    if error is None:
        return Outcome.DONE
    return next((outcome for kind, outcome in OUTCOMES if isinstance(error, kind)), Outcome.FAILED)


def internal_error(kind: str) -> Failed:
    """Give the error for a mistake of this program; `kind` is the exception's class, its text may hold anything."""
    return Failed(
        Reason.INTERNAL_ERROR,
        f"schema-operator made a mistake ({kind}); what was not committed was rolled back; the traceback is in the "
        "log, please report it",
    )


def _highest(history: History | None, findings: Findings) -> str | None:
    """Give the version the schema has, for this resource: the highest that is its own or among its scripts."""
    if history is None:
        return None
    highest = history.highest(findings.owner, findings.wanted)
    return NOTHING if highest is None else highest.text


def _success(findings: Findings) -> str:
    if findings.inspected is not None:
        return _found(findings.inspected)
    if findings.shown is not None:
        return _would(findings, findings.shown)
    parts = []
    if findings.baselined:
        parts.append(f"Recorded {_listed(findings.baselined)} as applied, without running (baseline).")
    if findings.rolled_back:
        parts.append(f"Rolled back {_listed(findings.rolled_back)}.")
    if findings.applied:
        parts.append(f"Applied {_listed(findings.applied)}.")
    nothing = not parts
    if nothing:
        parts.append("Nothing to do.")
    parts.extend(_told(findings.told))
    parts.append(f"The schema is at version {_highest(findings.now, findings) or NOTHING}.")
    if nothing:
        parts.extend(_by_hand(findings))
    return " ".join((*parts, *_warnings(findings.warnings)))


def _found(state: HistoryState) -> str:
    """Say what an inspection has found."""
    if not state.versions:
        return "No version is applied."
    versions = "1 version is applied" if state.versions == 1 else f"{state.versions} versions are applied"
    return f"{versions}; the highest is {state.version} (of {state.owner or 'no resource, by hand without --as'})."


def _by_hand(findings: Findings) -> tuple[str, ...]:
    """Say what a person rolled back in SQL, where that is how the schema came to be as it is."""
    held = concerning(findings.now, findings.owner, findings.wanted) if findings.now else ()
    return (f"R{described(held)[1:]}.",) if held else ()


def _told(told: tuple[str, ...]) -> tuple[str, ...]:
    """Give the first things that were done beside; the others are in the log."""
    more = (f"{len(told) - _MOST_TOLD} more like this are in the log.",) if len(told) > _MOST_TOLD else ()
    return (*(f"{one}." for one in told[:_MOST_TOLD]), *more)


def _warnings(warnings: tuple[str, ...]) -> tuple[str, ...]:
    """Give the first warning whole; the others are in the log."""
    if not warnings:
        return ()
    more = f" ({len(warnings) - 1} more in the log)" if len(warnings) > 1 else ""
    return (f"Warning: {warnings[0]}.{more}",)


def _would(findings: Findings, planned: tuple[PlannedVersion, ...]) -> str:
    """Say what a run would do; nothing was done."""
    versions = {action: tuple(one.version for one in planned if one.action is action) for action in Action}
    deeds = {
        Action.NONE: "record {} as applied without running (baseline)",
        Action.ROLLBACK: "roll back {}",
        Action.APPLY: "apply {}",
    }
    parts = [deed.format(_listed(versions[action])) for action, deed in deeds.items() if versions[action]]
    present = f"The schema is at version {_highest(findings.now, findings) or NOTHING}; nothing was changed."
    other = f" Another run is at work and may change that: {findings.blocker}." if findings.blocker else ""
    would = f"A run would {', then '.join(parts)}." if parts else "Nothing to do."
    by_hand = () if parts else _by_hand(findings)
    return " ".join((f"{would} {present}{other}", *by_hand, *_warnings(findings.warnings)))


def _listed(versions: tuple[str, ...]) -> str:
    if len(versions) <= _VERSIONS_LISTED:
        return ", ".join(versions)
    return f"{len(versions)} versions from {versions[0]} to {versions[-1]}"


def _place(location: Location) -> Place | None:
    if location == Location():
        return None
    return Place(
        version=location.version,
        file=location.file,
        statement=location.statement,
        statements=location.statements,
        line=location.line,
        column=location.column,
        sqlstate=location.sqlstate,
    )
