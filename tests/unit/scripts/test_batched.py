"""Which scripts can be done in batches, and what is sent of them, as tables."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from schema_operator.api.request import Acknowledgement, TransactionMode
from schema_operator.api.version import Version
from schema_operator.errors import Reason, Refused
from schema_operator.scripts.batched import Target, counting, counting_all, in_one_go, target_of, with_parameters
from schema_operator.scripts.check import problems
from schema_operator.scripts.pending import check_pending
from schema_operator.scripts.script import BatchKey, Script, ScriptSet, Source
from schema_operator.scripts.statements import Statement, statements_of
from schema_operator.scripts.units import Unit, UnitKind, is_atomic, transactions_of, units_of

VARIABLE = re.compile(r":['\"]?(?:app|table|text)['\"]?")
RANGE = "id > :batch_after AND id <= :batch_upto"
KEY = BatchKey(None, "item", "id")


def source(text: str, key: BatchKey | None = KEY, mode: TransactionMode = TransactionMode.AUTO) -> Source:
    return replace(Source.from_bytes("1_a.up.sql", text.encode()), batch=key, transaction=mode)


def unit(text: str, key: BatchKey = KEY) -> Unit:
    (found,) = units_of(source(text, key))
    return found


def statement(text: str) -> Statement:
    (found,) = unit(text).statements
    return found


TARGETS = {
    "update": (f"UPDATE item SET a = 1 WHERE {RANGE}", Target(("item",), "item", inserts=False)),
    "update with all that may stand there": (
        f'UPDATE ONLY shop."It em" * AS "x""y" SET a = 1 WHERE {RANGE}',
        Target(("shop", "It em"), 'x"y', inserts=False),
    ),
    "an alias without AS": (f"UPDATE Item I SET a = 1 WHERE I.{RANGE}", Target(("item",), "i", inserts=False)),
    "delete": (f"DELETE FROM item WHERE {RANGE}", Target(("item",), "item", inserts=False)),
    "delete using others": (
        f"DELETE FROM shop.item USING other WHERE item.{RANGE}",
        Target(("shop", "item"), "item", inserts=False),
    ),
    "insert": (f"INSERT INTO copy (a) SELECT a FROM item WHERE {RANGE}", Target(("copy",), "copy", inserts=True)),
    "insert without columns": (
        f"INSERT INTO copy SELECT a FROM item WHERE {RANGE}",
        Target(("copy",), "copy", inserts=True),
    ),
    "insert with an alias": (
        f"INSERT INTO copy AS c SELECT a FROM item WHERE {RANGE} ON CONFLICT (a) DO UPDATE SET a = c.a",
        Target(("copy",), "c", inserts=True),
    ),
    "insert from a WITH": (
        f"INSERT INTO copy WITH x AS (SELECT a FROM item WHERE {RANGE}) SELECT a FROM x",
        Target(("copy",), "copy", inserts=True),
    ),
    "behind a WITH": (
        f"WITH a AS (SELECT 1), b (c) AS MATERIALIZED (SELECT 2) UPDATE item SET a = 1 FROM b WHERE {RANGE}",
        Target(("item",), "item", inserts=False),
    ),
    "names that are variables": (
        f"UPDATE :app.:\"table\" AS i SET a = :'text' WHERE {RANGE}",
        Target(("a", "a"), "i", inserts=False),
    ),
    "words that only look like more": (
        f"UPDATE item SET a = item.returning, b = 'RETURNING' WHERE {RANGE} AND d IN (SELECT 1 FOR UPDATE)",
        Target(("item",), "item", inserts=False),
    ),
}


@pytest.mark.parametrize(("text", "target"), TARGETS.values(), ids=TARGETS)
def test_the_table_that_is_changed(text: str, target: Target) -> None:
    (found,) = unit(text).statements
    assert target_of(replace(found, sql=VARIABLE.sub("a", found.sql))) == target


SENT = {
    "plain": (
        "UPDATE item SET a = 1 WHERE id > :batch_after AND id <= :batch_upto",
        "UPDATE item SET a = 1 WHERE id >= $1          AND id <= $2         ",
        "UPDATE item SET a = 1 WHERE id > $1           AND id <= $2         ",
    ),
    "without blanks, in quotes and over lines": (
        'UPDATE item i SET a = 1 WHERE i."id">\n:batch_after AND id<=:batch_upto::bigint',
        'UPDATE item i SET a = 1 WHERE i."id">=\n$1          AND id<=$2         ::bigint',
        'UPDATE item i SET a = 1 WHERE i."id">\n$1           AND id<=$2         ::bigint',
    ),
    "twice, and once in a string": (
        "DELETE FROM i WHERE id > :batch_after AND id <= :batch_upto OR 'id > :batch_after' = b AND id > :batch_after",
        "DELETE FROM i WHERE id >= $1          AND id <= $2          OR 'id > :batch_after' = b AND id >= $1         ",
        "DELETE FROM i WHERE id > $1           AND id <= $2          OR 'id > :batch_after' = b AND id > $1          ",
    ),
}


@pytest.mark.parametrize(("text", "first", "later"), SENT.values(), ids=SENT)
def test_parameters_take_the_place_of_placeholders_and_nothing_moves(text: str, first: str, later: str) -> None:
    written = statement(text)
    assert with_parameters(written, first=True).sql == first
    assert with_parameters(written, first=False).sql == later
    assert len(first) == len(later) == len(text)
    assert first.index("$2") == later.index("$2") == text.index(":batch_upto")


def test_all_rows_are_done_at_once_where_they_must_be() -> None:
    text = "DELETE FROM item i WHERE i.id>\n:batch_after AND i.id<=:batch_upto AND id > 0"
    found = in_one_go(statement(text)).sql
    assert found == "DELETE FROM item i WHERE i.id IS NOT NULL\n  AND i.id IS NOT NULL  AND id > 0"
    assert len(found) == len(text)


def test_a_statement_counts_what_it_changed() -> None:
    found = counting("UPDATE item", Target(("item",), 'i"', inserts=False), "Id", "key > $2")
    assert found.sql[found.offset :].startswith("UPDATE item\n")
    assert found.sql == (
        'WITH changed AS (\nUPDATE item\nRETURNING "i"""."Id" AS key), counted (changed, strayed) AS '
        "(SELECT pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE key > $2) FROM changed)"
    )
    assert "RETURNING true AS key" in counting_all("UPDATE item").sql


IMPOSSIBLE = {
    "no statement": ("", None, "holds one statement, not 0"),
    "two statements": (f"DELETE FROM item WHERE {RANGE};\nSELECT 1", 2, "holds one statement, not 2"),
    "a query": (f"SELECT 1 FROM item WHERE {RANGE}", 1, "is an UPDATE, a DELETE or an INSERT … SELECT"),
    "another command": ("VACUUM item", 1, "is an UPDATE, a DELETE or an INSERT … SELECT"),
    "a query behind a WITH": (f"WITH a AS (SELECT 1) SELECT 1 FROM item WHERE {RANGE}", 1, "is an UPDATE, a DELETE"),
    "rows that are written out": (
        f"INSERT INTO copy VALUES ((SELECT 1 FROM item WHERE {RANGE}))",
        1,
        "is an UPDATE, a DELETE or an INSERT … SELECT",
    ),
    "MERGE": (f"MERGE INTO item USING b ON {RANGE} WHEN MATCHED THEN DELETE", 1, "is an UPDATE, a DELETE or an INSERT"),
    "a WITH that changes rows": (
        f"WITH a AS (DELETE FROM b RETURNING c) UPDATE item SET c = 1 WHERE {RANGE}",
        1,
        "its WITH changes rows of its own",
    ),
    "a RETURNING of its own": (
        f"DELETE FROM item WHERE {RANGE} RETURNING id",
        1,
        "nobody takes the rows of its RETURNING",
    ),
    "no placeholders": (
        "DELETE FROM item",
        1,
        "has no :batch_after; write WHERE id > :batch_after AND id <= :batch_upto",
    ),
    "one placeholder": ("DELETE FROM item WHERE id > :batch_after", 1, "has no :batch_upto"),
    "a placeholder in a string": ("DELETE FROM item WHERE a = ':batch_after'", 1, "has no :batch_after"),
    "BETWEEN": (
        "DELETE FROM item WHERE id\nBETWEEN :batch_after AND :batch_upto",
        2,
        "right behind id >, so its ranges",
    ),
    "at least": ("DELETE FROM item WHERE id >= :batch_after AND id <= :batch_upto", 1, "right behind id >"),
    "below": ("DELETE FROM item WHERE id > :batch_after AND id < :batch_upto", 1, "right behind id <="),
    "another column": ("DELETE FROM item WHERE a > :batch_after AND id <= :batch_upto", 1, "right behind id >"),
    "another operator": ("DELETE FROM item WHERE id ->> :batch_after AND id <= :batch_upto", 1, "right behind id >"),
    "the other way round": ("DELETE FROM item WHERE :batch_after < id AND id <= :batch_upto", 1, "right behind id >"),
    "as a string": ("DELETE FROM item WHERE id > :'batch_after' AND id <= :batch_upto", 1, "right behind id >"),
    "a comment between": (
        "DELETE FROM item WHERE id > -- >\n:batch_after AND id <= :batch_upto",
        2,
        "right behind id >",
    ),
    "nothing before it": ("DELETE FROM item WHERE :batch_after AND id <= :batch_upto", 1, "right behind id >"),
}


@pytest.mark.parametrize(("text", "line", "words"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_what_cannot_be_done_in_batches_is_refused_with_its_line(text: str, line: int | None, words: str) -> None:
    with pytest.raises(Refused) as refused:
        units_of(source(text))
    assert refused.value.reason is Reason.INVALID_BATCH
    assert refused.value.location.line == line
    assert words in refused.value.sentence


def test_one_transaction_and_batches_contradict_each_other() -> None:
    with pytest.raises(Refused) as refused:
        units_of(source(f"DELETE FROM item WHERE {RANGE}", mode=TransactionMode.REQUIRED))
    assert refused.value.reason is Reason.INVALID_BATCH
    assert "says transaction=required" in refused.value.sentence


def test_a_script_in_batches_is_one_unit_that_is_not_atomic() -> None:
    text = f"DELETE FROM item WHERE {RANGE}"
    for mode in (TransactionMode.AUTO, TransactionMode.NEVER):
        (found,) = units_of(source(text, mode=mode))
        assert (found.kind, found.batch, found.count) == (UnitKind.BATCHES, KEY, 1)
        assert not is_atomic((found,))
    made = source(text)
    assert transactions_of(made, statements_of(made)) == ()


def test_the_checksum_knows_the_column() -> None:
    text = f"DELETE FROM item WHERE {RANGE}"
    others = {unit(text, BatchKey(*names)).checksum for names in ((None, "item", "id"), ("a", "item", "id"))}
    assert len(others) == 2
    assert unit(f"{text} -- a comment;\n").checksum in others


def script(text: str) -> ScriptSet:
    header = "-- schema-operator: batch=item.id\n"
    made = replace(source(header + text), batch=KEY)
    return ScriptSet.of([Script(Version.parse("1"), "a", made)])


CHECKED = {
    "nothing is wrong": (f"DELETE FROM item WHERE {RANGE}", {}, None, ""),
    "with a variable": (f"DELETE FROM :t WHERE {RANGE}", {"t": "item"}, None, ""),
    "another variable": (f"DELETE FROM :t WHERE {RANGE}", {}, Reason.PLACEHOLDER_ERROR, ":t is a variable of psql"),
    "a variable with a name of ours": (
        f"DELETE FROM item WHERE {RANGE}",
        {"batch_upto": "1"},
        Reason.PLACEHOLDER_ERROR,
        "batch_upto has a name that stands for the bounds",
    ),
    "what is no statement for it": ("DELETE FROM item", {}, Reason.INVALID_BATCH, "has no :batch_after"),
}


@pytest.mark.parametrize(("text", "variables", "reason", "words"), CHECKED.values(), ids=CHECKED)
def test_a_script_in_batches_is_checked_like_others(
    text: str, variables: dict[str, str], reason: Reason | None, words: str
) -> None:
    found = problems(script(text), tuple(Acknowledgement), variables)
    assert [one.reason for one in found] == ([] if reason is None else [reason])
    assert all(words in one.sentence for one in found)


def test_bounds_of_a_batch_are_refused_where_there_are_none() -> None:
    made = ScriptSet.of([Script(Version.parse("1"), "a", source(f"DELETE FROM item WHERE {RANGE}", key=None))])
    (found,) = problems(made)
    assert found.reason is Reason.PLACEHOLDER_ERROR
    assert "is for a script that is done in batches, and this one is not" in found.sentence


def test_the_grammar_reads_what_will_be_sent() -> None:
    assert check_pending(script(f"DELETE FROM item WHERE {RANGE}").scripts, 18) == ()
    with pytest.raises(Refused) as refused:
        check_pending(script(f"DELETE FROM item WHERE {RANGE} AND a = = 1").scripts, 18)
    assert refused.value.reason is Reason.SYNTAX_ERROR
    assert (refused.value.location.line, refused.value.location.column) == (2, 72)
