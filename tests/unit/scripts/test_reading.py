from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING

import pytest

from schema_operator.api.request import InlineScript, ScriptFolder
from schema_operator.api.version import Version
from schema_operator.errors import Location, Reason, Refused
from schema_operator.scripts.reading import Entry, from_entries, from_folders, from_inline, require_not_empty
from schema_operator.scripts.script import ScriptSet

if TYPE_CHECKING:
    from pathlib import Path


def of_names(*names: str) -> list[Entry]:
    return [Entry("shop", name, b"SELECT 1;") for name in names]


def refused(entries: list[Entry]) -> Refused:
    with pytest.raises(Refused) as caught:
        from_entries(entries)
    return caught.value


def test_files_of_a_version_are_put_together_and_versions_in_order() -> None:
    scripts = from_entries(
        [
            Entry("shop", "1.10.0_carts.up.sql", b"up 10"),
            Entry("shop", "1.9.0_orders.down.sql", b"down 9"),
            Entry("shop", "1.9.0_orders.verify.sql", b"verify 9"),
            Entry("more", "1.9.0_orders.up.sql", b"up 9"),
        ]
    )
    nine, ten = scripts.scripts
    assert (nine.version.text, nine.name) == ("1.9.0", "orders")
    assert [(kind.value, source.file, source.text) for kind, source in nine.sources] == [
        ("up", "more/1.9.0_orders.up.sql", "up 9"),
        ("down", "shop/1.9.0_orders.down.sql", "down 9"),
        ("verify", "shop/1.9.0_orders.verify.sql", "verify 9"),
    ]
    assert (ten.version.text, ten.down, ten.verify) == ("1.10.0", None, None)
    assert scripts.newest is ten
    assert scripts.get(Version.parse("1.9")) is nine
    assert scripts.get(Version.parse("1.8")) is None


@pytest.mark.parametrize(
    ("file_name", "version", "name"),
    [
        ("1.up.sql", "1", ""),
        ("1_.up.sql", "1", ""),
        ("1.4.0.up.sql", "1.4.0", ""),
        ("1.4.0-rc.1+b_a_b.c.up.sql", "1.4.0-rc.1+b", "a_b.c"),
        ("0001_a b (c) é\n.up.sql", "0001", "a b (c) é\n"),
        ("2026-01-02_x.up.sql.up.sql", "2026-01-02", "x.up.sql"),
        ("20260101120000_add_column.up.sql", "20260101120000", "add_column"),
    ],
)
def test_file_names(file_name: str, version: str, name: str) -> None:
    [script] = from_entries(of_names(file_name)).scripts
    assert (script.version.text, script.name) == (version, name)


def test_the_up_scripts_name_counts_where_names_differ() -> None:
    [script] = from_entries(of_names("1_drop.down.sql", "1_create.up.sql")).scripts
    assert script.name == "create"
    assert script.down is not None


def test_other_files_are_ignored_and_listed_and_hidden_ones_not_seen() -> None:
    names = ["README.md", "1_a.md", "1_a.up.sql.bak", "up.sql", "roles.sql", ".1_b.up.sql", ".1_b.sql", ".git"]
    scripts = from_entries(of_names("1_a.up.sql", *names))
    assert [script.name for script in scripts.scripts] == ["a"]
    assert scripts.ignored == (
        "shop/1_a.md",
        "shop/1_a.up.sql.bak",
        "shop/README.md",
        "shop/roles.sql",
        "shop/up.sql",
    )


@pytest.mark.parametrize("name", ["2_y.sql", "2.sql", "2_y.verfy.sql", "2_y.UP.SQL", "2_y.up.SQL", "2_a\n.undo.sql"])
def test_what_looks_like_a_script_and_is_none_is_refused_and_not_left_out(name: str) -> None:
    error = refused(of_names("1_a.up.sql", "2_y.down.sql", name))
    assert error.reason is Reason.UNRECOGNIZED_SCRIPT
    assert error.location == Location(file=f"shop/{name}")
    for ending in (".up.sql", ".down.sql", ".verify.sql", "another ending than .sql"):
        assert ending in error.sentence


def test_a_file_without_a_label_is_called_by_its_name() -> None:
    scripts = from_entries([Entry("", "1.up.sql", b""), Entry("", "x", b"")])
    assert (scripts.scripts[0].up.file, scripts.ignored) == ("1.up.sql", ("x",))


MALFORMED = [
    "init.up.sql",
    "v1_a.up.sql",
    "_a.up.sql",
    "1 _a.down.sql",
    "0.0-rollback_a.up.sql",
    "1-rollback_a.verify.sql",
    f"{'1' * 42}_a.up.sql",
]


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_version_is_refused_with_its_file(name: str) -> None:
    error = refused(of_names("1_a.up.sql", name))
    assert error.reason is Reason.MALFORMED_VERSION
    assert error.location == Location(file=f"shop/{name}")
    assert "VERSION_NAME.up.sql" in error.sentence


@pytest.mark.parametrize("version", ["0.0", "0.0.0", "0.0.0-alpha"])
def test_version_0_and_what_is_below_is_refused(version: str) -> None:
    error = refused(of_names(f"{version}_a.up.sql"))
    assert error.reason is Reason.MALFORMED_VERSION
    assert error.location == Location(version=version, file=f"shop/{version}_a.up.sql")
    assert "higher version" in error.sentence


def test_two_files_for_one_version_and_kind_are_refused() -> None:
    error = refused([Entry("b", "1_y.up.sql", b""), Entry("a", "1_x.up.sql", b"")])
    assert error.reason is Reason.DUPLICATE_VERSION
    assert error.location == Location(version="1", file="b/1_y.up.sql")
    assert error.sentence == (
        "a/1_x.up.sql and b/1_y.up.sql are both the up script of version 1; "
        "give one of them another version or remove it"
    )


@pytest.mark.parametrize(
    ("first", "other"),
    [
        ("1.0_a.up.sql", "1.0.0_a.up.sql"),
        ("1.0+x_a.up.sql", "1.0_a.up.sql"),
        ("001_a.down.sql", "1_a.up.sql"),
    ],
)
def test_one_version_written_in_two_ways_is_refused(first: str, other: str) -> None:
    error = refused(of_names(other, first))
    assert error.reason is Reason.DUPLICATE_VERSION
    assert f"shop/{first}" in error.sentence
    assert f"shop/{other}" in error.sentence


@pytest.mark.parametrize("kind", ["down", "verify"])
def test_half_a_version_is_refused(kind: str) -> None:
    error = refused(of_names("1_a.up.sql", f"2_b.{kind}.sql"))
    assert error.reason is Reason.MISSING_UP_SCRIPT
    assert error.location == Location(version="2", file=f"shop/2_b.{kind}.sql")
    assert "add the up script of version 2 or remove this one" in error.sentence


@pytest.mark.parametrize(
    ("content", "offset", "line", "words"),
    [
        (b"SELECT 1;\nSELECT '\xe9';", 18, 2, "not UTF-8; save"),
        (b"\xef\xbb\xbfSELECT\n\n'\xff'", 12, 3, "not UTF-8; save"),
        (b"\xff\xfeS\0E\0", 0, 1, "not UTF-8 (it looks like UTF-16)"),
        (b"\xed\xa0\x80", 0, 1, "not UTF-8"),
        ("SELECT 'é';\n\n\0 DROP TABLE t".encode(), 14, 3, "NUL"),
    ],
)
def test_what_is_not_utf_8_is_refused_with_byte_and_line(content: bytes, offset: int, line: int, words: str) -> None:
    error = refused([Entry("shop", "1_a.up.sql", b"SELECT 1"), Entry("shop", "1_a.down.sql", content)])
    assert error.reason is Reason.INVALID_ENCODING
    assert error.location == Location(version="1", file="shop/1_a.down.sql", line=line)
    assert f"the byte at offset {offset} is" in error.sentence
    assert words in error.sentence


def test_files_that_are_no_scripts_may_hold_anything() -> None:
    assert from_entries([Entry("", "a.png", b"\0\xff")]).ignored == ("a.png",)


def test_a_byte_order_mark_is_not_executed_but_counts_in_the_checksum() -> None:
    content = b"\xef\xbb\xbfSELECT '\xef\xbb\xbf'"
    [script] = from_entries([Entry("", "1.up.sql", content)]).scripts
    assert script.up.text == "SELECT '\ufeff'"
    assert script.up.checksum == hashlib.sha256(content).hexdigest()


def test_inline_scripts() -> None:
    scripts = from_inline(
        [
            InlineScript(version="2", up="SELECT 'é'", verify="SELECT true"),
            InlineScript(version="1.0", name="first", up="SELECT 1", down="SELECT 2"),
        ]
    )
    assert [
        (script.version.text, script.name, source.file, source.text)
        for script in scripts.scripts
        for _, source in script.sources
    ] == [
        ("1.0", "first", "spec.scripts.inline[1].up", "SELECT 1"),
        ("1.0", "first", "spec.scripts.inline[1].down", "SELECT 2"),
        ("2", "", "spec.scripts.inline[0].up", "SELECT 'é'"),
        ("2", "", "spec.scripts.inline[0].verify", "SELECT true"),
    ]


@pytest.mark.parametrize(
    ("scripts", "reason", "file"),
    [
        ([InlineScript(version="x", up="")], Reason.MALFORMED_VERSION, "spec.scripts.inline[0].version"),
        ([InlineScript(version="0", up="")], Reason.MALFORMED_VERSION, "spec.scripts.inline[0].version"),
        ([InlineScript(version="1", up="a\0")], Reason.INVALID_ENCODING, "spec.scripts.inline[0].up"),
        ([InlineScript(version="1", up="", down="\ud800")], Reason.INVALID_ENCODING, "spec.scripts.inline[0].down"),
        (
            [InlineScript(version="1", up=""), InlineScript(version="1.0", up="")],
            Reason.DUPLICATE_VERSION,
            "spec.scripts.inline[1].up",
        ),
    ],
)
def test_inline_scripts_are_refused_for_like_reasons(scripts: list[InlineScript], reason: Reason, file: str) -> None:
    with pytest.raises(Refused) as caught:
        from_inline(scripts)
    assert (caught.value.reason, caught.value.location.file) == (reason, file)


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    """A folder as the kubelet makes it of a ConfigMap: every key a link through `..data`."""
    real = tmp_path / "..2026_11_22_20_00_00.123"
    real.mkdir()
    (tmp_path / "..data").symlink_to(real.name)
    for name, content in {"1_a.up.sql": b"SELECT 1;", "2_b.up.sql": b"SELECT 2;", "notes.txt": b"\xff"}.items():
        (real / name).write_bytes(content)
        (tmp_path / name).symlink_to(f"..data/{name}")
    return tmp_path


def test_a_mounted_config_map_is_read_through_its_links(mounted: Path) -> None:
    scripts = from_folders([ScriptFolder(path=str(mounted), label="shop-scripts")])
    assert [(script.up.file, script.up.text) for script in scripts.scripts] == [
        ("shop-scripts/1_a.up.sql", "SELECT 1;"),
        ("shop-scripts/2_b.up.sql", "SELECT 2;"),
    ]
    assert scripts.ignored == ("shop-scripts/notes.txt",)


def test_folders_within_are_named_and_hidden_files_are_not_seen(tmp_path: Path) -> None:
    (tmp_path / "1_a.up.sql").write_bytes(b"SELECT 1")
    (tmp_path / ".2_b.up.sql").write_bytes(b"SELECT 2")
    (tmp_path / "3_c.up.sql").mkdir()
    (tmp_path / "3_c.up.sql" / "4_d.up.sql").write_bytes(b"SELECT 4")
    scripts = from_folders([ScriptFolder(path=str(tmp_path), label="")])
    assert [script.up.file for script in scripts.scripts] == ["1_a.up.sql"]
    assert scripts.ignored == ("3_c.up.sql/4_d.up.sql",)


def test_several_folders_are_merged(tmp_path: Path) -> None:
    for label, name in (("a", "1.up.sql"), ("b", "1.down.sql"), ("b", "2.up.sql")):
        (tmp_path / label).mkdir(exist_ok=True)
        (tmp_path / label / name).write_bytes(b"SELECT 1")
    scripts = from_folders([ScriptFolder(path=str(tmp_path / label), label=label) for label in ("a", "b")])
    assert [source.file for script in scripts.scripts for _, source in script.sources] == [
        "a/1.up.sql",
        "b/1.down.sql",
        "b/2.up.sql",
    ]


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_a_folder_that_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Refused) as caught:
        from_folders([ScriptFolder(path=str(tmp_path / name), label="shop")])
    assert caught.value.reason is Reason.INVALID_REQUEST
    assert "the folder of scripts shop cannot be read" in caught.value.sentence


def test_a_link_that_leads_nowhere_is_refused_and_not_left_out(tmp_path: Path) -> None:
    (tmp_path / "1_a.up.sql").symlink_to("gone")
    with pytest.raises(Refused) as caught:
        from_folders([ScriptFolder(path=str(tmp_path), label="shop")])
    assert (caught.value.reason, caught.value.location) == (Reason.INVALID_REQUEST, Location(file="shop/1_a.up.sql"))


def test_a_file_that_is_no_script_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").symlink_to("gone")
    assert from_folders([ScriptFolder(path=str(tmp_path), label="shop")]).ignored == ("shop/notes.txt",)


def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mknod(tmp_path / "1_a.up.sql", stat.S_IFSOCK | 0o600)
    with pytest.raises(Refused) as caught:
        from_folders([ScriptFolder(path=str(tmp_path), label="shop")])
    assert "no regular file" in caught.value.sentence


def test_a_name_that_is_not_utf_8_still_fits_into_messages(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/1_\xff.up.sql", "wb") as file:  # noqa: PTH123 - a path of bytes
        file.write(b"SELECT 1")
    [script] = from_folders([ScriptFolder(path=str(tmp_path), label="")]).scripts
    assert script.up.file.encode() == "1_\ufffd.up.sql".encode()


EQUAL = [Entry("a", "1_x.up.sql", b"up"), Entry("a", "1_x.down.sql", b"down"), Entry("b", "2.up.sql", b"two")]


def test_the_digest_depends_neither_on_order_nor_on_container_nor_on_other_files() -> None:
    digest = from_entries(EQUAL).digest
    others = [
        from_entries(reversed(EQUAL)),
        from_entries([Entry("", entry.name, entry.content) for entry in EQUAL]),
        from_entries([*EQUAL, Entry("a", "README", b"x")]),
        from_inline([InlineScript(version="2", up="two"), InlineScript(version="1", name="x", up="up", down="down")]),
    ]
    assert [other.digest for other in others] == [digest] * 4


@pytest.mark.parametrize(
    "changed",
    [
        [("1_x.up.sql", b"up "), ("1_x.down.sql", b"down"), ("2.up.sql", b"two")],
        [("1_x.up.sql", b"\xef\xbb\xbfup"), ("1_x.down.sql", b"down"), ("2.up.sql", b"two")],
        [("1_y.up.sql", b"up"), ("1_x.down.sql", b"down"), ("2.up.sql", b"two")],
        [("1_x.up.sql", b"up"), ("1_x.verify.sql", b"down"), ("2.up.sql", b"two")],
        [("1_x.up.sql", b"up"), ("2.up.sql", b"two")],
        [("1_x.up.sql", b"down"), ("1_x.down.sql", b"up"), ("2.up.sql", b"two")],
        [("1_x.up.sql", b"up"), ("1_x.down.sql", b"down"), ("2.0.up.sql", b"two")],
        [],
    ],
)
def test_the_digest_depends_on_every_version_name_kind_and_byte(changed: list[tuple[str, bytes]]) -> None:
    assert from_entries([Entry("", *file) for file in changed]).digest != from_entries(EQUAL).digest


def test_an_empty_set_is_a_set() -> None:
    scripts = from_entries([])
    assert (scripts.scripts, scripts.ignored, scripts.newest) == ((), (), None)
    assert scripts.digest == hashlib.sha256().hexdigest()


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "there is no script; add one, as a file named VERSION_NAME.up.sql"),
        (["init.sql"], "there is no script; found only shop/init.sql; add one"),
        ([f"{letter}.sql" for letter in "abcdef"], "shop/e.sql and others; add one"),
    ],
)
def test_an_empty_set_is_refused_where_scripts_are_required(names: list[str], words: str) -> None:
    with pytest.raises(Refused) as caught:
        require_not_empty(from_entries(of_names(*names)))
    assert caught.value.reason is Reason.EMPTY_SOURCE
    assert words in caught.value.sentence


def test_a_set_that_is_not_empty_is_given_back() -> None:
    scripts: ScriptSet = from_entries(EQUAL)
    assert require_not_empty(scripts) is scripts
