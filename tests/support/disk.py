"""A disk so small that it fills up, for a server's files."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from dev.postgres.server import PostgresServer
from psycopg import sql

_KIB = 1024


@dataclass(frozen=True)
class SmallDisk:
    """A file system in memory, mounted on a folder."""

    folder: Path

    def resize(self, mebibytes: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={mebibytes}m", self.folder], check=True)

    def fill(self, free_kibibytes: int) -> Path:
        """Write a file that leaves so much, and give it."""
        free = os.statvfs(self.folder)
        filler = self.folder / "filler"
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_bsize - free_kibibytes * _KIB)
        return filler


@contextmanager
def small_disk(server: PostgresServer, name: str, mebibytes: int) -> Iterator[SmallDisk]:
    """Mount a small disk in a server's home; needs root, as nothing else here fills up for certain."""
    folder = server.folder(name)
    owner = folder.stat()
    options = f"size={mebibytes}m,mode=0700,uid={owner.st_uid},gid={owner.st_gid}"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=False, capture_output=True)
    assert mounted.returncode == 0, (
        f"the tests of full disks mount one in memory: run them as root ({mounted.stderr!r})"
    )
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@dataclass(frozen=True)
class Tablespace:
    """A tablespace on a disk of eight mebibytes."""

    name: str
    disk: SmallDisk


@pytest.fixture
def tablespace(server: PostgresServer) -> Iterator[Tablespace]:
    """Must be asked for before the database whose tables are in it, so that it is dropped later."""
    name = f"small_{uuid.uuid4().hex[:8]}"
    with small_disk(server, name, 8) as disk, psycopg.connect(server.uri(), autocommit=True) as connection:
        place = sql.SQL("CREATE TABLESPACE {} LOCATION {}")
        connection.execute(place.format(sql.Identifier(name), sql.Literal(str(disk.folder))))
        yield Tablespace(name, disk)
        connection.execute(sql.SQL("DROP TABLESPACE {}").format(sql.Identifier(name)))
