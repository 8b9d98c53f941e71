"""Clusters for development: `provider(name)` gives one, wherever it comes from."""

from dev.cluster.provider import provider, running

__all__ = ["provider", "running"]
