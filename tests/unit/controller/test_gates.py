"""What holds a run back before it is started."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import pytest

from schema_operator.api.schema_migration import RunOutcome, SchemaMigrationStatus, State
from schema_operator.controller import names
from schema_operator.controller.decide import decide
from schema_operator.controller.observation import Observation, Run
from schema_operator.errors import Reason
from unit.controller.scenes import (
    IN_WINDOW,
    NIGHTLY,
    NOW,
    ago,
    ended,
    migration,
    observation,
    recorded,
    run,
    target,
    work,
)

SUSPENDED: dict[str, Any] = {"suspend": True}


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


FROZEN: dict[str, Any] = {
    "freezes": [{"from": "2026-11-22T00:00:00Z", "until": "2026-11-24T00:00:00Z", "reason": "audit"}]
}
EMERGENCY: dict[str, Any] = {"emergency": {"reason": "incident 4711"}}
TOOK_90_MINUTES = recorded(
    RunOutcome.DONE, generation=9, started_at="2026-11-21T22:00:00Z", finished_at="2026-11-21T23:30:00Z", versions=["1"]
)
CHANGED_NOTHING = recorded(
    RunOutcome.DONE, generation=9, started_at="2026-11-21T22:00:00Z", finished_at="2026-11-21T23:30:00Z"
)


@dataclass(frozen=True, kw_only=True)
class Windowed:
    """A policy, what else the spec says, the status before and the time; and what follows."""

    name: str = field(kw_only=False)
    policy: dict[str, Any] = field(default_factory=dict)
    spec: dict[str, Any] = field(default_factory=dict)
    status: SchemaMigrationStatus | None = None
    now: datetime = NOW
    state: State = State.PENDING
    condition: str | None = None
    """WindowOpen: its status and its reason."""
    part: str = ""
    """Of its message."""
    started: bool = False
    again: float | None = None
    """Seconds after which to look again."""


WINDOWS = [
    Windowed("no rules", started=True),
    Windowed(
        "closed",
        policy=NIGHTLY,
        state=State.AWAITING_WINDOW,
        condition="False AwaitingWindow",
        part="at 2026-11-22T22:00:00Z",
        again=3600,
    ),
    Windowed(
        "closed, soon open",
        policy=NIGHTLY,
        now=NOW.replace(hour=21, minute=59),
        state=State.AWAITING_WINDOW,
        condition="False AwaitingWindow",
        again=60,
    ),
    Windowed(
        "open",
        policy=NIGHTLY,
        now=IN_WINDOW,
        condition="True WindowOpen",
        part="until 2026-11-23T00:00:00Z",
        started=True,
    ),
    Windowed(
        "frozen",
        policy=FROZEN,
        state=State.AWAITING_WINDOW,
        condition="False AwaitingWindow",
        part="(audit); the next opening is at 2026-11-24",
        again=3600,
    ),
    Windowed(
        "would not fit",
        policy=NIGHTLY,
        spec={"expectedDuration": "90m"},
        now=IN_WINDOW,
        state=State.AWAITING_WINDOW,
        condition="False AwaitingWindow",
        part="long enough for a run of 1h30m is at 2026-11-23T22",
        again=3600,
    ),
    Windowed(
        "would not fit, by the run before",
        policy=NIGHTLY,
        status=TOOK_90_MINUTES,
        now=IN_WINDOW,
        state=State.AWAITING_WINDOW,
        condition="False AwaitingWindow",
        part="1h30m",
        again=3600,
    ),
    Windowed(
        "the run before changed nothing",
        policy=NIGHTLY,
        status=CHANGED_NOTHING,
        now=IN_WINDOW,
        condition="True WindowOpen",
        started=True,
    ),
    Windowed(
        "what is said counts more",
        policy=NIGHTLY,
        spec={"expectedDuration": "5m"},
        status=TOOK_90_MINUTES,
        now=IN_WINDOW,
        condition="True WindowOpen",
        started=True,
    ),
    Windowed(
        "never fits",
        policy=NIGHTLY,
        spec={"expectedDuration": "3h"},
        now=IN_WINDOW,
        state=State.STALLED,
        condition="False WindowTooShort",
        part="3h, and the longest opening is 2h",
    ),
    Windowed(
        "cannot be read",
        policy={"windows": [{"schedule": "nightly", "duration": "2h", "timeZone": "UTC"}]},
        state=State.STALLED,
        condition="False InvalidWindow",
        part="spec.policy of the TargetDatabase shop: the schedule nightly",
    ),
    Windowed(
        "an emergency", policy=NIGHTLY, spec=EMERGENCY, condition="True Emergency", part="incident 4711", started=True
    ),
    Windowed(
        "an emergency in an open window is none",
        policy=NIGHTLY,
        spec=EMERGENCY,
        now=IN_WINDOW,
        condition="True WindowOpen",
        started=True,
    ),
    Windowed("an emergency while suspended", policy=NIGHTLY, spec=EMERGENCY | SUSPENDED, state=State.SUSPENDED),
    Windowed("nothing is left to do", policy=NIGHTLY, status=recorded(RunOutcome.DONE), state=State.APPLIED),
    Windowed(
        "the next attempt waits, too",
        policy=NIGHTLY,
        status=recorded(RunOutcome.RETRYABLE, failures=1),
        state=State.AWAITING_WINDOW,
        condition="False AwaitingWindow",
        again=3600,
    ),
    Windowed(
        "it cannot go on anyway",
        policy=NIGHTLY,
        status=recorded(RunOutcome.FAILED, reason=Reason.OBJECT_NOT_FOUND),
        state=State.STALLED,
    ),
]


@pytest.mark.parametrize("case", WINDOWS, ids=[case.name for case in WINDOWS])
def test_windows_and_freezes(case: Windowed) -> None:
    of = migration(status=case.status, **case.spec)
    decision = decide(observation(of, at=target(**case.policy), now=case.now))
    assert decision.status is not None
    found = {item.type: item for item in decision.status.conditions}
    window = found.get("WindowOpen")
    assert (f"{window.status} {window.reason}" if window else None) == case.condition
    assert case.part in (window.message if window else "")
    assert (decision.status.state, decision.start is not None) == (case.state, case.started)
    assert decision.requeue == case.again
    if case.state is State.AWAITING_WINDOW:
        assert not {"Reconciling", "Stalled"} & found.keys()
        assert found["Ready"].reason == "AwaitingWindow"


def test_what_cannot_wait_is_told_and_goes_with_the_run() -> None:
    decision = decide(observation(migration(**EMERGENCY), at=target(**NIGHTLY)))
    assert decision.start is not None
    assert decision.start.emergency == "incident 4711"
    (event,) = decision.events
    assert (event.type, event.reason, event.run) == ("Warning", "Emergency", decision.start.name)
    usual = decide(observation(migration(**EMERGENCY), at=target(**NIGHTLY), now=IN_WINDOW))
    assert usual.start is not None
    assert (usual.start.emergency, usual.events) == (None, ())


def test_a_run_in_flight_keeps_what_the_window_said_when_it_began() -> None:
    before = decide(observation(migration(), at=target(**NIGHTLY), now=IN_WINDOW))
    during = decide(observation(migration(status=before.status), at=target(**NIGHTLY), runs=(run(),), now=NOW))
    assert during.status is not None
    assert {item.type: item.reason for item in during.status.conditions}["WindowOpen"] == "WindowOpen"
