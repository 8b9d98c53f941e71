"""Scripts from an image: its place in the Job, and which image a run gets."""

from dataclasses import replace
from typing import Any

import pytest

from schema_operator.api.schema_migration import RunOutcome, SchemaMigrationSpec
from schema_operator.controller import images, jobs
from schema_operator.controller.decide import decide
from schema_operator.controller.observation import Migration, Trouble
from schema_operator.controller.source import see
from schema_operator.errors import Reason
from unit.controller.scenes import SPEC, ended, migration, observation, recorded, run, target

DIGEST = f"sha256:{'a' * 64}"
OTHER = f"sha256:{'b' * 64}"
IMAGE = {"reference": "registry:5000/shop/schema:1.0", "path": "/migrations/"}
PINNED = f"registry:5000/shop/schema@{DIGEST}"
START = jobs.Start(name="shop-1", work="w", number=1, failures=0, recheck=False, scripts_digest="d")


def with_image(of: Migration | None = None, **fields: Any) -> Migration:
    spec = SchemaMigrationSpec.model_validate({**SPEC, "scripts": {"image": IMAGE | fields}})
    return replace(of or migration(), spec=spec)


def pod_of(of: Migration, start: jobs.Start = START, **runner: Any) -> dict[str, Any]:
    at = target()
    spec = at.spec.model_validate({"connection": {"uriSecret": {"name": "shop", "key": "uri"}}, "runner": runner})
    manifest = jobs.manifest(of, replace(at, spec=spec), start, "image:1")
    return dict(manifest["spec"]["template"]["spec"])


def test_a_program_of_our_image_copies_in_a_container_of_the_image_of_scripts() -> None:
    tools, copy = pod_of(with_image())["initContainers"]
    assert (tools["name"], tools["image"]) == ("tools", "image:1")
    assert (copy["name"], copy["image"]) == ("scripts", IMAGE["reference"])
    (installed,) = tools["volumeMounts"]
    mounts = {mount["name"]: mount["mountPath"] for mount in copy["volumeMounts"]}
    assert tools["command"] == ["/opt/schema-operator/copier", "install", f"{installed['mountPath']}/copier"]
    assert copy["command"] == [f"{mounts['tools']}/copier", "copy", "/migrations/", mounts["scripts"]]
    assert "imagePullPolicy" not in copy


def test_the_folder_that_is_filled_is_the_one_the_runner_reads() -> None:
    of = with_image()
    spec = pod_of(of)
    (runner,) = spec["containers"]
    mounted = {mount["name"]: mount for mount in runner["volumeMounts"]}
    (folder,) = jobs.request_of(of, target(), START).folders
    assert (folder.path, folder.label) == (mounted["scripts"]["mountPath"], "/migrations")
    assert mounted["scripts"]["readOnly"]
    assert {"name": "scripts", "emptyDir": {}} in spec["volumes"]
    assert jobs.request_of(of, target(), START).scripts_digest is None
    assert jobs.request_of(migration(), target(), START).scripts_digest == "d"


def test_the_containers_are_confined_and_limited_as_the_runner_is() -> None:
    spec = pod_of(with_image(), resources={"limits": {"memory": "1Gi"}}, image="mirror/runner:2")
    (runner,) = spec["containers"]
    for one in spec["initContainers"]:
        assert one["securityContext"] == runner["securityContext"]
        assert one["resources"] == {"limits": {"memory": "1Gi"}}
    assert spec["initContainers"][0]["image"] == "mirror/runner:2"
    assert "secret-0" not in {mount["name"] for one in spec["initContainers"] for mount in one["volumeMounts"]}


def test_what_the_resource_says_of_pulling_is_in_the_pod() -> None:
    spec = pod_of(with_image(pullPolicy="Always", pullSecrets=[{"name": "a"}, {"name": "b"}]))
    assert spec["imagePullSecrets"] == [{"name": "a"}, {"name": "b"}]
    assert spec["initContainers"][1]["imagePullPolicy"] == "Always"
    plain = pod_of(migration())
    assert not {"imagePullSecrets", "initContainers"} & set(plain)


@pytest.mark.parametrize(("policy", "expected"), [("Always", "IfNotPresent"), ("Never", "Never"), (None, None)])
def test_an_image_with_its_digest_is_not_asked_for_again(policy: str | None, expected: str | None) -> None:
    spec = pod_of(with_image(pullPolicy=policy), replace(START, scripts_image=PINNED))
    assert spec["initContainers"][1]["image"] == PINNED
    assert spec["initContainers"][1].get("imagePullPolicy") == expected


# Which reference a run gets: what is asked for, what the runs before had (newest first), what it is.
PINS: list[tuple[str, str, list[str | None], str | None]] = [
    ("nothing is known", "r.io/s:1", [], None),
    ("not even of the run before", "r.io/s:1", [None], None),
    ("the run before had it", "r.io/s:1", [f"r.io/s@{DIGEST}"], f"r.io/s@{DIGEST}"),
    ("one before that", "r.io/s:1", [None, f"r.io/s@{DIGEST}"], f"r.io/s@{DIGEST}"),
    ("the newest counts", "r.io/s:1", [f"r.io/s@{DIGEST}", f"r.io/s@{OTHER}"], f"r.io/s@{DIGEST}"),
    ("it is asked for", f"r.io/s:1@{OTHER}", [f"r.io/s@{DIGEST}"], f"r.io/s:1@{OTHER}"),
    ("no digest of a registry", "s:1", [DIGEST], None),
    ("another repository", "r.io/s:1", [f"r.io/t@{DIGEST}"], None),
    ("a registry with a port, and no tag", "r:5000/s", [f"r:5000/s@{DIGEST}"], f"r:5000/s@{DIGEST}"),
    ("a name of Docker Hub", "s:1", [f"docker.io/library/s@{DIGEST}"], f"s@{DIGEST}"),
    ("another of Docker Hub", "me/s:1", [f"docker.io/me/s@{DIGEST}"], f"me/s@{DIGEST}"),
    ("only on this machine", "localhost/s:1", [f"localhost/s@{DIGEST}"], f"localhost/s@{DIGEST}"),
]


@pytest.mark.parametrize(("asked", "before", "expected"), [line[1:] for line in PINS], ids=[line[0] for line in PINS])
def test_which_image_is_meant(asked: str, before: list[str | None], expected: str | None) -> None:
    assert images.pinned(asked, before) == expected


def test_the_next_attempt_runs_what_the_one_before_ran() -> None:
    status = recorded(RunOutcome.RETRYABLE, failures=1, seconds_ago=60, scripts_image=PINNED)
    decision = decide(observation(with_image(migration(status=status))))
    assert decision.start is not None
    assert decision.start.scripts_image == PINNED
    assert decision.status is not None
    assert decision.status.current_run is not None
    assert decision.status.current_run.scripts_image == PINNED


def test_other_work_asks_what_the_tag_means_now() -> None:
    status = recorded(RunOutcome.DONE, scripts_image=PINNED)
    decision = decide(observation(with_image(migration(generation=2, status=status))))
    assert decision.start is not None
    assert decision.start.scripts_image is None


def test_an_attempt_whose_job_is_gone_has_left_what_it_ran() -> None:
    status = recorded(RunOutcome.RETRYABLE, failures=1, scripts_image=PINNED)
    assert status.runs is not None
    gone = status.runs[0].model_copy(update={"name": "gone", "number": 2, "outcome": None, "finished_at": None})
    lost = status.model_copy(update={"current_run": gone, "runs": None})
    found = decide(observation(with_image(migration(status=lost)))).status
    assert found is not None
    assert found.runs is not None
    assert found.runs[0].scripts_image == PINNED


def test_what_is_recorded_of_a_run_names_its_image() -> None:
    of = with_image(migration())
    status = decide(observation(of, runs=(run(ended=ended(), scripts_image=PINNED),))).status
    assert status is not None
    assert status.runs is not None
    assert status.runs[0].scripts_image == PINNED
    (valid,) = [one for one in status.conditions if one.type == "Validated"]
    assert valid.status == "True"
    assert PINNED in valid.message
    assert "no digest" in valid.message
    fixed = decide(observation(with_image(reference=PINNED), runs=(run(ended=ended(), scripts_image=PINNED),))).status
    assert fixed is not None
    assert "no digest" not in next(one.message for one in fixed.conditions if one.type == "Validated")


def test_an_image_that_cannot_be_pulled_is_told_while_it_is_tried_on() -> None:
    trouble = Trouble(reason=Reason.IMAGE_NOT_PULLED, message="not found")
    decision = decide(observation(with_image(), runs=(run(started=False, trouble=trouble),)))
    assert [event.reason for event in decision.events] == ["ImageNotPulled"]


def test_scripts_that_could_not_be_copied_wait_for_a_change() -> None:
    status = recorded(RunOutcome.REFUSED, reason="ScriptsNotCopied", seconds_ago=3600, message="no folder")
    decision = decide(observation(with_image(migration(status=status))))
    assert decision.start is None
    assert decision.status is not None
    assert [one.reason for one in decision.status.conditions if one.type == "Stalled"] == ["ScriptsNotCopied"]
    assert decision.requeue is None


@pytest.mark.parametrize(
    "change",
    [{"reference": "r.io/s:2"}, {"path": "/other"}, {"pullPolicy": "Never"}, {"pullSecrets": [{"name": "a"}]}],
)
def test_whatever_is_said_of_the_image_is_new_work(change: dict[str, Any]) -> None:
    before, after = see(with_image().spec, {}), see(with_image(**change).spec, {})
    assert (before.problem, after.problem) == (None, None)
    assert before == see(with_image().spec, {})
    assert before.digest != after.digest
