"""Every query of ours is one that every server takes: failures of some are swallowed, because others matter more."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from schema_operator.postgres.keys import QUERIES as KEYS
from schema_operator.postgres.session import QUERIES
from schema_operator.runner.enquiry import QUERIES as ENQUIRIES

if TYPE_CHECKING:
    from psycopg import sql

    from support.postgres import Database

pytestmark = pytest.mark.postgres

_NAMES = re.compile(r"%\(([a-z_]+)\)s")
_FILLED_IN = re.compile(r"(?<!\{)\{[a-z_]+\}")
SINCE = {"copy_activity": 14}
"""The first server that is asked."""
ASKED = {
    **{f"enquiry {name}": one for name, one in ENQUIRIES.items()},
    **{f"keys {name}": one for name, one in KEYS.items()},
    **QUERIES,
}


def test_the_server_takes_every_query_that_is_no_format(database: Database) -> None:
    """What is filled into formats is tested where it is done."""
    asked = {name: one for name, one in ASKED.items() if not _FILLED_IN.search(one.as_string(None))}
    assert {"blockers", "lockers", "cancel_autovacuum", "activity", "copy_activity"} <= asked.keys()
    assert {"standbys", "long_transactions", "may_see_others"} <= asked.keys()
    assert {"keys tables", "keys column", "enquiry primary_key"} <= asked.keys()
    with database.connect() as connection:
        for name, query in asked.items():
            if database.server.major >= SINCE.get(name, 0):
                _try(connection, name, query)


def _try(connection: psycopg.Connection[Any], name: str, query: sql.SQL) -> None:
    parameters: dict[str, Any] = dict.fromkeys(_NAMES.findall(query.as_string(None)))
    try:
        with connection.transaction(force_rollback=True):
            connection.execute("SET LOCAL search_path = pg_catalog; SET LOCAL schema_operator.search_path = pg_catalog")
            connection.execute(query, parameters)
    except psycopg.Error as error:
        pytest.fail(f"{name}: {error}")
