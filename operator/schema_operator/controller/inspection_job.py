"""The Job of an inspection, to and from plain data. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from schema_operator.api import request as requests
from schema_operator.api.model import API_VERSION, GROUP
from schema_operator.api.request import Mode, RunRequest
from schema_operator.controller import jobs, names
from schema_operator.controller.deciding.inspecting import DEADLINE_SECONDS, Inspection, StartInspection
from schema_operator.controller.observation import Target, runs_of

FINISHED_SECONDS = 600
"""A net only: the controller deletes the Job when it has read its end."""


def request_of(target: Target, start: StartInspection) -> RunRequest:
    """Say what the runner is to look at."""
    return RunRequest(
        run=start.name,
        actor=names.OPERATOR,
        mode=Mode.INSPECT,
        owners=tuple(f"{target.namespace}/{run.migration}" for run in target.status.runs or ()),
        connection=jobs.connection_files(target),
    )


def manifest(target: Target, start: StartInspection, default_image: str) -> dict[str, Any]:
    """Give the Job of an inspection."""
    labels = {
        names.MANAGED_BY: names.OPERATOR,
        names.COMPONENT: "inspection",
        names.TARGET_UID: target.uid,
        names.WORK: start.connection,
    }
    requested = {} if start.requested_at is None else {names.REQUESTED_AT: start.requested_at}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": start.name,
            "namespace": target.namespace,
            "labels": labels,
            "annotations": {
                names.TARGET: target.name,
                names.NUMBER: "1",
                names.FAILURES: str(start.failures),
                names.GENERATION: str(target.generation),
                names.RECHECK: "false",
                names.BEGAN: start.began,
                **requested,
            },
            # Without blockOwnerDeletion, so that no right to a finalizer is needed.
            "ownerReferences": [
                {
                    "apiVersion": f"{GROUP}/{API_VERSION}",
                    "kind": "TargetDatabase",
                    "name": target.name,
                    "uid": target.uid,
                    "controller": True,
                }
            ],
        },
        "spec": {
            "completions": 1,
            "parallelism": 1,
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            "activeDeadlineSeconds": DEADLINE_SECONDS,
            "ttlSecondsAfterFinished": FINISHED_SECONDS,
            "template": jobs.pod(
                target,
                default_image,
                requests.pack(request_of(target, start)),
                labels=labels,
                annotations={names.TARGET: target.name},
            ),
        },
    }


def inspections_of(jobs: Iterable[Mapping[str, Any]], pods: Iterable[Mapping[str, Any]]) -> tuple[Inspection, ...]:
    """Join the Jobs of inspections with their pods, oldest first."""
    annotations = {job["metadata"]["name"]: job["metadata"].get("annotations", {}) for job in jobs}
    return tuple(
        Inspection(
            run=run,
            connection=run.work,
            requested_at=annotations[run.name].get(names.REQUESTED_AT),
            began=annotations[run.name].get(names.BEGAN, run.created),
        )
        for run in runs_of(jobs, pods)
    )
