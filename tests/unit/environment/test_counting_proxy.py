from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from dev.postgres.counting_proxy import CountingProxy

CONVERSATIONS = {
    "a question and its answer": (["a?"], 1),
    "three questions, each after the answer to the one before": (["a?", "b?", "c?"], 3),
    "what is sent before an answer comes": (["a", "b", "c?"], 1),
    "an answer longer than a packet": (["long?", "a?"], 2),
    "nothing": ([], 0),
}


@pytest.mark.parametrize(("said", "expected"), CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_counts_how_often_the_client_speaks_after_the_server(said: list[str], expected: int) -> None:
    with answering() as port, CountingProxy(port) as proxy:
        converse(proxy.port, said)
        assert (proxy.round_trips, proxy.connections) == (expected, 1)


def test_adds_up_over_connections() -> None:
    with answering() as port, CountingProxy(port) as proxy:
        converse(proxy.port, ["a?", "b?"])
        converse(proxy.port, ["a?"])
        assert (proxy.round_trips, proxy.connections) == (3, 2)


def converse(port: int, said: list[str]) -> None:
    """Say one thing after the other; one that ends in a question mark is said to be answered, and waited for."""
    with socket.create_connection(("127.0.0.1", port)) as connection, connection.makefile("rb") as heard:
        for text in said:
            connection.sendall(text.encode())
            if text.endswith("?"):
                heard.readline()
            else:
                time.sleep(0.1)  # so that it arrives apart from what follows
        connection.shutdown(socket.SHUT_WR)
        assert heard.read() == b""


@contextmanager
def answering() -> Iterator[int]:
    """A server that answers each question mark with a line."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        yield listener.getsockname()[1]


def serve(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            while data := connection.recv(65536):
                line = b"x" * 200_000 if b"long" in data else b"yes"
                connection.sendall((line + b"\n") * data.count(b"?"))
