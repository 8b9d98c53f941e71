"""Rows of the progress views, as sentences and fractions."""

from __future__ import annotations

from typing import Any

import pytest

from schema_operator.postgres.activity import Activity, tell

ITEM = "public.item"
NOTE = "public.item_note"


def building(phase: str | None, index: str | None = None, command: str = "CREATE INDEX", **counters: int) -> Activity:
    return Activity("create_index", ITEM, index, {"command": command, "phase": phase, **counters})


def concurrently(phase: str, **counters: int) -> Activity:
    return building(phase, NOTE, "CREATE INDEX CONCURRENTLY", **counters)


def row(view: str, phase: str, **counters: Any) -> Activity:
    return Activity(view, ITEM, None, {"phase": phase, **counters})


def copying(command: str = "COPY FROM", relation: str | None = ITEM, **counters: int) -> Activity:
    return Activity("copy", relation, None, {"command": command, "type": "PIPE", **counters})


SCAN = "building index: scanning table"
LOAD = "building index: loading tuples in tree"
CASES: dict[str, tuple[Activity, str, float | None]] = {
    "nothing is said yet": (building(None), "building an index on public.item", None),
    "the beginning": (building("initializing"), "building an index on public.item: starting", 0),
    "a table not committed yet": (
        Activity("create_index", None, None, {"command": "CREATE INDEX", "phase": "initializing"}),
        *("building an index on a new table: starting", 0),
    ),
    "a scan": (
        building(SCAN, blocks_total=200, blocks_done=91),
        *("building an index on public.item: scanning the table, 45 %", 0.455 / 3),
    ),
    "a scan of an empty table": (
        building(SCAN, blocks_total=0, blocks_done=0),
        *("building an index on public.item: scanning the table", 0),
    ),
    "a table that grew meanwhile": (
        building(SCAN, blocks_total=10, blocks_done=11),
        *("building an index on public.item: scanning the table, 100 %", 1 / 3),
    ),
    "sorting, with the scan's counters still there": (
        building("building index: sorting live tuples", blocks_total=200, blocks_done=200),
        *("building an index on public.item: sorting", 1 / 3),
    ),
    "loading": (
        building(LOAD, tuples_total=1000, tuples_done=500),
        *("building an index on public.item: writing the index, 50 %", 2.5 / 3),
    ),
    "an index that is no B-tree": (
        building("building index", blocks_total=4, blocks_done=1),
        *("building an index on public.item: 25 %", 0.25),
    ),
    "a partition of several": (
        building(SCAN, blocks_total=2, blocks_done=1, partitions_total=4, partitions_done=2),
        *("building an index on public.item: scanning the table, 50 %, partition 3 of 4", (2 + 0.5 / 3) / 4),
    ),
    "the last partition is done": (
        building(LOAD, tuples_total=2, tuples_done=2, partitions_total=4, partitions_done=4),
        *("building an index on public.item: writing the index, 100 %, partition 4 of 4", 1),
    ),
    "concurrently, waiting": (
        concurrently("waiting for writers before build", lockers_total=3, lockers_done=1),
        *("building the index public.item_note: waiting for transactions that write to the table, 1 of 3 are gone", 0),
    ),
    "concurrently, scanning": (
        concurrently(SCAN, blocks_total=2, blocks_done=1),
        *("building the index public.item_note: scanning the table, 50 %", 0.5 / 6),
    ),
    "concurrently, validating": (
        concurrently("index validation: scanning table", blocks_total=2, blocks_done=1),
        *("building the index public.item_note: looking for rows written meanwhile, 50 %", 5.5 / 6),
    ),
    "concurrently, old snapshots": (
        concurrently("waiting for old snapshots", lockers_total=1, lockers_done=0),
        *("building the index public.item_note: waiting for transactions older than the index, 0 of 1 are gone", 1),
    ),
    "again": (
        building(SCAN, NOTE, "REINDEX", blocks_total=2, blocks_done=1),
        *("rebuilding the index public.item_note: scanning the table, 50 %", 0.5 / 3),
    ),
    "again, concurrently": (
        building("waiting for readers before dropping", NOTE, "REINDEX CONCURRENTLY", lockers_total=0),
        *("rebuilding the index public.item_note: waiting for transactions that read the table", 1),
    ),
    "a phase that nobody knows": (
        building("index validation: thinking"),
        *("building an index on public.item: index validation: thinking", 0),
    ),
    "vacuum, scanning": (
        row("vacuum", "scanning heap", heap_blks_total=100, heap_blks_scanned=99),
        *("vacuuming public.item: scanning the table, 99 %", 0.99 / 4),
    ),
    "vacuum, indexes, before 17": (
        row("vacuum", "vacuuming indexes", heap_blks_total=100, index_vacuum_count=0),
        *("vacuuming public.item: cleaning its indexes", 0.25),
    ),
    "vacuum, indexes, since 17": (
        row("vacuum", "vacuuming indexes", indexes_total=4, indexes_processed=1),
        *("vacuuming public.item: cleaning its indexes, 1 of 4 indexes", 1.25 / 4),
    ),
    "vacuum, rows": (
        row("vacuum", "vacuuming heap", heap_blks_total=100, heap_blks_scanned=100, heap_blks_vacuumed=50),
        *("vacuuming public.item: removing dead rows, 50 %", 2.5 / 4),
    ),
    "vacuum, the end": (row("vacuum", "truncating heap"), "vacuuming public.item: giving space at its end back", 1),
    "cluster, by a sequential scan": (
        row("cluster", "seq scanning heap", command="VACUUM FULL", heap_blks_total=10, heap_blks_scanned=3),
        *("writing public.item anew: scanning the table, 30 %", 0.3 / 4),
    ),
    "cluster, by an index": (
        row("cluster", "index scanning heap", command="CLUSTER", heap_tuples_scanned=12345),
        *("writing public.item anew: reading the table by its index, 12,345 rows", 0),
    ),
    "cluster, writing": (
        row("cluster", "writing new heap", heap_tuples_scanned=10, heap_tuples_written=5),
        *("writing public.item anew: writing the new table, 50 %", 2.5 / 4),
    ),
    "cluster, indexes": (
        row("cluster", "rebuilding index", index_rebuild_count=2),
        *("writing public.item anew: building its indexes, 2 done", 3 / 4),
    ),
    "analyze": (
        row("analyze", "acquiring sample rows", sample_blks_total=8, sample_blks_scanned=2),
        *("analyzing public.item: reading a sample, 25 %", 0.25 / 2),
    ),
    "analyze, with partitions": (
        row("analyze", "acquiring inherited sample rows", child_tables_total=8, child_tables_done=2),
        *("analyzing public.item: reading a sample of the tables below it, 2 of 8 tables", 0),
    ),
    "copy from a file": (
        copying(bytes_processed=512, bytes_total=2048, tuples_processed=1234),
        *("copying into public.item: 1,234 rows, 512 bytes, 25 %", 0.25),
    ),
    "copy from the client": (
        copying(bytes_processed=1536, bytes_total=0, tuples_processed=1),
        *("copying into public.item: 1 row, 1.5 kB", None),
    ),
    "copy of a query": (
        copying("COPY TO", None, bytes_processed=3 << 40, bytes_total=0, tuples_processed=7),
        *("copying from a query: 7 rows, 3.0 TB", None),
    ),
    "copy into a new table": (
        copying(relation=None, bytes_processed=0, bytes_total=0, tuples_processed=0),
        *("copying into a new table: 0 rows, 0 bytes", None),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_an_activity_is_told(name: str) -> None:
    activity, sentence, fraction = CASES[name]
    told = tell(activity)
    assert told.sentence == sentence
    assert told.fraction == (None if fraction is None else pytest.approx(fraction))


@pytest.mark.parametrize(("done", "said", "fraction"), [(500, "50 %", 0.5), (1100, "100 %", 1.0)])
def test_of_a_copy_from_the_client_only_the_client_knows_the_end(done: int, said: str, fraction: float) -> None:
    told = tell(copying(bytes_processed=done, bytes_total=0, tuples_processed=3), expected_bytes=1000)
    assert told.sentence.endswith(said)
    assert told.fraction == fraction
