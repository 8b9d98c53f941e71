"""A way to a server that breaks where a test wants it: at a COMMIT, at a byte, or when the test says so."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Self

from support.wire import FLUSH, Commits, Message, Stream

_CHUNK = 65536
_PATIENCE_SECONDS = 5.0
_NO_ENCRYPTION = b"N"
_POOLED_PID = b"\x00\x00\x00\x07"


class Break(Enum):
    """When the connection breaks."""

    BEFORE_COMMIT = auto()
    """The server never sees it."""
    AFTER_COMMIT = auto()
    """The server has done it, the client never hears so."""
    FOR_GOOD = auto()
    """As AFTER_COMMIT, and no connection is taken since."""
    UNANSWERED = auto()
    """The server has done it, and the client waits for the answer."""
    WHEN_TOLD = auto()
    """Not by itself; `forget` and `cut` are there."""
    NEVER = auto()
    """It does not, but sessions are announced with a process id that is not the server's, as poolers do."""


@dataclass(frozen=True, slots=True)
class AtByte:
    """The connection breaks that carries a certain byte, of all those to the server or of all those from it."""

    to_server: bool
    offset: int


_AT_COMMIT = frozenset({Break.BEFORE_COMMIT, Break.AFTER_COMMIT, Break.FOR_GOOD, Break.UNANSWERED})


class _Stage(Enum):
    """How far the COMMIT that breaks a connection is."""

    OPEN = auto()
    SENDING = auto()
    SENT = auto()
    """What comes behind it does not reach the server."""


class _Cut(Exception):
    """The connection is to break here."""


@dataclass(slots=True, eq=False)
class _Link:
    """One connection: the client's half and the server's half."""

    client: socket.socket
    server: socket.socket
    commits: Commits = field(default_factory=Commits)
    stage: _Stage = _Stage.OPEN
    awaited: int = 0
    """COMMITs the server was sent and has not answered."""
    forgotten: bool = False
    """Whether the server is not to notice that the client has gone."""

    def cut(self) -> None:
        for one in (self.client,) if self.forgotten else (self.client, self.server):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


class Proxy:
    """Forwards connections to a port, message by message; breaks one at the COMMIT of that number, or at a byte.

    COMMITs are counted over all connections; the first one that is asked for has the number 1.
    """

    def __init__(self, port: int, fault: Break | AtByte, commit: int = 1) -> None:
        self._target = port
        self._fault = fault
        self._commit = commit
        self._commits = 0
        self._lock = threading.Lock()
        self.broken = threading.Event()
        """Set once the connection was broken, or the COMMIT that breaks it was sent."""
        self.answered = threading.Event()
        """Set once the server has answered that COMMIT."""
        self.to_server = 0
        self.to_client = 0
        """Bytes that were forwarded."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._links: list[_Link] = []
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        for link in self._links:
            link.forgotten = False
            link.cut()
        for thread in self._threads[1:]:
            thread.join()
        self._listener.close()
        for link in self._links:
            link.client.close()
            link.server.close()

    def through(self, uri: str) -> str:
        """Give the address of a database on the server, as it is reached through here."""
        return uri.replace(f":{self._target}/", f":{self.port}/")

    def cut(self) -> None:
        """Break every connection."""
        for link in self._links:
            link.cut()

    def forget(self) -> None:
        """Break the client's half of the connection that waits for its COMMIT, of all where none does.

        The server notices nothing, as when a node is lost.
        """
        for link in [link for link in self._links if link.stage is not _Stage.OPEN] or self._links:
            link.forgotten = True
            link.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.broken.is_set() and self._fault is Break.FOR_GOOD:
                client.close()
                continue
            self._open(client)

    def _open(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._target))
        except OSError:
            client.close()
            return
        for one in (client, server):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link = _Link(client, server)
        self._links.append(link)
        for function in (self._requests, self._answers):
            thread = threading.Thread(target=function, args=(link,))
            self._threads.append(thread)
            thread.start()

    def _requests(self, link: _Link) -> None:
        stream = Stream(typed=False)
        with suppress(OSError, _Cut):
            while data := link.client.recv(_CHUNK):
                for message in stream.feed(data):
                    if message.asks_for_encryption:
                        link.client.sendall(_NO_ENCRYPTION)
                    else:
                        self._send(link, self._admitted(link, message), to_server=True)
        link.cut()

    def _admitted(self, link: _Link, message: Message) -> bytes:
        """Give what the server is to see of a client's message."""
        asked = link.commits.asked(message)
        if link.stage is _Stage.SENT:
            return b""
        if asked:
            self._commits_on(link)
        if link.stage is _Stage.SENDING and message.kind in {b"Q", b"E"}:
            link.stage = _Stage.SENT
            return message.raw + (FLUSH if message.kind == b"E" else b"")
        return message.raw

    def _commits_on(self, link: _Link) -> None:
        with self._lock:
            self._commits += 1
            breaks = self._commits == self._commit and self._fault in _AT_COMMIT
        if breaks:
            if self._fault is Break.BEFORE_COMMIT:
                self._let_earlier_ones_pass(link)
            self.broken.set()
            if self._fault is Break.BEFORE_COMMIT:
                raise _Cut
            link.stage = _Stage.SENDING
        link.awaited += 1

    @staticmethod
    def _let_earlier_ones_pass(link: _Link) -> None:
        """Wait until the server has done the COMMITs before this one: it drops what is left when its client goes."""
        end = time.monotonic() + _PATIENCE_SECONDS
        while link.awaited and time.monotonic() < end:
            time.sleep(0.001)

    def _answers(self, link: _Link) -> None:
        stream = Stream(typed=True)
        with suppress(OSError, _Cut):
            while data := link.server.recv(_CHUNK):
                for message in stream.feed(data):
                    self._send(link, self._answer(link, message), to_server=False)
        link.cut()

    def _answer(self, link: _Link, message: Message) -> bytes:
        """Give what the client is to see of a server's message."""
        if self._fault is Break.NEVER and message.kind == b"K":
            return message.raw[:5] + _POOLED_PID + message.raw[9:]
        if message.committed:
            link.awaited -= 1
        elif message.kind == b"Z" and link.stage is _Stage.OPEN:
            link.awaited = 0  # those that were skipped behind an error
        if link.stage is _Stage.SENT and not link.awaited:
            self.answered.set()
            if self._fault is Break.FOR_GOOD:
                self.cut()
            if self._fault is not Break.UNANSWERED:
                raise _Cut
            return b""
        return message.raw

    def _send(self, link: _Link, data: bytes, *, to_server: bool) -> None:
        end = link.server if to_server else link.client
        before = self.to_server if to_server else self.to_client
        if to_server:
            self.to_server += len(data)
        else:
            self.to_client += len(data)
        fault = self._fault
        if isinstance(fault, AtByte) and fault.to_server == to_server and before <= fault.offset < before + len(data):
            self.broken.set()
            end.sendall(data[: fault.offset - before])
            raise _Cut
        end.sendall(data)
