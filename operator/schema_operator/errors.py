"""What can go wrong, as types.

::

    SchemaOperatorError
    ├── Refused              exit 20: nothing changed, a person must change something
    ├── Retryable            exit 10: nothing changed, the same run may pass later
    ├── Failed               exit 21: a script failed and was rolled back, the database is as before
    ├── VerificationFailed   exit 22: applied, but a check after the commit says no
    ├── PartlyApplied        exit 30: of a version in units some are done and stay, one did not pass
    ├── OutcomeUnknown       exit 31: the connection was lost at COMMIT and the history could not be read
    ├── LockHeld             exit 40: another run works on this database
    └── Stopped              exit 143: stopped on request, nothing half done

Every error carries a `Reason` (for machines), a sentence that says what to do next (for people) and, where a
script is to blame, the `Location` in it. Messages never contain a connection string, a password or row values.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, unique


@unique
class Reason(StrEnum):
    """Why something was refused or failed. The values are condition reasons and part of the interface."""

    INVALID_SPEC = "InvalidSpec"
    INVALID_REQUEST = "InvalidRequest"
    TARGET_NOT_FOUND = "TargetNotFound"
    CONFIG_MAP_NOT_FOUND = "ConfigMapNotFound"
    SECRET_NOT_FOUND = "SecretNotFound"
    SECRET_KEY_NOT_FOUND = "SecretKeyNotFound"
    SOURCE_CHANGED = "SourceChanged"
    PLAN_CHANGED = "PlanChanged"
    SCRIPTS_NOT_COPIED = "ScriptsNotCopied"
    EMPTY_SOURCE = "EmptySource"
    EMPTY_MIGRATION = "EmptyMigration"
    MALFORMED_VERSION = "MalformedVersion"
    DUPLICATE_VERSION = "DuplicateVersion"
    MISSING_UP_SCRIPT = "MissingUpScript"
    UNRECOGNIZED_SCRIPT = "UnrecognizedScript"
    UNKNOWN_VERSION = "UnknownVersion"
    OUT_OF_ORDER = "OutOfOrder"
    CHECKSUM_MISMATCH = "ChecksumMismatch"
    NOT_REVERSIBLE = "NotReversible"
    VERSION_IN_THE_WAY = "VersionInTheWay"
    ROLLED_BACK_BY_HAND = "RolledBackByHand"
    HISTORY_AHEAD = "HistoryAhead"
    INVALID_ENCODING = "InvalidEncoding"
    META_COMMAND_NOT_SUPPORTED = "MetaCommandNotSupported"
    COPY_NOT_SUPPORTED = "CopyNotSupported"
    TRANSACTION_CONTROL = "TransactionControl"
    NEEDS_NO_TRANSACTION = "NeedsNoTransaction"
    SPLIT_REQUIRED = "SplitRequired"
    FORBIDDEN_STATEMENT = "ForbiddenStatement"
    SESSION_STATE_CHANGE = "SessionStateChange"
    ENUM_VALUE_NOT_USABLE = "EnumValueNotUsable"
    INVALID_BATCH = "InvalidBatch"
    OUTSIDE_BATCH = "OutsideBatch"
    NO_KEY = "NoKey"
    IDENTIFIER_TRUNCATED = "IdentifierTruncated"
    PLACEHOLDER_ERROR = "PlaceholderError"
    ARCHIVE_TOO_LARGE = "ArchiveTooLarge"
    MISSING_DEPENDENCY = "MissingDependency"
    DEPENDENCY_CYCLE = "DependencyCycle"
    PARTLY_APPLIED = "PartlyApplied"
    TOO_LARGE = "TooLarge"
    INVALID_CONNECTION = "InvalidConnection"
    AUTH_FAILED = "AuthFailed"
    DATABASE_NOT_FOUND = "DatabaseNotFound"
    DATABASE_MOVED = "DatabaseMoved"
    UNREACHABLE = "Unreachable"
    TLS_FAILED = "TlsFailed"
    NOT_PRIMARY = "NotPrimary"
    POOLER_DETECTED = "PoolerDetected"
    UNSUPPORTED_SERVER = "UnsupportedServer"
    UNSUPPORTED_ENCODING = "UnsupportedEncoding"
    CONTROL_SCHEMA_NEWER = "ControlSchemaNewer"
    CONTROL_SCHEMA_OLDER = "ControlSchemaOlder"
    CONTROL_SCHEMA_DAMAGED = "ControlSchemaDamaged"
    SYNTAX_ERROR = "SyntaxError"
    OBJECT_NOT_FOUND = "ObjectNotFound"
    ALREADY_EXISTS = "AlreadyExists"
    DATA_VIOLATION = "DataViolation"
    INVALID_FOREIGN_KEY = "InvalidForeignKey"
    DEPENDENT_OBJECTS = "DependentObjects"
    DATATYPE_MISMATCH = "DatatypeMismatch"
    PERMISSION_DENIED = "PermissionDenied"
    EXTENSION_NOT_AVAILABLE = "ExtensionNotAvailable"
    LIMIT_EXCEEDED = "LimitExceeded"
    STATEMENT_FAILED = "StatementFailed"
    LOCK_TIMEOUT = "LockTimeout"
    STATEMENT_TIMEOUT = "StatementTimeout"
    DEADLOCK = "Deadlock"
    SERIALIZATION_FAILURE = "SerializationFailure"
    CONNECTION_LOST = "ConnectionLost"
    SERVER_SHUTDOWN = "ServerShutdown"
    DISK_FULL = "DiskFull"
    GUARD_LOST = "GuardLost"
    LOCK_HELD = "LockHeld"
    VERIFICATION_FAILED = "VerificationFailed"
    OUTCOME_UNKNOWN = "OutcomeUnknown"
    STOPPED = "Stopped"
    RUNNER_KILLED = "RunnerKilled"
    OUT_OF_MEMORY = "OOMKilled"
    EVICTED = "Evicted"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    IMAGE_NOT_PULLED = "ImageNotPulled"
    UNSCHEDULABLE = "Unschedulable"
    POD_NOT_STARTED = "PodNotStarted"
    INVALID_WINDOW = "InvalidWindow"
    WINDOW_TOO_SHORT = "WindowTooShort"
    RETRIES_EXHAUSTED = "RetriesExhausted"
    INTERNAL_ERROR = "InternalError"


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where in the scripts something is wrong. Every part may be absent; lines and columns count from 1."""

    version: str | None = None
    file: str | None = None
    statement: int | None = None
    statements: int | None = None
    line: int | None = None
    column: int | None = None
    sqlstate: str | None = None

    def __str__(self) -> str:
        """Give the parts that are known, as the beginning of a sentence: `version 1.1.0, file a.up.sql, line 3`."""
        parts = []
        if self.version is not None:
            parts.append(f"version {self.version}")
        if self.file is not None:
            parts.append(f"file {self.file}")
        if self.statement is not None:
            parts.append(f"statement {self.statement}" + (f" of {self.statements}" if self.statements else ""))
        if self.line is not None:
            parts.append(f"line {self.line}" + (f", column {self.column}" if self.column else ""))
        return ", ".join(parts)


NOWHERE = Location()


class SchemaOperatorError(Exception):
    """The base of every error this product raises on purpose.

    `sentence` says what is wrong and what to do, without the location; `str()` puts the location before it.
    """

    def __init__(self, reason: Reason, sentence: str, location: Location = NOWHERE) -> None:
        super().__init__(reason, sentence, location)
        self.reason = reason
        self.sentence = sentence
        self.location = location

    def __str__(self) -> str:
        place = str(self.location)
        return f"{place}: {self.sentence}" if place else self.sentence


class Refused(SchemaOperatorError):
    """Nothing was changed and a person must change something first (exit code 20)."""


class Retryable(SchemaOperatorError):
    """Nothing was changed and the same run may pass later (exit code 10)."""


class Failed(SchemaOperatorError):
    """A script failed, its transaction was rolled back, the database is as before (exit code 21)."""


class VerificationFailed(SchemaOperatorError):
    """The versions are applied, but a verification after the commit failed (exit code 22)."""


class PartlyApplied(SchemaOperatorError):
    """Of a version that is committed in units some are done and stay, a later one did not pass (exit code 30)."""


class OutcomeUnknown(SchemaOperatorError):
    """Whether the last transaction was committed could not be proved (exit code 31)."""


class LockHeld(SchemaOperatorError):
    """Another run works on this database (exit code 40)."""


class Stopped(SchemaOperatorError):
    """The run was asked to stop and left nothing half done (exit code 143)."""
