"""Not all pods at once: who may start, who waits, and who is woken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schema_operator.controller.starts import START_SECONDS, STARTS_AT_ONCE, Starts

if TYPE_CHECKING:
    from schema_operator.controller.queue import Key


def key(number: int) -> Key:
    return "shop", f"m-{number}"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def starts() -> tuple[Starts, list[Key], Clock]:
    woken: list[Key] = []
    clock = Clock()
    return Starts(woken.append, clock), woken, clock


def full() -> tuple[Starts, list[Key], Clock]:
    found, woken, clock = starts()
    for number in range(STARTS_AT_ONCE):
        assert not found.crowded(key(number))
        found.starting(key(number))
    return found, woken, clock


def test_those_that_come_when_all_places_are_taken_wait_and_follow_in_their_order() -> None:
    found, woken, _ = full()
    late = [key(number) for number in range(100, 103)]
    for one in late:
        assert found.crowded(one)
        found.wait(one)
    assert not found.crowded(key(0)), "who starts is in nobody's way, nor in its own"
    found.leave(key(0))
    assert woken == late[:1]
    assert [found.crowded(one) for one in late] == [False, True, True]
    assert found.crowded(key(200)), "a newcomer comes after those that wait"
    found.starting(late[0])
    found.leave(key(1))
    found.leave(key(2))
    assert woken == [late[0], late[1], late[1], late[2]]


def test_who_gives_up_waiting_makes_room_for_the_next() -> None:
    found, woken, _ = full()
    found.wait(key(100))
    found.wait(key(101))
    found.leave(key(3))
    assert [found.crowded(key(number)) for number in (100, 101)] == [False, True]
    woken.clear()
    found.leave(key(100))
    assert woken == [key(101)]
    assert not found.crowded(key(101))


def test_who_was_not_there_wakes_nobody() -> None:
    found, woken, _ = starts()
    found.wait(key(1))
    found.leave(key(2))
    assert woken == []


def test_a_start_that_takes_too_long_keeps_nobody_waiting() -> None:
    found, _, clock = full()
    assert found.crowded(key(100))
    clock.now += START_SECONDS
    assert not found.crowded(key(100))


def test_a_start_is_counted_from_its_beginning() -> None:
    found, _, clock = full()
    clock.now += START_SECONDS - 1
    found.starting(key(0))
    clock.now += 1
    assert not found.crowded(key(100))
