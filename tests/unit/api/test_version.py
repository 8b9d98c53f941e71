from __future__ import annotations

from itertools import pairwise

import pytest

from schema_operator.api.version import MAX_LENGTH, NOTHING, ROLLBACK_SUFFIX, Version
from schema_operator.errors import Reason, Refused

# Every line is an ascending chain.
CHAINS = {
    "semver 2.0, item 11, numbers": ["1.0.0", "2.0.0", "2.1.0", "2.1.1"],
    "semver 2.0, item 11, a pre-release comes before its release": ["1.0.0-alpha", "1.0.0"],
    "semver 2.0, item 11, its own example": [
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0-rc.1",
        "1.0.0",
    ],
    "semver 2.0, item 9, its own examples": ["1.0.0-0.3.7", "1.0.0-alpha", "1.0.0-x.7.z.92", "1.0.0-x-y-z.--"],
    "numbers are numbers": ["1.2", "1.9", "1.10"],
    "numbers in a pre-release come before words": ["1.0-999", "1.0-1a"],
    "words by their ASCII": ["1.0-Beta", "1.0-alpha"],
    "loose versions": ["1", "1.0.1", "1.4", "2", "11", "12"],
    "more than three numbers": ["1.2.3", "1.2.3.1", "1.2.3.4", "1.2.4"],
    "time stamps": ["20251231235959", "20260101120000", "20260101120001"],
    "dates with dashes": ["2026-01-02", "2026-01-10", "2026-02-01"],
    "nothing comes first": ["0", "0.0.1", "0.1", "1-alpha", "1"],
    "beyond 64 bits": ["9" * 40, "1" + "0" * 40],
}


@pytest.mark.parametrize(
    ("lower", "higher"),
    [pytest.param(*pair, id=f"{name}: {pair}") for name, chain in CHAINS.items() for pair in pairwise(chain)],
)
def test_order(lower: str, higher: str) -> None:
    low, high = Version.parse(lower), Version.parse(higher)
    assert low < high
    assert high > low
    assert low <= high
    assert low != high
    assert not high < low


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
def test_sorting_restores_a_chain(chain: list[str]) -> None:
    assert [str(version) for version in sorted(map(Version.parse, reversed(chain)))] == chain


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1.0", "1.0.0"),
        ("1", "1.0.0"),
        ("1.0.0", "1.0.0+build"),
        ("1.0.0+a", "1.0.0+b.1-c"),
        ("1.0-rc.1", "1.0.0-rc.1+x"),
        ("01.2", "1.2"),
        ("0001", "1"),
        ("1.0-01", "1.0-1"),
        ("0", "0.0.0"),
    ],
)
def test_versions_that_are_the_same(one: str, other: str) -> None:
    first, second = Version.parse(one), Version.parse(other)
    assert first == second
    assert hash(first) == hash(second)
    assert first <= second <= first
    assert {first: "found"}[second] == "found"


@pytest.mark.parametrize("text", ["1.0", "1.0.0+build", "007", "1.0.0-x-y-z.--", "1.0-a-b", "1--", "20260101120000"])
def test_a_version_is_kept_as_it_is_written(text: str) -> None:
    assert str(Version.parse(text)) == Version.parse(text).text == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "v1.0",
        "1.0 ",
        "1.0\n",
        "1..0",
        ".1",
        "1.",
        "1.0-",
        "1.0-.a",
        "1.0-a.",
        "1.0-a..b",
        "1.0+",
        "1.0+.",
        "1.0+a..b",
        "1.0+a+b",
        "1.0_1",
        "1,0",
        "-1",
        "latest",
        "1.0-ä",
        "\u0661",
        "1/2",
        "1.0\x00",
    ],
)
def test_malformed_versions(text: str) -> None:
    with pytest.raises(Refused) as refused:
        Version.parse(text)
    assert refused.value.reason is Reason.MALFORMED_VERSION
    assert repr(text) in refused.value.sentence
    assert "for example 1.4.0" in refused.value.sentence


@pytest.mark.parametrize(
    "text",
    ["1.0-rollback", "12-rollback", "1.0-rc.1-rollback", "1.0+build-rollback", "1.0-rollback+build", "1.0--rollback"],
)
def test_a_version_must_not_look_like_a_rollback(text: str) -> None:
    with pytest.raises(Refused) as refused:
        Version.parse(text)
    assert refused.value.reason is Reason.MALFORMED_VERSION
    assert "marks rollbacks" in refused.value.sentence


@pytest.mark.parametrize("text", ["1.0-rollback.1", "1.0-rollbacks", "1.0-norollback"])
def test_other_words_with_rollback_in_them_are_versions(text: str) -> None:
    assert Version.parse(text).text == text


def test_the_longest_version_leaves_room_for_its_rollback() -> None:
    longest = "1." + "0" * (MAX_LENGTH - 2)
    assert len(Version.parse(longest).text + ROLLBACK_SUFFIX) == 50


def test_a_version_of_42_characters_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        Version.parse("1" * 42)
    assert refused.value.reason is Reason.MALFORMED_VERSION
    assert "has 42 characters; at most 41" in refused.value.sentence


@pytest.mark.parametrize(
    ("text", "expected"),
    [(NOTHING, True), ("0.0", True), ("00", True), ("0+x", True), ("0-a", False), ("0.0.1", False), ("1", False)],
)
def test_version_0_is_nothing(text: str, *, expected: bool) -> None:
    assert Version.parse(text).is_nothing is expected


def test_versions_do_not_compare_with_anything_else() -> None:
    assert Version.parse("1") != "1"
    with pytest.raises(TypeError):
        _ = Version.parse("1") < "2"
