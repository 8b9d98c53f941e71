"""The proxy of the fault tests finds COMMITs in whatever form a client asks for them."""

from __future__ import annotations

import pytest

from support.wire import SSL_REQUEST, Commits, Stream


def message(kind: str, *parts: str) -> bytes:
    body = "".join(f"{part}\0" for part in parts).encode()
    return kind.encode() + (len(body) + 4).to_bytes(4) + body


STARTUP = (8).to_bytes(4) + (196608).to_bytes(4)
SSL = (8).to_bytes(4) + SSL_REQUEST.to_bytes(4)
QUERIES = {
    "COMMIT": True,
    "commit;": True,
    "INSERT INTO a VALUES (1); COMMIT": True,
    "SELECT 'COMMIT'": False,
    "COMMIT PREPARED 'x'": False,
    "ON COMMIT": False,
    "ROLLBACK": False,
}


@pytest.mark.parametrize(("text", "commits"), QUERIES.items())
def test_commit_in_a_query(text: str, commits: bool) -> None:
    (one,) = Stream(typed=True).feed(message("Q", text))
    assert Commits().asked(one) is commits


@pytest.mark.parametrize("name", ["", "c"])
def test_commit_is_asked_for_where_a_prepared_one_is_bound(name: str) -> None:
    sent = message("P", name, "COMMIT") + message("P", "other", "SELECT 1") + message("B", "", "other")
    sent += message("B", "", name) + message("E", "") + message("S")
    commits = Commits()
    assert [one.kind for one in Stream(typed=True).feed(sent) if commits.asked(one)] == [b"B"]
    (again,) = Stream(typed=True).feed(message("B", "", name))
    assert commits.asked(again)


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_messages_are_found_however_they_come(size: int) -> None:
    sent = SSL + STARTUP + message("Q", "SELECT 1") + message("Q", "COMMIT")
    stream = Stream(typed=False)
    pieces = [sent[start : start + size] for start in range(0, len(sent), size)]
    found = [one for piece in pieces for one in stream.feed(piece)]
    assert [one.kind for one in found] == [b"", b"", b"Q", b"Q"]
    assert [one.asks_for_encryption for one in found] == [True, False, False, False]
    assert b"".join(one.raw for one in found) == sent
