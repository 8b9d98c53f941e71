"""`python -m dev.demo up|down`: show what the operator does, on a real cluster, with the example of the shop."""

from __future__ import annotations

import sys

from dev.cluster.provider import Source, provider, source
from dev.demo.story import CLUSTER, tell
from dev.release import NAME, helm


def main() -> int:
    """Run one of the two; give the exit code."""
    match sys.argv[1:]:
        case ["up"]:
            cluster = provider(CLUSTER)
            tell(cluster)
        case ["down"]:
            _remove()
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


def _remove() -> None:
    """Remove the demo's cluster, or from a cluster that is not ours what the demo put there."""
    cluster = provider(CLUSTER)
    if source() is Source.CURRENT:
        cluster.kubectl("delete", "namespace", "shop", "--ignore-not-found")
        helm(cluster, "uninstall", NAME, "--namespace", NAME, "--ignore-not-found")
    cluster.delete()
    print("The demo is gone.")


sys.exit(main())
