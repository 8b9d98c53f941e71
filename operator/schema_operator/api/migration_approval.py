"""MigrationApproval: a person's yes, or no, to one plan."""

from __future__ import annotations

from enum import StrEnum, unique
from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from schema_operator.api.model import ApiModel, ResourceName, rule, rules

APPROVER_LIMIT = 255
"""Characters of `schema_versions.applied_by`, where the approver is written down."""
MOMENT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})$"
"""The API server takes a date-time without a time zone; this does not."""
Moment = Annotated[
    str, StringConstraints(max_length=40, pattern=MOMENT), Field(json_schema_extra={"format": "date-time"})
]
PlanDigest = Annotated[str, StringConstraints(max_length=64, pattern=r"^[0-9a-f]{64}$")]


@unique
class ApprovalDecision(StrEnum):
    """What a person has decided about a plan."""

    APPROVE = "Approve"
    REJECT = "Reject"


class MigrationApprovalSpec(ApiModel):
    """A person's decision about one plan; it cannot be changed, only deleted or outdone by a newer one."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("self == oldSelf", "a MigrationApproval cannot be changed; delete it, or make a new one")
        )
    )

    migration: ResourceName
    """Name of the SchemaMigration, in the same namespace."""
    plan_digest: PlanDigest
    """The plan this is about: `status.plan.digest` of the SchemaMigration. As soon as anything that it covers moves,
    the migration has another plan, and this no longer counts."""
    decision: ApprovalDecision
    """Approve: the plan may be carried out. Reject: it is not, until there is a newer approval or another plan."""
    approver: Annotated[str, StringConstraints(min_length=1, max_length=APPROVER_LIMIT)]
    """Name of the user who makes this object, as the API server knows it (`kubectl auth whoami`). The API server
    refuses any other. It is written into the history of the database (`applied_by`)."""
    reason: Annotated[str, StringConstraints(max_length=1024)] | None = None
    """Why, for whoever reads it later."""
    expires: Moment | None = None
    """Until when it counts, for example `2026-12-01T18:00:00Z`: no run is started upon it after that. A run that works
    goes on. Absent, for as long as the plan is the same."""
