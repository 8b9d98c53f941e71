"""Fixtures of the fault tests."""

from support.faults import scene
from support.postgres import database, product, role, server

__all__ = ["database", "product", "role", "scene", "server"]
