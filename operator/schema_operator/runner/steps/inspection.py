"""Inspection: say what is applied in the database, and whether runs could work there; take no lock, change nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from schema_operator.history.records import History
from schema_operator.runner.history_state import state_of
from schema_operator.runner.report import Step
from schema_operator.runner.steps.connect import connect
from schema_operator.runner.steps.install import present_as_it_is, require_installable, require_recordable
from schema_operator.runner.steps.own import visit

if TYPE_CHECKING:
    from schema_operator.postgres.address import Address
    from schema_operator.runner.workplace import Workplace


def inspect(work: Workplace, address: Address) -> None:
    """Put what is applied among the findings; the workplace is one that only looks.

    Raises as `connect` and `visit` do, and `Refused` where a run would be refused whatever it is asked for:
    ControlSchemaNewer, ControlSchemaDamaged, PermissionDenied.
    """
    connect(work, address)
    visit(work)
    work.reporter.progress(Step.PLANNING, "reading the history")
    present = present_as_it_is(work)
    if present is None:
        _found(work, History())
        require_installable(work)
        return
    _found(work, present.history)
    if present.current:
        require_recordable(work)


def _found(work: Workplace, history: History) -> None:
    work.findings = replace(work.findings, inspected=state_of(history, asked=work.request.owners))
