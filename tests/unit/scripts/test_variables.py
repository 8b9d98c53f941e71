from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schema_operator.errors import Location, Reason, Refused
from schema_operator.scripts.lexer import PieceKind, lex, tokens
from schema_operator.scripts.placeholders import undeclared
from schema_operator.scripts.statements import statements_in
from schema_operator.scripts.variables import render, require_usable, used

VALUES = {
    "x": "shop",
    "Upper": "Shop",
    "n": "42",
    "neg": "-1.5",
    "text": "it's",
    "back": "a\\'b",
    "S": "graphile_worker",
}

FILLED = {
    "a name": ("SELECT * FROM :x.t", 'SELECT * FROM "shop".t'),
    "a name keeps its case": ("DROP TABLE :Upper", 'DROP TABLE "Shop"'),
    "names of variables have a case too": ("SELECT 1 AS :upper, 2 AS :X", None),
    "a number": ("SELECT :n, a::int", "SELECT 42, a::int"),
    "a number never makes a comment": ("SELECT 1 -:neg, 2-:neg", "SELECT 1 - -1.5, 2- -1.5"),
    "a number as the end of a range": ("SELECT 1..:n", "SELECT 1..42"),
    "a literal": ("SELECT :'text', :'x'", "SELECT 'it''s', 'shop'"),
    "a literal with a backslash": ("SELECT :'back'", "SELECT E'a\\\\''b'"),
    "a quoted name": ('SELECT 1 AS :"text"', 'SELECT 1 AS "it\'s"'),
    "a number as a name": ('SELECT 1 AS :"n"', 'SELECT 1 AS "42"'),
    "an & before a name": ('SELECT 1 &:n, U &:"x"', 'SELECT 1 & 42, U & "shop"'),
    "a cast to a variable": ("SELECT a:::x.kind[]", 'SELECT a::"shop".kind[]'),
    "casts and assignments": ("SELECT a::x, b :: n, f(c:=n), a[1 : n]", None),
    "longer names": ("SELECT :x_1, :xé, :x1", None),
    "a name in pieces": ("SELECT : x, :'x y', :\"x y\", :'x, :''", None),
    "strings": ("SELECT ':x', E'\\':x', U&':x', $$ :x $$, $x$:x$x$", None),
    "a string goes on": ("SELECT E'a'\n '\\':x'", None),
    "quoted names": ('SELECT ":x", "a"":x"', None),
    "comments": ("SELECT 1 -- :x\n /* :x /* :x */ :x */", None),
    "dollars in names are no quotes": ("SELECT a$$, :x, b$$", 'SELECT a$$, "shop", b$$'),
    "the text of a DO": ("DO $$BEGIN PERFORM :x.f(); END$$", 'DO $$BEGIN PERFORM "shop".f(); END$$'),
    "a DO with its language": ("DO LANGUAGE 'plpgsql' $$:x$$", "DO LANGUAGE 'plpgsql' $$\"shop\"$$"),
    "a DO in another language": ("DO LANGUAGE plpython3u $$a[1: n]; b = :x$$", None),
    "the body of a function": (
        "CREATE FUNCTION :x.f(a int DEFAULT $$:x$$) RETURNS :x.t AS -- :x\n $b$SELECT :x.g(':x') -- :x\n$b$",
        (
            'CREATE FUNCTION "shop".f(a int DEFAULT $$:x$$) RETURNS "shop".t AS -- :x\n '
            "$b$SELECT \"shop\".g(':x') -- :x\n$b$"
        ),
    ),
    "the body of a procedure": (
        "create or replace procedure p() language plpgsql as $$begin insert into :x.t values (:'text'); end$$",
        "create or replace procedure p() language plpgsql as $$begin insert into \"shop\".t values ('it''s'); end$$",
    ),
    "a body in another language": ("CREATE FUNCTION f(language text) RETURNS int LANGUAGE C AS $$:x$$, $$:x$$", None),
    "a body in single quotes": ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT :x'", None),
    "a body without quotes": (
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT :n; END",
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 42; END",
    ),
    "dynamic SQL in a body": (
        "DO $do$BEGIN EXECUTE $$DROP TABLE :x.t, $a$:x$a$, ':x'$$; END$do$",
        'DO $do$BEGIN EXECUTE $$DROP TABLE "shop".t, $a$"shop"$a$, \':x\'$$; END$do$',
    ),
    "dynamic SQL in a function": (
        "CREATE FUNCTION f() RETURNS void AS $f$BEGIN EXECUTE $$DROP TABLE :x.t$$; END$f$ LANGUAGE plpgsql",
        'CREATE FUNCTION f() RETURNS void AS $f$BEGIN EXECUTE $$DROP TABLE "shop".t$$; END$f$ LANGUAGE plpgsql',
    ),
    "a dollar quote in a comment of a body": ("DO $do$-- $$ it's\n:x$do$", 'DO $do$-- $$ it\'s\n"shop"$do$'),
    "a dollar quote that is no code": ("COMMENT ON TABLE t IS $$:x$$", None),
    "right at the edges of a body": ("DO $$:x$$", 'DO $$"shop"$$'),
    "beyond ASCII": ("SELECT 'ä€😀' , :x", "SELECT 'ä€😀' , \"shop\""),
    "CR LF": ("SELECT\r\n:x\r\n, :n", 'SELECT\r\n"shop"\r\n, 42'),
    "percent, braces and dollars": ("SELECT '%s {} $NAME' , 5 % :n", "SELECT '%s {} $NAME' , 5 % 42"),
}


@pytest.mark.parametrize(("sql", "expected"), FILLED.values(), ids=FILLED)
def test_what_is_declared_is_filled_in_and_nothing_else(sql: str, expected: str | None) -> None:
    rendered = render(sql, VALUES)
    assert rendered.sql == (sql if expected is None else expected)
    assert rendered.written is sql
    assert (rendered.sql is sql) == (expected is None)


@pytest.mark.parametrize(("sql", "expected"), FILLED.values(), ids=FILLED)
def test_every_character_that_was_written_is_found_again(sql: str, expected: str | None) -> None:
    rendered = render(sql, VALUES)
    values = {position for one in rendered.filled for position in range(*one.sent)}
    kept = [position for position in range(len(rendered.sql)) if position not in values]
    assert "".join(rendered.sql[position] for position in kept) == "".join(
        sql[rendered.position(position)] for position in kept
    )
    assert [rendered.position(one.sent[0]) for one in rendered.filled] == [one.written[0] for one in rendered.filled]
    assert rendered.position(len(rendered.sql)) == len(sql)
    assert bool(rendered.filled) == (expected is not None)


TOUCHING = "touches what stands beside it"
UNFIT = {
    "text in the place of a name": ("SELECT 1,\n  :text", 2, 3, "text is written without quotes"),
    "nothing in the place of a name": ("SELECT :nothing", 1, 8, "nothing is written without quotes"),
    "a name that is too long": ("SELECT :long", 1, 8, "long is written without quotes"),
    "a quoted name that is too long": ('SELECT :"long"', 1, 8, "long is used as a name"),
    "a quoted name without a character": ('SELECT :"nothing"', 1, 8, "nothing is used as a name"),
    "letters beyond ASCII without quotes": ("SELECT :wide", 1, 8, "wide is written without quotes"),
    "letters beyond ASCII that are too long": ('SELECT :"wide"', 1, 8, "wide is used as a name"),
    "a power of ten": ("SELECT :power", 1, 8, "power is written without quotes"),
    "other digits": ("SELECT :arabic", 1, 8, "arabic is written without quotes"),
    "a name grows in front": ("SELECT a:x", 1, 9, TOUCHING),
    "a name grows behind": ("SELECT :x$a", 1, 8, TOUCHING),
    "a dollar quote begins behind": ("SELECT :x$$; $$", 1, 8, TOUCHING),
    "a slice": ("SELECT a[1:n]", 1, 11, TOUCHING),
    "an escape string": ("SELECT E:'x'", 1, 9, TOUCHING),
    "a string before": ("SELECT 'a':'x'", 1, 11, TOUCHING),
    "a string behind": ("SELECT :x'a'", 1, 8, TOUCHING),
    "a quote within": ("SELECT :'x''a'", 1, 8, TOUCHING),
    "a key of JSON": ('DO $do$SELECT $${"a":"x"}$$$do$', 1, 21, TOUCHING),
    "a parameter": ("SELECT $:n", 1, 9, TOUCHING),
    "a string on the next line": ("SELECT :'x' -- a\n '\\'; COMMIT; --'", 1, 8, "write || between them"),
    "a dot before a number": ("SELECT 1.:n", 1, 10, "beside a dot"),
    "a dot behind a number": ("SELECT :n.5", 1, 8, "beside a dot"),
    "the end of the body in a literal": ("DO $$ :'dollars' $$", 1, 7, "holds the dollar quote"),
    "the end of the body in a name": ("DO $$ :dollars $$", 1, 7, "holds the dollar quote"),
    "the end of the outer body": ("DO $$ $a$ :'dollars' $a$ $$", 1, 11, "holds the dollar quote"),
}
CANARIES = {
    "long": "canary" * 11,
    "wide": "canaryß" * 8,
    "nothing": "",
    "text": "canary; DROP TABLE t",
    "power": "1e5",
    "arabic": "\u0661",
    "dollars": "canary$$x",
    "x": "canary",
    "n": "7",
}


@pytest.mark.parametrize(("sql", "line", "column", "words"), UNFIT.values(), ids=UNFIT)
def test_what_does_not_fit_is_refused_with_its_place_and_without_its_value(
    sql: str, line: int, column: int, words: str
) -> None:
    with pytest.raises(Refused) as refused:
        render(sql, CANARIES)
    assert refused.value.reason is Reason.PLACEHOLDER_ERROR
    assert refused.value.location == Location(line=line, column=column)
    assert words in refused.value.sentence
    assert "canary" not in str(refused.value)


def test_a_dollar_quote_in_a_value_does_no_harm_elsewhere() -> None:
    assert render("DO $a$ SELECT :'dollars' $a$", CANARIES).sql == "DO $a$ SELECT 'canary$$x' $a$"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("", "a", "'' is no name"),
        ("1a", "a", "'1a' is no name"),
        ("a-b", "a", "'a-b' is no name"),
        ("ä", "a", "'ä' is no name"),
        ("a\n", "a", "'a\\n' is no name"),
        ("a", "canary\0", "the variable a holds a NUL"),
        ("a", "canary\udc80", "the variable a is not UTF-8"),
    ],
)
def test_variables_no_script_could_use_are_refused(name: str, value: str, words: str) -> None:
    with pytest.raises(Refused) as refused:
        require_usable({"good": "x", name: value})
    assert refused.value.reason is Reason.PLACEHOLDER_ERROR
    assert words in refused.value.sentence
    assert "canary" not in refused.value.sentence


def test_what_a_script_uses_is_found_in_its_statements_only() -> None:
    script = (
        "\\echo :c\nSELECT 1 AS :a; DO $$:b$$; SELECT ':c' -- :c\n; CREATE TABLE t (a :\"d\");\n"
        "COPY t FROM STDIN;\n:c\n\\.\n"
    )
    assert used(script, dict.fromkeys("abcdef", "x")) == {"a", "b", "d"}
    assert used(script, {"e": "x"}) == set()
    assert used(script, {}) == set()


def test_a_statement_says_where_in_the_script_an_error_is() -> None:
    script = "SELECT 1;\n  SELECT :x,\n:text, a"
    second = statements_in(script, lex(script))[1]
    sent = second.filled_in({"x": "shop", "text": "customers"})
    assert sent.sql == 'SELECT "shop",\n"customers", a'
    assert [
        sent.line_column(sent.sql.index(what) + 1) for what in ("SELECT", '"shop"', ",", '"cust', "tomers", " a")
    ] == [
        (2, 3),
        (2, 10),
        (2, 12),
        (3, 1),
        (3, 1),
        (3, 7),
    ]
    assert second.filled_in({"y": "shop"}) is second
    with pytest.raises(Refused) as refused:
        second.filled_in({"x": "a b"})
    assert refused.value.location == Location(line=2, column=10)


UNDECLARED = [
    ("SELECT * FROM :schema.t", "schema"),
    ("SELECT :'a b', :'value'", "value"),
    ('CREATE ROLE :"name"', "name"),
    ("SELECT a[1:n], (:n)", "n"),
    ("SELECT JSON_OBJECT('a':b), :c", "c"),
    ("SELECT f(JSON_OBJECT('a' : 1)), f(:c)", "c"),
    ("SELECT a:::kind", "kind"),
]


@pytest.mark.parametrize(("sql", "name"), UNDECLARED)
def test_a_variable_the_server_would_stumble_over_is_found(sql: str, name: str) -> None:
    found = undeclared(sql)
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a::int, b[1:2], c[x:y], d[f(x):y + 1], e[:n], e[n:]",
        "SELECT JSON_OBJECT('a':b, c:d), json_objectagg(k :v), JSON_OBJECT('a':JSON_OBJECT('b':(c)))",
        "SELECT ':x', \":x\", $$:x$$ -- :x",
        "CREATE FUNCTION f() RETURNS int AS $$ SELECT :x $$ LANGUAGE sql",
        "SELECT f(a := b, c:=d), '12:30:00', : , 1:1",
    ],
)
def test_colons_that_mean_something_to_the_server_are_no_variables(sql: str) -> None:
    assert undeclared(sql) is None


ANYTHING = st.text(st.sampled_from("abx:'\"$\\()/*-\n\r\t é\u00a0😀,.[]1EeDO;"), max_size=30)


@given(ANYTHING, st.sampled_from([{}, {"never": "x"}, {"ab": "x"}]))
def test_without_a_declared_variable_text_is_left_as_it_is(sql: str, variables: dict[str, str]) -> None:
    if ":ab" not in sql and ":'ab" not in sql and ':"ab' not in sql:
        assert render(sql, variables).sql is sql


PLAIN = {":x": '"a"', ":'x'": "'a'", ':"x"': '"a"'}
WRITTEN = {":x": [("b$$", '"b$$"')], ":'x'": [("it's\\", "'it''s\\\\'"), ("", "''")], ':"x"': [('";--', '""";--"')]}
"""Values, and the token they are."""
HARD = [(place, *value) for place, values in WRITTEN.items() for value in values]


@settings(max_examples=300)
@given(ANYTHING, st.sampled_from(HARD), ANYTHING)
def test_a_value_is_one_token_whatever_stands_around_it(before: str, hard: tuple[str, str, str], after: str) -> None:
    place, value, written = hard
    same = {written: PLAIN[place]}
    try:
        for sql in statements(f"{before}{place}{after}"):
            plain, rendered = render(sql, {"x": "a"}).sql, render(sql, {"x": value}).sql
            assert [same.get(one, one) for one in tokens(rendered)] == [same.get(one, one) for one in tokens(plain)]
    except Refused:
        return


def statements(text: str) -> list[str]:
    return [text[piece.start : piece.end] for piece in lex(text) if piece.kind is PieceKind.STATEMENT]
