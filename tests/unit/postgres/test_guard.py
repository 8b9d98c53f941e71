"""How sessions that hold a lock are named."""

from __future__ import annotations

import pytest

from schema_operator.postgres.locks import Holder


@pytest.mark.parametrize(
    ("holder", "said"),
    [
        (
            Holder(7, "schema-operator/shop/a", "idle", 3.0, "2026-01-01T00:00:00Z"),
            "schema-operator/shop/a (session 7), since 2026-01-01T00:00:00Z",
        ),
        (Holder(7, "schema-operator", None, None), "schema-operator (session 7)"),
        (Holder(7, "", None, None), "a run without a name (session 7)"),
    ],
)
def test_a_run_is_named_by_its_application_and_not_by_what_its_session_does(holder: Holder, said: str) -> None:
    assert holder.at_work == said


def test_another_session_is_named_with_what_it_does() -> None:
    assert str(Holder(7, "backup", "idle in transaction", 3.4)) == (
        "session 7 (application backup, idle in transaction, for 3 s)"
    )
