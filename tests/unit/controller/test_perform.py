"""What is done with a decision when the API server says no."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from schema_operator.api.schema_migration import RunOutcome, SchemaMigrationStatus
from schema_operator.api.target_database import TargetDatabaseStatus
from schema_operator.controller import names, perform
from schema_operator.controller.connection import ApiError
from schema_operator.controller.line import place_of
from schema_operator.controller.observation import Ended, Run, Target, migration_of, target_of
from schema_operator.controller.perform import Performer
from schema_operator.controller.source import see
from schema_operator.controller.target_status import status_after
from unit.controller.scenes import NOW, SPEC, UID, recorded

KEY = ("shop", "shop")
MIGRATION: dict[str, Any] = {
    "metadata": {"namespace": "shop", "name": "shop", "uid": UID, "generation": 1, "resourceVersion": "7"},
    "spec": SPEC,
}
TARGET: dict[str, Any] = {
    "metadata": {"namespace": "shop", "name": "shop", "uid": "target-uid", "generation": 1, "resourceVersion": "3"},
    "spec": {"connection": {"uriSecret": {"name": "shop", "key": "uri"}}},
}
CONFIG_MAP = {"metadata": {"resourceVersion": "5"}, "data": {"1_a.up.sql": "SELECT 1"}}


class Stage:
    """Answers as `Cluster` does, from what it is given, and notes what is written."""

    def __init__(self, migration: dict[str, Any] | None = None, **refusals: list[ApiError]) -> None:
        self.body = migration or MIGRATION
        self.refusals = refusals
        self.statuses: list[dict[str, Any]] = []
        self.targets: list[dict[str, Any]] = []
        self.finalizers: list[tuple[str, ...]] = []
        self.ending = False
        self.calls: list[str] = []
        self.job_list: list[dict[str, Any]] = []
        self.pod_list: list[dict[str, Any]] = []
        self.target_status: dict[str, Any] = {}

    def _said(self, call: str) -> None:
        self.calls.append(call)
        if self.refusals.get(call):
            raise self.refusals[call].pop(0)

    async def migration(self, *_: str) -> dict[str, Any] | None:
        return self.body

    async def target(self, *_: str) -> dict[str, Any] | None:
        self._said("target")
        return {**TARGET, "status": self.target_status} if self.target_status else TARGET

    async def approvals(self, *_: str) -> list[dict[str, Any]]:
        self._said("approvals")
        return []

    async def jobs(self, *_: str) -> list[dict[str, Any]]:
        return self.job_list

    async def pods(self, *_: str) -> list[dict[str, Any]]:
        return self.pod_list

    async def config_map(self, *_: str) -> dict[str, Any] | None:
        self._said("config_map")
        return CONFIG_MAP

    async def config_map_version(self, *_: str) -> str | None:
        self._said("config_map_version")
        return "5"

    async def create_job(self, _: dict[str, Any]) -> bool:
        self._said("create_job")
        return True

    async def create_event(self, _: dict[str, Any]) -> bool:
        self._said("create_event")
        return True

    async def apply_migration_status(self, meta: dict[str, str], status: dict[str, Any]) -> str:
        self._said("apply_migration_status")
        self.statuses.append({"meta": meta, **status})
        return "9"

    async def set_finalizers(self, meta: dict[str, str], finalizers: tuple[str, ...]) -> str:
        self._said("set_finalizers")
        self.finalizers.append((meta["resourceVersion"], *finalizers))
        return "8"

    async def delete_job(self, _: str, name: str) -> None:
        self._said(f"delete_job {name}")

    async def stop_job(self, _: str, name: str) -> None:
        self._said(f"stop_job {name}")

    async def is_ending(self, _: str) -> bool:
        return self.ending

    async def migrations(self, _: str) -> list[dict[str, Any]]:
        return [self.body]

    async def unfinished_jobs(self, *_: str) -> list[dict[str, Any]]:
        return self.job_list

    async def apply_target_status(self, meta: dict[str, str], status: dict[str, Any]) -> None:
        self._said("apply_target_status")
        self.targets.append({"meta": meta, **status})


def performer(stage: Stage) -> Performer:
    return Performer(stage, "image:1")  # type: ignore[arg-type]  # answers as Cluster does, without an API server


def at(status: SchemaMigrationStatus) -> dict[str, Any]:
    return {**MIGRATION, "status": status.model_dump(by_alias=True, exclude_none=True, mode="json")}


@pytest.mark.asyncio
async def test_a_job_that_a_quota_refuses_is_tried_again_soon() -> None:
    stage = Stage(create_job=[ApiError(403, "Forbidden", "exceeded quota")])
    assert await performer(stage).migration(KEY) == 10.0
    assert stage.statuses[0]["conditions"][-1]["reason"] == "JobNotCreated"


@pytest.mark.fault(35)
@pytest.mark.asyncio
async def test_a_status_is_bound_to_what_was_looked_at_and_a_change_meanwhile_makes_it_look_again() -> None:
    seen = at(SchemaMigrationStatus(observed_generation=1))
    stage = Stage(seen, apply_migration_status=[ApiError(409, "Conflict", "modified")])
    again = await performer(stage).migration(KEY)
    assert again is not None
    assert 0.0 < again < 1.0
    assert await performer(stage).migration(KEY) is None
    # The finalizer has been written in between.
    assert [item["meta"] for item in stage.statuses] == [{"namespace": "shop", "name": "shop", "resourceVersion": "8"}]


@pytest.mark.asyncio
async def test_what_a_busy_api_server_refuses_is_left_to_the_queue() -> None:
    stage = Stage(create_job=[ApiError(429, "TooManyRequests", "later")])
    with pytest.raises(ApiError, match="429"):
        await performer(stage).migration(KEY)
    assert stage.statuses == []


@pytest.mark.asyncio
async def test_a_spec_that_only_the_api_server_accepts_is_told() -> None:
    stage = Stage({**MIGRATION, "spec": {**SPEC, "version": "one"}})
    assert await performer(stage).migration(KEY) is None
    assert {item["type"] for item in stage.statuses[0]["conditions"]} >= {"Stalled", "Ready"}
    assert stage.statuses[0]["conditions"][0]["reason"] == "InvalidSpec"


@pytest.mark.asyncio
async def test_scripts_are_read_once_and_then_only_their_versions() -> None:
    scripts = {"configMaps": [{"name": "scripts"}]}
    stage = Stage({**MIGRATION, "spec": {**SPEC, "version": "1", "scripts": scripts}})
    at_work = performer(stage)
    await at_work.migration(KEY)
    await at_work.migration(KEY)
    assert [call for call in stage.calls if call.startswith("config_map")] == ["config_map", "config_map_version"]


@pytest.mark.asyncio
@pytest.mark.parametrize(("conflicts", "written"), [(0, 1), (2, 1), (9, 0)])
async def test_two_migrations_writing_one_target_do_not_undo_each_other_and_hold_up_neither(
    conflicts: int, written: int
) -> None:
    stage = Stage(at(recorded(RunOutcome.LOCK_HELD)))
    stage.refusals["apply_target_status"] = [ApiError(409, "Conflict", "modified")] * conflicts
    name = names.job_name("shop", UID, _work(), 2)
    labels = {names.WORK: _work()}
    annotations = {names.NUMBER: "2", names.FAILURES: "0", names.GENERATION: "1", names.RECHECK: "false"}
    meta = {"name": name, "creationTimestamp": "2026-11-22T12:00:00Z", "labels": labels, "annotations": annotations}
    failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}
    stage.job_list = [{"metadata": meta, "status": {"conditions": [failed]}}]
    await performer(stage).migration(KEY)
    assert len(stage.targets) == written
    assert stage.statuses[0]["runs"][0]["name"] == name
    order = [call for call in stage.calls if call.startswith("apply")]
    assert order[-1] == "apply_migration_status"
    assert stage.calls.count("target") == 1 + min(conflicts, 4)


def _work() -> str:
    migration, target = migration_of(MIGRATION), target_of(TARGET)
    digest = see(migration.spec, {}).digest
    assert digest is not None
    return names.work_digest(
        migration=(UID, migration.asked), target=(target.uid, target.asked), scripts=digest, requested_at=None
    )


def reported(name: str, end: Ended) -> Callable[[Target], TargetDatabaseStatus]:
    return lambda newest: status_after(newest, name, name, end, NOW)


@pytest.mark.asyncio
async def test_twelve_migrations_that_end_at_once_are_all_in_the_status_of_their_target() -> None:
    """Each has read the target before any of them writes it; the API server takes only the newest version."""
    stage = Stage()
    version = 3
    status: dict[str, Any] = {}

    async def target(*_: str) -> dict[str, Any]:
        await asyncio.sleep(0)
        return {**TARGET, "metadata": {**TARGET["metadata"], "resourceVersion": str(version)}, "status": status}

    async def apply(meta: dict[str, str], written: dict[str, Any]) -> None:
        nonlocal version, status
        await asyncio.sleep(0)
        if meta["resourceVersion"] != str(version):
            raise ApiError(409, "Conflict", "modified")
        version, status = version + 1, written

    vars(stage).update(target=target, apply_target_status=apply)
    at_work = performer(stage)
    seen = target_of(await target())
    names_of = [f"shop-{number}" for number in range(12)]
    end = Ended(outcome=RunOutcome.KILLED, message="it ended")
    await asyncio.gather(*(at_work.targets.record(seen, reported(name, end)) for name in names_of))
    assert {item["migration"] for item in status["runs"]} == set(names_of)


@pytest.mark.asyncio
@pytest.mark.parametrize(("rule", "looks"), [("Automatic", 0), ("Required", 1)])
async def test_approvals_are_looked_for_where_the_policy_asks_for_them(
    monkeypatch: pytest.MonkeyPatch, rule: str, looks: int
) -> None:
    """Each look at a migration asks the API server a few things; where nothing waits, this is none of them."""
    spec = {**TARGET["spec"], "policy": {"approval": {"rollback": rule}}}
    monkeypatch.setitem(TARGET, "spec", spec)
    stage = Stage(at(SchemaMigrationStatus(observed_generation=1)))
    await performer(stage).migration(KEY)
    assert stage.calls.count("approvals") == looks
    assert ("mode" in stage.statuses[0]["currentRun"]) is bool(looks)


class Lived(Stage):
    """Keeps what is written, so that a migration can be looked at from its beginning to its end."""

    async def set_finalizers(self, meta: dict[str, str], finalizers: tuple[str, ...]) -> str:
        version = await super().set_finalizers(meta, finalizers)
        self.body = {**self.body, "metadata": {**self.body["metadata"], "finalizers": list(finalizers)}}
        return version

    async def apply_migration_status(self, meta: dict[str, str], status: dict[str, Any]) -> str:
        version = await super().apply_migration_status(meta, status)
        self.body = {**self.body, "status": status}
        return version

    async def create_job(self, manifest: dict[str, Any]) -> bool:
        self.job_list = [manifest | {"status": {}}]
        self.job_list[0]["metadata"] |= {"creationTimestamp": "2026-11-22T12:00:00Z"}
        return await super().create_job(manifest)

    def finish(self) -> None:
        failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}
        self.job_list[0]["status"] = {"conditions": [failed]}

    @property
    def writes(self) -> list[str]:
        return [call for call in self.calls if call.partition(" ")[0] not in ("target", "config_map")]


@pytest.mark.asyncio
async def test_a_short_migration_needs_seven_writes_and_is_shown_with_the_first_three() -> None:
    stage = Lived()
    at_work = performer(stage)
    await at_work.migration(KEY)
    await at_work.migration(KEY)  # its Job is heard of
    stage.finish()
    await at_work.migration(KEY)
    assert stage.writes == [
        "set_finalizers",
        "create_job",
        "apply_migration_status",
        "apply_target_status",
        "apply_migration_status",
        "create_event",
        "set_finalizers",
    ]
    assert [item[1:] for item in stage.finalizers] == [(names.RUN_FINALIZER,), ()]
    # Each is bound to what the write before it gave, and the last to the status.
    assert [item[0] for item in stage.finalizers] == ["7", "9"]


@pytest.mark.asyncio
async def test_that_there_is_a_run_is_shown_at_once_and_what_it_does_when_it_takes_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Lived()
    at_work = performer(stage)
    await at_work.migration(KEY)
    assert "currentRun" in stage.statuses[0]
    stage.body = {**stage.body, "status": {**stage.body["status"], "progress": {"step": "Planning", "message": "old"}}}
    monkeypatch.setattr(perform, "PROGRESS_SECONDS", 0.0)
    assert 0 < (await at_work.migration(KEY) or 0) <= perform.FIRST_SIGHT_SECONDS
    assert len(stage.statuses) == 1
    monkeypatch.setattr(perform, "FIRST_SIGHT_SECONDS", 0.0)
    await at_work.migration(KEY)
    assert len(stage.statuses) == 2


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [404, 409, 422])
async def test_no_job_is_created_for_what_has_changed_or_is_being_deleted_meanwhile(status: int) -> None:
    stage = Stage(set_finalizers=[ApiError(status, "No", "no")])
    at_work = performer(stage)
    again = await at_work.migration(KEY)
    assert (again or 9) < 1.0
    assert "create_job" not in stage.calls
    assert at_work.line.ahead(("shop", "other"), place_of(target_of(TARGET))) is None


@pytest.mark.asyncio
async def test_finalizers_of_others_stay() -> None:
    others = {**MIGRATION["metadata"], "finalizers": ["example.com/theirs"]}
    stage = Lived({**MIGRATION, "metadata": others})
    at_work = performer(stage)
    await at_work.migration(KEY)
    stage.finish()
    await at_work.migration(KEY)
    assert [item[1:] for item in stage.finalizers] == [
        ("example.com/theirs", names.RUN_FINALIZER),
        ("example.com/theirs",),
    ]


@pytest.mark.asyncio
async def test_a_job_that_is_not_created_leaves_no_finalizer_and_nobody_in_the_line() -> None:
    stage = Lived(create_job=[ApiError(403, "Forbidden", "ends", ending=True)])
    at_work = performer(stage)
    assert await at_work.migration(KEY) == 1.0
    assert stage.finalizers[-1] == ("9",)
    assert at_work.line.ahead(("shop", "other"), place_of(target_of(TARGET))) is None


def of_another(name: str) -> dict[str, Any]:
    return {**MIGRATION, "metadata": {**MIGRATION["metadata"], "name": name, "uid": name}}


@pytest.mark.asyncio
async def test_the_next_one_is_looked_at_when_a_run_has_ended() -> None:
    stage, woken = Lived(), list[tuple[str, str]]()
    at_work = performer(stage)
    at_work.line.woken = woken.append
    await at_work.migration(KEY)
    first, jobs_of_first = stage.body, stage.job_list
    stage.body, stage.job_list = of_another("second"), []
    await at_work.migration(("shop", "second"))
    assert stage.calls.count("create_job") == 1
    assert stage.statuses[-1]["conditions"][-1]["reason"] == "WaitingForDatabase"
    stage.body, stage.job_list = first, jobs_of_first
    stage.finish()
    await at_work.migration(KEY)
    assert woken == [("shop", "second")]
    stage.body, stage.job_list = of_another("second"), []
    await at_work.migration(("shop", "second"))
    assert stage.calls.count("create_job") == 2


@pytest.mark.asyncio
async def test_nothing_is_remembered_of_a_migration_that_is_deleted_while_it_is_looked_at() -> None:
    """Its end is heard of before the look is over, which then finds that it cannot write."""
    stage = Lived(set_finalizers=[ApiError(404, "NotFound", "gone")])
    at_work = performer(stage)
    at_work.forget(KEY)
    assert await at_work.migration(KEY) == perform.CHANGED_SECONDS
    assert at_work.targets._at_work == {}
    stage.body = None  # type: ignore[assignment]  # as the API server says that there is none
    assert await at_work.migration(KEY) is None
    assert (at_work._sources, at_work._shown) == ({}, {})


@pytest.mark.asyncio
async def test_a_job_that_is_refused_is_not_taken_for_one_at_work() -> None:
    stage = Lived(create_job=[ApiError(403, "Forbidden", "exceeded quota")])
    at_work = performer(stage)
    await at_work.migration(KEY)
    assert at_work.targets._at_work == {}


@pytest.mark.asyncio
async def test_another_of_the_same_name_begins_anew() -> None:
    stage = Lived()
    at_work = performer(stage)
    await at_work.migration(KEY)
    assert at_work._sources[KEY].uid == UID
    stage.body, stage.job_list = {**MIGRATION, "metadata": {**MIGRATION["metadata"], "uid": "other"}}, []
    await at_work.migration(KEY)
    assert {key: known.uid for key, known in at_work._sources.items()} == {KEY: "other"}


class Silent(Lived):
    """A cluster whose node does not answer for its pods until it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = asyncio.Event()
        self.reading = 0

    async def log_tail(self, *_: object) -> str:
        self.reading += 1
        await self.answers.wait()
        return ""


@pytest.mark.asyncio
async def test_logs_of_a_node_that_is_gone_take_few_connections() -> None:
    stage = Silent()
    at_work = performer(stage)
    run = Run(
        name="r",
        work="w",
        number=1,
        failures=0,
        generation=1,
        recheck=False,
        created="",
        started=True,
        pod="pod",
        ended=None,
        trouble=None,
    )
    found = migration_of(MIGRATION)
    looks = [asyncio.create_task(at_work._progress(found, (run,))) for _ in range(10)]
    done, waiting = await asyncio.wait(looks, timeout=0.05)
    assert stage.reading == len(waiting) == perform.LOGS_AT_ONCE
    assert {one.result() for one in done} == {None}
    stage.answers.set()
    await asyncio.gather(*waiting)


@pytest.mark.asyncio
async def test_who_asks_for_a_run_gets_one_whatever_the_status_of_the_target_says() -> None:
    status = {"observedGeneration": 1, "serverVersion": "18.4", "version": "0"}
    wrong = {"inline": [{"version": "1.0.0", "up": "CREATE TABEL t ()", "down": "DROP TABLE t"}]}
    body = {**MIGRATION, "spec": {**MIGRATION["spec"], "scripts": wrong}}
    stage = Lived()
    stage.body, stage.target_status = body, status
    await performer(stage).migration(KEY)
    assert stage.calls.count("create_job") == 0
    assert stage.statuses[-1]["conditions"][-1]["reason"] == "SyntaxError"
    stage = Lived()
    stage.body, stage.target_status = body, status
    stage.body = {**body, "metadata": {**body["metadata"], "annotations": {names.REQUESTED_AT: "now"}}}
    await performer(stage).migration(KEY)
    assert stage.calls.count("create_job") == 1


@pytest.mark.asyncio
async def test_a_look_that_fails_gives_way_and_one_at_what_is_gone_leaves_the_line() -> None:
    stage, woken = Lived(target=[]), list[tuple[str, str]]()
    at_work = performer(stage)
    at_work.line.woken = woken.append
    here = place_of(target_of(TARGET))
    at_work.line.wait(KEY, here)
    at_work.line.wait(("shop", "next"), here)
    stage.refusals["target"] = [ApiError(500, "InternalError", "no")]
    with pytest.raises(ApiError):
        await at_work.migration(KEY)
    assert woken == [("shop", "next")]
    at_work.line.at_work(KEY, here)
    vars(stage)["body"] = None
    await at_work.migration(KEY)
    assert woken == [("shop", "next"), ("shop", "next")]


@pytest.mark.asyncio
async def test_what_is_in_flight_when_the_controller_starts_holds_its_database() -> None:
    stage = Lived()
    await performer(stage).migration(KEY)
    ended: dict[str, Any] = {
        "metadata": {**stage.job_list[0]["metadata"]},
        "status": {"conditions": [{"type": "Failed", "status": "True"}]},
    }
    for jobs, keys in (([], ()), ([ended], ()), (stage.job_list, (KEY,))):
        stage.job_list = jobs
        restarted = performer(stage)
        assert await restarted.resume([]) == keys
        ahead = restarted.line.ahead(("shop", "other"), place_of(target_of(TARGET)))
        assert (ahead is not None) is bool(keys)


@pytest.mark.asyncio
async def test_a_namespace_that_is_gone_keeps_the_controller_from_no_other() -> None:
    stage = Lived()
    await performer(stage).migration(KEY)
    found = stage.job_list

    async def unfinished(namespace: str | None, _: str) -> list[dict[str, Any]]:
        if namespace != "shop":
            raise ApiError(403, "Forbidden", "no")
        return found

    vars(stage).update(unfinished_jobs=unfinished)
    assert await performer(stage).resume(["gone", "shop"]) == (KEY,)
    with pytest.raises(ApiError):
        await performer(stage).resume([])


@pytest.mark.asyncio
async def test_a_run_whose_pod_cannot_start_keeps_nobody_from_the_database() -> None:
    stage = Lived()
    at_work = performer(stage)
    await at_work.migration(KEY)
    here = place_of(target_of(TARGET))
    assert at_work.line.ahead(("shop", "other"), here) is not None
    waiting = {"type": "PodScheduled", "status": "False", "message": "no node"}
    labels = {names.JOB_NAME: stage.job_list[0]["metadata"]["name"]}
    stage.pod_list = [
        {
            "metadata": {"name": "pod", "creationTimestamp": "2026-11-22T12:00:01Z", "labels": labels},
            "status": {"conditions": [waiting]},
        }
    ]
    await at_work.migration(KEY)
    assert at_work.line.ahead(("shop", "other"), here) is None
    stage.pod_list = []
    await at_work.migration(KEY)
    assert at_work.line.ahead(("shop", "other"), here) is not None


@pytest.mark.asyncio
async def test_what_a_run_does_is_written_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perform, "FIRST_SIGHT_SECONDS", 0.0)
    stage = Lived()
    at_work = performer(stage)
    await at_work.migration(KEY)
    shown = len(stage.statuses)
    stage.body = {**stage.body, "status": {**stage.body["status"], "progress": {"step": "Planning", "message": "old"}}}
    again = await at_work.migration(KEY)
    assert 0 < (again or 0) <= 1
    assert len(stage.statuses) == shown
    monkeypatch.setattr(perform, "PROGRESS_SECONDS", 0.0)
    await at_work.migration(KEY)
    assert len(stage.statuses) == shown + 1
    monkeypatch.setattr(perform, "PROGRESS_SECONDS", 1.0)
    restarted = performer(stage)
    stage.body = {**stage.body, "status": {**stage.body["status"], "progress": {"step": "Planning", "message": "old"}}}
    await restarted.migration(KEY)
    assert len(stage.statuses) == shown + 2


@pytest.mark.asyncio
async def test_a_run_that_only_plans_holds_no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = {**TARGET["spec"], "policy": {"approval": {"apply": "Required"}}}
    monkeypatch.setitem(TARGET, "spec", spec)
    stage = Lived()
    at_work = performer(stage)
    here = place_of(target_of(TARGET))
    await at_work.migration(KEY)
    await at_work.migration(KEY)
    assert stage.calls.count("create_job") == 1
    assert at_work.line.ahead(("shop", "other"), here) is None
    assert await performer(stage).resume([]) == ()
