"""The number with which the name of a file or a folder begins, as a version."""

from __future__ import annotations

import re
from typing import Final

from schema_operator.scripts.formats.files import above_nothing

_DATE: Final = r"(?P<year>(?:19|20)[0-9]{2})-(?P<month>0[1-9]|1[0-2])-(?P<day>0[1-9]|[12][0-9]|3[01])(?![0-9])"
_TIME: Final = r"[-_](?P<time>[0-9]{6})(?![0-9])"
"""No care is taken that it is one: projects count up in the last digits, beyond 59."""
_LEADING = re.compile(rf"(?:{_DATE}(?:{_TIME})?|(?P<number>[0-9]+))(?P<joined>(?:[._-][0-9]+(?![^._-]))*)")
"""Further numbers count as joined where a separator or the end follows them: `1_2nd_try` begins with 1 alone."""
SEPARATORS: Final = "._-"
"""What may stand between a number and a name."""
_MIDNIGHT: Final = "000000"


def leading(name: str) -> tuple[str, str]:
    """Cut a name that begins with a digit into its version and the rest, separators and all.

    Joined numbers become dots: `00.17.00_02_name` is version 00.17.00.02. A date loses its dashes and has a time, so
    that it counts among others of its kind: `2024-01-15-120000` is 20240115120000, `2024-01-15` is 20240115000000.
    """
    match = _LEADING.match(name)
    if match is None:
        raise RuntimeError(f"{name} begins with no digit")
    version = match["number"] or "".join((*match.group("year", "month", "day"), match["time"] or _MIDNIGHT))
    joined = "".join("." if sign in SEPARATORS else sign for sign in match["joined"])
    if match["year"] and joined and not joined.rpartition(".")[2].strip("0"):
        # Diesel's later dates end in -0000 and are others than those without, but .0000 alone would count for nothing.
        joined += ".1"
    return above_nothing(version + joined), name[match.end() :]
