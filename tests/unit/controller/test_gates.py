"""What holds a run back before it is started."""

from dataclasses import replace

import pytest

from schema_operator.api.schema_migration import RunOutcome, SchemaMigrationStatus, State
from schema_operator.controller import names
from schema_operator.controller.decide import decide
from schema_operator.controller.observation import Observation, Run
from schema_operator.errors import Reason
from unit.controller.scenes import ago, ended, migration, observation, recorded, run, work

SUSPENDED = {"suspend": True}


def _suspended(status: SchemaMigrationStatus | None = None, **extra: object) -> Observation:
    return observation(migration(status=status, **SUSPENDED), **extra)  # type: ignore[arg-type]  # as in scenes


# Each line: what was seen, and of the decision: state, Ready's reason, the abnormal condition, whether a run is
# started, and the seconds after which to look again.
HELD = [
    ("nothing was ever run", _suspended(), State.SUSPENDED, "Suspended", None, None),
    (
        "an attempt is due",
        _suspended(recorded(RunOutcome.RETRYABLE, failures=1, reason=Reason.UNREACHABLE, seconds_ago=60)),
        State.SUSPENDED,
        "Suspended",
        None,
        None,
    ),
    (
        "an attempt is not due yet",
        _suspended(recorded(RunOutcome.RETRYABLE, failures=1, reason=Reason.UNREACHABLE)),
        State.SUSPENDED,
        "Suspended",
        None,
        None,
    ),
    (
        "the run that was stopped has ended",
        _suspended(recorded(RunOutcome.STOPPED, reason=Reason.STOPPED)),
        State.SUSPENDED,
        "Suspended",
        None,
        None,
    ),
    ("what is asked for is reached", _suspended(recorded(RunOutcome.DONE)), State.APPLIED, "Applied", None, None),
    (
        "it cannot go on anyway",
        _suspended(recorded(RunOutcome.FAILED, reason=Reason.OBJECT_NOT_FOUND)),
        State.STALLED,
        "ObjectNotFound",
        "Stalled",
        None,
    ),
    (
        "a Secret would be looked at again",
        _suspended(recorded(RunOutcome.REFUSED, reason=Reason.AUTH_FAILED, seconds_ago=60)),
        State.STALLED,
        "AuthFailed",
        "Stalled",
        None,
    ),
]


@pytest.mark.parametrize(
    ("seen", "state", "reason", "abnormal", "again"), [row[1:] for row in HELD], ids=[row[0] for row in HELD]
)
def test_a_suspended_migration_starts_nothing(
    seen: Observation, state: State, reason: str, abnormal: str | None, again: float | None
) -> None:
    decision = decide(seen)
    assert decision.status is not None
    conditions = {item.type: item for item in decision.status.conditions}
    assert (decision.start, decision.status.state, conditions["Ready"].reason, decision.requeue) == (
        None,
        state,
        reason,
        again,
    )
    assert [kind for kind in ("Reconciling", "Stalled") if kind in conditions] == ([abnormal] if abnormal else [])
    assert decision.status.retry_at is None


def test_what_an_earlier_run_left_is_said_while_suspended() -> None:
    status = recorded(RunOutcome.PARTLY_APPLIED, generation=2, message="version 2 is applied in part")
    decision = decide(_suspended(status))
    assert decision.status is not None
    ready = decision.status.conditions[-1]
    assert "set it to false to go on; the last run: version 2 is applied in part" in ready.message


STOPPING = [
    ("it works", run(), True),
    ("it was told already", run(stopping=True), False),
    ("it has not begun", run(started=False), True),
    ("it is at work that is asked for no more", run(work="older"), True),
]


@pytest.mark.parametrize(("at_work", "told"), [row[1:] for row in STOPPING], ids=[row[0] for row in STOPPING])
def test_a_run_in_flight_is_stopped_once(at_work: Run, told: bool) -> None:
    decision = decide(_suspended(runs=(at_work,)))
    assert decision.status is not None
    assert decision.stop == ((at_work.name,) if told else ())
    assert decision.delete == ()
    assert {item.type: item.reason for item in decision.status.conditions}["Reconciling"] == "Stopping"
    assert decision.status.current_run is not None


def test_a_run_of_other_work_that_has_not_begun_is_dropped_even_while_suspended() -> None:
    assert decide(_suspended(runs=(run(work="older", started=False),))).delete


def test_a_stopped_run_is_recorded_and_the_next_one_goes_on_when_it_may() -> None:
    stopped = run(ended=ended(RunOutcome.STOPPED, reason=Reason.STOPPED, message="stopped"), created=ago(30))
    held = decide(_suspended(runs=(stopped,)))
    assert held.status is not None
    assert held.status.state is State.SUSPENDED
    again = decide(observation(migration(status=held.status, generation=1)))
    assert again.requeue is not None  # a second after the stop
    later = observation(migration(status=held.status))
    later = replace(later, now=later.now.replace(minute=5))
    assert decide(later).start is not None
    assert decide(later).start.name == names.job_name("shop", later.migration.uid, work(), 2)  # type: ignore[union-attr]
