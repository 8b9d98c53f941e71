"""What comes twice, comes late, comes back or never ends: each was once a way to hang, to lie or to run for ever."""

from dataclasses import replace
from datetime import timedelta

import pytest

from schema_operator.api.duration import seconds
from schema_operator.api.report import Action, Outcome, Progress, Server, VerificationReport, VerificationResult
from schema_operator.api.schema_migration import (
    RunOutcome,
    RunStatus,
    SchemaMigrationStatus,
    VerificationStatus,
)
from schema_operator.api.target_database import TargetDatabaseSpec
from schema_operator.controller import names
from schema_operator.controller.decide import decide
from schema_operator.controller.deciding.decision import Decision
from schema_operator.controller.deciding.settled import not_started
from schema_operator.controller.deciding.statuses import unreadable
from schema_operator.controller.observation import Observation, Run, Trouble
from schema_operator.errors import Reason, Refused
from unit.controller.scenes import (
    NOW,
    UID,
    ago,
    ended,
    migration,
    observation,
    recorded,
    report,
    run,
    target,
    work,
)

OTHER = names.work_digest(
    migration=(UID, "asked 1"), target=("target-uid", "asked 1"), scripts="other", requested_at=None
)


def conditions(decision: Decision) -> dict[str, str]:
    assert decision.status is not None
    return {item.type: f"{item.status} {item.reason}" for item in decision.status.conditions}


def status_of(decision: Decision) -> SchemaMigrationStatus:
    assert decision.status is not None
    return decision.status


def done(digest: str, number: int, seconds_ago: float) -> RunStatus:
    return RunStatus(
        name=names.job_name("shop", UID, digest, number),
        work=digest,
        number=number,
        generation=1,
        outcome=RunOutcome.DONE,
        started_at=ago(seconds_ago + 4),
        finished_at=ago(seconds_ago),
    )


CAME_BACK = [
    ("its Job is still there", (run(1, ended=ended(report=report()), created=ago(104)),), [1], 2),
    ("its Job is gone and its line is kept", (), [1], 2),
    ("its line is gone and its Job is still there", (run(1, ended=ended(report=report()), created=ago(104)),), [], 2),
    ("neither is left", (), [], 1),
]


@pytest.mark.parametrize(
    ("runs", "lines", "number"), [line[1:] for line in CAME_BACK], ids=[line[0] for line in CAME_BACK]
)
def test_work_that_comes_back_gets_a_new_job_name(runs: tuple[Run, ...], lines: list[int], number: int) -> None:
    """A ConfigMap is changed and changed back: the old Job must not be taken for the new run, which has no end."""
    history = [done(OTHER, 1, 50), *(done(work(), item, 100) for item in lines)]
    status = SchemaMigrationStatus(observed_generation=1, version="1.0.0", runs=history)
    decision = decide(replace(observation(migration(status=status)), runs=runs))
    assert decision.start is not None
    assert (decision.start.work, decision.start.number) == (work(), number)
    assert decision.start.name not in {item.name for item in history}


def test_a_second_run_of_the_work_that_came_back_is_recorded() -> None:
    history = [done(OTHER, 1, 50), done(work(), 1, 100)]
    status = SchemaMigrationStatus(observed_generation=1, version="1.0.0", runs=history)
    second = run(2, ended=ended(report=report()), created=ago(5))
    assert conditions(decide(observation(migration(status=status), runs=(second,))))["Ready"] == "True Applied"


def test_a_run_is_seen_although_the_clocks_of_controller_and_api_server_differ() -> None:
    """A Job that was lost was recorded with the controller's time, which may be ahead of the API server's."""
    lost = recorded(RunOutcome.KILLED, seconds_ago=-20)
    second = run(2, created=ago(5))
    assert decide(observation(migration(status=lost), runs=(second,))).status is not None
    assert status_of(decide(observation(migration(status=lost), runs=(second,)))).current_run is not None
    named = lost.model_copy(
        update={"current_run": RunStatus(name=second.name, work=work(), number=2, generation=1, started_at=ago(5))}
    )
    over = replace(second, ended=ended(report=report()))
    assert conditions(decide(observation(migration(status=named), runs=(over,))))["Ready"] == "True Applied"


def test_nothing_is_started_and_no_job_deleted_while_another_run_is_not_recorded() -> None:
    """Two Jobs of one second, both unrecorded, as after a restore of the status."""
    first = run(1, ended=ended(RunOutcome.LOCK_HELD), created=ago(5))
    second = run(2, ended=ended(report=report()), created=ago(5))
    decision = decide(observation(runs=(first, second)))
    assert decision.start is None
    assert decision.delete == ()
    assert decision.requeue == 0.0
    assert conditions(decision)["Ready"].startswith("False")
    then = decide(observation(migration(status=decision.status), runs=(first, second)))
    assert [item.number for item in status_of(then).runs or []] == [2, 1]
    assert conditions(then)["Ready"] == "True Applied"


def test_a_run_that_was_dropped_before_it_began_is_not_missed_afterwards() -> None:
    current = RunStatus(name=run().name, work=work(), number=1, generation=1, started_at=ago(1))
    before = SchemaMigrationStatus(observed_generation=1, current_run=current)
    decision = decide(observation(migration(generation=2, status=before), runs=(run(started=False),)))
    assert decision.delete == (run().name,)
    after = decide(observation(migration(generation=2, status=decision.status)))
    assert after.events == ()
    assert status_of(after).runs is None
    assert after.start is not None


ENDLESS = [
    ("evicted once", recorded(RunOutcome.KILLED, number=1, seconds_ago=0), 1.0),
    ("evicted again and again", recorded(RunOutcome.KILLED, number=6, seconds_ago=0), 32.0),
    ("stopped again and again", recorded(RunOutcome.STOPPED, number=99, seconds_ago=0), 60.0),
    ("the lock is held again and again", recorded(RunOutcome.LOCK_HELD, number=99, seconds_ago=0), 2.0),
    (
        "the node had not seen the ConfigMap",
        recorded(RunOutcome.RETRYABLE, reason=Reason.SOURCE_CHANGED, seconds_ago=0),
        1.0,
    ),
    (
        "the node never sees the ConfigMap",
        recorded(RunOutcome.RETRYABLE, reason=Reason.SOURCE_CHANGED, number=9, seconds_ago=0),
        60.0,
    ),
]


@pytest.mark.parametrize(("status", "wait"), [line[1:] for line in ENDLESS], ids=[line[0] for line in ENDLESS])
def test_attempts_that_are_not_counted_come_ever_more_slowly(status: SchemaMigrationStatus, wait: float) -> None:
    decision = decide(observation(migration(status=status)))
    assert decision.requeue == wait
    assert "Reconciling" in conditions(decision)


def no_backoff() -> TargetDatabaseSpec:
    return TargetDatabaseSpec.model_validate(
        {
            "connection": {"uriSecret": {"name": "shop", "key": "uri"}},
            "policy": {"retries": {"limit": 0, "backoff": "0s", "maxBackoff": "0s"}},
        }
    )


def test_looking_again_never_becomes_a_loop_whatever_the_longest_backoff() -> None:
    given_up = recorded(RunOutcome.RETRYABLE, failures=1, reason="Unreachable", seconds_ago=1)
    decision = decide(observation(migration(status=given_up), at=replace(target(), spec=no_backoff())))
    assert decision.start is None
    assert decision.requeue == 29.0


def test_the_longest_duration_that_can_be_written_is_a_time_a_clock_can_hold() -> None:
    assert NOW + timedelta(seconds=seconds("9999999999999999999h")) > NOW
    assert seconds("1h30m") == 5400.0


def test_an_end_in_the_future_is_not_waited_for() -> None:
    """Written by a controller whose clock was an hour ahead."""
    ahead = recorded(RunOutcome.RETRYABLE, failures=1, seconds_ago=-3600)
    assert decide(observation(migration(status=ahead))).start is not None


def settled(seen: Observation) -> Observation:
    """The same, after what is decided has been written."""
    return replace(seen, migration=replace(seen.migration, status=status_of(decide(seen))))


IDLE = [
    ("the target does not exist", replace(observation(), target=None)),
    (
        "a ConfigMap does not exist",
        observation(scripts_digest=None, problem=Refused(Reason.CONFIG_MAP_NOT_FOUND, "no")),
    ),
    ("a script is wrong", observation(problem=Refused(Reason.EMPTY_MIGRATION, "no"))),
    (
        "a pod that cannot start",
        observation(runs=(run(started=False, trouble=Trouble(reason=Reason.UNSCHEDULABLE, message="no node")),)),
    ),
    ("done", observation(migration(status=recorded(RunOutcome.DONE)))),
    ("stalled", observation(migration(status=recorded(RunOutcome.FAILED, reason="SyntaxError")))),
    ("waiting", observation(migration(status=recorded(RunOutcome.RETRYABLE, failures=3, reason="LockTimeout")))),
]


@pytest.mark.parametrize("seen", [line[1] for line in IDLE], ids=[line[0] for line in IDLE])
def test_nothing_is_written_and_nothing_told_when_nothing_has_changed(seen: Observation) -> None:
    again = settled(seen)
    decision = decide(again)
    assert decision.status == again.migration.status
    assert decision.events == ()


def test_the_same_problem_of_another_generation_is_told_again() -> None:
    before = status_of(decide(replace(observation(), target=None)))
    seen = replace(observation(migration(generation=2, status=before)), target=None)
    assert [event.reason for event in decide(seen).events] == ["TargetNotFound"]


def test_a_run_with_other_settings_says_nothing_of_the_target_as_it_is_now() -> None:
    end = ended(report=report())
    decision = decide(observation(runs=(run(ended=end),), at=target(generation=2)))
    assert decision.target_report is None


def verification(result: VerificationResult, version: str | None = None) -> VerificationStatus:
    return VerificationStatus(name="v", result=result, version=version)


FAILED, PASSED = VerificationResult.FAILED, VerificationResult.PASSED
STALE = [
    ("applied without any", Action.APPLY, [verification(FAILED, "1.0.0")], None, "no verification was asked for"),
    ("nothing done, and the one that failed taken out", Action.NONE, [verification(FAILED)], None, "no verification"),
    ("nothing done: what a version has passed stays", Action.NONE, [verification(PASSED, "1.0.0")], 1, "1 verif"),
]


@pytest.mark.parametrize(
    ("action", "before", "left", "sentence"), [line[1:] for line in STALE], ids=[line[0] for line in STALE]
)
def test_what_failed_before_does_not_stand_beside_a_success(
    action: Action, before: list[VerificationStatus], left: int | None, sentence: str
) -> None:
    status = SchemaMigrationStatus(observed_generation=1, version="1.0.0", verification=before)
    decision = decide(observation(migration(status=status), runs=(run(ended=ended(report=report(action=action))),)))
    found = status_of(decision)
    assert (len(found.verification) if found.verification else None) == left
    assert sentence in next(item.message for item in found.conditions if item.type == "Verified")


def test_a_failure_without_results_keeps_those_before() -> None:
    status = SchemaMigrationStatus(observed_generation=1, verification=[verification(PASSED)])
    end = ended(RunOutcome.FAILED, report=report(Outcome.FAILED))
    assert status_of(decide(observation(migration(status=status), runs=(run(ended=end),)))).verification
    better = ended(report=report(verification=(VerificationReport(name="w", result=PASSED),)))
    found = status_of(decide(observation(migration(status=status), runs=(run(ended=better),)))).verification
    assert [item.name for item in found or []] == ["w"]


def test_a_job_that_cannot_be_created_does_not_undo_what_the_run_before_has_said() -> None:
    """The run of generation 1 has ended, that of generation 2 is refused by a quota."""
    seen = observation(migration(generation=2), runs=(run(ended=ended(report=report())),))
    planned = decide(seen)
    assert planned.start is not None
    said = not_started(seen, "JobNotCreated", "quota", again=10.0, instead_of=planned)
    assert [item.outcome for item in status_of(said).runs or []] == [RunOutcome.DONE]
    assert status_of(said).version == "1.0.0"
    assert status_of(said).current_run is None
    assert [event.reason for event in said.events] == ["Applied"]


def test_a_message_of_any_length_fits_the_status() -> None:
    long = not_started(observation(), "JobNotCreated", "x" * 100_000, again=10.0)
    assert max(len(item.message) for item in status_of(long).conditions) == 32_768


def test_progress_out_of_range_is_no_reason_to_stop() -> None:
    odd = Progress(step="Applying", message="1 of 1", percent=400)
    found = status_of(decide(observation(runs=(run(),), progress=odd))).progress
    assert found is not None
    assert found.percent == 100


def test_a_spec_of_another_release_is_said_to_be_one() -> None:
    before = status_of(decide(observation(migration(status=recorded(RunOutcome.DONE)))))
    status = unreadable(before, 2, NOW, "spec.scripts: wrong")
    assert {item.type: f"{item.status} {item.reason}" for item in status.conditions} == {
        "Stalled": "True InvalidSpec",
        "Validated": "False InvalidSpec",
        "Applied": "Unknown InvalidSpec",
        "Verified": "Unknown InvalidSpec",
        "Ready": "False InvalidSpec",
    }
    assert status.observed_generation == 2
    assert status.runs == before.runs


def test_a_target_of_another_release_is_not_called_missing() -> None:
    seen = replace(observation(problem=Refused(Reason.INVALID_SPEC, "TargetDatabase shop: no")), target=None)
    assert conditions(decide(seen))["Stalled"] == "True InvalidSpec"


HERE, THERE = (Server(version="18.4", system_identifier=identifier, database="shop") for identifier in ("7", "8"))
KNOWN = {"name": "shop", "systemIdentifier": "7"}
# Each line: how a run ended, with what version, on which server, and the database that is known then.
PLACES = [
    ("done", Outcome.DONE, "1.0.0", HERE, None, "7"),
    ("done, and nothing is applied", Outcome.DONE, "0", HERE, None, "7"),
    ("done elsewhere, as was accepted", Outcome.DONE, "1.0.0", THERE, KNOWN, "8"),
    ("failed, after others were applied", Outcome.FAILED, "1.0.0", HERE, None, "7"),
    ("applied in part", Outcome.PARTLY_APPLIED, "0", HERE, None, "7"),
    ("refused, and nothing of it is there", Outcome.REFUSED, "0", HERE, None, None),
    ("failed with its first version, and was rolled back", Outcome.FAILED, "0", HERE, None, None),
    ("refused elsewhere", Outcome.REFUSED, None, THERE, KNOWN, "7"),
    ("it never connected", Outcome.RETRYABLE, None, None, KNOWN, "7"),
]


@pytest.mark.parametrize(
    ("outcome", "version", "server", "known", "identifier"), [row[1:] for row in PLACES], ids=[row[0] for row in PLACES]
)
def test_a_migration_is_at_home_where_something_of_it_was_done_or_found(
    outcome: Outcome, version: str | None, server: Server | None, known: object, identifier: str | None
) -> None:
    status = SchemaMigrationStatus.model_validate({"observedGeneration": 1, "database": known})
    end = ended(RunOutcome[outcome.name], report=report(outcome, version=version, server=server))
    found = status_of(decide(observation(migration(status=status), runs=(run(ended=end),)))).database
    assert (found.system_identifier if found else None) == identifier


PRESENT = SchemaMigrationStatus(observed_generation=1)
NO_NODE = Trouble(reason=Reason.UNSCHEDULABLE, message="no node")
# Each line: what was seen, and whether what is said of it may wait a moment, because most runs are over by then.
MAY_WAIT = [
    ("a run is started", observation(), False),
    ("a run works", observation(runs=(run(),)), True),
    ("its pod cannot start", observation(runs=(run(started=False, trouble=NO_NODE),)), False),
    ("a run is started, and the status seems to be about now", observation(migration(status=PRESENT)), False),
    ("a run works, and the status is about now", observation(migration(status=PRESENT), runs=(run(),)), True),
    (
        "a run has ended and the next is started",
        observation(migration(generation=2), runs=(run(ended=ended()),)),
        False,
    ),
    ("it is being stopped", observation(migration(suspend=True), runs=(run(),)), False),
    ("done", observation(runs=(run(ended=ended()),)), False),
]


@pytest.mark.parametrize(("seen", "may_wait"), [row[1:] for row in MAY_WAIT], ids=[row[0] for row in MAY_WAIT])
def test_only_what_a_run_does_may_wait(seen: Observation, may_wait: bool) -> None:
    assert decide(seen).passing is may_wait


def test_what_is_accepted_is_tried_at_once_and_only_once() -> None:
    moved = migration(status=recorded(RunOutcome.REFUSED, reason="DatabaseMoved"))
    assert decide(observation(moved)).start is None
    told = replace(moved, accepts="8/shop")
    started = decide(observation(told)).start
    assert started is not None
    assert started.recheck is False
    again = recorded(RunOutcome.REFUSED, reason="DatabaseMoved", work=started.work, name=started.name)
    assert decide(observation(replace(told, status=again))).start is None
