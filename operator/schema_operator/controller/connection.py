"""One connection to the API server: who we are, and requests with their refusals.

kopf finds the server and the credentials, as it does for its own watches; aiohttp, which kopf brings, speaks HTTP.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp
import kopf
import msgspec

from schema_operator import __version__

CONNECTIONS = 8
"""Each costs a third of a megabyte (asyncio keeps 256 KiB to read TLS into), and requests take milliseconds."""
CREDENTIALS_SECONDS = 60.0
"""How long credentials are believed: the kubelet renews the token of a service account at 80 % of its hour, and the old
one is good for what is left."""
UNAUTHORIZED = 401
NOT_FOUND = 404
CONFLICT = 409
UNPROCESSABLE = 422
_OK = range(200, 300)
_log = logging.getLogger(__name__)


class ApiError(Exception):
    """The API server said no, or could not be reached (`status` 0). The message holds no object, so no secret."""

    def __init__(self, status: int, reason: str, message: str, *, ending: bool = False) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.ending = ending
        """Whether nothing can be created because the namespace is being deleted."""
        self.reason = reason
        self.message = message


def login(settings: kopf.OperatorSettings, **_: Any) -> kopf.ConnectionInfo | None:
    """Give the API server and the credentials of the pod's service account, or else of the current kubeconfig.

    kopf's own two ways in: with others, it would import what else is installed to speak with Kubernetes. In a pod the
    server is the address that the kubelet names, so that nothing depends on the cluster's DNS.
    """
    found = kopf.login_with_service_account(settings=settings)
    if found is None:
        return kopf.login_with_kubeconfig(settings=settings)
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        return found
    return dataclasses.replace(found, server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}")


@dataclass(slots=True)
class Connection:
    """Connections to one API server, which are kept and shared."""

    _session: aiohttp.ClientSession
    _server: str
    _headers: Mapping[str, str]
    _asked: float = field(default_factory=time.monotonic)
    """When the credentials were read."""

    @classmethod
    def open(cls) -> Self:
        """Connect, from within an event loop; nothing is sent yet.

        Raises `kopf.LoginError` where there is neither a service account nor a kubeconfig.
        """
        found = _credentials()
        connector = aiohttp.TCPConnector(limit=CONNECTIONS, ssl=_tls(found))
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=found.proxy_url,
            headers={"User-Agent": f"schema-operator/{__version__}"},
        )
        return cls(session, found.server.rstrip("/"), found.as_http_headers())

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def request(
        self,
        method: str,
        path: str,
        query: Sequence[tuple[str, str]] = (),
        body: Mapping[str, Any] | None = None,
        *,
        content_type: str,
        accept: str,
        seconds: float,
    ) -> bytes:
        """Send a request, with a body as JSON; give the answer's body. `seconds` are for all of it.

        Raises `ApiError` for what is refused, and where there is no answer.
        """
        if time.monotonic() - self._asked > CREDENTIALS_SECONDS:
            self._refresh()
        headers = {"Accept": accept, **self._headers}
        data = None
        if body is not None:
            headers["Content-Type"] = content_type
            data = msgspec.json.encode(body)
        try:
            async with self._session.request(
                method,
                self._server + path,
                params=query,
                data=data,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=seconds),
                allow_redirects=False,
            ) as response:
                answer, status = await response.read(), response.status
        except (OSError, TimeoutError, aiohttp.ClientError) as error:
            raise ApiError(0, "Unreachable", type(error).__name__) from error
        if status == UNAUTHORIZED:
            self._refresh()
        if status not in _OK:
            raise _refusal(status, answer)
        return answer

    def _refresh(self) -> None:
        """Read the credentials again; where that is not possible at the moment, those there are may still be good."""
        self._asked = time.monotonic()
        try:
            self._headers = _credentials().as_http_headers()
        except Exception as error:  # noqa: BLE001 (a file that is half written: OSError, YAMLError, LoginError, ...)
            _log.warning("the credentials for the API server could not be read again: %s", type(error).__name__)


def _credentials() -> kopf.ConnectionInfo:
    found = login(kopf.OperatorSettings())
    if found is None:
        raise kopf.LoginError("there is neither a service account nor a kubeconfig")
    return found


def _tls(found: kopf.ConnectionInfo) -> ssl.SSLContext | bool:
    return found.as_ssl_context() if found.server.startswith("https:") else False


def _refusal(status: int, body: bytes) -> ApiError:
    try:
        answer = msgspec.json.decode(body)
        causes = (answer.get("details") or {}).get("causes") or ()
        ending = any(cause.get("reason") == "NamespaceTerminating" for cause in causes)
        return ApiError(status, str(answer.get("reason", "")), str(answer.get("message", "")), ending=ending)
    except (ValueError, AttributeError, TypeError):
        return ApiError(status, "", body[:200].decode(errors="replace"))
