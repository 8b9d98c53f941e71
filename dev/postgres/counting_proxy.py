"""A way to a server that counts round trips: how often the client speaks after the server has spoken."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Self

_CHUNK = 65536


class CountingProxy:
    """Forwards connections to a port of this machine: `with CountingProxy(server.port) as proxy: proxy.port`.

    `connections` and `round_trips` count all that came. The first words of a client are a round trip, as it waits for
    their answer; what it sends without having heard anything since is none. TLS and passwords are round trips too.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self.connections = 0
        self.round_trips = 0
        self._counting = threading.Lock()
        self._closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.05)
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._threads[0].join()
        _cut(*self._sockets)
        for thread in self._threads:
            thread.join()
        for one in (self._listener, *self._sockets):
            one.close()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            client.settimeout(None)
            server = socket.create_connection(("127.0.0.1", self._target))
            for one in (client, server):
                # Small messages are passed on at once, or the proxy would be slower than what it measures.
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            self._sockets += [client, server]
            answered = threading.Event()
            answered.set()
            for function in (self._requests, self._answers):
                thread = threading.Thread(target=function, args=(client, server, answered))
                self._threads.append(thread)
                thread.start()

    def _requests(self, client: socket.socket, server: socket.socket, answered: threading.Event) -> None:
        with suppress(OSError):
            while data := client.recv(_CHUNK):
                if answered.is_set():
                    answered.clear()
                    with self._counting:
                        self.round_trips += 1
                server.sendall(data)
        _cut(client, server)

    def _answers(self, client: socket.socket, server: socket.socket, answered: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(_CHUNK):
                # Said before it is passed on, so that what the client says to it is counted for certain.
                answered.set()
                client.sendall(data)
        _cut(client, server)


def _cut(*sockets: socket.socket) -> None:
    for one in sockets:
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
