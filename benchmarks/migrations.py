"""200 migrations, and none: ours beside goose, Alembic, golang-migrate and psql, in the same run.

50 times create table, add column, create index, add foreign key; one file each, a transaction and a history row each,
on a fresh database each time. The server has fsync on and commits synchronously. What is measured is the whole process,
from its start to its end. After each the database is checked to have all tables, indexes and foreign keys.

psql stands for the least a client can do, in one process: once with a history row in each transaction, as the tools
have, and once without. Round trips are counted by a proxy, in a run of their own; the start of the session is among
them.

python -m benchmarks.migrations [rounds, 7]
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.measuring import (
    HEADING,
    Cost,
    Costs,
    deployed,
    fresh_database,
    interleaved,
    measure,
    rounds_asked,
    verdict,
)
from benchmarks.migration_set import MIGRATIONS, require_all_done
from benchmarks.peers import ALEMBIC, GOOSE, OURS, PSQL, PSQL_WITHOUT_HISTORY, TOOLS, Tool
from dev.postgres.counting_proxy import CountingProxy
from dev.postgres.server import PostgresServer

ROUNDS: Final = 7
WITH_NOTHING_TO_DO: Final = (OURS, GOOSE, ALEMBIC)
MEBIBYTES: Final = 45.0
ROUND_TRIPS: Final = 2.0
BOUNDS: Final = ((GOOSE, 1.0), (ALEMBIC, 0.4), (PSQL, 1.3))
NOTHING_BOUND: Final = 0.3

Table = dict[str, Costs]


def main() -> None:
    """Print what all 200 cost, what none costs, and how often each tool waits for the server."""
    rounds = rounds_asked(ROUNDS)
    with deployed() as server, _folders() as folders:
        contestants = {tool.name: partial(_apply, server, tool, folder) for tool, folder in folders.items()}
        for contest in contestants.values():
            contest()  # Once for nothing: programs get installed, files into memory, Python's byte code compiled.
        applied = interleaved(rounds, contestants)
        nothing = _nothing_to_do(server, folders, rounds)
        trips = {tool.name: _round_trips(server, tool, folder) for tool, folder in folders.items()}
    _print_table(f"{MIGRATIONS} migrations, {rounds} rounds", applied, trips)
    _print_table(f"nothing to do, {rounds} rounds", nothing)
    _print_verdicts(applied, nothing, trips)


@contextmanager
def _folders() -> Iterator[dict[Tool, Path]]:
    """Write each tool's files."""
    with tempfile.TemporaryDirectory() as place:
        folders = {tool: Path(place) / str(number) for number, tool in enumerate(TOOLS)}
        for tool, folder in folders.items():
            folder.mkdir()
            tool.write(folder)
        yield folders


def _apply(server: PostgresServer, tool: Tool, folder: Path) -> Cost:
    with fresh_database(server, "contest") as uri:
        cost = _run(tool, folder, uri)
        require_all_done(uri)
    return cost


def _run(tool: Tool, folder: Path, uri: str) -> Cost:
    return measure(tool.command(folder, uri), tool.environment(uri))


def _nothing_to_do(server: PostgresServer, folders: Mapping[Tool, Path], rounds: int) -> Table:
    """Run tools again and again on databases where everything is done."""
    contestants: dict[str, Callable[[], Cost]] = {}
    with ExitStack() as databases:
        for number, tool in enumerate(WITH_NOTHING_TO_DO):
            uri = databases.enter_context(fresh_database(server, f"done_{number}"))
            contestants[tool.name] = partial(_run, tool, folders[tool], uri)
            contestants[tool.name]()
        return interleaved(rounds, contestants)


def _round_trips(server: PostgresServer, tool: Tool, folder: Path) -> float:
    """Give how often a tool waits for the server, for each migration."""
    with fresh_database(server, "counted") as uri, CountingProxy(server.port) as proxy:
        _run(tool, folder, uri.replace(f":{server.port}/", f":{proxy.port}/"))
        require_all_done(uri)
        return proxy.round_trips / MIGRATIONS


def _print_table(title: str, table: Table, trips: Mapping[str, float] | None = None) -> None:
    print(f"\n{title}\n{'':28}{HEADING}{'  round trips / migration' if trips else ''}")
    for name, costs in table.items():
        print(f"{name:28}{costs}{f'  {trips[name]:23.2f}' if trips else ''}")


def _print_verdicts(applied: Table, nothing: Table, trips: Mapping[str, float]) -> None:
    ours, nothing_of_ours = applied[OURS.name], nothing[OURS.name]
    print()
    for peer, bound in BOUNDS:
        print(verdict(f"ours / {peer.name}", ours.seconds / applied[peer.name].seconds, bound))
    without_history = ours.seconds / applied[PSQL_WITHOUT_HISTORY.name].seconds
    print(f"{f'ours / {PSQL_WITHOUT_HISTORY.name}':44} {without_history:8.2f}")
    print(
        verdict("nothing to do, ours / alembic", nothing_of_ours.seconds / nothing[ALEMBIC.name].seconds, NOTHING_BOUND)
    )
    print(verdict("round trips for each migration", trips[OURS.name], ROUND_TRIPS))
    print(verdict("memory", max(ours.mebibytes, nothing_of_ours.mebibytes), MEBIBYTES, " MiB"))


if __name__ == "__main__":
    main()
