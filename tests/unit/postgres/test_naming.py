"""Names as SQL writes them."""

from __future__ import annotations

import pytest

from schema_operator.postgres.naming import listed, qualified, quoted


@pytest.mark.parametrize(
    ("name", "expected"),
    [("item", "item"), ("order", '"order"'), ("Item", '"Item"'), ("a b", '"a b"'), ('a"b', '"a""b"'), ("ä", '"ä"')],
)
def test_names_are_quoted_where_they_must_be(name: str, expected: str) -> None:
    assert quoted(name) == expected


def test_what_is_not_known_is_left_out() -> None:
    assert qualified(None, "a") == "a"
    assert qualified("S", "user") == '"S"."user"'


def test_long_lists_are_cut_and_say_so() -> None:
    assert listed(("a", "b"), 2) == "a, b"
    assert listed(("a", "b", "c", "d"), 2) == "a, b and 2 more"
