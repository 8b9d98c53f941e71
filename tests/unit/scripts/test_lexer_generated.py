from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from schema_operator.errors import Refused
from schema_operator.scripts.grammar import syntax_problem
from schema_operator.scripts.lexer import Piece, PieceKind, _Lexer, _plain_statement, lex, tokens, words
from support.parser import agrees
from unit.scripts.labelled import Part, data, meta, spans, spans_of, sql, written

MISLEADING = st.text(st.sampled_from("ab;'\"$\\()/*-\n\r\t é\u00a0😀,.:1EeBeginAtomic"), max_size=12)
LINES = MISLEADING.map(lambda text: text.replace("\n", ";").replace("\r", "'"))


def quoted(text: str, quote: str) -> str:
    return quote + text.replace(quote, quote * 2) + quote


def escaped(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def dollar_quoted(tag: str, text: str) -> str:
    first_end = (text + tag).index(tag)
    return tag + (text if first_end == len(text) else text.replace("$", "")) + tag


COMMENTS = st.one_of(
    LINES.map(lambda text: f"--{text}\n"),
    MISLEADING.map(lambda text: f"/*{text.replace('/', '')}*/"),
    MISLEADING.map(lambda text: f"/* /* ; */{text.replace('*', '')}/*/ ' */*/"),
)
FILLER = st.lists(st.one_of(st.sampled_from([" ", "\n", "\r\n", "\t", "\f"]), COMMENTS), max_size=3).map("".join)
# A sign between any two, so that a string is not read as the continuation of another.
SIGN = st.tuples(FILLER, st.sampled_from([",", "+", "::", "=", "<", "*", "-"]), FILLER).map(" ".join)
ATOM = st.one_of(
    st.sampled_from(
        ["a", "b$c$", "é", "_1", "end1", "e", "begin_", "\u00a0", "atomics", "x$$", "$1", "12", "END", "t.end"]
    ),
    MISLEADING.map(lambda text: quoted(text, '"')),
    MISLEADING.map(lambda text: quoted(text, "'")),
    st.tuples(st.sampled_from(["U&", "B", "x", "N"]), MISLEADING).map(lambda of: of[0] + quoted(of[1], "'")),
    st.tuples(st.sampled_from("eE"), MISLEADING, MISLEADING).map(
        lambda of: of[0] + escaped(of[1]) + " -- '\n " + escaped(of[2])
    ),
    st.tuples(st.sampled_from(["$$", "$a$", "$E_1$", "$é$"]), MISLEADING).map(lambda of: dollar_quoted(*of)),
)


def listed(items: st.SearchStrategy[str], between: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """One to four items with something between."""
    rest = st.lists(st.tuples(between, items).map("".join), max_size=3).map("".join)
    return st.tuples(items, rest).map("".join)


EXPRESSION = st.recursive(
    ATOM, lambda inner: listed(inner, st.one_of(SIGN, FILLER.map(lambda text: f"{text};"))).map(lambda of: f"({of})")
)
SELECT = listed(EXPRESSION, SIGN).map(lambda text: f"SELECT {text}")
BODY = st.tuples(listed(SELECT, FILLER.map(lambda text: f"{text};")), FILLER).map(lambda of: f" {of[0]}{of[1]};{of[1]}")
HEADS = st.sampled_from(["CREATE FUNCTION f() RETURNS int", "create or replace procedure p()"])
ROUTINE = st.tuples(HEADS, FILLER, BODY).map(lambda of: f"{of[0]} BEGIN {of[1]} atomic{of[2]}END")
ENDED = st.tuples(st.one_of(SELECT, ROUTINE).map(sql), FILLER).map(lambda of: [of[0], f"{of[1]};"])
META = LINES.map(lambda text: ["\n", meta("\\a" + text.rstrip(" \t")), "\n"])
COPY = st.lists(LINES.filter(lambda line: line != "\\."), max_size=3).map(
    lambda lines: [sql("COPY t FROM STDIN"), "; -- '\n", data("".join(f"{line}\n" for line in lines)), "\\.\n"]
)
SCRIPT = st.tuples(
    st.lists(st.tuples(FILLER, st.one_of(ENDED, META, COPY)).map(lambda of: [of[0], *of[1]]), max_size=5),
    st.one_of(FILLER, SELECT.map(sql)),
).map(lambda of: [*(part for parts in of[0] for part in parts), of[1]])


@settings(deadline=None, max_examples=150)
@given(SCRIPT)
def test_the_spans_of_a_script_built_from_parts_are_found(parts: list[Part | str]) -> None:
    assert spans_of(lex(written(parts))) == spans(parts)


def pieces_of(text: str) -> tuple[Piece, ...] | None:
    try:
        return lex(text)
    except Refused:
        return None


@settings(deadline=None, max_examples=150)
@given(st.lists(st.one_of(MISLEADING, ATOM, FILLER), max_size=6).map("".join))
def test_nothing_is_lost_between_the_pieces_of_any_text(text: str) -> None:
    pieces = pieces_of(text)
    if pieces is None:
        return
    position = 0
    for piece in pieces:
        assert position <= piece.start < piece.end <= len(text)
        assert set(tokens(text, position, piece.start)) <= {";"}
        position = piece.end
    assert set(tokens(text, position)) <= {";"}


@settings(deadline=None, max_examples=150)
@given(*[st.lists(st.one_of(MISLEADING, ATOM, FILLER), max_size=4).map("".join)] * 2)
def test_two_texts_after_one_another_have_the_pieces_of_both(first: str, second: str) -> None:
    one, other = pieces_of(first), pieces_of(second)
    if one is None or other is None:
        return
    between = "\n;\n"
    moved = [(kind, start + len(first + between), end + len(first + between)) for kind, start, end in spans_of(other)]
    assert spans_of(lex(first + between + second)) == spans_of(one) + moved


@settings(deadline=None, max_examples=100)
@given(SELECT, FILLER)
def test_tokens_of_a_statement_do_not_depend_on_its_comments(statement: str, filler: str) -> None:
    [piece] = lex(f"{filler}\n{statement}")
    assert piece.kind is PieceKind.STATEMENT
    assert list(tokens(f"{filler}\n{statement} /* ' */")) == list(tokens(statement))


@settings(deadline=None, max_examples=150)
@given(st.lists(st.one_of(ATOM, FILLER, st.sampled_from(["a b c ", "(", ")", " "])), max_size=8).map("".join))
def test_the_short_cut_for_words_changes_nothing(text: str) -> None:
    assert words(text, most=3) == words(text, most=4)[:3]


NAME = MISLEADING.filter(bool).map(lambda text: quoted(text, '"'))
OPERAND = st.one_of(
    st.sampled_from(["a", "b$c$", "é", "_1", "end1", "e", "begin_", "\u00a0", "atomics", "x$$", "$1", "12", "t.end"]),
    NAME,
    MISLEADING.map(lambda text: quoted(text, "'")),
    st.sampled_from(["N'a;\\'", "B'01'", "x'1f'", "U&'\\0061;'", 'U&";\\0061"', "NULL", "CASE WHEN a THEN 1 END"]),
    # No comment between the parts of a string: libpg_query, which keeps comments, does not go on behind one.
    st.tuples(st.sampled_from("eE"), MISLEADING, MISLEADING).map(
        lambda of: of[0] + escaped(of[1]) + " \n\t" + escaped(of[2])
    ),
    st.tuples(st.sampled_from(["$$", "$a$", "$E_1$", "$é$"]), MISLEADING).map(lambda of: dollar_quoted(*of)),
)
OPERATOR = st.tuples(FILLER, st.sampled_from(["+", "||", "*", "-", "/", ",", "AND"]), FILLER).map(" ".join)
VALID_EXPRESSION = st.recursive(OPERAND, lambda inner: listed(inner, OPERATOR).map(lambda of: f"({of})"), max_leaves=6)
VALID_SELECT = listed(VALID_EXPRESSION, OPERATOR).map(lambda text: f"SELECT {text}")
VALID_BODY = listed(VALID_SELECT, FILLER.map(lambda text: f"{text};"))
VALID_ROUTINE = st.tuples(HEADS, FILLER, VALID_BODY, FILLER).map(
    lambda of: f"{of[0]} BEGIN {of[1]} atomic {of[2]}{of[3]};{of[3]} END"
)
VALID_RULE = VALID_BODY.map(lambda body: f"CREATE RULE r AS ON INSERT TO t DO ALSO ({body})")
VALID_SCRIPT = st.lists(st.tuples(FILLER, st.one_of(VALID_SELECT, VALID_ROUTINE, VALID_RULE), FILLER), max_size=5).map(
    lambda of: "".join(f"{before}{statement}{after};" for before, statement, after in of)
)


@settings(deadline=None, max_examples=120)
@given(VALID_SCRIPT, FILLER)
def test_postgresqls_parser_sees_the_same_statements(text: str, end: str) -> None:
    pieces = lex(text + end)
    assert agrees(text + end, pieces)
    assert not [piece for piece in pieces if syntax_problem(text[piece.start : piece.end])]


@settings(deadline=None, max_examples=120)
@given(SCRIPT, st.lists(st.one_of(MISLEADING, ATOM, FILLER), max_size=4).map("".join))
def test_the_short_cut_of_long_scripts_changes_nothing(parts: list[Part | str], end: str) -> None:
    text = written(parts) + end

    def cut(*, short: bool) -> tuple[Piece, ...] | str:
        lexer = _Lexer(text)
        lexer.plain = _plain_statement() if short else None
        try:
            return lexer.run()
        except Refused as refused:
            return str(refused)

    assert cut(short=True) == cut(short=False)
