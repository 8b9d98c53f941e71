"""A database that had versions before its history began: they are recorded once, run never, and can be rolled back."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest

from schema_operator.api import request as requests
from schema_operator.api.request import Resource, RunRequest, ScriptFolder, TransactionMode
from schema_operator.api.version import Version
from schema_operator.history import store
from schema_operator.history.records import Author, Change, StoredScripts
from support.postgres import Database, Ended, Product, finish, write
from support.proxy import Break, Proxy

if TYPE_CHECKING:
    from pathlib import Path

    from psycopg import Connection, sql

    from schema_operator.postgres.session import Session

pytestmark = pytest.mark.postgres

FILES = {
    "1_x.up.sql": "CREATE TABLE x ();",
    "1_x.down.sql": "DROP TABLE x;",
    "2_y.up.sql": "CREATE TABLE y ();",
    "2_y.down.sql": "DROP TABLE y;",
    "3_z.up.sql": "CREATE TABLE z ();",
    "3_z.down.sql": "DROP TABLE z;",
}
RECORDED = "Recorded 1, 2 as applied, without running (baseline)."


@pytest.fixture
def request_of(database: Database, tmp_path: Path) -> RunRequest:
    """A request with baseline 2, for a database in which versions 1 and 2 are, without a history of them."""
    database.execute(f"{FILES['1_x.up.sql']}{FILES['2_y.up.sql']}")
    return RunRequest(
        run="run-1",
        actor="alice",
        resource=Resource(namespace="shop", name="shop", uid="u-1"),
        folders=(ScriptFolder(path=str(write(tmp_path / "scripts", FILES)), label="cm"),),
        baseline="2.0",
    )


def _other(request: RunRequest, **fields: object) -> RunRequest:
    return msgspec.structs.replace(request, **fields)


def _own(name: str) -> Resource:
    return Resource(namespace="shop", name=name)


def test_an_existing_schema_is_recorded_and_what_is_newer_is_applied(
    product: Product, database: Database, tmp_path: Path, request_of: RunRequest
) -> None:
    ended = product.request(tmp_path, request_of)
    assert (ended.code, ended.report.action, ended.report.versions) == (0, "Apply", ("3",)), ended
    assert (ended.report.version_before, ended.report.version) == ("0", "3")
    assert ended.report.message == f"{RECORDED} Applied 3. The schema is at version 3."
    assert database.applied() == ["1", "2", "3"]
    events = "SELECT event, version, actor, run, resource_uid FROM schema_operator.events WHERE event <> 'Installed'"
    assert database.rows(f"{events} ORDER BY id") == [
        ("Baselined", "1", "alice", "run-1", "u-1"),
        ("Baselined", "2", "alice", "run-1", "u-1"),
        ("Applied", "3", "alice", "run-1", "u-1"),
    ]
    checksum = hashlib.sha256(FILES["1_x.up.sql"].encode()).hexdigest()
    columns = "version, description, script_name, checksum, applied_by"
    assert database.rows(f"SELECT {columns} FROM schema_operator.applied_versions LIMIT 1") == [
        ("1", "x", "cm/1_x.up.sql", checksum, "alice")
    ]
    times = "SELECT count(DISTINCT applied_at) FROM schema_operator.schema_versions WHERE version IN ('1', '2')"
    assert database.value(times) == 1, "all in one transaction"


def test_a_baseline_alone_does_nothing_else_and_again_does_nothing(
    product: Product, database: Database, tmp_path: Path, request_of: RunRequest
) -> None:
    ended = product.request(tmp_path, _other(request_of, version="2"))
    assert (ended.code, ended.report.action, ended.report.versions) == (0, "None", ())
    assert ended.report.message == f"{RECORDED} The schema is at version 2."
    before = database.dump()
    again = product.request(tmp_path, _other(request_of, version="2", run="run-2"))
    assert again.report.message == "Nothing to do. The schema is at version 2."
    assert database.dump() == before


def test_what_was_recorded_is_rolled_back_and_then_applied_not_recorded(
    product: Product, database: Database, tmp_path: Path, request_of: RunRequest
) -> None:
    assert product.request(tmp_path, request_of).code == 0
    back = product.request(tmp_path, _other(request_of, version="0"))
    assert (back.code, back.report.versions) == (0, ("3", "2", "1"))
    assert database.relations() == []
    ended = product.request(tmp_path, request_of)
    assert (ended.code, ended.report.versions) == (0, ("1", "2", "3"))
    assert database.relations() == ["x", "y", "z"]


def test_an_empty_history_and_one_of_others_are_no_history_of_these_scripts(
    product: Product, database: Database, tmp_path: Path, request_of: RunRequest
) -> None:
    other = write(tmp_path / "other", {"0.5_o.up.sql": "SELECT 1;"})
    assert product.run("--scripts", other, "--as", "shop/other").code == 0
    database.execute("TRUNCATE schema_operator.schema_versions CASCADE")
    assert product.run("--scripts", other, "--as", "shop/other").code == 0
    ended = product.request(tmp_path, request_of)
    assert (ended.code, ended.report.versions) == (0, ("3",))
    assert database.applied() == ["0.5", "1", "2", "3"]


def test_an_empty_history_of_the_control_schema(
    product: Product, database: Database, tmp_path: Path, request_of: RunRequest
) -> None:
    folder = write(tmp_path / "other", {"0.5_o.up.sql": "SELECT 1;"})
    assert product.run("--scripts", folder, "--as", "shop/shop").code == 0
    database.execute("TRUNCATE schema_operator.schema_versions CASCADE")
    assert product.request(tmp_path, request_of).report.message.startswith(RECORDED)


def test_a_baseline_beside_a_history_is_refused(
    product: Product, database: Database, tmp_path: Path, request_of: RunRequest
) -> None:
    database.execute("DROP TABLE x; DROP TABLE y")
    assert product.request(tmp_path, _other(request_of, baseline=None, version="1")).code == 0
    before = database.dump()
    for name in ("shop", "other"):
        ended = product.request(tmp_path, _other(request_of, resource=_own(name)))
        assert (ended.code, ended.report.reason) == (20, "InvalidSpec")
        assert "the baseline 2.0 is for a database without a history" in ended.report.message
        assert "1 is recorded in it" in ended.report.message
    assert database.dump() == before


@pytest.mark.parametrize(
    ("baseline", "version", "reason", "says"),
    [
        ("1.5", None, "UnknownVersion", "the baseline 1.5 is none of the scripts"),
        ("2", "1", "InvalidSpec", "above the wanted version 1"),
        ("new", None, "MalformedVersion", "'new'"),
    ],
)
def test_a_baseline_that_cannot_be_meant_is_refused(
    product: Product,
    database: Database,
    tmp_path: Path,
    request_of: RunRequest,
    *,
    baseline: str,
    version: str | None,
    reason: str,
    says: str,
) -> None:
    ended = product.request(tmp_path, _other(request_of, baseline=baseline, version=version))
    assert (ended.code, ended.report.reason) == (20, reason)
    assert says in ended.report.message
    assert database.relations() == ["x", "y"]
    recorded = database.value("SELECT to_regclass('schema_operator.applied_versions') IS NOT NULL")
    assert not recorded or database.applied() == []


def test_a_plan_shows_what_would_be_recorded(
    product: Product, database: Database, tmp_path: Path, request_of: RunRequest
) -> None:
    path = tmp_path / "request.json"
    path.write_bytes(requests.encode(request_of))
    before = database.dump()
    ended = product.run("--request", path, "--plan")
    assert ended.code == 0, ended
    assert ended.report.message.startswith(
        "A run would record 1, 2 as applied without running (baseline), then apply 3."
    )
    assert ended.report.plan is not None
    assert [(one.version, one.action) for one in ended.report.plan] == [("1", "None"), ("2", "None"), ("3", "Apply")]
    assert database.dump() == before


def test_runs_at_once_record_it_once(
    product: Product, database: Database, tmp_path: Path, request_of: RunRequest
) -> None:
    processes = []
    for number in range(3):
        path = tmp_path / f"request-{number}"
        path.write_bytes(requests.encode(_other(request_of, run=f"run-{number}")))
        processes.append(product.start("--request", path))
    ended: list[Ended] = [finish(process) for process in processes]
    assert [one.code for one in ended] == [0, 0, 0], ended
    assert sorted(RECORDED in one.report.message for one in ended) == [False, False, True]
    assert database.versions() == ["1", "2", "3"]


@pytest.mark.parametrize("when", [Break.BEFORE_COMMIT, Break.AFTER_COMMIT])
def test_a_baseline_whose_commit_is_lost(
    product: Product, database: Database, tmp_path: Path, request_of: RunRequest, when: Break
) -> None:
    """The control schema is installed before, so that the first COMMIT is the baseline's."""
    assert product.run("--scripts", write(tmp_path / "other", {"0.5_o.up.sql": "SELECT 1;"}), "--as", "a/b").code == 0
    with Proxy(database.server.port, when) as proxy:
        uri = database.uri.replace(f":{database.server.port}/", f":{proxy.port}/")
        ended = product.request(tmp_path, request_of, uri)
    assert proxy.broken.is_set()
    if when is Break.AFTER_COMMIT:
        assert ended.report.message.startswith(RECORDED), ended
    else:
        assert (ended.code, ended.report.reason) == (10, "ConnectionLost")
        assert database.applied() == ["0.5"]
    assert product.request(tmp_path, request_of).code == 0
    assert database.versions() == ["0.5", "1", "2", "3"]


def test_a_role_that_may_not_write_records_nothing(
    product: Product, database: Database, role: str, tmp_path: Path, request_of: RunRequest
) -> None:
    assert product.run("--scripts", write(tmp_path / "other", {"0.5_o.up.sql": "SELECT 1;"}), "--as", "a/b").code == 0
    database.execute(f"GRANT USAGE ON SCHEMA schema_operator TO {role}")
    database.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA schema_operator TO {role}")
    database.execute(f"ALTER ROLE {role} PASSWORD 'simple'")
    uri = database.uri_of(role, "simple")
    ended = product.request(tmp_path, _other(request_of, version="2"), uri)
    assert (ended.code, ended.report.reason) == (20, "PermissionDenied")
    assert "GRANT SELECT, INSERT" in ended.report.message


def test_who_applied_is_the_actor_of_the_request(
    product: Product, database: Database, tmp_path: Path, request_of: RunRequest
) -> None:
    assert product.request(tmp_path, _other(request_of, actor="a" * 300)).code == 0
    assert database.rows("SELECT DISTINCT applied_by FROM schema_operator.schema_versions") == [("a" * 255,)]


class _Direct:
    """A session that is nothing but a connection."""

    def __init__(self, connection: Connection[tuple[Any, ...]]) -> None:
        self._connection = connection

    def query(
        self, query: sql.SQL | sql.Composed, parameters: dict[str, object] | None = None
    ) -> list[tuple[Any, ...]]:
        return self._connection.execute(query, parameters).fetchall()


def test_what_a_version_was_applied_with_comes_back_as_it_was(
    product: Product, database: Database, tmp_path: Path, request_of: RunRequest
) -> None:
    assert product.request(tmp_path, request_of).code == 0
    change = Change(
        version="4",
        rollback=False,
        description=None,
        script_name="4.up.sql",
        checksum="c",
        up="SELECT :'name'",
        down="SELECT 1",
        down_name="4.down.sql",
        verify=None,
        requires=("3", "2.0-rc.1+build"),
        variables={"name": "a \"b\" 'c' \\ {d}", "größe": ""},
        down_transaction=TransactionMode.NEVER,
    )
    with database.connect() as connection:
        session = cast("Session", _Direct(connection))
        store.record(session, change, Author("alice", "run-2", "shop/shop", None, "tests"))
        stored = store.stored_scripts(session, Version.parse("4"))
        applied = store.read(session).history.get(Version.parse("4"))
    assert stored == StoredScripts(change.up, change.down, change.down_name, change.variables, TransactionMode.NEVER)
    assert applied is not None
    assert tuple(one.text for one in applied.requires) == change.requires
