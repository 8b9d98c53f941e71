"""Sizes in Kubernetes' form for powers of two, as resources and options write them: `500Mi`. Needs no pydantic."""

from __future__ import annotations

import re
from typing import Final

PATTERN: Final = r"^[1-9][0-9]*(Ki|Mi|Gi|Ti)?$"
"""RE2 as well as Python: the CRDs use the same pattern."""
MAX_LENGTH: Final = 20

_FORM = re.compile(r"([1-9][0-9]*)(Ki|Mi|Gi|Ti)?")
_UNITS: Final = {"": 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}
_MOST: Final = (1 << 63) - 1
"""The server's bigint."""


def in_bytes(text: str) -> int:
    """Give the bytes of a size, for example 1073741824 for `1Gi`; raises `ValueError` for what is none."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError("a size is a number of bytes, or like 500Mi, 1Gi")
    return min(int(found[1]) * _UNITS[found[2] or ""], _MOST)
