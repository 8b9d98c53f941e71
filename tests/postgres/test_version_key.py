"""The order of versions in the database is the order in the program."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schema_operator.api.version import MAX_LENGTH, ROLLBACK_SUFFIX, Version
from support.postgres import Product, new_database, write
from unit.api.test_version import CHAINS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import psycopg
    from dev.postgres.server import PostgresServer

pytestmark = pytest.mark.postgres

NUMBERS = st.sampled_from(["0", "00", "1", "01", "2", "9", "10", "99", "100", "20260101120000", "9" * 20])
WORDS = st.text(st.sampled_from("-09aAzZ"), min_size=1, max_size=4) | NUMBERS
DOTTED = st.lists(WORDS, min_size=1, max_size=3).map(".".join)
VERSIONS = (
    st.tuples(
        st.lists(NUMBERS, min_size=1, max_size=4).map(".".join),
        st.just("") | DOTTED.map("-{}".format),
        st.just("") | DOTTED.map("+{}".format),
    )
    .map("".join)
    .filter(lambda text: len(text) <= MAX_LENGTH and not text.partition("+")[0].endswith(ROLLBACK_SUFFIX))
)
ORDER = (
    'SELECT a COLLATE "C" < b COLLATE "C", a = b FROM (SELECT schema_operator.version_key(%s) AS a, '
    "schema_operator.version_key(%s) AS b) AS keys"
)


@pytest.fixture(scope="module")
def connection(server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[psycopg.Connection[Any]]:
    with new_database(server) as database:
        folder: Path = write(tmp_path_factory.mktemp("scripts") / "a", {"1_x.up.sql": "SELECT 1;"})
        assert Product(database).run("--scripts", folder).code == 0
        with database.connect() as connected:
            yield connected


def order(connection: psycopg.Connection[Any], one: str, other: str) -> tuple[bool, bool]:
    """Say whether a version is lower than another, and whether they are the same, by their keys."""
    found = connection.execute(ORDER.encode(), [one, other]).fetchone()
    assert found is not None
    return found[0], found[1]


@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(VERSIONS, VERSIONS)
def test_two_versions_are_in_the_same_order(connection: psycopg.Connection[Any], one: str, other: str) -> None:
    first, second = Version.parse(one), Version.parse(other)
    assert order(connection, one, other) == (first < second, first == second)


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
def test_those_of_semver_are_in_their_order(connection: psycopg.Connection[Any], chain: tuple[str, ...]) -> None:
    for lower, higher in pairwise(chain):
        assert order(connection, lower, higher) == (True, False)


NO_VERSIONS = ["", "v1", "1.", ".1", "1..2", "1.0-", "1.0+", "1.0-a..b", "1.0 ", "1.0\n", "1-ä", "1." + "0" * 40]


@pytest.mark.parametrize("text", NO_VERSIONS)
def test_what_is_no_version_has_no_key(connection: psycopg.Connection[Any], text: str) -> None:
    found = connection.execute("SELECT schema_operator.version_key(%s)", [text]).fetchone()
    assert found == (None,)


def test_the_key_is_the_same_under_any_search_path_and_any_rule_for_strings(
    connection: psycopg.Connection[Any],
) -> None:
    expected = connection.execute("SELECT schema_operator.version_key('1.10.0-rc.2')").fetchone()
    with connection.transaction(force_rollback=True):
        connection.execute("SET LOCAL search_path = ''; SET LOCAL standard_conforming_strings = off")
        found = connection.execute("SELECT schema_operator.version_key('1.10.0-rc.2')").fetchone()
    assert found == expected
