"""TargetDatabase: one database, its credentials by reference, and the rules for changing it."""

from __future__ import annotations

from enum import StrEnum, unique
from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from schema_operator.api.model import (
    ApiModel,
    Condition,
    Duration,
    PositiveDuration,
    ResourceName,
    SecretKeySelector,
    Size,
    keyed_by,
    rule,
    rules,
)
from schema_operator.api.request import AboveMaxSize, ArchiveMode, ChecksumPolicy, OutOfOrder


@unique
class TlsMode(StrEnum):
    """How the connection is secured, in libpq's words (PostgreSQL documentation, "SSL Support")."""

    DISABLE = "disable"
    PREFER = "prefer"
    REQUIRE = "require"
    VERIFY_CA = "verify-ca"
    VERIFY_FULL = "verify-full"


class Tls(ApiModel):
    """How the connection is secured."""

    mode: TlsMode | None = None
    """libpq's sslmode. Absent: what the URI says, else verify-full where a caSecret is given, else libpq's default,
    prefer."""
    ca_secret: SecretKeySelector | None = None
    """Certificate authority that signed the server's certificate (PEM)."""
    cert_secret: SecretKeySelector | None = None
    """Client certificate (PEM)."""
    key_secret: SecretKeySelector | None = None
    """Key of the client certificate (PEM)."""


class Connection(ApiModel):
    """How to reach the database: a URI in a Secret, or the parts."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.uriSecret) != (has(self.host) || has(self.port) || has(self.database) || has(self.userSecret)"
                " || has(self.passwordSecret))",
                "exactly one of uriSecret and the parts (host, port, database, userSecret, passwordSecret) is needed",
            ),
            rule(
                "has(self.uriSecret) || (has(self.host) && has(self.database) && has(self.userSecret))",
                "without uriSecret, host, database and userSecret are needed",
            ),
            rule(
                "!has(self.tls) || has(self.tls.certSecret) == has(self.tls.keySecret)",
                "tls.certSecret and tls.keySecret belong together",
            ),
        )
    )

    uri_secret: SecretKeySelector | None = None
    """A libpq connection URI (`postgresql://user:password@host:port/database?sslmode=…`), as CloudNativePG, External
    Secrets and others write it."""
    host: Annotated[str, StringConstraints(min_length=1, max_length=1024)] | None = None
    """Host name or address; several with commas, of which the one that accepts writes is used."""
    port: Annotated[int, Field(ge=1, le=65_535)] | None = None
    """Port; 5432 when absent."""
    database: Annotated[str, StringConstraints(min_length=1, max_length=63)] | None = None
    """Name of the database."""
    user_secret: SecretKeySelector | None = None
    """User name."""
    password_secret: SecretKeySelector | None = None
    """Password; may be absent with a client certificate."""
    tls: Tls | None = None
    """How the connection is secured."""
    role: Annotated[str, StringConstraints(min_length=1, max_length=63)] | None = None
    """Role to SET after connecting, so that it owns what the scripts create."""


class Retries(ApiModel):
    """How often a run is tried again after a failure that may pass: a lock, a connection, a restart, a killed pod."""

    limit: Annotated[int, Field(ge=0, le=100)] = 5
    """How many more attempts are made before the migration is Stalled."""
    backoff: Duration = "5s"
    """Wait before the second attempt; doubled for each further one."""
    max_backoff: Duration = "5m"
    """The longest wait between attempts."""


Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"}), StringConstraints(max_length=40)]
"""An instant, with its offset from UTC."""


class Locks(ApiModel):
    """How far a run may go to get the locks it needs."""

    max_stall: PositiveDuration = "100ms"
    """The longest that a run may wait in the server's queue for a lock, which is how long it may keep other sessions
    waiting behind it. Behind a transaction that is older, it waits without queueing."""
    give_up_after: Duration = "30s"
    """How long a version is tried again while other sessions hold locks it needs. Then the run ends, names who was in
    the way, and is tried again as policy.retries says; what was not committed is rolled back. Also how long the outcome
    of a COMMIT that was not answered is asked for."""
    show_queries: bool = False
    """Whether the query of a session that is in the way may be shown in status, Events and logs. It may hold data."""


class Archives(ApiModel):
    """What is copied before scripts destroy it.

    That is: columns and tables they drop, rows of TRUNCATE and of DELETE without WHERE.
    """

    mode: ArchiveMode = ArchiveMode.ARCHIVE
    """Archive: copy it into the schema schema_operator, in the same transaction; rollbacks put it back, and so does
    recover_data. Off: neither."""
    max_size: Size = "1Gi"
    """The greatest size of one archive."""
    above: AboveMaxSize = AboveMaxSize.REFUSE
    """What to do where an archive would be larger. Refuse: destroy nothing (ArchiveTooLarge). Skip: destroy it without
    an archive, with a warning."""
    keep: PositiveDuration = "720h"
    """How old an archive must be before a run drops it."""


@unique
class ApprovalRule(StrEnum):
    """Whether a person must have said yes to a plan before it is carried out."""

    AUTOMATIC = "Automatic"
    REQUIRED = "Required"


class ApprovalPolicy(ApiModel):
    """What waits for a MigrationApproval of its plan.

    Where anything does, each run is planned before by a run of its own, and does what was planned or nothing.
    """

    apply: ApprovalRule = ApprovalRule.AUTOMATIC
    """Required: a plan that applies versions waits. Automatic: it does not."""
    rollback: ApprovalRule = ApprovalRule.AUTOMATIC
    """Required: a plan that rolls versions back waits. Automatic: it does not."""


class Window(ApiModel):
    """When runs may begin, again and again."""

    schedule: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    """When it opens: a cron expression of five fields (`0 22 * * SAT`), or one of @hourly, @daily, @midnight, @weekly,
    @monthly, @yearly and @annually."""
    duration: PositiveDuration
    """How long it is open, in real time also in the nights the clocks change."""
    time_zone: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    """The time zone the schedule is read in, as the IANA database has it, for example Europe/Berlin or UTC."""


class Freeze(ApiModel):
    """When no run may begin, once."""

    from_: Annotated[Moment, Field(alias="from")]
    """The first instant, for example 2026-12-23T00:00:00Z."""
    until: Moment
    """The first instant after it."""
    reason: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    """Why; shown in the status of what waits."""


class Policy(ApiModel):
    """The rules for changing this database."""

    windows: Annotated[list[Window], Field(min_length=1, max_length=20)] | None = None
    """When runs may begin. Absent, at any time. A run that has begun is not stopped when a window ends; one that would
    not fit into what is left (`expectedDuration` of the SchemaMigration) does not begin."""
    freezes: Annotated[list[Freeze], Field(min_length=1, max_length=20)] | None = None
    """When no run may begin, whatever the windows say."""

    out_of_order: OutOfOrder = OutOfOrder.REFUSE
    """What to do with a script whose version is lower than one the same SchemaMigration has already applied."""
    checksums: ChecksumPolicy = ChecksumPolicy.STRICT
    """What to do where the up script of an applied version was changed since. Strict: refuse the run
    (ChecksumMismatch). Warn: say so in the run's log and go on; what is applied stays as it is."""
    locks: Locks = Locks()
    """How far a run may go to get the locks it needs."""
    archives: Archives = Archives()
    """What is copied before scripts destroy it."""
    retries: Retries = Retries()
    """How often a run is tried again."""
    approval: ApprovalPolicy = ApprovalPolicy()
    """What waits for a person's yes. A change of it starts no run, and stops none."""


LabelValue = Annotated[str, StringConstraints(max_length=63)]
AnnotationValue = Annotated[str, StringConstraints(max_length=16_384)]
Quantity = Annotated[str | int, Field(json_schema_extra={"x-kubernetes-int-or-string": True})]


class Resources(ApiModel):
    """CPU and memory of the runner's container."""

    requests: Annotated[dict[str, Quantity], Field(max_length=10)] | None = None
    """What the scheduler sets aside."""
    limits: Annotated[dict[str, Quantity], Field(max_length=10)] | None = None
    """What the container may use. A CPU limit makes every run start later."""


class Toleration(ApiModel):
    """A taint the pod may be scheduled in spite of."""

    key: Annotated[str, StringConstraints(max_length=316)] | None = None
    """Key of the taint; absent, all keys."""
    operator: Annotated[str, Field(json_schema_extra={"enum": ["Exists", "Equal"]})] | None = None
    """How value is compared."""
    value: Annotated[str, StringConstraints(max_length=63)] | None = None
    """Value of the taint."""
    effect: (
        Annotated[str, Field(json_schema_extra={"enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"]})] | None
    ) = None
    """Effect of the taint; absent, all effects."""
    toleration_seconds: int | None = None
    """How long a NoExecute taint is tolerated."""


class Runner(ApiModel):
    """The pod that does the work."""

    image: Annotated[str, StringConstraints(min_length=1, max_length=1024)] | None = None
    """Image of the runner; absent, the operator's own."""
    resources: Resources | None = None
    """CPU and memory; absent, requests of 50m and 64Mi and a memory limit of 512Mi."""
    node_selector: Annotated[dict[str, LabelValue], Field(max_length=50)] | None = None
    """Labels a node must have."""
    tolerations: Annotated[list[Toleration], Field(max_length=50)] | None = None
    """Taints the pod may be scheduled in spite of."""
    service_account_name: ResourceName | None = None
    """Service account of the pod; its token is never mounted. Absent, the namespace's default."""
    labels: Annotated[dict[str, LabelValue], Field(max_length=50)] | None = None
    """Labels for the pod, for network policies and the like."""
    annotations: Annotated[dict[str, AnnotationValue], Field(max_length=50)] | None = None
    """Annotations for the pod, for example to keep a service mesh's proxy out."""
    active_deadline_seconds: Annotated[int, Field(ge=10, le=604_800)] = 86_400
    """Seconds after which a run is stopped: what it was doing is rolled back, and it counts as a failed attempt."""


class Inspection(ApiModel):
    """When the database is looked at without a run."""

    interval: Duration = "1h"
    """How long after the last look, by a run or by an inspection, the next one is due; a tenth more or less, so that
    not all start at once. 0s: only when the connection or the annotation schema-operator.dev/requested-at changes, and
    after a failure."""
    suspend: bool = False
    """While true, no inspection is started; runs go on saying what they find."""


class TargetDatabaseSpec(ApiModel):
    """One database, its credentials by reference, and the rules for changing it."""

    connection: Connection
    """How to reach the database."""
    policy: Policy = Policy()
    """The rules for changing it."""
    runner: Runner = Runner()
    """The pod that does the work."""
    inspection: Inspection = Inspection()
    """When the database is looked at without a run: a Job reads what the server is and what is applied, takes no lock
    and changes nothing."""


@unique
class TargetConditionType(StrEnum):
    """The conditions of a TargetDatabase, in the order of the status.

    Who reads the first that speaks (kstatus) must find Reconciling or Stalled before Ready.
    """

    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    REACHABLE = "Reachable"
    READY = "Ready"


class TargetRun(ApiModel):
    """The last run of one SchemaMigration on this database."""

    migration: str
    """Name of the SchemaMigration."""
    run: str
    """Name of the Job."""
    outcome: str
    """How it ended."""
    version: str | None = None
    """Version of that SchemaMigration after the run."""
    wanted: str | None = None
    """Version it was to reach; absent where the run did not come far enough to tell."""
    pending: Annotated[int, Field(ge=0)] | None = None
    """How many of its scripts up to that version were not applied after the run; absent where that is not known, also
    when the history has moved since."""
    finished_at: str
    """When it ended."""


class OwnerStatus(ApiModel):
    """What is applied of one owner."""

    owner: Annotated[str, StringConstraints(max_length=511)]
    """The SchemaMigration as namespace/name; empty for versions that a person applied without one."""
    version: str
    """The highest of its versions; "0" for none."""
    versions: Annotated[int, Field(ge=0)]
    """How many of its versions are applied."""
    digest: str
    """Fingerprint of them and of their checksums, in the order they were applied."""


class InspectionStatus(ApiModel):
    """The last inspection, and what it was for."""

    name: str | None = None
    """Name of its Job, which is deleted when it has been read."""
    finished_at: str | None = None
    """When its end was read."""
    failures: Annotated[int, Field(ge=0)] = 0
    """How many in a row did not end well."""
    connection: str | None = None
    """Digest of the connection that was last tried, by an inspection or by a run."""
    requested_at: str | None = None
    """Value of the annotation schema-operator.dev/requested-at that was answered last."""
    overtaken: bool | None = None
    """True where a run has ended meanwhile and told something else; the next inspection follows in seconds."""


class TargetDatabaseStatus(ApiModel):
    """What inspections and runs have learnt of the database."""

    observed_generation: int = -1
    """Generation this status is about; -1 before the first look."""
    server_version: str | None = None
    """Version of the PostgreSQL server, as found when it was last reached."""
    system_identifier: str | None = None
    """Identifier of the PostgreSQL cluster; two databases with the same one live in the same cluster."""
    database: str | None = None
    """Name of the database."""
    version: str | None = None
    """The highest version that is applied, of whomever; "0" for none. Absent before the history was read."""
    version_owner: str | None = None
    """Whose that version is: a SchemaMigration as namespace/name, or empty; absent where nothing is applied."""
    applied_versions: Annotated[int, Field(ge=0)] | None = None
    """How many versions are applied."""
    pending: Annotated[int, Field(ge=0)] | None = None
    """How many versions are not applied that the last runs of all SchemaMigrations were to apply; absent where that is
    not known of one of them."""
    history_digest: str | None = None
    """Fingerprint of what is applied: owners, versions and checksums, in the order they were applied."""
    history_seen_at: str | None = None
    """When that was so, at the latest: the beginning of the inspection, or the end of the run, that told it."""
    owners: Annotated[list[OwnerStatus], Field(max_length=50, json_schema_extra=keyed_by("owner"))] | None = None
    """What is applied, by owner."""
    owners_left_out: Annotated[int, Field(ge=1)] | None = None
    """How many more owners there are."""
    inspected_at: str | None = None
    """When a run or an inspection last reached the database and told what it found."""
    inspection: InspectionStatus | None = None
    """The last inspection, and what it was for."""
    conditions: Annotated[list[Condition], Field(max_length=20, json_schema_extra=keyed_by("type"))] = Field(
        default_factory=list
    )
    """Reachable says whether the last run or inspection could connect, Ready also whether runs can work there.
    Reconciling and Stalled are present only while they are True, and never together."""
    runs: Annotated[list[TargetRun], Field(max_length=50, json_schema_extra=keyed_by("migration"))] | None = None
    """The last run of each SchemaMigration on this database."""
