"""How much of the server's primary message may be shown. Pure.

Names may, values may not: neither those of rows nor literals of the script. The server puts both in double quotes, and
in other languages than English in other quotes, so what is not known to hold only names is not shown:

* class 22 and XX000 hold values: only texts that are known are shown, up to the value; else the state's name is.
* 42601 quotes a token: it is shown where it is a word or a sign, and does not touch a quote in the statement.
* A text that a function raised may hold anything. It is shown where its format stands in the script or in the function,
  with `…` for what was filled in (the format is what its author wants to be read). Else the function is named.
* In all other texts of the server, what follows a colon and a quote is a value, and so are the values of enums;
  everything else is names.
"""

from __future__ import annotations

import re
from typing import Final

from psycopg import errors

from schema_operator.postgres.server_error import NOTHING_KNOWN, Circumstances, ServerError

MESSAGE_LIMIT: Final = 300
"""Characters kept of the server's primary message."""
MASK: Final = "…"

_OPEN: Final = "[\"'«»“”„‘’‹›「『]"  # noqa: RUF001 (the quotes of the languages the server speaks)
_AFTER_COLON: Final = re.compile(rf": ?{_OPEN}.*|: 0x[0-9a-f].*", re.DOTALL)
_LABEL: Final = re.compile(r'(?<=new value )"[^"]*"(?= of enum type )|(?<=enum label )"[^"]*"')
"""Values of an enum, which are literals in a script."""
_VALUE_STATES: Final = ("22", "XX000", "38", "39", "HV", "P0001", "P0004", "58P01", "F0")
_NAMES_CLASSES: Final = """
    01 08 09 0A 0B 0F 0L 0P 0Z 20 21 23 24 25 26 27 28 2B 2D 2F 34 3B 3D 3F 40 42 44 53 54 55 57 58 72 P0 XX
    """
_SHOWN_CLASSES: Final = frozenset(_NAMES_CLASSES.split())
_KNOWN: Final = (
    r"invalid input syntax for type [a-z][a-z0-9_ ]*(?=$|: )",
    r'invalid input value for enum (?:[a-z_]\w*|"(?:[^"]|"")+")(?:\.(?:[a-z_]\w*|"(?:[^"]|"")+"))?(?=: )',
    r"malformed (?:array|record|range|multirange) literal(?=: )",
    r"(?:date/time field value|timestamp|date|interval field value|time zone displacement) out of range(?=$|: )",
    r"value (?=\".*\" is out of range for type [a-z ]+$)",
    r"(?:smallint|integer|bigint|oid|numeric|real|interval|money) (?:field )?(?:out of range|overflow)$",
    r"value out of range(?:: overflow|: underflow)?$",
    r"value too long for type [a-z ]+\(\d+\)$",
    r"bit string length \d+ does not match type bit\(\d+\)$",
    r"division by zero$",
    r"missing data for column \"[^\"]+\"$",
    r"extra data after last expected column$",
    r"null value cannot be assigned to variable(?= )",
    r"invalid byte sequence for encoding \"[A-Z0-9_]+\"(?=: )",
    r"invalid value for parameter \"[A-Za-z_.]+\"(?=: )",
    r"invalid value for \w+ option \"[A-Za-z_.]+\"(?=: )",
    r"unrecognized parameter \"[A-Za-z_.]+\"$",
    r"role \"[^\"]+\" does not exist$",
    r"extension \"[^\"]+\" (?:is not available|has no installation script nor update path)(?=$| )",
    r"invalid regular expression(?=: )",
    r"cannot (?:cast|convert|extract|get|set|delete|call)[a-z ]*(?=$)",
    r"could not open extension control file(?= )",
    r"could not (?:access|open|read|write|load|find|stat) [a-z ]*(?= \")",
    r"tuple concurrently (?:updated|deleted)$",
    r"cache lookup failed for [a-z ]+ \d+$",
    r"could not open relation with OID \d+$",
    r"invalid memory alloc request size \d+$",
    r"nextval: reached (?:maximum|minimum) value of sequence \"[^\"]+\"(?= )",
)
"""Beginnings of texts that hold values after them; not compiled, because few runs need them."""
_TOKEN_QUOTED: Final = re.compile(r'(?P<before>.* at or near )"(?P<token>.*)"', re.DOTALL)
_TOKEN: Final = re.compile(r'[A-Za-z_][\w$]*|"[^"\']*"|[^\w\s\'"$]{1,3}', re.ASCII)
_CAMEL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def shown(error: ServerError, known: Circumstances = NOTHING_KNOWN, statement: str = "") -> str:
    """Give what may be shown of an error's primary message, on one line; `statement` is the one that failed."""
    text = _masked(error, known, statement) if error.sqlstate or error.message else ""
    return " ".join(text.split())[:MESSAGE_LIMIT]


def hint(error: ServerError) -> str | None:
    """Give the server's hint, where it speaks of names and types only."""
    if error.raised or not error.hint or not (error.sqlstate or "").startswith("42"):
        return None
    return _AFTER_COLON.sub(f": {MASK}", " ".join(error.hint.split()))[:MESSAGE_LIMIT]


def condition_name(state: str) -> str:
    """Give the name PostgreSQL has for an SQLSTATE, in words."""
    try:
        name = errors.lookup(state).__name__
    except KeyError:
        return f"an error with SQLSTATE {state}"
    return _CAMEL.sub(" ", name.rstrip("_")).lower()


def _masked(error: ServerError, known: Circumstances, statement: str) -> str:
    state = error.sqlstate or ""
    if error.raised:
        return _raised(error, known)
    if state == "42601":
        return _syntax_error(error, statement)
    if state[:2] not in _SHOWN_CLASSES and state[:2] != "22":
        return condition_name(state) if state else ""
    if state.startswith(_VALUE_STATES):
        return _known(error.message) or condition_name(state)
    return _AFTER_COLON.sub(f": {MASK}", _LABEL.sub(f'"{MASK}"', error.message))


def _known(message: str) -> str | None:
    """Give the beginning of a text that is known, up to its value, with `…` for the rest."""
    found = next((match for pattern in _KNOWN if (match := re.match(pattern, message))), None)
    if found is None:
        return None
    rest = message[found.end() :]
    if not rest:
        return found[0]
    tail = re.search(r"is out of range for type [a-z ]+$", rest)
    separator = ":" if rest.startswith(":") else ""
    return f"{found[0].rstrip()}{separator} {MASK}" + (f" {tail[0]}" if tail else "")


def _raised(error: ServerError, known: Circumstances) -> str:
    if known.raised:
        return known.raised
    if error.routine is None:
        by = "a function"
    elif error.routine == "inline_code_block":
        by = f"line {error.routine_line} of the DO block"
    else:
        by = f"the function {error.routine}, line {error.routine_line},"
    return f"{by} raised an error; its text may hold values of rows, so only the log of the server has it"


def _syntax_error(error: ServerError, statement: str) -> str:
    found = _TOKEN_QUOTED.fullmatch(error.message)
    if found is None:
        text = _AFTER_COLON.sub(f": {MASK}", error.message)
        plain = _speaks_of_names(text) and not _touches_a_quote(statement, error.position)
        return text if plain else condition_name("42601")
    plain = bool(_TOKEN.fullmatch(found["token"])) and not _touches_a_quote(statement, error.position)
    return f'{found["before"]}"{found["token"] if plain else MASK}"'


def _speaks_of_names(text: str) -> bool:
    """Whether a text is one of the grammar's and not of a function that reads a value (tsquery, jsonpath)."""
    return not re.search(r"jsonpath|tsquery|JSON|XML", text) and '"' not in re.sub(
        r'"[a-z_?][\w$?]*"', "", text, flags=re.ASCII | re.IGNORECASE
    )


def _touches_a_quote(statement: str, position: int | None) -> bool:
    """Whether a word stands directly beside a quote: then it may be a part of a string that ended too early."""
    if position is None or not statement:
        return False
    word = re.compile(r"\w+", re.ASCII).match(statement, position - 1)
    return word is not None and "'" in {
        statement[word.start() - 1 : word.start()],
        statement[word.end() : word.end() + 1],
    }
