"""One worker an object, and nothing lost."""

import asyncio

import pytest

from schema_operator.controller.queue import Key, Queue

KEY = ("shop", "shop")


@pytest.mark.asyncio
async def test_what_happens_during_a_look_makes_it_look_once_more_and_never_twice_at_once() -> None:
    looks: list[str] = []
    gate = asyncio.Event()

    async def work(_: Key) -> float | None:
        looks.append("begin")
        await gate.wait()
        looks.append("end")
        return None

    queue = Queue(work, pause=0.0)
    for _ in range(5):
        queue.put(KEY)
        await asyncio.sleep(0)
    gate.set()
    while queue.keys():
        await asyncio.sleep(0)
    assert looks == ["begin", "end", "begin", "end"]


@pytest.mark.asyncio
async def test_what_a_look_has_caused_is_looked_at_once() -> None:
    looks: list[float] = []
    loop = asyncio.get_running_loop()

    async def work(_: Key) -> float | None:
        looks.append(loop.time())
        return None

    queue = Queue(work, pause=0.05)
    queue.put(KEY)
    while not looks:
        await asyncio.sleep(0)
    for _ in range(6):
        queue.put(KEY)
        await asyncio.sleep(0.002)
    while queue.keys():
        await asyncio.sleep(0.001)
    assert len(looks) == 2
    assert looks[1] - looks[0] >= 0.05


@pytest.mark.asyncio
async def test_one_object_does_not_wait_for_another() -> None:
    done: list[Key] = []
    gate = asyncio.Event()

    async def work(key: Key) -> float | None:
        if key == KEY:
            await gate.wait()
        done.append(key)
        return None

    queue = Queue(work, pause=0.0)
    queue.put(KEY)
    queue.put(("shop", "other"))
    for _ in range(5):
        await asyncio.sleep(0)
    assert done == [("shop", "other")]
    gate.set()
    await queue.close()


@pytest.mark.asyncio
async def test_it_looks_again_when_asked_to_and_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("schema_operator.controller.queue.ERROR_SECONDS", 0.001)
    looks: list[int] = []

    async def work(_: Key) -> float | None:
        looks.append(1)
        if len(looks) == 1:
            raise RuntimeError("the API server is away")
        return 0.001 if len(looks) == 2 else None

    queue = Queue(work, pause=0.0)
    queue.put(KEY)
    while queue.keys():
        await asyncio.sleep(0.001)
    assert len(looks) == 3
