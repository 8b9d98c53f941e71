"""Objects that nobody promised: made by hand, by another release, or half there."""

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError

from schema_operator.controller import names
from schema_operator.controller.observation import migration_of, runs_of, sentence, target_of
from schema_operator.controller.queue import Key, Queue
from schema_operator.controller.source import see
from unit.controller.scenes import SPEC
from unit.controller.test_observation import job

META = {"namespace": "shop", "name": "shop", "uid": "u", "generation": 1, "resourceVersion": "7"}


def changed(annotation: str, value: str | None) -> dict[str, Any]:
    found = job()
    if value is None:
        del found["metadata"]["annotations"][annotation]
    else:
        found["metadata"]["annotations"][annotation] = value
    return found


def bare(part: str) -> dict[str, Any]:
    found = job()
    del found["metadata"][part]
    return found


FOREIGN = [
    ("no labels", bare("labels")),
    ("no annotations", bare("annotations")),
    ("no number, as another release may write it", changed(names.NUMBER, None)),
    ("a number that is none", changed(names.NUMBER, "one")),
    ("number 0", changed(names.NUMBER, "0")),
    ("no word on looking again", changed(names.RECHECK, None)),
]


@pytest.mark.parametrize("foreign", [line[1] for line in FOREIGN], ids=[line[0] for line in FOREIGN])
def test_a_job_that_is_no_run_of_ours_is_passed_over(foreign: dict[str, Any]) -> None:
    assert [item.name for item in runs_of([foreign, job("ours")], [])] == ["ours"]


def test_a_pod_without_a_status_is_a_pod_that_has_not_begun() -> None:
    pod = {"metadata": {"name": "p", "creationTimestamp": "2026-11-22T12:00:00Z", "labels": {names.JOB_NAME: "j"}}}
    (found,) = runs_of([job("j")], [pod])
    assert (found.started, found.ended, found.pod) == (False, None, "p")


def test_a_status_that_cannot_be_read_counts_as_empty() -> None:
    body = {"metadata": META, "spec": SPEC, "status": {"state": "Exploding", "runs": "none"}}
    assert migration_of(body).status.runs is None
    spec = {"connection": {"uriSecret": {"name": "s", "key": "k"}}}
    assert target_of({"metadata": META, "spec": spec, "status": {"conditions": 1}}).status.conditions == []


def test_a_spec_that_cannot_be_read_is_told_by_field_and_never_by_content() -> None:
    body = {"metadata": META, "spec": {**SPEC, "version": "canary-4711"}}
    with pytest.raises(ValidationError) as caught:
        migration_of(body)
    assert "spec.version:" in sentence(caught.value)
    assert "canary" not in sentence(caught.value)


def test_a_problem_that_is_remembered_does_not_keep_the_scripts() -> None:
    """An exception holds its frames, and these hold every ConfigMap."""
    scripts = {"inline": [{"version": "1", "up": "SELECT 'open"}]}
    spec = migration_of({"metadata": META, "spec": {**SPEC, "scripts": scripts}}).spec
    problem = see(spec, {}).problem
    assert problem is not None
    assert (problem.__traceback__, problem.__context__, problem.__cause__) == (None, None, None)
    assert problem.location.statement is not None or problem.location.line is not None


@pytest.mark.parametrize("migration", ["a" * 199 + "-b", "a" * 198 + ".bc", "shop"])
def test_an_event_has_a_name_the_api_server_takes(migration: str) -> None:
    head, _, digest = names.event_name(migration, "uid", "Applied", "run").rpartition(".")
    assert head[-1].isalnum()
    assert len(digest) == 16


@pytest.mark.asyncio
async def test_nothing_begins_once_the_queue_is_closed() -> None:
    looks: list[Key] = []

    async def work(key: Key) -> float | None:
        looks.append(key)
        return None

    queue = Queue(work)
    await queue.close()
    queue.put(("shop", "shop"))
    await asyncio.sleep(0)
    assert looks == []
    assert queue.keys() == ()
