"""Stands between a client and a server, and changes what the server says of itself.

Run as a program (HOST PORT) it is that in a cluster, on `POOLER_PORT` and `OLD_SERVER_PORT`; so it imports nothing that
an image of the product does not have.
"""

from __future__ import annotations

import re
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Self

POOLER_PORT = 6432
OLD_SERVER_PORT = 5412


class Relay:
    """Forwards connections to a server, and changes what it answers."""

    def __init__(
        self, target: tuple[str, int], change: Callable[[bytes], bytes], listen: tuple[str, int] = ("127.0.0.1", 0)
    ) -> None:
        self._target, self._change = target, change
        self._listener = socket.create_server(listen)
        self.port: int = self._listener.getsockname()[1]
        self._open = [self._listener]
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self.wait()
        for one in self._open:
            one.close()

    def wait(self) -> None:
        """Wait until it forwards nothing any more."""
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                self._open += [client, server]
                self._forward(client, server, lambda data: data)
                self._forward(server, client, self._change)

    def _forward(self, source: socket.socket, sink: socket.socket, change: Callable[[bytes], bytes]) -> None:
        thread = threading.Thread(target=_pump, args=(source, sink, change))
        self._threads.append(thread)
        thread.start()


def _pump(source: socket.socket, sink: socket.socket, change: Callable[[bytes], bytes]) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(change(data))
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)


def as_a_pooler(data: bytes) -> bytes:
    """Announce another process id than the server's (BackendKeyData)."""
    return re.sub(
        rb"(K\x00\x00\x00[\x0c-\xff])....", lambda found: found[1] + b"\x00\x00\x00\x07", data, flags=re.DOTALL
    )


def as_version_12(data: bytes) -> bytes:
    """Announce an older server (ParameterStatus)."""
    return re.sub(rb"(server_version\x00)\d\d", rb"\g<1>12", data)


def main() -> None:
    """Relay until somebody ends it."""
    host, port = sys.argv[1:]
    with ExitStack() as relays:
        for listen, change in ((POOLER_PORT, as_a_pooler), (OLD_SERVER_PORT, as_version_12)):
            relay = relays.enter_context(Relay((host, int(port)), change, ("0.0.0.0", listen)))  # noqa: S104 (a pod's)
        relay.wait()


if __name__ == "__main__":
    main()
