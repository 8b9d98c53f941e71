"""How fast the controller answers: a refusal that needs no database, many scripts, and a runner that is killed.

* A script that cannot be parsed: from the object's existence to Stalled in the status, without a pod.
* 200 scripts in one resource: create to Ready, beside the trivial one; what the runner itself takes is in its report.
* A runner that is killed (SIGKILL) in the middle of a statement: from its death to Ready.

python -m benchmarks.controller_speed [rounds, 10]
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import sys
import time
from pathlib import Path

from benchmarks.stage import NAMESPACE, Manifest, Stage, condition, first, migration_of, ready, staged, target_of
from benchmarks.stage import found as found_in

SCRIPTS = 200
LONG_ROUNDS = 5
WRONG = {"version": "1", "up": "CREATE TABLE t (id int);\nCREATE TABEL u (id int);", "down": "DROP TABLE t"}
TRIVIAL = {"version": "1", "up": "CREATE TABLE trivial (id int)", "down": "DROP TABLE trivial"}
SLOW = {"version": "1", "up": "CREATE TABLE slow (); SELECT pg_sleep(3)", "down": "DROP TABLE slow"}


def main() -> None:
    """Print the times."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    with staged() as stage:
        refused = [_refused(stage) for _ in range(rounds)]
        runs = [(_runs(stage, TRIVIAL), _runs(stage, *_scripts())) for _ in range(LONG_ROUNDS)]
        killed = [_killed(stage) for _ in range(LONG_ROUNDS)]
    _print("refused without a pod", refused)
    _print("one script, to Ready", [one[0] for one, _ in runs])
    _print("of it, the runner", [one[1] for one, _ in runs])
    _print(f"{SCRIPTS} scripts, to Ready", [many[0] for _, many in runs])
    _print("of it, the runner", [many[1] for _, many in runs])
    ratios = [many[0] / (one[0] + many[1]) for one, many in runs]
    print(f"{SCRIPTS} scripts / (one script + the runner's own time): {statistics.median(ratios):.2f}")
    _print("runner killed, to Ready", killed)


def _print(name: str, values: list[float]) -> None:
    print(f"{name:24} p50 {statistics.median(values):.3f} s   {' '.join(f'{one:.2f}' for one in sorted(values))}")


def _scripts() -> list[Manifest]:
    return [
        {"version": str(one), "up": f"CREATE TABLE t{one} (id int)", "down": f"DROP TABLE t{one}"}
        for one in range(1, SCRIPTS + 1)
    ]


def _refused(stage: Stage) -> float:
    database = stage.new_database()
    stage.apply(*target_of(database))
    # Until it was seen, the version of the server is not known, nor what is pending: then a run finds out.
    seen = "--for=jsonpath={.status.version}"
    stage.cluster.kubectl("-n", NAMESPACE, "wait", f"targetdatabase/{database}", seen, "--timeout=60s")
    with stage.watched("sm", database) as changes:
        begin = stage.create(migration_of(database, WRONG))
        moment, body = found_in(changes, lambda body: condition(body, "Stalled") == "True")
    said = next(item["message"] for item in body["status"]["conditions"] if item["type"] == "Ready")
    assert "TABEL" in said, said
    pods = stage.cluster.kubectl("-n", NAMESPACE, "get", "pods,jobs", "-o", "name").split()
    assert not [name for name in pods if database in name and "-inspect-" not in name], pods
    return moment - begin


def _runs(stage: Stage, *scripts: Manifest) -> tuple[float, float]:
    """Give the seconds to Ready, and those of the runner by its own report."""
    database = stage.new_database()
    stage.apply(*target_of(database, inspection={"suspend": True}))
    with stage.watched("sm", database) as changes:
        begin = stage.create(migration_of(database, *scripts))
        moment, body = found_in(changes, ready)
    return moment - begin, _by_its_report(stage, body["status"]["runs"][0]["name"])


def _by_its_report(stage: Stage, job: str) -> float:
    message = "jsonpath={.items[0].status.containerStatuses[0].state.terminated.message}"
    report = stage.cluster.kubectl("-n", NAMESPACE, "get", "pods", "-l", f"job-name={job}", "-o", message)
    return float(json.loads(report)["seconds"])


def _killed(stage: Stage) -> float:
    """Give the seconds from the death of a runner to Ready, with the three that its statement takes again."""
    database = stage.new_database()
    stage.apply(*target_of(database, inspection={"suspend": True}))
    with stage.watched("sm", database) as changes:
        stage.create(migration_of(database, SLOW))
        while not (runners := _runners(database)) or not _sleeps(stage, database):
            time.sleep(0.05)
        begin = time.monotonic()
        for process in runners:
            os.kill(process, signal.SIGKILL)
        return first(changes, ready) - begin


def _runners(database: str) -> list[int]:
    """Find the runners of a database among the processes of this machine, which is the node."""
    wanted = f"HOSTNAME={database}-".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (folder / "environ").read_bytes() and b"schema-operator" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def _sleeps(stage: Stage, database: str) -> bool:
    sleeping = "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = %s AND wait_event = 'PgSleep'"
    with stage.connect() as connection:
        return bool(connection.execute(sleeping, [database]).fetchone() == (True,))


if __name__ == "__main__":
    main()
