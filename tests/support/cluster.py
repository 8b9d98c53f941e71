"""The cluster of a test run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from dev.cluster import provider, running
from dev.image import image

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dev.cluster.kubectl import Cluster

NAME = "test"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A cluster named `test` from whatever $CLUSTER says, which has the image of this checkout.

    It is deleted at the end if it was created here, unless $KEEP_CLUSTER is set: a kept one makes the next run shorter.
    """
    found = running(NAME)
    made = provider(NAME)
    try:
        made.create()
        if not os.environ.get("IMAGE"):
            made.load_docker_image(image())
        yield made
    finally:
        if not found and not os.environ.get("KEEP_CLUSTER"):
            made.delete()
