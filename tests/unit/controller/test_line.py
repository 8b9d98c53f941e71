"""The line of a database: first come, first served, and nobody waits for another database."""

import itertools
import random
from dataclasses import replace

import pytest

from schema_operator.api.target_database import TargetDatabaseStatus
from schema_operator.controller.line import Key, Line, Place, place_of
from schema_operator.controller.observation import Target
from schema_operator.controller.surroundings import Ahead
from unit.controller.scenes import target

A, B, C, D = (("shop", name) for name in "abcd")
HERE = Place(("shop", "shop"))
KNOWN = Place(("shop", "shop"), ("7", "shop"))
SAME = Place(("other", "target"), ("7", "shop"))
ELSEWHERE = Place(("shop", "other"), ("7", "other"))
CLUSTER = Place(("shop", "third"), ("8", "shop"))


class Watched(Line):
    """A line that notes whom it wakes."""

    def __init__(self) -> None:
        self.heard: list[Key] = []
        super().__init__(self.heard.append)


def test_the_first_is_at_work_and_the_others_wait_for_the_one_before_them() -> None:
    line = Watched()
    assert line.ahead(A, HERE) is None
    line.at_work(A, HERE)
    assert line.ahead(A, HERE) is None
    for key, before, works in ((B, "shop/a", True), (C, "shop/b", False), (D, "shop/c", False)):
        assert line.ahead(key, HERE) == Ahead(name=before, at_work=works)
        line.wait(key, HERE)
        line.wait(key, HERE)  # a second look does not move it
    assert line.heard == []
    line.leave(A)
    assert line.heard == [B]
    assert line.ahead(B, HERE) is None
    assert line.ahead(C, HERE) == Ahead(name="shop/b", at_work=False)
    assert line.ahead(A, HERE) == Ahead(name="shop/d", at_work=False)
    line.at_work(B, HERE)
    assert line.heard == [B, C]  # because what it waits for works now
    assert line.ahead(C, HERE) == Ahead(name="shop/b", at_work=True)
    line.leave(C)
    assert line.heard == [B, C, D]
    assert line.ahead(D, HERE) == Ahead(name="shop/b", at_work=True)


def test_one_that_has_worked_goes_to_the_end() -> None:
    line = Watched()
    line.at_work(A, HERE)
    line.wait(B, HERE)
    line.wait(A, HERE)
    assert line.heard == [B]
    assert line.ahead(B, HERE) is None
    assert line.ahead(A, HERE) == Ahead(name="shop/b", at_work=False)


@pytest.mark.parametrize(
    ("there", "waits"), [(KNOWN, True), (HERE, True), (SAME, True), (ELSEWHERE, False), (CLUSTER, False)]
)
def test_two_targets_are_one_database_where_server_and_name_are(there: Place, waits: bool) -> None:
    line = Watched()
    line.at_work(A, KNOWN)
    assert (line.ahead(B, there) is not None) is waits
    line.wait(B, there)
    line.leave(A)
    assert line.heard == ([B] if waits else [])


def test_a_failing_look_gives_way_and_what_works_stays() -> None:
    line = Watched()
    line.at_work(A, HERE)
    line.wait(B, HERE)
    line.wait(C, HERE)
    line.give_way(B)
    line.give_way(A)
    assert line.heard == [C]
    assert line.ahead(C, HERE) == Ahead(name="shop/a", at_work=True)


def test_where_nobody_has_been_nothing_is_known_of_the_server() -> None:
    found = target()
    assert place_of(found) == HERE
    nameless = found.status.model_copy(update={"database": "shop"})
    known = nameless.model_copy(update={"system_identifier": "7"})
    assert [place_of(_with(status)).identity for status in (nameless, known)] == [None, ("7", "shop")]


def _with(status: TargetDatabaseStatus) -> Target:
    return replace(target(), status=status)


def test_how_long_a_run_works_is_known_only_of_what_works() -> None:
    line = Watched()
    assert line.seconds_at_work(A) > 1e9
    line.at_work(A, HERE)
    line.at_work(A, KNOWN)
    assert 0 <= line.seconds_at_work(A) < 60
    line.leave(A)
    assert line.seconds_at_work(A) > 1e9


@pytest.mark.parametrize("seed", range(20))
def test_everybody_has_a_turn_and_never_two_at_once(seed: int) -> None:
    """Looks happen only where somebody is woken; so whoever is forgotten would stand for ever."""
    chance = random.Random(seed)  # noqa: S311 (a test that can be repeated)
    to_look: list[Key] = []
    line = Line(to_look.append)
    places = [HERE, SAME, ELSEWHERE]
    wants = {("n", str(number)): chance.choice(places) for number in range(12)}
    left = dict.fromkeys(wants, 3)
    working: set[Key] = set()
    to_look.extend(wants)
    for _ in itertools.count():
        if to_look and (chance.random() < 0.7 or not working):
            key = to_look.pop(chance.randrange(len(to_look)))
            if key in working or not left[key]:
                continue
            if line.ahead(key, wants[key]) is not None:
                line.wait(key, wants[key])
                continue
            line.at_work(key, wants[key])
            working.add(key)
            assert len({wants[one] for one in working}) == len(working)
        elif working:
            key = chance.choice(sorted(working))
            working.remove(key)
            left[key] -= 1
            line.leave(key)
            if left[key]:
                to_look.append(key)
        else:
            break
    assert set(left.values()) == {0}
