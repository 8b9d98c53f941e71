"""What the controller asks a runner to do: one small typed record, carried as JSON.

msgspec and not pydantic, because the runner's start is part of every migration's duration: pydantic adds 40 ms and
9 MiB to psycopg's 100 ms and 33 MiB, msgspec 1 ms and 1 MiB (measured on Python 3.11).
"""

from __future__ import annotations

import base64
import gzip
from enum import StrEnum, unique
from typing import Annotated

import msgspec


class Record(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """Base of the records that travel: immutable, keyword-only, camelCase in JSON, unknown fields refused."""


@unique
class Mode(StrEnum):
    """What a runner is asked for."""

    RUN = "Run"
    """Apply or roll back until the wanted version is reached."""
    INSPECT = "Inspect"
    """Say what the server is and what is applied in the database; take no lock, install and change nothing."""
    PLAN = "Plan"
    """Say what would be done; take no lock and change nothing."""


@unique
class VerifyWhen(StrEnum):
    """When a verification runs."""

    BEFORE_COMMIT = "BeforeCommit"
    AFTER_COMMIT = "AfterCommit"


@unique
class OutOfOrder(StrEnum):
    """What to do with a script whose version is lower than one already applied by the same resource."""

    REFUSE = "Refuse"
    ALLOW = "Allow"


@unique
class TransactionMode(StrEnum):
    """How a script is divided into transactions."""

    AUTO = "Auto"
    """One transaction where the script allows it; else units of its own, with a journal."""
    REQUIRED = "Required"
    """One transaction; a script that cannot be one is refused."""
    NEVER = "Never"
    """Every statement is committed by itself, with a journal."""


@unique
class ChecksumPolicy(StrEnum):
    """What to do where an applied script was changed since."""

    STRICT = "Strict"
    """Refuse the run."""
    WARN = "Warn"
    """Say so and go on; what is applied stays as it is."""


@unique
class Acknowledgement(StrEnum):
    """What is only done where somebody has said by name that it is meant."""

    EMPTY_SCRIPT = "EmptyScript"
    """An up script without any statement is accepted."""
    COPY_DATA = "CopyData"
    """`COPY … FROM STDIN` with its rows in the script is accepted."""
    LONG_NAME = "LongName"
    """A name that PostgreSQL will cut off is accepted, with a warning."""
    DELETES_DATA = "DeletesData"
    """What cannot be archived is destroyed all the same, with a warning."""
    REAPPLY = "Reapply"
    """A version that a person rolled back in SQL is applied again."""


@unique
class ArchiveMode(StrEnum):
    """Whether what scripts destroy is archived before."""

    ARCHIVE = "Archive"
    OFF = "Off"


@unique
class AboveMaxSize(StrEnum):
    """What to do where an archive would be above its greatest size."""

    REFUSE = "Refuse"
    """Destroy nothing."""
    SKIP = "Skip"
    """Destroy it without an archive, with a warning."""


VARIABLE_NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"
"""RE2 as well as Python: the CRDs use the same pattern."""
VARIABLE_NAME_LIMIT = 63
VARIABLE_VALUE_LIMIT = 1024


ACCEPT_DATABASE = "schema-operator.dev/accept-database"
"""Annotation of a SchemaMigration: another database than before is meant, `SYSTEMIDENTIFIER/NAME`."""


class SecretFile(Record, frozen=True, kw_only=True):
    """One key of a Secret, as a file in the runner's file system.

    The Secret is mounted as `optional`, so an absent Secret is an empty folder and an absent key an absent file: the
    runner can name either in its report, and nobody needs the right to read Secrets.
    """

    secret: str
    """Namespace and name of the Secret, for messages."""
    key: str
    """Key in it, for messages; also the file's name."""
    folder: str
    """Where the Secret is mounted."""


class TlsFiles(Record, frozen=True, kw_only=True):
    """TLS settings of a connection: `mode` is libpq's sslmode; absent means what the URI or libpq says."""

    mode: str | None = None
    ca: SecretFile | None = None
    certificate: SecretFile | None = None
    key: SecretFile | None = None


class ConnectionFiles(Record, frozen=True, kw_only=True):
    """How the runner reaches the database: either a libpq URI in a file, or the parts."""

    uri: SecretFile | None = None
    host: str | None = None
    port: int | None = None
    database: str | None = None
    user: SecretFile | None = None
    password: SecretFile | None = None
    tls: TlsFiles = TlsFiles()
    role: str | None = None
    """Role to SET after connecting."""


class Resource(Record, frozen=True, kw_only=True):
    """The SchemaMigration a run belongs to.

    Versions belong to `namespace/name`, so a resource that is deleted and created anew still owns what it applied.
    """

    namespace: str
    name: str
    uid: str = ""
    generation: int = 0

    @property
    def owner(self) -> str:
        """The identity under which versions are recorded, `namespace/name`."""
        return f"{self.namespace}/{self.name}"


class InlineScript(Record, frozen=True, kw_only=True):
    """One version written into the resource itself."""

    version: str
    name: str = ""
    up: str
    down: str | None = None
    verify: str | None = None
    transaction: TransactionMode | None = None


class LockLimits(Record, frozen=True, kw_only=True):
    """How far a run may go to get the locks it needs."""

    max_stall_seconds: Annotated[float, msgspec.Meta(ge=0.001)] = 0.1
    """The longest that waiting in the server's queue for a lock may keep others waiting. Never 0: the
    server counts in milliseconds, and takes 0 for no limit."""
    give_up_seconds: Annotated[float, msgspec.Meta(ge=0)] = 30.0
    """How long a version is tried again while others hold locks it needs, and how long the outcome of a COMMIT that was
    not answered is asked for."""
    show_queries: bool = False
    """Whether the query of a session that is in the way may be shown."""


class ArchivePolicy(Record, frozen=True, kw_only=True):
    """What is archived before scripts destroy it, and for how long."""

    mode: ArchiveMode = ArchiveMode.ARCHIVE
    max_bytes: Annotated[int, msgspec.Meta(ge=1)] = 1 << 30
    """The greatest size of one archive."""
    above: AboveMaxSize = AboveMaxSize.REFUSE
    keep_seconds: Annotated[float, msgspec.Meta(gt=0)] = 720 * 3600.0
    """How old an archive must be to be dropped by a run."""

    @property
    def archives(self) -> bool:
        """Whether anything is archived, and put back by rollbacks."""
        return self.mode is ArchiveMode.ARCHIVE


class BatchLimits(Record, frozen=True, kw_only=True):
    """How scripts that are done in batches go through a table."""

    target_seconds: Annotated[float, msgspec.Meta(ge=0.001)] = 0.01
    """How long the statement of one batch should take: about that long others may wait for its rows."""
    pause_seconds: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """The rest after each batch."""
    max_lag_seconds: Annotated[float, msgspec.Meta(ge=0.001)] = 10.0
    """How far a standby may be behind."""
    long_transaction_seconds: Annotated[float, msgspec.Meta(ge=0.001)] = 60.0
    """The age of an open transaction of others from which on batches go slower."""
    min_size: Annotated[int, msgspec.Meta(ge=1)] = 100
    max_size: Annotated[int, msgspec.Meta(ge=1)] = 50_000

    def __post_init__(self) -> None:
        if self.min_size > self.max_size:
            raise ValueError(f"the smallest batch has {self.min_size} rows, and the largest {self.max_size}")


class Requirements(Record, frozen=True, kw_only=True):
    """What must be there before anything is applied."""

    versions: tuple[str, ...] = ()
    """Versions that must be applied already, by whomever."""
    extensions: tuple[str, ...] = ()
    """Extensions that must be installed in the database."""


class DatabaseIdentity(Record, frozen=True, kw_only=True):
    """Which database it is, whatever leads there."""

    system_identifier: str = ""
    """Identifier of the PostgreSQL cluster; empty where the role may not read it."""
    name: str

    @classmethod
    def parse(cls, text: str) -> DatabaseIdentity:
        """Read what `str` gives."""
        identifier, _, name = text.partition("/")
        return cls(system_identifier=identifier, name=name)

    def __str__(self) -> str:
        return f"{self.system_identifier}/{self.name}"

    def may_be(self, other: DatabaseIdentity) -> bool:
        """Whether nothing says that these are two databases."""
        known = self.system_identifier and other.system_identifier
        return self.name == other.name and (not known or self.system_identifier == other.system_identifier)


class ScriptFolder(Record, frozen=True, kw_only=True):
    """A folder of script files: `label` is what messages call it (a ConfigMap's name)."""

    path: str
    label: str


class Verification(Record, frozen=True, kw_only=True):
    """A query whose first value, as text, must equal `expect`."""

    name: str
    sql: str
    expect: str = "true"
    when: VerifyWhen = VerifyWhen.BEFORE_COMMIT


class PlannedWork(Record, frozen=True, kw_only=True):
    """The plan a run keeps to; `runner.digest` says what it covers."""

    digest: str
    position: Annotated[int, msgspec.Meta(ge=0)]
    """Where the history stood when the plan was made, so that a run that goes on can tell what was done since."""
    may_apply: bool = True
    """Whether versions may be applied: somebody has approved it, or nobody has to."""
    may_roll_back: bool = True
    """Whether versions may be rolled back."""


class RunRequest(Record, frozen=True, kw_only=True):
    """Everything a run needs besides the database itself."""

    run: str
    """Name of the run, unique per attempt: the Job's name, or `laptop-…` when a person runs it."""
    actor: str
    """Who applies: goes to `schema_versions.applied_by`. The person who approved, where one had to."""
    mode: Mode = Mode.RUN
    owners: tuple[str, ...] = ()
    """Whose versions an inspection is asked about; they are reported first."""
    only_forward: bool = False
    """Whether the run is refused where it would roll something back: it was started because the history is not as the
    last run left it, and nobody has asked for anything new."""
    resource: Resource | None = None
    """Absent when a person runs it without one: versions then belong to nobody in particular."""
    connection: ConnectionFiles | None = None
    """Absent when the caller gives the connection itself."""
    inline: tuple[InlineScript, ...] = ()
    folders: tuple[ScriptFolder, ...] = ()
    scripts_digest: str | None = None
    """SHA-256 of the scripts the controller has seen; the run is refused when the mounted ones differ."""
    version: str | None = None
    """The version to reach; absent, the newest script; "0" means nothing applied."""
    description: str | None = None
    emergency: str | None = None
    """Why the run may begin outside of maintenance windows; recorded with what it does."""
    verify: tuple[Verification, ...] = ()
    out_of_order: OutOfOrder = OutOfOrder.REFUSE
    checksums: ChecksumPolicy = ChecksumPolicy.STRICT
    locks: LockLimits = LockLimits()
    archives: ArchivePolicy = ArchivePolicy()
    variables: dict[str, str] = {}
    """Values for psql-style variables in the scripts (`:name`, `:'name'`, `:"name"`); others are left as they are."""
    requires: Requirements = Requirements()
    baseline: str | None = None
    """The version an existing schema has already: scripts up to it are recorded as applied and not run, where nothing
    is recorded yet."""
    allow: tuple[Acknowledgement, ...] = ()
    """What somebody has said is meant."""
    batches: BatchLimits = BatchLimits()
    undo: bool = False
    """Roll back all that this resource has applied, with what is stored in the database: no scripts are needed."""
    expected: DatabaseIdentity | None = None
    """The database the runs before have worked on; on another one, the run is refused."""
    accepted: DatabaseIdentity | None = None
    """Another database that somebody has said is meant."""
    planned: PlannedWork | None = None
    """What was planned before: anything else is not done (PlanChanged). Absent, whatever the plan is now."""
    lock_wait_seconds: float = 30.0
    """How long to wait for another run on the same database before giving up with exit code 40."""


def encode(request: RunRequest) -> bytes:
    """Write a request as JSON."""
    return msgspec.json.encode(request)


def decode(data: bytes) -> RunRequest:
    """Read a request from JSON.

    Raises `msgspec.ValidationError` or `msgspec.DecodeError` with the path of what is wrong.
    """
    return msgspec.json.decode(data, type=RunRequest)


def pack(request: RunRequest) -> str:
    """Write a request as text that is small enough for an annotation: base64 of gzipped JSON."""
    return base64.b64encode(gzip.compress(encode(request), mtime=0)).decode("ascii")


def unpack(text: bytes) -> RunRequest:
    """Read a request from JSON or from what `pack` wrote.

    Raises as `decode` does, and `ValueError` or `OSError` for text that is neither.
    """
    if text.lstrip().startswith(b"{"):
        return decode(text)
    return decode(gzip.decompress(base64.b64decode(text, validate=True)))
