"""On which servers a test runs: on the newest, and on one of the older ones, each of which gets its share.

With `SERVERS=all` in the environment (`make test SERVERS=all`), on all of them. A test that names its servers runs on
those.
"""

import os
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

from dev.postgres.packages import MAJORS

OLDER = MAJORS[:-1]


def is_chosen(test: str, major: int) -> bool:
    """Tell whether a test, named without its server, runs on a server; the same in every run."""
    return major not in OLDER or major == OLDER[zlib.crc32(test.encode()) % len(OLDER)]


def left_out(items: Iterable[tuple[str, dict[str, Any]]], *, everywhere: bool | None = None) -> Sequence[int]:
    """Give which of some items do not run, by their places.

    An item is a test's name and the parameters it was made with, of which `server` is a major version.
    """
    if everywhere if everywhere is not None else os.environ.get("SERVERS") == "all":
        return ()
    servers: dict[str, set[int]] = {}
    places: list[tuple[int, str, int]] = []
    for place, (name, parameters) in enumerate(items):
        major = parameters.get("server")
        if isinstance(major, int):
            test = name.replace(f"postgres{major}", "")
            servers.setdefault(test, set()).add(major)
            places.append((place, test, major))
    return [place for place, test, major in places if len(servers[test]) == len(MAJORS) and not is_chosen(test, major)]
