"""Which tests run."""

import pytest

from support.versions import left_out


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what runs on another of the older servers."""
    on_servers = [item for item in items if item.get_closest_marker("postgres") is not None]
    places = left_out((item.nodeid, _parameters(item)) for item in on_servers)
    elsewhere = [on_servers[place] for place in places]
    if elsewhere:
        config.hook.pytest_deselected(items=elsewhere)
        known = set(map(id, elsewhere))
        items[:] = [item for item in items if id(item) not in known]


def _parameters(item: pytest.Item) -> dict[str, object]:
    return dict(item.callspec.params) if hasattr(item, "callspec") else {}
