"""The controller is killed before or after any of its calls, and another one goes on.

The API server, the database and the Jobs here keep what is done to them. First everything is done without a
disturbance; then once more for each call, with a controller that dies there. In the end there must be the same.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schema_operator.api import request as requests
from schema_operator.api.report import Action, Outcome, RunReport, for_termination_message
from schema_operator.controller import names, perform
from schema_operator.controller.connection import ApiError
from schema_operator.controller.deciding.statuses import timestamp
from schema_operator.controller.observation import CONTAINER
from schema_operator.controller.perform import Performer

KEY = ("shop", "shop")
LOOKS = 80
PENDING, RUNNING, ENDED = range(3)
RUNNING_POD = {"running": {"startedAt": "2026-11-22T12:00:00Z"}}


class Killed(BaseException):
    """The process is gone: nothing catches it."""


@dataclass
class World:
    """What is there apart from the controller."""

    outcomes: list[Outcome]
    """How runs end, in their order; each after the last is Done."""
    generations: int = 1
    """How often something else is wanted, each time after the last is done."""
    crash: tuple[int, bool] | None = None
    """At which call the controller dies, and whether that call was carried out."""
    history: list[str] = field(default_factory=list)
    created: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    jobs_there: dict[str, dict[str, Any]] = field(default_factory=dict)
    stages: dict[str, int] = field(default_factory=dict)
    ends: dict[str, dict[str, Any]] = field(default_factory=dict)
    now: datetime = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)

    def __post_init__(self) -> None:
        spec = {"connection": {"uriSecret": {"name": "shop", "key": "uri"}}}
        self.target_body = {"metadata": self._meta("target-uid"), "spec": spec}
        self.body: dict[str, Any] = {"metadata": self._meta("migration-uid"), "spec": {}}
        self.want(1)

    @staticmethod
    def _meta(uid: str) -> dict[str, Any]:
        return {"namespace": "shop", "name": "shop", "uid": uid, "generation": 1, "resourceVersion": "1"}

    def want(self, generation: int) -> None:
        scripts = [{"version": str(one), "up": "SELECT 1"} for one in range(1, generation + 1)]
        self.body["spec"] = {"database": {"name": "shop"}, "scripts": {"inline": scripts}}
        self.body["metadata"]["generation"] = generation

    def goes_on(self, steps: int) -> None:
        """Let time pass: pods start, run and end."""
        for _ in range(steps):
            for name, stage in self.stages.items():
                if stage < ENDED:
                    self.stages[name] = stage + 1
                    if stage + 1 == ENDED:
                        self._end(name)

    def _end(self, name: str) -> None:
        outcome = self.outcomes.pop(0) if self.outcomes else Outcome.DONE
        template = self.jobs_there[name]["spec"]["template"]["metadata"]["annotations"]
        wanted = [script.version for script in requests.unpack(template[names.REQUEST].encode()).inline]
        missing = [version for version in wanted if version not in self.history] if outcome is Outcome.DONE else []
        self.history += missing
        newest = max(self.history, default="0")
        report = RunReport(
            run=name, outcome=outcome, action=Action.APPLY, message="so it was", version=newest, versions=tuple(missing)
        )
        message = for_termination_message(report).decode()
        self.ends[name] = {"terminated": {"exitCode": int(outcome), "message": message}}

    def done(self) -> bool:
        conditions = {item["type"]: item["status"] for item in self.body.get("status", {}).get("conditions", ())}
        observed = self.body.get("status", {}).get("observedGeneration")
        return conditions.get("Ready") == "True" and observed == self.body["metadata"]["generation"]

    def end_state(self) -> dict[str, Any]:
        """Give what must be the same, without times."""
        timeless = {"startedAt", "finishedAt", "lastTransitionTime", "retryAt"}

        def without(item: Any) -> Any:
            if isinstance(item, dict):
                return {key: without(value) for key, value in item.items() if key not in timeless}
            return [without(one) for one in item] if isinstance(item, list) else item

        status, target = without(self.body["status"]), without(self.target_body["status"])
        jobs_there = sorted(self.jobs_there)
        assert not self.body["metadata"].get("finalizers")
        return {"status": status, "target": target, "history": self.history, "jobs": self.created, "left": jobs_there}

    # What the controller asks of `Cluster`.

    def _call(self, name: str, carried_out: Callable[[], Any]) -> Any:
        stage = ("pending", "running", "ended")[self.stages[self.created[-1]]] if self.created else "none"
        self.calls.append(f"{name} while run {len(self.created)} is {stage}")
        at, after = self.crash or (0, False)
        if len(self.calls) == at and not after:
            raise Killed
        result = copy.deepcopy(carried_out())
        if len(self.calls) == at:
            raise Killed
        return result

    async def migration(self, *_: str) -> dict[str, Any]:
        return dict(self._call("migration", lambda: self.body))

    async def target(self, *_: str) -> dict[str, Any]:
        return dict(self._call("target", lambda: self.target_body))

    async def jobs(self, *_: str) -> list[dict[str, Any]]:
        return list(self._call("jobs", lambda: [self._job(name) for name in self.jobs_there]))

    def _job(self, name: str) -> dict[str, Any]:
        ended = [{"type": "Complete", "status": "True"}] if self.stages[name] == ENDED else []
        return {**self.jobs_there[name], "status": {"conditions": ended}}

    async def pods(self, *_: str) -> list[dict[str, Any]]:
        return list(self._call("pods", lambda: [self._pod(name) for name in self.jobs_there]))

    def _pod(self, name: str) -> dict[str, Any]:
        states = {PENDING: {"waiting": {"reason": "ContainerCreating"}}, RUNNING: RUNNING_POD}
        state = states.get(self.stages[name]) or self.ends[name]
        created = self.jobs_there[name]["metadata"]["creationTimestamp"]
        meta = {"name": f"{name}-pod", "labels": {names.JOB_NAME: name}, "creationTimestamp": created}
        return {"metadata": meta, "status": {"containerStatuses": [{"name": CONTAINER, "state": state}]}}

    async def log_tail(self, *_: object) -> str:
        return str(self._call("log_tail", lambda: ""))

    async def create_job(self, manifest: dict[str, Any]) -> bool:
        def create() -> bool:
            name = manifest["metadata"]["name"]
            if name in self.jobs_there:
                return False
            created = copy.deepcopy(manifest)
            created["metadata"]["creationTimestamp"] = timestamp(self.now)
            self.jobs_there[name], self.stages[name] = created, PENDING
            self.created.append(name)
            return True

        return bool(self._call("create_job", create))

    async def delete_job(self, _: str, name: str) -> None:
        self._call("delete_job", lambda: self.jobs_there.pop(name, None))

    async def create_event(self, manifest: dict[str, Any]) -> bool:
        def create() -> bool:
            name = manifest["metadata"]["name"]
            new = name not in self.told
            self.told += [name] if new else []
            return new

        return bool(self._call("create_event", create))

    async def apply_migration_status(self, meta: dict[str, str], status: dict[str, Any]) -> str:
        return str(self._call("apply_migration_status", lambda: self._apply(self.body, meta, status)))

    async def set_finalizers(self, meta: dict[str, str], finalizers: tuple[str, ...]) -> str:
        def write() -> str:
            version = self._new_version(self.body, meta)
            self.body["metadata"]["finalizers"] = list(finalizers)
            return version

        return str(self._call("set_finalizers", write))

    async def apply_target_status(self, meta: dict[str, str], status: dict[str, Any]) -> None:
        self._call("apply_target_status", lambda: self._apply(self.target_body, meta, status))

    def _apply(self, body: dict[str, Any], meta: dict[str, str], status: dict[str, Any]) -> str:
        version = self._new_version(body, meta)
        body["status"] = copy.deepcopy(status)
        return version

    @staticmethod
    def _new_version(body: dict[str, Any], meta: dict[str, str]) -> str:
        if meta["resourceVersion"] != body["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", "modified")
        body["metadata"]["resourceVersion"] = str(int(meta["resourceVersion"]) + 1)
        return str(body["metadata"]["resourceVersion"])


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[World]]:
    """Let the controller read the clock of the last world."""
    worlds: list[World] = []

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:  # noqa: ARG003 (as datetime's)
            return worlds[-1].now

    monkeypatch.setattr(perform, "datetime", Clock)
    yield worlds
    worlds.clear()


async def play(world: World, while_down: int) -> None:
    """Look until all is done; a controller that died is replaced after the world went on for some steps."""
    wanted = 1
    controller: Any = Performer(world, "image:1")  # type: ignore[arg-type]  # answers as Cluster does
    for _ in range(LOOKS):
        again: float | None = 1.0
        try:
            again = await controller.migration(KEY)
        except Killed:
            controller = Performer(world, "image:1")  # type: ignore[arg-type]  # the same
            world.goes_on(while_down)
        else:
            if world.done() and again is None:
                if wanted == world.generations:
                    return
                wanted += 1
                world.want(wanted)
                version = int(world.body["metadata"]["resourceVersion"]) + 1
                world.body["metadata"]["resourceVersion"] = str(version)
            else:
                world.goes_on(1)
        world.now += timedelta(seconds=max(again or 1.0, 1.0))
    raise AssertionError(f"not done after {LOOKS} looks: {world.body.get('status')}")


RETRIED = "applied at the second attempt"
FOUR = "four versions, one after the other"
SCENARIOS: dict[str, Callable[[], World]] = {
    RETRIED: lambda: World([Outcome.RETRYABLE]),
    FOUR: lambda: World([], generations=4),
}


def show_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let runs be long enough to be shown, in no time."""
    monkeypatch.setattr(perform, "FIRST_SIGHT_SECONDS", 0.0)
    monkeypatch.setattr(perform, "PROGRESS_SECONDS", 0.0)


def points(calls: list[str]) -> Iterator[tuple[int, bool]]:
    """Give where to die: before each call, and after each that writes."""
    for number, call in enumerate(calls, start=1):
        yield number, False
        if call.startswith(("create", "apply", "delete", "set")):
            yield number, True


@pytest.mark.fault(31, 32)
@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("scenario", "while_down"),
    [(RETRIED, 0), (RETRIED, 1), (RETRIED, 3), (FOUR, 1)],
    ids=["back at once", "back a step later", "back after its end", "with old Jobs to delete"],
)
async def test_it_ends_the_same_wherever_the_controller_is_killed(
    clock: list[World], monkeypatch: pytest.MonkeyPatch, scenario: str, while_down: int
) -> None:
    if scenario == FOUR:
        show_at_once(monkeypatch)
    undisturbed = SCENARIOS[scenario]()
    clock.append(undisturbed)
    await play(undisturbed, 0)
    wanted = undisturbed.end_state()
    assert wanted["history"] == [str(one) for one in range(1, undisturbed.generations + 1)]
    for number, after in points(undisturbed.calls):
        world = SCENARIOS[scenario]()
        world.crash = (number, after)
        clock.append(world)
        await play(world, while_down)
        point = f"{'after' if after else 'before'} call {number}: {undisturbed.calls[number - 1]}"
        assert world.end_state() == wanted, point
        assert len(set(world.told)) == len(world.told) <= len(undisturbed.told), point


@pytest.mark.asyncio
async def test_the_points_of_a_life_are_all_among_them(clock: list[World], monkeypatch: pytest.MonkeyPatch) -> None:
    show_at_once(monkeypatch)
    world = World([Outcome.RETRYABLE], generations=4)
    clock.append(world)
    await play(world, 0)
    for point in (
        "create_job while run 0 is none",
        "apply_migration_status while run 1 is pending",
        "set_finalizers while run 0 is none",
        "set_finalizers while run 1 is ended",
        "jobs while run 1 is running",
        "log_tail while run 1 is running",
        "jobs while run 1 is ended",
        "apply_target_status while run 1 is ended",
        "apply_migration_status while run 1 is ended",
        "create_event while run 1 is ended",
        "create_job while run 1 is ended",
        "delete_job while run 4 is ended",
    ):
        assert point in world.calls, point
