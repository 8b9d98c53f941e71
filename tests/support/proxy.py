"""A way to a server that breaks at COMMIT, before or after the server has done it."""

from __future__ import annotations

import re
import socket
import threading
from contextlib import suppress
from enum import Enum, auto
from typing import Self

_COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"
"""The message of the simple protocol (PostgreSQL documentation, "Message Formats")."""
_BACKEND_KEY = re.compile(rb"(K\x00\x00\x00\x0c)....", re.DOTALL)
_CHUNK = 65536


class Break(Enum):
    """When the connection breaks."""

    BEFORE_COMMIT = auto()
    """The server never sees it."""
    AFTER_COMMIT = auto()
    """The server has done it, the client never hears so."""
    FOR_GOOD = auto()
    """As AFTER_COMMIT, and no connection is taken since."""
    NEVER = auto()
    """It does not, but sessions are announced with a process id that is not the server's, as poolers do."""


class Proxy:
    """Forwards connections to a port; the first COMMIT breaks the connection it comes on."""

    def __init__(self, port: int, when: Break) -> None:
        self._target = port
        self._when = when
        self.broken = threading.Event()
        self._closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.05)
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._committing: list[tuple[socket.socket, socket.socket]] = []
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._cut(*self._sockets)
        for thread in self._threads:
            thread.join()
        self._listener.close()
        for one in self._sockets:
            one.close()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            if self.broken.is_set() and self._when is Break.FOR_GOOD:
                client.close()
                continue
            client.settimeout(None)
            server = socket.create_connection(("127.0.0.1", self._target))
            self._sockets += [client, server]
            for function in (self._requests, self._answers):
                thread = threading.Thread(target=function, args=(client, server))
                self._threads.append(thread)
                thread.start()

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(_CHUNK):
                if data == _COMMIT and self._when is not Break.NEVER and not self.broken.is_set():
                    self._break(client, server)
                    return
                server.sendall(data)
        self._cut(client, server)

    def _answers(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(_CHUNK):
                if b"COMMIT\x00" in data and self.broken.is_set() and self._when is not Break.BEFORE_COMMIT:
                    break
                client.sendall(_pooled(data) if self._when is Break.NEVER else data)
        self._cut(client, server)

    def _break(self, client: socket.socket, server: socket.socket) -> None:
        self.broken.set()
        if self._when is Break.BEFORE_COMMIT:
            self._cut(client, server)
        else:
            self._committing.append((client, server))
            server.sendall(_COMMIT)
        if self._when is Break.FOR_GOOD:
            self._cut(*(one for one in self._sockets if one is not server))

    def forget(self) -> None:
        """Break the client's half of the connection that waits for its COMMIT; the server notices nothing."""
        for client, _ in self._committing:
            self._cut(client)

    @staticmethod
    def _cut(*sockets: socket.socket) -> None:
        for one in sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


def _pooled(data: bytes) -> bytes:
    return _BACKEND_KEY.sub(lambda found: found[1] + b"\x00\x00\x00\x07", data)
