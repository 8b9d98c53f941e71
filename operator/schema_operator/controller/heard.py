"""Whether the watch still says what happens: compares what it said with what the API server lists.

A watch may die without an error, on a connection that nobody answers any more or in a task that has ended. Each round
of the controller lists the migrations; a version that was listed and is not heard of for `SILENT_SECONDS` afterwards
proves that the watch is dead. Pure: the time is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from schema_operator.controller.queue import Key

SILENT_SECONDS = 90.0
"""More than a watch takes to notice by itself that it is dead, and more than one round."""


@dataclass(frozen=True, slots=True)
class _Missed:
    version: str
    since: float


@dataclass(frozen=True, slots=True)
class _Told:
    uid: str
    version: str
    when: float


@dataclass(slots=True)
class Watch:
    """The versions of objects of one kind that the watch has told of."""

    _told: dict[Key, _Told] = field(default_factory=dict)
    _missed: dict[Key, _Missed] = field(default_factory=dict)

    def told(self, key: Key, uid: str, version: str, now: float) -> None:
        """Note what the watch tells of an object."""
        self._told[key] = _Told(uid, version, now)
        self._missed.pop(key, None)

    def deleted(self, key: Key, uid: str) -> None:
        """Note that the watch tells of an object's end, perhaps after the beginning of another of that name."""
        if key in self._told and self._told[key].uid == uid:
            self._told.pop(key)
            self._missed.pop(key, None)

    def listed(self, versions: Mapping[Key, str], asked: float) -> list[Key]:
        """Compare with a listing that was asked for at a time; give the objects whose listed version was not told.

        What was told since then may be newer than the listing.
        """
        missed = {}
        for key, version in versions.items():
            told = self._told.get(key)
            if told is not None and (told.version == version or told.when >= asked):
                continue
            before = self._missed.get(key)
            missed[key] = before if before is not None and before.version == version else _Missed(version, asked)
        self._missed = missed
        return list(missed)

    def silent(self, now: float) -> list[Key]:
        """Give the objects of which the watch has been silent for too long."""
        return [key for key, missed in self._missed.items() if now - missed.since > SILENT_SECONDS]
