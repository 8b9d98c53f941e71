"""One run, from beginning to end. Docs: docs/design, "A run, step by step"."""

from __future__ import annotations

import sys
import time
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from schema_operator.api.request import Acknowledgement, Mode, VerifyWhen
from schema_operator.api.version import Version
from schema_operator.errors import Reason, Refused, Retryable, SchemaOperatorError
from schema_operator.history.records import History
from schema_operator.runner.batches import Simple, grouped
from schema_operator.runner.moved import require_forward
from schema_operator.runner.outcome import internal_error, report_of
from schema_operator.runner.plan import Plan, plan
from schema_operator.runner.report import Step
from schema_operator.runner.steps.apply import apply
from schema_operator.runner.steps.archives import drop_expired
from schema_operator.runner.steps.baseline import find_baseline, record_baseline
from schema_operator.runner.steps.batch import apply_batch
from schema_operator.runner.steps.connect import address_of, connect
from schema_operator.runner.steps.edits import judge_edits
from schema_operator.runner.steps.expected import require_expected
from schema_operator.runner.steps.held import mark_seen
from schema_operator.runner.steps.install import history_of, present_history, require_recordable
from schema_operator.runner.steps.own import own, visit
from schema_operator.runner.steps.planned import require_planned, summarise
from schema_operator.runner.steps.requirements import require_extensions, require_keys
from schema_operator.runner.steps.rollback import rollback
from schema_operator.runner.steps.show import show
from schema_operator.runner.steps.units import abandon
from schema_operator.runner.steps.verify import after_commit, require_single_statements
from schema_operator.runner.workplace import Workplace
from schema_operator.scripts import reading
from schema_operator.scripts.check import check
from schema_operator.scripts.script import ScriptSet
from schema_operator.scripts.units import transactions_of
from schema_operator.scripts.variables import used

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from schema_operator.api.report import RunReport
    from schema_operator.api.request import RunRequest, Verification
    from schema_operator.postgres.address import Address
    from schema_operator.runner.report import Reporter
    from schema_operator.runner.stop import Stop
    from schema_operator.scripts.script import Script

_MOST_IGNORED_NAMED: Final = 10
_MOST_WARNINGS: Final = 10
_PER_MAJOR: Final = 10_000
"""180004 is PostgreSQL 18.4."""


def run(
    request: RunRequest, address: Address | None, reporter: Reporter, stop: Stop, *, only_plan: bool = False
) -> RunReport:
    """Do what a request asks and give the report; never raises for what can go wrong in a run.

    `address` is for callers that have one; without it, the request says where the credentials are. With `only_plan`,
    or where the request asks for the plan, what would be done is in the report, no lock is taken, and nothing is
    changed.
    """
    began = time.monotonic()
    work = Workplace(request, reporter, stop, only_looks=only_plan or request.mode in (Mode.INSPECT, Mode.PLAN))
    error: SchemaOperatorError | None = None
    try:
        with stop.listening():
            _inspect(work, address) if request.mode is Mode.INSPECT else _run(work, address)
    except SchemaOperatorError as known:
        error = known
    except Exception as unknown:  # noqa: BLE001 (the report must be written whatever happens)
        # Frames only: the text of an exception may hold a password or rows.
        sys.stderr.writelines(traceback.format_tb(unknown.__traceback__))
        error = internal_error(type(unknown).__name__)
    finally:
        work.close()
    return report_of(request.run, work.findings, error, time.monotonic() - began)


def _inspect(work: Workplace, address: Address | None) -> None:
    from schema_operator.runner.steps.inspection import inspect  # noqa: PLC0415 (only an inspection pays)

    inspect(work, address or _address(work.request))


def _run(work: Workplace, address: Address | None) -> None:
    _require_versions(work.request)
    scripts = scripts_of(work.request)
    if scripts.ignored:
        work.reporter.note(Step.PLANNING, _ignored(scripts.ignored))
    if one_way := _one_way(scripts):
        work.reporter.note(Step.PLANNING, one_way)
    if unused := _unused(scripts, work.request.variables):
        work.reporter.note(Step.PLANNING, unused)
    require_single_statements(work.request.verify)
    connect(work, address or _address(work.request))
    require_expected(work)
    if work.only_looks:
        _look(work, scripts)
        return
    own(work)
    work.reporter.progress(Step.PLANNING, "reading the history")
    checked: list[Plan] = []
    reading = history_of(
        work,
        lambda: checked.append(_plan_of_the_first(work, scripts)),
        lambda: _foresee_first_archives(work, checked[-1]),
    )
    work.findings = work.findings.with_history(reading.history)
    mark_seen(work, scripts, recordable=reading.recordable)
    decided = _plan(work, scripts)
    work.findings = work.findings.with_plan(decided, scripts)
    require_planned(work, decided, scripts)
    if decided.changes and not reading.recordable:
        require_recordable(work)
    if not checked:
        _check_pending(work, decided)
        require_keys(work, decided)
        _foresee_archives(work, decided)
    _carry_out(work, decided, scripts)
    if reading.expired:
        drop_expired(work)


def _plan_of_the_first(work: Workplace, scripts: ScriptSet) -> Plan:
    """Plan and check the first run on a database, before it has a history: what is refused must leave nothing there."""
    work.findings = work.findings.with_history(History())
    decided = _plan(work, scripts)
    require_planned(work, decided, scripts, first=True)
    _check_pending(work, decided)
    require_keys(work, decided)
    return decided


def _look(work: Workplace, scripts: ScriptSet) -> None:
    """Plan as a run does, but without a lock and without installing anything, and show the plan."""
    visit(work)
    work.reporter.progress(Step.PLANNING, "reading the history")
    work.findings = work.findings.with_history(_history_to_plan_upon(work))
    decided = _plan(work, scripts)
    work.findings = work.findings.with_plan(decided, scripts)
    _check_pending(work, decided)
    require_keys(work, decided)
    _foresee_archives(work, decided)
    show(work, decided)
    summarise(work, decided)


def _history_to_plan_upon(work: Workplace) -> History:
    """Read the history and change nothing.

    Where it must be upgraded before it can be read, a person who asks for a plan is told so. A controller that may do
    nothing before its plan is approved has nobody to tell: there, the history is upgraded, under the lock.
    """
    try:
        return present_history(work)
    except Refused as refused:
        if refused.reason is not Reason.CONTROL_SCHEMA_OLDER or work.request.mode is not Mode.PLAN:
            raise
    work.only_looks = False
    own(work)
    return history_of(work, _nothing, _nothing).history


def _nothing() -> None:
    """Do nothing: there is a history, so nothing comes before the first."""


def _require_versions(request: RunRequest) -> None:
    """Refuse what is no version before anything is connected to; raises `Refused(MalformedVersion)`."""
    for text in (request.version, request.baseline, *request.requires.versions):
        if text is not None:
            Version.parse(text)


def _ignored(files: tuple[str, ...]) -> str:
    more = f" and {len(files) - _MOST_IGNORED_NAMED} more" if len(files) > _MOST_IGNORED_NAMED else ""
    return f"ignored, because they are no scripts: {', '.join(files[:_MOST_IGNORED_NAMED])}{more}"


def _one_way(scripts: ScriptSet) -> str | None:
    """Name the versions without a way back, where others have one; where none has, that is how the project works."""
    files = scripts.without_down
    if not files or len(files) == len(scripts.scripts):
        return None
    more = f" and {len(files) - _MOST_IGNORED_NAMED} more" if len(files) > _MOST_IGNORED_NAMED else ""
    return f"without a down script, so without a way back: {', '.join(files[:_MOST_IGNORED_NAMED])}{more}"


def _unused(scripts: ScriptSet, variables: Mapping[str, str]) -> str | None:
    """Name the variables that no script uses: a mistake, or values that several resources share."""
    found = {
        name for script in scripts.scripts for _, source in script.sources for name in used(source.text, variables)
    }
    names = ", ".join(sorted(variables.keys() - found))
    return f"declared, but used by no script: {names}" if names else None


def scripts_of(request: RunRequest) -> ScriptSet:
    """Read and check the scripts of a request; raises `Refused` for scripts that cannot run.

    Raises `Retryable(SourceChanged)` where they are not those the controller has seen: a mounted ConfigMap follows the
    object after a while.
    """
    if request.undo:
        return replace(ScriptSet.of(()), needless=True)
    scripts = reading.from_inline(request.inline) if request.inline else reading.from_folders(request.folders)
    if request.scripts_digest is not None and scripts.digest != request.scripts_digest:
        raise Retryable(
            Reason.SOURCE_CHANGED,
            "the scripts changed between the decision to run them and the run; the next run takes the present ones",
        )
    reading.require_not_empty(scripts)
    # Whether what must be acknowledged is, only matters for what is about to run: `_check_pending` asks.
    check(scripts, tuple(Acknowledgement), request.variables)
    return scripts


def _address(request: RunRequest) -> Address:
    if request.connection is None:
        raise Refused(Reason.INVALID_REQUEST, "the request names no connection; name one, or give --uri")
    return address_of(request.connection)


def _plan(work: Workplace, scripts: ScriptSet) -> Plan:
    """Decide what to do; all that can be refused is refused here, before anything is done."""
    request, history = work.request, work.history
    judge_edits(work, scripts, history)
    decided = plan(
        scripts,
        history,
        request.version,
        work.owner,
        request.out_of_order,
        requires=request.requires.versions,
        baseline=find_baseline(work, scripts, history),
        resource=request.resource,
        allow=request.allow,
    )
    if request.only_forward:
        require_forward(decided)
    require_extensions(work, decided)
    return decided


def _apply_all(work: Workplace, scripts: Sequence[Script], early: Sequence[Verification]) -> None:
    """Apply versions in their order: plain ones together, the others, and those that need patience, by themselves."""
    for group in grouped(scripts, work.history, last_is_verified=bool(early), archives=work.request.archives.archives):
        if isinstance(group, tuple):
            _apply_together(work, group)
        else:
            apply(work, group, early if group is scripts[-1] else [])


def _apply_together(work: Workplace, batch: Sequence[Simple]) -> None:
    while len(batch) > 1:
        done = apply_batch(work, batch)
        if done < len(batch):
            apply(work, batch[done].script, [])
        batch = batch[done + 1 :]
    for one in batch:
        apply(work, one.script, [])


def _check_pending(work: Workplace, decided: Plan) -> None:
    """Refuse scripts that cannot run, before the first of them does; say what else there is to say against them."""
    if not decided.applies:
        return
    from schema_operator.scripts.pending import check_pending  # noqa: PLC0415 (8 ms, which only such a run pays)

    warnings = check_pending(
        decided.applies,
        work.facts.version_number // _PER_MAJOR,
        work.request.variables,
        transactions_of,
        work.request.allow,
    )
    for warning in warnings[:_MOST_WARNINGS]:
        work.reporter.note(Step.PLANNING, f"warning: {warning}")
    if len(warnings) > _MOST_WARNINGS:
        work.reporter.note(Step.PLANNING, f"warning: {len(warnings) - _MOST_WARNINGS} more like these")


def _foresee_archives(work: Workplace, decided: Plan) -> None:
    """Refuse, before anything is run, what will be destroyed and cannot be archived."""
    if decided.changes:
        from schema_operator.runner.steps.foresee import foresee_archives  # noqa: PLC0415 (only such a run pays)

        foresee_archives(work, decided)


def _foresee_first_archives(work: Workplace, decided: Plan) -> None:
    if decided.changes:
        from schema_operator.runner.steps.foresee import foresee_first_archives  # noqa: PLC0415 (only such a run pays)

        foresee_first_archives(work, decided)


def _carry_out(work: Workplace, decided: Plan, scripts: ScriptSet) -> None:
    """Carry a plan out, then verify.

    The resource's checks are about the wanted version: those before commit belong to the last application; where
    nothing is applied, all run on what is there, so that the end of a run never depends on how it got there.
    """
    for unit in decided.abandons:
        abandon(work, unit)
    if decided.baseline:
        record_baseline(work, decided.baseline)
    for version in decided.rollbacks:
        rollback(work, version, scripts.get(version.version))
    verify = work.request.verify
    early = [one for one in verify if one.when is VerifyWhen.BEFORE_COMMIT] if decided.applies else []
    _apply_all(work, decided.applies, early)
    after_commit(work, [one for one in verify if one not in early])
