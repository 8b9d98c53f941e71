"""How long a runner takes to its first SQL, and how much memory, against a start of the official Kubernetes client.

Both are started in turn, so that whatever else the machine does falls on both; medians of 9. Run from the checkout:
`.venv/bin/python benchmarks/runner_start.py`. Prints the ratio (the bound is 0.4), the runner's memory (45 MiB), and
what one trivial migration takes on a fresh database and on one that has the control schema.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import peers  # noqa: E402 (the checkout is on the path from here on)
from dev.postgres.server import PostgresServer  # noqa: E402

ROUNDS = 9
RATIO = 0.4
MEBIBYTES = 45
RUNNER = """
import sys
from schema_operator.cli.main import execute
import schema_operator.cli.run
from schema_operator.postgres import address, connecting
connection = connecting.connect(address.from_text(sys.argv[1]), "benchmark")
connection.execute("SELECT 1").fetchone()
"""
CLIENT = """
import kubernetes.client as client
for api in (client.BatchV1Api, client.CoreV1Api, client.CustomObjectsApi):
    api(client.ApiClient(client.Configuration()))
client.V1Job(metadata=client.V1ObjectMeta(name="x"), spec=client.V1JobSpec(template=client.V1PodTemplateSpec(
    spec=client.V1PodSpec(containers=[client.V1Container(name="x", image="x")], restart_policy="Never"))))
"""


def measure(*command: str, environment: dict[str, str] | None = None) -> tuple[float, float]:
    """Run a program to its end; give its seconds and the MiB it had at most."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, **(environment or {})})
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return seconds, usage.ru_maxrss / 1024


def median(values: list[float]) -> float:
    """Give the median."""
    return statistics.median(values)


def starts(uri: str) -> None:
    """Compare the two starts."""
    runner, client = [], []
    for _ in range(ROUNDS):
        runner.append(measure(sys.executable, "-c", RUNNER, uri))
        client.append(measure(str(peers.kubernetes_client()), "-c", CLIENT))
    ours, theirs = median([one[0] for one in runner]), median([one[0] for one in client])
    memory, their_memory = median([one[1] for one in runner]), median([one[1] for one in client])
    print(f"runner to first SQL: {ours:.3f} s, {memory:.1f} MiB (bound {MEBIBYTES})")
    print(f"kubernetes client:   {theirs:.3f} s, {their_memory:.1f} MiB")
    print(f"ratio: {ours / theirs:.2f} (bound {RATIO})")


def runs(server: PostgresServer) -> None:
    """Time whole runs of one trivial migration, against a bare Python that does the same with psycopg."""
    program = str(Path(sys.executable).with_name("schema-operator"))
    bare = "import sys, psycopg; psycopg.connect(sys.argv[1], autocommit=True).execute('CREATE TABLE bare (id int)')"
    fresh, second, nothing, plain = [], [], [], []
    with tempfile.TemporaryDirectory() as folder, psycopg.connect(server.uri(), autocommit=True) as admin:
        for number in range(ROUNDS):
            admin.execute(f"CREATE DATABASE run{number}".encode())
            uri = server.uri(f"run{number}")
            command = (program, "run", "--scripts", folder)
            environment = {"SCHEMA_OPERATOR_URI": uri}
            first = Path(folder) / "1_first.up.sql"
            first.write_text("CREATE TABLE first (id int);")
            fresh.append(measure(*command, environment=environment))
            (Path(folder) / "2_second.up.sql").write_text("CREATE TABLE second (id int);")
            second.append(measure(*command, environment=environment))
            nothing.append(measure(*command, environment=environment))
            (Path(folder) / "2_second.up.sql").unlink()
            plain.append(measure(sys.executable, "-c", bare, uri))
    rows = {"fresh database": fresh, "control schema there": second, "nothing to do": nothing, "bare psycopg": plain}
    for name, values in rows.items():
        print(f"run, {name}: {median([one[0] for one in values]):.3f} s, {median([one[1] for one in values]):.1f} MiB")
    print(f"ratio to bare psycopg: {median([o[0] for o in second]) / median([o[0] for o in plain]):.2f}")


def main() -> None:
    """Print both comparisons."""
    with PostgresServer(18) as server:
        starts(server.uri())
        runs(server)


if __name__ == "__main__":
    main()
