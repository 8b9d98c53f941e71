"""Scripts from an image: the containers that bring them into the runner's pod, and what is seen of these. Pure.

A container of the image copies the folder into a volume that the runner mounts. The image need not hold any program:
`copier/` of our image is put beside it by a container before.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from schema_operator.api.schema_migration import ImageSource, PullPolicy, RunOutcome

TOOLS = "tools"
SCRIPTS = "scripts"
"""Names of the containers, and of the volumes they fill."""
COPIER = "/opt/schema-operator/copier"
"""Where our image has the program (Dockerfile)."""
_INSIDE = "/.schema-operator"
"""Where our volumes are in a container of the image: hidden, so that no script is looked for there."""
ENDS = {20: RunOutcome.REFUSED, 10: RunOutcome.RETRYABLE}
"""Exit codes of the copier (copier/main.go)."""
_DOCKER = "docker-pullable://"
"""What cri-dockerd writes before the name of an image (kubelet, "imageID")."""


def digest_of(image: ImageSource) -> str:
    """Tell one source from another. What is in the image is not known before it is run."""
    said = image.model_dump(by_alias=True, exclude_none=True, mode="json")
    return hashlib.sha256(json.dumps({"image": said}, sort_keys=True).encode()).hexdigest()


def label_of(image: ImageSource) -> str:
    """Give what messages call the folder: its path in the image."""
    return image.path.rstrip("/")


def has_digest(reference: str) -> bool:
    """Tell whether a reference names what is in the image, so that it can never mean another."""
    return "@" in reference


def pinned(reference: str, before: Iterable[str | None]) -> str | None:
    """Give the reference with the digest that runs before have had, newest first; None where it is not known.

    Only a digest of the same repository counts: a node may know the same content by the name of another, and what it is
    called there need not exist here.
    """
    if has_digest(reference):
        return reference
    for image in before:
        if image is not None and has_digest(image) and _repository(image) == _repository(reference):
            return f"{_without_tag(reference)}@{image.partition('@')[2]}"
    return None


def _without_tag(reference: str) -> str:
    name = reference.partition("@")[0]
    path, colon, tag = name.rpartition(":")
    return path if colon and "/" not in tag else name


def _repository(reference: str) -> str:
    """Write a repository in full (distribution/reference, "normalized names")."""
    name = _without_tag(reference)
    first, slash, _ = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return name
    return f"docker.io/{name}" if slash else f"docker.io/library/{name}"


def containers(
    image: ImageSource, fixed: str | None, runner_image: str, settings: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Give the two containers that run before the runner; `settings` are what all containers of the pod have alike.

    `fixed` is the reference with a digest, where there is one.
    """
    tools = {"name": TOOLS, "mountPath": f"{_INSIDE}/{TOOLS}"}
    copy: dict[str, Any] = {
        "name": SCRIPTS,
        "image": fixed or image.reference,
        "command": [f"{_INSIDE}/{TOOLS}/copier", "copy", image.path, f"{_INSIDE}/{SCRIPTS}"],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [tools | {"readOnly": True}, {"name": SCRIPTS, "mountPath": f"{_INSIDE}/{SCRIPTS}"}],
        **settings,
    }
    if image.pull_policy is not None:
        never_changes = fixed is not None and image.pull_policy is PullPolicy.ALWAYS
        copy["imagePullPolicy"] = PullPolicy.IF_NOT_PRESENT if never_changes else image.pull_policy
    install: dict[str, Any] = {
        "name": TOOLS,
        "image": runner_image,
        "command": [COPIER, "install", f"{_INSIDE}/{TOOLS}/copier"],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [tools],
        **settings,
    }
    return [install, copy]


def volumes() -> list[dict[str, Any]]:
    """Give the volumes that the containers fill."""
    return [{"name": TOOLS, "emptyDir": {}}, {"name": SCRIPTS, "emptyDir": {}}]


def mount(path: str) -> dict[str, Any]:
    """Give the runner's mount of the scripts."""
    return {"name": SCRIPTS, "mountPath": path, "readOnly": True}


def image_of(job: Mapping[str, Any], pod: Mapping[str, Any] | None) -> str | None:
    """Give the image a run has its scripts from, with its digest as soon as the node has said it."""
    template = job.get("spec", {}).get("template", {}).get("spec", {})
    asked = next((one["image"] for one in template.get("initContainers", ()) if one["name"] == SCRIPTS), None)
    if asked is None or has_digest(asked):
        return asked
    found = next((one.get("imageID") for one in _statuses(pod) if one["name"] == SCRIPTS), None)
    return str(found).removeprefix(_DOCKER) if found else None


def waiting(pod: Mapping[str, Any]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Give the containers before the runner that wait, with the state the kubelet tells of each."""
    for one in _statuses(pod):
        state = one.get("state", {}).get("waiting")
        if state is not None:
            yield one["name"], state


def failed(pod: Mapping[str, Any] | None) -> tuple[str, Mapping[str, Any]] | None:
    """Give the container before the runner that ended badly, and how; the runner is then never started."""
    for one in _statuses(pod):
        state = one.get("state", {}).get("terminated")
        if state is not None and state.get("exitCode") != 0:
            return one["name"], state
    return None


def _statuses(pod: Mapping[str, Any] | None) -> Iterable[Mapping[str, Any]]:
    statuses = (pod or {}).get("status", {}).get("initContainerStatuses", ())
    return tuple(one for one in statuses if one["name"] in (TOOLS, SCRIPTS))
