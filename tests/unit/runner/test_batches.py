"""Which versions are sent together, as a table."""

from __future__ import annotations

import pytest

from schema_operator.api.version import Version
from schema_operator.history.records import Direction, History, OpenUnit, UnitEvent
from schema_operator.runner.batches import MOST_CHARACTERS, MOST_VERSIONS, grouped, simple
from schema_operator.scripts.script import Script, Source

PLAIN = "CREATE TABLE a (); INSERT INTO a DEFAULT VALUES;"


def script(version: int, text: str = PLAIN, verify: str | None = None, down: str | None = None) -> Script:
    check = None if verify is None else Source("v", verify, "")
    back = None if down is None else Source(f"{version}.down.sql", down, "")
    return Script(Version.parse(str(version)), "", Source(f"{version}.up.sql", text, ""), back, check)


@pytest.mark.parametrize(
    ("text", "together"),
    [
        (PLAIN, True),
        ("BEGIN; DROP TABLE a; COMMIT;", True),
        ("SET search_path = a; ALTER TABLE b ADD c int", True),
        ("", False),
        ("SELECT 1", False),
        ("DO $$BEGIN END$$", False),
        ("CALL a()", False),
        ("VACUUM", False),
        ("CREATE TABLE a (); CREATE INDEX CONCURRENTLY i ON a (b)", False),
        ("BEGIN; DROP TABLE a; COMMIT; BEGIN; DROP TABLE b; COMMIT;", False),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE; DROP TABLE a; COMMIT;", False),
        ("COPY a FROM STDIN;\n1\n\\.\n", False),
        ("LISTEN a", False),
        ("PREPARE a AS SELECT 1", False),
        ("DROP TABLE a;" * 101, False),
        (f"COMMENT ON TABLE a IS '{'x' * MOST_CHARACTERS}'", False),
    ],
)
def test_only_plain_transactions_are_sent_together(text: str, *, together: bool) -> None:
    assert (simple(script(1, text), History()) is not None) is together


@pytest.mark.parametrize(
    ("text", "together"),
    [
        (PLAIN, True),
        ("DELETE FROM a WHERE b = 1", True),
        ("ALTER TABLE a ALTER b DROP NOT NULL", True),
        ("BEGIN; DROP TABLE a; COMMIT;", False),
        ("CREATE TABLE b (); ALTER TABLE a DROP COLUMN b", False),
        ("TRUNCATE a", False),
        ("DELETE FROM a", False),
        ("DROP TABLE :name", False),
    ],
)
def test_what_is_archived_is_sent_by_itself(text: str, *, together: bool) -> None:
    assert (simple(script(1, text), History(), archives=True) is not None) is together
    assert simple(script(1, text), History()) is not None


def test_a_version_with_checks_or_in_part_is_applied_by_itself() -> None:
    begun = OpenUnit(Version.parse("1"), Direction.APPLY, None, 1, 2, "c", UnitEvent.FINISHED, "", ())
    assert simple(script(1, verify="SELECT true"), History()) is None
    assert simple(script(1), History((), (begun,))) is None


def drawn(scripts: list[Script], *, last_is_verified: bool = False) -> str:
    groups = grouped(scripts, History(), last_is_verified=last_is_verified)
    return " ".join(
        f"[{','.join(item.script.version.text for item in one)}]" if isinstance(one, tuple) else one.version.text
        for one in groups
    )


def test_versions_keep_their_order() -> None:
    scripts = [script(1), script(2), script(3, "VACUUM"), script(4), script(5, "VACUUM"), script(6), script(7)]
    assert drawn(scripts) == "[1,2] 3 4 5 [6,7]"
    assert drawn(scripts, last_is_verified=True) == "[1,2] 3 4 5 6 7"


def test_groups_end_before_what_is_archived() -> None:
    scripts = [script(1), script(2), script(3, "DROP TABLE a"), script(4), script(5)]
    groups = grouped(scripts, History(), last_is_verified=False, archives=True)
    assert [len(one) if isinstance(one, tuple) else 1 for one in groups] == [2, 1, 2]


def test_no_more_are_sent_together_than_the_server_can_be_asked_to_keep() -> None:
    groups = list(
        grouped([script(number) for number in range(1, 2 * MOST_VERSIONS + 3)], History(), last_is_verified=False)
    )
    assert [len(one) if isinstance(one, tuple) else 1 for one in groups] == [MOST_VERSIONS, MOST_VERSIONS, 2]
    long = f"COMMENT ON TABLE a IS '{'x' * (MOST_CHARACTERS // 3)}'"
    assert drawn([script(number, long) for number in (1, 2, 3, 4)]) == "[1,2] [3,4]"
    back = f"-- {'x' * (MOST_CHARACTERS // 6)}"
    assert drawn([script(number, down=back) for number in (1, 2, 3, 4)]) == "[1,2] [3,4]"
    assert simple(script(1, down=f"-- {'x' * (MOST_CHARACTERS // 2)}"), History()) is None
