"""A watch that has died without an error is noticed, and a watch that lives is left alone."""

import asyncio
import socket
from typing import Any

import aiohttp
import kopf
import pytest
from kopf._core.engines.probing import health_reporter  # what the kubelet asks

from schema_operator.controller import handlers
from schema_operator.controller.connection import ApiError
from schema_operator.controller.handlers import Office, register
from schema_operator.controller.heard import SILENT_SECONDS, Watch
from schema_operator.controller.queue import Key, Queue

ORDERS, STOCK = ("shop", "orders"), ("shop", "stock")


def test_the_newest_version_of_each_was_told() -> None:
    heard = Watch()
    heard.told(ORDERS, "u", "7", now=0.0)
    assert heard.listed({ORDERS: "7"}, asked=10.0) == []
    assert heard.silent(1000.0) == []


def test_a_version_that_was_not_told_is_missed_at_once_and_proves_silence_later() -> None:
    heard = Watch()
    heard.told(ORDERS, "u", "7", now=0.0)
    assert heard.listed({ORDERS: "8", STOCK: "9"}, asked=10.0) == [ORDERS, STOCK]
    assert heard.silent(10.0 + SILENT_SECONDS) == []
    assert heard.listed({ORDERS: "8", STOCK: "10"}, asked=70.0) == [ORDERS, STOCK]
    assert heard.silent(10.5 + SILENT_SECONDS) == [ORDERS]
    assert heard.silent(70.5 + SILENT_SECONDS) == [ORDERS, STOCK]


@pytest.mark.parametrize("version", ["8", "9"])
def test_what_is_told_late_was_told(version: str) -> None:
    heard = Watch()
    heard.listed({ORDERS: "8"}, asked=10.0)
    heard.told(ORDERS, "u", version, now=11.0)
    assert heard.silent(1000.0) == []


def test_what_was_told_while_the_list_was_on_its_way_may_be_newer() -> None:
    heard = Watch()
    heard.told(ORDERS, "u", "9", now=10.5)
    assert heard.listed({ORDERS: "8"}, asked=10.0) == []


def test_what_is_gone_is_not_missed() -> None:
    heard = Watch()
    heard.listed({ORDERS: "8", STOCK: "9"}, asked=10.0)
    assert heard.listed({STOCK: "9"}, asked=70.0) == [STOCK]
    assert heard.silent(1000.0) == [STOCK]


def test_the_end_of_one_does_not_hide_the_next_of_its_name() -> None:
    """kopf tells of objects that have different uids in any order."""
    heard = Watch()
    heard.told(ORDERS, "old", "7", now=0.0)
    heard.told(ORDERS, "new", "9", now=1.0)
    heard.deleted(ORDERS, "old")
    assert heard.listed({ORDERS: "9"}, asked=10.0) == []
    heard.deleted(ORDERS, "new")
    assert heard.listed({ORDERS: "9"}, asked=20.0) == [ORDERS]


class Api:
    """Lists versions by namespace, or is away."""

    def __init__(self, versions: dict[str | None, dict[Key, str]]) -> None:
        self.versions = versions
        self.away = False

    async def migration_versions(self, namespace: str | None) -> dict[Key, str]:
        if self.away:
            raise ApiError(0, "Unreachable", "ClientConnectorError")
        return self.versions[namespace]

    async def close(self) -> None:
        pass


def office(api: Api, looked: list[Key], namespaces: tuple[str | None, ...] = (None,)) -> Office:
    async def look(key: Key) -> float | None:
        looked.append(key)
        return None

    cluster: Any = api
    performer: Any = None
    return Office(cluster, performer, Queue(look, pause=0.0), Queue(look, pause=0.0), namespaces=namespaces)


@pytest.mark.asyncio
@pytest.mark.fault(34)
async def test_what_the_watch_has_not_told_of_is_acted_on_all_the_same() -> None:
    looked: list[Key] = []
    found = office(Api({"a": {("a", "x"): "1"}, "b": {("b", "y"): "2"}}), looked, ("a", "b"))
    found.watch.told(("a", "x"), "u", "1", now=0.0)
    await found.look_for_unheard()
    await asyncio.sleep(0.01)
    assert looked == [("b", "y")]
    assert ("b", "y") in found.databases


@pytest.mark.asyncio
@pytest.mark.fault(33)
async def test_an_api_server_that_is_away_is_no_reason_to_die(caplog: pytest.LogCaptureFixture) -> None:
    api = Api({None: {ORDERS: "1"}})
    api.away = True
    found = office(api, [])
    await found.look_for_unheard()
    found.require_alive()
    assert "could not be listed" in caplog.text


@pytest.mark.asyncio
async def test_every_round_ends_with_a_listing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "RESYNC_SECONDS", 0.01)
    looked: list[Key] = []
    found = office(Api({None: {ORDERS: "1"}}), looked)
    task = asyncio.create_task(found.resync())
    while ORDERS not in looked:
        await asyncio.sleep(0.005)
    task.cancel()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("missed", "ended", "code"), [(False, False, 200), (True, False, 500), (False, True, 500)], ids=str
)
@pytest.mark.fault(34)
async def test_the_probe_fails_when_the_controller_hears_nothing_any_more(missed: bool, ended: bool, code: int) -> None:
    registry = kopf.OperatorRegistry()
    register(registry, "image:1")
    memo: Any = kopf.Memo()
    memo.office = office(Api({}), [])
    if missed:
        memo.office.watch.listed({ORDERS: "8"}, asked=-1000.0)
    memo.resync = asyncio.create_task(asyncio.sleep(0 if ended else 600))
    ready, endpoint = asyncio.Event(), f"http://127.0.0.1:{free_port()}/healthz"
    indices: Any = {}
    reporter = asyncio.create_task(
        health_reporter(
            endpoint,
            memo=memo,
            indices=indices,
            registry=registry,
            settings=kopf.OperatorSettings(),
            ready_flag=ready,
        )
    )
    try:
        await ready.wait()
        async with aiohttp.ClientSession() as session, session.get(endpoint) as answer:
            assert answer.status == code
    finally:
        reporter.cancel()
        memo.resync.cancel()
        await asyncio.gather(reporter, memo.resync, return_exceptions=True)


@pytest.mark.asyncio
@pytest.mark.fault(34)
async def test_a_watch_begins_anew_before_a_change_is_late() -> None:
    """Bookmarks come every 60 s, and a change must be noticed within 90 s."""
    settings = kopf.OperatorSettings()
    await handlers._settings(settings)
    assert settings.watching.inactivity_timeout == 70.0
    slowest = settings.watching.inactivity_timeout + settings.watching.reconnect_backoff
    assert 60.0 < slowest < 90.0
    assert slowest > handlers.RESYNC_SECONDS


@pytest.mark.asyncio
async def test_the_rounds_go_on_whatever_goes_wrong_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Api):
        asked = 0

        async def migration_versions(self, _: str | None) -> dict[Key, str]:
            self.asked += 1
            raise TypeError("'NoneType' object is not iterable")

    monkeypatch.setattr(handlers, "RESYNC_SECONDS", 0.01)
    api = Broken({})
    rounds = asyncio.create_task(office(api, []).resync())
    while api.asked < 3:
        assert not rounds.done()
        await asyncio.sleep(0.01)
    rounds.cancel()


@pytest.mark.asyncio
async def test_what_was_listed_once_and_is_gone_is_forgotten() -> None:
    found = office(Api({None: {("a", "x"): "1"}}), [])
    await found.look_for_unheard()
    assert ("a", "x") in found.databases
    found.cluster.versions[None] = {}  # type: ignore[attr-defined]
    await found.look_for_unheard()
    assert found.databases == {}
