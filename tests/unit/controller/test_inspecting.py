"""When a TargetDatabase is looked at without a run, and what comes of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from schema_operator.api import request as requests
from schema_operator.api.history_state import NOTHING_APPLIED, HistoryState, OwnerState
from schema_operator.api.report import Outcome, Server
from schema_operator.api.request import Mode
from schema_operator.api.schema_migration import RunOutcome
from schema_operator.api.target_database import InspectionStatus, TargetDatabaseSpec, TargetDatabaseStatus, TargetRun
from schema_operator.controller import inspection_job, names
from schema_operator.controller.deciding.inspecting import Inspection, TargetDecision, TargetSeen, decide_target
from schema_operator.controller.observation import Ended, Target, Trouble
from schema_operator.controller.target_status import first_status, status_after
from schema_operator.errors import Reason
from unit.controller.scenes import NOW, ago, ended, report, run, target

SERVER = Server(version="18.4", system_identifier="7300000000000000000", database="shop")
HOUR = 3600.0


def history(*owners: tuple[str, str, int], digest: str = "d1", left_out: int = 0) -> HistoryState:
    """Give a history of owners with a fingerprint and a number of versions each."""
    states = tuple(OwnerState(owner=one, digest=text, version="1.0.0", versions=many) for one, text, many in owners)
    highest = owners[0][0] if owners else None
    count = sum(many for _, _, many in owners)
    version = "1.0.0" if owners else "0"
    return HistoryState(digest=digest, version=version, owner=highest, versions=count, owners=states, left_out=left_out)


FOUND = ended(report=report(server=SERVER, version=None, history=history(("shop/shop", "d1", 2))))


def settings(**inspection: Any) -> TargetDatabaseSpec:
    base = target().spec.model_dump(by_alias=True, exclude_none=True)
    return TargetDatabaseSpec.model_validate(base | {"inspection": inspection})


def known(end: Ended = FOUND, *, seconds_ago: float = 0, failures: int = 0, **inspection: Any) -> Target:
    """Give a target that an inspection has looked at."""
    at = replace(target(), spec=settings(**inspection))
    began = TargetSeen(
        target=at, inspections=(job(end, failures=failures),), busy=False, now=NOW - timedelta(seconds=seconds_ago)
    )
    decision = decide_target(began)
    assert decision.status is not None
    return replace(at, status=decision.status)


def job(
    end: Ended | None = None,
    *,
    failures: int = 0,
    connection: str = target().connection,
    began: str = ago(9),
    **extra: Any,
) -> Inspection:
    one = run(ended=end, failures=failures, name="shop-inspect-1", work=connection, **extra)
    return Inspection(run=one, connection=connection, requested_at=None, began=began)


def seen(at: Target, *inspections: Inspection, **extra: Any) -> TargetSeen:
    values: dict[str, Any] = {"busy": False, "now": NOW} | extra
    return TargetSeen(target=at, inspections=inspections, **values)


def untried(seconds_ago: float) -> Target:
    """Give a target that was first looked at some time ago."""
    return replace(target(), status=first_status(target(), NOW - timedelta(seconds=seconds_ago)))


def conditions(status: TargetDatabaseStatus | None) -> dict[str, str]:
    assert status is not None
    return {item.type: f"{item.status} {item.reason}" for item in status.conditions}


AWAY = ended(RunOutcome.RETRYABLE, reason=Reason.UNREACHABLE)
DENIED = ended(RunOutcome.REFUSED, reason=Reason.AUTH_FAILED)
NO_DATABASE = ended(RunOutcome.REFUSED, reason=Reason.DATABASE_NOT_FOUND)
GONE = ended(RunOutcome.KILLED, reason=Reason.RUNNER_KILLED)
RUN_AWAY = replace(target(), status=status_after(target(), "shop", "r", AWAY, NOW - timedelta(seconds=5)))
RUN_NOW = replace(target(), status=status_after(target(), "shop", "r", FOUND, NOW))
RUN_AHEAD = replace(target(), status=status_after(target(), "shop", "r", FOUND, NOW + timedelta(hours=1)))
RUN_REACHED = status_after(target(), "shop", "r", FOUND, NOW - timedelta(seconds=5))

# Each line: what was seen; whether an inspection is started; and else the least and the most seconds after which it is
# asked again (None: only when something changes).
DUE: list[tuple[str, TargetSeen, bool, tuple[float, float] | None]] = [
    ("just created: a run may come", seen(target()), False, (5, 5)),
    ("created 4 s ago", seen(untried(4)), False, (1, 1)),
    ("created 6 s ago, no run came", seen(untried(6)), True, None),
    ("created, and a run works there", seen(untried(6), busy=True), False, (30, 30)),
    ("created, suspended", seen(replace(untried(6), spec=settings(suspend=True))), False, None),
    ("looked at half an hour ago", seen(known(seconds_ago=HOUR / 2)), False, (0.4 * HOUR, 0.6 * HOUR)),
    ("looked at 66 minutes ago", seen(known(seconds_ago=1.11 * HOUR)), True, None),
    ("the same, and a run works there", seen(known(seconds_ago=1.11 * HOUR), busy=True), False, (30, 30)),
    ("the same, but suspended", seen(known(seconds_ago=2 * HOUR, suspend=True)), False, None),
    ("never by itself", seen(known(seconds_ago=99 * HOUR, interval="0s")), False, None),
    ("never by itself, but it failed", seen(known(AWAY, seconds_ago=99, interval="0s")), True, None),
    ("by minutes", seen(known(seconds_ago=67, interval="1m")), True, None),
    (
        "an hour ago, but a run has reported since",
        seen(replace(known(seconds_ago=2 * HOUR), status=RUN_REACHED)),
        False,
        (0.85 * HOUR, 1.15 * HOUR),
    ),
    ("asked for", seen(replace(known(), requested_at="now")), True, None),
    ("asked for in the second in which a run ended", seen(replace(RUN_NOW, requested_at="now")), False, (1, 1)),
    ("asked for, and a clock was ahead", seen(replace(RUN_AHEAD, requested_at="now")), True, None),
    ("asked for while a run works there", seen(replace(known(), requested_at="now"), busy=True), True, None),
    ("asked for, suspended", seen(replace(known(suspend=True), requested_at="now")), False, None),
    ("no answer, the first time", seen(known(AWAY)), False, (9, 11)),
    ("no answer, and 12 s are over", seen(known(AWAY, seconds_ago=12)), True, None),
    ("no answer, the third time", seen(known(AWAY, failures=2)), False, (36, 44)),
    ("no answer, the tenth time", seen(known(AWAY, failures=9)), False, (54, 66)),
    ("no answer for a run, which goes on itself", seen(RUN_AWAY), False, (49, 61)),
    ("wrong password", seen(known(DENIED)), False, (27, 33)),
    ("wrong password, the third time", seen(known(DENIED, failures=2)), False, (36, 44)),
    ("no such database", seen(known(NO_DATABASE)), False, (54, 66)),
    ("the pod was killed", seen(known(GONE)), False, (9, 11)),
    ("one is at work", seen(known(seconds_ago=2 * HOUR), job()), False, (30, 30)),
    ("a clock was ahead", seen(known(seconds_ago=-99 * HOUR)), False, (0.9 * HOUR, 1.1 * HOUR)),
]


@pytest.mark.parametrize(("what", "starts", "again"), [line[1:] for line in DUE], ids=[line[0] for line in DUE])
def test_when_an_inspection_is_due(what: TargetSeen, starts: bool, again: tuple[float, float] | None) -> None:
    what = replace(what, inspections=tuple(replace(one, run=replace(one.run, name="2")) for one in what.inspections))
    decision = decide_target(what)
    assert (decision.start is not None) is starts
    if starts:
        return
    if again is None:
        assert decision.requeue is None
    else:
        assert decision.requeue is not None
        assert again[0] <= decision.requeue <= again[1]


def test_a_new_connection_is_tried_and_what_was_known_is_unknown_until_then() -> None:
    spec = {"connection": {"uriSecret": {"name": "other", "key": "uri"}}}
    moved = replace(known(), generation=2, spec=TargetDatabaseSpec.model_validate(spec))
    moved = replace(moved, status=moved.status.model_copy(update={"runs": [pending("shop", 2)], "pending": 2}))
    decision = decide_target(seen(moved))
    assert conditions(decision.status) == {
        "Reconciling": "True NotTried",
        "Reachable": "Unknown NotTried",
        "Ready": "Unknown NotTried",
    }
    assert decision.status is not None
    shown = decision.status.model_dump(exclude_none=True)
    assert set(shown) == {"observed_generation", "inspection", "conditions", "runs"}
    assert set(shown["runs"][0]) == {"migration", "run", "outcome", "finished_at"}
    later = decide_target(seen(replace(moved, status=decision.status), now=NOW + timedelta(seconds=6)))
    assert later.start is not None
    assert later.start.connection == moved.connection


def test_a_new_policy_leaves_known_what_is_known() -> None:
    decision = decide_target(seen(replace(known(), generation=2)))
    assert decision.status is not None
    assert decision.status.observed_generation == 2
    assert conditions(decision.status)["Ready"] == "True Reachable"
    assert {item.observed_generation for item in decision.status.conditions} == {2}


def test_many_targets_are_not_due_at_the_same_time() -> None:
    at = known(seconds_ago=0)
    waits = [decide_target(seen(replace(at, uid=f"uid-{number}"))).requeue or 0 for number in range(1000)]
    assert max(waits) - min(waits) > 0.18 * HOUR
    assert len({round(wait / 60) for wait in waits}) >= 10


def test_an_inspection_decided_upon_twice_is_one_job_and_the_next_another() -> None:
    first, again = (decide_target(seen(known(seconds_ago=2 * HOUR))).start for _ in range(2))
    other = decide_target(seen(known(seconds_ago=3 * HOUR))).start
    assert first is not None
    assert again is not None
    assert other is not None
    assert first.name == again.name != other.name
    assert len(names.inspection_name("t" * 253, "uid")) <= 63


ENDS = [
    ("reached", FOUND, {"Reachable": "True Reachable", "Ready": "True Reachable"}),
    (
        "no answer: it goes on by itself",
        AWAY,
        {"Reconciling": "True Unreachable", "Reachable": "False Unreachable", "Ready": "False Unreachable"},
    ),
    (
        "wrong password: a person is needed",
        DENIED,
        {"Stalled": "True AuthFailed", "Reachable": "False AuthFailed", "Ready": "False AuthFailed"},
    ),
    (
        "reached, but the history may not be read",
        ended(RunOutcome.REFUSED, reason=Reason.PERMISSION_DENIED, report=report(Outcome.REFUSED, server=SERVER)),
        {"Stalled": "True PermissionDenied", "Reachable": "True Reachable", "Ready": "False PermissionDenied"},
    ),
    (
        "reached, but of a newer release",
        ended(RunOutcome.REFUSED, reason=Reason.CONTROL_SCHEMA_NEWER, report=report(Outcome.REFUSED, server=SERVER)),
        {"Stalled": "True ControlSchemaNewer", "Reachable": "True Reachable", "Ready": "False ControlSchemaNewer"},
    ),
    (
        "killed: nothing is learnt",
        GONE,
        {"Reconciling": "True RunnerKilled", "Reachable": "Unknown RunnerKilled", "Ready": "Unknown RunnerKilled"},
    ),
]


@pytest.mark.parametrize(("end", "expected"), [line[1:] for line in ENDS], ids=[line[0] for line in ENDS])
def test_what_an_inspection_found_is_said_ready_last(end: Ended, expected: dict[str, str]) -> None:
    decision = decide_target(seen(untried(6), job(end)))
    assert list(conditions(decision.status).items()) == list(expected.items())
    assert decision.delete == ("shop-inspect-1",)


def test_one_that_is_killed_takes_nothing_back_and_is_tried_again_soon() -> None:
    second = replace(job(GONE), run=run(ended=GONE, name="2"))
    decision = decide_target(seen(known(seconds_ago=60), second))
    assert conditions(decision.status)["Ready"] == "True Reachable"
    assert decision.requeue is not None
    assert 9 <= decision.requeue <= 11


def test_one_that_took_too_long_is_not_told_of_a_field_that_is_not_its_own() -> None:
    late = ended(RunOutcome.KILLED, reason=Reason.DEADLINE_EXCEEDED)
    status = decide_target(seen(untried(6), job(late))).status
    assert status is not None
    assert {one.message for one in status.conditions} == {
        "the inspection did not end within 120 s: its pod did not start, or the host did not answer"
    }


def test_what_an_inspection_tells_is_in_the_status() -> None:
    status = known().status
    assert (status.server_version, status.system_identifier, status.database) == ("18.4", "7300000000000000000", "shop")
    assert (status.version, status.version_owner, status.applied_versions) == ("1.0.0", "shop/shop", 2)
    assert (status.history_digest, status.history_seen_at, status.inspected_at) == ("d1", ago(9), ago(0))
    assert [(one.owner, one.digest, one.versions) for one in status.owners or []] == [("shop/shop", "d1", 2)]
    assert status.inspection == InspectionStatus(
        name="shop-inspect-1", finished_at=ago(0), connection=target().connection
    )
    away = decide_target(
        seen(replace(target(), status=status), replace(job(AWAY), run=run(ended=AWAY, name="2")))
    ).status
    assert away is not None
    assert (away.server_version, away.version, away.inspected_at) == ("18.4", "1.0.0", ago(0))
    assert away.inspection is not None
    assert (away.inspection.failures, away.inspection.name) == (1, "2")


def test_an_inspection_that_was_read_is_deleted_again_and_not_read_again() -> None:
    """The controller may be killed between the status and the deletion."""
    at = known()
    decision = decide_target(seen(at, job(AWAY)))
    assert (decision.status, decision.delete) == (at.status, ("shop-inspect-1",))


def test_one_that_tried_another_connection_says_nothing_of_this_one() -> None:
    decision = decide_target(seen(untried(6), job(FOUND, connection="another")))
    assert conditions(decision.status)["Ready"] == "Unknown NotTried"
    assert decision.delete == ("shop-inspect-1",)
    assert decision.start is not None


def test_a_pod_that_does_not_start_is_said_where_nothing_else_is_known() -> None:
    trouble = Trouble(reason=Reason.IMAGE_NOT_PULLED, message="the runner's pod cannot start: no such image")
    waiting = job(started=False, trouble=trouble)
    assert conditions(decide_target(seen(untried(6), waiting)).status)["Ready"] == "Unknown ImageNotPulled"
    waiting = replace(waiting, run=replace(waiting.run, name="2"))
    assert conditions(decide_target(seen(known(), waiting)).status)["Ready"] == "True Reachable"


def test_an_inspection_that_a_run_has_overtaken_does_not_undo_what_the_run_tells() -> None:
    end = ended(report=report(server=SERVER, history=history(("shop/shop", "d2", 3), digest="d2")))
    told = status_after(untried(20), "shop", "r", end, NOW - timedelta(seconds=5))
    late = decide_target(seen(replace(target(), status=told), job(FOUND, began=ago(9)))).status
    assert late is not None
    assert (late.history_digest, late.applied_versions, late.server_version) == ("d2", 3, "18.4")
    again = decide_target(seen(replace(target(), status=told), job(FOUND, began=ago(9)))).requeue
    assert again == 5.0, "the history may have moved after the run has ended"
    same = ended(report=report(server=SERVER, history=history(("shop/shop", "d2", 3), digest="d2")))
    content = decide_target(seen(replace(target(), status=told), job(same, began=ago(9)))).requeue
    assert content is not None
    assert content > 3000
    newer = decide_target(seen(replace(target(), status=told), job(FOUND, began=ago(2)))).status
    assert newer is not None
    assert (newer.history_digest, newer.history_seen_at) == ("d1", ago(2))


def pending(migration: str, number: int | None) -> TargetRun:
    return TargetRun(migration=migration, run="r", outcome="Done", pending=number, finished_at=ago(60))


# Each line: what the last runs left pending, and the sum.
PENDING: list[tuple[str, list[TargetRun], int | None]] = [
    ("nothing ever ran", [], None),
    ("two migrations", [pending("a", 2), pending("b", 0)], 2),
    ("of one nobody knows", [pending("a", 2), pending("b", None)], None),
    ("all is applied", [pending("a", 0)], 0),
]


@pytest.mark.parametrize(("runs", "total"), [line[1:] for line in PENDING], ids=[line[0] for line in PENDING])
def test_what_is_pending_is_counted_where_it_is_known(runs: list[TargetRun], total: int | None) -> None:
    at = replace(target(), status=TargetDatabaseStatus(observed_generation=1, runs=runs or None))
    status = decide_target(seen(at, job(FOUND))).status
    assert status is not None
    assert status.pending == total


def test_what_was_pending_is_unknown_when_the_history_has_moved() -> None:
    one = ended(report=report(server=SERVER, pending=0, history=history(("shop/shop", "d2", 3))))
    at = replace(target(), status=status_after(untried(60), "shop", "r", one, NOW - timedelta(seconds=30)))
    assert (at.status.pending, [item.pending for item in at.status.runs or []]) == (0, [0])
    same = ended(report=report(server=SERVER, history=history(("shop/shop", "d2", 3))))
    for end, expected in ((same, 0), (FOUND, None)):
        status = decide_target(seen(at, job(end))).status
        assert status is not None
        assert (status.pending, [item.pending for item in status.runs or []]) == (expected, [expected])


def test_what_a_run_leaves_pending_is_its_own_word_whatever_it_has_moved() -> None:
    first = ended(report=report(server=SERVER, pending=1, history=history(("shop/shop", "d1", 2))))
    at = replace(target(), status=status_after(untried(60), "shop", "r1", first, NOW - timedelta(seconds=30)))
    then = ended(report=report(server=SERVER, pending=0, history=history(("shop/shop", "d2", 3))))
    assert [one.pending for one in status_after(at, "shop", "r2", then, NOW).runs or []] == [0]


def test_owners_of_whom_nothing_is_left_are_said_to_have_nothing() -> None:
    at = replace(target(), status=TargetDatabaseStatus(observed_generation=1, runs=[pending("a", 0)]))
    found = decide_target(seen(at, job(FOUND))).status
    assert found is not None
    assert [(one.owner, one.digest) for one in found.owners or []] == [
        ("shop/shop", "d1"),
        ("shop/a", NOTHING_APPLIED),
    ]
    cut = ended(report=report(server=SERVER, history=history(("shop/shop", "d1", 2), left_out=4)))
    found = decide_target(seen(at, job(cut))).status
    assert found is not None
    assert ([one.owner for one in found.owners or []], found.owners_left_out) == (["shop/shop"], 4)


def test_a_migration_that_was_deleted_leaves_the_status() -> None:
    at = replace(known(), status=known().status.model_copy(update={"runs": [pending("a", 3), pending("b", 0)]}))
    status = decide_target(seen(at, gone=frozenset({"a"}))).status
    assert status is not None
    assert ([one.migration for one in status.runs or []], status.pending) == (["b"], 0)


def test_nothing_is_done_to_a_target_that_is_being_deleted() -> None:
    assert decide_target(seen(replace(known(seconds_ago=2 * HOUR), deleting=True))) == TargetDecision()


def test_the_job_asks_to_inspect_and_is_known_again() -> None:
    start = decide_target(seen(replace(known(), requested_at="now"))).start
    assert start is not None
    at = replace(target(), status=TargetDatabaseStatus(runs=[pending("a", 0)]))
    manifest = inspection_job.manifest(at, start, "image:1")
    meta, pod = manifest["metadata"], manifest["spec"]["template"]
    asked = requests.unpack(pod["metadata"]["annotations"][names.REQUEST].encode())
    assert (asked.mode, asked.run, asked.owners) == (Mode.INSPECT, start.name, ("shop/a",))
    assert (asked.resource, asked.inline, asked.folders) == (None, (), ())
    assert asked.connection is not None
    assert asked.connection.uri is not None
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert meta["ownerReferences"][0]["kind"] == "TargetDatabase"
    assert names.MIGRATION not in meta["annotations"]
    there = {**manifest, "metadata": {**meta, "creationTimestamp": ago(3)}}
    (found,) = inspection_job.inspections_of([there], [])
    assert (found.run.name, found.connection, found.requested_at) == (start.name, at.connection, "now")
    assert (found.began, found.run.ended) == (start.began, None)
