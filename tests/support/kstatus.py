"""How far an object is by its status, and what a status must keep to so that whoever reads it reads it rightly.

`verdict` follows `sigs.k8s.io/cli-utils/pkg/kstatus/status` as far as it concerns custom resources; `support.judges`
runs the library itself. `broken` and `broken_between` say which rules a status breaks, in words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum, unique
from itertools import pairwise
from typing import Any

RUNS_LIMIT = 10
CONDITIONS_LIMIT = 20
ABNORMAL = ("Reconciling", "Stalled")
"""Conditions that exist only while they are True."""
_REASON = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
"""What metav1.Condition allows as a reason."""
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@unique
class Kstatus(StrEnum):
    """What kstatus says of an object that exists."""

    CURRENT = "Current"
    IN_PROGRESS = "InProgress"
    FAILED = "Failed"
    TERMINATING = "Terminating"


class Unreadable(Exception):
    """A field has not the type it should have, so that nothing can be said of the object."""


def verdict(item: Mapping[str, Any]) -> Kstatus:
    """Say how far an object is; raises `Unreadable`."""
    if _field(item, "metadata", "deletionTimestamp", of=str, absent=""):
        return Kstatus.TERMINATING
    generation = _field(item, "metadata", "generation", of=int)
    # Without a generation the library does not even look at the other one.
    if generation is not None and generation != _field(item, "status", "observedGeneration", of=int, absent=generation):
        return Kstatus.IN_PROGRESS
    found = [(one.get("type"), one.get("status")) for one in _conditions(item)]
    for pair in found:
        if pair == ("Reconciling", "True"):
            return Kstatus.IN_PROGRESS
        if pair == ("Stalled", "True"):
            return Kstatus.FAILED
    for kind, status in found:
        if kind == "Ready" and status in ("True", "False", "Unknown"):
            return Kstatus.CURRENT if status == "True" else Kstatus.IN_PROGRESS
    return Kstatus.CURRENT


def _field(item: Mapping[str, Any], *path: str, of: type, absent: Any = None) -> Any:
    found: Any = item
    for name in path:
        if found is None:
            return absent
        if not isinstance(found, Mapping):
            raise Unreadable(f"what should hold {name} is no object")
        if name not in found:
            return absent
        found = found[name]
    if not isinstance(found, of) or isinstance(found, bool):
        raise Unreadable(f"{'.'.join(path)} is no {of.__name__}")
    return found


def _conditions(item: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    status = item.get("status") or {}
    if not isinstance(status, Mapping):
        raise Unreadable("status is no object")
    found = status.get("conditions") or []
    if not isinstance(found, list) or not all(isinstance(one, Mapping) for one in found):
        raise Unreadable("status.conditions is no list of objects")
    return found


def broken(item: Mapping[str, Any]) -> list[str]:
    """Name the rules that an object's status breaks; none where it keeps to all."""
    status = item.get("status") or {}
    observed = status.get("observedGeneration")
    conditions = _conditions(item)
    found = [*_broken_of_each(conditions, observed), *_broken_of_all(conditions)]
    if observed is None:
        found.append("there is no observedGeneration, so an object that nobody has looked at would be Current")
    elif observed > item["metadata"]["generation"]:
        found.append(f"observedGeneration {observed} is not there yet")
    elif observed >= 0 and not conditions:
        found.append("a generation was looked at and there is no condition, so it would be Current")
    if len(status.get("runs") or ()) > RUNS_LIMIT:
        found.append(f"more than {RUNS_LIMIT} runs")
    return found


def _broken_of_each(conditions: Sequence[Mapping[str, Any]], observed: object) -> Iterator[str]:
    for one in conditions:
        kind = one.get("type")
        if one.get("status") not in ("True", "False", "Unknown"):
            yield f"{kind} has the status {one.get('status')}"
        if kind in ABNORMAL and one.get("status") != "True":
            yield f"{kind} is there and not True"
        if not _REASON.fullmatch(one.get("reason") or ""):
            yield f"{kind} has no reason for machines"
        if not one.get("message"):
            yield f"{kind} has no message"
        if one.get("observedGeneration") != observed:
            yield f"{kind} is about another generation than the status"
        if not _TIME.fullmatch(one.get("lastTransitionTime") or ""):
            yield f"{kind} does not say when it changed"


def _broken_of_all(conditions: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    kinds = [one.get("type") for one in conditions]
    abnormal = [kind for kind in kinds if kind in ABNORMAL]
    if len(set(kinds)) < len(kinds):
        yield "a condition is there twice"
    if len(kinds) > CONDITIONS_LIMIT:
        yield f"more than {CONDITIONS_LIMIT} conditions"
    if kinds and kinds[-1] != "Ready":
        yield "Ready is not the last condition"
    if len(abnormal) > 1:
        yield "Reconciling and Stalled are there together"
    if abnormal and any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions):
        yield f"Ready is True in spite of {abnormal[0]}"


def broken_between(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Name the rules that a change from one state of an object to the next one breaks."""
    old = {one["type"]: one for one in _conditions(before)}
    found = []
    for one in _conditions(after):
        last = old.get(one["type"])
        if last is None:
            continue
        same_time = one["lastTransitionTime"] == last["lastTransitionTime"]
        if one["status"] == last["status"] and not same_time:
            found.append(f"the time of {one['type']} moved and its status did not")
        # Whole seconds: what changes twice within one keeps its time.
        if _moment(one) < _moment(last):
            found.append(f"the time of {one['type']} went back")
    if _observed(after) < _observed(before):
        found.append("observedGeneration went back")
    return found


def broken_in(life: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name what all states of one object break, each by itself and from one to the next; each rule once."""
    each = (rule for item in life for rule in broken(item))
    between = (rule for before, after in pairwise(life) for rule in broken_between(before, after))
    return list(dict.fromkeys([*each, *between]))


def _moment(condition: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(condition["lastTransitionTime"])


def _observed(item: Mapping[str, Any]) -> int:
    return int((item.get("status") or {}).get("observedGeneration", -1))
