"""How scripts are divided into what is committed together, as tables."""

from __future__ import annotations

from dataclasses import replace

import pytest

from schema_operator.api.request import TransactionMode
from schema_operator.errors import Reason, Refused
from schema_operator.scripts.script import Source
from schema_operator.scripts.units import Unit, UnitKind, is_atomic, settings_of, units_of, waits_harmlessly

AUTO, REQUIRED, NEVER = TransactionMode


def units(text: str, mode: TransactionMode = AUTO) -> tuple[Unit, ...]:
    return units_of(replace(Source.from_bytes("1_a.up.sql", text.encode()), transaction=mode))


def drawn(unit: Unit) -> str:
    """Draw a unit: settings before a bar, statements, and `!` for one that runs alone."""
    settings = "; ".join(one.sql for one in unit.settings)
    statements = "; ".join(one.sql for one in unit.statements)
    mark = "! " if unit.kind is UnitKind.ALONE else ""
    level = f" @{unit.isolation}" if unit.isolation else ""
    return f"{settings} | {mark}{statements}{level}" if settings else f"{mark}{statements}{level}"


DIVISIONS = {
    "nothing": ("-- nothing", AUTO, []),
    "plain statements": ("SELECT 1; SELECT 2", AUTO, ["SELECT 1; SELECT 2"]),
    "one block around all is taken over": ("BEGIN; SELECT 1; COMMIT;", AUTO, ["SELECT 1"]),
    "other words for a block": ("START TRANSACTION; SELECT 1; END WORK;", AUTO, ["SELECT 1"]),
    "a block that says it does not chain": ("BEGIN; SELECT 1; COMMIT AND NO CHAIN", AUTO, ["SELECT 1"]),
    "settings before a block prepare it": ("SET a = 1; BEGIN; SELECT 1; COMMIT", AUTO, ["SET a = 1 | SELECT 1"]),
    "a setting by function": (
        "SELECT pg_catalog.set_config('a', '1', false); BEGIN; SELECT 1; COMMIT",
        AUTO,
        ["SELECT pg_catalog.set_config('a', '1', false) | SELECT 1"],
    ),
    "settings after a block belong to it": ("BEGIN; SELECT 1; COMMIT; RESET a", AUTO, ["SELECT 1; RESET a"]),
    "settings after a statement that runs alone": ("VACUUM; RESET a", AUTO, ["! VACUUM", "RESET a"]),
    "settings before plain statements prepare them": (
        "SET a = 1; SELECT 1; SET b = 2",
        AUTO,
        ["SET a = 1 | SELECT 1; SET b = 2"],
    ),
    "settings between a block and plain statements": (
        "BEGIN; SELECT 1; COMMIT; SET a = 1; SELECT 2",
        AUTO,
        ["SELECT 1", "SET a = 1 | SELECT 2"],
    ),
    "nothing but settings": ("SET a = 1; SET b = 2", AUTO, ["SET a = 1; SET b = 2"]),
    "settings in the middle stay there": ("SELECT 1; SET a = 1; SELECT 2", AUTO, ["SELECT 1; SET a = 1; SELECT 2"]),
    "several blocks": ("BEGIN; SELECT 1; END; BEGIN; SELECT 2; END", AUTO, ["SELECT 1", "SELECT 2"]),
    "statements beside a block": (
        "SELECT 0; SELECT 1; BEGIN; SELECT 2; COMMIT; SELECT 3",
        AUTO,
        ["SELECT 0; SELECT 1", "SELECT 2", "SELECT 3"],
    ),
    "an empty block is none": ("BEGIN; COMMIT; SELECT 1", AUTO, ["SELECT 1"]),
    "isolation of a block": (
        "BEGIN ISOLATION LEVEL SERIALIZABLE, READ WRITE; SELECT 1; COMMIT",
        AUTO,
        ["SELECT 1 @SERIALIZABLE"],
    ),
    "the usual isolation is none": ("BEGIN ISOLATION LEVEL READ COMMITTED; SELECT 1; COMMIT", AUTO, ["SELECT 1"]),
    "repeatable read": (
        "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ NOT DEFERRABLE; SELECT 1; COMMIT",
        AUTO,
        ["SELECT 1 @REPEATABLE READ"],
    ),
    "what refuses a transaction runs alone": (
        "CREATE TABLE a (); CREATE INDEX CONCURRENTLY i ON a (b); DROP TABLE c",
        AUTO,
        ["CREATE TABLE a ()", "! CREATE INDEX CONCURRENTLY i ON a (b)", "DROP TABLE c"],
    ),
    "settings before what runs alone": ("SET a = 1; VACUUM", AUTO, ["SET a = 1 | ! VACUUM"]),
    "the word in a body or a string means nothing": (
        "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$CREATE INDEX CONCURRENTLY i ON a (b)$$; SELECT 'VACUUM'",
        AUTO,
        ["CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$CREATE INDEX CONCURRENTLY i ON a (b)$$; SELECT 'VACUUM'"],
    ),
    "savepoints stay inside": (
        "SAVEPOINT a; SELECT 1; ROLLBACK TO a; RELEASE a",
        AUTO,
        ["SAVEPOINT a; SELECT 1; ROLLBACK TO a; RELEASE a"],
    ),
    "never: each by itself": ("SELECT 1; SELECT 2; VACUUM", NEVER, ["SELECT 1", "SELECT 2", "! VACUUM"]),
    "never: a block is still a block": (
        "BEGIN; SELECT 1; SELECT 2; COMMIT; SELECT 3",
        NEVER,
        ["SELECT 1; SELECT 2", "SELECT 3"],
    ),
    "never: settings belong to what follows": ("SET a = 1; SELECT 1", NEVER, ["SET a = 1 | SELECT 1"]),
    "required: one block is one": ("BEGIN; SELECT 1; COMMIT", REQUIRED, ["SELECT 1"]),
}


@pytest.mark.parametrize(("text", "mode", "expected"), DIVISIONS.values(), ids=DIVISIONS)
def test_a_script_is_divided_into_what_is_committed_together(
    text: str, mode: TransactionMode, expected: list[str]
) -> None:
    found = units(text, mode)
    assert [drawn(unit) for unit in found] == expected
    assert [unit.number for unit in found] == list(range(1, len(expected) + 1))


REFUSALS = {
    "a lone commit": ("SELECT 1;\nCOMMIT", AUTO, Reason.TRANSACTION_CONTROL, (2, 2), "no BEGIN belongs to it"),
    "a lone rollback": ("SELECT 1; ROLLBACK", AUTO, Reason.TRANSACTION_CONTROL, (2, 1), "does nothing"),
    "a block that is rolled back": ("BEGIN; ABORT", AUTO, Reason.TRANSACTION_CONTROL, (2, 1), "does nothing"),
    "a block never committed": ("\n BEGIN; SELECT 1", AUTO, Reason.TRANSACTION_CONTROL, (1, 2), "never committed"),
    "a block in a block": ("BEGIN; START TRANSACTION", AUTO, Reason.TRANSACTION_CONTROL, (2, 1), "has no COMMIT"),
    "a block that chains": ("BEGIN; COMMIT AND CHAIN", AUTO, Reason.TRANSACTION_CONTROL, (2, 1), "leave out AND CHAIN"),
    "a read-only block": ("BEGIN READ ONLY; COMMIT", AUTO, Reason.TRANSACTION_CONTROL, (1, 1), "READ ONLY"),
    "a deferrable block": ("BEGIN DEFERRABLE; COMMIT", AUTO, Reason.TRANSACTION_CONTROL, (1, 1), "DEFERRABLE"),
    "two phases": ("PREPARE TRANSACTION 'a'", AUTO, Reason.TRANSACTION_CONTROL, (1, 1), "outlives the run"),
    "the second phase": ("COMMIT PREPARED 'a'", AUTO, Reason.TRANSACTION_CONTROL, (1, 1), "outlives the run"),
    "alone in a block": ("BEGIN;\nVACUUM;\nCOMMIT", AUTO, Reason.NEEDS_NO_TRANSACTION, (2, 2), "out of the block"),
    "never does not allow it either": ("COMMIT", NEVER, Reason.TRANSACTION_CONTROL, (1, 1), "no BEGIN"),
    "required: alone": ("SELECT 1;\nVACUUM", REQUIRED, Reason.NEEDS_NO_TRANSACTION, (2, 2), "transaction=required"),
    "required: blocks": (
        "BEGIN; SELECT 1; COMMIT;\nSELECT 2",
        REQUIRED,
        Reason.SPLIT_REQUIRED,
        (4, 2),
        "split it here into two versions",
    ),
}


@pytest.mark.parametrize(("text", "mode", "reason", "place", "words"), REFUSALS.values(), ids=REFUSALS)
def test_what_cannot_be_divided_is_refused_with_its_place(
    text: str, mode: TransactionMode, reason: Reason, place: tuple[int, int], words: str
) -> None:
    with pytest.raises(Refused) as refused:
        units(text, mode)
    assert refused.value.reason is reason
    assert (refused.value.location.statement, refused.value.location.line) == place
    assert words in refused.value.sentence


@pytest.mark.parametrize(
    ("text", "atomic"),
    [
        ("", True),
        ("SELECT 1", True),
        ("BEGIN; SELECT 1; COMMIT", True),
        ("BEGIN; SELECT 1; COMMIT; SELECT 2", False),
        ("VACUUM", False),
        ("VACUUM; SELECT 1", False),
    ],
)
def test_whether_a_script_is_committed_as_a_whole(text: str, *, atomic: bool) -> None:
    assert is_atomic(units(text)) is atomic


def test_the_checksum_of_a_unit_is_over_words_and_signs() -> None:
    (first,), (second,) = units("SELECT a ,b;"), units("-- why\nSELECT  a,\n b -- so")
    assert first.checksum == second.checksum
    assert len({units(text)[0].checksum for text in ("SELECT a", "SELECT b", "SELECT 'a'", "SELECT a;SELECT a")}) == 4


def test_settings_of_units_that_are_done_can_be_set_again() -> None:
    found = units("SET a = 1; VACUUM; BEGIN; SELECT 1; SET b = 2; SET LOCAL c = 3; COMMIT; VACUUM")
    assert [one.sql for one in settings_of(found[:2])] == ["SET a = 1", "SET b = 2"]


@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ("CREATE INDEX CONCURRENTLY i ON t (a)", True),
        ("REINDEX (CONCURRENTLY) TABLE t", True),
        ("DROP INDEX CONCURRENTLY i", True),
        ("VACUUM t", True),
        ("VACUUM (ANALYZE) t", True),
        ("VACUUM FULL t", False),
        ("VACUUM (FULL, ANALYZE) t", False),
        ("REINDEX SCHEMA s", False),
        ("ALTER SYSTEM SET a = 1", False),
    ],
)
def test_which_statements_keep_nobody_waiting_while_they_wait(text: str, harmless: bool) -> None:
    assert waits_harmlessly(units(text)[0]) is harmless
