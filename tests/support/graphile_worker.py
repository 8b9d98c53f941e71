"""Real input: the migrations that ship with graphile-worker, with a variable of psql for the schema's name."""

from __future__ import annotations

import re
from pathlib import Path

from dev.postgres import install

VARIABLE = "GRAPHILE_WORKER_SCHEMA"
"""The variable its migrations use everywhere, as `:GRAPHILE_WORKER_SCHEMA`."""


def folder() -> Path:
    """Give the folder of the migrations, installed first if need be: `000001.sql` and so on."""
    return install.graphile_worker()


def filled(text: str, schema: str = "graphile_worker") -> str:
    """Give a migration with a name for the schema, as graphile-worker's own runner does it."""
    return re.sub(rf":{VARIABLE}\b", schema, text)
