"""Requests to an API server: what is sent, what a refusal says, and credentials that change meanwhile."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import kopf
import pytest
import yaml
from aiohttp import web

from schema_operator.controller import connection
from schema_operator.controller.connection import ApiError, Connection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

JSON = "application/json"


class Server:
    """An API server that notes what it is asked, and answers as it is told."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.answer = web.Response(text="{}")
        self.token = "first"

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append((request.method, request.raw_path, dict(request.headers), await request.read()))
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.Response(status=401, text=json.dumps({"reason": "Unauthorized", "message": "Unauthorized"}))
        return web.Response(status=self.answer.status, text=self.answer.text)


@contextlib.asynccontextmanager
async def serving(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Server, Connection]]:
    server, application = Server(), web.Application()
    application.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    monkeypatch.setenv("KUBECONFIG", str(folder / "kubeconfig"))
    write(folder, f"http://127.0.0.1:{runner.addresses[0][1]}", server.token)
    opened = Connection.open()
    try:
        yield server, opened
    finally:
        await opened.close()
        await runner.cleanup()


def write(folder: Path, server: str | None, token: str) -> None:
    path = folder / "kubeconfig"
    known = yaml.safe_load(path.read_text())["clusters"][0]["cluster"]["server"] if path.exists() else ""
    found = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        "clusters": [{"name": "here", "cluster": {"server": server or known}}],
        "users": [{"name": "me", "user": {"token": token}}],
    }
    path.write_text(yaml.safe_dump(found))


async def get(opened: Connection, path: str = "/api", **more: Any) -> bytes:
    return await opened.request("GET", path, content_type=JSON, accept=JSON, **{"seconds": 5.0} | more)


@pytest.mark.asyncio
async def test_a_request_says_who_asks_for_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(tmp_path, monkeypatch) as (server, opened):
        server.answer = web.Response(text='{"kind":"Job"}')
        answer = await opened.request(
            "PATCH",
            "/apis/batch/v1/namespaces/shop/jobs/a",
            [("fieldManager", "me"), ("labelSelector", "a=b,c")],
            {"spec": {"suspend": True}},
            content_type="application/merge-patch+json",
            accept="application/json;as=Table",
            seconds=5.0,
        )
        ((method, path, headers, body),) = server.asked
    assert answer == b'{"kind":"Job"}'
    assert (method, path) == ("PATCH", "/apis/batch/v1/namespaces/shop/jobs/a?fieldManager=me&labelSelector=a%3Db,c")
    assert headers["Content-Type"] == "application/merge-patch+json"
    assert headers["Accept"] == "application/json;as=Table"
    assert headers["Authorization"] == "Bearer first"
    assert json.loads(body) == {"spec": {"suspend": True}}


NAMESPACE_ENDS = {"details": {"causes": [{"reason": "NamespaceTerminating"}]}}
REFUSALS = {
    "with a reason": (409, json.dumps({"reason": "AlreadyExists", "message": "it exists"}), "AlreadyExists", False),
    "in an ending namespace": (403, json.dumps({"reason": "Forbidden", **NAMESPACE_ENDS}), "Forbidden", True),
    "of a proxy": (502, "<html>Bad Gateway</html>", "", False),
    "with a list": (500, "[]", "", False),
    "with causes that are none": (500, '{"details": {"causes": 5}}', "", False),
    "a way to elsewhere": (302, "", "", False),
}


@pytest.mark.parametrize(("status", "text", "reason", "ending"), REFUSALS.values(), ids=REFUSALS)
@pytest.mark.asyncio
async def test_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, text: str, reason: str, *, ending: bool
) -> None:
    async with serving(tmp_path, monkeypatch) as (server, opened):
        server.answer = web.Response(status=status, text=text)
        with pytest.raises(ApiError) as raised:
            await get(opened)
    assert (raised.value.status, raised.value.reason, raised.value.ending) == (status, reason, ending)


@pytest.mark.asyncio
async def test_nobody_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(tmp_path, monkeypatch) as (_, opened):
        write(tmp_path, "http://127.0.0.1:1", "first")
        nobody = Connection.open()
        with pytest.raises(ApiError, match="Unreachable: ClientConnectorError") as raised:
            await get(nobody)
        await nobody.close()
        assert raised.value.status == 0
        with pytest.raises(ApiError, match="TimeoutError"):
            await get(opened, seconds=0.000001)


@pytest.mark.asyncio
async def test_a_token_that_was_renewed_is_used_after_a_minute_and_after_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path, monkeypatch) as (server, opened):
        write(tmp_path, None, "second")
        await get(opened)  # the old one is still good
        server.token = "second"
        with pytest.raises(ApiError, match="401 Unauthorized"):
            await get(opened)
        await get(opened)
        write(tmp_path, None, "third")
        server.token = "third"
        monkeypatch.setattr(connection, "CREDENTIALS_SECONDS", 0.0)
        await get(opened)
    assert [headers["Authorization"] for _, _, headers, _ in server.asked] == [
        "Bearer first",
        "Bearer first",
        "Bearer second",
        "Bearer third",
    ]


@pytest.mark.asyncio
async def test_credentials_that_cannot_be_read_for_a_moment_leave_those_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path, monkeypatch) as (server, opened):
        monkeypatch.setattr(connection, "CREDENTIALS_SECONDS", 0.0)
        (tmp_path / "kubeconfig").write_text("users: [")
        assert await get(opened) == b"{}"
        (tmp_path / "kubeconfig").unlink()
        assert await get(opened) == b"{}"
        assert len(server.asked) == 2


@pytest.mark.asyncio
async def test_without_credentials_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(kopf.LoginError, match="neither a service account nor a kubeconfig"):
        Connection.open()


IN_A_POD = {
    "as the kubelet says": (
        {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "6443"},
        "10.96.0.1:6443",
    ),
    "IPv6": ({"KUBERNETES_SERVICE_HOST": "fd00::1"}, "[fd00::1]:443"),
    "where it says nothing": ({}, "kubernetes.default.svc"),
}


@pytest.mark.parametrize(("environment", "server"), IN_A_POD.values(), ids=IN_A_POD)
def test_a_pod_reaches_the_server_without_names(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], server: str
) -> None:
    for name in ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    account = kopf.ConnectionInfo(server="https://kubernetes.default.svc", token="t")
    monkeypatch.setattr(kopf, "login_with_service_account", lambda **_: account)
    found = connection.login(kopf.OperatorSettings())
    assert found is not None
    assert (found.server, found.token) == (f"https://{server}", "t")
