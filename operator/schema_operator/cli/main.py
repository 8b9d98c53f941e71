"""`schema-operator`: one program for the runner (`run`), for who waits for it (`wait`), the controller and the CRDs."""

from __future__ import annotations

import argparse
import gc
import os
import re
import signal
import sys
from pathlib import Path

from schema_operator import __version__
from schema_operator.api.duration import parse
from schema_operator.api.size import in_bytes

_STOPPED = 143


def main() -> None:
    """Run the command line; the exit code is the command's."""
    code = execute(sys.argv[1:])
    if sys.argv[1:2] in (["run"], ["wait"]):
        _leave(code)
    sys.exit(code)


def _leave(code: int) -> None:
    """End the process at once: to take everything apart before is a tenth of a run that has nothing to do."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def execute(arguments: list[str]) -> int:
    """Run a command and give its exit code. Imports only what the command needs: the runner's start is felt."""
    options = _parser().parse_args(arguments)
    match options.command:
        case "run":
            gc.disable()  # nothing that importing makes is garbage, and looking for it takes 10 ms
            from schema_operator.cli.run import run  # noqa: PLC0415 (see above)

            gc.freeze()
            gc.enable()
            return run(options)
        case "wait":
            _stop_at_once()
            gc.disable()  # as above
            from schema_operator.cli.wait import wait  # noqa: PLC0415 (see above)

            gc.freeze()
            gc.enable()
            return wait(options)
        case "crd":
            from schema_operator.cli import crd  # noqa: PLC0415 (see above)

            return crd.check() if options.check else crd.write()
        case _:
            from schema_operator.controller.logs import LogFormat  # noqa: PLC0415 (see above)
            from schema_operator.controller.main import main as control  # noqa: PLC0415 (see above)

            return control(LogFormat(options.log_format))


def _stop_at_once() -> None:
    """End at SIGTERM and SIGINT from now on, for what leaves nothing half done.

    The kernel has no default for process 1 of a container: without a handler it would go on until it is killed.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(_STOPPED))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="schema-operator", description="Change a PostgreSQL schema, from Kubernetes or by hand."
    )
    parser.add_argument("--version", action="version", version=f"schema-operator {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_run(commands.add_parser("run", help="bring a database to a version", description=_RUN, epilog=_EXIT_CODES))
    _add_wait(
        commands.add_parser("wait", help="wait until a version is applied", description=_WAIT, epilog=_WAIT_CODES)
    )
    controller = commands.add_parser("controller", help="watch Kubernetes and start runs")
    controller.add_argument(
        "--log-format", choices=["json", "text"], default="json", help="one JSON object a line, or text for people"
    )
    crd = commands.add_parser("crd", help="write the CustomResourceDefinitions")
    crd.add_argument("--check", action="store_true", help="write nothing; exit with 1 if they are not up to date")
    return parser


_RUN = "Apply the scripts of a folder up to a version, or roll back to it. Options win over what a request says."
_EXIT_CODES = (
    "exit codes: 0 done or nothing to do; 10 nothing changed, may pass later; 20 refused; 21 failed and rolled back; "
    "22 applied, but a verification failed; 30 partly applied; 31 outcome unknown; 40 another run holds the lock; "
    "143 stopped on request. A DURATION is a number of seconds, or like 500ms, 2s, 1m30s."
)
_WAIT = (
    "End as soon as a version is applied, by whomever, as the history in the database says. For the init container of "
    "an application: it needs the application's own connection and no right in Kubernetes."
)
_WAIT_CODES = (
    "exit codes: 0 applied; 10 not applied when the time was over, may pass later; 20 refused, a person must change "
    "something; 143 stopped on request. A DURATION is a number of seconds, or like 500ms, 2s, 1m30s."
)
_FIVE_MINUTES = 300.0
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]{0,62})=(.*)", re.DOTALL)


_SHORTEST = 0.001


def _add_run(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--scripts", type=Path, metavar="FOLDER", help="folder of scripts, ours or another tool's")
    what.add_argument("--request", type=Path, metavar="FILE", help="a request as the controller writes it")
    parser.add_argument(
        "--uri",
        help="libpq URI or keyword string; better in the environment variable SCHEMA_OPERATOR_URI, which no list of "
        "processes shows",
    )
    parser.add_argument("--version", help='version to reach; absent, the newest script; "0" for nothing applied')
    parser.add_argument(
        "--plan",
        action="store_true",
        help="show what would be rolled back and applied, take no lock and change nothing",
    )
    parser.add_argument("--as", dest="owner", metavar="NAMESPACE/NAME", help="act for this SchemaMigration")
    parser.add_argument("--description", help="what the change is for; kept in the history")
    _add_scripts(parser.add_argument_group("what scripts may rely on"))
    _add_limits(parser.add_argument_group("rules and limits"))
    _add_archives(parser.add_argument_group("archives of what scripts destroy"))
    _add_batches(parser.add_argument_group("scripts that are done in batches"))
    _add_output(parser.add_argument_group("output"))


def _add_wait(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--version", required=True, help="version to wait for, as its script has it; 1.4 is 1.4.0")
    parser.add_argument(
        "--of", dest="owner", metavar="NAMESPACE/NAME", help="count only versions of this SchemaMigration; absent, all"
    )
    parser.add_argument(
        "--newer-is-enough",
        action="store_true",
        help="also end where all applied versions of --of are higher: a history that begins above the version",
    )
    parser.add_argument(
        "--uri",
        help="libpq URI or keyword string; better in the environment variable SCHEMA_OPERATOR_URI, which no list of "
        "processes shows; absent, PGHOST and the other variables of libpq",
    )
    parser.add_argument(
        "--timeout",
        type=_duration,
        default=_FIVE_MINUTES,
        metavar="DURATION",
        help="how long to wait before exit code 10; 0 for ever; absent, 5m",
    )


def _add_scripts(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--var",
        dest="variables",
        action="append",
        type=_variable,
        metavar="NAME=VALUE",
        help="fill in :name, :'name' and :\"name\" in the scripts, quoted as psql quotes; can be repeated; only "
        "variables that are given are filled in",
    )
    group.add_argument(
        "--requires-version",
        dest="requires_versions",
        action="append",
        metavar="VERSION",
        help="refuse to begin unless this version is applied, by whomever; can be repeated",
    )
    group.add_argument(
        "--requires-extension",
        dest="requires_extensions",
        action="append",
        metavar="NAME",
        help="refuse to begin unless this extension is installed in the database; can be repeated",
    )
    group.add_argument(
        "--baseline",
        metavar="VERSION",
        help="the version a schema without a history has already: scripts up to it are recorded as applied and not run",
    )
    group.add_argument(
        "--allow",
        action="append",
        choices=["EmptyScript", "CopyData", "LongName", "DeletesData", "Reapply"],
        help="accept what is refused otherwise: EmptyScript, an up script without any statement; CopyData, "
        "COPY … FROM STDIN with its rows in the script; LongName, names that PostgreSQL cuts off; DeletesData, that "
        "what cannot be archived is destroyed; Reapply, versions that a person rolled back in SQL; can be repeated",
    )


def _add_limits(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--out-of-order",
        choices=["Refuse", "Allow"],
        help="what to do with a script whose version is lower than one that is applied; absent, Refuse",
    )
    group.add_argument(
        "--checksums",
        choices=["Strict", "Warn"],
        help="what to do where the script of an applied version was changed since: Strict refuses the run, Warn says "
        "so and goes on; absent, Strict",
    )
    group.add_argument(
        "--max-stall",
        type=_positive_duration,
        metavar="DURATION",
        help="the longest to wait in the server's queue for a lock, where others wait behind; absent, 100ms",
    )
    group.add_argument(
        "--give-up-after",
        type=_duration,
        metavar="DURATION",
        help="how long to try a version again while others hold locks it needs, before exit code 10; absent, 30s",
    )
    group.add_argument(
        "--show-queries",
        action="store_const",
        const=True,
        help="also show the query of a session that is in the way; it may hold data",
    )
    group.add_argument(
        "--lock-wait",
        type=_duration,
        metavar="DURATION",
        help="how long to wait for another run on the database before giving up with exit code 40; absent, 30s",
    )


def _add_archives(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--archives",
        choices=["Archive", "Off"],
        help="whether columns and tables that are dropped, and rows of TRUNCATE and of DELETE without WHERE, are "
        "copied before; absent, Archive",
    )
    group.add_argument(
        "--archive-max-size",
        type=_size,
        metavar="SIZE",
        help="the greatest size of one archive, in bytes or like 500Mi, 1Gi; absent, 1Gi",
    )
    group.add_argument(
        "--archive-above",
        choices=["Refuse", "Skip"],
        help="what to do above that size: Refuse destroys nothing, Skip destroys it without an archive; absent, Refuse",
    )
    group.add_argument(
        "--archive-keep",
        type=_positive_duration,
        metavar="DURATION",
        help="how old an archive must be before a run drops it; absent, 720h",
    )


def _add_batches(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--batch-target-time",
        type=_positive_duration,
        metavar="DURATION",
        help="how long the statement of one batch should take, by which the number of its rows is chosen; absent, 10ms",
    )
    group.add_argument(
        "--batch-pause", type=_duration, metavar="DURATION", help="how long to rest after each batch; absent, 0"
    )
    group.add_argument("--batch-min-size", type=_rows, metavar="ROWS", help="the least rows of a batch; absent, 100")
    group.add_argument("--batch-max-size", type=_rows, metavar="ROWS", help="the most rows of a batch; absent, 50000")
    group.add_argument(
        "--max-replication-lag",
        type=_positive_duration,
        metavar="DURATION",
        help="how far a standby may be behind: batches wait from half of it on; absent, 10s",
    )
    group.add_argument(
        "--long-transaction",
        type=_positive_duration,
        metavar="DURATION",
        help="the age of another session's transaction from which on batches go slower; absent, 1m",
    )


def _add_output(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--log-format", choices=["json", "text"], help="json for a request, else text, unless given")
    group.add_argument(
        "--termination-log",
        type=Path,
        metavar="PATH",
        help="also write the report there; for a request, where the kubelet looks unless given",
    )


def _variable(text: str) -> tuple[str, str]:
    """Read NAME=VALUE; the value is everything after the first equals sign, and is in no message."""
    found = _VARIABLE.fullmatch(text)
    if found is None:
        name = text.partition("=")[0]
        raise argparse.ArgumentTypeError(
            f"{name!r} is no NAME=VALUE: a name is a letter or _, then letters, digits and _, at most 63 together"
        )
    return found[1], found[2]


def _duration(text: str) -> float:
    """Read a duration; argparse shows the sentence."""
    try:
        return parse(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no duration; write seconds, or a duration like 500ms, 2s or 1m30s"
        ) from None


def _size(text: str) -> int:
    """Read a size; argparse shows the sentence."""
    try:
        return in_bytes(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write bytes, or a size like 500Mi or 1Gi") from None


def _rows(text: str) -> int:
    """Read a number of rows."""
    if not text.isdecimal() or not text.isascii() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of rows; give 1 or more")
    return int(text)


def _positive_duration(text: str) -> float:
    seconds = _duration(text)
    if seconds < _SHORTEST:
        raise argparse.ArgumentTypeError(
            "the server counts in milliseconds, and 0 is without a limit; give 1ms or more"
        )
    return seconds
