"""A request arrives as it was sent."""

import gzip
import json

import msgspec
import pytest

from schema_operator.api.request import (
    Acknowledgement,
    BatchLimits,
    ChecksumPolicy,
    InlineScript,
    LockLimits,
    Requirements,
    Resource,
    RunRequest,
    TransactionMode,
    Verification,
    encode,
    pack,
    unpack,
)

REQUEST = RunRequest(
    run="shop-1",
    actor="shop/shop",
    resource=Resource(namespace="shop", name="shop", uid="u", generation=3),
    inline=(
        InlineScript(
            version="1.0.0",
            up="SELECT 'ü %s {} $1 :x \\';\r\n",
            down="SELECT 1",
            transaction=TransactionMode.NEVER,
        ),
    ),
    version="1.0.0",
    verify=(Verification(name="v", sql="SELECT 1", expect="1"),),
    checksums=ChecksumPolicy.WARN,
    locks=LockLimits(max_stall_seconds=0.25, give_up_seconds=5.0, show_queries=True),
    variables={"SCHEMA": "it's", "empty": ""},
    requires=Requirements(versions=("1",), extensions=("uuid-ossp",)),
    baseline="0.9",
    allow=(Acknowledgement.EMPTY_SCRIPT, Acknowledgement.COPY_DATA),
    batches=BatchLimits(target_seconds=0.05, max_size=700),
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
        (b'{"run": "r", "actor": "a", "allow": ["Everything"]}', msgspec.ValidationError),
        (b'{"run": "r", "actor": "a", "checksums": "Ignore"}', msgspec.ValidationError),
        (b'{"run": "r", "actor": "a", "locks": {"maxStallSeconds": "1s"}}', msgspec.ValidationError),
        (b'{"run": "r", "actor": "a", "locks": {"maxStallSeconds": 0}}', msgspec.ValidationError),
        (b'{"run": "r", "actor": "a", "locks": {"giveUpSeconds": -1}}', msgspec.ValidationError),
        (b'{"run": "r", "actor": "a", "batches": {"minSize": 5, "maxSize": 4}}', msgspec.ValidationError),
        (b'{"run": "r", "actor": "a", "batches": {"minSize": 0}}', msgspec.ValidationError),
        (b'{"run": "r", "actor": "a", "batches": {"targetSeconds": 0}}', msgspec.ValidationError),
        (b'{"run": "r", "actor": "a", "requires": {"version": ["1"]}}', msgspec.ValidationError),
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
