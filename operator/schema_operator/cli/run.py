"""`schema-operator run`: from options to a request, from a report to an exit code."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from schema_operator.api import request as requests
from schema_operator.api.request import (
    AboveMaxSize,
    Acknowledgement,
    ArchiveMode,
    ArchivePolicy,
    BatchLimits,
    ChecksumPolicy,
    LockLimits,
    OutOfOrder,
    Requirements,
    Resource,
    RunRequest,
    ScriptFolder,
)
from schema_operator.cli.database import URI_VARIABLE, named
from schema_operator.errors import Reason, Refused, SchemaOperatorError
from schema_operator.runner.main import run as run_request
from schema_operator.runner.outcome import Findings, report_of
from schema_operator.runner.report import LogFormat, Reporter
from schema_operator.runner.stop import Stop

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping

    from schema_operator.api.report import RunReport
    from schema_operator.postgres.address import Address

T = TypeVar("T")

TERMINATION_LOG: Final = Path("/dev/termination-log")
"""Where the kubelet looks, unless the pod says otherwise (`terminationMessagePath`)."""


def run(options: argparse.Namespace) -> int:
    """Run what the options ask for, report it, and give the exit code."""
    reporter = Reporter(log_format(options), termination_log(options))
    report = _report(options, os.environ, reporter)
    reporter.finish(report)
    return int(report.outcome)


def log_format(options: argparse.Namespace) -> LogFormat:
    """Choose how to write: for machines when a machine asked."""
    default = LogFormat.JSON if options.request else LogFormat.TEXT
    return LogFormat(options.log_format) if options.log_format else default


def termination_log(options: argparse.Namespace) -> Path | None:
    """Choose where else the report goes: where it is asked for, or where the kubelet looks, if it does."""
    if options.termination_log is not None:
        return Path(options.termination_log)
    looked_at = options.request is not None and TERMINATION_LOG.is_file() and os.access(TERMINATION_LOG, os.W_OK)
    return TERMINATION_LOG if looked_at else None


def _report(options: argparse.Namespace, environment: Mapping[str, str], reporter: Reporter) -> RunReport:
    try:
        request = request_of(options)
        address = address_of(options, environment)
    except SchemaOperatorError as error:
        return report_of("", Findings(), error, 0.0)
    return run_request(request, address, reporter, Stop(), only_plan=options.plan)


def request_of(options: argparse.Namespace) -> RunRequest:
    """Make the request the options describe; raises `Refused(InvalidRequest)`."""
    if options.request is not None:
        return _with_options(_read(options.request), options)
    request = RunRequest(
        run=f"laptop-{os.urandom(6).hex()}",
        actor=_actor(),
        folders=(ScriptFolder(path=str(options.scripts), label=""),),
    )
    return _with_options(request, options)


def address_of(options: argparse.Namespace, environment: Mapping[str, str]) -> Address | None:
    """Give the address the caller named; None where the request names it. Raises `Refused(InvalidConnection)`."""
    address = named(options.uri, environment)
    if address is None and options.request is None:
        raise Refused(Reason.INVALID_CONNECTION, f"no database is named; give --uri or set {URI_VARIABLE}")
    return address


def _read(path: Path) -> RunRequest:
    try:
        return requests.unpack(path.read_bytes())
    except OSError as error:
        raise Refused(Reason.INVALID_REQUEST, f"the request cannot be read ({error.strerror or 'not gzip'})") from None
    except (msgspec.MsgspecError, ValueError, EOFError) as error:
        text = str(error) if isinstance(error, msgspec.ValidationError) else "it is not what the controller writes"
        raise Refused(Reason.INVALID_REQUEST, f"the request cannot be read: {text}") from None


def _with_options(request: RunRequest, options: argparse.Namespace) -> RunRequest:
    """Let options win over what the request says; variables by their names. Lists are added to those of the request."""
    given = {
        "version": options.version,
        "description": options.description,
        "resource": _resource(options.owner),
        "out_of_order": options.out_of_order and OutOfOrder(options.out_of_order),
        "checksums": options.checksums and ChecksumPolicy(options.checksums),
        "baseline": options.baseline,
        "lock_wait_seconds": options.lock_wait,
    }
    return msgspec.structs.replace(
        request,
        locks=_locks(request.locks, options),
        archives=_archives(request.archives, options),
        variables=request.variables | _variables(options.variables or ()),
        requires=Requirements(
            versions=_added(request.requires.versions, options.requires_versions),
            extensions=_added(request.requires.extensions, options.requires_extensions),
        ),
        allow=_added(request.allow, [Acknowledgement(name) for name in options.allow or ()]),
        batches=_batches(request.batches, options),
        **_given(given),
    )


def _given(values: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None}


def _locks(limits: LockLimits, options: argparse.Namespace) -> LockLimits:
    given = {
        "max_stall_seconds": options.max_stall,
        "give_up_seconds": options.give_up_after,
        "show_queries": options.show_queries,
    }
    return msgspec.structs.replace(limits, **_given(given))


def _archives(policy: ArchivePolicy, options: argparse.Namespace) -> ArchivePolicy:
    given = {
        "mode": options.archives and ArchiveMode(options.archives),
        "max_bytes": options.archive_max_size,
        "above": options.archive_above and AboveMaxSize(options.archive_above),
        "keep_seconds": options.archive_keep,
    }
    return msgspec.structs.replace(policy, **_given(given))


def _batches(limits: BatchLimits, options: argparse.Namespace) -> BatchLimits:
    """Raise `Refused(InvalidRequest)` where the smallest batch would be larger than the largest."""
    given = {
        "target_seconds": options.batch_target_time,
        "pause_seconds": options.batch_pause,
        "max_lag_seconds": options.max_replication_lag,
        "long_transaction_seconds": options.long_transaction,
        "min_size": options.batch_min_size,
        "max_size": options.batch_max_size,
    }
    try:
        return msgspec.structs.replace(limits, **_given(given))
    except ValueError as error:
        raise Refused(Reason.INVALID_REQUEST, f"{error}; correct --batch-min-size or --batch-max-size") from None


def _variables(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Give the variables by name; raises `Refused(InvalidRequest)` for a name that is given twice."""
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise Refused(Reason.INVALID_REQUEST, f"--var gives {name} twice; give it once")
        found[name] = value
    return found


def _added(before: tuple[T, ...], more: Iterable[T] | None) -> tuple[T, ...]:
    """Give both, each value once, in the order in which they were said."""
    return tuple(dict.fromkeys((*before, *(more or ()))))


def _resource(owner: str | None) -> Resource | None:
    if owner is None:
        return None
    namespace, slash, name = owner.partition("/")
    if not slash or not namespace or not name or "/" in name:
        raise Refused(Reason.INVALID_REQUEST, f"--as takes NAMESPACE/NAME, not {owner!r}")
    return Resource(namespace=namespace, name=name)


def _actor() -> str:
    """Name who runs this: the user, or its number where it has no name, and the machine."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    return f"{user}@{os.uname().nodename}"
