"""What the controller decides, as tables."""

from dataclasses import replace

import msgspec
import pytest

from schema_operator.api.report import Action, Outcome, Progress, VerificationReport, VerificationResult
from schema_operator.api.schema_migration import ConditionType, RunOutcome, RunStatus, SchemaMigrationStatus, State
from schema_operator.controller.decide import decide
from schema_operator.controller.deciding.decision import Decision
from schema_operator.controller.deciding.settled import not_started
from schema_operator.controller.deciding.statuses import Verdict, succeeded
from schema_operator.controller.observation import Observation, Trouble
from schema_operator.errors import Reason, Refused
from unit.controller.scenes import (
    NOW,
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


def conditions(decision: Decision) -> dict[str, str]:
    assert decision.status is not None
    return {item.type: f"{item.status} {item.reason}" for item in decision.status.conditions}


def ready(decision: Decision) -> str:
    return conditions(decision)["Ready"]


SECRET = {"outcome": RunOutcome.REFUSED, "reason": Reason.AUTH_FAILED}

# Each line: what was seen, and of the decision: Ready, the abnormal condition, the number of the run to start (None:
# none), and the seconds after which to look again.
SETTLED = [
    ("nothing was ever run", observation(), "False Progressing", "Reconciling", 1, None),
    ("done", observation(migration(status=recorded(RunOutcome.DONE))), "True Applied", None, None, None),
    (
        "done, but for the generation before",
        observation(migration(generation=2, status=recorded(RunOutcome.DONE))),
        "False Progressing",
        "Reconciling",
        1,
        None,
    ),
    (
        "done, but the target has changed since",
        observation(migration(status=recorded(RunOutcome.DONE)), at=target(generation=2)),
        "False Progressing",
        "Reconciling",
        1,
        None,
    ),
    (
        "done, but the scripts have changed since",
        observation(migration(status=recorded(RunOutcome.DONE)), scripts_digest="other"),
        "False Progressing",
        "Reconciling",
        1,
        None,
    ),
    (
        "done, but a new run was requested",
        observation(replace(migration(status=recorded(RunOutcome.DONE)), requested_at="now")),
        "False Progressing",
        "Reconciling",
        1,
        None,
    ),
    (
        "refused",
        observation(migration(status=recorded(RunOutcome.REFUSED, reason="ChecksumMismatch"))),
        "False ChecksumMismatch",
        "Stalled",
        None,
        None,
    ),
    (
        "failed",
        observation(migration(status=recorded(RunOutcome.FAILED, reason="SyntaxError"))),
        "False SyntaxError",
        "Stalled",
        None,
        None,
    ),
    (
        "partly applied: a person is needed, and no attempt is made by itself",
        observation(migration(status=recorded(RunOutcome.PARTLY_APPLIED, reason="LockTimeout", seconds_ago=9999))),
        "False LockTimeout",
        "Stalled",
        None,
        None,
    ),
    (
        "partly applied, and the spec has changed since: the next run goes on",
        observation(migration(generation=2, status=recorded(RunOutcome.PARTLY_APPLIED, reason="DataViolation"))),
        "False Progressing",
        "Reconciling",
        1,
        None,
    ),
    (
        "partly applied, and the target has changed since: the next run goes on",
        observation(
            migration(status=recorded(RunOutcome.PARTLY_APPLIED, reason="DataViolation")), at=target(generation=2)
        ),
        "False Progressing",
        "Reconciling",
        1,
        None,
    ),
    (
        "partly applied, and the scripts have changed since: the next run goes on",
        observation(
            migration(status=recorded(RunOutcome.PARTLY_APPLIED, reason="DataViolation")), scripts_digest="other"
        ),
        "False Progressing",
        "Reconciling",
        1,
        None,
    ),
    (
        "partly applied, and a new run was requested: it goes on",
        observation(
            replace(migration(status=recorded(RunOutcome.PARTLY_APPLIED, reason="DataViolation")), requested_at="now")
        ),
        "False Progressing",
        "Reconciling",
        1,
        None,
    ),
    (
        "partly applied because the disk was full: goes on by itself after the longest backoff",
        observation(migration(status=recorded(RunOutcome.PARTLY_APPLIED, reason="DiskFull", seconds_ago=61))),
        "False DiskFull",
        "Stalled",
        2,
        None,
    ),
    (
        "refused because of a Secret, a moment ago",
        observation(migration(status=recorded(RunOutcome.REFUSED, reason="AuthFailed", seconds_ago=10))),
        "False AuthFailed",
        "Stalled",
        None,
        20.0,
    ),
    (
        "refused because of a Secret, long ago: looked at again while still Stalled",
        observation(migration(status=recorded(RunOutcome.REFUSED, reason="AuthFailed", seconds_ago=31))),
        "False AuthFailed",
        "Stalled",
        2,
        None,
    ),
    (
        "refused because of a version another has to apply: looked at again after the longest backoff",
        observation(migration(status=recorded(RunOutcome.REFUSED, reason="MissingDependency", seconds_ago=10))),
        "False MissingDependency",
        "Stalled",
        None,
        50.0,
    ),
    (
        "may pass later, first failure: waits the backoff",
        observation(migration(status=recorded(RunOutcome.RETRYABLE, failures=1, reason="LockTimeout"))),
        "False LockTimeout",
        "Reconciling",
        None,
        9.0,
    ),
    (
        "may pass later, third failure: the wait has doubled twice",
        observation(migration(status=recorded(RunOutcome.RETRYABLE, failures=3, number=3, reason="LockTimeout"))),
        "False LockTimeout",
        "Reconciling",
        None,
        39.0,
    ),
    (
        "may pass later, and the wait is over",
        observation(migration(status=recorded(RunOutcome.RETRYABLE, failures=1, seconds_ago=10))),
        "False Progressing",
        "Reconciling",
        2,
        None,
    ),
    (
        "the last failure the limit allows",
        observation(
            migration(status=recorded(RunOutcome.RETRYABLE, failures=5, number=5, seconds_ago=60, reason="Unreachable"))
        ),
        "False Progressing",
        "Reconciling",
        6,
        None,
    ),
    (
        "one failure more than the limit allows",
        observation(
            migration(status=recorded(RunOutcome.RETRYABLE, failures=6, number=6, seconds_ago=10, reason="Unreachable"))
        ),
        "False RetriesExhausted",
        "Stalled",
        None,
        50.0,
    ),
    (
        "given up, and the longest backoff is over: looked at again while still Stalled",
        observation(migration(status=recorded(RunOutcome.RETRYABLE, failures=6, number=6, seconds_ago=60))),
        "False RetriesExhausted",
        "Stalled",
        7,
        None,
    ),
    (
        "killed, counted",
        observation(migration(status=recorded(RunOutcome.KILLED, failures=1, seconds_ago=10))),
        "False Progressing",
        "Reconciling",
        2,
        None,
    ),
    (
        "evicted, not counted: at once",
        observation(migration(status=recorded(RunOutcome.KILLED, seconds_ago=1))),
        "False Progressing",
        "Reconciling",
        2,
        None,
    ),
    (
        "another run holds the lock: again soon, however often",
        observation(migration(status=recorded(RunOutcome.LOCK_HELD, number=99, seconds_ago=2))),
        "False Progressing",
        "Reconciling",
        100,
        None,
    ),
    (
        "the outcome is unknown: asked again, and the wait grows",
        observation(migration(status=recorded(RunOutcome.UNKNOWN, number=3, seconds_ago=1, reason="OutcomeUnknown"))),
        "False OutcomeUnknown",
        "Reconciling",
        None,
        19.0,
    ),
    (
        "the target does not exist",
        replace(observation(), target=None),
        "False TargetNotFound",
        "Stalled",
        None,
        15.0,
    ),
    (
        "a ConfigMap does not exist: looked for again",
        observation(scripts_digest=None, problem=Refused(Reason.CONFIG_MAP_NOT_FOUND, "no")),
        "False ConfigMapNotFound",
        "Stalled",
        None,
        15.0,
    ),
    (
        "a script is wrong: nothing is started",
        observation(problem=Refused(Reason.EMPTY_MIGRATION, "no")),
        "False EmptyMigration",
        "Stalled",
        None,
        None,
    ),
]


@pytest.mark.parametrize(
    ("seen", "expected_ready", "abnormal", "number", "requeue"),
    [line[1:] for line in SETTLED],
    ids=[line[0] for line in SETTLED],
)
def test_no_run_in_flight(
    seen: Observation, expected_ready: str, abnormal: str | None, number: int | None, requeue: float | None
) -> None:
    first = decide(seen)
    assert first.status is not None
    if number is not None and abnormal == "Stalled":
        # A run that only looks again leaves the conditions as the status had them: give it those.
        assert first.start is not None
        assert first.start.recheck
    assert ready(first) == expected_ready
    present = {kind for kind in ("Reconciling", "Stalled") if kind in conditions(first)}
    assert present == ({abnormal} if abnormal else set())
    assert (first.start.number if first.start else None) == number
    assert first.requeue == requeue
    assert first.status.observed_generation == seen.migration.generation


def test_a_migration_being_deleted_is_left_alone() -> None:
    assert decide(observation(migration(deleting=True))) == Decision()


@pytest.mark.parametrize(
    ("progress", "state", "message"),
    [
        (None, State.PENDING, "is starting"),
        (Progress(step="Planning", message="planning"), State.PLANNING, "planning"),
        (Progress(step="Applying", message="1.0.0: statement 1 of 2"), State.APPLYING, "1.0.0: statement 1 of 2"),
        (Progress(step="RollingBack", message="back"), State.ROLLING_BACK, "back"),
        (Progress(step="Verifying", message="checking"), State.VERIFYING, "checking"),
    ],
)
def test_a_run_at_work_is_reconciling_and_its_progress_shown(progress: Progress, state: State, message: str) -> None:
    decision = decide(observation(runs=(run(),), progress=progress))
    assert decision.status is not None
    assert decision.status.state is state
    assert ready(decision) == "False Progressing"
    assert conditions(decision)["Reconciling"] == "True Progressing"
    assert "Stalled" not in conditions(decision)
    assert message in next(item.message for item in decision.status.conditions if item.type == "Ready")
    assert decision.start is None
    assert decision.requeue == 1.0


@pytest.mark.parametrize(
    ("before", "version", "state"),
    [
        (State.ROLLING_BACK, "1.0.0", State.ROLLING_BACK),
        (State.APPLYING, "1.0.0", State.APPLYING),
        (State.PENDING, None, State.PLANNING),
        (State.APPLYING, None, State.PLANNING),
    ],
)
def test_a_version_that_waits_for_a_table_is_still_in_work(before: State, version: str | None, state: State) -> None:
    waits = Progress(step="WaitingForLock", version=version, message="waiting")
    status = SchemaMigrationStatus(observed_generation=1, state=before)
    decision = decide(observation(migration(status=status), runs=(run(),), progress=waits))
    assert decision.status is not None
    assert decision.status.state is state


def test_progress_is_shown_whole() -> None:
    told = Progress(
        step="Applying",
        message="applying 1.4.0: building an index on public.item: scanning the table, 45 %",
        version="1.4.0",
        statement=2,
        statements=3,
        percent=48,
    )
    decision = decide(observation(runs=(run(),), progress=told))
    assert decision.status is not None
    assert decision.status.progress is not None
    assert decision.status.progress.model_dump() == msgspec.structs.asdict(told)


def test_progress_never_decides() -> None:
    done = Progress(step="Verifying", message="all done", percent=100)
    assert ready(decide(observation(runs=(run(),), progress=done))) == "False Progressing"


def test_a_run_of_the_generation_before_is_waited_for_once_it_has_started() -> None:
    decision = decide(observation(migration(generation=2), runs=(run(generation=1),)))
    assert ready(decision) == "False WaitingForRun"
    assert decision.start is None
    assert decision.delete == ()
    assert decision.status is not None
    assert decision.status.observed_generation == 2


def test_a_run_of_the_generation_before_that_never_started_is_dropped() -> None:
    decision = decide(observation(migration(generation=2), runs=(run(generation=1, started=False),)))
    assert decision.delete == (run(generation=1).name,)
    assert decision.requeue is not None


def test_a_pod_that_cannot_start_is_named() -> None:
    trouble = Trouble(reason=Reason.IMAGE_NOT_PULLED, message="the image is not there")
    decision = decide(observation(runs=(run(started=False, trouble=trouble),)))
    assert ready(decision) == "False ImageNotPulled"
    assert conditions(decision)["Reconciling"] == "True ImageNotPulled"
    assert [event.reason for event in decision.events] == ["ImageNotPulled"]


def test_a_second_job_is_never_started_while_one_runs() -> None:
    status = SchemaMigrationStatus(observed_generation=0)
    assert decide(observation(migration(status=status), runs=(run(),))).start is None


def test_the_end_of_a_run_is_recorded_and_its_success_believed() -> None:
    end = ended(report=report(verification=(VerificationReport(name="v", result=VerificationResult.PASSED),)))
    decision = decide(observation(runs=(run(ended=end),)))
    assert conditions(decision) == {
        "Validated": "True ScriptsValid",
        "Applied": "True Applied",
        "Verified": "True Verified",
        "Ready": "True Applied",
    }
    assert decision.status is not None
    assert decision.status.version == "1.0.0"
    assert decision.status.progress is None
    assert decision.status.current_run is None
    assert [item.outcome for item in decision.status.runs or []] == [RunOutcome.DONE]
    assert decision.target_report == (end, run().name)
    assert [event.reason for event in decision.events] == ["Applied"]
    assert decision.start is None


def test_a_rollback_is_called_one() -> None:
    decision = decide(observation(runs=(run(ended=ended(report=report(action=Action.ROLLBACK, version="0"))),)))
    assert decision.status is not None
    assert (decision.status.state, decision.status.version) == (State.ROLLED_BACK, "0")
    assert ready(decision) == "True RolledBack"


def test_a_run_that_only_looked_does_not_change_what_the_last_change_was() -> None:
    status = recorded(RunOutcome.DONE, action=Action.ROLLBACK, seconds_ago=100)
    looked = run(2, ended=ended(report=report(action=Action.NONE)), created=ago(3))
    assert ready(decide(observation(migration(status=status), runs=(looked,)))) == "True RolledBack"


def test_the_success_of_the_generation_before_is_not_this_ones() -> None:
    decision = decide(observation(migration(generation=2), runs=(run(generation=1, ended=ended(report=report())),)))
    assert ready(decision) == "False Progressing"
    assert decision.start is not None
    assert decision.start.number == 1
    assert decision.start.work == work(2)


def test_a_failed_verification_before_the_commit_is_named() -> None:
    end = ended(
        RunOutcome.FAILED,
        reason=Reason.VERIFICATION_FAILED,
        message="verification total failed",
        report=report(
            Outcome.FAILED,
            version="0",
            verification=(VerificationReport(name="total", result=VerificationResult.FAILED, expected="1", found="2"),),
        ),
    )
    decision = decide(observation(runs=(run(ended=end),)))
    assert conditions(decision) == {
        "Stalled": "True VerificationFailed",
        "Validated": "True ScriptsValid",
        "Applied": "False VerificationFailed",
        "Verified": "False VerificationFailed",
        "Ready": "False VerificationFailed",
    }


def test_a_failed_verification_after_the_commit_leaves_it_applied_and_not_ready() -> None:
    end = ended(
        RunOutcome.VERIFICATION_FAILED,
        reason=Reason.VERIFICATION_FAILED,
        message="verification total failed",
        report=report(Outcome.VERIFICATION_FAILED),
    )
    found = conditions(decide(observation(runs=(run(ended=end),))))
    assert found["Applied"] == "True Applied"
    assert found["Verified"] == "False VerificationFailed"
    assert found["Ready"] == "False VerificationFailed"
    assert "Stalled" in found


def test_what_is_applied_in_part_is_not_called_applied_and_not_called_as_before() -> None:
    end = ended(
        RunOutcome.PARTLY_APPLIED,
        reason=Reason.DATA_VIOLATION,
        message="version 2, statement 3 of 4: a value is there twice",
        report=report(Outcome.PARTLY_APPLIED, version="1.0.0"),
    )
    decision = decide(observation(runs=(run(ended=end),)))
    assert conditions(decision) == {
        "Stalled": "True DataViolation",
        "Validated": "True ScriptsValid",
        "Applied": "False PartlyApplied",
        "Verified": "Unknown DataViolation",
        "Ready": "False DataViolation",
    }
    assert decision.status is not None
    messages = {item.type: item.message for item in decision.status.conditions}
    assert messages["Applied"] == "applied in part: version 2, statement 3 of 4: a value is there twice"
    assert messages["Stalled"] == messages["Ready"] == "version 2, statement 3 of 4: a value is there twice"
    assert decision.start is None


def test_a_counted_failure_counts_and_one_that_is_not_does_not() -> None:
    counted = decide(observation(runs=(run(failures=2, ended=ended(RunOutcome.RETRYABLE, counted=True)),)))
    assert [item.failures for item in (counted.status and counted.status.runs) or []] == [3]
    free = decide(observation(runs=(run(failures=2, ended=ended(RunOutcome.LOCK_HELD)),)))
    assert [item.failures for item in (free.status and free.status.runs) or []] == [2]


def test_a_job_that_is_gone_before_its_end_was_read_is_followed_by_another() -> None:
    lost = RunStatus(name="gone", work=work(), number=1, generation=1, started_at=ago(5))
    status = SchemaMigrationStatus(observed_generation=1, current_run=lost)
    decision = decide(observation(migration(status=status)))
    assert decision.status is not None
    assert [item.outcome for item in decision.status.runs or []] == [RunOutcome.KILLED]
    assert decision.status.runs is not None
    assert decision.status.runs[0].failures == 0
    assert decision.requeue == 1.0


def test_a_run_recorded_before_is_not_recorded_again() -> None:
    status = recorded(RunOutcome.DONE)
    old = run(ended=ended(report=report()), created=ago(5))
    decision = decide(observation(migration(status=status), runs=(old,)))
    assert decision.target_report is None
    assert ready(decision) == "True Applied"


def test_an_older_job_that_fell_out_of_the_list_is_not_recorded() -> None:
    status = recorded(RunOutcome.DONE)
    old = run(ended=ended(RunOutcome.FAILED), created=ago(500), name="older")
    assert ready(decide(observation(migration(status=status), runs=(old,)))) == "True Applied"


def test_looking_again_and_finding_the_same_adds_no_line() -> None:
    status = recorded(RunOutcome.REFUSED, reason="AuthFailed", seconds_ago=40)
    again = run(2, recheck=True, ended=ended(RunOutcome.REFUSED, reason=Reason.AUTH_FAILED), created=ago(2))
    decision = decide(observation(migration(status=status), runs=(again,)))
    assert decision.status is not None
    assert [item.number for item in decision.status.runs or []] == [2]


def test_looking_again_keeps_the_migration_stalled_meanwhile() -> None:
    stalled = decide(
        observation(migration(status=recorded(RunOutcome.REFUSED, reason="AuthFailed", seconds_ago=1)))
    ).status
    decision = decide(observation(migration(status=stalled), runs=(run(2, recheck=True, created=ago(0)),)))
    assert conditions(decision)["Stalled"] == "True AuthFailed"


def test_old_jobs_are_deleted_and_the_newest_kept_for_their_logs() -> None:
    done = [run(number, ended=ended(report=report()), created=ago(100 - number)) for number in range(1, 6)]
    status = SchemaMigrationStatus(
        observed_generation=1,
        runs=[
            RunStatus(name=item.name, work=item.work, number=item.number, generation=1, started_at=item.created)
            for item in reversed(done[:4])
        ],
    )
    decision = decide(observation(migration(status=status), runs=tuple(done)))
    assert decision.delete == (done[0].name, done[1].name)


def test_a_job_that_could_not_be_created_is_told_and_tried_again() -> None:
    decision = not_started(observation(), "JobNotCreated", "quota", again=10.0)
    assert ready(decision) == "False JobNotCreated"
    assert "Reconciling" in conditions(decision)
    assert decision.requeue == 10.0
    assert decision.status is not None
    assert decision.status.current_run is None


def test_the_time_of_a_condition_moves_only_with_its_status() -> None:
    first = succeeded([], {"Ready": Verdict("False", "A", "a")}, 1, NOW)
    later = NOW.replace(hour=13)
    same = succeeded(first, {"Ready": Verdict("False", "B", "b")}, 2, later)
    assert same[0].last_transition_time == first[0].last_transition_time
    assert (same[0].reason, same[0].observed_generation) == ("B", 2)
    other = succeeded(first, {"Ready": Verdict("True", "B", "b")}, 2, later)
    assert other[0].last_transition_time == "2026-11-22T13:00:00Z"


EVERY_END = [
    (outcome, counted, reason)
    for outcome in RunOutcome
    for counted in (False, True)
    for reason in (None, Reason.AUTH_FAILED, Reason.VERIFICATION_FAILED, Reason.UNREACHABLE)
]


@pytest.mark.parametrize(("outcome", "counted", "reason"), EVERY_END)
@pytest.mark.parametrize("generation", [1, 2])
def test_whatever_the_end_ready_is_true_only_when_this_generation_is_done(
    outcome: RunOutcome, counted: bool, reason: Reason | None, generation: int
) -> None:
    end = ended(outcome, counted=counted, reason=reason)
    decision = decide(observation(migration(generation=generation), runs=(run(ended=end),)))
    found = conditions(decision)
    assert found["Ready"].startswith("True") == (outcome is RunOutcome.DONE and generation == 1)
    assert not {"Reconciling", "Stalled"} <= set(found)
    abnormal = {"Reconciling", "Stalled"} & set(found)
    assert bool(abnormal) != found["Ready"].startswith("True")
    assert set(found) <= {kind.value for kind in ConditionType}


def test_a_log_that_cannot_be_read_for_a_moment_does_not_let_the_run_begin_anew() -> None:
    at = Progress(
        step="Applying", message="applying 1.0.0, statement 3 of 5", version="1.0.0", statement=3, statements=5
    )
    before = decide(observation(runs=(run(),), progress=at)).status
    assert before is not None
    unread = decide(observation(migration(status=before), runs=(run(),), progress=None)).status
    assert unread == before
    assert before.progress is not None
    following = run(2, generation=1)
    other = decide(observation(migration(status=before), runs=(following,), progress=None)).status
    assert other is not None
    assert (other.progress, other.state) == (None, State.PENDING), "another run has not been seen doing anything"
