"""Real input: the migrations that ship with procrastinate, and the schema they must lead to."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import procrastinate
from dev.postgres import install

SQL = Path(procrastinate.__file__).parent / "sql"


def numbered_scripts() -> dict[str, str]:
    """Give the migrations as files of our own format, numbered in their order."""
    migrations = sorted((SQL / "migrations").glob("*.sql"))
    return {
        f"{number}_{path.stem}.up.sql": path.read_text(encoding="utf-8")
        for number, path in enumerate(migrations, start=1)
    }


def schema_sql() -> str:
    """Give the schema the migrations must lead to."""
    return (SQL / "schema.sql").read_text(encoding="utf-8")


def schema_of(uri: str) -> str:
    """Give the schema of a database as pg_dump writes it, without ours, its own noise and the order of columns."""
    options = ("--schema-only", "--no-owner", "--exclude-schema=schema_operator", "--dbname", uri)
    dump = subprocess.run([install.pg_dump(), *options], check=True, capture_output=True, text=True).stdout
    text = re.sub(r"^(\\(un)?restrict .*|-- Dumped (from|by) .*)\n", "", dump, flags=re.MULTILINE)
    return re.sub(
        r"(CREATE TABLE [^(]+\(\n)(.*?)(\n\);)",
        lambda found: found[1] + "\n".join(sorted(line.rstrip(",") for line in found[2].split("\n"))) + found[3],
        text,
        flags=re.DOTALL,
    )
