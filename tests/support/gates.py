"""Places in a script at which a run waits as long as a test wants, so that no moment can be missed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from support.operator import PATIENCE, Shop, connect

# Asks again and again without waiting in line, so that no limit for locks ends it.
_PASSES = """
    CREATE FUNCTION public.passes(gate int) RETURNS boolean LANGUAGE plpgsql AS $$
    BEGIN
        WHILE NOT pg_catalog.pg_try_advisory_xact_lock_shared(4711, gate) LOOP
            PERFORM pg_catalog.pg_sleep(0.02);
        END LOOP;
        RETURN true;
    END $$
"""
_WAITS = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep')"


def passes(gate: int) -> str:
    """Give a query that finds true, once the gate is open."""
    return f"SELECT public.passes({gate})"


def with_gates(shop: Shop) -> None:
    """Let scripts in a shop's database have gates."""
    shop.query(_PASSES)


@contextmanager
def shut(shop: Shop, gate: int) -> Iterator[None]:
    """Keep a gate shut."""
    with connect(shop.port, shop.database) as connection:
        connection.execute("SELECT pg_advisory_lock(4711, %s)", [gate])
        yield


def until_at_gate(shop: Shop) -> None:
    """Wait until a run is at a gate that is shut."""
    deadline = time.monotonic() + PATIENCE
    while shop.query(_WAITS) != [(True,)]:
        assert time.monotonic() < deadline, "no run has come to the gate"
        time.sleep(0.05)
