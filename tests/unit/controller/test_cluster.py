"""Answers of the API server that are other than one expects."""

from __future__ import annotations

from typing import Any

import pytest

from schema_operator.controller.cluster import Cluster
from schema_operator.controller.connection import ApiError


class Answering:
    """A connection whose every answer is this."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer

    async def request(self, *_: object, **__: object) -> bytes:
        return self.answer


def cluster(answer: bytes) -> Cluster:
    connection: Any = Answering(answer)
    return Cluster(connection)


@pytest.mark.asyncio
async def test_lists_of_nothing_are_null() -> None:
    """As the API server says it of metadata alone (asPartialObjectMetadataList)."""
    nothing = cluster(b'{"metadata":{"resourceVersion":"1"},"items":null}')
    assert await nothing.migration_versions(None) == {}
    assert await nothing.jobs("shop", "a=b") == []


@pytest.mark.asyncio
async def test_what_is_no_answer_of_an_api_server_is_an_error_of_the_connection() -> None:
    page = cluster(b"<html>Welcome</html>")
    with pytest.raises(ApiError, match="something stands between") as raised:
        await page.migration("shop", "shop")
    assert raised.value.status == 0
    with pytest.raises(ApiError):
        await page.jobs("shop", "a=b")
