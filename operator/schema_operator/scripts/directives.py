"""What a script says of itself in comments before its first statement.

::

    -- schema-operator: transaction=never requires=1.2.0,1.3.0
    -- schema-operator: allow=EmptyScript
    -- schema-operator: description=The rest of the line, blanks and all

and, in a down script, `restore=never`.

Several `KEY=VALUE` on a line are separated by blanks, several values by commas. What is not understood is refused, and
so is a line of this kind after the first statement: a directive that is overlooked is worse than none.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from schema_operator.api.request import Acknowledgement, TransactionMode
from schema_operator.api.version import Version
from schema_operator.errors import Location, Reason, Refused
from schema_operator.scripts.header import MARK, Header
from schema_operator.scripts.lexer import lex, position_to_line_column
from schema_operator.scripts.script import ScriptKind
from schema_operator.scripts.tokens import header_spans

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_LINE = re.compile(rf"(?:^|(?<=\r))[ \t]*--[ \t]*{MARK}([^\n\r]*)", re.MULTILINE)
_MOST_SHOWN: Final = 40
"""Characters of something unknown that a message repeats."""


def header_of(text: str, kind: ScriptKind, location: Location, first_line: int = 1) -> Header:
    """Read the header of a text that begins on `first_line` of its file.

    Raises `Refused(InvalidSpec)` with the line of what is unknown, given twice, or stands after the first statement.
    """
    header = _Header(kind)
    spans = tuple(header_spans(text))
    for line in _LINE.finditer(text):
        try:
            if any(start <= line.start() < end for start, end in spans):
                header.read(line[1])
            elif line.start() >= spans[-1][1]:
                _refuse_below(text, line)
        except Refused as refused:
            number = first_line - 1 + position_to_line_column(text, line.start())[0]
            raise Refused(
                Reason.INVALID_SPEC,
                refused.sentence,
                Location(version=location.version, file=location.file, line=number),
            ) from None
    return header.done()


def _refuse_below(text: str, line: re.Match[str]) -> None:
    """Refuse a line between statements; inside of one it is part of a string, a routine or a comment of the author."""
    try:
        pieces = lex(text)
    except Refused:
        return  # what is never closed is refused when the script is checked, with a better place
    if not any(piece.start <= line.start() < piece.end for piece in pieces):
        raise _problem(f"a `-- {MARK}` line after the first statement has no effect; move it to the top")


class _Header:
    """A header line by line."""

    def __init__(self, kind: ScriptKind) -> None:
        self._parsers = _PARSERS[kind]
        self._kind = kind
        self._values: dict[str, Any] = {}

    def read(self, line: str) -> None:
        for key, value in _pairs(line):
            parser = self._parsers.get(key)
            if parser is None:
                self._refuse_key(key)
            elif not value:
                raise _problem(f"{key} has no value; write {key}=VALUE")
            elif key in self._values:
                raise _problem(f"{key} is given twice; say it once")
            else:
                self._values[key] = parser(value)

    def done(self) -> Header:
        copy = self._values.pop("copy", False) or Acknowledgement.COPY_DATA in self._values.get("allow", ())
        return Header(**self._values, copy_data=copy)

    def _refuse_key(self, key: str) -> None:
        if key in _PARSERS[ScriptKind.UP]:
            raise _problem(f"{key} is not for the {self._kind} script; say it in the up script, or remove it")
        known = ", ".join(f"{one}=" for one in self._parsers)
        raise _problem(f"{_shown(key)} is unknown; a `-- {MARK}` line knows {known}; correct it or remove it")


def _pairs(line: str) -> Iterator[tuple[str, str]]:
    rest = line.strip()
    while rest:
        key, equals, value = rest.split(maxsplit=1)[0].partition("=")
        if not equals:
            raise _problem(f"{_shown(key)} has no value; write KEY=VALUE, without blanks around the =")
        if key == "description":
            yield key, rest.partition("=")[2].strip()
            return
        yield key, value
        rest = rest[len(key) + 1 + len(value) :].lstrip()


def _transaction(value: str) -> TransactionMode:
    try:
        return TransactionMode(value.capitalize())
    except ValueError:
        raise _unknown("transaction", value, "auto, required and never") from None


def _requires(value: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(Version.parse(one).text for one in value.split(",")))


def _allow(value: str) -> tuple[str, ...]:
    allowed = tuple(dict.fromkeys(value.split(",")))
    for one in allowed:
        if one not in _OF_A_SCRIPT:
            raise _unknown("allow", one, ", ".join(_OF_A_SCRIPT))
    return allowed


_OF_A_SCRIPT: Final = tuple(one for one in Acknowledgement if one is not Acknowledgement.REAPPLY)
"""No script can know that it will be rolled back by hand."""


def _copy(value: str) -> bool:
    if value != "allow":
        raise _unknown("copy", value, "allow only")
    return True


def _restore(value: str) -> bool:
    if value != "never":
        raise _unknown("restore", value, "never only")
    return False


_OF_EITHER_WAY: Final[Mapping[str, Callable[[str], Any]]] = {"transaction": _transaction, "copy": _copy}
_PARSERS: Final[Mapping[ScriptKind, Mapping[str, Callable[[str], Any]]]] = {
    ScriptKind.UP: {**_OF_EITHER_WAY, "description": str, "requires": _requires, "allow": _allow},
    ScriptKind.DOWN: {**_OF_EITHER_WAY, "restore": _restore},
    ScriptKind.VERIFY: {},
}


def _unknown(key: str, value: str, known: str) -> Refused:
    return _problem(f"{key}={_shown(value)} is unknown; {key} knows {known}; correct it")


def _problem(sentence: str) -> Refused:
    return Refused(Reason.INVALID_SPEC, sentence)


def _shown(text: str) -> str:
    return repr(text) if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]!r}…"
