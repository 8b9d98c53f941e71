"""Applied versions whose scripts were edited since: found, told apart, refused or said."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from schema_operator.api.version import Version
from schema_operator.errors import Reason, Refused
from schema_operator.history.records import AppliedVersion, History
from schema_operator.runner.edits import Edited, edited, harmless, mismatches, refuse, warnings
from schema_operator.scripts.script import Script, ScriptSet, Source

US = "shop/shop"
THEM = "shop/other"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _script(version: str, text: str) -> Script:
    return Script(Version.parse(version), "x", Source(f"{version}_x.up.sql", text, _hash(text)))


def _applied(version: str, text: str, owner: str | None = US) -> AppliedVersion:
    return AppliedVersion(Version.parse(version), owner, _hash(text), reversible=True)


SCRIPTS = ScriptSet.of([_script("1", "SELECT 1;"), _script("2", "SELECT 2;")])
FOUND = {
    "the same": ((_applied("1", "SELECT 1;"), _applied("2", "SELECT 2;")), None, ()),
    "changed": ((_applied("1", "SELECT 0;"),), None, ("1",)),
    "changed, of another": ((_applied("1", "SELECT 0;", THEM),), None, ("1",)),
    "changed above the wanted version": ((_applied("1", "SELECT 1;"), _applied("2", "SELECT 0;")), "1", ()),
    "written by hand": ((AppliedVersion(Version.parse("1"), None, None, reversible=False),), None, ()),
}


@pytest.mark.parametrize(("history", "wanted", "expected"), FOUND.values(), ids=FOUND.keys())
def test_mismatches(history: tuple[AppliedVersion, ...], wanted: str | None, expected: tuple[str, ...]) -> None:
    found = mismatches(SCRIPTS, History(history), wanted)
    assert tuple(one.script.version.text for one in found) == expected


def _edited(version: str, stored: str | None, present: str, owner: str | None = US) -> Edited:
    history = History((_applied(version, "what was applied" if stored is None else stored, owner),))
    (found,) = mismatches(ScriptSet.of([_script(version, present)]), history, None)
    return edited(found, stored)


def test_an_edited_statement_is_refused_with_both_hashes_the_line_and_the_other_owner() -> None:
    with pytest.raises(Refused) as refused:
        refuse([_edited("1", "a\nb\nc", "a\nB\nc", THEM)], US)
    assert (refused.value.reason, refused.value.location.line) == (Reason.CHECKSUM_MISMATCH, 2)
    assert refused.value.location.file == "1_x.up.sql"
    for text in (_hash("a\nb\nc"), _hash("a\nB\nc"), f"by {THEM}", "line 2 is the first", "policy.checksums: Warn"):
        assert text in str(refused.value)


def test_all_others_are_named_too_and_the_first_ten_by_version() -> None:
    found = [_edited(str(number), "SELECT 1", "SELECT 2") for number in range(1, 14)]
    with pytest.raises(Refused) as refused:
        refuse(found, US)
    assert refused.value.location.version == "1"
    assert "the same is true of 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 2 more" in refused.value.sentence


def test_line_ends_inside_of_quotes_are_refused_and_called_so() -> None:
    with pytest.raises(Refused, match=r"only line ends .* but also inside of strings"):
        refuse([_edited("1", "SELECT 'a\nb'", "SELECT 'a\r\nb'")], US)


def test_a_text_that_is_not_stored_is_refused_without_a_line() -> None:
    with pytest.raises(Refused) as refused:
        refuse([_edited("1", None, "SELECT 1")], US)
    assert refused.value.location.line is None
    assert "first that differs" not in refused.value.sentence


def test_the_line_counts_from_the_files_beginning() -> None:
    script = _script("1", "a\nB")
    below = replace(script, up=replace(script.up, line=10))
    (found,) = mismatches(ScriptSet.of([below]), History((_applied("1", "a\nb"),)), None)
    assert edited(found, "a\nb").line == 11


def test_harmless_edits_are_not_refused_and_said_once_for_each_kind() -> None:
    found = [
        _edited("1", "SELECT 1", "SELECT  1"),
        _edited("2", "SELECT 1\n", "SELECT 1\r\n"),
        _edited("3", "SELECT 1", "SELECT   1"),
        _edited("4", "SELECT 1 -- a", "SELECT 1 -- b"),
    ]
    refuse(found, US)
    assert warnings(found, US) == ()
    assert harmless(found) == (
        ("1", "1, 3: not as applied, but only blanks and line breaks between words differ, which changes nothing"),
        ("2", "2: not as applied, but only line ends (CR LF or LF) differ, which changes nothing"),
        (
            "4",
            "4: not as applied, but only comments, blanks or empty statements differ, which changes nothing",
        ),
    )


def test_a_warning_says_what_a_refusal_says() -> None:
    found = [_edited("1", "a\nb", "a\nB"), _edited("2", "SELECT 1", "SELECT  1")]
    ((version, sentence),) = warnings(found, US)
    assert (version, harmless(found)[0][0]) == ("1", "2")
    for text in ("version 1", "1_x.up.sql", "line 2", _hash("a\nb"), _hash("a\nB"), "stays as it was applied"):
        assert text in sentence
