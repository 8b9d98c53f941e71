"""What the controller writes of itself: one line a record, JSON for machines or text for people.

Lines name what they are about. They hold no SQL, no Secret and no object: an exception that quotes what it was given is
written without the quotation, and kopf's lines that print whole objects are written without them.
"""

from __future__ import annotations

import contextlib
import json
import logging
import traceback
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from enum import StrEnum
from types import TracebackType

from pydantic import ValidationError

LONGEST_MESSAGE = 2000
"""Characters. Ours are shorter; kopf prints lists of tasks and objects."""
_ABOUT: ContextVar[Mapping[str, str | int]] = ContextVar("about", default={})  # noqa: B039 (never changed in place)
_WITHOUT_THE_REST = {
    "Unprocessed streams left for ": "the controller was stopped before it had heard all events; "
    "the next start lists everything again",
    "Ignoring an unsupported event type: ": "an event of an unknown type was passed over",
}
"""Beginnings of lines of kopf in which whole objects follow, and what is written instead."""
_FIELDS = ("namespace", "name", "generation", "run")


class LogFormat(StrEnum):
    """How lines are written."""

    JSON = "json"
    TEXT = "text"


@contextlib.contextmanager
def about(**fields: str | int) -> Iterator[None]:
    """Say what everything is about that is logged inside: namespace, name, generation, run."""
    token = _ABOUT.set({**_ABOUT.get(), **fields})
    try:
        yield
    finally:
        _ABOUT.reset(token)


def configure(log_format: LogFormat) -> None:
    """Let every logger of the process write to standard error in this format."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if log_format is LogFormat.JSON else TextFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)  # because it says of every event that it was handled
    logging.getLogger("kopf.activities.probe").setLevel(logging.WARNING)  # because probes are not worth a line each
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)  # the same


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, what it is about, message, and the traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        line: dict[str, str | int] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
            **_subject(record),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["traceback"] = _traceback(record.exc_info[1])
        return json.dumps(line)


class TextFormatter(logging.Formatter):
    """One line for people; a traceback follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        subject = _subject(record)
        where = "/".join(str(subject[key]) for key in ("namespace", "name") if key in subject)
        rest = [f"{key} {subject[key]}" for key in ("generation", "run") if key in subject]
        parts = [_time(record), record.levelname, " ".join([where, *rest]).strip()]
        line = f"{' '.join(part for part in parts if part)}: {_message(record)}"
        if record.exc_info and record.exc_info[1] is not None:
            line += "\n" + _traceback(record.exc_info[1])
        return line


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _subject(record: logging.LogRecord) -> dict[str, str | int]:
    """Give what a record is about; kopf says it in `k8s_ref`."""
    fields: dict[str, str | int] = {**(getattr(record, "k8s_ref", None) or {}), **_ABOUT.get()}
    return {key: fields[key] for key in _FIELDS if fields.get(key) is not None}


def _message(record: logging.LogRecord) -> str:
    text = record.getMessage()
    for beginning, instead in _WITHOUT_THE_REST.items():
        if text.startswith(beginning):
            return instead
    return text if len(text) <= LONGEST_MESSAGE else f"{text[:LONGEST_MESSAGE]}…"


def _traceback(error: BaseException) -> str:
    """Write where an exception came from, and those that led to it; frames hold code only, no values."""
    parts = []
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        parts += [_traceback(cause), "which led to:"]
    parts += [*_frames(error.__traceback__), _said(error)]
    return "\n".join(parts)


def _frames(trace: TracebackType | None) -> list[str]:
    return [part.rstrip("\n") for part in traceback.format_tb(trace)]


def _said(error: BaseException) -> str:
    name = type(error).__qualname__
    if isinstance(error, ValidationError):
        # Its own text quotes the beginning of what was given.
        found = error.errors(include_url=False, include_context=False, include_input=False)
        text = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in found)
        return f"{name}: {text}"[:LONGEST_MESSAGE]
    return f"{name}: {error}"[:LONGEST_MESSAGE]
