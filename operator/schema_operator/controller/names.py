"""Labels, annotations and deterministic names, and the digest that tells one piece of work from another."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from schema_operator.api.model import GROUP

MANAGED_BY = "app.kubernetes.io/managed-by"
COMPONENT = "app.kubernetes.io/component"
OPERATOR = "schema-operator"
SELECTOR = f"{MANAGED_BY}={OPERATOR}"
"""What all our Jobs and pods have in common."""

JOB_NAME = "batch.kubernetes.io/job-name"
"""Set by the Job controller on its pods (Kubernetes 1.27 and later)."""
MIGRATION_UID = f"{GROUP}/migration-uid"
WORK = f"{GROUP}/work"
"""Label: digest of what a run does; of an inspection, of the connection it tries."""
MIGRATION = f"{GROUP}/migration"
NUMBER = f"{GROUP}/number"
FAILURES = f"{GROUP}/failures"
GENERATION = f"{GROUP}/generation"
RECHECK = f"{GROUP}/recheck"
MODE = f"{GROUP}/mode"
APPROVED_BY = f"{GROUP}/approved-by"
REQUEST = f"{GROUP}/request"
REQUESTED_AT = f"{GROUP}/requested-at"
"""Annotation of a SchemaMigration: a new value asks for a new run without a change of the spec. Of a TargetDatabase:
for an inspection. Of the Job of an inspection: the value it answers."""
RUN_FINALIZER = f"{GROUP}/run"
"""On a SchemaMigration while a run of it is in flight."""
ROLLBACK_FINALIZER = f"{GROUP}/rollback"
"""On a SchemaMigration that is to be rolled back before it goes."""
FINALIZERS = (RUN_FINALIZER, ROLLBACK_FINALIZER)
WATCH = f"{GROUP}/watch"
"""Label of a ConfigMap: with the value "true", a change of it is noticed at once, where the operator may watch."""
TARGET_UID = f"{GROUP}/target-uid"
TARGET = f"{GROUP}/target"
BEGAN = f"{GROUP}/began"
"""Annotation of the Job of an inspection: when it was started, by the controller's clock, which also says when runs
have ended."""

_JOB_NAME_HEAD = 45
"""A Job's name becomes a label of its pods, of which 63 characters are possible; 12 to 17 are the digest and the
number."""
_EVENT_NAME_HEAD = 200
"""An Event's name has 253 characters at most; 17 are the dot and the digest."""


def asked(spec: Mapping[str, Any], apart: Iterable[str]) -> str:
    """Give the digest of a spec without the fields that do not say what is to be done, but when; dots lead inwards."""
    kept = copy.deepcopy(dict(spec))
    for path in apart:
        _drop(kept, path.split("."))
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def _drop(spec: dict[str, Any], path: Sequence[str]) -> None:
    """Take a field out, and what holds it where nothing else is in it: absent and empty ask for the same."""
    first, *rest = path
    if rest and first in spec:
        _drop(spec[first], rest)
    if not rest or not spec.get(first):
        spec.pop(first, None)


def work_digest(
    *,
    migration: tuple[str, str],
    target: tuple[str, str],
    scripts: str,
    requested_at: str | None,
    accepts: str | None = None,
) -> str:
    """Tell one piece of work from another.

    A change of what is asked for, of the target, of the scripts or of an annotation that asks for a run or accepts
    another database is new work. `migration` and `target` are a uid and what `asked` gives.
    """
    text = json.dumps([migration, target, scripts, requested_at, *([] if accepts is None else [accepts])])
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def job_name(migration: str, uid: str, work: str, number: int) -> str:
    """Name the Job of one attempt: the same attempt has the same name, so creating it twice is one Job."""
    digest = hashlib.sha256(f"{uid}/{work}".encode()).hexdigest()[:8]
    return f"{migration[:_JOB_NAME_HEAD].rstrip('.-')}-{digest}-{number}"


def inspection_name(target: str, *parts: str) -> str:
    """Name the Job of an inspection: decided upon the same status twice, it is one Job."""
    digest = hashlib.sha256("/".join(parts).encode()).hexdigest()[:8]
    return f"{target[:_JOB_NAME_HEAD].rstrip('.-')}-inspect-{digest}"


def event_name(migration: str, *parts: str) -> str:
    """Name an Event so that telling the same thing of the same run twice is one Event."""
    digest = hashlib.sha256("/".join(parts).encode()).hexdigest()[:16]
    return f"{migration[:_EVENT_NAME_HEAD].rstrip('.-')}.{digest}"
