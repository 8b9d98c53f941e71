"""A request arrives as it was sent."""

import gzip
import json

import msgspec
import pytest

from schema_operator.api.request import InlineScript, Resource, RunRequest, Verification, encode, pack, unpack

REQUEST = RunRequest(
    run="shop-1",
    actor="shop/shop",
    resource=Resource(namespace="shop", name="shop", uid="u", generation=3),
    inline=(InlineScript(version="1.0.0", up="SELECT 'ü %s {} $1 :x \\';\r\n", down="SELECT 1"),),
    version="1.0.0",
    verify=(Verification(name="v", sql="SELECT 1", expect="1"),),
)


def test_packed_and_plain_requests_are_read_alike() -> None:
    assert unpack(pack(REQUEST).encode()) == REQUEST
    assert unpack(encode(REQUEST)) == REQUEST


def test_the_same_request_is_packed_alike() -> None:
    assert pack(REQUEST) == pack(REQUEST)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b'{"run": "r", "actor": "a", "versoin": "1"}', msgspec.ValidationError),
        (b'{"run": 1, "actor": "a"}', msgspec.ValidationError),
        (b"{", msgspec.DecodeError),
        (b"not base64!", ValueError),
        (b"bm90IGd6aXA=", gzip.BadGzipFile),
    ],
)
def test_what_is_no_request_is_refused(text: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        unpack(text)


def test_names_in_json_are_those_of_kubernetes() -> None:
    assert "outOfOrder" not in json.loads(encode(REQUEST))
    assert json.loads(encode(msgspec.structs.replace(REQUEST, lock_wait_seconds=1)))["lockWaitSeconds"] == 1
