"""Messages of PostgreSQL's protocol, cut out of what comes over a socket (documentation: "Message Formats")."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

SSL_REQUEST = 80877103
GSS_REQUEST = 80877104
CANCEL_REQUEST = 80877102
FLUSH = b"H\x00\x00\x00\x04"
"""Asks the server to send what it has answered so far."""
_COMMIT = re.compile(rb"(?:^|;)\s*COMMIT\s*;?\s*\Z", re.IGNORECASE)
_LENGTH = 4


@dataclass(frozen=True, slots=True)
class Message:
    """One message: its kind is empty before a session has begun, else one letter."""

    raw: bytes
    kind: bytes

    @property
    def body(self) -> bytes:
        return self.raw[len(self.kind) + _LENGTH :]

    @property
    def code(self) -> int:
        """What a message without a kind asks for."""
        return int.from_bytes(self.body[:4])

    @property
    def begins_session(self) -> bool:
        return not self.kind and self.code not in {SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST}

    @property
    def asks_for_encryption(self) -> bool:
        return not self.kind and self.code in {SSL_REQUEST, GSS_REQUEST}

    @property
    def committed(self) -> bool:
        """Whether a server says so that it has committed."""
        return self.kind == b"C" and self.body == b"COMMIT\0"


@dataclass(slots=True)
class Stream:
    """One direction of a connection, cut into messages."""

    typed: bool
    """Whether messages have a kind: a client's have none until its session begins."""
    _rest: bytes = b""

    def feed(self, data: bytes) -> list[Message]:
        """Give the messages that are complete now; what is not stays for the next call."""
        self._rest += data
        messages = []
        while (size := self._size()) and len(self._rest) >= size:
            message = Message(self._rest[:size], self._rest[:1] if self.typed else b"")
            self._rest = self._rest[size:]
            self.typed = self.typed or message.begins_session
            messages.append(message)
        return messages

    def _size(self) -> int:
        kind = 1 if self.typed else 0
        length = self._rest[kind : kind + _LENGTH]
        return kind + int.from_bytes(length) if len(length) == _LENGTH else 0


@dataclass(slots=True)
class Commits:
    """Finds where a client asks for COMMIT: in a query of the simple protocol, or by binding a prepared statement."""

    _prepared: dict[bytes, bool] = field(default_factory=dict)

    def asked(self, message: Message) -> bool:
        """Say whether what begins with this message commits. Must see every message of the client."""
        match message.kind:
            case b"Q":
                return _commits(message.body.rstrip(b"\0"))
            case b"P":
                name, text, *_ = message.body.split(b"\0", 2)
                self._prepared[name] = _commits(text)
            case b"B":
                _, name, *_ = message.body.split(b"\0", 2)
                return self._prepared.get(name, False)
            case _:
                pass
        return False


def _commits(text: bytes) -> bool:
    return _COMMIT.search(text) is not None
