"""Fixtures of the fault tests."""

from support.disk import tablespace
from support.faults import scene
from support.loops import loop
from support.postgres import database, product, role, server

__all__ = ["database", "loop", "product", "role", "scene", "server", "tablespace"]
