"""Held: write down that a run has found versions which a person rolled back in SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schema_operator.history import store
from schema_operator.postgres.session import OURS, Begun
from schema_operator.runner.held import concerning, unseen
from schema_operator.runner.steps.install import require_recordable
from schema_operator.runner.transaction import Deed, commit

if TYPE_CHECKING:
    from schema_operator.runner.workplace import Workplace
    from schema_operator.scripts.script import ScriptSet


def mark_seen(work: Workplace, scripts: ScriptSet, *, recordable: bool) -> None:
    """Write down the generation whose run has found them first, so that a later one is known to be a decision.

    Raises `Refused(PermissionDenied)` where the role may not write, and as `transaction.commit` does.
    """
    resource = work.request.resource
    found = unseen(concerning(work.history, work.owner, [one.version for one in scripts.scripts]), resource)
    if resource is None or not found:
        return
    if not recordable:
        require_recordable(work)
    uid, positions = resource.uid, [one.position for one in found]

    def body(_: Begun) -> None:
        store.record_seen(work.session, positions, uid, resource.generation, work.request.run)

    commit(
        work, Deed(body, lambda: store.is_seen(work.session, positions[0], uid), "what was rolled back by hand", OURS)
    )
