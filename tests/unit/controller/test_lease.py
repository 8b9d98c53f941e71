"""Which of several controllers works."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest

from schema_operator.controller.connection import ApiError
from schema_operator.controller.lease import DURATION_SECONDS, GIVE_UP_SECONDS, Elector


class Store:
    """Keeps one Lease as the API server does."""

    def __init__(self) -> None:
        self.found: dict[str, Any] | None = None
        self.version = 0
        self.away = False

    async def lease(self, *_: str) -> dict[str, Any] | None:
        if self.away:
            raise ApiError(0, "Unreachable", "ClientConnectorError")
        await asyncio.sleep(0)
        return copy.deepcopy(self.found)

    async def create_lease(self, manifest: dict[str, Any]) -> bool:
        return self.found is None and self._write(manifest)

    async def replace_lease(self, manifest: dict[str, Any]) -> bool:
        assert self.found is not None
        version = self.found["metadata"]["resourceVersion"]
        return bool(manifest["metadata"]["resourceVersion"] == version) and self._write(manifest)

    def _write(self, manifest: dict[str, Any]) -> bool:
        self.version += 1
        self.found = copy.deepcopy(manifest)
        self.found["metadata"]["resourceVersion"] = str(self.version)
        return True

    def spec(self) -> dict[str, Any]:
        assert self.found is not None
        return dict(self.found["spec"])


class Time:
    """A clock that goes on when it is told to, or when somebody sleeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.pause = asyncio.sleep
        monkeypatch.setattr(asyncio, "sleep", self.sleep)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await self.pause(0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    return Time(monkeypatch)


def elector(name: str, clock: Time) -> Elector:
    return Elector("operator", "schema-operator", name, clock)


@pytest.mark.asyncio
async def test_of_two_that_start_together_one_holds_it(clock: Time) -> None:
    store = Store()
    held = await asyncio.gather(elector("a", clock).take(store), elector("b", clock).take(store))
    assert sorted(held) == [False, True]
    assert store.spec()["leaseDurationSeconds"] == DURATION_SECONDS
    assert store.spec()["leaseTransitions"] == 1


@pytest.mark.asyncio
async def test_of_two_that_find_it_free_one_holds_it(clock: Time) -> None:
    store = Store()
    first = elector("gone", clock)
    await first.take(store)
    await first.release(store)
    assert store.spec()["holderIdentity"] == ""
    held = await asyncio.gather(elector("a", clock).take(store), elector("b", clock).take(store))
    assert sorted(held) == [False, True]
    assert store.spec()["leaseTransitions"] == 2


@pytest.mark.asyncio
async def test_it_is_free_when_it_was_seen_unchanged_for_its_duration(clock: Time) -> None:
    store, other = Store(), elector("b", clock)
    await elector("a", clock).take(store)
    assert not await other.take(store)
    clock.now += DURATION_SECONDS - 1
    assert not await other.take(store)
    clock.now += 2
    assert await other.take(store)
    assert store.spec()["holderIdentity"] == "b"


@pytest.mark.asyncio
async def test_one_that_is_renewed_is_never_free_whatever_its_times_say(clock: Time) -> None:
    store, holder, other = Store(), elector("a", clock), elector("b", clock)
    for _ in range(10):
        assert await holder.take(store)
        assert store.found is not None
        store.found["spec"] |= {
            "renewTime": "1999-01-01T00:00:00.000000Z",
            "acquireTime": "2099-01-01T00:00:00.000000Z",
        }
        assert not await other.take(store)
        clock.now += 10


@pytest.mark.asyncio
async def test_a_container_that_starts_again_goes_on_at_once(clock: Time) -> None:
    store = Store()
    assert await elector("a", clock).take(store)
    assert await elector("a", clock).take(store)
    assert store.spec()["leaseTransitions"] == 1


@pytest.mark.asyncio
async def test_who_cannot_renew_stops_before_another_may_begin(clock: Time) -> None:
    store, holder = Store(), elector("a", clock)
    await holder.take(store)
    store.away = True
    began = clock.now
    await holder.keep(store)
    assert clock.now - began == pytest.approx(GIVE_UP_SECONDS, abs=0.1)
    assert GIVE_UP_SECONDS < DURATION_SECONDS


@pytest.mark.asyncio
async def test_a_short_absence_of_the_api_server_costs_nothing(clock: Time) -> None:
    store, holder = Store(), elector("a", clock)
    await holder.take(store)
    keeping = asyncio.ensure_future(holder.keep(store))
    for _ in range(20):
        store.away = not store.away
        await clock.pause(0)
    store.away = False
    assert not keeping.done()
    keeping.cancel()


@pytest.mark.asyncio
async def test_who_was_paused_for_too_long_stops_without_asking(clock: Time) -> None:
    """Even if nobody has taken it: what was begun before the pause may be as old as the pause."""
    store, holder = Store(), elector("a", clock)
    await holder.take(store)
    clock.now += DURATION_SECONDS + 1
    await asyncio.wait_for(holder.keep(store), 5)
    assert store.version == 1


@pytest.mark.asyncio
async def test_who_finds_another_name_stops_and_does_not_release_it(clock: Time) -> None:
    store, holder = Store(), elector("a", clock)
    await holder.take(store)
    assert store.found is not None
    store.found["spec"]["holderIdentity"] = "b"
    await holder.keep(store)
    await holder.release(store)
    assert store.spec()["holderIdentity"] == "b"


@pytest.mark.asyncio
async def test_who_waits_looks_again_until_it_is_free(clock: Time) -> None:
    store, holder, other = Store(), elector("a", clock), elector("b", clock)
    await holder.take(store)
    began = clock.now
    await other.wait(store)
    assert DURATION_SECONDS < clock.now - began < DURATION_SECONDS + 10
