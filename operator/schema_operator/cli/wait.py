"""`schema-operator wait`: end as soon as a version is applied, for an application that is about to start."""

from __future__ import annotations

import os
import sys
import threading
import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

from schema_operator.api.version import Version
from schema_operator.cli.database import URI_VARIABLE, in_parts, named
from schema_operator.errors import Reason, Refused, Retryable, SchemaOperatorError
from schema_operator.history.waiting import Verdict, Wanted, judge
from schema_operator.history.watch import Watch

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from schema_operator.history.waiting import Applied
    from schema_operator.postgres.address import Address

INTERVAL: Final = 1.0
"""Seconds between two looks at the history."""
_REACHED: Final = 0
_TIMED_OUT: Final = 10
_REFUSED: Final = 20
_Seen = tuple["Applied", ...] | None | Exception


def wait(options: argparse.Namespace) -> int:
    """Wait as the options say, tell what is waited for, and give the exit code."""
    try:
        wanted = wanted_of(options)
        address = address_of(options, os.environ)
        return _wait(wanted, address, options.timeout)
    except Refused as refused:
        _fail(f"{refused.reason}: {refused}")
        return _REFUSED


def wanted_of(options: argparse.Namespace) -> Wanted:
    """Read what is waited for; raises `Refused`: MalformedVersion, InvalidRequest."""
    version = Version.parse(options.version)
    if version.is_nothing:
        raise Refused(
            Reason.INVALID_REQUEST,
            f"--version {version} is before the first script, so there is nothing to wait for; give the version the "
            "application needs",
        )
    if options.owner is not None:
        namespace, slash, name = options.owner.partition("/")
        if not slash or not namespace or not name or "/" in name:
            raise Refused(Reason.INVALID_REQUEST, f"--of takes NAMESPACE/NAME, not {options.owner!r}")
    elif options.newer_is_enough:
        raise Refused(
            Reason.INVALID_REQUEST,
            "--newer-is-enough needs --of NAMESPACE/NAME: versions of others, which may be higher by chance, say "
            "nothing of the wanted one",
        )
    return Wanted(version, options.owner, newer_is_enough=options.newer_is_enough)


def address_of(options: argparse.Namespace, environment: Mapping[str, str]) -> Address:
    """Give the database to look at; raises `Refused(InvalidConnection)`."""
    address = named(options.uri, environment) or in_parts(environment)
    if address is None:
        raise Refused(
            Reason.INVALID_CONNECTION,
            f"no database is named; give --uri, or set {URI_VARIABLE}, or PGHOST and the other variables of libpq",
        )
    return address


def _wait(wanted: Wanted, address: Address, timeout: float) -> int:
    """Look until it is there or the time is over; 0 seconds are for ever. Raises `Refused`."""
    deadline = time.monotonic() + timeout if timeout else None
    limit = f"at most {timeout:g} s" if timeout else "without a limit"
    _say(f"waiting for {wanted} in database {address.database or '(not given)'} at {address.place}, {limit}")
    seen = _start_looking(Watch(address, f"schema-operator wait {wanted.version} {wanted.owner or ''}".rstrip()))
    said = ""
    while True:
        try:
            found = seen.get(timeout=None if deadline is None else max(0.0, deadline - time.monotonic()))
        except Empty:
            _fail(f"{wanted} was not there in {timeout:g} s: {said or f'{address.place} has not answered'}")
            return _TIMED_OUT
        verdict = _verdict(wanted, found)
        if verdict.sentence != said:
            _say(verdict.sentence)
            said = verdict.sentence
        if verdict.reached:
            return _REACHED


def _verdict(wanted: Wanted, found: _Seen) -> Verdict:
    """Say what was seen; raises what does not pass by waiting."""
    if isinstance(found, Retryable):
        return Verdict(False, found.sentence)
    if isinstance(found, Exception):
        raise found
    return judge(wanted, found)


def _start_looking(watch: Watch) -> SimpleQueue[_Seen]:
    """Look in a thread of its own, once every interval; gives where it puts what it sees, or what went wrong.

    Neither a name server nor a dead network nor a lock on the history, which a run that upgrades it takes, can then
    hold up the timeout or a signal.
    """
    seen: SimpleQueue[_Seen] = SimpleQueue()

    def look() -> None:
        while True:
            try:
                seen.put(watch.look())
            except SchemaOperatorError as error:
                seen.put(error)
            except Exception as error:  # noqa: BLE001 (the other thread raises it)
                seen.put(error)
                return
            time.sleep(INTERVAL)

    threading.Thread(target=look, name="look", daemon=True).start()
    return seen


def _say(sentence: str) -> None:
    print(sentence, flush=True)


def _fail(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
