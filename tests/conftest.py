"""Which tests run."""

import pytest

from support.versions import chosen


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what another server between the oldest and the newest runs."""
    left_out = [
        item
        for item in items
        if isinstance(item, pytest.Function)
        and item.get_closest_marker("postgres") is not None
        and not chosen(item.name, _parameters(item))
    ]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        kept = set(map(id, left_out))
        items[:] = [item for item in items if id(item) not in kept]


def _parameters(item: pytest.Function) -> dict[str, object]:
    return dict(item.callspec.params) if hasattr(item, "callspec") else {}
