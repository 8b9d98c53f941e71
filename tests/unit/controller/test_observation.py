"""What the controller makes of Jobs and pods."""

import json
from typing import Any

import msgspec
import pytest

from schema_operator.api.report import Outcome
from schema_operator.api.schema_migration import RunOutcome
from schema_operator.controller import names
from schema_operator.controller.observation import ended_container, runs_of, target_of
from schema_operator.errors import Reason
from unit.controller.scenes import report, run

JOB = "shop-12345678-1"


def job(
    name: str = JOB, created: str = "2026-11-22T12:00:00Z", spec: dict[str, Any] | None = None, **status: Any
) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "creationTimestamp": created,
            "labels": {names.WORK: "w"},
            "annotations": {names.NUMBER: "1", names.FAILURES: "0", names.GENERATION: "1", names.RECHECK: "false"},
        },
        "spec": spec or {},
        "status": status,
    }


def pod(state: dict[str, Any] | None = None, created: str = "2026-11-22T12:00:01Z", **status: Any) -> dict[str, Any]:
    containers = [{"name": "proxy", "state": {"running": {}}}]
    if state is not None:
        containers.append({"name": "runner", "state": state})
    return {
        "metadata": {"name": "pod", "creationTimestamp": created, "labels": {names.JOB_NAME: JOB}},
        "status": {"containerStatuses": containers, **status},
    }


def terminated(code: int, message: str = "", reason: str = "Error") -> dict[str, Any]:
    return {"exitCode": code, "message": message, "reason": reason}


def message(outcome: Outcome, **extra: Any) -> str:
    return msgspec.json.encode(report(outcome, run=JOB, **extra)).decode()


def condition(kind: str, reason: str = "", status: str = "True") -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason}


CONTAINERS = [
    ("done", terminated(0, message(Outcome.DONE)), RunOutcome.DONE, None, False),
    ("refused", terminated(20, message(Outcome.REFUSED, reason="OutOfOrder")), RunOutcome.REFUSED, "OutOfOrder", False),
    ("failed", terminated(21, message(Outcome.FAILED, reason="SyntaxError")), RunOutcome.FAILED, "SyntaxError", False),
    ("may pass later, counted", terminated(10, message(Outcome.RETRYABLE)), RunOutcome.RETRYABLE, None, True),
    (
        "another ConfigMap than the controller saw, not counted",
        terminated(10, message(Outcome.RETRYABLE, reason="SourceChanged")),
        RunOutcome.RETRYABLE,
        "SourceChanged",
        False,
    ),
    ("lock held, not counted", terminated(40, message(Outcome.LOCK_HELD)), RunOutcome.LOCK_HELD, None, False),
    ("stopped, not counted", terminated(143, message(Outcome.STOPPED)), RunOutcome.STOPPED, None, False),
    ("unknown", terminated(31, message(Outcome.UNKNOWN)), RunOutcome.UNKNOWN, None, False),
    ("exit code 0 without a report is no success", terminated(0), RunOutcome.KILLED, "RunnerKilled", True),
    (
        "exit code 0 with half a report",
        terminated(0, message(Outcome.DONE)[:40]),
        RunOutcome.KILLED,
        "RunnerKilled",
        True,
    ),
    (
        "exit code that contradicts the report",
        terminated(137, message(Outcome.DONE)),
        RunOutcome.KILLED,
        "RunnerKilled",
        True,
    ),
    (
        "report of another run",
        terminated(0, message(Outcome.DONE).replace(JOB, "shop-other-1")),
        RunOutcome.KILLED,
        "RunnerKilled",
        True,
    ),
    ("killed for its memory", terminated(137, reason="OOMKilled"), RunOutcome.KILLED, "OOMKilled", True),
    ("an exit code nobody promised", terminated(3), RunOutcome.KILLED, "RunnerKilled", True),
]


@pytest.mark.parametrize(
    ("state", "outcome", "reason", "counted"), [line[1:] for line in CONTAINERS], ids=[line[0] for line in CONTAINERS]
)
def test_how_a_container_ended(state: dict[str, Any], outcome: RunOutcome, reason: str | None, counted: bool) -> None:
    found = ended_container(JOB, state)
    assert (found.outcome, found.reason, found.counted) == (outcome, reason, counted)


SUSPENDED = [condition("Suspended")]
STOP = {"suspend": True}

RUNS = [
    ("no pod yet", job(), None, False, None, None),
    ("pod without a container", job(), pod(), False, None, None),
    ("container running", job(), pod({"running": {}}), True, None, None),
    ("image not there", job(), pod({"waiting": {"reason": "ImagePullBackOff"}}), False, None, "ImageNotPulled"),
    ("container being made", job(), pod({"waiting": {"reason": "ContainerCreating"}}), False, None, None),
    (
        "no node",
        job(),
        pod(conditions=[condition("PodScheduled", "Unschedulable", "False")]),
        False,
        None,
        "Unschedulable",
    ),
    (
        "ended before the Job says so",
        job(),
        pod({"terminated": terminated(21, message(Outcome.FAILED))}),
        True,
        "Failed",
        None,
    ),
    (
        "stopped by the deadline",
        job(conditions=[condition("FailureTarget", "DeadlineExceeded")]),
        pod({"terminated": terminated(143, message(Outcome.STOPPED))}),
        True,
        "Killed DeadlineExceeded counted",
        None,
    ),
    (
        "done at the very deadline",
        job(conditions=[condition("Failed", "DeadlineExceeded")]),
        pod({"terminated": terminated(0, message(Outcome.DONE))}),
        True,
        "Done",
        None,
    ),
    (
        "deadline before the pod was stopped",
        job(conditions=[condition("FailureTarget", "DeadlineExceeded")]),
        pod({"running": {}}),
        True,
        None,
        None,
    ),
    ("told to stop, its pod still there", job(conditions=SUSPENDED, spec=STOP), pod({"running": {}}), True, None, None),
    ("told to stop, its pod going", job(conditions=SUSPENDED, spec=STOP, terminating=1), None, False, None, None),
    ("told to stop, and its pod is gone", job(conditions=SUSPENDED, spec=STOP), None, False, "Stopped Stopped", None),
    (
        "told to stop, and ended before",
        job(conditions=SUSPENDED, spec=STOP),
        pod({"terminated": terminated(0, message(Outcome.DONE))}),
        True,
        "Done",
        None,
    ),
    (
        "drained",
        job(),
        pod({"terminated": terminated(137)}, conditions=[condition("DisruptionTarget", "EvictionByEvictionAPI")]),
        True,
        "Killed Evicted",
        None,
    ),
    (
        "pod gone",
        job(conditions=[condition("Failed", "BackoffLimitExceeded")]),
        None,
        False,
        "Killed RunnerKilled counted",
        None,
    ),
]


DIGEST = f"sha256:{'0' * 64}"
CLEAR = "the image has no folder /migratons; in / there is migrations/; correct spec.scripts.image.path"

COPYING = "the container {}, which copies the scripts, ended with exit code {}: {}; nothing was run"


def image_job(image: str = "registry/scripts:1", **extra: Any) -> dict[str, Any]:
    made = job(spec=extra.pop("spec", None), **extra)
    made["spec"] = {
        "template": {"spec": {"initContainers": [{"name": "tools"}, {"name": "scripts", "image": image}]}},
        **made["spec"],
    }
    return made


def image_pod(state: dict[str, Any], container: str = "scripts", image_id: str = "", **status: Any) -> dict[str, Any]:
    found = {"name": container, "state": state, "imageID": image_id}
    others = [{"name": "istio-init", "state": {"terminated": terminated(1)}, "imageID": "registry/istio@sha256:1"}]
    waiting = {"waiting": {"reason": "PodInitializing"}}
    return pod(waiting, initContainerStatuses=[*others, found], **status)


# The containers that copy scripts out of an image: the Job, the pod, how the run ended, and what is in its way.
COPIED = [
    ("pulled", image_job(), image_pod({"waiting": {"reason": "PodInitializing"}}), None, None),
    ("at work", image_job(), image_pod({"running": {}}), None, None),
    ("done", image_job(), image_pod({"terminated": terminated(0, reason="Completed")}), None, None),
    (
        "no such image",
        image_job(),
        image_pod({"waiting": {"reason": "ErrImagePull", "message": "not found"}}),
        None,
        "ImageNotPulled: the pod cannot start because of the image of spec.scripts.image: not found",
    ),
    (
        "no such image of the runner",
        image_job(),
        image_pod({"waiting": {"reason": "ImagePullBackOff"}}, "tools"),
        None,
        "ImageNotPulled: the pod cannot start because of the image of the runner: ImagePullBackOff",
    ),
    (
        "a name that is none",
        image_job(),
        image_pod({"waiting": {"reason": "InvalidImageName"}}),
        None,
        "ImageNotPulled: the pod cannot start because of the image of spec.scripts.image: InvalidImageName",
    ),
    (
        "no such folder",
        image_job(),
        image_pod({"terminated": terminated(20, CLEAR + "\n")}),
        f"Refused ScriptsNotCopied: the scripts could not be copied: {CLEAR}",
        None,
    ),
    (
        "disk full",
        image_job(),
        image_pod({"terminated": terminated(10, "write /x: no space left")}),
        "Retryable ScriptsNotCopied counted: the scripts could not be copied: write /x: no space left",
        None,
    ),
    (
        "an exit code nobody promised",
        image_job(),
        image_pod({"terminated": terminated(128, "exec format error", "StartError")}),
        f"Killed RunnerKilled counted: {COPYING.format('scripts', 128, 'exec format error')}",
        None,
    ),
    (
        "killed without a word",
        image_job(),
        image_pod({"terminated": terminated(137, reason="OOMKilled")}, "tools"),
        f"Killed RunnerKilled counted: {COPYING.format('tools', 137, 'OOMKilled')}",
        None,
    ),
    (
        "drained",
        image_job(),
        image_pod({"terminated": terminated(2)}, conditions=[condition("DisruptionTarget", "EvictionByEvictionAPI")]),
        "Killed Evicted: the runner's pod was taken away (EvictionByEvictionAPI); this does not count as an attempt",
        None,
    ),
    ("told to stop", image_job(spec={"suspend": True}), image_pod({"terminated": terminated(2)}), None, None),
]


@pytest.mark.parametrize(
    ("of", "with_pod", "end", "trouble"), [line[1:] for line in COPIED], ids=[x[0] for x in COPIED]
)
def test_what_is_seen_of_scripts_that_are_copied(
    of: dict[str, Any], with_pod: dict[str, Any], end: str | None, trouble: str | None
) -> None:
    (found,) = runs_of([of], [with_pod])
    assert not found.started
    assert (f"{found.trouble.reason}: {found.trouble.message}" if found.trouble else None) == trouble
    if found.ended is None:
        assert end is None
    else:
        counted = " counted" if found.ended.counted else ""
        assert f"{found.ended.outcome} {found.ended.reason}{counted}: {found.ended.message}" == end


def test_a_runner_that_has_ended_counts_before_what_other_containers_did() -> None:
    with_pod = image_pod({"terminated": terminated(0)})
    with_pod["status"]["containerStatuses"][1]["state"] = {"terminated": terminated(0, message(Outcome.DONE))}
    (found,) = runs_of([image_job()], [with_pod])
    assert found.ended is not None
    assert found.ended.outcome is RunOutcome.DONE


# What is known of the image: what the Job asks for, what the node says, what the run is recorded with.
IMAGES = [
    ("not pulled yet", "r.io/s:1", "", None),
    ("as containerd and CRI-O say it", "r.io/s:1", f"r.io/s@{DIGEST}", f"r.io/s@{DIGEST}"),
    ("as cri-dockerd says it", "r.io/s:1", f"docker-pullable://r.io/s@{DIGEST}", f"r.io/s@{DIGEST}"),
    ("an image that is only on the node", "s:1", DIGEST, DIGEST),
    ("asked for with its digest", f"r.io/s:1@{DIGEST}", f"r.io/s@{DIGEST}", f"r.io/s:1@{DIGEST}"),
]


@pytest.mark.parametrize(("asked", "said", "expected"), [line[1:] for line in IMAGES], ids=[line[0] for line in IMAGES])
def test_which_image_the_scripts_of_a_run_come_from(asked: str, said: str, expected: str | None) -> None:
    (found,) = runs_of([image_job(asked)], [image_pod({"running": {}}, image_id=said)])
    assert found.scripts_image == expected


def test_a_run_without_an_image_has_none() -> None:
    (found,) = runs_of([job()], [image_pod({"running": {}}, image_id=f"r.io/s@{DIGEST}")])
    assert found.scripts_image is None


@pytest.mark.parametrize(
    ("of", "with_pod", "started", "end", "trouble"), [line[1:] for line in RUNS], ids=[line[0] for line in RUNS]
)
def test_what_is_seen_of_a_run(
    of: dict[str, Any], with_pod: dict[str, Any] | None, started: bool, end: str | None, trouble: str | None
) -> None:
    (found,) = runs_of([of], [with_pod] if with_pod else [])
    assert found.started is started
    assert found.stopping is bool(of["spec"])
    assert (found.trouble.reason if found.trouble else None) == trouble
    if found.ended is None:
        assert end is None
    else:
        words = [found.ended.outcome, found.ended.reason or "", "counted" if found.ended.counted else ""]
        assert " ".join(word for word in words if word) == end


def test_runs_are_ordered_by_age_and_the_newest_pod_counts() -> None:
    pods = [
        pod({"terminated": terminated(137)}, created="2026-11-22T12:00:01Z"),
        pod({"running": {}}, created="2026-11-22T12:00:09Z"),
    ]
    found = runs_of([job("later", "2026-11-22T13:00:00Z"), job()], pods)
    assert [item.name for item in found] == [JOB, "later"]
    assert found[0].ended is None


def test_a_job_has_the_same_name_for_the_same_attempt_and_another_for_another() -> None:
    name = names.job_name("shop", "uid", "work", 1)
    assert name == names.job_name("shop", "uid", "work", 1)
    others = {
        names.job_name("shop", "uid2", "work", 1),
        names.job_name("shop", "uid", "work2", 1),
        names.job_name("shop", "uid", "work", 2),
    }
    assert len(others | {name}) == 4
    assert len(names.job_name("x" * 253, "uid", "work", 1000)) <= 63


def test_a_scene_is_what_the_code_would_make() -> None:
    assert run().name == names.job_name("shop", "11111111-2222-3333-4444-555555555555", run().work, 1)
    json.dumps(job())


APART = ("policy.windows", "suspend")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"a": 1}, {"a": 1, "suspend": True}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({}, {"policy": {"windows": [1]}}, True),
        ({"policy": {}}, {"policy": {"windows": [1]}}, True),
        ({"policy": {"retries": 1}}, {"policy": {"retries": 1, "windows": [1]}}, True),
        ({"policy": {"retries": 1}}, {"policy": {"retries": 2, "windows": [1]}}, False),
        ({"policy": {"retries": 1}}, {"policy": {}}, False),
    ],
)
def test_what_is_asked_for_is_what_is_to_be_done_and_not_when(
    one: dict[str, Any], other: dict[str, Any], same: bool
) -> None:
    assert (names.asked(one, APART) == names.asked(other, APART)) is same


@pytest.mark.parametrize("approval", [{}, {"apply": "Automatic", "rollback": "Automatic"}, {"apply": "Required"}])
def test_what_waits_for_approvals_is_none_of_what_is_asked_for(approval: dict[str, str]) -> None:
    """A run for it would be started by everybody who turns it on, and by an upgrade that fills in the default."""
    meta = {"namespace": "shop", "name": "shop", "uid": "u", "generation": 1, "resourceVersion": "1"}
    spec: dict[str, Any] = {"connection": {"uriSecret": {"name": "s", "key": "k"}}, "policy": {"outOfOrder": "Allow"}}
    asking = spec | {"policy": spec["policy"] | {"approval": approval}}
    assert target_of({"metadata": meta, "spec": asking}).asked == target_of({"metadata": meta, "spec": spec}).asked


@pytest.mark.parametrize(
    ("reason", "counted"), [(Reason.PLAN_CHANGED, False), (Reason.SOURCE_CHANGED, False), (Reason.UNREACHABLE, True)]
)
def test_what_is_no_failure_of_an_attempt_uses_up_none(reason: Reason, counted: bool) -> None:
    told = msgspec.json.encode(report(Outcome.RETRYABLE, run="job", reason=reason.value)).decode()
    found = ended_container("job", {"exitCode": 10, "message": told})
    assert (found.reason, found.counted) == (reason, counted)
