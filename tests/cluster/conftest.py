"""Everything below here needs a real cluster."""

import pathlib

import pytest

from support.cluster import cluster
from support.operator import operator, server_port, shop

__all__ = ["cluster", "operator", "server_port", "shop"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = pathlib.Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.cluster)
