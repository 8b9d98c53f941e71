"""Many databases at once: nobody waits for another's run, and all of them cost what their pods cost.

* While runs on 50 databases sleep in a statement: how long until the Job of a migration on another database exists.
* Databases changed at the same moment: all applied, beside as many bare Jobs that do the same statement; the resources
  of both are the same, and the node decides. Once as their first migration, which also makes the control schema, and
  once as a second version.

python -m benchmarks.many_databases [databases, 200]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from benchmarks.apply_to_ready import STATEMENT, bare_job
from benchmarks.stage import (
    NAMESPACE,
    RUNNER,
    Changes,
    Manifest,
    Stage,
    complete,
    first,
    migration_of,
    ready,
    staged,
    target_of,
)

LONG = 50
OTHERS = 5
SETTLING_SECONDS = 20.0
QUIET = {"inspection": {"suspend": True}, "runner": RUNNER}
TRIVIAL = {"version": "1", "up": STATEMENT, "down": "DROP TABLE trivial"}
SECOND = {"version": "2", "up": "CREATE TABLE second (id int)", "down": "DROP TABLE second"}
SLEEPING = {"version": "1", "up": "SELECT pg_sleep(600)", "down": "SELECT 1"}


def main() -> None:
    """Print the times."""
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    with staged() as stage:
        bare = _bare(stage, [stage.new_database() for _ in range(wanted)])
        print(f"{wanted} bare Jobs: {bare:.1f} s", flush=True)
        databases = [stage.new_database() for _ in range(wanted)]
        stage.apply(*(item for database in databases for item in target_of(database, **QUIET)))
        began = _ours(stage, databases, TRIVIAL)
        changed = _ours(stage, databases, TRIVIAL, SECOND)
        jobs = _jobs(stage)
        print(f"{wanted} databases, first version: {began:.1f} s, {began / bare:.2f} of the bare Jobs")
        print(f"{wanted} databases, changed: {changed:.1f} s, {changed / bare:.2f} of them; {jobs} Jobs", flush=True)
        beside = _beside(stage)
    print(f"Job of another database while {LONG} run: {' '.join(f'{one:.3f}' for one in sorted(beside))} s")


def _bare(stage: Stage, databases: list[str]) -> float:
    jobs = [bare_job(stage, database) for database in databases]
    for job in jobs:
        job["spec"]["template"]["spec"]["containers"][0] |= RUNNER
    with stage.watched("job") as changes:
        begin = time.monotonic()
        stage.create(*jobs)
        return _all(changes, set(databases), complete) - begin


def _ours(stage: Stage, databases: list[str], *scripts: Manifest) -> float:
    def done(body: Manifest) -> bool:
        return ready(body) and body["status"]["version"] == scripts[-1]["version"]

    with stage.watched("sm") as changes:
        begin = time.monotonic()
        stage.apply(*(migration_of(database, *scripts) for database in databases))
        took = _all(changes, set(databases), done) - begin
    for database in databases:
        with stage.connect(database) as connection:
            rows = connection.execute("SELECT count(*) FROM schema_operator.schema_versions").fetchone()
            assert rows == (len(scripts),), rows
    return took


def _jobs(stage: Stage) -> int:
    owner = "app.kubernetes.io/managed-by=schema-operator"
    return len(stage.cluster.kubectl("-n", NAMESPACE, "get", "jobs", "-l", owner, "-o", "name").split())


def _all(changes: Changes, waiting: set[str], wanted: Callable[[Manifest], bool]) -> float:
    for moment, body in changes:
        if wanted(body):
            waiting.discard(body["metadata"]["name"])
        if not waiting:
            return moment
    raise RuntimeError("the watch ended")


def _beside(stage: Stage) -> list[float]:
    databases = [stage.new_database() for _ in range(LONG)]
    stage.apply(*(item for database in databases for item in target_of(database, **QUIET)))
    stage.create(*(migration_of(database, SLEEPING) for database in databases))
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    with stage.connect() as connection:
        while connection.execute(asleep).fetchone() != (LONG,):
            time.sleep(1.0)
    time.sleep(SETTLING_SECONDS)  # the node has started fifty pods, and is to be asked while they run
    return [_job_of(stage, stage.new_database()) for _ in range(OTHERS)]


def _job_of(stage: Stage, database: str) -> float:
    stage.apply(*target_of(database, **QUIET))
    time.sleep(2.0)
    with stage.watched("jobs") as changes:
        begin = stage.create(migration_of(database, TRIVIAL))
        return first(changes, lambda job: database in job["metadata"].get("name", "")) - begin


if __name__ == "__main__":
    main()
