"""`schema-operator wait`: its options, the database it looks at, and the example of who uses it."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from schema_operator.cli import wait
from schema_operator.cli.database import URI_VARIABLE
from schema_operator.cli.main import _parser
from schema_operator.errors import Reason, Refused, Retryable
from schema_operator.history.waiting import Verdict, Wanted

CHECKOUT = Path(__file__).parents[3]
EXAMPLE = CHECKOUT / "examples/shop-application/application.yaml"
PAGE = CHECKOUT / "docs/waiting.md"
PROGRAM = Path(sys.executable).with_name("schema-operator")
URI = "postgresql://one/x"


def wanted(*arguments: str) -> Wanted:
    return wait.wanted_of(_parser().parse_args(["wait", *arguments]))


def test_options_say_what_is_waited_for() -> None:
    assert str(wanted("--version", "1.4")) == "version 1.4"
    asked = wanted("--version", "1.4", "--of", "shop/shop", "--newer-is-enough")
    assert (asked.version.text, asked.owner, asked.newer_is_enough) == ("1.4", "shop/shop", True)


@pytest.mark.parametrize(
    ("arguments", "reason", "says"),
    [
        (("--version", "v1"), Reason.MALFORMED_VERSION, "'v1' is not a version"),
        (("--version", "1-rollback"), Reason.MALFORMED_VERSION, "marks rollbacks"),
        (("--version", "0"), Reason.INVALID_REQUEST, "nothing to wait for"),
        (("--version", "0.0"), Reason.INVALID_REQUEST, "nothing to wait for"),
        (("--version", "1", "--of", "shop"), Reason.INVALID_REQUEST, "--of takes NAMESPACE/NAME, not 'shop'"),
        (("--version", "1", "--of", "a/b/c"), Reason.INVALID_REQUEST, "--of takes NAMESPACE/NAME"),
        (("--version", "1", "--of", "/b"), Reason.INVALID_REQUEST, "--of takes NAMESPACE/NAME"),
        (("--version", "1", "--of", ""), Reason.INVALID_REQUEST, "--of takes NAMESPACE/NAME"),
        (("--version", "1", "--newer-is-enough"), Reason.INVALID_REQUEST, "needs --of"),
    ],
)
def test_what_cannot_be_waited_for_is_refused(arguments: tuple[str, ...], reason: Reason, says: str) -> None:
    with pytest.raises(Refused) as refused:
        wanted(*arguments)
    assert refused.value.reason is reason
    assert says in str(refused.value)


@pytest.mark.parametrize("arguments", [[], ["--version", "1", "--timeout", "soon"], ["--version", "1", "--timeout=-1"]])
def test_what_is_no_command_line(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        _parser().parse_args(["wait", *arguments])
    assert ended.value.code == 2


@pytest.mark.parametrize(("text", "seconds"), [(None, 300.0), ("0", 0.0), ("2.5", 2.5), ("1m30s", 90.0)])
def test_a_timeout_is_a_duration(text: str | None, seconds: float) -> None:
    given = [] if text is None else ["--timeout", text]
    assert _parser().parse_args(["wait", "--version", "1", *given]).timeout == seconds


PARTS = {"PGHOST": "b", "PGPORT": "5433", "PGDATABASE": "shop", "PGUSER": "app", "PGPASSWORD": "p@ss"}


@pytest.mark.parametrize(
    ("uri", "environment", "place", "database"),
    [
        (URI, {URI_VARIABLE: "postgresql://two/y"} | PARTS, "one", "x"),
        (None, {URI_VARIABLE: "postgresql://two/y"} | PARTS, "two", "y"),
        (None, PARTS, "b:5433", "shop"),
        (None, {"PGHOST": "b,c", "PGUSER": "app"}, "b,c", "app"),
        (None, {"PGHOSTADDR": "10.0.0.1"}, "10.0.0.1", ""),
        (None, {"PGSERVICE": "shop"}, "the local socket", ""),
    ],
)
def test_the_database_is_that_of_the_uri_or_of_libpqs_variables(
    uri: str | None, environment: dict[str, str], place: str, database: str
) -> None:
    given = [] if uri is None else ["--uri", uri]
    address = wait.address_of(_parser().parse_args(["wait", "--version", "1", *given]), environment)
    assert (address.place, address.database) == (place, database)
    assert "p@ss" not in repr(address)


def test_a_password_of_libpqs_variables_is_used_as_it_is() -> None:
    address = wait.address_of(_parser().parse_args(["wait", "--version", "1"]), PARTS)
    assert address.parameters["password"] == "p@ss"


@pytest.mark.parametrize("environment", [{}, {URI_VARIABLE: ""}, {"PGHOST": "", "PGUSER": "app"}])
def test_no_database_is_refused(environment: dict[str, str]) -> None:
    with pytest.raises(Refused) as refused:
        wait.address_of(_parser().parse_args(["wait", "--version", "1"]), environment)
    assert refused.value.reason is Reason.INVALID_CONNECTION
    assert URI_VARIABLE in str(refused.value)
    assert "PGHOST" in str(refused.value)


def test_what_may_pass_is_waited_for_and_what_may_not_is_raised() -> None:
    asked = wanted("--version", "1")
    found = wait._verdict(asked, Retryable(Reason.UNREACHABLE, "nobody there"))
    assert found == Verdict(False, "nobody there")
    with pytest.raises(Refused):
        wait._verdict(asked, Refused(Reason.AUTH_FAILED, "no"))
    with pytest.raises(ZeroDivisionError):
        wait._verdict(asked, ZeroDivisionError())


def test_waiting_imports_nothing_of_the_runner_or_the_controller() -> None:
    absent = ("msgspec", "pydantic", "kopf", "kubernetes", "yaml", "schema_operator.runner", "schema_operator.scripts")
    program = f"import schema_operator.cli.wait, sys; print([name for name in {absent!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert result.stdout.strip() == "[]"


def test_a_server_that_is_not_there_is_waited_for_until_the_time_is_over() -> None:
    command = [str(PROGRAM), "wait", "--version", "1", "--timeout", "1500ms", "--uri", "postgresql://a:s@127.0.0.1:1/x"]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    reason = "no server could be reached at 127.0.0.1:1: nothing listens there; check host, port and network"
    assert ended.returncode == 10
    assert ended.stdout.splitlines() == ["waiting for version 1 in database x at 127.0.0.1:1, at most 1.5 s", reason]
    assert ended.stderr == f"version 1 was not there in 1.5 s: {reason}\n"


def test_what_is_refused_ends_it_at_once() -> None:
    command = [str(PROGRAM), "wait", "--version", "v1", "--uri", URI]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (20, "")
    assert ended.stderr.startswith("MalformedVersion: 'v1' is not a version")


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def test_the_example_waits_for_the_shop_with_the_applications_own_secret() -> None:
    by_kind = {one["kind"]: one for one in documents(EXAMPLE)}
    (container,) = by_kind["Deployment"]["spec"]["template"]["spec"]["initContainers"]
    assert "command" not in container  # the image's entry point is the program
    options = _parser().parse_args(container["args"])
    (migration,) = documents(CHECKOUT / "examples/shop/migration.yaml")
    assert options.command == "wait"
    assert options.owner == f"{migration['metadata']['namespace']}/{migration['metadata']['name']}"
    asked = wait.wanted_of(options)
    assert asked.version.text in [one["version"] for one in migration["spec"]["scripts"]["inline"]]
    (variable,) = container["env"]
    reference = variable["valueFrom"]["secretKeyRef"]
    assert variable["name"] == URI_VARIABLE
    assert reference["name"] == by_kind["Secret"]["metadata"]["name"] != "shop-database"
    uri = base64.b64decode(by_kind["Secret"]["data"][reference["key"]]).decode()
    assert f"# uri: {uri}\n" in EXAMPLE.read_text()
    assert wait.address_of(options, {URI_VARIABLE: uri}).user == "shop_app"


def test_the_page_has_every_option_and_no_other() -> None:
    rows = [line.split("|")[1] for line in PAGE.read_text().splitlines() if line.startswith("| `--")]
    documented = {option for row in rows for option in re.findall(r"--[a-z-]+", row)}
    subcommands = next(one for one in _parser()._actions if one.dest == "command")
    assert isinstance(subcommands.choices, dict)
    known = {option for one in subcommands.choices["wait"]._actions for option in one.option_strings}
    assert documented == known - {"-h", "--help"}
