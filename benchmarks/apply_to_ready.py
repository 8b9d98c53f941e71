"""How long `kubectl apply` to Ready takes, beside a bare Job that does the same statement and nothing else.

Both run in the same cluster, on the same node, with the same image and the same database server, in turn. The bare Job
is the least there can be: a container that starts Python, connects with psycopg and runs the statement; its clock stops
when the Job is Complete. Ours stops when the SchemaMigration is Ready at its generation. Times are taken from a watch
that was open before the object was created. Also printed: how long until the first condition stands in the status.

python -m benchmarks.apply_to_ready [rounds, 10]
"""

from __future__ import annotations

import statistics
import sys

from benchmarks.stage import (
    Manifest,
    Stage,
    complete,
    first,
    manifest_of,
    migration_of,
    ready,
    staged,
    target_of,
    uri_of,
)

STATEMENT = "CREATE TABLE trivial (id int)"
BARE = "import os, psycopg; psycopg.connect(os.environ['URI'], autocommit=True).execute(os.environ['SQL'])"


def main() -> None:
    """Print both distributions, their medians and the ratio."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    times: dict[str, list[float]] = {"bare Job": [], "ours": [], "first condition": []}
    with staged() as stage:
        for _ in range(rounds):
            times["bare Job"].append(_bare_job(stage, stage.new_database()))
            done, seen = _migration(stage, stage.new_database())
            times["ours"].append(done)
            times["first condition"].append(seen)
    for name, values in times.items():
        listed = " ".join(f"{value:.2f}" for value in sorted(values))
        print(f"{name:16} p50 {statistics.median(values):.3f} s   {listed}")
    print(f"ours / bare Job: {statistics.median(times['ours']) / statistics.median(times['bare Job']):.2f}")


def _bare_job(stage: Stage, database: str) -> float:
    with stage.watched("job", database) as changes:
        begin = stage.create(bare_job(stage, database))
        return first(changes, complete) - begin


def bare_job(stage: Stage, database: str) -> Manifest:
    """Give a Job that does the statement in a database, and nothing else."""
    container = {
        "name": "bare",
        "image": stage.image,
        "command": ["/opt/schema-operator/bin/python", "-c", BARE],
        "env": [{"name": "URI", "value": uri_of(database)}, {"name": "SQL", "value": STATEMENT}],
    }
    job = manifest_of("batch/v1", "Job", database)
    job["spec"] = {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}
    return job


def _migration(stage: Stage, database: str) -> tuple[float, float]:
    stage.apply(*target_of(database))
    migration = migration_of(database, {"version": "1", "up": STATEMENT, "down": "DROP TABLE trivial"})
    with stage.watched("sm", database) as changes:
        begin = stage.create(migration)
        seen = first(changes, lambda body: bool(body.get("status", {}).get("conditions")))
        return first(changes, ready) - begin, seen - begin


if __name__ == "__main__":
    main()
