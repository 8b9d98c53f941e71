"""Every bad input that the runner catches: the reason, the place, what the sentence says, and that nothing changes."""

from __future__ import annotations

import re
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from support.bad_input_rows import BEFORE_CONNECTING, BY_THE_CONNECTION, BY_THE_SERVER, IN_THE_HISTORY
from support.bad_inputs import (
    CLOSED,
    FORBIDDEN,
    Bad,
    World,
    require_no_secret,
    require_well_said,
    run,
    world,
)
from support.postgres import CANARY, CANARY_ENCODED, Database, Product, write
from support.relay import Relay, as_a_pooler, as_version_12

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from dev.postgres.server import PostgresServer

pytestmark = pytest.mark.postgres


def rows(table: Mapping[str, Bad]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("bad", table.values(), ids=table.keys())


class Worlds:
    """One world for all rows, or another where one has changed it: the next row is not to blame."""

    def __init__(self, make: Callable[[], AbstractContextManager[World]]) -> None:
        self._make = make
        self._stack = ExitStack()
        self.present = self._stack.enter_context(make())

    def renew_if_changed(self) -> None:
        if not self.present.is_as_before():
            self.close()
            self.present = self._stack.enter_context(self._make())

    def close(self) -> None:
        self._stack.close()


@pytest.fixture(scope="module")
def worlds(server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    made = Worlds(lambda: world(server, tmp_path_factory.mktemp("bad")))
    try:
        yield made
        assert made.present.dump() == made.present.first
    finally:
        made.close()


@pytest.fixture
def bad_world(worlds: Worlds) -> Iterator[World]:
    yield worlds.present
    worlds.renew_if_changed()


@rows(BEFORE_CONNECTING)
def test_found_before_anything_is_connected_to(tmp_path: Path, bad: Bad) -> None:
    names = {"canary": CANARY_ENCODED, "plain": CANARY}
    ended = run(bad, tmp_path, bad.uri.format(**names) if bad.uri else CLOSED)
    require_well_said(bad, ended, names)


@rows(IN_THE_HISTORY)
def test_found_in_the_history_without_touching_a_table(bad_world: World, bad: Bad) -> None:
    with bad_world.locked():
        ended = bad_world.run(bad)
    require_well_said(bad, ended, bad_world.names)
    assert bad_world.is_as_before()


@rows(BY_THE_SERVER)
def test_found_by_the_server_and_rolled_back(bad_world: World, bad: Bad) -> None:
    ended = bad_world.run(bad)
    require_well_said(bad, ended, bad_world.names)
    assert bad_world.is_as_before()


@rows(BY_THE_CONNECTION)
def test_found_while_connecting(bad_world: World, bad: Bad) -> None:
    ended = bad_world.run(bad)
    require_well_said(bad, ended, bad_world.names)


RELAYED = {
    "a pooler": (as_a_pooler, Bad(row=17, reason="PoolerDetected", says=("pooler", "the server's own address"))),
    "an old server": (as_version_12, Bad(row=18, reason="UnsupportedServer", says=("PostgreSQL 12", "13", "upgrade"))),
}


@pytest.mark.parametrize(("change", "bad"), RELAYED.values(), ids=RELAYED.keys())
def test_found_in_what_the_server_says_of_itself(bad_world: World, change: Callable[[bytes], bytes], bad: Bad) -> None:
    with Relay(("127.0.0.1", bad_world.database.server.port), change) as relay:
        uri = bad_world.database.uri_of(bad_world.owner, CANARY_ENCODED)
        ended = bad_world.run(bad, uri.replace(f":{bad_world.database.server.port}/", f":{relay.port}/"))
    require_well_said(bad, ended, bad_world.names)
    assert bad_world.is_as_before()


@pytest.mark.parametrize(
    "name",
    [
        "rows without a value",
        "rows that break a condition on names",
        "rows that point to nothing",
        "rows that are not unique",
    ],
)
def test_the_query_in_the_sentence_counts_rows(bad_world: World, name: str) -> None:
    message = bad_world.run(BY_THE_SERVER[name]).report.message
    (query,) = re.findall(r"with: (SELECT .*)$", message)
    assert bad_world.database.value(query) > 0


def test_what_exists_can_be_taken_over_where_nothing_is_recorded(
    product: Product, database: Database, tmp_path: Path
) -> None:
    database.execute("CREATE TABLE item (id int)")
    ended = product.run("--scripts", write(tmp_path / "a", {"1.4_item.up.sql": "CREATE TABLE item (id int)"}))
    assert (ended.code, ended.report.reason) == (21, "AlreadyExists")
    assert 'spec.baseline: "1.4"' in ended.report.message
    assert "--baseline 1.4" in ended.report.message


def test_a_byte_order_mark_is_no_bad_input(product: Product, database: Database, tmp_path: Path) -> None:
    folder = write(tmp_path / "a", {"1_x.up.sql": "\ufeffCREATE TABLE item (id int)"})
    assert product.run("--scripts", folder).code == 0
    assert database.relations() == ["item"]


VERIFY = {
    "a value": "SELECT name::int FROM item WHERE id = 1",
    "a raise": "DO $$ BEGIN RAISE EXCEPTION 'no %', (SELECT name FROM item WHERE id = 1); END $$",
    "a raise with words": "DO $$ BEGIN RAISE EXCEPTION 'not yet %', (SELECT name FROM item WHERE id = 1); END $$",
}


@pytest.mark.parametrize("text", VERIFY.values(), ids=VERIFY.keys())
def test_a_check_that_fails_repeats_no_value(bad_world: World, text: str) -> None:
    files = {"2_good.up.sql": "SELECT 1", "2_good.verify.sql": text}
    ended = bad_world.run(Bad(reason="VerificationFailed", says=(), files=files))
    assert (ended.code, ended.report.reason) == (21, "VerificationFailed"), ended
    require_no_secret(ended)
    assert bad_world.is_as_before()


def test_the_secrets_are_where_they_could_leak_from(bad_world: World) -> None:
    assert set(FORBIDDEN[:2]) == {*bad_world.database.rows("SELECT name, code::text FROM item WHERE id = 1")[0]}
