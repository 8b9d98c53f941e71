"""What versions require: there before anything runs, recorded, and in the way of a rollback that would take it away.

The rules are a table in tests/unit/runner/test_plan.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from schema_operator.api.request import InlineScript, Requirements, Resource, RunRequest
from support.postgres import CANARY_ENCODED, Database, Ended, Product, write

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.postgres

NOWHERE = "no_such_extension"


def _run(
    product: Product,
    folder: Path,
    owner: str,
    *versions: str,
    requires: Requirements | None = None,
    wanted: str | None = None,
    uri: str | None = None,
) -> Ended:
    scripts = tuple(InlineScript(version=one, up=f"SELECT {one}", down="SELECT 0") for one in versions)
    request = RunRequest(
        run="run-1",
        actor="tester",
        resource=Resource(namespace="shop", name=owner),
        inline=scripts,
        requires=requires or Requirements(),
        version=wanted,
    )
    return product.request(folder, request, uri)


def test_a_missing_version_is_named_and_nothing_runs(product: Product, database: Database, tmp_path: Path) -> None:
    assert _run(product, tmp_path, "base", "1").code == 0
    before = database.dump()
    ended = _run(product, tmp_path, "shop", "10", requires=Requirements(versions=("1.0", "2")))
    assert (ended.code, ended.report.reason) == (20, "MissingDependency")
    assert "the version 2 must be there" in ended.report.message
    assert database.dump() == before
    assert _run(product, tmp_path, "base", "1", "2").code == 0
    assert _run(product, tmp_path, "shop", "10", requires=Requirements(versions=("1.0", "2"))).code == 0


def test_what_is_required_stays_until_what_requires_it_goes(
    product: Product, database: Database, tmp_path: Path
) -> None:
    assert _run(product, tmp_path, "base", "1", "2").code == 0
    assert _run(product, tmp_path, "shop", "10", "11", requires=Requirements(versions=("2.0",))).code == 0
    recorded = "SELECT version, requires FROM schema_operator.applied_versions"
    assert database.rows(recorded) == [("1", []), ("2", []), ("10", ["2.0"]), ("11", ["2.0"])]
    before = database.dump()
    ended = _run(product, tmp_path, "base", "1", "2", wanted="1")
    assert (ended.code, ended.report.reason) == (20, "VersionInTheWay")
    assert "rolling back 2.0 would take away what 10 (of shop/shop) requires" in ended.report.message
    assert database.dump() == before
    assert _run(product, tmp_path, "shop", "10", "11", wanted="0").report.versions == ("11", "10")
    assert _run(product, tmp_path, "base", "1", "2", wanted="1").report.versions == ("2",)


def test_a_missing_extension_is_named_with_the_command_and_whether_the_server_has_it(
    product: Product, database: Database, role: str, tmp_path: Path
) -> None:
    database.execute(f"GRANT CREATE ON DATABASE {database.name} TO {role}")
    uri = database.uri_of(role, CANARY_ENCODED)
    there = Requirements(extensions=("plpgsql",))
    assert _run(product, tmp_path, "shop", "1", requires=there, uri=uri).code == 0
    known = database.rows("SELECT name, default_version FROM pg_available_extensions WHERE installed_version IS NULL")
    wanted = [*(name for name, _ in known[:1]), NOWHERE]
    before = database.dump()
    ended = _run(product, tmp_path, "shop", "1", "2", requires=Requirements(extensions=tuple(wanted)), uri=uri)
    assert (ended.code, ended.report.reason) == (20, "MissingDependency")
    if known:
        ((name, version), *_) = known
        assert f"the server has version {version} of it" in ended.report.message
        assert f'run in {database.name}: CREATE EXTENSION "{name}"' in ended.report.message
        assert ended.report.message.endswith(f"; {NOWHERE} too")
    ended = _run(product, tmp_path, "shop", "1", "2", requires=Requirements(extensions=(NOWHERE,)), uri=uri)
    assert (ended.code, ended.report.reason) == (20, "MissingDependency")
    assert "install its package on the server" in ended.report.message
    assert f'CREATE EXTENSION "{NOWHERE}"' in ended.report.message
    assert database.dump() == before
    assert _run(product, tmp_path, "shop", "1", requires=Requirements(extensions=(NOWHERE,))).code == 0, (
        "what is required matters only where something is applied"
    )


def _header(requires: str) -> str:
    return f"-- schema-operator: requires={requires}\nSELECT 1;"


def test_a_script_says_in_its_header_what_it_requires(product: Product, database: Database, tmp_path: Path) -> None:
    files = {"1_x.up.sql": "SELECT 1;", "1_x.down.sql": "SELECT 1;", "2_y.up.sql": _header("1.0,0.5")}
    folder = write(tmp_path / "scripts", files)
    ended = product.run("--scripts", folder)
    assert (ended.code, ended.report.reason) == (20, "MissingDependency")
    assert ended.report.message.startswith("version 2, file 2_y.up.sql: the version requires 0.5, but it is neither")
    assert database.applied() == [], "nothing at all was run"
    write(folder, {**files, "0.5_w.up.sql": _header("2")})
    ended = product.run("--scripts", folder)
    assert (ended.code, ended.report.reason) == (20, "DependencyCycle")
    assert "in a circle: 0.5 requires 2, 2 requires 0.5;" in ended.report.message
    write(folder, {**files, "0.5_w.up.sql": "SELECT 1;", "0.5_w.down.sql": "SELECT 1;"})
    assert product.run("--scripts", folder).report.versions == ("0.5", "1", "2")
    recorded = "SELECT requires FROM schema_operator.version_scripts WHERE version = '2'"
    assert database.value(recorded) == ["1.0", "0.5"]
