"""What a run tells of one statement that takes long, while it does: each kind of command that servers report."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from support.postgres import Database, Ended, Product, finish, write

if TYPE_CHECKING:
    from pathlib import Path

    from schema_operator.api.report import Progress

pytestmark = pytest.mark.postgres

ROWS = 20_000
SETUP = f"""
CREATE TABLE item (id int PRIMARY KEY, note text);
INSERT INTO item SELECT number, repeat('x', 100) FROM generate_series(1, {ROWS}) AS number;
CREATE FUNCTION slowly(value int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
    'BEGIN IF value % 100 = 0 THEN PERFORM pg_sleep(0.015); END IF; RETURN value; END';
CREATE FUNCTION slow_row() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_sleep(CASE WHEN new.id % 100 = 0 THEN 0.015 END); RETURN new; END';
"""
SLOW_VACUUM = (
    "ALTER DATABASE {database} SET vacuum_cost_delay = 20; ALTER DATABASE {database} SET vacuum_cost_limit = 5;"
)
INDEX = "CREATE INDEX item_slow ON item (slowly(id));"
COPIED = "".join(f"{number}\tnote\n" for number in range(1, ROWS + 1))


@dataclass(frozen=True)
class Case:
    """A script of two statements, the second of which takes long, and what must be said of that."""

    script: str
    says: str
    before: str = ""
    since: int = 13


SCAN = r"scanning the table, \d+ %"
CASES = {
    "CREATE INDEX": Case(INDEX, rf"building an index on public\.item: {SCAN}"),
    "a constraint with an index": Case(
        "ALTER TABLE item ADD EXCLUDE USING btree (slowly(id) WITH =);", r"building an index on public\.item"
    ),
    "CREATE INDEX, not a B-tree": Case(
        "CREATE INDEX item_slow ON item USING hash (slowly(id));", r"building an index on public\.item: \d+ %"
    ),
    "CREATE INDEX CONCURRENTLY": Case(
        "CREATE INDEX CONCURRENTLY item_slow ON item (slowly(id));",
        rf"building the index public\.item_slow: {SCAN}",
    ),
    "REINDEX": Case(
        "REINDEX TABLE item;",
        rf"rebuilding the index public\.item_slower: {SCAN}",
        before=f"{INDEX} CREATE INDEX item_slower ON item (slowly(id), id);",
    ),
    "REINDEX CONCURRENTLY": Case(
        "REINDEX INDEX CONCURRENTLY item_slow;", rf"rebuilding the index public\.item_slow_ccnew: {SCAN}", before=INDEX
    ),
    "VACUUM": Case(
        "VACUUM item;",
        rf"vacuuming public\.item: {SCAN}",
        before=f"UPDATE item SET note = 'y'; {SLOW_VACUUM}",
    ),
    # Not slowed down as VACUUM is: since 17, the sample is read at full speed once the server looked for its client.
    "ANALYZE": Case("ANALYZE item;", r"analyzing public\.item: computing statistics", before=INDEX),
    "CLUSTER": Case(
        "CLUSTER item USING item_pkey;", r"writing public\.item anew: building its indexes, 1 done", before=INDEX
    ),
    "VACUUM FULL": Case("VACUUM FULL item;", r"writing public\.item anew: building its indexes", before=INDEX),
    "COPY FROM STDIN": Case(
        f"COPY item FROM STDIN;\n{COPIED}\\.\n",
        r"copying into public\.item: [\d,]+ rows, [\d.]+ kB, \d+ %",
        before="TRUNCATE item; CREATE TRIGGER slow BEFORE INSERT ON item FOR EACH ROW EXECUTE FUNCTION slow_row();",
        since=14,
    ),
}


def prepared(database: Database, case: Case) -> str:
    """Make what a case needs; give its script."""
    database.execute(SETUP)
    for statement in filter(None, case.before.format(database=database.name).split(";")):
        database.execute(statement)
    return f"CREATE TABLE first ();\n{case.script}"


def said_of(ended: Ended) -> list[Progress]:
    return [one for one in ended.progress if one.message.startswith("applying 1: ")]


@pytest.mark.parametrize("name", CASES)
def test_a_statement_that_takes_long_is_told_of(
    product: Product, database: Database, tmp_path: Path, name: str
) -> None:
    case = CASES[name]
    script = prepared(database, case)
    ended = product.run("--scripts", write(tmp_path / "a", {"1_x.up.sql": script}), "--allow", "CopyData")
    assert ended.code == 0, ended
    said = said_of(ended)
    if database.server.major < case.since:
        assert said == []
        return
    assert any(re.fullmatch(f"applying 1: {case.says}.*", one.message) for one in said), said
    assert {(one.step, one.version, one.statement, one.statements) for one in said} == {("Applying", "1", 2, 2)}
    percents = [one.percent or 0 for one in said]
    assert percents == sorted(percents)
    assert 50 <= percents[0] <= percents[-1] <= 100


def test_what_an_index_waits_for_is_told_together_with_who_is_in_the_way(
    product: Product, database: Database, tmp_path: Path
) -> None:
    database.execute(SETUP)
    script = "CREATE INDEX CONCURRENTLY item_note ON item (note);"
    with database.connect("the report") as reader:
        reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT count(*) FROM item")
        run = product.start("--scripts", write(tmp_path / "a", {"1_x.up.sql": script}))
        database.wait_for("SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'virtualxid' AND NOT granted)")
        database.execute("SELECT pg_sleep(1)")
        reader.execute("COMMIT")
    ended = finish(run)
    assert ended.code == 0, ended
    waited = [one for one in ended.progress if one.step == "WaitingForLock"]
    told = (
        r"waiting for a lock held by session \d+ \(application the report, .*\): building the index public\.item_note"
    )
    assert any(
        re.fullmatch(rf"{told}: waiting for transactions older than the index, \d of \d are gone", one.message)
        for one in waited
    ), waited
    assert {(one.version, one.statement, one.statements) for one in waited} == {("1", 1, 1)}


def test_of_statements_that_are_sent_together_none_is_named(
    product: Product, database: Database, tmp_path: Path
) -> None:
    database.execute(SETUP)
    script = f"CREATE TABLE a (); CREATE TABLE b (); {INDEX} CREATE TABLE c ();"
    ended = product.run("--scripts", write(tmp_path / "a", {"1_x.up.sql": script}))
    assert ended.code == 0, ended
    said = said_of(ended)
    assert said
    assert {(one.statement, one.statements, one.percent) for one in said} == {(None, None, 0)}


def test_a_statement_that_has_waited_is_at_work_again(product: Product, database: Database, tmp_path: Path) -> None:
    database.execute("CREATE TABLE item (id int); INSERT INTO item VALUES (0);")
    script = "UPDATE item SET id = 1 RETURNING pg_sleep(2);"
    with database.connect("the other") as other:
        other.execute("BEGIN")
        other.execute("UPDATE item SET id = 2")
        run = product.start("--scripts", write(tmp_path / "a", {"1_x.up.sql": script}))
        database.wait_for("SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted)")
        database.execute("SELECT pg_sleep(0.3)")
        other.execute("COMMIT")
    ended = finish(run)
    assert ended.code == 0, ended
    steps = [(one.step, one.message) for one in ended.progress if one.version == "1"]
    waiting = [number for number, (step, _) in enumerate(steps) if step == "WaitingForLock"]
    assert waiting
    assert steps[waiting[-1] + 1] == ("Applying", "applying 1")
