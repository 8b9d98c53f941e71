"""Durations in Go's form, as resources and options write them: `500ms`, `30s`, `1h30m`. Needs no pydantic."""

from __future__ import annotations

import re
from typing import Final

PATTERN: Final = r"^([0-9]+(ms|s|m|h))+$"
"""RE2 as well as Python: the CRDs use the same pattern."""
POSITIVE_PATTERN: Final = r"^([0-9]+(ms|s|m|h))*0*[1-9][0-9]*(ms|s|m|h)([0-9]+(ms|s|m|h))*$"
"""The same, and more than nothing."""
MAX_LENGTH: Final = 20

_FORM = re.compile(PATTERN.removeprefix("^").removesuffix("$"))
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_YEAR: Final = 366 * 24 * 3600.0


def seconds(duration: str) -> float:
    """Give the seconds of a duration, for example 5400.0 for `1h30m`; a year at most, which every clock can add."""
    found = sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([0-9]+)(ms|s|m|h)", duration))
    return min(found, _YEAR)


def parse(text: str) -> float:
    """Give the seconds of a duration or of a plain number of seconds; raises `ValueError` for what is neither."""
    if _FORM.fullmatch(text):
        return seconds(text)
    found = float(text)
    if not 0 <= found <= _YEAR:
        raise ValueError("a duration is between nothing and a year")
    return found
