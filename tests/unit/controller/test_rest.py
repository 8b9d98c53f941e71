"""When a migration needs no look."""

import asyncio
from types import SimpleNamespace
from typing import Any

import kopf
import pytest

from schema_operator.api.report import Action
from schema_operator.api.schema_migration import RunOutcome, SchemaMigrationStatus
from schema_operator.controller import handlers, names
from schema_operator.controller.decide import decide
from schema_operator.controller.handlers import Office
from schema_operator.controller.observation import Target, migration_of, target_of
from schema_operator.controller.queue import Queue
from schema_operator.controller.rest import Resting, is_at_rest
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
ROLLBACK = SPEC | {"deletionPolicy": "Rollback"}
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
    ("a finalizer was left by a crash", body(DONE, finalizers=[names.RUN_FINALIZER]), target(), set(), False),
    ("a finalizer of another", body(DONE, finalizers=["example.com/theirs"]), target(), set(), True),
    ("to be rolled back", body(DONE, spec=ROLLBACK, finalizers=[names.ROLLBACK_FINALIZER]), target(), set(), True),
    ("to be rolled back since", body(DONE, spec=ROLLBACK), target(), set(), False),
]


@pytest.mark.parametrize(("of", "at", "jobs", "rests"), [row[1:] for row in CASES], ids=[row[0] for row in CASES])
def test_what_needs_no_look(of: dict[str, Any], at: Target | None, jobs: set[str], rests: bool) -> None:
    assert is_at_rest(of, at, jobs, NOW) is rests


KEY = ("shop", "shop")
OTHER_JOB = "shop-12345678-2"


def resting(status: SchemaMigrationStatus = DONE) -> tuple[Resting, bool]:
    found = Resting()
    found.target_seen(TARGET)
    return found, found.rests(KEY, body(status), NOW)


def test_what_was_heard_of_its_jobs_before_counts() -> None:
    found = Resting()
    found.target_seen(TARGET)
    assert found.job_seen(KEY, UID, JOB)  # nothing is known of it yet
    assert found.rests(KEY, body(DONE), NOW)
    found.job_seen(KEY, UID, OTHER_JOB)
    assert not found.rests(KEY, body(DONE), NOW)
    found.job_gone(UID, OTHER_JOB)
    assert found.rests(KEY, body(DONE), NOW)


def test_a_recorded_job_is_no_news_and_any_other_is() -> None:
    found, rests = resting()
    assert rests
    assert not found.job_seen(KEY, UID, JOB)
    assert found.knows(KEY)
    assert found.job_seen(KEY, UID, OTHER_JOB)
    assert not found.knows(KEY)


def test_a_job_of_another_of_the_same_name_is_news() -> None:
    found, _ = resting()
    assert found.job_seen(KEY, "another uid", JOB)


def test_without_its_target_nothing_rests() -> None:
    found, _ = resting()
    found.target_gone(KEY)
    assert not found.rests(KEY, body(DONE), NOW)
    assert not found.knows(KEY)
    found.target_seen(TARGET | {"spec": {}})
    assert not found.rests(KEY, body(DONE), NOW)


def test_who_relies_on_another_owner_is_known() -> None:
    found, rests = resting(DONE.model_copy(update={"relies_on": ["shop/base"]}))
    assert rests
    assert found.relying_on("shop/base") == [KEY]
    assert found.relying_on("shop/other") == []
    found.rests(KEY, body(DONE), NOW)
    assert found.relying_on("shop/base") == []
    found.rests(KEY, body(DONE.model_copy(update={"relies_on": ["shop/base"]})), NOW)
    found.forget(KEY)
    assert found.relying_on("shop/base") == []


def an_office() -> tuple[Office, list[tuple[str, str]]]:
    looked: list[tuple[str, str]] = []

    async def look(key: tuple[str, str]) -> float | None:
        looked.append(key)
        return None

    async def versions(_: str | None) -> dict[tuple[str, str], str]:
        return {}

    nothing: Any = None
    cluster: Any = SimpleNamespace(migration_versions=versions)
    return Office(cluster, nothing, Queue(look, pause=0.0), Queue(look, pause=0.0)), looked


async def hear_of_job(office: Office, name: str) -> None:
    event: Any = {"type": "MODIFIED"}
    labels: Any = {names.MIGRATION_UID: UID}
    annotations: Any = {names.MIGRATION: "shop"}
    memo = kopf.Memo(office=office)
    await handlers._owned(event=event, memo=memo, namespace="shop", name=name, annotations=annotations, labels=labels)
    await asyncio.sleep(0.01)


@pytest.mark.asyncio
async def test_what_rests_is_not_looked_at_after_a_restart_nor_in_the_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    office, looked = an_office()
    office.target_heard(TARGET)
    await asyncio.sleep(0.01)
    looked.clear()
    office.migration_changed(KEY, body(DONE))
    await hear_of_job(office, JOB)
    assert looked == []
    monkeypatch.setattr(handlers, "RESYNC_SECONDS", 0.01)
    rounds = asyncio.create_task(office.resync())
    await asyncio.sleep(0.1)
    assert not rounds.done()
    rounds.cancel()
    assert looked == []
    await hear_of_job(office, OTHER_JOB)
    assert looked == [KEY]
    office.migration_changed(KEY, body(DONE, generation=2))
    await asyncio.sleep(0.01)
    assert looked == [KEY, KEY]
    await office.migrations.close()


@pytest.mark.asyncio
async def test_what_has_its_scripts_in_config_maps_is_looked_at_in_the_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    office, looked = an_office()
    monkeypatch.setattr(Resting, "rests", lambda *_: True)
    monkeypatch.setattr(Resting, "knows", lambda *_: True)
    named = {"database": {"name": "shop"}, "scripts": {"configMaps": [{"name": "scripts"}]}}
    office.migration_changed(KEY, body(DONE, spec=named))
    monkeypatch.setattr(handlers, "RESYNC_SECONDS", 0.01)
    rounds = asyncio.create_task(office.resync())
    await asyncio.sleep(0.1)
    rounds.cancel()
    assert KEY in looked
    await office.migrations.close()


@pytest.mark.parametrize(
    ("status", "at_rest"),
    [(DONE, True), (done(RunOutcome.FAILED, reason=Reason.OBJECT_NOT_FOUND), False)],
    ids=["at rest", "Stalled"],
)
@pytest.mark.asyncio
async def test_who_relies_on_an_owner_is_looked_at_when_something_else_of_it_is_applied(
    status: SchemaMigrationStatus, at_rest: bool
) -> None:
    """Also what is not at rest: between two looks of the rounds there may be almost two minutes."""
    office, looked = an_office()
    owners = [{"owner": "shop/base", "digest": "1"}]
    office.target_heard(TARGET | {"status": {"owners": owners}})
    office.migration_changed(KEY, body(status.model_copy(update={"relies_on": ["shop/base"]})))
    await asyncio.sleep(0.01)
    looked.clear()
    assert office.resting.knows(KEY) is at_rest
    office.target_heard(TARGET | {"status": {"owners": [{"owner": "shop/base", "digest": "2"}]}})
    await asyncio.sleep(0.01)
    assert KEY in looked
    await office.migrations.close()
