"""The start of the controller, and what its handlers make of events."""

import asyncio
from types import SimpleNamespace
from typing import Any

import kopf
import pytest

from schema_operator.controller import handlers, names
from schema_operator.controller.connection import ApiError
from schema_operator.controller.handlers import Office
from schema_operator.controller.perform import Performer
from schema_operator.controller.queue import Key, Queue


class Api:
    """A connection to an API server that has our CRDs or has not."""

    def __init__(self, *, installed: bool) -> None:
        self.installed = installed
        self.closed = False

    async def serves_our_kinds(self) -> bool:
        return self.installed

    async def targets(self, _: str | None) -> list[dict[str, Any]]:
        return []

    async def close(self) -> None:
        self.closed = True


class Resuming:
    """Looks for what is at work, and finds nothing."""

    def __init__(self) -> None:
        self.looked: list[tuple[str, ...]] = []
        self.refusal: ApiError | None = None

    async def resume(self, namespaces: tuple[str, ...]) -> tuple[Key, ...]:
        self.looked.append(namespaces)
        if self.refusal is not None:
            raise self.refusal
        return ()


async def _nothing(_: Key) -> float | None:
    return None


def office(api: Api) -> Office:
    cluster: Any = api
    performer: Any = Resuming()
    return Office(cluster, performer, Queue(_nothing, pause=0.0), Queue(_nothing, pause=0.0))


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


@pytest.mark.asyncio
async def test_an_approval_has_its_migration_looked_at() -> None:
    looked: list[Key] = []

    async def look(key: Key) -> float | None:
        looked.append(key)
        return None

    cluster: Any = None
    at_work = Office(cluster, cluster, Queue(look, pause=0.0), Queue(look, pause=0.0))
    memo = kopf.Memo(office=at_work)
    for spec in ({"migration": "shop"}, {"migration": "other"}):
        await handlers._approval(memo=memo, namespace="shop", spec=spec)  # type: ignore[arg-type]  # as kopf gives it
    await asyncio.sleep(0.05)
    await at_work.migrations.close()
    assert sorted(looked) == [("shop", "other"), ("shop", "shop")]


def test_approvals_are_watched_like_what_they_are_about() -> None:
    registry = kopf.OperatorRegistry()
    handlers.register(registry, "image:1", watch_config_maps=False)
    watched = {handler.fn for handler in registry._watching.get_all_handlers()}
    assert {handlers._approval, handlers._migration, handlers._target} <= watched


@pytest.mark.asyncio
async def test_nothing_is_served_before_it_is_known_what_is_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    resuming: Any = Resuming()
    resuming.refusal = ApiError(500, "InternalError", "etcd is away")
    api = Api(installed=True)
    starting = office(api)
    starting.performer = resuming

    async def opened(*_: object) -> Office:
        return starting

    monkeypatch.setattr(Office, "open", opened)
    memo = kopf.Memo()
    with pytest.raises(kopf.TemporaryError, match="etcd is away"):
        await handlers._opening("image:1", ("shop",))(memo=memo)
    assert "office" not in memo
    assert api.closed
    assert resuming.looked == [("shop",)]


@pytest.mark.asyncio
async def test_an_api_server_that_refuses_at_first_is_asked_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(Api):
        async def serves_our_kinds(self) -> bool:
            raise ApiError(401, "Unauthorized", "not yet")

    api = Refusing(installed=True)

    async def opened(*_: object) -> Office:
        return office(api)

    monkeypatch.setattr(Office, "open", opened)
    with pytest.raises(kopf.TemporaryError, match="not yet") as raised:
        await handlers._opening("image:1")(memo=kopf.Memo())
    assert raised.value.delay == handlers.CRD_SECONDS
    assert api.closed


def seen(name: str, *requires: str, generation: int = 1, progress: str = "") -> dict[str, Any]:
    meta = {"namespace": "shop", "name": name, "uid": name, "generation": generation, "resourceVersion": "1"}
    needed = [{"name": one} for one in requires]
    spec = {"database": {"name": "db"}, "requires": {"migrations": needed}}
    return {"metadata": meta, "spec": spec, "status": {"progress": {"message": progress}}}


@pytest.mark.asyncio
async def test_those_that_are_tied_to_a_migration_are_looked_at_when_it_changes_and_not_for_progress() -> None:
    at_work, looked = office(Api(installed=True)), list[str]()
    noting: Any = SimpleNamespace(put=lambda key: looked.append(key[1]))
    at_work.migrations = noting

    def heard(body: dict[str, Any]) -> list[str]:
        looked.clear()
        at_work.migration_changed(("shop", body["metadata"]["name"]), body)
        return sorted(looked)

    assert heard(seen("above", "base")) == ["above"]
    assert heard(seen("base")) == ["above", "base"]
    assert heard(seen("base", progress="half")) == ["base"]
    assert heard(seen("base", generation=2)) == ["above", "base"]
    assert heard(seen("above", "base", generation=2)) == ["above", "base"]
    assert heard(seen("above")) == ["above", "base"]  # it requires nothing any more
    assert heard(seen("base", generation=3)) == ["base"]


@pytest.mark.asyncio
async def test_a_migration_that_is_gone_is_missed_by_those_that_require_it() -> None:
    at_work = office(Api(installed=True))
    forgotten: list[Key] = []
    vars(at_work.performer)["forget"] = forgotten.append
    at_work.migration_changed(("shop", "above"), seen("above", "base"))
    at_work.migration_changed(("shop", "base"), seen("base"))
    await at_work.migrations.close()
    at_work.migrations = Queue(_nothing, pause=0.0)
    at_work.migration_deleted(("shop", "base"))
    # It is looked at once more itself: a look that was under way may have noted what is gone.
    assert at_work.migrations.keys() == (("shop", "above"), ("shop", "base"))
    assert forgotten == [("shop", "base")]
    await at_work.migrations.close()


def of(spec: dict[str, Any]) -> dict[str, Any]:
    meta = {"namespace": "shop", "name": "shop", "uid": "u", "generation": 1, "resourceVersion": "1"}
    return {"metadata": meta, "spec": spec}


def scripts_in(*names: str) -> dict[str, Any]:
    return {"database": {"name": "shop"}, "scripts": {"configMaps": [{"name": name} for name in names]}}


@pytest.mark.asyncio
async def test_only_the_migrations_that_name_a_config_map_are_looked_at_when_it_changes() -> None:
    found = office(Api(installed=True))
    looked_at: list[Key] = []

    async def look(key: Key) -> float | None:
        looked_at.append(key)
        return None

    found.migrations = Queue(look, pause=0.0)
    found.migration_changed(("shop", "one"), of(scripts_in("a", "b")))
    found.migration_changed(("shop", "two"), of(scripts_in("b")))
    found.migration_changed(("shop", "inline"), of({"scripts": {"inline": [{"version": "1", "up": "SELECT 1"}]}}))
    found.migration_changed(("other", "one"), of(scripts_in("a")))
    found.migration_changed(("shop", "moved"), of(scripts_in("a")))
    found.migration_changed(("shop", "moved"), of(scripts_in("c")))
    found.migration_changed(("shop", "written out"), of(scripts_in("a")))
    found.migration_changed(("shop", "written out"), of({"scripts": {"inline": [{"version": "1", "up": "SELECT 1"}]}}))
    found.migration_changed(("shop", "gone"), of(scripts_in("a")))
    found.performer = Performer(found.cluster, "image:1")
    found.migration_deleted(("shop", "gone"))
    await asyncio.sleep(0.01)
    looked_at.clear()
    memo = kopf.Memo(office=found)
    await handlers._config_map(memo=memo, namespace="shop", name="a")
    await asyncio.sleep(0.01)
    assert looked_at == [("shop", "one")]
    await handlers._config_map(memo=memo, namespace="shop", name="b")
    await asyncio.sleep(0.01)
    assert looked_at[1:] == [("shop", "one"), ("shop", "two")]
    await found.migrations.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("asked", [True, False])
async def test_config_maps_are_watched_only_where_that_was_asked_for_and_only_those_with_the_label(asked: bool) -> None:
    registry = kopf.OperatorRegistry()
    handlers.register(registry, "image:1", watch_config_maps=asked)
    selectors = [handler.selector for handler in registry._watching.get_all_handlers()]
    watched = {selector.any_name or selector.plural for selector in selectors if selector is not None}
    assert ("configmaps" in watched) is asked
    settings = kopf.OperatorSettings()
    await handlers._settings(settings=settings)
    assert settings.watching.label_selectors["", "v1", "configmaps"] == f"{names.WATCH}=true"
