"""`schema-operator`: one program for the runner (`run`), the controller and the definitions of the resources."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

from schema_operator import __version__


def main() -> None:
    """Run the command line; the exit code is the command's."""
    sys.exit(execute(sys.argv[1:]))


def execute(arguments: list[str]) -> int:
    """Run a command and give its exit code. Imports only what the command needs: the runner's start is felt."""
    options = _parser().parse_args(arguments)
    match options.command:
        case "run":
            from schema_operator.cli.run import run  # noqa: PLC0415 (see above)

            return run(options)
        case "crd":
            from schema_operator.cli import crd  # noqa: PLC0415 (see above)

            return crd.check() if options.check else crd.write()
        case _:
            from schema_operator.controller.main import main as control  # noqa: PLC0415 (see above)

            return control()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="schema-operator", description="Change a PostgreSQL schema, from Kubernetes or by hand."
    )
    parser.add_argument("--version", action="version", version=f"schema-operator {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_run(commands.add_parser("run", help="bring a database to a version", description=_RUN, epilog=_EXIT_CODES))
    commands.add_parser("controller", help="watch Kubernetes and start runs")
    crd = commands.add_parser("crd", help="write the CustomResourceDefinitions")
    crd.add_argument("--check", action="store_true", help="write nothing; exit with 1 if they are not up to date")
    return parser


_RUN = "Apply the scripts of a folder up to a version, or roll back to it."
_EXIT_CODES = (
    "exit codes: 0 done or nothing to do; 10 nothing changed, may pass later; 20 refused; 21 failed and rolled back; "
    "22 applied, but a verification failed; 30 partly applied; 31 outcome unknown; 40 another run holds the lock; "
    "143 stopped on request"
)


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
    parser.add_argument("--as", dest="owner", metavar="NAMESPACE/NAME", help="act for this SchemaMigration")
    parser.add_argument("--description", help="what the change is for; kept in the history")
    parser.add_argument(
        "--out-of-order",
        choices=["Refuse", "Allow"],
        help="what to do with a script whose version is lower than one that is applied; absent, Refuse",
    )
    parser.add_argument(
        "--lock-wait",
        type=_seconds,
        metavar="SECONDS",
        help="how long to wait for another run on the database before giving up with exit code 40; absent, 30",
    )
    parser.add_argument("--log-format", choices=["json", "text"], help="json for a request, else text, unless given")
    parser.add_argument(
        "--termination-log",
        type=Path,
        metavar="PATH",
        help="also write the report there; for a request, where the kubelet looks unless given",
    )


def _seconds(text: str) -> float:
    """Read a number of seconds; argparse makes of the error what it says of other options."""
    seconds = float(text)
    if not math.isfinite(seconds) or seconds < 0:
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds")
    return seconds
