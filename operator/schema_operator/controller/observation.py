"""What was seen of one SchemaMigration, as one frozen record: everything `decide` may know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from pydantic import BaseModel, ValidationError

from schema_operator.api import report as reports
from schema_operator.api import request as requests
from schema_operator.api.migration_approval import ApprovalDecision, MigrationApprovalSpec
from schema_operator.api.report import Outcome, Progress, RunReport
from schema_operator.api.request import Mode
from schema_operator.api.schema_migration import (
    DeletionPolicy,
    RunOutcome,
    SchemaMigrationSpec,
    SchemaMigrationStatus,
    ScriptSource,
)
from schema_operator.api.target_database import TargetDatabaseSpec, TargetDatabaseStatus
from schema_operator.api.version import NOTHING
from schema_operator.controller import images, names
from schema_operator.controller.surroundings import ALONE, Surroundings
from schema_operator.errors import Reason, Refused

CONTAINER = "runner"
WHEN_OF_MIGRATION = (
    "scripts",
    "suspend",
    "expectedDuration",
    "emergency",
    "deletionPolicy",
    "requires.migrations",
)
"""Fields of a SchemaMigration that a change of does not ask for another run; scripts have a digest of their own."""
WHEN_OF_TARGET = ("policy.windows", "policy.freezes", "policy.approval", "inspection")
"""Fields of a TargetDatabase that a change of does not ask for another run."""
_Status = TypeVar("_Status", bound=BaseModel)

_OUTCOMES = {
    Outcome.DONE: RunOutcome.DONE,
    Outcome.RETRYABLE: RunOutcome.RETRYABLE,
    Outcome.REFUSED: RunOutcome.REFUSED,
    Outcome.FAILED: RunOutcome.FAILED,
    Outcome.VERIFICATION_FAILED: RunOutcome.VERIFICATION_FAILED,
    Outcome.PARTLY_APPLIED: RunOutcome.PARTLY_APPLIED,
    Outcome.UNKNOWN: RunOutcome.UNKNOWN,
    Outcome.LOCK_HELD: RunOutcome.LOCK_HELD,
    Outcome.STOPPED: RunOutcome.STOPPED,
}

_UNCOUNTED = (Reason.SOURCE_CHANGED, Reason.PLAN_CHANGED)
"""Of what passes by itself, what is no failure of an attempt: a mounted ConfigMap follows its object after a while, and
what was planned is planned anew."""

_NOT_STARTED = {
    "ErrImagePull": Reason.IMAGE_NOT_PULLED,
    "ImagePullBackOff": Reason.IMAGE_NOT_PULLED,
    "ErrImageNeverPull": Reason.IMAGE_NOT_PULLED,
    "InvalidImageName": Reason.IMAGE_NOT_PULLED,
    "CreateContainerConfigError": Reason.POD_NOT_STARTED,
    "CreateContainerError": Reason.POD_NOT_STARTED,
    "RunContainerError": Reason.POD_NOT_STARTED,
}
"""Reasons for which a container waits and that do not pass by themselves (kubelet, pkg/kubelet/images and
container)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """A SchemaMigration as the API server has it."""

    namespace: str
    name: str
    uid: str
    generation: int
    asked: str
    """Digest of what the spec asks for, without when it may be done and without the scripts, which have their own."""
    deleting: bool
    requested_at: str | None
    spec: SchemaMigrationSpec
    status: SchemaMigrationStatus
    resource_version: str = ""
    finalizers: tuple[str, ...] = ()
    accepts: str | None = None
    """Another database that somebody has said is meant, as the annotation has it."""
    undo: bool = False
    """Whether it is being deleted and rolled back before: what is asked for is then version "0", whatever the spec."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A TargetDatabase as the API server has it."""

    namespace: str
    name: str
    uid: str
    generation: int
    asked: str
    """Digest of what the spec says but for when something may be done."""
    spec: TargetDatabaseSpec
    status: TargetDatabaseStatus
    resource_version: str = ""
    requested_at: str | None = None
    deleting: bool = False

    @property
    def connection(self) -> str:
        """Digest of how the database is reached."""
        return names.asked(self.spec.connection.model_dump(mode="json", exclude_none=True), ())[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a run ended. `counted` says whether it uses up an attempt."""

    outcome: RunOutcome
    reason: Reason | None = None
    message: str
    counted: bool = False
    report: RunReport | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Why a pod does not start."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One Job of ours with its pod."""

    name: str
    work: str
    number: int
    failures: int
    generation: int
    recheck: bool
    created: str
    started: bool
    pod: str | None
    ended: Ended | None
    trouble: Trouble | None
    stopping: bool = False
    """Whether its Job was told to stop."""
    scripts_image: str | None = None
    """The image its scripts come from, as far as that is known."""
    mode: Mode = Mode.RUN
    approved_by: str | None = None
    """Who approved the plan it carries out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A MigrationApproval as the API server has it."""

    name: str
    created: str
    plan_digest: str
    decision: ApprovalDecision
    approver: str
    reason: str | None = None
    expires: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Everything known of one SchemaMigration at one instant."""

    migration: Migration
    target: Target | None
    scripts_digest: str | None
    """Digest of the scripts; absent where they could not be read."""
    problem: Refused | None
    """Why the scripts cannot be run; found without a database."""
    runs: tuple[Run, ...]
    progress: Progress | None
    """Newest line of progress of the run in flight."""
    now: datetime
    around: Surroundings = ALONE
    approvals: tuple[Approval, ...] = ()
    """Those of this migration, newest first; looked for where the policy asks for them."""


def migration_of(body: Mapping[str, Any]) -> Migration:
    """Read a SchemaMigration from plain data; raises `pydantic.ValidationError` where the CRD and we disagree."""
    meta, annotations = body["metadata"], body["metadata"].get("annotations", {})
    return leaving(
        Migration(
            namespace=meta["namespace"],
            name=meta["name"],
            uid=meta["uid"],
            generation=meta["generation"],
            asked=names.asked(body["spec"], WHEN_OF_MIGRATION),
            deleting="deletionTimestamp" in meta,
            requested_at=annotations.get(names.REQUESTED_AT),
            spec=SchemaMigrationSpec.model_validate(body["spec"]),
            status=migration_status_of(body),
            resource_version=meta["resourceVersion"],
            finalizers=tuple(meta.get("finalizers", ())),
            accepts=annotations.get(requests.ACCEPT_DATABASE),
        )
    )


def leaving(migration: Migration) -> Migration:
    """Give what is asked for of a migration that is being deleted: where it is rolled back before, version "0".

    Its checks are about another version, what it requires is none of a rollback's business, and the scripts are stored
    in the database.
    """
    undo = (
        migration.deleting
        and migration.spec.deletion_policy is DeletionPolicy.ROLLBACK
        and names.ROLLBACK_FINALIZER in migration.finalizers
    )
    if not undo:
        return migration
    without = {"scripts": ScriptSource(), "verify": None, "requires": None, "baseline": None}
    spec = migration.spec.model_copy(update={"version": NOTHING, **without})
    return replace(migration, spec=spec, asked=f"{migration.asked} undone", undo=True)


def migration_status_of(body: Mapping[str, Any]) -> SchemaMigrationStatus:
    """Read the status of a SchemaMigration.

    One that another release or another hand has written and that cannot be read counts as empty: it is only a view,
    and the Jobs and the history in the database say it all again.
    """
    return _readable(SchemaMigrationStatus, body.get("status"))


def target_of(body: Mapping[str, Any]) -> Target:
    """Read a TargetDatabase from plain data; raises `pydantic.ValidationError` where the CRD and we disagree."""
    meta = body["metadata"]
    return Target(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        generation=meta["generation"],
        asked=names.asked(body["spec"], WHEN_OF_TARGET),
        spec=TargetDatabaseSpec.model_validate(body["spec"]),
        status=_readable(TargetDatabaseStatus, body.get("status")),
        resource_version=meta["resourceVersion"],
        requested_at=meta.get("annotations", {}).get(names.REQUESTED_AT),
        deleting="deletionTimestamp" in meta,
    )


def approvals_of(bodies: Iterable[Mapping[str, Any]], migration: str) -> tuple[Approval, ...]:
    """Read the approvals of a migration, newest first; those of one second with a No before a Yes.

    One that another release has written and that cannot be read is none.
    """
    found = (_approval(body) for body in bodies if body.get("spec", {}).get("migration") == migration)
    newest_first = sorted(
        (one for one in found if one is not None),
        key=lambda one: (one.created, one.decision is ApprovalDecision.REJECT, one.name),
        reverse=True,
    )
    return tuple(newest_first)


def _approval(body: Mapping[str, Any]) -> Approval | None:
    meta = body["metadata"]
    try:
        spec = MigrationApprovalSpec.model_validate(body["spec"])
        expires = None if spec.expires is None else datetime.fromisoformat(spec.expires)
    except ValueError:
        return None
    return Approval(
        name=meta["name"],
        created=meta["creationTimestamp"],
        plan_digest=spec.plan_digest,
        decision=spec.decision,
        approver=spec.approver,
        reason=spec.reason,
        expires=expires,
    )


def _readable(model: type[_Status], status: object) -> _Status:
    try:
        return model.model_validate(status or {})
    except ValidationError:
        return model()


def sentence(error: ValidationError) -> str:
    """Say which fields are wrong and why, without what is in them."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    fields = "; ".join(f"spec.{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in found[:5])
    return f"{fields}; the CRDs in the cluster are not of this operator's release, install them again or correct this"


def runs_of(jobs: Iterable[Mapping[str, Any]], pods: Iterable[Mapping[str, Any]]) -> tuple[Run, ...]:
    """Join Jobs with their newest pods, oldest Job first; what does not say which run it is, is none of ours."""
    by_job: dict[str, Mapping[str, Any]] = {}
    for pod in sorted(pods, key=lambda item: str(item["metadata"]["creationTimestamp"])):
        by_job[pod["metadata"].get("labels", {}).get(names.JOB_NAME, "")] = pod
    runs = [_run(job, by_job.get(job["metadata"]["name"])) for job in jobs if _is_run(job)]
    return tuple(sorted(runs, key=lambda run: (run.created, run.number)))


def _is_run(job: Mapping[str, Any]) -> bool:
    meta = job["metadata"]
    annotations = meta.get("annotations", {})
    numbers = [annotations.get(key, "") for key in (names.NUMBER, names.FAILURES, names.GENERATION)]
    return (
        names.WORK in meta.get("labels", {})
        and names.RECHECK in annotations
        and all(text.isascii() and text.isdecimal() for text in numbers)
        and int(numbers[0]) > 0
    )


def _run(job: Mapping[str, Any], pod: Mapping[str, Any] | None) -> Run:
    meta = job["metadata"]
    annotations = meta.get("annotations", {})
    container = _container(pod) if pod else {}
    state = container.get("state", {})
    return Run(
        name=meta["name"],
        work=meta["labels"][names.WORK],
        number=int(annotations[names.NUMBER]),
        failures=int(annotations[names.FAILURES]),
        generation=int(annotations[names.GENERATION]),
        recheck=annotations[names.RECHECK] == "true",
        created=meta["creationTimestamp"],
        started="running" in state or "terminated" in state,
        pod=pod["metadata"]["name"] if pod else None,
        ended=_ended(job, pod, state.get("terminated")),
        trouble=_trouble(pod, state.get("waiting")) if pod else None,
        stopping=job.get("spec", {}).get("suspend", False),
        mode=Mode.PLAN if annotations.get(names.MODE) == Mode.PLAN else Mode.RUN,
        approved_by=annotations.get(names.APPROVED_BY),
        scripts_image=images.image_of(job, pod),
    )


def _container(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    for status in pod.get("status", {}).get("containerStatuses", ()):
        if status["name"] == CONTAINER:
            return dict(status)
    return {}


def _ended(job: Mapping[str, Any], pod: Mapping[str, Any] | None, terminated: Mapping[str, Any] | None) -> Ended | None:
    if terminated:
        found: Ended | None = ended_container(job["metadata"]["name"], terminated, disrupted=_disruption(pod))
    else:
        found = _ended_before(job, pod)
    if found is not None and found.outcome not in (RunOutcome.STOPPED, RunOutcome.KILLED):
        return found
    # FailureTarget comes before the pod is stopped, Failed when it is gone.
    failed = _true_condition(job, "FailureTarget") or _true_condition(job, "Failed")
    if failed is not None and failed.get("reason") == "DeadlineExceeded" and (found or _true_condition(job, "Failed")):
        return Ended(
            outcome=RunOutcome.KILLED,
            reason=Reason.DEADLINE_EXCEEDED,
            message="the run took longer than spec.runner.activeDeadlineSeconds of the TargetDatabase and was stopped",
            counted=True,
        )
    if found is not None:
        return found
    if _stopped(job, pod):
        return Ended(
            outcome=RunOutcome.STOPPED,
            reason=Reason.STOPPED,
            message="the run was stopped; nothing is half done, the history in the database decides what is left to do",
        )
    if _true_condition(job, "Failed") is None and _true_condition(job, "Complete") is None:
        return None
    return _vanished(_disruption(pod))


def _ended_before(job: Mapping[str, Any], pod: Mapping[str, Any] | None) -> Ended | None:
    """Read how a run ended that never came to its runner, because the scripts could not be copied."""
    failed = images.failed(pod)
    if failed is None or job.get("spec", {}).get("suspend", False):
        return None  # one that is told to stop has ended when its pod is gone
    disrupted = _disruption(pod)
    if disrupted:
        return Ended(outcome=RunOutcome.KILLED, reason=Reason.EVICTED, message=disrupted)
    container, state = failed
    said = str(state.get("message") or "").strip()
    outcome = images.ENDS.get(state.get("exitCode", 0), RunOutcome.KILLED)
    if outcome is not RunOutcome.KILLED and said:
        return Ended(
            outcome=outcome,
            reason=Reason.SCRIPTS_NOT_COPIED,
            message=f"the scripts could not be copied: {said}",
            counted=outcome is RunOutcome.RETRYABLE,
        )
    return Ended(
        outcome=RunOutcome.KILLED,
        reason=Reason.RUNNER_KILLED,
        message=f"the container {container}, which copies the scripts, ended with exit code {state.get('exitCode')}: "
        f"{said or state.get('reason') or 'it said nothing'}; nothing was run",
        counted=True,
    )


def _stopped(job: Mapping[str, Any], pod: Mapping[str, Any] | None) -> bool:
    """Tell whether a Job that was told to stop has none of its pods left (API reference, JobStatus)."""
    status = job.get("status", {})
    at_work = status.get("active", 0) or status.get("terminating", 0)
    return _true_condition(job, "Suspended") is not None and not at_work and pod is None


def _vanished(disruption: str | None) -> Ended:
    return Ended(
        outcome=RunOutcome.KILLED,
        reason=Reason.EVICTED if disruption else Reason.RUNNER_KILLED,
        message=disruption
        or "the runner's pod is gone and left no result; the history in the database decides what is left to do",
        counted=disruption is None,
    )


def ended_container(job: str, terminated: Mapping[str, Any], disrupted: str | None = None) -> Ended:
    """Read how a run ended from the state of its container.

    The exit code is coarse and always there, the report is fine and usually there. A report that is missing or
    contradicts the exit code counts for nothing.
    """
    code = terminated.get("exitCode")
    report = _report(job, str(terminated.get("message") or ""), code)
    if report is not None:
        outcome = _OUTCOMES[report.outcome]
        return Ended(
            outcome=outcome,
            reason=_reason(report.reason),
            message=report.message,
            counted=outcome is RunOutcome.RETRYABLE and report.reason not in _UNCOUNTED,
            report=report,
        )
    if disrupted:
        return Ended(outcome=RunOutcome.KILLED, reason=Reason.EVICTED, message=disrupted)
    if terminated.get("reason") == "OOMKilled":
        return Ended(
            outcome=RunOutcome.KILLED,
            reason=Reason.OUT_OF_MEMORY,
            message="the runner needed more memory than its limit; raise spec.runner.resources.limits.memory "
            "of the TargetDatabase",
            counted=True,
        )
    return Ended(
        outcome=RunOutcome.KILLED,
        reason=Reason.RUNNER_KILLED,
        message=f"the runner ended with exit code {code} and left no result; "
        "the history in the database decides what is left to do",
        counted=True,
    )


def _report(job: str, message: str, code: object) -> RunReport | None:
    try:
        report = reports.decode(message.encode())
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None
    return report if report.run == job and report.outcome == code else None


def _reason(text: str) -> Reason | None:
    try:
        return Reason(text)
    except ValueError:
        return None


def _true_condition(item: Mapping[str, Any], kind: str) -> Mapping[str, Any] | None:
    for condition in item.get("status", {}).get("conditions", ()):
        if condition["type"] == kind and condition["status"] == "True":
            return dict(condition)
    return None


def _disruption(pod: Mapping[str, Any] | None) -> str | None:
    """Say why the cluster took the pod away (Kubernetes documentation, "Pod disruption conditions")."""
    if pod is None:
        return None
    condition = _true_condition(pod, "DisruptionTarget")
    if condition is not None:
        cause = condition.get("reason", "disruption")
        return f"the runner's pod was taken away ({cause}); this does not count as an attempt"
    if pod.get("status", {}).get("reason") == "Evicted":
        return "the runner's pod was evicted; this does not count as an attempt"
    return None


def _trouble(pod: Mapping[str, Any], waiting: Mapping[str, Any] | None) -> Trouble | None:
    for container, state in images.waiting(pod):
        if state.get("reason") in _NOT_STARTED:
            what = "image of spec.scripts.image" if container == images.SCRIPTS else "image of the runner"
            detail = state.get("message") or state["reason"]
            return Trouble(
                reason=_NOT_STARTED[state["reason"]], message=f"the pod cannot start because of the {what}: {detail}"
            )
    if waiting is not None and waiting.get("reason") in _NOT_STARTED:
        reason = _NOT_STARTED[waiting["reason"]]
        detail = waiting.get("message") or waiting["reason"]
        return Trouble(reason=reason, message=f"the runner's pod cannot start: {detail}")
    for condition in pod.get("status", {}).get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return Trouble(
                reason=Reason.UNSCHEDULABLE,
                message=f"the runner's pod is not scheduled: {condition.get('message') or condition.get('reason', '')}",
            )
    return None
