"""SchemaMigration: the version a schema should have, and the scripts that lead there."""

from __future__ import annotations

from enum import StrEnum, unique
from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from schema_operator.api import version
from schema_operator.api.model import (
    ApiModel,
    Condition,
    Duration,
    PositiveDuration,
    ResourceName,
    distinct,
    keyed_by,
    rule,
    rules,
)
from schema_operator.api.report import Action, VerificationResult
from schema_operator.api.request import (
    VARIABLE_NAME,
    VARIABLE_NAME_LIMIT,
    VARIABLE_VALUE_LIMIT,
    Acknowledgement,
    Mode,
    TransactionMode,
    VerifyWhen,
)

INLINE_LIMIT = 262_144
"""Characters of one inline script. The limit of all annotations together, which client-side apply needs, is the same
(apimachinery, TotalAnnotationSizeLimitB); larger sets belong in ConfigMaps."""

_VERSION = StringConstraints(min_length=1, max_length=version.MAX_LENGTH, pattern=version.PATTERN)
_NO_ROLLBACK = rule(
    f"!self.endsWith('{version.ROLLBACK_SUFFIX}')",
    f"a version may not end in {version.ROLLBACK_SUFFIX}, which marks rollbacks in schema_versions",
)
_SOMETHING = rule(
    f"!self.matches('{version.NOTHING_PATTERN}')",
    "version 0 means that nothing is applied; name the version the schema has, or leave the field out",
)
VersionText = Annotated[str, _VERSION, Field(json_schema_extra=rules(_NO_ROLLBACK))]
ReachedVersion = Annotated[str, _VERSION, Field(json_schema_extra=rules(_NO_ROLLBACK, _SOMETHING))]
"""A version that something must have been applied for."""
BatchSize = Annotated[int, Field(ge=1, le=10_000_000)]
ScriptText = Annotated[str, StringConstraints(max_length=INLINE_LIMIT)]


class DatabaseReference(ApiModel):
    """A TargetDatabase in the same namespace."""

    name: ResourceName
    """Name of the TargetDatabase."""


class InlineScript(ApiModel):
    """One version, written into the resource.

    Items of lists have no defaults in the CRD: kubectl and Argo CD compare lists as they are written, and would see a
    difference wherever the API server had added something.
    """

    version: VersionText
    """The version this script leads to, for example `1.4.0`, `12` or `20260101120000`."""
    name: Annotated[str, StringConstraints(max_length=200)] | None = None
    """A few words on what the script does. schema_versions has `VERSION_NAME` as the name of the script."""
    up: Annotated[str, StringConstraints(min_length=1, max_length=INLINE_LIMIT)]
    """SQL that leads from the version before to this one. It runs in one transaction with its history row, unless a
    statement of it refuses one; see transaction."""
    down: ScriptText | None = None
    """SQL that leads back. It is stored in the database when the version is applied and used from there."""
    verify: ScriptText | None = None
    """SQL that must run without error before the version is committed; a boolean result must be true."""
    transaction: TransactionMode | None = None
    """How the scripts of this version are divided into transactions. Auto (when absent): one transaction where the
    script allows it; else a statement that refuses a transaction, such as CREATE INDEX CONCURRENTLY, is a step of its
    own, and a journal in the database says where to go on after an interruption. Required: one transaction, or the
    run is refused. Never: every statement is committed by itself, with the journal."""


class ConfigMapReference(ApiModel):
    """A ConfigMap in the same namespace whose keys are script files."""

    name: ResourceName
    """Name of the ConfigMap."""


@unique
class PullPolicy(StrEnum):
    """When an image is pulled, as Kubernetes has it."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class PullSecret(ApiModel):
    """A Secret in the same namespace with the rights of a registry."""

    name: ResourceName
    """Name of a Secret of the type kubernetes.io/dockerconfigjson."""


class ImageSource(ApiModel):
    """A folder of script files in an image."""

    reference: Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"^\S+$")]
    """The image, best with its digest: `registry/repository@sha256:…`. A tag may move: what it names is found out by
    the first run of each piece of work, recorded in status.runs, and kept for the attempts after it."""
    path: Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=r"^/[^\x00-\x1f]*$")]
    """The folder in the image, from its root: `/migrations`."""
    pull_policy: PullPolicy | None = None
    """When the node asks the registry. Absent, as Kubernetes does: Always for the tag latest and for none, else
    IfNotPresent."""
    pull_secrets: (
        Annotated[list[PullSecret], Field(min_length=1, max_length=10, json_schema_extra=keyed_by("name"))] | None
    ) = None
    """Secrets to pull with, this image and the runner's: they take the place of those of the service account."""


class ScriptSource(ApiModel):
    """Where the scripts are: exactly one of the fields."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "(has(self.inline) ? 1 : 0) + (has(self.configMaps) ? 1 : 0) + (has(self.image) ? 1 : 0) == 1",
                "exactly one of inline, configMaps and image is needed",
            )
        )
    )

    inline: (
        Annotated[list[InlineScript], Field(min_length=1, max_length=400, json_schema_extra=keyed_by("version"))] | None
    ) = None
    """Scripts written here, one item a version."""
    config_maps: (
        Annotated[list[ConfigMapReference], Field(min_length=1, max_length=20, json_schema_extra=keyed_by("name"))]
        | None
    ) = None
    """ConfigMaps with keys `VERSION_NAME.up.sql`, `VERSION_NAME.down.sql` and `VERSION_NAME.verify.sql`; several are
    merged. kustomize's configMapGenerator makes one of a folder."""
    image: ImageSource | None = None
    """A folder in an image, of any size, in any of the formats of folders."""


class VerificationSpec(ApiModel):
    """A query whose result tells whether the schema is right."""

    name: Annotated[
        str, StringConstraints(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_. ]*[A-Za-z0-9])?$")
    ]
    """Name of the verification, shown in the status."""
    sql: Annotated[str, StringConstraints(min_length=1, max_length=16_384)]
    """A query; the first column of its first row is compared."""
    expect: Annotated[str, StringConstraints(max_length=1024)] | None = None
    """What the query must find, as text; `true` when absent."""
    when: VerifyWhen | None = None
    """BeforeCommit (when absent): in the transaction of the last version, so that a failure leaves nothing behind.
    AfterCommit: when all is committed."""


class Variable(ApiModel):
    """One variable of the scripts."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=VARIABLE_NAME_LIMIT, pattern=VARIABLE_NAME)]
    """Name of the variable, without the colon. Upper and lower case are two names, as in psql."""
    value: Annotated[str, StringConstraints(max_length=VARIABLE_VALUE_LIMIT)]
    """What is filled in; no secret, because whoever may read the resource or the history may read it."""


class MigrationReference(ApiModel):
    """A SchemaMigration in the same namespace."""

    name: ResourceName
    """Name of the SchemaMigration."""


class RequiresSpec(ApiModel):
    """What must be there before anything is applied."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.versions) || has(self.extensions) || has(self.migrations)",
                "at least one of versions, extensions and migrations is needed",
            )
        )
    )

    versions: (
        Annotated[list[ReachedVersion], Field(min_length=1, max_length=50, json_schema_extra=distinct())] | None
    ) = None
    """Versions that must be applied already, by this resource or by any other, for example the last version of a
    schema that this one builds on. One that is missing refuses the run (MissingDependency)."""
    extensions: (
        Annotated[
            list[Annotated[str, StringConstraints(min_length=1, max_length=63)]],
            Field(min_length=1, max_length=50, json_schema_extra=distinct()),
        ]
        | None
    ) = None
    """Extensions that must be installed in the database, by the names they have in pg_extension, for example postgis.
    One that is missing refuses the run (MissingDependency)."""
    migrations: (
        Annotated[list[MigrationReference], Field(min_length=1, max_length=50, json_schema_extra=keyed_by("name"))]
        | None
    ) = None
    """SchemaMigrations that must be Ready before a run of this one is started, of this database or of another. Until
    then it waits (WaitingForMigration). Those that require each other are Stalled (DependencyCycle)."""


@unique
class DeletionPolicy(StrEnum):
    """What becomes of the schema when the resource is deleted."""

    RETAIN = "Retain"
    ROLLBACK = "Rollback"


class Emergency(ApiModel):
    """Why something cannot wait."""

    reason: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    """Recorded in the database with every version that is applied or rolled back because of it, and told as an
    Event."""


class SchemaMigrationSpec(ApiModel):
    """The version a schema should have, and the scripts that lead there."""

    database: Annotated[
        DatabaseReference,
        Field(
            json_schema_extra=rules(
                rule("self == oldSelf", "the database of a SchemaMigration cannot be changed; make a new one")
            )
        ),
    ]
    """The database to change; cannot be changed afterwards."""
    description: Annotated[str, StringConstraints(max_length=1024)] | None = None
    """What this is about; stored with each version this resource applies."""
    expected_duration: PositiveDuration | None = None
    """How long a run is expected to take. One that would not fit into what is left of a maintenance window does not
    begin. Absent, as long as the longest of the last runs of this resource that changed something."""
    emergency: Emergency | None = None
    """Present, runs begin outside of maintenance windows and in freezes too. Take it away when it is over."""
    suspend: bool = False
    """While true, no run is started, and one that works is stopped at a safe point: what it was doing is cancelled in
    the server and rolled back, what was committed stays. Set back to false, the next run goes on from there."""
    scripts: ScriptSource
    """Where the scripts are."""
    version: VersionText | None = None
    """The version the schema should have. Scripts up to it that the history lacks are applied, oldest first;
    versions above it that this resource applied are rolled back, newest first, with the rollback SQL stored when
    they were applied. Absent, the newest script. "0" means that nothing of this resource is applied."""
    verify: Annotated[list[VerificationSpec], Field(max_length=50, json_schema_extra=keyed_by("name"))] | None = None
    """Queries that must hold at the wanted version."""
    variables: (
        Annotated[list[Variable], Field(min_length=1, max_length=100, json_schema_extra=keyed_by("name"))] | None
    ) = None
    """Values for variables that scripts use as psql does: `:'name'` becomes a literal, `:"name"` an identifier, `:name`
    an identifier or a number. Values are quoted, never pasted. Only what is named here is filled in."""
    requires: RequiresSpec | None = None
    """What must be there before anything is applied; without it, nothing is changed."""
    baseline: ReachedVersion | None = None
    """The version that a schema made by other means has already. In a database that has no history of the scripts yet,
    those up to it are recorded as applied and are not run. Once that is recorded, it does nothing and may stay."""
    allow: Annotated[list[Acknowledgement], Field(min_length=1, max_length=20, json_schema_extra=distinct())] | None = (
        None
    )
    """What is refused unless it is named here, because it is more often a mistake than meant. EmptyScript: an up script
    without any statement. CopyData: COPY … FROM STDIN with its rows in the script, as pg_dump writes it. LongName:
    names of more than 63 bytes, which PostgreSQL cuts off. DeletesData: that a script destroys what cannot be
    archived. Reapply: a version that a person rolled back in SQL (in an emergency); without it, one waits for a change
    of the spec after that was shown."""
    batches: BatchesSpec | None = None
    """How scripts that are done in batches go through a table."""
    deletion_policy: DeletionPolicy = DeletionPolicy.RETAIN
    """What becomes of the schema when this resource is deleted. Retain: it stays as it is. Rollback: what this resource
    has applied is rolled back first, as with version "0"; the deletion waits for that, and is let go at once by Retain.
    """


class BatchesSpec(ApiModel):
    """How scripts that are done in batches (`-- schema-operator: batch=TABLE.COLUMN`) go through a table."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.minSize) || !has(self.maxSize) || self.minSize <= self.maxSize",
                "minSize must not be above maxSize",
            )
        )
    )

    target_time: PositiveDuration | None = None
    """How long the statement of one batch should take; the number of rows follows from it. About that long another
    session may wait for one of these rows. Absent, 10ms."""
    pause: Duration | None = None
    """How long to rest after each batch. Absent, not at all."""
    max_replication_lag: PositiveDuration | None = None
    """How far a standby may be behind. From half of it on, batches wait until it has caught up. Absent, 10s."""
    long_transaction: PositiveDuration | None = None
    """The age of an open transaction of another session from which on batches go at a quarter of their pace, because
    vacuum cannot remove the old rows while it is open. Absent, 1m."""
    min_size: BatchSize | None = None
    """The least rows of a batch. Absent, 100."""
    max_size: BatchSize | None = None
    """The most rows of a batch. Absent, 50000."""


@unique
class ConditionType(StrEnum):
    """The conditions of a SchemaMigration, in the order of the status.

    Who reads the first that speaks (kstatus) must find Reconciling or Stalled before Ready.
    """

    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    VALIDATED = "Validated"
    APPROVED = "Approved"
    WINDOW_OPEN = "WindowOpen"
    APPLIED = "Applied"
    VERIFIED = "Verified"
    READY = "Ready"


@unique
class State(StrEnum):
    """One word for people, derived from the conditions; nothing decides by it."""

    PENDING = "Pending"
    PLANNING = "Planning"
    AWAITING_APPROVAL = "AwaitingApproval"
    REJECTED = "Rejected"
    APPLYING = "Applying"
    VERIFYING = "Verifying"
    ROLLING_BACK = "RollingBack"
    APPLIED = "Applied"
    ROLLED_BACK = "RolledBack"
    STALLED = "Stalled"
    AWAITING_WINDOW = "AwaitingWindow"
    SUSPENDED = "Suspended"


@unique
class RunOutcome(StrEnum):
    """How a run ended, as the controller understands it."""

    DONE = "Done"
    RETRYABLE = "Retryable"
    REFUSED = "Refused"
    FAILED = "Failed"
    VERIFICATION_FAILED = "VerificationFailed"
    PARTLY_APPLIED = "PartlyApplied"
    UNKNOWN = "Unknown"
    LOCK_HELD = "LockHeld"
    STOPPED = "Stopped"
    KILLED = "Killed"


class ProgressStatus(ApiModel):
    """What a run is doing now; read from its log and never decided upon."""

    step: str
    """Connecting, WaitingForLock, Installing, Planning, Applying, RollingBack or Verifying."""
    version: str | None = None
    """Version being worked on."""
    statement: int | None = None
    """Number of the statement, from 1."""
    statements: int | None = None
    """How many statements the version has."""
    percent: Annotated[int, Field(ge=0, le=100)] | None = None
    """How much of the run is done: versions count alike, statements within them too, and a statement that takes long
    moves it on where the server says how far it is."""
    message: str
    """The same as a sentence, with what the server says of a statement that takes long."""


class VerificationStatus(ApiModel):
    """The result of one verification in the last run that made any."""

    name: str
    """Name of the verification, or the file it comes from."""
    result: VerificationResult
    """How it ended."""
    version: str | None = None
    """Version it belongs to."""
    expected: str | None = None
    """What was expected."""
    found: str | None = None
    """What was found."""


class StatementStatus(ApiModel):
    """The statement an error belongs to."""

    version: str | None = None
    """Version whose script it is in."""
    file: str | None = None
    """File it is in."""
    statement: int | None = None
    """Number of the statement, from 1."""
    statements: int | None = None
    """How many statements the script has."""
    line: int | None = None
    """Line in the file, from 1."""
    column: int | None = None
    """Column in the line, from 1."""
    sqlstate: str | None = None
    """SQLSTATE of the server's error."""


class RunStatus(ApiModel):
    """One run: one Job, one attempt."""

    name: str
    """Name of the Job."""
    work: str
    """Digest of what was asked for: generation, database, scripts. Attempts at the same work share it."""
    number: Annotated[int, Field(ge=1)]
    """Number of the run among those at the same work, from 1."""
    failures: Annotated[int, Field(ge=0)] = 0
    """Failures counted so far at this work, this run included."""
    generation: int
    """Generation of the resource the run was started for."""
    mode: Mode | None = None
    """Plan for a run that only said what would be done; absent for any other."""
    approved_by: str | None = None
    """Who approved the plan it carried out; absent where nobody had to."""
    action: Action | None = None
    """What the run did."""
    outcome: RunOutcome | None = None
    """How it ended; absent while it runs."""
    reason: str | None = None
    """Why, where it did not end well."""
    message: str | None = None
    """The same as a sentence."""
    version: str | None = None
    """Highest version of this resource after the run."""
    versions: list[str] | None = None
    """Versions it applied or rolled back, in order; the last ten where there are more."""
    place: StatementStatus | None = None
    """The statement an error belongs to."""
    blocker: str | None = None
    """Who held what the run waited for."""
    scripts_image: str | None = None
    """The image its scripts came from, with its digest where the node has said it; only with spec.scripts.image."""
    started_at: str | None = None
    """When the run was started."""
    finished_at: str | None = None
    """When it ended."""


class DatabaseStatus(ApiModel):
    """Which database it is, whatever leads there."""

    system_identifier: str | None = None
    """Identifier of the PostgreSQL cluster; absent where the role may not read it."""
    name: str
    """Name of the database."""


class PlanStep(ApiModel):
    """What would be done to one version."""

    version: str
    """The version."""
    action: Action
    """Apply or Rollback; None for one that is recorded as applied and not run (a baseline)."""
    file: str
    """The script: for a rollback, the one that is stored in the database."""
    statements: int
    """How many statements it has."""
    atomic: bool | None = None
    """false where it is committed in parts, so that a failure may leave some of it; else absent."""
    in_batches: bool | None = None
    """true where it is done in batches of rows, each committed by itself; else absent."""


class PlanStatus(ApiModel):
    """What a run would do, as the last one that was asked for a plan has found."""

    digest: Annotated[str, StringConstraints(max_length=64)]
    """What a MigrationApproval names in spec.planDigest: SHA-256 over the scripts, their variables, the rollback SQL
    that is stored, what is applied in the database, and the rules that change what is done."""
    work: str
    """Digest of what was asked for, as in runs."""
    action: Action
    """Rollback where any version would be rolled back, else Apply where any would be applied, else None."""
    version_before: str
    """Version of this resource in the database when the plan was made."""
    steps: Annotated[list[PlanStep], Field(max_length=20)] = Field(default_factory=list)
    """What would be done, in its order; the first steps where there are many."""
    count: Annotated[int, Field(ge=0)]
    """How many steps there are."""
    applies: Annotated[int, Field(ge=0)]
    """How many of them apply a version."""
    rollbacks: Annotated[int, Field(ge=0)]
    """How many of them roll a version back."""
    position: Annotated[int, Field(ge=0)]
    """Where the history in the database stood: what was done since is told by it."""
    made_at: str
    """When the plan was made."""


class SchemaMigrationStatus(ApiModel):
    """What is known of the migration. The truth is the history in the database; this is a view of it."""

    observed_generation: int = -1
    """Generation this status is about; -1 before the first look."""
    state: State | None = None
    """One word for people."""
    version: str | None = None
    """Highest version of this resource in the database, "0" for none; absent before the first run."""
    database: DatabaseStatus | None = None
    """The database the runs have worked on. A run that finds itself on another one is refused (DatabaseMoved)."""
    plan: PlanStatus | None = None
    """What a run would do; present only where policy.approval of the database asks for approvals."""
    progress: ProgressStatus | None = None
    """What the run is doing; present only while one runs."""
    conditions: Annotated[list[Condition], Field(max_length=20, json_schema_extra=keyed_by("type"))] = Field(
        default_factory=list
    )
    """Ready is True only when the wanted version is reached and verified. Reconciling and Stalled are present only
    while they are True, and never together."""
    verification: Annotated[list[VerificationStatus], Field(max_length=100)] | None = None
    """Results of the newest verifications; absent when the last run changed the schema without making any."""
    current_run: RunStatus | None = None
    """The run in flight."""
    runs: Annotated[list[RunStatus], Field(max_length=10)] | None = None
    """The last ten runs, newest first."""
    retry_at: str | None = None
    """When the next attempt is due; present only while one is."""
    scripts_digest: str | None = None
    """SHA-256 over the scripts of the work the status is about; of an image, over what spec.scripts.image says."""
    history_digest: str | None = None
    """Fingerprint of what the last run that could read the history left applied of this resource. Where the
    TargetDatabase shows another one later, the history has moved, and a run looks at it."""
    relies_on: Annotated[list[str], Field(max_length=50)] | None = None
    """Other owners of versions that count as applied here, because they are among the scripts; the fingerprint is over
    theirs too. An empty one stands for versions that a person applied without a resource."""
