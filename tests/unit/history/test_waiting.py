"""What is applied, what is waited for, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from schema_operator.api.version import Version
from schema_operator.history.waiting import Applied, Wanted, judge

SHOP, OTHER = "shop/shop", "shop/other"


def of(owner: str | None, *versions: str) -> list[Applied]:
    return [(version, owner) for version in versions]


@dataclass(frozen=True)
class Case:
    applied: list[Applied] | None
    says: str
    """The whole sentence, or its beginning where it ends in an ellipsis."""
    reached: bool = False
    wanted: str = "1.4.0"
    owner: str | None = None
    newer_is_enough: bool = False


CASES = {
    "no history": Case(None, "the database has no history yet: no run has worked on it; …"),
    "nothing applied": Case([], "version 1.4.0 is not applied; nothing is applied yet"),
    "nothing of the owner": Case(
        of(OTHER, "1.3.0", "9"),
        "version 1.4.0 of shop/shop is not applied; nothing of shop/shop is applied yet",
        owner=SHOP,
    ),
    "lower ones": Case(of(SHOP, "1.3.0", "1.10.0-rc.1", "1.2.9"), "version 1.10 is not applied; the …", wanted="1.10"),
    "the highest is named, not the last": Case(
        of(SHOP, "1.3.0", "1.2.0"), "version 1.4.0 is not applied; the highest applied version is 1.3.0"
    ),
    "numbers are numbers": Case(of(SHOP, "1.9.0"), "version 1.10.0 is not applied; the highest …", wanted="1.10.0"),
    "it": Case(of(SHOP, "1.3.0", "1.4.0"), "version 1.4.0 is applied", reached=True),
    "it, below others": Case(of(SHOP, "1.4.0", "1.5.0", "2"), "version 1.4.0 is applied", reached=True),
    "it, in another spelling": Case(of(SHOP, "1.4"), "version 1.4.0 is applied, as 1.4", reached=True),
    "wanted in another spelling": Case(
        of(SHOP, "1.4.0"), "version 01.4+b7 is applied, as 1.4.0", reached=True, wanted="01.4+b7"
    ),
    "a timestamp": Case(
        of(None, "20260101120000"), "version 20260101120000 is applied", reached=True, wanted="20260101120000"
    ),
    "its candidate": Case(
        of(SHOP, "1.4.0-rc.1"), "version 1.4.0 is not applied; the highest applied version is 1.4.0-rc.1"
    ),
    "a candidate is wanted": Case(
        of(SHOP, "1.3.0", "1.4.0"),
        "version 1.4.0-rc.1 is not applied, although 1.4.0 is: it was rolled back, or is still to come, or there …",
        wanted="1.4.0-rc.1",
    ),
    "of the owner": Case(of(SHOP, "1.4.0"), "version 1.4.0 of shop/shop is applied", reached=True, owner=SHOP),
    "of anybody, by hand": Case(of(None, "1.4.0"), "version 1.4.0 is applied", reached=True),
    "of another": Case(
        [*of(SHOP, "1.3.0"), *of(OTHER, "1.4.0")],
        "version 1.4.0 is applied, but it is one of shop/other and not of shop/shop; to count it, say --of shop/other, "
        "or leave --of out",
        owner=SHOP,
    ),
    "by hand, and an owner is wanted": Case(
        of(None, "1.4.0"),
        "version 1.4.0 is applied, but by hand and for no resource, so it is not one of shop/shop; to count it, leave "
        "--of out",
        owner=SHOP,
    ),
    "of both, in two spellings": Case(
        [*of(OTHER, "1.4"), *of(SHOP, "1.4.0")], "version 1.4.0 of shop/shop is applied", reached=True, owner=SHOP
    ),
    "rolled back, or out of order": Case(
        of(SHOP, "1.3.0", "1.5.0"),
        "version 1.4.0 is not applied, although 1.5.0 is: it was rolled back, or is still to come, or there is no such "
        "version",
    ),
    "the same, where newer is enough": Case(
        of(SHOP, "1.3.0", "1.5.0"),
        "version 1.4.0 of shop/shop is not applied, although 1.5.0 is: …",
        owner=SHOP,
        newer_is_enough=True,
    ),
    "a history that begins above": Case(
        of(SHOP, "1.5.0", "1.6.0"),
        "version 1.4.0 of shop/shop is not applied, and what is begins above it, with 1.5.0; …",
        owner=SHOP,
    ),
    "the same, where newer is enough, whatever others have": Case(
        [*of(OTHER, "1.0.0"), *of(SHOP, "1.6.0", "1.5.0")],
        "version 1.4.0 of shop/shop counts as applied: the history of shop/shop begins above it, with 1.5.0",
        reached=True,
        owner=SHOP,
        newer_is_enough=True,
    ),
    "only others have newer ones": Case(
        of(OTHER, "1.5.0"),
        "version 1.4.0 of shop/shop is not applied; nothing of shop/shop is applied yet",
        owner=SHOP,
        newer_is_enough=True,
    ),
    "lower ones, where newer is enough": Case(
        of(SHOP, "1.3.0"),
        "version 1.4.0 of shop/shop is not applied; the highest applied version of shop/shop is 1.3.0",
        owner=SHOP,
        newer_is_enough=True,
    ),
    "rows by a person that are no versions": Case(
        of(None, "v1.4.0", "", "latest"), "version 1.4.0 is not applied; nothing is applied yet"
    ),
    "the same beside it": Case(of(None, "latest", "1.4.0"), "version 1.4.0 is applied", reached=True),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_what_is_applied_decides(case: Case) -> None:
    wanted = Wanted(Version.parse(case.wanted), case.owner, newer_is_enough=case.newer_is_enough)
    verdict = judge(wanted, case.applied)
    beginning, dots, _ = case.says.partition("…")
    assert verdict.reached is case.reached
    assert verdict.sentence.startswith(beginning) if dots else verdict.sentence == beginning


def test_the_order_of_rows_does_not_matter() -> None:
    for case in CASES.values():
        wanted = Wanted(Version.parse(case.wanted), case.owner, newer_is_enough=case.newer_is_enough)
        rows = case.applied or []
        assert judge(wanted, rows).reached == judge(wanted, rows[::-1]).reached
