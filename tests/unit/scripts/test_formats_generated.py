"""Folders made at random: whatever the format and however numbers are written, order is that of the numbers."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema_operator.errors import Refused
from schema_operator.scripts.reading import Entry, from_entries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from schema_operator.scripts.script import ScriptSet

Numbers = tuple[int, ...]
GOOSE = "-- +goose Up\nSELECT 1;\n-- +goose Down\nSELECT 2;\n"
DBMATE = "-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT 2;\n"
SINGLE: dict[str, Callable[[str, str], dict[str, str]]] = {
    "ours": lambda number, name: {f"{number}_{name}.up.sql": "SELECT 1", f"{number}_x.down.sql": "SELECT 2"},
    "Diesel": lambda number, name: {f"{number}_{name}/up.sql": "SELECT 1", f"{number}_{name}/down.sql": "SELECT 2"},
    "goose": lambda number, name: {f"{number}_{name}.sql": GOOSE},
    "dbmate": lambda number, name: {f"{number}_{name}.sql": DBMATE},
    "plain": lambda number, name: {f"{number}_{name}.sql": "SELECT 1", f"{number}_y.rollback.sql": "SELECT 2"},
    "Flyway": lambda number, name: {f"V{number}__{name}.sql": "SELECT 1", f"U{number}__z.sql": "SELECT 2"},
}

numbers = st.integers(1, 10**15 - 1) | st.integers(1, 300)
names = st.text(st.sampled_from("abz éß%{}$:\\ ()-"), min_size=1, max_size=8).map(lambda text: f"n{text}n")
shuffles = st.randoms(use_true_random=False)


def entries(files: Iterable[tuple[str, str]], shuffle: random.Random) -> list[Entry]:
    made = [Entry("", name, text.encode()) for name, text in files]
    shuffle.shuffle(made)
    return made


@pytest.mark.parametrize("make", SINGLE.values(), ids=SINGLE)
@given(st.data())
def test_order_is_that_of_numbers_whatever_their_width(
    make: Callable[[str, str], dict[str, str]], data: st.DataObject
) -> None:
    chosen = data.draw(st.lists(numbers, unique=True, min_size=1, max_size=60))
    written = {number: str(number).zfill(data.draw(st.integers(0, 15))) for number in chosen}
    files = [file for number in chosen for file in make(written[number], data.draw(names)).items()]
    scripts = from_entries(entries(files, data.draw(shuffles)))
    assert [script.version.text for script in scripts.scripts] == [written[number] for number in sorted(chosen)]
    assert all(script.down is not None for script in scripts.scripts)
    assert (scripts.ignored, scripts.without_down) == ((), ())


joined = st.lists(st.integers(0, 99), min_size=1, max_size=4).map(tuple).filter(any)


@given(
    st.lists(joined, unique_by=lambda parts: "".join(map(chr, parts)).rstrip("\0"), min_size=1, max_size=60), st.data()
)
def test_joined_numbers_are_ordered_one_by_one(chosen: list[Numbers], data: st.DataObject) -> None:
    files = []
    for parts in chosen:
        head, *tail = (str(part).zfill(data.draw(st.integers(0, 3))) for part in parts)
        number = head + "".join(data.draw(st.sampled_from("._-")) + part for part in tail)
        files.append((f"{number}{data.draw(st.sampled_from(('', '_x', '-x', '.x')))}.sql", "SELECT 1"))
    scripts = from_entries(entries(files, data.draw(shuffles)))
    found = [tuple(map(int, script.version.text.split("."))) for script in scripts.scripts]
    # A number that is missing counts as 0, so a 0 at the end counts for nothing.
    assert [_significant(one) for one in found] == sorted(map(_significant, chosen))


def _significant(parts: Numbers) -> Numbers:
    while parts and parts[-1] == 0:
        parts = parts[:-1]
    return parts


@given(
    st.lists(
        st.datetimes().filter(lambda one: 1900 <= one.year < 2100),
        unique_by=lambda one: f"{one:%Y%m%d%H%M%S}",
        max_size=40,
    ),
    st.data(),
)
def test_dates_with_and_without_dashes_are_ordered_by_time(times: list[object], data: st.DataObject) -> None:
    forms = ("%Y%m%d%H%M%S", "%Y-%m-%d-%H%M%S", "%Y-%m-%d_%H%M%S")
    files = [(f"{format(time, data.draw(st.sampled_from(forms)))}_x/up.sql", "SELECT 1") for time in times]
    scripts = from_entries(entries(files, data.draw(shuffles)))
    assert [script.version.text for script in scripts.scripts] == sorted(format(time, forms[0]) for time in times)


@given(st.sampled_from(sorted(SINGLE)), st.sampled_from(sorted(SINGLE)), numbers, numbers, names)
def test_no_two_formats_in_one_folder_are_taken_for_one(
    first: str, second: str, one: int, other: int, name: str
) -> None:
    if first == second or one == other:
        return
    files = {**SINGLE[first](str(one), name), **SINGLE[second](str(other), name)}
    with pytest.raises(Refused) as caught:
        from_entries([Entry("", file, text.encode()) for file, text in files.items()])
    assert caught.value.reason == "UnrecognizedScript"
    assert caught.value.location.file in files


@given(
    st.lists(st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=12), max_size=8),
    st.text(max_size=20),
)
def test_any_names_are_read_or_refused_and_none_is_lost(stems: list[str], text: str) -> None:
    endings = (".up.sql", ".down.sql", ".sql", "/up.sql", ".md", ".SQL")
    files = {f"{stem}{ending}": text for stem, ending in zip(stems, endings * 2, strict=False)}
    scripts, problem = _read([Entry("", name, text.encode()) for name in files])
    if scripts is None:
        assert problem is not None
        assert problem.location.file
        return
    seen = {source.file for script in scripts.scripts for _, source in script.sources} | set(scripts.ignored)
    assert seen == {name for name in files if not name.startswith(".") and (name in seen or "/" not in name)}


def _read(made: list[Entry]) -> tuple[ScriptSet | None, Refused | None]:
    try:
        return from_entries(made), None
    except Refused as refused:
        return None, refused
