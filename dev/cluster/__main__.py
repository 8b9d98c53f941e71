"""`python -m dev.cluster up|down|kubeconfig|load|prepare`: the cluster of a name, wherever it comes from."""

from __future__ import annotations

import argparse
import subprocess
import sys

from dev import programs
from dev.cluster import local
from dev.cluster.failure import ClusterFailed
from dev.cluster.provider import Source, kubeconfig, provider, running, source
from dev.debian import PackagesMissing
from dev.image import image
from dev.progress import CommandFailed, say

DEVELOPMENT = "dev"
DEMO = "demo"


def main() -> int:
    """Do what the command line says. Gives the exit status: 1 with a sentence where something is missing."""
    parser = argparse.ArgumentParser(prog="python -m dev.cluster", description=__doc__)
    parser.add_argument("action", choices=["up", "down", "kubeconfig", "load", "prepare"])
    parser.add_argument("name", nargs="?", help=f"name of the cluster; default: {DEVELOPMENT}")
    chosen = parser.parse_args()
    try:
        _act(chosen.action, chosen.name or _default(chosen.action))
    except (ClusterFailed, CommandFailed, PackagesMissing, ValueError, subprocess.CalledProcessError) as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


def _default(action: str) -> str:
    """Give the cluster that is meant where none is named: whoever asks for a kubeconfig means the one that is there."""
    if action == "kubeconfig":
        return next((name for name in (DEVELOPMENT, DEMO) if running(name)), DEVELOPMENT)
    return DEVELOPMENT


def _act(action: str, name: str) -> None:
    match action:
        case "up":
            _up(name)
        case "down":
            provider(name).delete()
        case "kubeconfig":
            print(kubeconfig(name))
        case "load":
            _load(name)
        case _:
            _prepare()


def _up(name: str) -> None:
    say(f"Starting cluster {name} from '{source()}' (10 s once its programs are built)")
    cluster = provider(name)
    cluster.create()
    print(f"Ready. To use it: export KUBECONFIG={cluster.kubeconfig_path} PATH={cluster.kubectl_path.parent}:$PATH")


def _load(name: str) -> None:
    built = image()
    provider(name).load_docker_image(built)
    print(built)


def _prepare() -> None:
    """Install what tests and the chosen kind of cluster need, so that nothing has to be waited for later."""
    match source():
        case Source.LOCAL:
            local.prepare()
        case Source.KIND:
            provider("dev").ensure_kubectl()
        case Source.CURRENT:
            pass
    programs.kubectl()
    programs.helm()
    programs.gitops()


if __name__ == "__main__":
    sys.exit(main())
