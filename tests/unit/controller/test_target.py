"""What runs tell of a target."""

from dataclasses import replace

import pytest

from schema_operator.api.report import Server
from schema_operator.api.schema_migration import RunOutcome
from schema_operator.api.target_database import TargetDatabaseSpec
from schema_operator.controller.observation import Ended
from schema_operator.controller.target_status import first_status, status_after
from schema_operator.errors import Reason
from unit.controller.scenes import NOW, ended, report, target

SERVER = Server(version="18.4", system_identifier="7300000000000000000", database="shop")

ENDS = [
    ("reached", ended(report=report(server=SERVER)), "True Reachable"),
    (
        "reached, but a script failed",
        ended(RunOutcome.FAILED, reason=Reason.SYNTAX_ERROR, report=report(server=SERVER)),
        "True Reachable",
    ),
    ("wrong password", ended(RunOutcome.REFUSED, reason=Reason.AUTH_FAILED), "False AuthFailed"),
    ("no answer", ended(RunOutcome.RETRYABLE, reason=Reason.UNREACHABLE), "False Unreachable"),
    ("killed: nothing is learnt", ended(RunOutcome.KILLED, reason=Reason.RUNNER_KILLED), None),
]


@pytest.mark.parametrize(("end", "expected"), [line[1:] for line in ENDS], ids=[line[0] for line in ENDS])
def test_reachable_is_what_the_last_run_found(end: Ended, expected: str | None) -> None:
    status = status_after(target(), "shop", "shop-1", end, NOW)
    found = {item.type: f"{item.status} {item.reason}" for item in status.conditions}
    assert found.get("Reachable") == expected
    assert found.get("Ready") == expected


def test_what_was_learnt_of_the_server_stays_when_it_is_away() -> None:
    first = status_after(target(), "shop", "shop-1", ended(report=report(server=SERVER)), NOW)
    away = ended(RunOutcome.RETRYABLE, reason=Reason.UNREACHABLE)
    then = status_after(replace(target(), status=first), "shop", "shop-2", away, NOW)
    assert then.server_version == "18.4"
    assert [(item.migration, item.run, item.outcome) for item in then.runs or []] == [("shop", "shop-2", "Retryable")]


def test_a_new_connection_makes_what_was_known_unknown_and_another_change_does_not() -> None:
    first = status_after(target(), "shop", "shop-1", ended(report=report(server=SERVER)), NOW)
    assert first_status(replace(target(), status=first), NOW) == first
    other = TargetDatabaseSpec.model_validate({"connection": {"uriSecret": {"name": "shop", "key": "another"}}})
    for spec, expected in ((target().spec, "True"), (other, "Unknown")):
        changed = first_status(replace(target(generation=2), status=first, spec=spec), NOW)
        assert {item.status for item in changed.conditions if item.type in {"Reachable", "Ready"}} == {expected}
        assert changed.observed_generation == 2


REFUSED = [
    ("the history may not be written", Reason.PERMISSION_DENIED, RunOutcome.REFUSED, "False PermissionDenied"),
    ("the history is of a newer release", Reason.CONTROL_SCHEMA_NEWER, RunOutcome.REFUSED, "False ControlSchemaNewer"),
    ("a script lacks a right", Reason.PERMISSION_DENIED, RunOutcome.FAILED, "True Reachable"),
    ("a script was changed", Reason.CHECKSUM_MISMATCH, RunOutcome.REFUSED, "True Reachable"),
]


@pytest.mark.parametrize(
    ("reason", "outcome", "expected"), [line[1:] for line in REFUSED], ids=[line[0] for line in REFUSED]
)
def test_ready_is_whether_runs_can_work_there(reason: Reason, outcome: RunOutcome, expected: str) -> None:
    status = status_after(target(), "shop", "r", ended(outcome, reason=reason, report=report(server=SERVER)), NOW)
    found = {item.type: f"{item.status} {item.reason}" for item in status.conditions}
    assert (found["Reachable"], found["Ready"]) == ("True Reachable", expected)
    assert list(found)[-1] == "Ready"
