"""Baseline: record, without running them, the scripts that a database has already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schema_operator.api.version import Version
from schema_operator.errors import Location
from schema_operator.history import store
from schema_operator.postgres.session import OURS, Begun, transaction_ended
from schema_operator.runner.plan import as_applied, baseline_of, goal_of
from schema_operator.runner.report import Step
from schema_operator.runner.steps.record import change_of
from schema_operator.runner.transaction import Deed, commit, look

if TYPE_CHECKING:
    from schema_operator.history.records import History
    from schema_operator.runner.workplace import Workplace
    from schema_operator.scripts.script import Script, ScriptSet


def find_baseline(work: Workplace, scripts: ScriptSet, history: History) -> tuple[Script, ...]:
    """Give the scripts to record, none where no baseline is asked for or it has been recorded.

    Raises `Refused` as `baseline_of` does.
    """
    if work.request.baseline is None:
        return ()
    baseline = Version.parse(work.request.baseline)
    if history.get(baseline) is not None:
        return ()
    begun = frozenset((one.version, one.owner) for one in history.open)
    recorded = begun | look(work, lambda: _recorded(work), pinned=True)
    return baseline_of(scripts, recorded, baseline, goal_of(scripts, history, work.request.version), work.owner)


def _recorded(work: Workplace) -> frozenset[tuple[Version, str | None]]:
    # A run that only looks has installed nothing.
    return store.recorded_versions(work.session) if store.installed(work.session) else frozenset()


def record_baseline(work: Workplace, scripts: tuple[Script, ...]) -> None:
    """Record scripts as applied, all in one transaction; raises as `transaction.commit` does.

    The transaction is fenced, so no other run has come between the reading of the history and this.
    """
    newest = scripts[-1].version.text
    work.reporter.progress(
        Step.PLANNING, f"recording {len(scripts)} versions up to {newest} as applied, without running them"
    )

    def body(begun: Begun) -> None:
        for script in scripts:
            change = change_of(work, script, baseline=True)
            if store.record(work.session, change, work.author) != begun.transaction:
                raise transaction_ended(Location(version=script.version.text))

    def done() -> bool:
        return store.recorded(work.session, work.request.run, newest, rollback=False)

    commit(work, Deed(body, done, f"the baseline {newest}", OURS))
    work.findings = work.findings.with_baseline(tuple(as_applied(one, work.owner) for one in scripts))
