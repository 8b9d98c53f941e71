"""One run, from beginning to end. Docs: docs/design, "A run, step by step"."""

from __future__ import annotations

import sys
import time
import traceback
from typing import TYPE_CHECKING, Final

from schema_operator.api.request import VerifyWhen
from schema_operator.api.version import Version
from schema_operator.errors import Reason, Refused, Retryable, SchemaOperatorError
from schema_operator.history import store
from schema_operator.runner.outcome import internal_error, report_of
from schema_operator.runner.plan import Plan, mismatches, plan, refuse_mismatch
from schema_operator.runner.report import Step
from schema_operator.runner.steps.apply import apply
from schema_operator.runner.steps.connect import address_of, connect
from schema_operator.runner.steps.install import history_of, require_recordable
from schema_operator.runner.steps.own import own
from schema_operator.runner.steps.rollback import rollback
from schema_operator.runner.steps.verify import after_commit, require_single_statements
from schema_operator.runner.transaction import look
from schema_operator.runner.workplace import Workplace
from schema_operator.scripts import reading
from schema_operator.scripts.check import check

if TYPE_CHECKING:
    from schema_operator.api.report import RunReport
    from schema_operator.api.request import RunRequest
    from schema_operator.history.records import History
    from schema_operator.postgres.address import Address
    from schema_operator.runner.report import Reporter
    from schema_operator.runner.stop import Stop
    from schema_operator.scripts.script import ScriptSet

_MOST_IGNORED_NAMED: Final = 10
_MOST_WARNINGS: Final = 10
_PER_MAJOR: Final = 10_000
"""180004 is PostgreSQL 18.4."""


def run(request: RunRequest, address: Address | None, reporter: Reporter, stop: Stop) -> RunReport:
    """Do what a request asks and give the report; never raises for what can go wrong in a run.

    `address` is for callers that have one; without it, the request says where the credentials are.
    """
    began = time.monotonic()
    work = Workplace(request, reporter, stop)
    error: SchemaOperatorError | None = None
    try:
        with stop.listening():
            _run(work, address)
    except SchemaOperatorError as known:
        error = known
    except Exception as unknown:  # noqa: BLE001 (the report must be written whatever happens)
        # Frames only: the text of an exception may hold a password or rows.
        sys.stderr.writelines(traceback.format_tb(unknown.__traceback__))
        error = internal_error(type(unknown).__name__)
    finally:
        work.close()
    return report_of(request.run, work.findings, error, time.monotonic() - began)


def _run(work: Workplace, address: Address | None) -> None:
    if work.request.version is not None:
        Version.parse(work.request.version)
    scripts = scripts_of(work.request)
    if scripts.ignored:
        work.reporter.progress(Step.PLANNING, _ignored(scripts.ignored))
    require_single_statements(work.request.verify)
    connect(work, address or _address(work.request))
    own(work)
    work.reporter.progress(Step.PLANNING, "reading the history")
    work.findings = work.findings.with_history(history_of(work))
    decided = _plan(work, scripts)
    work.findings = work.findings.with_plan(decided, scripts)
    _check_pending(work, decided)
    _carry_out(work, decided)


def _ignored(files: tuple[str, ...]) -> str:
    more = f" and {len(files) - _MOST_IGNORED_NAMED} more" if len(files) > _MOST_IGNORED_NAMED else ""
    return f"ignored, because they are no scripts: {', '.join(files[:_MOST_IGNORED_NAMED])}{more}"


def scripts_of(request: RunRequest) -> ScriptSet:
    """Read and check the scripts of a request; raises `Refused` for scripts that cannot run.

    Raises `Retryable(SourceChanged)` where they are not those the controller has seen: a mounted ConfigMap follows the
    object after a while.
    """
    scripts = reading.from_inline(request.inline) if request.inline else reading.from_folders(request.folders)
    if request.scripts_digest is not None and scripts.digest != request.scripts_digest:
        raise Retryable(
            Reason.SOURCE_CHANGED,
            "the scripts changed between the decision to run them and the run; the next run takes the present ones",
        )
    reading.require_not_empty(scripts)
    check(scripts)
    return scripts


def _address(request: RunRequest) -> Address:
    if request.connection is None:
        raise Refused(Reason.INVALID_REQUEST, "the request names no connection; name one, or give --uri")
    return address_of(request.connection)


def _plan(work: Workplace, scripts: ScriptSet) -> Plan:
    request, history = work.request, _history(work)
    for mismatch in mismatches(scripts, history, request.version):
        stored = look(work, lambda: store.stored_scripts(work.session, mismatch.applied.version), pinned=True)  # noqa: B023 (called at once)
        refuse_mismatch(mismatch, stored.up, work.owner)
    return plan(scripts, history, request.version, work.owner, request.out_of_order)


def _check_pending(work: Workplace, decided: Plan) -> None:
    """Refuse scripts that cannot run, before the first of them does; say what else there is to say against them."""
    if not decided.applies:
        return
    from schema_operator.scripts.pending import check_pending  # noqa: PLC0415 (8 ms, which only such a run pays)

    warnings = check_pending(decided.applies, work.facts.version_number // _PER_MAJOR)
    for warning in warnings[:_MOST_WARNINGS]:
        work.reporter.progress(Step.PLANNING, f"warning: {warning}")
    if len(warnings) > _MOST_WARNINGS:
        work.reporter.progress(Step.PLANNING, f"warning: {len(warnings) - _MOST_WARNINGS} more like these")


def _history(work: Workplace) -> History:
    if work.findings.now is None:
        raise RuntimeError("the history is read before it is planned with")
    return work.findings.now


def _carry_out(work: Workplace, decided: Plan) -> None:
    """Carry a plan out, then verify.

    The resource's checks are about the wanted version: those before commit belong to the last application; where
    nothing is applied, all run on what is there, so that the end of a run never depends on how it got there.
    """
    if decided.rollbacks or decided.applies:
        require_recordable(work)
    for version in decided.rollbacks:
        rollback(work, version)
    verify = work.request.verify
    early = [one for one in verify if one.when is VerifyWhen.BEFORE_COMMIT] if decided.applies else []
    for script in decided.applies:
        apply(work, script, early if script is decided.applies[-1] else [])
    after_commit(work, [one for one in verify if one not in early])
