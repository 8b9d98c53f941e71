"""Scripts that were edited after they were applied: passed over, refused or said, and what stays possible."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec
import pytest

from schema_operator.api.request import ChecksumPolicy, OutOfOrder, Resource, RunRequest, ScriptFolder
from support.postgres import Database, Ended, Product, write

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.postgres

FILES = {
    "1_x.up.sql": "-- first\nCREATE TABLE x (a int,\n  b text DEFAULT 'a b');\n",
    "1_x.down.sql": "DROP TABLE x;",
    "2_y.up.sql": "CREATE TABLE y ();\n",
    "2_y.down.sql": "DROP TABLE y;",
}
FIRST = FILES["1_x.up.sql"]
HARMLESS = {
    "line ends": (FIRST.replace("\n", "\r\n"), "only line ends (CR LF or LF) differ"),
    "white space": (FIRST.replace("(a", "( a"), "only blanks and line breaks between words differ"),
    "a comment": (FIRST.replace("-- first", "/* 1 */"), "only comments, blanks or empty statements differ"),
    "a byte-order mark": (f"\ufeff{FIRST}", "only bytes that are no part of the text (a byte-order mark) differ"),
}


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _run(product: Product, folder: Path, checksums: ChecksumPolicy, version: str | None = None) -> Ended:
    request = RunRequest(
        run="run-1",
        actor="tester",
        resource=Resource(namespace="shop", name="shop"),
        folders=(ScriptFolder(path=str(folder), label=""),),
        checksums=checksums,
        version=version,
    )
    return product.request(folder.parent, request)


@pytest.fixture
def folder(product: Product, tmp_path: Path) -> Path:
    """A folder whose scripts are applied."""
    made = write(tmp_path / "scripts", FILES)
    assert _run(product, made, ChecksumPolicy.STRICT).code == 0
    return made


def _edit(folder: Path, text: str) -> None:
    (folder / "1_x.up.sql").write_bytes(text.encode())


@pytest.mark.parametrize(("text", "says"), HARMLESS.values(), ids=HARMLESS.keys())
def test_an_edit_that_changes_nothing_is_said_and_passed_over(
    product: Product, database: Database, folder: Path, text: str, says: str
) -> None:
    before = database.dump()
    _edit(folder, text)
    for policy in ChecksumPolicy:
        ended = _run(product, folder, policy)
        assert (ended.code, ended.report.message) == (0, "Nothing to do. The schema is at version 2."), ended
        (line,) = [one for one in ended.progress if "not as applied" in one.message]
        assert (line.step, line.message) == ("Planning", f"1: not as applied, but {says}, which changes nothing")
    assert database.dump() == before


def test_strict_refuses_with_both_hashes_and_the_line(product: Product, database: Database, folder: Path) -> None:
    before = database.dump()
    text = FIRST.replace("'a b'", "'a  b'")
    _edit(folder, text)
    write(folder, {**FILES, "1_x.up.sql": text, "3_z.up.sql": "CREATE TABLE z ();"})
    ended = _run(product, folder, ChecksumPolicy.STRICT)
    assert (ended.code, ended.report.reason) == (20, "ChecksumMismatch")
    for part in ("version 1, file 1_x.up.sql, line 3", _hash(FIRST), _hash(text), "policy.checksums: Warn"):
        assert part in ended.report.message
    assert ended.report.place is not None
    assert ended.report.place.line == 3
    assert database.dump() == before
    assert "a  b" not in ended.stdout + ended.stderr, "the text of a script is in no message"


def test_warn_says_the_same_and_goes_on(product: Product, database: Database, folder: Path) -> None:
    text = FIRST.replace("b text", "b varchar")
    write(folder, {**FILES, "1_x.up.sql": text, "3_z.up.sql": "CREATE TABLE z ();"})
    ended = _run(product, folder, ChecksumPolicy.WARN)
    assert (ended.code, ended.report.versions) == (0, ("3",))
    (line,) = [one for one in ended.progress if "SHA-256" in one.message]
    assert (line.step, line.version) == ("Planning", "1")
    for said in (line.message, ended.report.message):
        for part in ("version 1, file 1_x.up.sql, line 3", _hash(FIRST), _hash(text), "stays as it was applied"):
            assert part in said
    assert database.applied() == ["1", "2", "3"]
    stored = "SELECT up_sql FROM schema_operator.version_scripts WHERE version = '1'"
    assert database.value(stored) == FIRST, "the history tells what was applied"
    assert _run(product, folder, ChecksumPolicy.STRICT).code == 20


def test_a_script_above_the_wanted_version_is_not_looked_at(product: Product, database: Database, folder: Path) -> None:
    write(folder, {**FILES, "2_y.up.sql": "CREATE TABLE other ();"})
    assert _run(product, folder, ChecksumPolicy.STRICT).code == 20
    ended = _run(product, folder, ChecksumPolicy.STRICT, version="1")
    assert (ended.code, ended.report.versions) == (0, ("2",))
    assert _run(product, folder, ChecksumPolicy.STRICT).report.versions == ("2",)
    assert database.relations() == ["other", "x"]


def test_many_edited_scripts_are_one_line_and_one_query(product: Product, database: Database, tmp_path: Path) -> None:
    files = {f"{number}_x.up.sql": f"SELECT {number};\n" for number in range(1, 41)}
    folder = write(tmp_path / "many", files)
    assert _run(product, folder, ChecksumPolicy.STRICT).code == 0
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    ended = _run(product, folder, ChecksumPolicy.STRICT)
    (line,) = [one for one in ended.progress if "not as applied" in one.message]
    assert line.message.startswith("1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 30 more: ")
    assert database.applied() == [str(number) for number in range(1, 41)]


def test_late_versions_are_refused_or_applied(product: Product, database: Database, folder: Path) -> None:
    write(folder, {**FILES, "1.5_late.up.sql": "CREATE TABLE late ();", "1.5_late.down.sql": "DROP TABLE late;"})
    refused = _run(product, folder, ChecksumPolicy.STRICT)
    assert (refused.code, refused.report.reason) == (20, "OutOfOrder")
    request = RunRequest(
        run="run-2",
        actor="tester",
        resource=Resource(namespace="shop", name="shop"),
        folders=(ScriptFolder(path=str(folder), label=""),),
        out_of_order=OutOfOrder.ALLOW,
    )
    allowed = product.request(folder.parent, request)
    assert (allowed.code, allowed.report.versions, allowed.report.version) == (0, ("1.5",), "2")
    back = product.request(folder.parent, msgspec.structs.replace(request, version="1"))
    assert (back.code, back.report.versions) == (0, ("1.5", "2"))
    assert database.applied() == ["1"]
