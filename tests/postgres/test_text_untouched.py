"""What a script says reaches the server, and the history, byte for byte."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from schema_operator.api.request import RunRequest, ScriptFolder
from support.postgres import Database, Product, write

pytestmark = pytest.mark.postgres

HARD = {
    "per cent signs": "%, %%, %s, %(name)s, %I",
    "braces": "{}, {0}, {name!r}, {{}}, ${HOME}",
    "dollars": "$NAME, $1, $x, a$b$c",
    "colons": ":x, :'x', :\"x\", ::int, a[1:x], x:=1",
    "backslashes": "\\, \\\\, \\n, \\x41, \\u0041, \\.",
    "a carriage return": "one\r\ntwo\rthree\n\r\nfour\r\n",
    "blanks": " \t one\t\f\v two  \n\n",
    "quotes": '"a" `b` \u2019c\u2019',
    "beyond ASCII": "äß€ 😀 \u00a0 \u2028 e\u0301 \ufeff \ufffd \u0085",
    "comments": "/* a /* b */ */ -- c\n# d",
    "other tags": "$a$ ; $a$ $$a $$",
}
VARIABLES = {"y": "canary", "HOME": "canary"}


def hard_script() -> str:
    """A script that carries each hard text in all the ways there are; each ends with CR LF."""
    parts = ["CREATE TABLE kept (what text, how text, value text);"]
    for what, text in HARD.items():
        doubled = text.replace("'", "''")
        escaped = doubled.replace("\\", "\\\\")
        parts += [
            f"INSERT INTO kept VALUES ('{what}', 'string', '{doubled}'), ('{what}', 'escape', E'{escaped}');",
            f"INSERT INTO kept VALUES ('{what}', 'dollar', $T${text}$T$);",
            f'CREATE FUNCTION "{what}"() RETURNS text LANGUAGE plpgsql AS $T$ BEGIN RETURN $U${text}$U$; END\r\n$T$;',
            f"COMMENT ON FUNCTION \"{what}\"() IS '{doubled}';",
            f"DO $T$ BEGIN INSERT INTO kept VALUES ('{what}', 'body', $U${text}$U$); END $T$;",
        ]
    return "\r\n".join([*parts, "-- the end: äöü \\ %s :x\r\n"])


@pytest.mark.parametrize("variables", [{}, VARIABLES], ids=["no variables", "variables"])
def test_every_text_arrives_as_it_was_written(
    product: Product, database: Database, tmp_path: Path, variables: dict[str, str]
) -> None:
    folder = write(tmp_path / "a", {"1.up.sql": hard_script()})
    request = RunRequest(run="r", actor="a", folders=(ScriptFolder(path=str(folder), label=""),), variables=variables)
    ended = product.request(tmp_path, request)
    assert ended.code == 0, ended
    ways = ("string", "escape", "dollar", "body")
    assert database.rows("SELECT what, how, value FROM kept ORDER BY what, how") == sorted(
        (what, how, text) for what, text in HARD.items() for how in ways
    )
    for what, text in HARD.items():
        sources = database.rows(
            f"SELECT prosrc, obj_description(oid, 'pg_proc'), pg_get_functiondef(oid) FROM pg_proc "
            f"WHERE proname = '{what}'"
        )
        body = f" BEGIN RETURN $U${text}$U$; END\r\n"
        assert [(source, comment) for source, comment, _ in sources] == [(body, text)]
        assert body in sources[0][2]
        assert database.value(f'SELECT "{what}"()') == text


def test_the_stored_scripts_are_the_files(product: Product, database: Database, tmp_path: Path) -> None:
    script = hard_script()
    files = {"1.up.sql": script, "1.down.sql": f"DROP TABLE kept; {script}", "1.verify.sql": "SELECT true;\r\n-- ä\r"}
    folder = write(tmp_path / "a", files)
    assert product.run("--scripts", folder).code == 0
    (row,) = database.rows(
        "SELECT v.checksum, encode(sha256(convert_to(up_sql, 'UTF8')), 'hex'), up_sql, down_sql, verify_sql "
        "FROM schema_operator.version_scripts JOIN schema_operator.schema_versions AS v ON v.id = version_id"
    )
    checksum = hashlib.sha256((folder / "1.up.sql").read_bytes()).hexdigest()
    assert row == (checksum, checksum, files["1.up.sql"], files["1.down.sql"], files["1.verify.sql"])


def test_a_byte_order_mark_counts_for_the_checksum_only(product: Product, database: Database, tmp_path: Path) -> None:
    folder = write(tmp_path / "a", {"1.up.sql": "\ufeffSELECT 1;"})
    assert product.run("--scripts", folder).code == 0
    checksum = hashlib.sha256(b"\xef\xbb\xbfSELECT 1;").hexdigest()
    assert database.rows("SELECT checksum FROM schema_operator.schema_versions") == [(checksum,)]
    assert database.rows("SELECT up_sql FROM schema_operator.version_scripts") == [("SELECT 1;",)]
