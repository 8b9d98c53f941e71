"""`python -m dev.demo up|down`: show what the operator does, on a real cluster, with the example of the shop."""

from __future__ import annotations

import subprocess
import sys

from dev.cluster.failure import ClusterFailed
from dev.cluster.provider import Source, provider, source
from dev.debian import PackagesMissing
from dev.demo.story import CLUSTER, StoryFailed, tell
from dev.progress import CommandFailed
from dev.release import NAME, helm


def main() -> int:
    """Run one of the two; give the exit code, 1 with a sentence where something went wrong."""
    try:
        return _act()
    except (StoryFailed, ClusterFailed, CommandFailed, PackagesMissing, ValueError) as problem:
        print(problem, file=sys.stderr)
    except subprocess.CalledProcessError as problem:
        print(f"{' '.join(map(str, problem.cmd[:4]))} … ended with {problem.returncode}; see above", file=sys.stderr)
    return 1


def _act() -> int:
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
