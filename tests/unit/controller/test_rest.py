"""When a migration needs no look."""

from typing import Any

import pytest

from schema_operator.api.report import Action
from schema_operator.api.schema_migration import RunOutcome, SchemaMigrationStatus
from schema_operator.controller import names
from schema_operator.controller.decide import decide
from schema_operator.controller.observation import Target, migration_of, target_of
from schema_operator.controller.rest import is_at_rest
from schema_operator.errors import Reason
from unit.controller.scenes import NOW, SCRIPTS, SPEC, UID, ago, observation, recorded

TARGET: dict[str, Any] = {
    "metadata": {"namespace": "shop", "name": "shop", "uid": "target-uid", "generation": 1, "resourceVersion": "7"},
    "spec": {"connection": {"uriSecret": {"name": "shop", "key": "uri"}}},
}
JOB = "shop-12345678-1"


def target(**spec: Any) -> Target:
    return target_of(TARGET | {"spec": TARGET["spec"] | spec})


def body(status: SchemaMigrationStatus | None, *, generation: int = 1, spec: Any = None, **meta: Any) -> dict[str, Any]:
    shown = status.model_dump(by_alias=True, exclude_none=True, mode="json") if status else {}
    base = {"namespace": "shop", "name": "shop", "uid": UID, "generation": generation, "resourceVersion": "5"}
    return {"metadata": base | meta, "spec": spec or SPEC, "status": shown}


def done(outcome: RunOutcome = RunOutcome.DONE, **extra: Any) -> SchemaMigrationStatus:
    """Give the status that the controller leaves of a run that ended so."""
    migration = migration_of(body(None))
    work = names.work_digest(
        migration=(UID, migration.asked), target=("target-uid", target().asked), scripts=SCRIPTS, requested_at=None
    )
    before = recorded(outcome, name=JOB, work=work, action=Action.APPLY, **extra)
    settled = decide(observation(migration_of(body(before)), at=target())).status
    assert settled is not None
    return settled


DONE = done()
OLDER = DONE.model_copy(update={"conditions": DONE.conditions[:1]})
CASES: list[tuple[str, dict[str, Any], Target | None, set[str], bool]] = [
    ("done", body(DONE), target(), set(), True),
    ("done, and its Job is still there", body(DONE), target(), {JOB}, True),
    ("a Job that is not recorded", body(DONE), target(), {JOB, "shop-12345678-2"}, False),
    ("the target was not heard of", body(DONE), None, set(), False),
    ("the target has changed", body(DONE), target(policy={"retries": {"limit": 1}}), set(), False),
    (
        "a window of the target has changed",
        body(DONE),
        target(policy={"freezes": [{"from": ago(60), "until": "2026-12-24T00:00:00Z", "reason": "audit"}]}),
        set(),
        True,
    ),
    ("the spec has changed", body(DONE, generation=2), target(), set(), False),
    ("it is being deleted", body(DONE, deletionTimestamp=ago(1)), target(), set(), False),
    ("a run is asked for", body(DONE, annotations={names.REQUESTED_AT: "now"}), target(), set(), False),
    ("never looked at", body(None), target(), set(), False),
    ("a run is in flight", body(DONE.model_copy(update={"current_run": (DONE.runs or [])[0]})), target(), set(), False),
    ("Stalled", body(done(RunOutcome.FAILED, reason=Reason.OBJECT_NOT_FOUND)), target(), set(), False),
    ("the next attempt is waited for", body(done(RunOutcome.RETRYABLE, failures=1)), target(), set(), False),
    ("a spec that cannot be read", body(DONE, spec={"database": {}}), target(), set(), False),
    ("a status of another release", body(OLDER), target(), set(), False),
]


@pytest.mark.parametrize(("of", "at", "jobs", "rests"), [row[1:] for row in CASES], ids=[row[0] for row in CASES])
def test_what_needs_no_look(of: dict[str, Any], at: Target | None, jobs: set[str], rests: bool) -> None:
    assert is_at_rest(of, at, jobs, NOW) is rests
