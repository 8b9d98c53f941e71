"""The start of the controller."""

import asyncio
from typing import Any

import kopf
import pytest

from schema_operator.controller import handlers
from schema_operator.controller.handlers import Office
from schema_operator.controller.queue import Key, Queue


class Api:
    """A connection to an API server that has our CRDs or has not."""

    def __init__(self, *, installed: bool) -> None:
        self.installed = installed
        self.closed = False

    async def serves_our_kinds(self) -> bool:
        return self.installed

    async def close(self) -> None:
        self.closed = True


async def _nothing(_: Key) -> float | None:
    return None


def office(api: Api) -> Office:
    cluster: Any = api
    performer: Any = None
    return Office(cluster, performer, Queue(_nothing), Queue(_nothing))


@pytest.mark.asyncio
@pytest.mark.parametrize("installed", [True, False])
async def test_the_controller_does_not_start_to_serve_nothing(monkeypatch: pytest.MonkeyPatch, installed: bool) -> None:
    """With `watchNamespaces` kopf looks for CRDs once; it would then watch nothing and call itself healthy."""
    api = Api(installed=installed)

    async def opened(_: str) -> Office:
        return office(api)

    monkeypatch.setattr(Office, "open", opened)
    memo = kopf.Memo()
    start = handlers._opening("image:1")
    if installed:
        await start(memo=memo)
        assert memo.office.cluster is api
    else:
        with pytest.raises(kopf.TemporaryError, match="CRDs"):
            await start(memo=memo)
    await handlers._close(memo)
    assert api.closed


@pytest.mark.asyncio
async def test_an_approval_has_its_migration_looked_at() -> None:
    looked: list[Key] = []

    async def look(key: Key) -> float | None:
        looked.append(key)
        return None

    cluster: Any = None
    at_work = Office(cluster, cluster, Queue(look), Queue(look))
    memo = kopf.Memo(office=at_work)
    for spec in ({"migration": "shop"}, {"migration": "other"}):
        await handlers._approval(memo=memo, namespace="shop", spec=spec)  # type: ignore[arg-type]  # as kopf gives it
    await asyncio.sleep(0.05)
    await at_work.migrations.close()
    assert sorted(looked) == [("shop", "other"), ("shop", "shop")]


def test_approvals_are_watched_like_what_they_are_about() -> None:
    registry = kopf.OperatorRegistry()
    handlers.register(registry, "image:1")
    watched = {handler.fn for handler in registry._watching.get_all_handlers()}
    assert {handlers._approval, handlers._migration, handlers._target} <= watched
