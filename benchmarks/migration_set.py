"""The 200 migrations that all tools are given, in each one's own format, and the look whether all of them were done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg

TABLES: Final = 50
_STEPS: Final = (
    (
        "create_table",
        "CREATE TABLE item_{number} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL);",
    ),
    ("add_column", "ALTER TABLE item_{number} ADD COLUMN parent_id bigint;"),
    ("create_index", "CREATE INDEX item_{number}_parent ON item_{number} (parent_id);"),
    ("add_foreign_key", "ALTER TABLE item_{number} ADD FOREIGN KEY (parent_id) REFERENCES item_{previous} (id);"),
)
MIGRATIONS: Final = TABLES * len(_STEPS)
_COUNTS: Final = """
    SELECT count(*) FILTER (WHERE relkind = 'r'), count(*) FILTER (WHERE relkind = 'i'),
           (SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND conname LIKE 'item%')
    FROM pg_class WHERE relname LIKE 'item%' AND relkind IN ('r', 'i')
"""
_HISTORY_TABLE: Final = "history (number int PRIMARY KEY, name text NOT NULL, at timestamptz NOT NULL DEFAULT now())"


@dataclass(frozen=True, slots=True)
class Migration:
    """One migration: its place, its name, and its SQL."""

    number: int
    name: str
    sql: str


def migrations() -> tuple[Migration, ...]:
    """Give all migrations in their order."""
    return tuple(Migration(place, name, sql) for place, (name, sql) in enumerate(_all(), start=1))


def _all() -> Iterator[tuple[str, str]]:
    for number in range(1, TABLES + 1):
        for name, sql in _STEPS:
            yield f"{name}_{number}", sql.format(number=number, previous=max(1, number - 1))


def require_all_done(uri: str) -> None:
    """Raise `AssertionError` where a database is not what the migrations make of an empty one."""
    with psycopg.connect(uri) as connection:
        found = connection.execute(_COUNTS).fetchone()
    # Each table has the index of its primary key and the one of a migration.
    assert found == (TABLES, 2 * TABLES, TABLES), f"tables, indexes and foreign keys are {found}"


Write = Callable[[Path], None]


def write_ours(folder: Path) -> None:
    """Write the files that `schema-operator run --scripts` reads."""
    for one in migrations():
        (folder / f"{one.number:04}_{one.name}.up.sql").write_text(one.sql + "\n")


def write_goose(folder: Path) -> None:
    """Write the files that goose reads."""
    for one in migrations():
        (folder / f"{one.number:05}_{one.name}.sql").write_text(f"-- +goose Up\n{one.sql}\n")


def write_golang_migrate(folder: Path) -> None:
    """Write the files that golang-migrate reads; it has no transaction but those that files have."""
    for one in migrations():
        (folder / f"{one.number:06}_{one.name}.up.sql").write_text(f"BEGIN;\n{one.sql}\nCOMMIT;\n")


def write_psql(folder: Path) -> None:
    """Write files for psql, each with its transaction, and its history row as the tools write one."""
    (folder / "0000.sql").write_text(f"CREATE TABLE {_HISTORY_TABLE};\n")
    for one in migrations():
        row = f"INSERT INTO history (number, name) VALUES ({one.number}, '{one.name}');"
        (folder / f"{one.number:04}.sql").write_text(f"BEGIN;\n{one.sql}\n{row}\nCOMMIT;\n")


def write_psql_without_history(folder: Path) -> None:
    """Write files for psql, each with its transaction and nothing else: the least there can be."""
    for one in migrations():
        (folder / f"{one.number:04}.sql").write_text(f"BEGIN;\n{one.sql}\nCOMMIT;\n")


def write_alembic(folder: Path) -> None:
    """Write an environment for Alembic: a transaction for each migration, no pool, no logging."""
    (folder / "alembic.ini").write_text(f"[alembic]\nscript_location = {folder}\n")
    (folder / "env.py").write_text(_ALEMBIC_ENVIRONMENT)
    versions = folder / "versions"
    versions.mkdir()
    for one in migrations():
        (versions / f"r{one.number:04}_{one.name}.py").write_text(_alembic_revision(one))


def _alembic_revision(one: Migration) -> str:
    previous = f"r{one.number - 1:04}" if one.number > 1 else None
    return (
        "from alembic import op\n\n"
        f"revision = 'r{one.number:04}'\ndown_revision = {previous!r}\nbranch_labels = None\ndepends_on = None\n\n\n"
        f"def upgrade():\n    op.execute({one.sql!r})\n\n\ndef downgrade():\n    pass\n"
    )


_ALEMBIC_ENVIRONMENT: Final = """\
import os

from alembic import context
from sqlalchemy import create_engine, pool

engine = create_engine(os.environ["ALEMBIC_URI"], poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
"""
