"""On which servers a test runs: the oldest, the newest, and one of those between, each of which gets its share.

With `SERVERS=all` in the environment (`make test SERVERS=all`), on all of them.
"""

import os
import zlib
from typing import Any

from dev.postgres.packages import MAJORS

BETWEEN = MAJORS[1:-1]


def is_chosen(test: str, major: int) -> bool:
    """Tell whether a test, named without its server, runs on a server; the same in every run."""
    return major not in BETWEEN or major == BETWEEN[zlib.crc32(test.encode()) % len(BETWEEN)]


def chosen(name: str, parameters: dict[str, Any], *, everywhere: bool | None = None) -> bool:
    """Tell whether an item runs; `parameters` are those it was made with, of which `server` is a major version."""
    if everywhere if everywhere is not None else os.environ.get("SERVERS") == "all":
        return True
    major = parameters.get("server")
    return not isinstance(major, int) or is_chosen(name.replace(f"postgres{major}", ""), major)
