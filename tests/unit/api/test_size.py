"""Sizes, as resources and options write them."""

import re

import pytest

from schema_operator.api.size import PATTERN, in_bytes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", 1),
        ("1000", 1000),
        ("2Ki", 2048),
        ("500Mi", 500 * 1024**2),
        ("1Gi", 1024**3),
        ("3Ti", 3 * 1024**4),
        ("99999999999999999Ti", 2**63 - 1),
    ],
)
def test_a_size_is_a_number_of_bytes_or_of_their_powers_of_two(text: str, expected: int) -> None:
    assert in_bytes(text) == expected
    assert re.search(PATTERN, text)


@pytest.mark.parametrize("text", ["", "0", "0Gi", "-1", "1GB", "1G", "1.5Gi", "1 Gi", "Gi", "1gi", "01"])
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a size is a number"):
        in_bytes(text)
    assert re.search(PATTERN, text) is None
