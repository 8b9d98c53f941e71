"""What is written while a run works."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest

from schema_operator.api.report import Action, LogLine, Outcome, PlannedVersion, Progress, RunReport, decode
from schema_operator.runner.report import LogFormat, Reporter, Step, _Pace, text_of

if TYPE_CHECKING:
    from pathlib import Path

PLAN: Final[dict[str, Any]] = {"version": "1", "action": Action.APPLY, "file": "a.sql", "statements": 2}


def test_lines_are_let_through_ten_a_second_and_when_something_new_begins() -> None:
    pace = _Pace()
    same = Progress(step="Applying", message="m", version="1")
    assert [pace.allows(same, now) for now in (10.0, 10.05, 10.09, 10.11, 10.2, 10.22)] == [
        *(True, False, False, True, False, True),
    ]
    assert pace.allows(Progress(step="Applying", message="m", version="2"), 10.221)
    assert pace.allows(Progress(step="Verifying", message="m", version="2"), 10.222)


def test_notes_and_warnings_are_never_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = Reporter(LogFormat.JSON)
    reporter.progress(Step.PLANNING, "reading")
    for number in range(5):
        reporter.note(Step.PLANNING, f"note {number}", version="1")
    reporter.progress(Step.ROLLING_BACK, "rolling back 1")
    reporter.warn("a")
    reporter.warn("b")
    lines = [msgspec.json.decode(line, type=LogLine).progress for line in capsys.readouterr().out.splitlines()]
    assert [(one.step, one.message) for one in lines if one] == [
        ("Planning", "reading"),
        *(("Planning", f"note {number}") for number in range(5)),
        ("RollingBack", "rolling back 1"),
        ("RollingBack", "warning: a"),
        ("RollingBack", "warning: b"),
    ]


def test_what_a_statement_does_is_said_after_it(capsys: pytest.CaptureFixture[str]) -> None:
    for log_format in LogFormat:
        reporter = Reporter(log_format)
        reporter.progress(Step.APPLYING, "applying 1", version="1", statement=1, statements=2, percent=0)
        assert reporter.at is not None
        reporter.progress(Step.WAITING, "waiting")
        reporter.detail(msgspec.structs.replace(reporter.at, percent=20), "vacuuming t")
    _, _, json, _, _, text = capsys.readouterr().out.splitlines()
    assert msgspec.json.decode(json, type=LogLine).progress == Progress(
        step="Applying", message="applying 1: vacuuming t", version="1", statement=1, statements=2, percent=20
    )
    assert text == "applying 1: statement 1 of 2: vacuuming t"


def test_json_lines(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "termination"
    reporter = Reporter(LogFormat.JSON, path)
    report = RunReport(run="r", outcome=Outcome.DONE, message="m")
    reporter.progress(Step.APPLYING, "applying 1", version="1", statement=1, statements=2)
    reporter.finish(report)
    progress, last = (msgspec.json.decode(line, type=LogLine) for line in capsys.readouterr().out.splitlines())
    assert progress.progress == Progress(step="Applying", message="applying 1", version="1", statement=1, statements=2)
    assert last.report == report
    assert decode(path.read_bytes()) == report


PLANNED = {
    "whole": (PlannedVersion(**PLAN), "apply 1: a.sql, 2 statements in one transaction"),
    "in parts": (PlannedVersion(**PLAN, units=2, atomic=False), "apply 1: a.sql, 2 statements in 2 parts, not atomic"),
    "outside of transactions": (
        PlannedVersion(**PLAN | {"statements": 1}, atomic=False),
        "apply 1: a.sql, 1 statement outside of any transaction, not atomic",
    ),
    "in batches": (
        PlannedVersion(**PLAN | {"statements": 1}, atomic=False, in_batches=True),
        "apply 1: a.sql, 1 statement in batches of rows, each committed by itself, not atomic",
    ),
}


@pytest.mark.parametrize(("planned", "line"), PLANNED.values(), ids=PLANNED)
def test_a_plan_says_how_each_version_is_committed(planned: PlannedVersion, line: str) -> None:
    assert text_of(RunReport(run="r", outcome=Outcome.DONE, message="m", plan=(planned,))) == ("m", line)


def test_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = Reporter(LogFormat.TEXT)
    reporter.progress(Step.APPLYING, "applying 1", version="1", statement=1, statements=2)
    reporter.finish(RunReport(run="r", outcome=Outcome.REFUSED, reason="EmptySource", message="no script"))
    written = capsys.readouterr()
    assert written.out == "applying 1: statement 1 of 2\n"
    assert written.err == "EmptySource: no script\n"
