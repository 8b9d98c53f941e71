"""`python3 -m dev.postgres install [MAJOR ...]`: download servers, the dump program and SQL for the tests."""

from __future__ import annotations

import argparse

from dev.postgres import install
from dev.postgres.packages import MAJORS, SERVERS


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python3 -m dev.postgres", description=__doc__)
    commands = parser.add_subparsers(required=True)
    installing = commands.add_parser("install", help="download what the tests need; quick when it is there")
    choice = f"of {[*SERVERS]}; absent, {[*MAJORS]}"
    installing.add_argument("majors", nargs="*", type=int, metavar="MAJOR", help=choice)
    majors = parser.parse_args().majors or MAJORS
    if unknown := set(majors) - set(SERVERS):
        parser.error(f"there is no PostgreSQL {unknown.pop()} here, only {[*SERVERS]}")
    for major in majors:
        print(f"PostgreSQL {major}: {install.server(major)}")
    print(f"pg_dump: {install.pg_dump()}")
    print(f"migrations of graphile-worker: {install.graphile_worker()}")


if __name__ == "__main__":
    main()
