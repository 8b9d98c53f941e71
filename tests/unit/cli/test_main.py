"""The command line: what it imports, what it makes of options."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from schema_operator import __version__
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
    RunRequest,
    ScriptFolder,
)
from schema_operator.cli import run
from schema_operator.cli.database import URI_VARIABLE
from schema_operator.cli.main import _parser, execute
from schema_operator.errors import Reason, Refused
from schema_operator.runner.report import LogFormat

PROJECT = Path(__file__).parents[3] / "pyproject.toml"


def test_the_version_is_the_projects(capsys: pytest.CaptureFixture[str]) -> None:
    assert tomllib.loads(PROJECT.read_text())["project"]["version"] == __version__
    with pytest.raises(SystemExit):
        execute(["--version"])
    assert capsys.readouterr().out == f"schema-operator {__version__}\n"


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("schema_operator.cli.main", ("psycopg", "msgspec", "pydantic", "kopf", "kubernetes", "yaml")),
        ("schema_operator.cli.run", ("pydantic", "kopf", "kubernetes", "yaml", "click", "rich", "aiohttp")),
    ],
)
def test_a_command_imports_only_what_it_needs(module: str, absent: tuple[str, ...]) -> None:
    program = f"import {module}, sys; print([name for name in {absent!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert result.stdout.strip() == "[]"


def test_options_make_a_request() -> None:
    options = _parser().parse_args(
        ["run", "--scripts", "f", "--version", "1.2", "--as", "shop/a", "--description", "d"]
    )
    request = run.request_of(options)
    assert request.resource is not None
    assert (request.resource.owner, request.version, request.description) == ("shop/a", "1.2", "d")
    assert request.run.startswith("laptop-")
    assert request.run != run.request_of(options).run


def test_limits_of_a_run_are_options_and_win_over_a_request(tmp_path: Path) -> None:
    given = ["--out-of-order", "Allow", "--lock-wait", "0.5"]
    bare = run.request_of(_parser().parse_args(["run", "--scripts", "f"]))
    assert (bare.out_of_order, bare.lock_wait_seconds) == (OutOfOrder.REFUSE, 30.0)
    request = run.request_of(_parser().parse_args(["run", "--scripts", "f", *given]))
    assert (request.out_of_order, request.lock_wait_seconds) == (OutOfOrder.ALLOW, 0.5)
    path = tmp_path / "request"
    path.write_bytes(requests.encode(RunRequest(run="r", actor="a", out_of_order=OutOfOrder.ALLOW)))
    asked = run.request_of(_parser().parse_args(["run", "--request", str(path), "--lock-wait", "0"]))
    assert (asked.out_of_order, asked.lock_wait_seconds) == (OutOfOrder.ALLOW, 0.0)
    asked = run.request_of(_parser().parse_args(["run", "--request", str(path), "--out-of-order", "Refuse"]))
    assert asked.out_of_order is OutOfOrder.REFUSE


def given(*arguments: str) -> RunRequest:
    return run.request_of(_parser().parse_args(["run", *arguments]))


WRITTEN = RunRequest(
    run="r",
    actor="a",
    checksums=ChecksumPolicy.WARN,
    locks=LockLimits(max_stall_seconds=0.5, give_up_seconds=60.0, show_queries=True),
    variables={"a": "1", "b": "2"},
    requires=Requirements(versions=("1",), extensions=("x",)),
    baseline="0.9",
    allow=(Acknowledgement.COPY_DATA,),
    archives=ArchivePolicy(max_bytes=5, keep_seconds=60.0),
    batches=BatchLimits(pause_seconds=2.0, max_size=700),
)

# Options, the field of the request, what it is without a request, what it is with the request above.
OPTIONS: dict[str, tuple[tuple[str, ...], str, object, object]] = {
    "no checksums": ((), "checksums", ChecksumPolicy.STRICT, ChecksumPolicy.WARN),
    "checksums": (("--checksums", "Strict"), "checksums", ChecksumPolicy.STRICT, ChecksumPolicy.STRICT),
    "no limits": ((), "locks", LockLimits(), WRITTEN.locks),
    "seconds": (
        ("--max-stall", "0.25"),
        "locks",
        LockLimits(max_stall_seconds=0.25),
        LockLimits(max_stall_seconds=0.25, give_up_seconds=60.0, show_queries=True),
    ),
    "durations": (
        ("--max-stall", "20ms", "--give-up-after", "1m30s"),
        "locks",
        LockLimits(max_stall_seconds=0.02, give_up_seconds=90.0),
        LockLimits(max_stall_seconds=0.02, give_up_seconds=90.0, show_queries=True),
    ),
    "no patience": (("--give-up-after", "0"), "locks", LockLimits(give_up_seconds=0.0), None),
    "queries": (("--show-queries",), "locks", LockLimits(show_queries=True), WRITTEN.locks),
    "no batches": ((), "batches", BatchLimits(), WRITTEN.batches),
    "batches": (
        ("--batch-target-time", "50ms", "--batch-pause", "1", "--batch-min-size", "5"),
        "batches",
        BatchLimits(target_seconds=0.05, pause_seconds=1.0, min_size=5),
        BatchLimits(target_seconds=0.05, pause_seconds=1.0, min_size=5, max_size=700),
    ),
    "who is waited for": (
        ("--max-replication-lag", "1m", "--long-transaction", "10m", "--batch-max-size", "900"),
        "batches",
        BatchLimits(max_lag_seconds=60.0, long_transaction_seconds=600.0, max_size=900),
        BatchLimits(pause_seconds=2.0, max_lag_seconds=60.0, long_transaction_seconds=600.0, max_size=900),
    ),
    "the other lock": (("--lock-wait", "2m"), "lock_wait_seconds", 120.0, 120.0),
    "no archives": (
        ("--archives", "Off"),
        "archives",
        ArchivePolicy(mode=ArchiveMode.OFF),
        ArchivePolicy(mode=ArchiveMode.OFF, max_bytes=5, keep_seconds=60.0),
    ),
    "archives": (
        ("--archive-max-size", "2Mi", "--archive-above", "Skip", "--archive-keep", "1h"),
        "archives",
        ArchivePolicy(max_bytes=2 << 20, above=AboveMaxSize.SKIP, keep_seconds=3600.0),
        ArchivePolicy(max_bytes=2 << 20, above=AboveMaxSize.SKIP, keep_seconds=3600.0),
    ),
    "no variables": ((), "variables", {}, {"a": "1", "b": "2"}),
    "variables": (
        ("--var", "b=x=y", "--var", "C_1="),
        "variables",
        {"b": "x=y", "C_1": ""},
        {"a": "1", "b": "x=y", "C_1": ""},
    ),
    "a variable of several lines": (("--var", "b=x\ny"), "variables", {"b": "x\ny"}, {"a": "1", "b": "x\ny"}),
    "required versions": (
        ("--requires-version", "2", "--requires-version", "1"),
        "requires",
        Requirements(versions=("2", "1")),
        Requirements(versions=("1", "2"), extensions=("x",)),
    ),
    "required extensions": (
        ("--requires-extension", "y"),
        "requires",
        Requirements(extensions=("y",)),
        Requirements(versions=("1",), extensions=("x", "y")),
    ),
    "baseline": (("--baseline", "1.0"), "baseline", "1.0", "1.0"),
    "no baseline": ((), "baseline", None, "0.9"),
    "allow": (
        ("--allow", "EmptyScript", "--allow", "CopyData"),
        "allow",
        (Acknowledgement.EMPTY_SCRIPT, Acknowledgement.COPY_DATA),
        (Acknowledgement.COPY_DATA, Acknowledgement.EMPTY_SCRIPT),
    ),
}


@pytest.mark.parametrize(("options", "field", "bare", "beside"), OPTIONS.values(), ids=OPTIONS.keys())
def test_what_options_say_stands_in_the_request_and_wins_over_what_is_written(
    tmp_path: Path, options: tuple[str, ...], field: str, bare: object, beside: object
) -> None:
    assert getattr(given("--scripts", "f", *options), field) == bare
    (tmp_path / "request").write_bytes(requests.encode(WRITTEN))
    found = getattr(given("--request", str(tmp_path / "request"), *options), field)
    assert beside is None or found == beside


def test_a_variable_is_given_once() -> None:
    with pytest.raises(Refused) as refused:
        given("--scripts", "f", "--var", "a=secret", "--var", "a=other")
    assert refused.value.reason is Reason.INVALID_REQUEST
    assert "--var gives a twice" in str(refused.value)
    assert "secret" not in str(refused.value)


def test_choices_are_those_of_the_request() -> None:
    (options,) = [
        action.choices["run"] for action in _parser()._actions if isinstance(action, argparse._SubParsersAction)
    ]
    choices = {action.dest: action.choices for action in options._actions if action.choices}
    assert choices == {
        "allow": [*Acknowledgement],
        "checksums": [*ChecksumPolicy],
        "out_of_order": [*OutOfOrder],
        "archives": [*ArchiveMode],
        "archive_above": [*AboveMaxSize],
        "log_format": [*LogFormat],
    }


def test_every_option_is_on_the_page_about_running_by_hand() -> None:
    (options,) = [
        action.choices["run"] for action in _parser()._actions if isinstance(action, argparse._SubParsersAction)
    ]
    page = (PROJECT.parent / "docs/running-by-hand.md").read_text()
    table = {
        option
        for line in page.splitlines()
        if line.startswith("| `--")
        for option in re.findall(r"--[a-z-]+", line.split("|")[1])
    }
    known = {option for action in options._actions for option in action.option_strings if option.startswith("--")}
    assert table == known - {"--help"}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--max-stall", "0"),
        ("--max-stall", "0ms"),
        ("--max-stall", "0.0001"),
        ("--max-stall", "1.5s"),
        ("--give-up-after", "-1"),
        ("--give-up-after", "soon"),
        ("--checksums", "Ignore"),
        ("--allow", "Everything"),
        ("--archives", "off"),
        ("--archive-max-size", "0"),
        ("--archive-max-size", "1GB"),
        ("--archive-keep", "0"),
        ("--var", "novalue"),
        ("--var", "=x"),
        ("--var", "1a=x"),
        ("--var", "a-b=x"),
        ("--var", f"{'a' * 64}=x"),
        ("--lock-wait", "-1"),
        ("--lock-wait", "nan"),
        ("--lock-wait", "inf"),
        ("--lock-wait", "x"),
        ("--out-of-order", "no"),
    ],
)
def test_limits_that_make_no_sense_are_no_command_line(option: str, value: str) -> None:
    with pytest.raises(SystemExit) as ended:
        _parser().parse_args(["run", "--scripts", "f", f"{option}={value}"])
    assert ended.value.code == 2


@pytest.mark.parametrize("option", ["--baseline", "--requires-version"])
def test_other_malformed_versions_are_refused_too(tmp_path: Path, option: str) -> None:
    (tmp_path / "1_x.up.sql").write_text("SELECT 1")
    program = Path(sys.executable).with_name("schema-operator")
    command = [str(program), "run", "--scripts", str(tmp_path), option, "v1", "--uri", "postgresql://127.0.0.1:1/x"]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (20, "")
    assert ended.stderr.startswith("MalformedVersion: 'v1' is not a version")


@pytest.mark.parametrize("version", ["v1", "1-rollback"])
@pytest.mark.parametrize("by_request", [False, True])
def test_a_malformed_version_is_refused_before_anything_is_connected_to(
    tmp_path: Path, version: str, *, by_request: bool
) -> None:
    (tmp_path / "1_x.up.sql").write_text("SELECT 1")
    options = ["--scripts", str(tmp_path), "--version", version]
    if by_request:
        folders = (ScriptFolder(path=str(tmp_path), label=""),)
        (tmp_path / "request").write_bytes(
            requests.encode(RunRequest(run="r", actor="a", version=version, folders=folders))
        )
        options = ["--request", str(tmp_path / "request"), "--log-format", "text"]
    program = Path(sys.executable).with_name("schema-operator")
    command = [str(program), "run", *options, "--uri", "postgresql://127.0.0.1:1/nobody-listens"]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (20, "")
    assert ended.stderr.startswith("MalformedVersion: ")
    assert version in ended.stderr


@pytest.mark.parametrize("owner", ["shop", "/a", "shop/", "a/b/c"])
def test_an_owner_is_a_namespace_and_a_name(owner: str) -> None:
    options = _parser().parse_args(["run", "--scripts", "f", "--as", owner])
    with pytest.raises(Refused) as refused:
        run.request_of(options)
    assert refused.value.reason is Reason.INVALID_REQUEST


@pytest.mark.parametrize("packed", [False, True])
def test_a_request_is_read_and_options_win(tmp_path: Path, *, packed: bool) -> None:
    request = RunRequest(run="r", actor="a", version="1")
    path = tmp_path / "request"
    path.write_bytes(requests.pack(request).encode() if packed else requests.encode(request))
    assert run.request_of(_parser().parse_args(["run", "--request", str(path)])) == request
    changed = run.request_of(_parser().parse_args(["run", "--request", str(path), "--version", "2"]))
    assert (changed.version, changed.run) == ("2", "r")


@pytest.mark.parametrize("content", [b"", b"{", b'{"run": 1}', b"%%%", b"H4sI", b'{"run":"r","actor":"a","wat":1}'])
def test_a_request_that_cannot_be_read(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "request"
    path.write_bytes(content)
    with pytest.raises(Refused) as refused:
        run.request_of(_parser().parse_args(["run", "--request", str(path)]))
    assert refused.value.reason is Reason.INVALID_REQUEST


def test_the_address_comes_from_the_option_then_the_environment() -> None:
    options = _parser().parse_args(["run", "--scripts", "f", "--uri", "postgresql://one/x"])
    address = run.address_of(options, {URI_VARIABLE: "postgresql://two/x"})
    assert address is not None
    assert address.host == "one"
    bare = _parser().parse_args(["run", "--scripts", "f"])
    address = run.address_of(bare, {URI_VARIABLE: "postgresql://two/x"})
    assert address is not None
    assert address.host == "two"
    with pytest.raises(Refused) as refused:
        run.address_of(bare, {})
    assert refused.value.reason is Reason.INVALID_CONNECTION


def test_machines_get_json() -> None:
    assert run.log_format(_parser().parse_args(["run", "--scripts", "f"])) is LogFormat.TEXT
    assert run.log_format(_parser().parse_args(["run", "--request", "f"])) is LogFormat.JSON
    assert run.log_format(_parser().parse_args(["run", "--request", "f", "--log-format", "text"])) is LogFormat.TEXT
