"""Tell what happens: progress while it happens, the report at the end; for machines or for people."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum, unique
from typing import TYPE_CHECKING, Final

import msgspec

from schema_operator.api.report import (
    Action,
    LogLine,
    Outcome,
    PlannedVersion,
    Progress,
    RunReport,
    VerificationReport,
    VerificationResult,
    for_termination_message,
)

if TYPE_CHECKING:
    from pathlib import Path

_MOST_A_SECOND: Final = 10


@unique
class LogFormat(StrEnum):
    """How to write."""

    JSON = "json"
    TEXT = "text"


@unique
class Step(StrEnum):
    """What a run is busy with; the values are `Progress.step`."""

    CONNECTING = "Connecting"
    WAITING = "WaitingForLock"
    INSTALLING = "Installing"
    PLANNING = "Planning"
    APPLYING = "Applying"
    ROLLING_BACK = "RollingBack"
    VERIFYING = "Verifying"


@dataclass(slots=True)
class _Pace:
    """Lets a line through unless there were too many; a new step or version always passes."""

    last: float = 0.0
    about: tuple[str, str | None] | None = None

    def allows(self, progress: Progress, now: float) -> bool:
        about = (progress.step, progress.version)
        if about == self.about and now - self.last < 1 / _MOST_A_SECOND:
            return False
        self.last, self.about = now, about
        return True


class Reporter:
    """Writes lines to standard output, and the report also to the termination message where there is one."""

    def __init__(self, log_format: LogFormat, termination_log: Path | None = None) -> None:
        self._format = log_format
        self._termination_log = termination_log
        self._pace = _Pace()
        self._step = Step.CONNECTING
        self.at: Progress | None = None
        """The newest line about what is done, other than waiting."""

    def progress(
        self,
        step: Step,
        message: str,
        *,
        version: str | None = None,
        statement: int | None = None,
        statements: int | None = None,
        percent: int | None = None,
    ) -> None:
        """Say what the run is doing; drops lines when there are more than ten a second."""
        line = Progress(
            step=step, message=message, version=version, statement=statement, statements=statements, percent=percent
        )
        self._step = step
        if step is not Step.WAITING:
            self.at = line
        if self._pace.allows(line, time.monotonic()):
            self._write(line)

    def detail(self, line: Progress, sentence: str) -> None:
        """Say more of a line that was written before: what the statement does meanwhile."""
        if self._pace.allows(line, time.monotonic()):
            self._write(line, sentence)

    def note(self, step: Step, message: str, *, version: str | None = None) -> None:
        """Say what must be read; never dropped."""
        self._write(Progress(step=step, message=message, version=version))

    def told(self, message: str) -> None:
        """Say what was done beside the present step; never dropped."""
        self._write(Progress(step=self._step, message=message))

    def warn(self, message: str) -> None:
        """Warn in the middle of the present step; never dropped."""
        self._write(Progress(step=self._step, message=f"warning: {message}"))

    def _write(self, line: Progress, detail: str = "") -> None:
        more = f": {detail}" if detail else ""
        if self._format is LogFormat.JSON:
            progress = msgspec.structs.replace(line, message=f"{line.message}{more}")
            _write_json(LogLine(time=_now(), progress=progress))
        else:
            sys.stdout.write(f"{_sentence(line)}{more}\n")
            sys.stdout.flush()

    def finish(self, report: RunReport) -> None:
        """Write the report."""
        if self._format is LogFormat.JSON:
            _write_json(LogLine(time=_now(), report=report))
        else:
            done = report.outcome is Outcome.DONE
            (sys.stdout if done else sys.stderr).write("\n".join(text_of(report)) + "\n")
        if self._termination_log is not None:
            self._termination_log.write_bytes(for_termination_message(report))


def text_of(report: RunReport) -> tuple[str, ...]:
    """Write a report for people, a line a thought."""
    head = report.message if report.outcome is Outcome.DONE else f"{report.reason}: {report.message}"
    lines = [head]
    if report.versions and report.outcome is not Outcome.DONE:
        lines.append(f"Before that, this run has finished {', '.join(report.versions)}, which stays so.")
    lines.extend(_planned(one) for one in report.plan or ())
    lines.extend(_verification(one) for one in report.verification)
    return tuple(lines)


def _planned(one: PlannedVersion) -> str:
    if one.action is Action.NONE:
        return f"record {one.version} as applied, without running {one.file}"
    verb = "roll back" if one.action is Action.ROLLBACK else "apply"
    statements = "1 statement" if one.statements == 1 else f"{one.statements} statements"
    if not one.statements:
        return f"{verb} {one.version}: {one.file} holds no statement, so nothing is run; it is only written down"
    return f"{verb} {one.version}: {one.file}, {statements} {_parts(one)}"


def _parts(one: PlannedVersion) -> str:
    if one.atomic:
        return "in one transaction"
    if one.in_batches:
        return "in batches of rows, each committed by itself, not atomic"
    return "outside of any transaction, not atomic" if one.units == 1 else f"in {one.units} parts, not atomic"


def _verification(one: VerificationReport) -> str:
    text = f"verification {one.name}: {one.result.value.lower()}"
    if one.result is VerificationResult.PASSED:
        return text
    return f"{text}, expected {one.expected}, found {one.found}"


def _sentence(progress: Progress) -> str:
    if progress.statement is None:
        return progress.message
    return f"{progress.message}: statement {progress.statement} of {progress.statements}"


def _write_json(line: LogLine) -> None:
    sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
    sys.stdout.flush()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
