"""A run is refused on another database than before, and can take everything back without any script."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from dev.postgres.packages import MAJORS

from schema_operator.api.request import DatabaseIdentity, InlineScript, Mode, Resource, RunRequest
from support.postgres import Database, Product, new_database

if TYPE_CHECKING:
    from pathlib import Path

    from dev.postgres.server import PostgresServer

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.parametrize("server", [MAJORS[-1]], indirect=True, ids=lambda major: f"postgres{major}"),
]
REQUEST = RunRequest(
    run="run-1",
    actor="shop/shop",
    resource=Resource(namespace="shop", name="shop", uid="u", generation=1),
    inline=(InlineScript(version="1", up="CREATE TABLE item ();", down="DROP TABLE item;"),),
)


def _identity(database: Database) -> DatabaseIdentity:
    ((identifier, name),) = database.rows(
        "SELECT system_identifier::text, current_database()::text FROM pg_control_system()"
    )
    return DatabaseIdentity(system_identifier=str(identifier), name=str(name))


def test_another_database_is_refused_before_anything_is_there(
    product: Product, database: Database, server: PostgresServer, tmp_path: Path
) -> None:
    here = _identity(database)
    assert here.system_identifier
    with new_database(server) as other:
        elsewhere = _identity(other)
    restored = msgspec.structs.replace(here, system_identifier="7000000000000000000")
    for expected in (elsewhere, restored):
        ended = product.request(tmp_path, msgspec.structs.replace(REQUEST, expected=expected))
        assert (ended.code, ended.report.reason) == (20, "DatabaseMoved")
        assert f"annotate --overwrite sm/shop schema-operator.dev/accept-database={here}" in ended.report.message
        assert expected.system_identifier in ended.report.message
        assert ended.report.server is not None
        assert ended.report.server.database == here.name
        assert database.rows("SELECT to_regnamespace('schema_operator')") == [(None,)]
        wrong = msgspec.structs.replace(REQUEST, expected=expected, accepted=elsewhere)
        assert product.request(tmp_path, wrong).code == 20
        meant = msgspec.structs.replace(REQUEST, expected=expected, accepted=DatabaseIdentity.parse(str(here)))
        assert product.request(tmp_path, meant).code == 0
        undone = msgspec.structs.replace(REQUEST, run="run-2", inline=(), version="0", undo=True, expected=here)
        plan = product.request(tmp_path, msgspec.structs.replace(undone, run="plan-1", mode=Mode.PLAN))
        assert plan.code == 0
        assert [one.version for one in plan.report.plan or ()] == ["1"]
        assert database.relations() == ["item"]
        ended = product.request(tmp_path, undone)
        assert (ended.code, ended.report.version, database.relations()) == (0, "0", [])
        database.execute("DROP SCHEMA schema_operator CASCADE")


def test_where_the_server_does_not_tell_who_it_is_the_name_decides(
    product: Product, database: Database, tmp_path: Path
) -> None:
    unknown = msgspec.structs.replace(_identity(database), system_identifier="")
    assert product.request(tmp_path, msgspec.structs.replace(REQUEST, expected=unknown)).code == 0
    renamed = msgspec.structs.replace(unknown, name="shop")
    ended = product.request(tmp_path, msgspec.structs.replace(REQUEST, expected=renamed))
    assert ended.report.reason == "DatabaseMoved"
