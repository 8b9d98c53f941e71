"""What the controller costs when there is nothing to do.

Memory with 100 migrations that are Ready, and writes to the API.

Writes are counted by the API server's own metrics for the kinds the controller may write, over two minutes, which is
two of its rounds over everything.

python -m benchmarks.controller_idle [migrations, 100]
"""

from __future__ import annotations

import sys
import time

from benchmarks.stage import NAMESPACE, Manifest, migration_of, resident, staged, target_of, writes
from dev.cluster.kubectl import Cluster

DATABASES = 10
IDLE_SECONDS = 120
PATIENCE = 900


def main() -> None:
    """Print the controller's memory and the writes."""
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with staged() as stage:
        databases = [stage.new_database() for _ in range(DATABASES)]
        objects = [item for database in databases for item in target_of(database)]
        stage.apply(*objects, *(_migration(number, databases) for number in range(wanted)))
        _wait(stage.cluster, wanted)
        time.sleep(30)  # until the last Events are written
        before = writes(stage.cluster)
        time.sleep(IDLE_SECONDS)
        written = writes(stage.cluster) - before
        memory = resident(stage.cluster)
    print(f"{wanted} migrations Ready: controller {memory:.0f} MiB resident, {written:.0f} writes in {IDLE_SECONDS} s")


def _migration(number: int, databases: list[str]) -> Manifest:
    script = {
        "version": str(number + 1),
        "up": f"CREATE TABLE t{number} (); -- {'x' * 2000}",
        "down": f"DROP TABLE t{number}",
    }
    return migration_of(f"idle-{number}", script, database=databases[number % len(databases)])


def _wait(cluster: Cluster, wanted: int) -> None:
    deadline = time.monotonic() + PATIENCE
    path = '{.items[*].status.conditions[?(@.type=="Ready")].status}'
    while cluster.kubectl("-n", NAMESPACE, "get", "sm", "-o", f"jsonpath={path}").split().count("True") < wanted:
        if time.monotonic() > deadline:
            raise SystemExit(f"not Ready within {PATIENCE} s")
        time.sleep(2)


if __name__ == "__main__":
    main()
