"""A client that is far away: what becomes of it, the server hears only after a while."""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import suppress
from typing import Self

_CHUNK = 65536
_RESET_WHEN_CLOSED = struct.pack("ii", 1, 0)
"""SO_LINGER: on, for no time."""


class FarAway:
    """Forwards one connection to a port. When its client has gone, the end of the stream is passed on at once.

    The reset, with which a machine answers what it is sent for a process that is no more, comes after `seconds`, which
    is as long as the way there and back takes.
    """

    def __init__(self, port: int, seconds: float) -> None:
        self._target = port
        self._seconds = seconds
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def through(self, uri: str) -> str:
        """Give the address of a database on the server, as it is reached through here."""
        return uri.replace(f":{self._target}/", f":{self.port}/")

    def _run(self) -> None:
        client, _ = self._listener.accept()
        with client, socket.create_connection(("127.0.0.1", self._target)) as server:
            gone = threading.Event()
            requests = threading.Thread(target=self._requests, args=(client, server, gone))
            requests.start()
            with suppress(OSError):
                while (data := server.recv(_CHUNK)) and not gone.is_set():
                    client.sendall(data)
            requests.join()
            # The client has gone, and the server has just sent it something.
            time.sleep(self._seconds)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_WHEN_CLOSED)

    @staticmethod
    def _requests(client: socket.socket, server: socket.socket, gone: threading.Event) -> None:
        with suppress(OSError):
            while data := client.recv(_CHUNK):
                server.sendall(data)
        gone.set()
        with suppress(OSError):
            server.shutdown(socket.SHUT_WR)
