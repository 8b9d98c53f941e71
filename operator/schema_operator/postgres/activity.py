"""What a session reports of a long command, in words and as a fraction. Pure.

Source: PostgreSQL documentation, "Progress Reporting" (13 to 18), and the definitions of the views. Phases are told by
the server's names; one that nobody here knows is told as the server has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_UNITS: Final = ("bytes", "kB", "MB", "GB", "TB")
_THOUSAND: Final = 1024


@dataclass(frozen=True, slots=True)
class Activity:
    """A row of one of the views `pg_stat_progress_*`."""

    view: str
    """Name of the view after `pg_stat_progress_`."""
    relation: str | None
    """The table; absent where there is none, or where it is not committed yet."""
    index: str | None
    """The index; absent as the table is, and while a CREATE INDEX that is not concurrent runs."""
    counters: Mapping[str, object]

    def number(self, name: str | None) -> int:
        """Give a counter; 0 where this server has none of that name."""
        found = self.counters.get(name) if name else None
        return found if isinstance(found, int) else 0

    def text(self, name: str) -> str:
        """Give a column that is text; empty where this server has none of that name."""
        found = self.counters.get(name)
        return found if isinstance(found, str) else ""


@dataclass(frozen=True, slots=True)
class Told:
    """An activity as people read it."""

    sentence: str
    fraction: float | None
    """How much of the command is done, from 0 to 1, each phase that reads or writes rows counting alike; None where the
    server says nothing of it."""


@dataclass(frozen=True, slots=True)
class _Phase:
    """A phase: in words, its counters, and which part of the command it is, in phases."""

    words: str
    done: str | None = None
    total: str | None = None
    before: float = 0.0
    share: float = 0.0
    counted: str = ""
    """What the counters count, where saying so tells more than a percentage."""


_WRITERS: Final = "waiting for transactions that write to the table"
_READERS: Final = "waiting for transactions that read the table"
_BLOCKS: Final = ("blocks_done", "blocks_total")
_LOCKERS: Final = ("lockers_done", "lockers_total")
_SCANNED: Final = ("heap_blks_scanned", "heap_blks_total")
_INDEXES: Final = ("indexes_processed", "indexes_total")
_SAMPLED: Final = ("sample_blks_scanned", "sample_blks_total")
_GONE: Final = "are gone"
_BUILD: Final = 3.0
_VALIDATION: Final = 3.0
_PHASES: Final[Mapping[str, Mapping[str, _Phase]]] = {
    "create_index": {
        "waiting for writers before build": _Phase(_WRITERS, *_LOCKERS, counted=_GONE),
        # Only B-trees say more of their build than this.
        "building index": _Phase("", *_BLOCKS, before=0, share=_BUILD),
        "building index: initializing": _Phase("starting"),
        "building index: scanning table": _Phase("scanning the table", *_BLOCKS, before=0, share=1),
        "building index: sorting live tuples": _Phase("sorting", before=1, share=1),
        "building index: sorting dead tuples": _Phase("sorting dead rows", before=2),
        "building index: loading tuples in tree": _Phase(
            "writing the index", "tuples_done", "tuples_total", before=2, share=1
        ),
        "waiting for writers before validation": _Phase(_WRITERS, *_LOCKERS, before=3, counted=_GONE),
        "index validation: scanning index": _Phase("reading the new index", *_BLOCKS, before=3, share=1),
        "index validation: sorting tuples": _Phase("sorting what it holds", before=4, share=1),
        "index validation: scanning table": _Phase("looking for rows written meanwhile", *_BLOCKS, before=5, share=1),
        "waiting for old snapshots": _Phase(
            "waiting for transactions older than the index", *_LOCKERS, before=6, counted=_GONE
        ),
        "waiting for readers before marking dead": _Phase(_READERS, *_LOCKERS, before=6, counted=_GONE),
        "waiting for readers before dropping": _Phase(_READERS, *_LOCKERS, before=6, counted=_GONE),
    },
    "vacuum": {
        "scanning heap": _Phase("scanning the table", *_SCANNED, before=0, share=1),
        "vacuuming indexes": _Phase("cleaning its indexes", *_INDEXES, before=1, share=1, counted="indexes"),
        "vacuuming heap": _Phase("removing dead rows", "heap_blks_vacuumed", "heap_blks_total", before=2, share=1),
        "cleaning up indexes": _Phase("cleaning up its indexes", *_INDEXES, before=3, share=1, counted="indexes"),
        "truncating heap": _Phase("giving space at its end back", before=4),
        "performing final cleanup": _Phase("finishing", before=4),
    },
    "cluster": {
        "seq scanning heap": _Phase("scanning the table", *_SCANNED, before=0, share=1),
        "index scanning heap": _Phase("reading the table by its index", "heap_tuples_scanned", counted="rows"),
        "sorting tuples": _Phase("sorting", before=1, share=1),
        "writing new heap": _Phase(
            "writing the new table", "heap_tuples_written", "heap_tuples_scanned", before=2, share=1
        ),
        "swapping relation files": _Phase("putting the new table in the place of the old one", before=3),
        "rebuilding index": _Phase("building its indexes", "index_rebuild_count", before=3, share=1, counted="done"),
        "performing final cleanup": _Phase("finishing", before=4),
    },
    "analyze": {
        "acquiring sample rows": _Phase("reading a sample", *_SAMPLED, before=0, share=1),
        "acquiring inherited sample rows": _Phase(
            "reading a sample of the tables below it", "child_tables_done", "child_tables_total", counted="tables"
        ),
        "computing statistics": _Phase("computing statistics", before=1, share=1),
        "computing extended statistics": _Phase(
            "computing extended statistics", "ext_stats_computed", "ext_stats_total", before=1, counted="statistics"
        ),
        "finalizing analyze": _Phase("finishing", before=2),
    },
}
_ALL: Final = {"create_index": _BUILD, "vacuum": 4.0, "cluster": 4.0, "analyze": 2.0}
"""How many phases a command has that count."""


def tell(activity: Activity, *, expected_bytes: int = 0) -> Told:
    """Say what a session is doing, and how much of it is done.

    `expected_bytes` is how much a COPY will read, where the server cannot know.
    """
    if activity.view == "copy":
        return _copy(activity, expected_bytes)
    name = activity.text("phase")
    phase = _PHASES[activity.view].get(name) or _Phase("starting" if name == "initializing" else name)
    parts = (phase.words, _counted(activity, phase), _partitions(activity))
    said = ", ".join(part for part in parts if part)
    return Told(f"{_deed(activity)}: {said}" if said else _deed(activity), _fraction(activity, phase))


def _deed(activity: Activity) -> str:
    table = activity.relation or "a new table"
    match activity.view:
        case "create_index":
            verb = "rebuilding" if activity.text("command").startswith("REINDEX") else "building"
            return f"{verb} the index {activity.index}" if activity.index else f"{verb} an index on {table}"
        case "cluster":
            return f"writing {table} anew"
        case "vacuum":
            return f"vacuuming {table}"
        case _:
            return f"analyzing {table}"


def _counted(activity: Activity, phase: _Phase) -> str:
    done, total = activity.number(phase.done), activity.number(phase.total)
    if phase.counted and total:
        return f"{done:,} of {total:,} {phase.counted}"
    if phase.counted and done:
        return f"{done:,} {phase.counted}"
    return f"{_percent(done / total)} %" if total and not phase.counted else ""


def _partitions(activity: Activity) -> str:
    total = activity.number("partitions_total")
    return f"partition {min(activity.number('partitions_done') + 1, total)} of {total}" if total else ""


def _fraction(activity: Activity, phase: _Phase) -> float | None:
    if not activity.text("phase"):
        return None
    done, total = activity.number(phase.done), activity.number(phase.total)
    within = min(done / total, 1.0) if total else 0.0
    concurrent = activity.text("command").endswith("CONCURRENTLY")
    fraction = (phase.before + phase.share * within) / (_ALL[activity.view] + _VALIDATION * concurrent)
    if partitions := activity.number("partitions_total"):
        return min((activity.number("partitions_done") + fraction) / partitions, 1.0)
    return fraction


def _copy(activity: Activity, expected_bytes: int) -> Told:
    done, total = activity.number("bytes_processed"), activity.number("bytes_total") or expected_bytes
    verb, at = ("from", "a query") if activity.text("command") == "COPY TO" else ("into", "a new table")
    share = f", {_percent(done / total)} %" if total else ""
    count = activity.number("tuples_processed")
    rows = f"{count:,} row{'' if count == 1 else 's'}, {_size(done)}{share}"
    return Told(f"copying {verb} {activity.relation or at}: {rows}", min(done / total, 1.0) if total else None)


def _percent(fraction: float) -> int:
    return int(100 * min(fraction, 1.0))


def _size(count: float) -> str:
    for unit in _UNITS[:-1]:
        if count < _THOUSAND:
            return f"{count:.0f} {unit}" if unit == _UNITS[0] else f"{count:.1f} {unit}"
        count /= _THOUSAND
    return f"{count:.1f} {_UNITS[-1]}"
