"""The program that copies scripts out of an image: what it copies is what the runner would have seen there."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from dev import programs

from schema_operator.api.request import ScriptFolder
from schema_operator.scripts import reading

REFUSED = 20
LATER = 10


def copier(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [str(part) for part in (programs.copier(), *arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    (tmp_path / "target").mkdir()
    return tmp_path / "source"


def write(folder: Path, *names: str) -> None:
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"CREATE TABLE {file.stem.partition('.')[0].lstrip('0123456789_')} ();")


def files(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if not file.is_dir())


def link_out_and_back(folder: Path) -> None:
    """Links to a file and to a folder elsewhere, and one that goes round."""
    write(folder.parent / "elsewhere", "1_linked.up.sql", "2_two/up.sql")
    (folder / "1_linked.up.sql").symlink_to(folder.parent / "elsewhere/1_linked.up.sql")
    (folder / "round").symlink_to(".")


# Folders of all kinds: how each is made.
FOLDERS: list[tuple[str, Callable[[Path], None]]] = [
    ("ours", lambda at: write(at, "1_a.up.sql", "1_a.down.sql", "2_b.up.sql", "README.md")),
    ("a folder for each version", lambda at: write(at, "2024-01-15-120000_a/up.sql", "2024-01-15-120000_a/down.sql")),
    ("Flyway's, deep within", lambda at: write(at, "sql/core/old/V1__a.sql", "sql/V2__b.sql")),
    ("hidden files and folders", lambda at: write(at, "1_a.up.sql", ".git/2_b.up.sql", ".keep")),
    ("links", link_out_and_back),
    ("nothing", write),
]


@pytest.mark.parametrize("make", [line[1] for line in FOLDERS], ids=[line[0] for line in FOLDERS])
def test_the_copy_has_the_same_scripts_as_the_folder(source: Path, make: Callable[[Path], None]) -> None:
    make(source)
    target = source.parent / "target"
    done = copier("copy", f"{source}/", target)
    assert (done.returncode, done.stderr) == (0, "")
    there, here = (reading.from_folders([ScriptFolder(path=str(at), label="/x")]) for at in (source, target))
    assert here.digest == there.digest
    assert [one.up.file for one in here.scripts] == [one.up.file for one in there.scripts]
    assert not [file for file in target.rglob("*") if file.is_symlink()]
    assert not (target / ".git").exists()  # the reader would pass it over, and it may be larger than all scripts


def test_a_container_that_is_started_again_copies_anew(source: Path) -> None:
    write(source, "1_a.up.sql", "sub/V1__a.sql")
    target = source.parent / "target"
    copier("copy", source, target)
    write(target, "2_left.up.sql", "left/3_over.up.sql")
    assert copier("copy", source, target).returncode == 0
    assert files(target) == ["1_a.up.sql", "sub/V1__a.sql"]


def nowhere(at: Path) -> None:
    (at / "2_b.up.sql").symlink_to("/no/such/file")


def unreadable(at: Path) -> None:
    write(at, "2_b.up.sql")
    (at / "2_b.up.sql").chmod(0)


def closed(at: Path) -> None:
    write(at, "old/2_b.up.sql")
    (at / "old").chmod(0)


# What cannot be copied whole is not copied: how it is made, what the sentence must say.
WHOLE: list[tuple[str, Callable[[Path], object], tuple[str, ...]]] = [
    ("a link that leads nowhere", nowhere, ("2_b.up.sql is a link", "leads nowhere")),
    ("a pipe", lambda at: os.mkfifo(at / "2_b.up.sql"), ("2_b.up.sql is neither a file nor a folder",)),
    ("a file for its owner alone", unreadable, ("2_b.up.sql cannot be read", "permission denied", "chmod -R a+rX")),
    ("a folder for its owner alone", closed, ("/old cannot be read", "permission denied", "chmod -R a+rX")),
]


@pytest.mark.parametrize(("make", "said"), [line[1:] for line in WHOLE], ids=[line[0] for line in WHOLE])
def test_what_cannot_be_copied_is_refused_and_never_left_out(
    source: Path, make: Callable[[Path], object], said: tuple[str, ...]
) -> None:
    write(source, "1_a.up.sql")
    make(source)
    done = confined("copy", source, source.parent / "target")
    assert done.returncode == REFUSED
    for part in said:
        assert part in done.stderr


def confined(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run it as the container does: without the capabilities by which root reads what nobody may."""
    drop = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()
    command = [*drop, str(programs.copier()), *(str(part) for part in arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True)


# A path that is wrong: what it is, and what the sentence must say.
PATHS = [
    ("misspelt", "migratons", ("has no folder {}/migratons", "in {} there is README, migrations/", "image.path")),
    ("below one that is misspelt", "migratons/sql", ("no folder {}/migratons/sql", "in {} there is")),
    ("below a file", "README/sql", ("has no folder {}/README/sql", "in {} there is README, migrations/")),
    ("a file", "README", ("{}/README is a file", "spec.scripts.image.path: {}")),
    ("below a folder that has nothing", "migrations/sql", ("has no folder", "its folder {}/migrations is empty")),
]


@pytest.mark.parametrize(("path", "said"), [line[1:] for line in PATHS], ids=[line[0] for line in PATHS])
def test_a_wrong_path_is_told_with_what_is_there(source: Path, path: str, said: tuple[str, ...]) -> None:
    (source / "migrations").mkdir()
    (source / "README").touch()
    done = copier("copy", source / path, source.parent / "target")
    assert done.returncode == REFUSED
    for part in said:
        assert part.format(source) in done.stderr


def test_many_names_are_not_all_told(source: Path) -> None:
    write(source, *(f"{number:02}" for number in range(12)))
    assert "09 and 2 more;" in copier("copy", source / "x", source.parent / "target").stderr


def test_a_whole_system_by_mistake_is_refused(source: Path) -> None:
    with (source / "large").open("wb") as file:
        file.truncate((1 << 30) + 1)
    done = copier("copy", source, source.parent / "target")
    assert done.returncode == REFUSED
    assert "1024 MiB" in done.stderr
    assert files(source.parent / "target") == []


def test_what_may_pass_is_told_apart(source: Path) -> None:
    write(source, "1_a.up.sql")
    done = copier("copy", source, source.parent / "gone")
    assert done.returncode == LATER
    assert "gone" in done.stderr


def test_the_program_puts_itself_where_it_is_told(tmp_path: Path) -> None:
    assert copier("install", tmp_path / "copier").returncode == 0
    assert (tmp_path / "copier").read_bytes() == programs.copier().read_bytes()
    assert os.access(tmp_path / "copier", os.X_OK)
