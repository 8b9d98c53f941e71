"""A database as the first release of this program has left it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from support.postgres import Database

RELEASED = Path(__file__).parents[1] / "postgres/released/control_schema_1.sql"
"""The control schema as the first release installed it; must never be edited."""
RELEASED_CHECKSUM = "5f5c5307fd3257a80c8de2a19d5f2c447afea2670c8900a11cdeeb73d3694631"
FILES = {"1_x.up.sql": "SELECT 1;", "1_x.down.sql": "SELECT 2;", "2_y.up.sql": "SELECT 3;"}


def install_released(database: Database, owner: str | None = None) -> None:
    """Make the control schema as the first release did, with version 1 of FILES applied by it for shop/shop."""
    checksum = hashlib.sha256(FILES["1_x.up.sql"].encode()).hexdigest()
    with database.connect() as connection, connection.transaction():
        if owner is not None:
            connection.execute(f"GRANT CREATE ON DATABASE {database.name} TO {owner}; SET LOCAL ROLE {owner}".encode())
        connection.execute(RELEASED.read_bytes())
        connection.execute(
            "INSERT INTO schema_operator.control_versions (version, script_name, checksum, applied_by) "
            "VALUES ('1', 'migrations/1_control_schema.up.sql', %s, 'shop/shop')",
            [RELEASED_CHECKSUM],
        )
        connection.execute(
            "WITH row AS (INSERT INTO schema_operator.schema_versions (version, description, script_name, checksum, "
            "applied_by) VALUES ('1', 'x', '1_x.up.sql', %s, 'shop/shop') RETURNING id), event AS (INSERT INTO "
            "schema_operator.events (event, version, actor, owner, run, program) VALUES ('Applied', '1', 'shop/shop', "
            "'shop/shop', 'run-1', 'schema-operator 0.1.0')) INSERT INTO schema_operator.version_scripts (version_id, "
            "version, action, owner, run, up_sql, down_sql, down_name) SELECT id, '1', 'apply', 'shop/shop', 'run-1', "
            "%s, %s, '1_x.down.sql' FROM row",
            [checksum, FILES["1_x.up.sql"], FILES["1_x.down.sql"]],
        )
