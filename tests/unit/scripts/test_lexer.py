from __future__ import annotations

import pytest

from schema_operator.errors import Reason, Refused
from schema_operator.scripts.lexer import lex, position_to_line_column, tokens, words
from unit.scripts.labelled import Part, data, meta, spans, spans_of, sql, written

ROUTINE = "CREATE FUNCTION f() RETURNS int LANGUAGE sql "
DUMP: list[Part | str] = [
    meta("\\restrict aB3"),
    "\n\n-- Dumped by pg_dump; do not edit\n\n",
    sql("SET statement_timeout = 0"),
    ";\n",
    sql("SELECT pg_catalog.set_config('search_path', '', false)"),
    ";\n\n",
    meta("\\unrestrict aB3"),
    "\n\n",
]

SCRIPTS: dict[str, list[Part | str]] = {
    "nothing": [],
    "only blanks": [" \t\r\n\f\v "],
    "only comments": ["-- a;b\n/* c; */ -- d"],
    "one statement without a semicolon": [sql("SELECT 1")],
    "text after the last semicolon": [sql("SELECT 1"), "; ", sql("SELECT 2"), " -- the end\n"],
    "empty statements": [";;", sql("SELECT 1"), ";; ; /* ; */ ;", sql("x"), ";"],
    "comments around a statement and in it": ["/* a */ -- b\n", sql("SELECT -- c;\n /* ; */ 1"), " /* d */ -- e\n ; "],
    "semicolon in a string": [sql("SELECT 'a;b', 'it''s;'"), ";", sql("SELECT 2")],
    "a plain string ends in a backslash": [sql("SELECT 'c:\\'"), ";", sql("SELECT ';'")],
    "escape strings": [sql("SELECT E'a\\';b', e'\\\\', E';'';'"), ";", sql("SELECT 2")],
    "an escape string goes on after a line break": [sql("SELECT E'a' -- c\n  '\\';'"), ";", sql("SELECT 2")],
    "a plain string goes on after a line break": [sql("SELECT 'a'\n'\\'"), ";", sql("SELECT ';'")],
    "a name that ends in e before a string": [sql("SELECT DATE'\\'"), ";", sql("SELECT type'\\'"), ";"],
    "unicode, bit, hex and national strings": [
        sql("SELECT U&'\\0061;\\', B'1;', x'1;', N'a;\\'"),
        ";",
        sql('SELECT U&";\\"'),
        ";",
    ],
    "dollar quotes and tags within": [
        sql("DO $$ BEGIN; END; $$"),
        ";",
        sql("SELECT $a$;$$;$b$;$A$;$a$"),
        ";",
        sql("SELECT $é_1$;$é_1$"),
        ";",
        sql("SELECT $$;$$$$;$$"),
    ],
    "dollars in names and parameters": [sql("SELECT a$b$, c$$d"), ";", sql("SELECT $1, b$c$"), ";", sql("SELECT $ 1")],
    "nested comments": ["/* a /* b; */ ; */", sql("SELECT /* /* */ ; */ 1"), ";", sql("SELECT 2")],
    "a comment that begins with slash, star, slash": ["/*/ ; */", sql("SELECT 1"), "; /*/*/ ; */*/", sql("SELECT 2")],
    "stars and slashes that are no comments": [sql("SELECT 4 / 2 * 3 *- 1 - -1"), ";", sql("SELECT 2 */* ; */ 3")],
    "quoted names": [sql('SELECT ";", "a""b;", "\'"'), ";", sql('SELECT ""'), ";"],
    "parentheses": [
        sql("CREATE RULE r AS ON INSERT TO t DO ALSO (DELETE FROM a; DELETE FROM b)"),
        ";",
        sql("SELECT 1"),
    ],
    "nested parentheses": [sql("SELECT (1; (2; 3); 4)"), ";", sql("SELECT ')'"), ";", sql("SELECT 1)"), ";", sql("x")],
    "CR LF": ["-- a\r\n", sql("SELECT\r\n1"), ";\r\n", sql("SELECT 2"), ";\r\n"],
    "a comment ends at CR": ["-- a\r", sql("SELECT 1"), ";"],
    "beyond ASCII": [sql("SELECT 'ä;€' AS größe"), ";", sql("SELECT '😀' AS \u00a0"), ";"],
    "variables of psql": [sql("SELECT :x, :'y;', :\"z;\", a::int"), ";", sql("SELECT a[1:2]"), ";"],
    "keywords that end bodies elsewhere": [
        sql("BEGIN"),
        ";",
        sql("SELECT 1"),
        ";",
        sql("END"),
        ";",
        sql("atomic"),
        ";",
    ],
    "BEGIN ATOMIC": [sql(ROUTINE + "BEGIN ATOMIC SELECT 1; SELECT 2; END"), ";", sql("SELECT 3")],
    "BEGIN ATOMIC with CASE": [
        sql(ROUTINE + "begin /* x */ atomic\n SELECT CASE WHEN a THEN 1 ELSE CASE b WHEN 2 THEN 3 END END; END"),
        ";",
        sql("SELECT 3"),
    ],
    "BEGIN ATOMIC with end as a name": [
        sql(ROUTINE + "BEGIN ATOMIC; SELECT t.end AS end, t.case, 1 end, 2 AS case FROM t; SELECT x.begin; END"),
        ";",
        sql("SELECT 3"),
    ],
    "an empty BEGIN ATOMIC": [sql("CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC -- none\n END"), ";", sql("SELECT 3")],
    "atomic as a name": [sql("CREATE FUNCTION atomic() RETURNS begin RETURN 1"), ";", sql("SELECT 3"), ";"],
    "BEGIN ATOMIC in parentheses and out": [
        sql("CREATE FUNCTION f(begin atomic DEFAULT (1)) RETURNS int LANGUAGE sql RETURN 1"),
        ";",
        sql("CREATE VIEW v AS SELECT begin atomic FROM t"),
        ";",
        sql("SELECT 3"),
    ],
    "COPY with data": [
        sql("COPY t (a, b) FROM stdin"),
        ";\n",
        data("1\tit's;\n2\t$$ /* \"\n"),
        "\\.\n\n",
        sql("SELECT 1"),
        ";",
    ],
    "COPY with data, CR LF": [sql("COPY t FROM STDIN"), "; -- a\r\n", data("1\r\n"), "\\.\r\n", sql("SELECT 1")],
    "COPY without data": [sql("COPY t FROM STDIN"), ";\n", data(""), "\\.\n", sql("SELECT 1")],
    "COPY with data to the end of the script": [sql("COPY t FROM STDIN"), ";\n", data("1\n\\.x\n 2")],
    "COPY at the end of the script": [sql("COPY t FROM STDIN"), ";", data("")],
    "COPY without a semicolon": [sql("COPY t FROM STDIN")],
    "COPY and more on its line": [
        sql("COPY a FROM STDIN"),
        "; ",
        sql("SELECT 1"),
        "; ",
        sql("COPY b FROM STDIN"),
        "; ",
        meta("\\echo ;"),
        "\n",
        data("a;\n"),
        "\\.\n",
        data("b;\n"),
        "\\.\n",
        sql("SELECT 2"),
    ],
    "COPY without data to follow": [sql("COPY t TO STDOUT"), ";\n", sql("COPY t FROM '/a'"), ";\n", sql("SELECT 1")],
    "meta commands": [
        meta("\\set x 1;"),
        "\n",
        meta("\\echo it's"),
        "  \r\n",
        sql("SELECT 1"),
        ";\n",
        meta("\\if :x"),
        "\n",
        sql("SELECT 2"),
        "; ",
        meta("\\endif"),
    ],
    "the header of pg_dump": DUMP,
    "a meta command ends a statement": [sql("SELECT (1"), " ", meta("\\gset"), "\n", sql("SELECT 2"), ";"],
    "backslashes that are no meta commands": [sql("SELECT '\\', \"\\\", $$\\$$, E'\\\\'"), "; /* \\ */ -- \\\n"],
    "a syntax error in the middle": [sql("SELECT 1"), ";\n", sql("SELEC * FORM ]"), ";\n", sql("SELECT 3"), ";"],
    "PostgreSQL 18": [
        sql("CREATE TABLE t (a int, b int GENERATED ALWAYS AS (a * 2) VIRTUAL)"),
        ";",
        sql("UPDATE t SET a = 1 RETURNING old.a, new.a"),
        ";",
    ],
}


@pytest.mark.parametrize("parts", SCRIPTS.values(), ids=SCRIPTS)
def test_pieces_of_tricky_scripts(parts: list[Part | str]) -> None:
    assert spans_of(lex(written(parts))) == spans(parts)


@pytest.mark.parametrize("parts", SCRIPTS.values(), ids=SCRIPTS)
def test_every_piece_says_where_it_begins(parts: list[Part | str]) -> None:
    text = written(parts)
    assert [(piece.line, piece.column) for piece in lex(text)] == [
        position_to_line_column(text, start) for _, start, _ in spans(parts)
    ]


def test_a_meta_command_says_whether_it_interrupts_a_statement() -> None:
    pieces = lex("\\a\nSELECT 1; \\b\nSELECT 2 \\c\n\\d\n")
    assert [piece.interrupts for piece in pieces] == [False, False, False, False, True, False]


UNCLOSED = [
    ("SELECT 1;\n  SELECT 'a;\n", 2, 10, "string", "close it with '"),
    ("SELECT 'it''s''", 1, 8, "string", "close it with '"),
    ("SELECT E'a\\'; SELECT 1", 1, 9, "string", "close it with '"),
    ("SELECT E'a'\n 'b\\'; SELECT 1", 1, 9, "string", "close it with '"),
    ("SELECT U&'a", 1, 10, "string", "close it with '"),
    ('SELECT\n\n "a; SELECT 1', 3, 2, "quoted name", 'close it with "'),
    ("SELECT 1;\r\nDO $x$ $y$ $$ $X$;", 2, 4, "string", "close it with $x$"),
    ("ä; /* /* */ SELECT 1;", 1, 4, "comment", "close it with */"),
    ("SELECT 1;\n/*/", 2, 1, "comment", "close it with */"),
    ("CREATE TABLE t (\n  a numeric(10\n;\nSELECT 1;", 2, 12, "parenthesis", "close it"),
    ("CREATE TABLE t (\n  a int;\nSELECT (1);", 1, 16, "parenthesis", "close it"),
    (f"{ROUTINE}\nBEGIN ATOMIC SELECT CASE 1 END; SELECT 2; ", 2, 1, "BEGIN ATOMIC", "write END after"),
    ("COPY t FROM STDIN; SELECT '\n\\.\n';", 1, 27, "string", "close it with '"),
]


@pytest.mark.parametrize(("text", "line", "column", "what", "remedy"), UNCLOSED)
def test_what_is_never_closed_is_refused_where_it_was_opened(
    text: str, line: int, column: int, what: str, remedy: str
) -> None:
    with pytest.raises(Refused) as refused:
        lex(text)
    assert refused.value.reason is Reason.SYNTAX_ERROR
    assert (refused.value.location.line, refused.value.location.column) == (line, column)
    assert what in refused.value.sentence
    assert remedy in refused.value.sentence


@pytest.mark.parametrize(
    ("text", "position", "expected"),
    [
        ("", 0, (1, 1)),
        ("ab", 0, (1, 1)),
        ("ab", 2, (1, 3)),
        ("a\nb", 1, (1, 2)),
        ("a\nb", 2, (2, 1)),
        ("a\r\n\r\nb", 5, (3, 1)),
        ("a\rb", 2, (2, 1)),
        ("é😀x\nü", 2, (1, 3)),
        ("é😀x\nü", 4, (2, 1)),
        ("a\u2028b\x0bc\x85d", 6, (1, 7)),
    ],
)
def test_lines_and_columns(text: str, position: int, expected: tuple[int, int]) -> None:
    assert position_to_line_column(text, position) == expected


def test_tokens_are_what_is_significant() -> None:
    text = "select a.B/* x */, \"C\", 'd''e', E'f\\'' -- g\n, $h$i$h$ + 12::int8 /* /* */ */ éa"
    assert list(tokens(text)) == [
        *("SELECT", "A", ".", "B", ",", '"C"', ",", "'d''e'", ",", "'f\\''", ","),
        *("$h$i$h$", "+", "12", ":", ":", "INT8", "éa"),
    ]


def test_tokens_between_two_offsets() -> None:
    assert list(tokens("a bc 'd' e", 2, 8)) == ["BC", "'d'"]


def test_words_look_at_the_beginning_only() -> None:
    assert words("a (b c) d", most=2) == ("A", "D")
    assert words("a b c d", most=3) == ("A", "B", "C")
    assert words("a" + " 1" * 40 + " b", most=2) == ("A",)


def test_words_of_a_part_of_a_text() -> None:
    assert words("select 1; drop table t", 10, 20, most=6) == ("DROP", "TABLE")
