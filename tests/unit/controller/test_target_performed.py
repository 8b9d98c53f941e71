"""What is done about a TargetDatabase, and who is looked at again because of it."""

from __future__ import annotations

from typing import Any

import kopf
import pytest

from schema_operator.api.schema_migration import RunOutcome, RunStatus
from schema_operator.controller import names
from schema_operator.controller.connection import ApiError
from schema_operator.controller.handlers import Heard, Office
from schema_operator.controller.perform import Performer
from schema_operator.controller.queue import Key
from schema_operator.controller.targets import INSPECTIONS_AT_ONCE
from unit.controller.scenes import recorded
from unit.controller.test_perform import TARGET, Stage, at

FINISHED = "2026-11-22T12:00:00Z"


class Targets(Stage):
    """An API server with one target, under any number of names, and the Jobs of its inspections."""

    def __init__(self, status: dict[str, Any] | None = None, **refusals: list[ApiError]) -> None:
        super().__init__()
        self.refusals = refusals
        self.status = status or {}
        self.created: list[dict[str, Any]] = []
        self.deleted: list[str] = []
        self.there: set[str] = set()

    async def target(self, *key: str) -> dict[str, Any]:
        namespace, name = key
        meta = {**TARGET["metadata"], "namespace": namespace, "name": name, "annotations": {names.REQUESTED_AT: "now"}}
        return {**TARGET, "metadata": meta, "status": self.status}

    async def has_migration(self, _: str, name: str) -> bool:
        return name in self.there

    async def create_job(self, manifest: dict[str, Any]) -> bool:
        await super().create_job(manifest)
        self.created.append(manifest)
        return True

    async def delete_job(self, _: str, name: str) -> None:
        self.deleted.append(name)

    def end(self, **state: Any) -> None:
        """Let the last inspection end."""
        job = self.created[-1]
        name = job["metadata"]["name"]
        created = {"creationTimestamp": FINISHED}
        self.job_list = [{**job, "metadata": {**job["metadata"], **created}}]
        container = {"name": "runner", "state": {"terminated": state}}
        labels = {names.JOB_NAME: name}
        pod = {"metadata": {"name": "pod", "labels": labels, **created}, "status": {"containerStatuses": [container]}}
        self.pod_list = [pod]


def performer(stage: Targets) -> Performer:
    return Performer(stage, "image:1")  # type: ignore[arg-type]  # answers as Cluster does, without an API server


@pytest.mark.asyncio
async def test_an_inspection_is_started_read_and_deleted() -> None:
    stage = Targets()
    at_work = performer(stage)
    assert await at_work.targets.look(("shop", "db")) == 30.0
    (job,) = stage.created
    assert job["metadata"]["name"].startswith("db-inspect-")
    assert stage.targets[-1]["conditions"][-1]["reason"] == "NotTried"

    stage.status = {key: value for key, value in stage.targets[-1].items() if key != "meta"}
    stage.end(exitCode=10, message=_report(job["metadata"]["name"], 10, "Unreachable"))
    again = await at_work.targets.look(("shop", "db"))
    assert stage.deleted == [job["metadata"]["name"]]
    assert [item["reason"] for item in stage.targets[-1]["conditions"]] == ["Unreachable"] * 3
    assert stage.targets[-1]["inspection"]["requestedAt"] == "now"
    assert again is not None
    assert 2 < again < 6  # five seconds with jitter, less what this test has taken
    assert len(stage.created) == 1


def _report(run: str, code: int, reason: str) -> str:
    return f'{{"run": "{run}", "outcome": {code}, "reason": "{reason}", "message": "no answer"}}'


@pytest.mark.asyncio
async def test_not_more_than_some_inspections_are_at_work() -> None:
    stage = Targets()
    at_work = performer(stage)
    waits = [await at_work.targets.look(("shop", f"db-{number}")) for number in range(INSPECTIONS_AT_ONCE + 5)]
    assert len(stage.created) == INSPECTIONS_AT_ONCE
    assert all(wait is not None and wait <= 3 for wait in waits[INSPECTIONS_AT_ONCE:])
    assert len(at_work.targets._crowd) == 5
    at_work.targets.forget(("shop", "db-0"))
    await at_work.targets.look(("shop", "db-12"))
    assert len(stage.created) == INSPECTIONS_AT_ONCE + 1
    assert len(at_work.targets._crowd) == 4


@pytest.mark.asyncio
async def test_a_crowd_does_not_ask_again_all_the_time() -> None:
    at_work = performer(Targets())
    waits = [await at_work.targets.look(("shop", f"db-{number}")) or 0.0 for number in range(1000)]
    assert sum(1 / wait for wait in waits[-100:]) < 10, "looks a second of a tenth of them"


@pytest.mark.asyncio
async def test_a_job_that_a_quota_refuses_is_said_and_tried_again() -> None:
    stage = Targets(create_job=[ApiError(403, "Forbidden", "exceeded quota")])
    at_work = performer(stage)
    assert await at_work.targets.look(("shop", "db")) == 30.0
    assert stage.targets[-1]["conditions"][-1]["reason"] == "JobNotCreated"
    await at_work.targets.look(("shop", "db"))
    assert len(stage.created) == 1


@pytest.mark.asyncio
async def test_a_migration_that_is_gone_leaves_the_status_of_its_target() -> None:
    runs = [{"migration": one, "run": "r", "outcome": "Done", "finishedAt": FINISHED} for one in ("a", "b")]
    stage = Targets({"observedGeneration": 1, "runs": runs})
    stage.there = {"b"}
    await performer(stage).targets.look(("shop", "db"))
    assert [one["migration"] for one in stage.targets[-1]["runs"]] == ["b"]


@pytest.mark.asyncio
@pytest.mark.parametrize("in_flight", [True, False])
async def test_a_run_in_flight_is_known_to_the_inspections_of_its_target(in_flight: bool) -> None:
    status = recorded(RunOutcome.LOCK_HELD)
    current = RunStatus(name="shop-1", work="w", number=1, generation=1)
    stage = Stage(at(status.model_copy(update={"current_run": current if in_flight else None})))
    at_work = Performer(stage, "image:1")  # type: ignore[arg-type]  # answers as Cluster does
    at_work.targets._at_work["shop", "other"] = ("shop", "other")
    await at_work.migration(("shop", "shop"))
    assert ("shop", "shop") in at_work.targets._at_work.values()
    at_work.forget(("shop", "shop"))
    assert set(at_work.targets._at_work.values()) == {("shop", "other")}


class Noted(list[Key]):
    """A queue that notes who is asked for and looks at nobody."""

    put = list[Key].append


def office() -> tuple[Office, Noted, Noted]:
    cluster: Any = None
    migrations, targets = Noted(), Noted()
    queues: Any = (migrations, targets)
    found = Office(cluster, Performer(cluster, "image:1"), *queues)
    found.databases = {("shop", "a"): "db", ("shop", "b"): "db", ("shop", "c"): "other", ("x", "a"): "db"}
    return found, migrations, targets


DB: Key = ("shop", "db")
BEFORE = Heard(1, None, frozenset({("shop/a", "d1"), ("shop/b", "d1")}))
A, B = ("shop", "a"), ("shop", "b")

# Each line: what is heard of the target; the migrations, and whether the target, that are looked at.
HEARD: list[tuple[str, Heard, set[Key], bool]] = [
    ("the same", BEFORE, set(), False),
    ("another generation", Heard(2, None, BEFORE.owners), {A, B}, True),
    ("a wish", Heard(1, "now", BEFORE.owners), set(), True),
    ("of one, something else is applied", Heard(1, None, frozenset({("shop/a", "d2"), ("shop/b", "d1")})), {A}, False),
    ("of one, nothing is told any more", Heard(1, None, frozenset({("shop/a", "d1")})), {B}, False),
    ("of one on another database", Heard(1, None, BEFORE.owners | {("shop/c", "d1"), ("x/a", "d1")}), set(), False),
]


@pytest.mark.parametrize(
    ("heard", "migrations", "target"), [line[1:] for line in HEARD], ids=[line[0] for line in HEARD]
)
def test_who_is_looked_at_when_a_target_changes(heard: Heard, migrations: set[Key], target: bool) -> None:
    at_work, looked_at, targets = office()
    at_work.heard[DB] = BEFORE
    at_work.target_changed(DB, heard)
    assert set(looked_at) == migrations
    assert targets == ([DB] if target else [])


def test_a_target_that_is_heard_of_first_is_looked_at_with_its_migrations() -> None:
    at_work, looked_at, targets = office()
    body: Any = {
        "metadata": {"generation": 3, "annotations": {names.REQUESTED_AT: "now"}},
        "status": {"owners": [{"owner": "shop/a", "digest": "d1"}]},
    }
    at_work.target_changed(DB, Heard.of(kopf.Body(body)))
    assert (set(looked_at), targets) == ({A, B}, [DB])
    assert at_work.heard[DB] == Heard(3, "now", frozenset({("shop/a", "d1")}))


def test_a_migration_that_is_deleted_makes_its_target_be_looked_at() -> None:
    at_work, _, targets = office()
    at_work.heard[DB] = BEFORE
    at_work.migration_deleted(A)
    at_work.migration_deleted(("shop", "c"))
    assert targets == [DB]
