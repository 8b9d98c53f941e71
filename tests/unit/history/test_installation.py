"""Which of the control schema's scripts a database lacks."""

from __future__ import annotations

import re

import pytest

from schema_operator.api.version import Version
from schema_operator.errors import Reason, Refused
from schema_operator.history import installation
from schema_operator.scripts.check import check
from schema_operator.scripts.script import Script, ScriptSet, Source

KNOWN = ScriptSet.of(Script(Version.parse(text), "", Source(f"{text}.up.sql", "", "")) for text in ("1", "2", "3"))


@pytest.mark.parametrize(("installed", "expected"), [(None, ["1", "2", "3"]), ("1", ["2", "3"]), ("3", [])])
def test_missing(installed: str | None, expected: list[str]) -> None:
    version = None if installed is None else Version.parse(installed)
    assert [script.version.text for script in installation.missing(KNOWN, version)] == expected


def test_a_newer_control_schema_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        installation.missing(KNOWN, Version.parse("4"))
    assert refused.value.reason is Reason.CONTROL_SCHEMA_NEWER


def test_our_own_scripts_are_good_scripts_and_can_all_be_undone() -> None:
    known = installation.scripts()
    check(known)
    assert all(script.down for script in known.scripts)
    assert installation.newest() == known.scripts[-1].version


@pytest.mark.parametrize(("installed", "known", "expected"), [("1", "2", False), ("2", "2", True), ("2.0", "2", True)])
def test_a_control_schema_is_current_or_older(installed: str, known: str, *, expected: bool) -> None:
    assert installation.is_current(Version.parse(installed), Version.parse(known)) is expected


def test_no_plain_string_of_our_scripts_holds_a_backslash() -> None:
    """A function reads it by the setting of the session it is called in, which may be another than ours was."""
    lines = [line for path in installation.folder().glob("*.sql") for line in path.read_text().splitlines()]
    assert [line for line in lines if "\\" in line and not re.search(r"\bE'[^'\\]*\\", line)] == []
