"""What outsiders see of a SchemaMigration: every state that a watch tells of, and one each tenth of a second.

Whenever a sample says that all is done, the database is asked in the same moment whether it is.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from threading import Event, Thread
from typing import Any

import psycopg
from dev.cache import environment
from dev.cluster.kubectl import Cluster

from schema_operator.api.model import API_VERSION, GROUP
from support import kstatus
from support.kstatus import Kstatus
from support.operator import Shop, connect

Plain = dict[str, Any]

EVERY = 0.1
"""Seconds from one sample to the next."""
_SERVING = re.compile(r"Starting to serve on 127\.0\.0\.1:(?P<port>\d+)")
_DELETED = 404


@dataclass(slots=True)
class Samples:
    """What was seen, in the order it was seen in; `early` says what was called done and was not."""

    watched: list[Plain] = field(default_factory=list)
    polled: list[Plain] = field(default_factory=list)
    early: list[str] = field(default_factory=list)
    looked: int = 0
    """How often the database was asked, and the generation was still the same afterwards."""


@contextmanager
def sampling(shop: Shop, name: str = "shop") -> Iterator[Samples]:
    """Sample a SchemaMigration, which need not be there yet, while the context lasts."""
    samples, stopped = Samples(), Event()
    kind = f"/apis/{GROUP}/{API_VERSION}/namespaces/{shop.namespace}/schemamigrations"
    with _proxy(shop.cluster) as (port, end):
        sampler = _Sampler(shop, samples, port, f"{kind}/{name}", stopped)
        threads = [
            Thread(
                target=sampler.guarded,
                args=(lambda: sampler.watch(f"{kind}?watch=1&fieldSelector=metadata.name={name}"),),
            ),
            Thread(target=sampler.guarded, args=(sampler.poll,)),
        ]
        for thread in threads:
            thread.start()
        try:
            yield samples
        finally:
            stopped.set()
            end()
            for thread in threads:
                thread.join()
    if sampler.failures:
        raise sampler.failures[0]


@contextmanager
def _proxy(cluster: Cluster) -> Iterator[tuple[int, Callable[[], None]]]:
    """Run `kubectl proxy`, because starting a kubectl for each sample would take longer than the samples are apart."""
    cluster.ensure_kubectl()
    command = [str(cluster.kubectl_path), f"--kubeconfig={cluster.kubeconfig_path}", "proxy", "--port=0"]
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)
    try:
        found = _SERVING.match(process.stdout.readline() if process.stdout else "")
        if found is None:
            raise RuntimeError("kubectl proxy did not start; it said why")
        yield int(found["port"]), process.terminate
    finally:
        process.terminate()
        process.communicate()


@dataclass(slots=True)
class _Sampler:
    shop: Shop
    samples: Samples
    port: int
    path: str
    stopped: Event
    failures: list[Exception] = field(default_factory=list)

    def guarded(self, work: Callable[[], None]) -> None:
        """Do one thread's work; what fails before the end is kept for the test to fail with."""
        try:
            work()
        except Exception as failure:  # noqa: BLE001 - raised again in the test's own thread
            if not self.stopped.is_set():
                self.failures.append(failure)

    def watch(self, path: str) -> None:
        """Take what the API server tells of, version by version, until it is cut off."""
        with self._connected() as (api, database):
            api.request("GET", path)
            with api.getresponse() as told:
                for line in told:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise HTTPException(line.decode())
                    if event["type"] != "DELETED":
                        self.samples.watched.append(event["object"])
                        self._compare(event["object"], database)

    def poll(self) -> None:
        """Take a sample each tenth of a second."""
        with self._connected() as (api, database):
            while not self.stopped.wait(EVERY):
                item = self._read(api)
                if item is not None:
                    self.samples.polled.append(item)
                    self._compare(item, database)

    @contextmanager
    def _connected(self) -> Iterator[tuple[HTTPConnection, psycopg.Connection[tuple[Any, ...]]]]:
        with (
            closing(HTTPConnection("127.0.0.1", self.port)) as api,
            connect(self.shop.port, self.shop.database) as database,
        ):
            yield api, database

    def _read(self, api: HTTPConnection) -> Plain | None:
        api.request("GET", self.path)
        answer = api.getresponse()
        text = answer.read()
        return None if answer.status == _DELETED else dict(json.loads(text))

    def _compare(self, item: Plain, database: psycopg.Connection[tuple[Any, ...]]) -> None:
        """Ask the database whether what is called done is done."""
        if kstatus.verdict(item) is not Kstatus.CURRENT:
            return
        there = _applied(database)
        with closing(HTTPConnection("127.0.0.1", self.port)) as api:
            now = self._read(api)
        if now is None or now["metadata"]["generation"] != item["metadata"]["generation"]:
            return  # asked for something else meanwhile, and that may be there already
        self.samples.looked += 1
        wanted = item["spec"]["version"]
        if there[-1:] != [wanted]:
            self.samples.early.append(f"{wanted} is called done, and the database has {there}")


def _applied(database: psycopg.Connection[tuple[Any, ...]]) -> list[str]:
    """Give the versions that are applied, oldest first, by the rows of the history alone."""
    try:
        rows = database.execute("SELECT version FROM schema_operator.schema_versions ORDER BY applied_at").fetchall()
    except psycopg.errors.UndefinedTable:
        return []
    found: list[str] = []
    for (version,) in rows:
        if version.endswith("-rollback"):
            found.remove(version.removesuffix("-rollback"))
        else:
            found.append(version)
    return found
