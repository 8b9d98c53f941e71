"""The start of the controller."""

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

    async def opened(*_: object) -> Office:
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
