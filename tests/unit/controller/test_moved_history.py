"""A history that is not as the last run of a migration left it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from schema_operator.api.history_state import NOTHING_APPLIED, HistoryState, OwnerState
from schema_operator.api.report import Outcome
from schema_operator.api.schema_migration import RunOutcome, SchemaMigrationStatus
from schema_operator.api.target_database import OwnerStatus, TargetDatabaseStatus
from schema_operator.controller.decide import decide
from schema_operator.controller.deciding.decision import Decision
from schema_operator.controller.deciding.history import remembered
from schema_operator.controller.jobs import request_of
from schema_operator.controller.observation import Observation, Target
from schema_operator.errors import Reason
from unit.controller.scenes import NOW, ago, ended, migration, observation, recorded, report, run, target

OWN = "shop/shop"


def told(*owners: tuple[str, str], seconds_ago: float = 0, left_out: int | None = None) -> Target:
    """Give a target that tells what is applied of some owners."""
    entries = [OwnerStatus(owner=one, version="1", versions=1, digest=digest) for one, digest in owners]
    status = TargetDatabaseStatus(owners=entries, owners_left_out=left_out, history_seen_at=ago(seconds_ago))
    return replace(target(), status=status)


def left(
    outcome: RunOutcome = RunOutcome.DONE,
    digest: str | None = "d1",
    relies_on: list[str] | None = None,
    **extra: Any,
) -> SchemaMigrationStatus:
    """Give the status of a migration whose last run ended a minute ago and left a history."""
    values: dict[str, Any] = {"seconds_ago": 60, "version": "1.0.0"} | extra
    status = recorded(outcome, **values)
    return status.model_copy(update={"history_digest": digest, "relies_on": relies_on})


def seen(status: SchemaMigrationStatus, at: Target, **extra: Any) -> Observation:
    return observation(migration(status=status, **extra), at=at)


def said(decision: Decision) -> str:
    assert decision.status is not None
    return next(f"{item.status} {item.reason}" for item in decision.status.conditions if item.type == "Ready")


STALE: dict[str, Any] = {"reason": Reason.CHECKSUM_MISMATCH}

# Each line: what was seen, and what Ready says; a run is started where it says that the history has moved.
MOVED: list[tuple[str, Observation, str]] = [
    ("as it was left", seen(left(), told((OWN, "d1"))), "True Applied"),
    ("another", seen(left(), told((OWN, "d2"))), "False HistoryMoved"),
    ("nothing is left of it", seen(left(), told(("shop/other", "x"))), "False HistoryMoved"),
    ("the whole history is gone", seen(left(), told()), "False HistoryMoved"),
    ("others have applied more", seen(left(), told((OWN, "d1"), ("shop/other", "y"))), "True Applied"),
    ("not told of, because there are too many", seen(left(), told(("shop/other", "x"), left_out=9)), "True Applied"),
    ("another, but seen before the last run ended", seen(left(), told((OWN, "d2"), seconds_ago=61)), "True Applied"),
    ("another, seen in the second in which it ended", seen(left(), told((OWN, "d2"), seconds_ago=60)), "True Applied"),
    ("nobody has looked", seen(left(), target()), "True Applied"),
    ("of a release that did not remember", seen(left(digest=None), told((OWN, "d2"))), "True Applied"),
    ("stalled, and another", seen(left(RunOutcome.REFUSED, **STALE), told((OWN, "d2"))), "False HistoryMoved"),
    ("stalled, and as it was", seen(left(RunOutcome.REFUSED, **STALE), told((OWN, "d1"))), "False ChecksumMismatch"),
    (
        "stalled by a run that could not read it, and not seen since",
        seen(
            left(RunOutcome.REFUSED, reason=Reason.AUTH_FAILED, version=None, seconds_ago=10),
            told((OWN, "d2"), seconds_ago=20),
        ),
        "False AuthFailed",
    ),
    (
        "an attempt is due later anyway",
        seen(left(RunOutcome.RETRYABLE, failures=3, reason=Reason.LOCK_TIMEOUT, seconds_ago=1), told((OWN, "d2"))),
        "False LockTimeout",
    ),
    ("suspended", seen(left(), told((OWN, "d2")), suspend=True), "False Suspended"),
]


@pytest.mark.parametrize(("what", "ready"), [line[1:] for line in MOVED], ids=[line[0] for line in MOVED])
def test_a_history_that_has_moved_is_looked_at_by_a_run(what: Observation, ready: str) -> None:
    decision = decide(what)
    assert said(decision) == ready
    assert (decision.start is not None) is (ready == "False HistoryMoved")
    if decision.start is not None and what.target is not None:
        assert decision.start.number == 2
        assert request_of(what.migration, what.target, decision.start).only_forward
        assert [event.reason for event in decision.events] == ["HistoryMoved"]


ASKED = [
    ("a new generation", {"generation": 2}, False),
    ("nothing new", {}, True),
]


@pytest.mark.parametrize(("change", "only_forward"), [line[1:] for line in ASKED], ids=[line[0] for line in ASKED])
def test_what_is_asked_for_anew_may_roll_back(change: dict[str, Any], only_forward: bool) -> None:
    start = decide(seen(left(), told((OWN, "d2")), **change)).start
    assert start is not None
    assert start.only_forward is only_forward


def test_nothing_but_a_new_wish_leads_back_once_the_history_was_ahead() -> None:
    """The run that was refused has read the history, so it is as that run left it."""
    refused = left(RunOutcome.REFUSED, digest="d2", reason=Reason.HISTORY_AHEAD)
    decision = decide(seen(refused, told((OWN, "d2"))))
    assert (said(decision), decision.start, decision.requeue) == ("False HistoryAhead", None, None)
    again = decide(seen(refused, told((OWN, "d3")))).start
    assert again is not None
    assert again.only_forward
    wished = decide(observation(replace(migration(status=refused), requested_at="now"), at=told((OWN, "d2")))).start
    assert wished is not None
    assert not wished.only_forward


def attempts(*entries: tuple[RunOutcome, str | None, bool]) -> SchemaMigrationStatus:
    """Give the status after runs, newest first: outcome, whether and what was read, and whether at the present work."""
    runs = []
    for number, (outcome, version, current) in enumerate(entries):
        one = recorded(outcome, seconds_ago=10 * (number + 1), version=version, number=9 - number, failures=1)
        (entry,) = one.runs or []
        if outcome is RunOutcome.REFUSED:
            entry = entry.model_copy(update={"reason": Reason.HISTORY_AHEAD})
        runs.append(entry if current else entry.model_copy(update={"work": "before"}))
    return SchemaMigrationStatus(observed_generation=1, version="1.0.0", runs=runs, history_digest="d1")


R, K, D, F, A = RunOutcome.RETRYABLE, RunOutcome.KILLED, RunOutcome.DONE, RunOutcome.FAILED, RunOutcome.REFUSED

# Each line: the runs so far, newest first, of which another follows; when the target was told of another history, in
# seconds before now; and whether that other run may not roll back.
FOLLOWING: list[tuple[str, SchemaMigrationStatus, float, bool]] = [
    ("reached before, and a look at what has moved was cut short", attempts((K, None, True), (D, "1", True)), 15, True),
    ("stopped before, and a look was cut short", attempts((K, None, True), (F, "1", True)), 15, True),
    ("asked for anew, and cut short in the middle of rollbacks", attempts((K, None, True), (D, "1", False)), 5, False),
    ("the same, after an attempt that went some way", attempts((K, None, True), (R, "1", True)), 5, False),
    ("an attempt went some way, and the target was not told", attempts((R, "1", True), (D, "1", False)), 15, False),
    ("it was ahead before, and a look was cut short", attempts((K, None, True), (A, "1", True)), 25, True),
    ("stopped before, and the target was not told", attempts((K, None, True), (F, "1", True)), 25, False),
]


@pytest.mark.parametrize(
    ("status", "told_ago", "expected"), [line[1:] for line in FOLLOWING], ids=[line[0] for line in FOLLOWING]
)
def test_what_a_person_asks_for_is_gone_on_with_and_what_came_from_elsewhere_stays(
    status: SchemaMigrationStatus, told_ago: float, expected: bool
) -> None:
    what = seen(status, told((OWN, "d2"), seconds_ago=told_ago))
    start = decide(replace(what, now=NOW + timedelta(seconds=60))).start
    assert start is not None
    assert start.only_forward is expected


def state(*owners: OwnerState, counted: int = 1, left_out: int = 0) -> HistoryState:
    return HistoryState(digest="whole", owners=owners, counted=counted, left_out=left_out)


def counted(owner: str, digest: str) -> OwnerState:
    return OwnerState(owner=owner, digest=digest, version="1", versions=1, counted=True)


def test_the_end_of_a_run_is_what_is_compared_with() -> None:
    done = ended(report=report(history=state(counted(OWN, "d1"))))
    status = decide(observation(runs=(run(ended=done),))).status
    assert status is not None
    assert (status.history_digest, status.relies_on) == ("d1", None)
    assert said(decide(seen(status, told((OWN, "d1"), seconds_ago=-5)))) == "True Applied"
    assert said(decide(seen(status, told((OWN, "d2"), seconds_ago=-5)))) == "False HistoryMoved"
    failed = ended(RunOutcome.UNKNOWN, report=report(Outcome.UNKNOWN))
    second = decide(observation(migration(status=status), runs=(run(2, ended=failed, created=ago(-1)),))).status
    assert second is not None
    assert second.history_digest == "d1", "a run that cannot tell changes nothing"


def test_versions_that_others_have_applied_count_where_they_are_relied_on() -> None:
    """All was applied by a person, without --as: the restore of an older backup must not go unnoticed."""
    kept = remembered(migration(), report(history=state(counted(OWN, NOTHING_APPLIED), counted("", "p1"), counted=2)))
    assert kept["relies_on"] == [""]
    status = left().model_copy(update=kept)
    assert said(decide(seen(status, told(("", "p1"))))) == "True Applied"
    assert said(decide(seen(status, told(("", "p2"))))) == "False HistoryMoved"
    assert said(decide(seen(status, told()))) == "False HistoryMoved"


def test_nothing_is_remembered_where_not_all_was_told() -> None:
    cut = state(counted(OWN, "d1"), counted=4, left_out=3)
    assert remembered(migration(), report(history=cut)) == {"history_digest": None, "relies_on": None}
    assert remembered(migration(), report()) == {}
