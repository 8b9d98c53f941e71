"""Tell which format a folder has, by the names of its files and, for numbered ones, by what stands in them."""

from __future__ import annotations

import re
from enum import Enum, auto
from importlib import import_module
from typing import TYPE_CHECKING, Final, Protocol, cast

from schema_operator.errors import Location, Reason, Refused
from schema_operator.scripts.formats.files import Entry, Inventory, names_of
from schema_operator.scripts.formats.paired import ENDINGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from schema_operator.scripts.formats.files import File

_FLYWAY: Final = r"(?s)(?:[VUB][0-9][0-9._]*?__.*|V[0-9][0-9._]*|R__.*)\.sql"
_MARKS: Final = {"goose": rb"(?m)^--[ \t]*\+goose[ \t]", "dbmate": rb"(?m)^--[ \t]*migrate:(?:up|down)\b"}
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_TELLING_OF_FOLDERS: Final = ("up.sql", "down.sql")
_OF_FOLDERS: Final = (*_TELLING_OF_FOLDERS, "verify.sql", "metadata.toml")
_DIGITS: Final = "0123456789"
_GO: Final = r"(?s)[0-9]+_.*(?<!_test)\.go"


class _Shape(Enum):
    """What the name of a file says of its format."""

    PAIRED = auto()
    """With one of our endings."""
    NUMBERED = auto()
    IN_A_FOLDER = auto()
    FLYWAY = auto()
    FLYWAY_WITHIN = auto()
    """Flyway's, in a folder within; nobody else looks there for such."""
    OTHER = auto()
    OTHER_WITHIN = auto()


class _Format(Protocol):
    """What a module of a format gives."""

    NAME: str

    def inventory(self, files: Sequence[File]) -> Inventory: ...


def within(name: str) -> bool:
    """Whether a file of a folder within may be a script, or say something of one, or is named as one is elsewhere."""
    return name in _OF_FOLDERS or deep_within(name) or _is_named_as_a_script(name)


def deep_within(name: str) -> bool:
    """Whether a file deeper than one folder may be a script, or say something of one."""
    return _is_of_flyway(name.removesuffix(".conf"))


def inventory(files: Iterable[File]) -> Inventory:
    """Find the scripts among files, in whatever format they are.

    Raises `Refused(UnrecognizedScript)` where formats are mixed, and as the format does.
    """
    by_shape: dict[_Shape, list[File]] = {}
    for file in files:
        if not file.name.startswith("."):
            by_shape.setdefault(_shape(file.name), []).append(file)
    found = _of_shapes(by_shape)
    misplaced = [file for file in by_shape.get(_Shape.OTHER_WITHIN, []) if _is_named_as_a_script(_base(file.name))]
    return Inventory(found.found, (*found.ignored, *names_of(misplaced)))


def _shape(name: str) -> _Shape:
    if "/" in name:
        return _shape_within(name)
    if name.endswith(ENDINGS):
        return _Shape.PAIRED
    if _is_numbered(name):
        return _Shape.NUMBERED
    return _Shape.FLYWAY if _is_of_flyway(name) else _Shape.OTHER


def _shape_within(name: str) -> _Shape:
    base = _base(name)
    if name[0] in _DIGITS and base in _TELLING_OF_FOLDERS:
        return _Shape.IN_A_FOLDER
    return _Shape.FLYWAY_WITHIN if _is_of_flyway(base) else _Shape.OTHER_WITHIN


def _base(name: str) -> str:
    return name.rpartition("/")[2]


def _is_numbered(name: str) -> bool:
    return name[0] in _DIGITS and name.lower().endswith(".sql")


def _is_named_as_a_script(name: str) -> bool:
    """Whether a file would be a script if it were not in a folder within: left out, it must be named."""
    return name.endswith(ENDINGS) or _is_numbered(name)


def _is_of_flyway(name: str) -> bool:
    return name[0] in "VUBR" and re.fullmatch(_FLYWAY, name) is not None


def _of_shapes(by_shape: Mapping[_Shape, list[File]]) -> Inventory:
    """Choose by what is there. Files of folders within count only where the format has such; the caller lists them."""
    paired, numbered, folders, flyway, flyway_within, others, others_within = (by_shape.get(one, []) for one in _Shape)
    ups = [file for file in paired if file.name.endswith(ENDINGS[0])]
    if folders:
        _refuse_mixture("folders", folders, {"paired": paired, "numbered": numbered, "flyway": flyway})
        return _found_by("folders", [*folders, *others_within], others)
    if flyway or (flyway_within and not paired and not numbered):
        _refuse_mixture("flyway", flyway, {"paired": paired, "numbered": numbered})
        companions = [file for file in others_within if file.name.endswith(".sql.conf")]
        return _found_by("flyway", [*flyway, *flyway_within, *companions, *others])
    if numbered and not ups:
        return _of_numbered([Entry(file.label, file.name, file.read()) for file in (*paired, *numbered)], others)
    return _found_by("paired", [*paired, *numbered, *others])


def _of_numbered(entries: Sequence[Entry], others: Sequence[File]) -> Inventory:
    by_format: dict[str, list[File]] = {}
    for entry in entries:
        by_format.setdefault(_marked(entry.content), []).append(entry)
    first, *rest = by_format
    _refuse_mixture(first, by_format[first], {name: by_format[name] for name in rest})
    if first == "goose":
        _refuse_go(others)
    return _found_by(first, entries, others)


def _marked(content: bytes) -> str:
    if b"+goose" in content or b"migrate:" in content:
        text = content.removeprefix(_BYTE_ORDER_MARK)
        return next((name for name, mark in _MARKS.items() if re.search(mark, text)), "numbered")
    return "numbered"


def _refuse_go(others: Iterable[File]) -> None:
    for file in others:
        if re.fullmatch(_GO, file.name):
            raise Refused(
                Reason.UNRECOGNIZED_SCRIPT,
                "this is a migration of goose written in Go, which cannot be run here, and without it the others would "
                "not fit; write it as SQL",
                Location(file=file.file),
            )


def _found_by(name: str, files: Sequence[File], others: Sequence[File] = ()) -> Inventory:
    found = _format(name).inventory(files)
    return Inventory(found.found, (*found.ignored, *names_of(others))) if others else found


def _format(name: str) -> _Format:
    return cast("_Format", import_module(f"schema_operator.scripts.formats.{name}"))


def _refuse_mixture(name: str, files: Sequence[File], others: Mapping[str, Sequence[File]]) -> None:
    for other, (one, *_) in ((other, found) for other, found in others.items() if found):
        raise Refused(
            Reason.UNRECOGNIZED_SCRIPT,
            f"{files[0].file} is {_format(name).NAME} and {one.file} is {_format(other).NAME}; keep one format in a "
            "folder, and move the others away or rename them",
            Location(file=one.file),
        )
