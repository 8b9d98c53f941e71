"""Plain numbered files, as sqlx, procrastinate, graphile-worker and many a shell script have them: `0012_name.sql`.

What leads back has the same number and says so: `0012_name.down.sql` (or `.rollback.sql`, `.undo.sql`), and
`0012_name_down.sql` or `-down.sql` where that is the name of an up script with `_down` added or in place of its `_up`.
Alone, `0012_scale_down.sql` is a script of that name, unless others in the folder show that `_down` leads back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from schema_operator.scripts.formats.files import Inventory, refuse_name, version_of, whole
from schema_operator.scripts.formats.numbers import SEPARATORS, leading
from schema_operator.scripts.script import ScriptKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from schema_operator.api.version import Version
    from schema_operator.scripts.formats.files import File, Found

NAME: Final = "a plain numbered script"
_ENDINGS: Final = {
    "up": ScriptKind.UP,
    "down": ScriptKind.DOWN,
    "rollback": ScriptKind.DOWN,
    "undo": ScriptKind.DOWN,
    "verify": ScriptKind.VERIFY,
}
_HINT: Final = "; a plain numbered script is named NUMBER_NAME.sql"
_WORD = re.compile(r"(?P<stem>.*)[_-](?P<word>up|down)", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Numbered:
    """A file by its name."""

    file: File
    version: Version
    name: str
    kind: ScriptKind | None
    """None where the ending does not tell up from down."""
    word: str = ""
    """`up` or `down` where the name ends so; that alone does not tell either."""
    stem: str = ""
    """The name without that word."""


def inventory(files: Sequence[File]) -> Inventory:
    """Take every file for a script; raises `Refused`: UnrecognizedScript, MalformedVersion, and as `whole` does."""
    numbered = [_numbered(file) for file in files]
    backward = _backward(numbered)
    return Inventory(tuple(_found(one, backward) for one in numbered), ())


def _numbered(file: File) -> _Numbered:
    text, rest = leading(file.name)
    version = version_of(text, file.file, _HINT)
    stem, dot, ending = rest[: -len(".sql")].rpartition(".")
    if dot and ending.lower() in _ENDINGS:
        return _Numbered(file, version, stem.lstrip(SEPARATORS), _kind(file, ending))
    name = rest[: -len(".sql")]
    word = _WORD.fullmatch(name)
    bare = (word["word"].lower(), word["stem"].lstrip(SEPARATORS)) if word else ("", "")
    return _Numbered(file, version, name.lstrip(SEPARATORS), None, *bare)


def _kind(file: File, ending: str) -> ScriptKind:
    if not ending.islower() or not file.name.endswith(".sql"):
        refuse_name(file, f"an ending is written in lower case; name the file NUMBER_NAME.{ending.lower()}.sql")
    return _ENDINGS[ending]


def _backward(numbered: Iterable[_Numbered]) -> set[str]:
    """Give the files that lead back by `_down` in their names."""
    undecided: dict[Version, list[_Numbered]] = {}
    for one in numbered:
        if one.kind is None:
            undecided.setdefault(one.version, []).append(one)
    paired = [one for group in undecided.values() for one in group if _leads_back(one, group)]
    alone = [group[0] for group in undecided.values() if len(group) == 1 and group[0].word == "down"]
    return {one.file.file for one in (*paired, *(alone if paired else ()))}


def _leads_back(one: _Numbered, group: Iterable[_Numbered]) -> bool:
    others = (other for other in group if other is not one and other.word != "down")
    return one.word == "down" and any(other.word == "up" or other.name == one.stem for other in others)


def _found(one: _Numbered, backward: set[str]) -> Found:
    leads_back = one.file.file in backward
    kind = one.kind or (ScriptKind.DOWN if leads_back else ScriptKind.UP)
    name = one.stem if leads_back or (one.word == "up" and backward) else one.name
    return whole(one.file, one.version, kind, name)
