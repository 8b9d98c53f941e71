"""`mode: Inspect`: what the server is and what is applied; no lock is taken, nothing is installed or written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from schema_operator.api.history_state import NOTHING_APPLIED
from schema_operator.api.report import Outcome, RunReport
from schema_operator.api.request import InlineScript, Mode, Resource, RunRequest
from schema_operator.history import installation
from schema_operator.postgres.guard import GUARD, LOCK_CLASS
from support.postgres import CANARY_ENCODED, OLDEST_AND_NEWEST, Database, Product
from support.psql import run as psql
from support.released import install_released

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.postgres, OLDEST_AND_NEWEST]

OWNER = "shop/shop"
SCRIPTS = tuple(
    InlineScript(version=f"1.{one}.0", up=f"CREATE TABLE t{one} ();", down=f"DROP TABLE t{one};") for one in range(3)
)


def inspect(product: Product, folder: Path, uri: str | None = None, *owners: str) -> tuple[int, RunReport]:
    """Inspect, and see that everything in the database is as it was."""
    before = product.database.dump()
    ended = product.request(folder, RunRequest(run="i", actor="x", mode=Mode.INSPECT, owners=owners), uri)
    assert product.database.dump() == before
    return ended.code, ended.report


def migrate(
    product: Product, folder: Path, version: str | None = None, owner: str = OWNER, count: int = 3
) -> RunReport:
    namespace, _, name = owner.partition("/")
    resource = Resource(namespace=namespace, name=name, uid="u", generation=1)
    request = RunRequest(run="r", actor=owner, resource=resource, inline=SCRIPTS[:count], version=version)
    return product.request(folder, request).report


def test_an_inspection_reads_what_a_run_has_left(product: Product, database: Database, tmp_path: Path) -> None:
    code, report = inspect(product, tmp_path, None, OWNER)
    assert (code, report.message) == (0, "No version is applied.")
    assert database.value("SELECT to_regnamespace('schema_operator') IS NULL")
    assert report.server is not None
    assert (report.server.database, report.server.version.split(".")[0]) == (database.name, str(database.server.major))
    assert report.history is not None
    assert [(one.owner, one.digest) for one in report.history.owners] == [(OWNER, NOTHING_APPLIED)]

    # Applied, rolled back, applied again, another owner: always the same fingerprints from both.
    left = [migrate(product, tmp_path), migrate(product, tmp_path, "1.0.0"), migrate(product, tmp_path)]
    other = RunRequest(
        run="o",
        actor="shop/other",
        resource=Resource(namespace="shop", name="other"),
        inline=(InlineScript(version="7", up="SELECT 1;"),),
    )
    left.append(product.request(tmp_path, other).report)
    assert [(one.wanted, one.pending) for one in left] == [("1.2.0", 0), ("1.0.0", 0), ("1.2.0", 0), ("7", 0)]
    code, report = inspect(product, tmp_path, None, OWNER, "shop/none")
    assert (code, report.message) == (0, "4 versions are applied; the highest is 7 (of shop/other).")
    last = left[-1].history
    assert report.history is not None
    assert last is not None
    assert report.history.digest == last.digest
    found = {one.owner: one.digest for one in report.history.owners}
    assert found == {one.owner: one.digest for one in last.owners} | {"shop/none": NOTHING_APPLIED}
    assert left[2].history is not None
    assert found[OWNER] == left[2].history.owners[0].digest

    psql(database, "SET schema_operator.owner = 'shop/shop'; CALL schema_operator.record_rollback('1.2.0')")
    _, report = inspect(product, tmp_path, None, OWNER)
    assert report.history is not None
    assert report.history.owners[0].digest not in {found[OWNER], NOTHING_APPLIED}


def test_an_inspection_waits_for_no_run(product: Product, database: Database, tmp_path: Path) -> None:
    migrate(product, tmp_path, count=1)
    with database.connect("a run") as guard:
        guard.execute(f"SELECT pg_advisory_lock({LOCK_CLASS}, {GUARD})".encode())
        code, report = inspect(product, tmp_path)
    assert (code, report.outcome) == (0, Outcome.DONE)


def test_an_older_control_schema_is_read_and_not_upgraded(product: Product, database: Database, tmp_path: Path) -> None:
    install_released(database)
    code, report = inspect(product, tmp_path, None, OWNER)
    assert code == 0
    assert report.history is not None
    assert (report.history.versions, report.history.version, report.history.owner) == (1, "1", OWNER)
    assert database.rows("SELECT version FROM schema_operator.control_versions") == [("1",)]


def test_what_would_refuse_every_run_is_said(product: Product, database: Database, role: str, tmp_path: Path) -> None:
    uri = database.uri_of(role, CANARY_ENCODED)
    code, report = inspect(product, tmp_path, uri)
    assert (code, report.reason, report.server is not None) == (20, "PermissionDenied", True)
    assert f'GRANT CREATE ON DATABASE "{database.name}" TO' in report.message
    migrate(product, tmp_path, count=2)
    for grant, readable in (
        ("SELECT 1", False),
        (f"GRANT USAGE ON SCHEMA schema_operator TO {role}", False),
        (f"GRANT SELECT ON ALL TABLES IN SCHEMA schema_operator TO {role}", True),
    ):
        database.execute(grant)
        code, report = inspect(product, tmp_path, uri)
        assert (code, report.reason) == (20, "PermissionDenied")
        assert "GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA schema_operator" in report.message
        assert (report.history is not None) is readable, "what may be read is told all the same"
    database.execute(f"GRANT INSERT ON ALL TABLES IN SCHEMA schema_operator TO {role}")
    code, report = inspect(product, tmp_path, uri)
    assert (code, report.message) == (0, "2 versions are applied; the highest is 1.1.0 (of shop/shop).")

    database.execute(f"ALTER ROLE {role} SET default_transaction_read_only = on")  # all that libpq sees of a standby
    code, report = inspect(product, tmp_path, uri)
    assert (code, report.reason) == (10, "NotPrimary")

    newer = int(installation.newest().text) + 1
    database.execute(
        f"UPDATE schema_operator.control_versions SET version = '{newer}' WHERE version <> '1'"
        f" AND version = '{installation.newest()}'"
    )
    code, report = inspect(product, tmp_path)
    assert (code, report.reason) == (20, "ControlSchemaNewer")


def test_ahead_of_what_was_left_nothing_is_rolled_back_unless_asked(
    product: Product, database: Database, tmp_path: Path
) -> None:
    migrate(product, tmp_path)
    resource = Resource(namespace="shop", name="shop", uid="u", generation=1)
    request = RunRequest(
        run="m", actor=OWNER, resource=resource, inline=SCRIPTS[:1], version="1.0.0", only_forward=True
    )
    ended = product.request(tmp_path, request)
    assert (ended.code, ended.report.reason, ended.report.version) == (20, "HistoryAhead", "1.2.0")
    assert database.applied() == ["1.0.0", "1.1.0", "1.2.0"]
    assert migrate(product, tmp_path, "1.0.0").versions == ("1.2.0", "1.1.0")
