"""What an edit of a script amounts to, as tables: the old text, the new one, and whether they do the same."""

from __future__ import annotations

import pytest

from schema_operator.scripts.difference import Edit, edit_of, first_difference

FUNCTION = "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $x$\nSELECT 1\n$x$;"
PG_DUMP = "\\restrict aBc\nSELECT 1;\n\\unrestrict aBc\n"
COPY = "COPY t FROM STDIN;\na\tb\n\\.\nSELECT 1;"

HARMLESS = {
    "nothing but bytes": ("SELECT 1", "SELECT 1", Edit.BYTES),
    "CR LF for LF": ("SELECT 1;\nSELECT 2;\n", "SELECT 1;\r\nSELECT 2;\r\n", Edit.LINE_ENDS),
    "LF for CR LF": ("SELECT 1\r\n  FROM t;\r\n", "SELECT 1\n  FROM t;\n", Edit.LINE_ENDS),
    "CR LF in comments and between pieces": (
        f"-- c\n{PG_DUMP}",
        f"-- c\n{PG_DUMP}".replace("\n", "\r\n"),
        Edit.LINE_ENDS,
    ),
    "a line break at the end": ("SELECT 1;", "SELECT 1;\n", Edit.WHITE_SPACE),
    "indentation": ("SELECT a\nFROM t", "SELECT a\n    FROM t", Edit.WHITE_SPACE),
    "blanks around commas and parentheses": (
        "INSERT INTO t(a,b)VALUES(1,2)",
        "INSERT INTO t (a, b) VALUES (1, 2)",
        Edit.WHITE_SPACE,
    ),
    "blanks around operators": ("SELECT a=1+b", "SELECT a = 1 + b", Edit.WHITE_SPACE),
    "blanks around an operator between strings": ("SELECT 'a'||'b'", "SELECT 'a' || 'b'", Edit.WHITE_SPACE),
    "a comment": ("SELECT 1; -- one", "SELECT 1; -- eins", Edit.COMMENTS),
    "a comment that goes": ("/* a /* b */ */ SELECT 1;", "SELECT 1;", Edit.COMMENTS),
    "a comment in a statement": ("SELECT /* a */ 1", "SELECT -- b\n 1", Edit.COMMENTS),
    "a comment in place of a blank": ("SELECT 1", "SELECT/**/1", Edit.COMMENTS),
    "a semicolon at the end": ("SELECT 1", "SELECT 1;", Edit.COMMENTS),
    "blanks around a function's body": (FUNCTION, FUNCTION.replace("AS $x$", "AS\n  $x$"), Edit.WHITE_SPACE),
    "blanks after the data of COPY": (COPY, COPY.replace("SELECT 1", "SELECT  1"), Edit.WHITE_SPACE),
}
HARMFUL = {
    "another number": ("SELECT 1", "SELECT 2", Edit.TEXT),
    "another statement": ("SELECT 1;", "SELECT 1; SELECT 2;", Edit.TEXT),
    "a statement that goes": ("SELECT 1; SELECT 2;", "SELECT 1;", Edit.TEXT),
    "two statements out of one": ("SELECT 1 SELECT", "SELECT 1; SELECT", Edit.TEXT),
    "another case": ("SELECT a", "SELECT A", Edit.TEXT),
    "a blank in a string": ("SELECT 'a b'", "SELECT 'a  b'", Edit.TEXT),
    "a blank in a quoted name": ('SELECT "a b"', 'SELECT "a  b"', Edit.TEXT),
    "a blank in a function's body": (FUNCTION, FUNCTION.replace("SELECT 1", "SELECT  1"), Edit.TEXT),
    "a comment in a function's body": (FUNCTION, FUNCTION.replace("SELECT 1", "SELECT 1 -- one"), Edit.TEXT),
    "CR LF in a function's body": (FUNCTION, FUNCTION.replace("\n", "\r\n"), Edit.QUOTED_LINE_ENDS),
    "CR LF in a string": ("SELECT 'a\nb'", "SELECT 'a\r\nb'", Edit.QUOTED_LINE_ENDS),
    "CR LF in the data of COPY": (COPY, COPY.replace("\n", "\r\n"), Edit.QUOTED_LINE_ENDS),
    "a blank in the data of COPY": (COPY, COPY.replace("a\tb", "a\tb "), Edit.TEXT),
    "an escape string": ("SELECT '\\n'", "SELECT E'\\n'", Edit.TEXT),
    "a blank that makes an E an alias": ("SELECT E'a'", "SELECT E 'a'", Edit.TEXT),
    "a blank in a bit string": ("SELECT B'1'", "SELECT B '1'", Edit.TEXT),
    "a blank in a string with Unicode": ("SELECT U&'a'", "SELECT U& 'a'", Edit.TEXT),
    "one string of two, by a line break": ("SELECT 'a' 'b'", "SELECT 'a'\n'b'", Edit.TEXT),
    "two words of one": ("SELECT ab", "SELECT a b", Edit.TEXT),
    "an alias of an exponent": ("SELECT 1e5", "SELECT 1 e5", Edit.TEXT),
    "a blank in an exponent": ("SELECT 1e-5", "SELECT 1e -5", Edit.TEXT),
    "a blank in an operator": ("SELECT a<=b", "SELECT a< =b", Edit.TEXT),
    "a blank in a cast": ("SELECT a::int", "SELECT a: :int", Edit.TEXT),
    "two minus signs that begin a comment": ("SELECT 1 - -1", "SELECT 1 --1", Edit.TEXT),
    "a parenthesis": ("SELECT (1)", "SELECT 1", Edit.TEXT),
    "a key of pg_dump": (PG_DUMP, PG_DUMP.replace("aBc", "aBd"), Edit.TEXT),
    "a directive": ("-- schema-operator: transaction=never\nSELECT 1", "SELECT 1", Edit.TEXT),
    "a directive in a statement": (
        "SELECT 1 --schema-operator: x\n+ 1",
        "SELECT 1 --schema-operator: y\n+ 1",
        Edit.TEXT,
    ),
    "a directive of goose": ("-- +goose NO TRANSACTION\nSELECT 1", "SELECT 1", Edit.TEXT),
    "a hint to the planner": ("SELECT /*+ SeqScan(t) */ 1", "SELECT 1", Edit.TEXT),
    "what is never closed": ("SELECT 'a", "SELECT  'a", Edit.TEXT),
}


@pytest.mark.parametrize(
    ("stored", "present", "edit"), [*HARMLESS.values(), *HARMFUL.values()], ids=[*HARMLESS, *HARMFUL]
)
def test_edit(stored: str, present: str, edit: Edit) -> None:
    assert edit_of(stored, present) is edit
    assert edit_of(present, stored) is edit


def test_which_edits_are_harmless() -> None:
    assert {edit for _, _, edit in HARMLESS.values()} == {edit for edit in Edit if edit.harmless}
    assert {edit for _, _, edit in HARMFUL.values()} == {edit for edit in Edit if not edit.harmless}


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [("a", "a", None), ("a\nb", "a\nc", 2), ("a", "a\n", 2), ("a\nb", "a", 2), ("x", "y", 1), ("a\r\n", "a\n", 1)],
)
def test_first_difference(old: str, new: str, line: int | None) -> None:
    assert first_difference(old, new) == line
