"""Whatever reads a status in GitOps understands every state: kstatus (Flux, Helm 4, kpt) and Argo CD."""

from __future__ import annotations

import re
from itertools import chain
from typing import Any

import pytest

from schema_operator.api.schema_migration import RunOutcome, State
from schema_operator.errors import Reason
from support import judges, kstatus
from support.every_state import ENDS, Shown, migrations, states_of, targets
from unit.test_documentation import CHECKOUT, CONTROLLER, literals

PAGE = CHECKOUT / "docs/gitops.md"
MIGRATIONS = migrations()
TARGETS = targets()
ALL = [*MIGRATIONS, *TARGETS]


def said(shown: list[Shown]) -> dict[str, str]:
    return {one.name: one.kstatus for one in shown}


@pytest.mark.parametrize("shown", [MIGRATIONS, TARGETS], ids=["SchemaMigration", "TargetDatabase"])
def test_kstatus_says_what_it_should_and_our_check_says_the_same(shown: list[Shown]) -> None:
    items = [one.item for one in shown]
    library = judges.kstatus(items)
    assert {one.name: found.status or found.error for one, found in zip(shown, library, strict=True)} == said(shown)
    assert {one.name: kstatus.verdict(one.item) for one in shown} == said(shown)


@pytest.mark.parametrize("shown", [MIGRATIONS, TARGETS], ids=["SchemaMigration", "TargetDatabase"])
def test_argo_cd_says_what_it_should_and_why(shown: list[Shown]) -> None:
    found = judges.argo_health(str(shown[0].item["kind"]), [one.item for one in shown])
    assert {one.name: it.status or it.error for one, it in zip(shown, found, strict=True)} == {
        one.name: one.health for one in shown
    }
    assert [one.name for one, it in zip(shown, found, strict=True) if not it.message] == []


def hurried(observed: int, **conditions: str) -> dict[str, Any]:
    """Give an object at generation 2; conditions are given as `status reason generation`."""
    found = []
    for kind, text in conditions.items():
        status, reason, generation = text.split()
        found.append({"type": kind, "status": status, "reason": reason, "observedGeneration": int(generation)})
    return {"metadata": {"generation": 2}, "status": {"observedGeneration": observed, "conditions": found}}


# What the controller never writes. Health must err on the side of waiting: Healthy starts the next sync wave.
NEVER_WRITTEN = [
    ("the status is older", hurried(1, Ready="True Applied 2"), "Progressing", "Progressing"),
    ("Ready is older", hurried(2, Ready="True Applied 1"), "Progressing", "Progressing"),
    ("Ready is Unknown", hurried(2, Ready="Unknown Applied 2"), "Progressing", "Progressing"),
    ("only Applied", hurried(2, Applied="True Applied 2"), "Progressing", "Progressing"),
    (
        "Ready and Reconciling",
        hurried(2, Ready="True Applied 2", Reconciling="True Progressing 2"),
        "Progressing",
        None,
    ),
    ("Ready and Stalled", hurried(2, Ready="True Applied 2", Stalled="True SyntaxError 2"), "Degraded", None),
    ("Stalled was before", hurried(2, Ready="True Applied 2", Stalled="True SyntaxError 1"), "Healthy", None),
    ("waits and Stalled", hurried(2, Ready="False Suspended 2", Stalled="True SyntaxError 2"), "Degraded", None),
    ("waited before", hurried(2, Ready="False Suspended 1"), "Progressing", "Progressing"),
    ("was not tried before", hurried(2, Ready="Unknown NotTried 1"), "Progressing", "Progressing"),
]


@pytest.mark.parametrize("kind", ["SchemaMigration", "TargetDatabase"])
def test_argo_cd_is_told_to_wait_where_a_status_contradicts_itself(kind: str) -> None:
    column = 2 if kind == "SchemaMigration" else 3
    lines = [line for line in NEVER_WRITTEN if line[column]]
    found = judges.argo_health(kind, [line[1] for line in lines])
    assert {line[0]: one.status or one.error for line, one in zip(lines, found, strict=True)} == {
        line[0]: line[column] for line in lines
    }


def test_no_state_breaks_a_rule() -> None:
    assert {one.name: broken for one in ALL if (broken := kstatus.broken(one.item))} == {}


def test_names_are_told_apart() -> None:
    for shown in (MIGRATIONS, TARGETS):
        assert len({one.name for one in shown}) == len(shown)


def test_every_state_of_the_product_is_here() -> None:
    assert states_of(MIGRATIONS) == {state.value for state in State}


def test_every_outcome_is_here() -> None:
    assert set(ENDS) == set(RunOutcome)


def test_every_reason_is_here() -> None:
    conditions = chain.from_iterable(one.item["status"].get("conditions", ()) for one in ALL)
    shown = {one["reason"] for one in conditions}
    written = set(chain.from_iterable(literals(path) for path in CONTROLLER.glob("*.py")))
    assert ({reason.value for reason in Reason} | written) - shown == set()


def test_the_page_says_of_each_state_what_is_said_of_it() -> None:
    rows = re.findall(r"^\| (`[^|]+) \| (\w+) \| (\w+) \| \w+", PAGE.read_text(), re.MULTILINE)
    documented = {state: {(status, health)} for cell, status, health in rows for state in re.findall(r"`(\w+)`", cell)}
    found: dict[str, set[tuple[str, str]]] = {}
    for one in MIGRATIONS:
        state, meta = one.item["status"].get("state"), one.item["metadata"]
        looked_at = one.item["status"]["observedGeneration"] == meta["generation"]
        if state is not None and looked_at and "deletionTimestamp" not in meta:
            found.setdefault(state, set()).add((one.kstatus, one.health))
    assert documented == found
