"""Look at the applied versions whose scripts were edited since, as the policy says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schema_operator.api.request import ChecksumPolicy
from schema_operator.history import store
from schema_operator.runner import edits
from schema_operator.runner.report import Step
from schema_operator.runner.transaction import look

if TYPE_CHECKING:
    from schema_operator.history.records import History
    from schema_operator.runner.workplace import Workplace
    from schema_operator.scripts.script import ScriptSet


def judge_edits(work: Workplace, scripts: ScriptSet, history: History) -> None:
    """Say which applied scripts were edited; where the texts must be compared, that is one query for all.

    Raises `Refused(ChecksumMismatch)` where the policy is Strict and an edit may have changed what a script does.
    """
    found = edits.mismatches(scripts, history, work.request.version)
    if not found:
        return
    stored = look(work, lambda: store.stored_texts(work.session, [one.applied.version for one in found]), pinned=True)
    edited = [edits.edited(one, stored.get(one.applied.version)) for one in found]
    for first, sentence in edits.harmless(edited):
        work.reporter.note(Step.PLANNING, sentence, version=first)
    if work.request.checksums is ChecksumPolicy.STRICT:
        edits.refuse(edited, work.owner)
    for version, sentence in edits.warnings(edited, work.owner):
        work.reporter.note(Step.PLANNING, sentence, version=version)
        work.findings = work.findings.with_warning(sentence)
