"""Fixtures of the tests on real servers."""

from support.postgres import database, product, role, server

__all__ = ["database", "product", "role", "server"]
