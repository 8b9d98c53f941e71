"""What a script's header says, and what is refused in it."""

from __future__ import annotations

import pytest

from schema_operator.api.request import InlineScript, TransactionMode
from schema_operator.api.version import Version
from schema_operator.errors import Location, Reason, Refused
from schema_operator.scripts.directives import header_of
from schema_operator.scripts.header import Header
from schema_operator.scripts.reading import Entry, from_entries, from_inline, from_stored
from schema_operator.scripts.script import ScriptKind

WHERE = Location(version="1", file="1_a.up.sql")
NEVER = TransactionMode.NEVER


def header(text: str, kind: ScriptKind = ScriptKind.UP) -> Header:
    return header_of(text, kind, WHERE)


UNDERSTOOD = {
    "one": ("-- schema-operator: transaction=never\nSELECT 1;", Header(transaction=NEVER)),
    "as the resource writes it": ("-- schema-operator: transaction=Never", Header(transaction=NEVER)),
    "without blanks": ("--schema-operator:transaction=required", Header(transaction=TransactionMode.REQUIRED)),
    "several on a line": (
        "--  schema-operator:  transaction=auto \t requires=1.2.0,1.3.0  allow=CopyData,EmptyScript\r\nSELECT 1;",
        Header(
            transaction=TransactionMode.AUTO,
            requires=("1.2.0", "1.3.0"),
            allow=("CopyData", "EmptyScript"),
            copy_data=True,
        ),
    ),
    "several lines": (
        "-- a\n\n/* b */ -- c\n  -- schema-operator: requires=1\n-- d\n-- schema-operator: transaction=never\n",
        Header(transaction=NEVER, requires=("1",)),
    ),
    "a description takes the rest of its line": (
        "-- schema-operator: transaction=never description=Add = a table, allow=it \nSELECT 1;",
        Header(transaction=NEVER, description="Add = a table, allow=it"),
    ),
    "said twice in one value": (
        "-- schema-operator: requires=1,1 allow=EmptyScript,EmptyScript",
        Header(requires=("1",), allow=("EmptyScript",)),
    ),
    "COPY": ("-- schema-operator: copy=allow", Header(copy_data=True)),
    "COPY, as an acknowledgement": ("-- schema-operator: allow=CopyData", Header(allow=("CopyData",), copy_data=True)),
    "lines that end in CR": ("-- a\r-- schema-operator: transaction=never\rSELECT 1;", Header(transaction=NEVER)),
    "in a comment of the other kind": ("/*\n-- schema-operator: transaction=never\n*/ SELECT 1;", Header()),
    "in a string": ("SELECT '\n-- schema-operator: transaction=never\n';", Header()),
    "in a routine": ("DO $$\n-- schema-operator: x\nBEGIN END $$;", Header()),
    "after a statement on its line": ("SELECT 1; -- schema-operator: transaction=never", Header()),
    "without its colon": ("-- schema-operator runs this\n", Header()),
    "below something never closed": ("SELECT 1;\n-- schema-operator: transaction=never\nSELECT 'a", Header()),
    "nothing after the colon": ("-- schema-operator:\n", Header()),
}


@pytest.mark.parametrize(("text", "expected"), UNDERSTOOD.values(), ids=UNDERSTOOD)
def test_what_a_header_says(text: str, expected: Header) -> None:
    assert header(text) == expected


NOT_UNDERSTOOD = {
    "an unknown key": (
        "-- a\n-- schema-operator: transactions=never",
        2,
        "'transactions' is unknown; a `-- schema-operator:` line knows transaction=, copy=, description=, requires=",
    ),
    "an unknown mode": (
        "-- schema-operator: transaction=off",
        1,
        "transaction='off' is unknown; transaction knows auto",
    ),
    "an unknown acknowledgement": (
        "-- schema-operator: allow=EmptyScript,deletesData",
        1,
        "allow='deletesData' is unknown; allow knows EmptyScript, CopyData",
    ),
    "an acknowledgement that is none of a script's": (
        "-- schema-operator: allow=Reapply",
        1,
        "allow='Reapply' is unknown; allow knows EmptyScript, CopyData",
    ),
    "an unknown value for COPY": ("-- schema-operator: copy=yes", 1, "copy='yes' is unknown; copy knows allow only"),
    "no version": ("-- schema-operator: requires=1.2.0,v2", 1, "'v2' is not a version"),
    "an empty version": ("-- schema-operator: requires=1.2.0,", 1, "'' is not a version"),
    "blanks around the =": ("-- schema-operator: transaction = never", 1, "without blanks around the ="),
    "a list with blanks": ("-- schema-operator: requires=1, 2", 1, "'' is not a version"),
    "no value": ("-- schema-operator: transaction=", 1, "transaction has no value"),
    "no description": ("\n\n-- schema-operator: description=  ", 3, "description has no value"),
    "a word": ("-- schema-operator: never", 1, "'never' has no value; write KEY=VALUE"),
    "twice": (
        "-- schema-operator: transaction=never\n-- schema-operator: transaction=never",
        2,
        "transaction is given twice",
    ),
    "below a statement": (
        "SELECT 1;\r\n\r\n-- schema-operator: transaction=never\r\nSELECT 2;",
        3,
        "after the first statement has no effect; move it to the top",
    ),
    "at the end": ("SELECT 1;\n-- schema-operator: nonsense", 2, "after the first statement"),
    "something long": (f"-- schema-operator: {'x' * 100}=1", 1, f"'{'x' * 40}'… is unknown"),
}


@pytest.mark.parametrize(("text", "line", "words"), NOT_UNDERSTOOD.values(), ids=NOT_UNDERSTOOD)
def test_what_is_not_understood_is_refused_with_its_line(text: str, line: int, words: str) -> None:
    with pytest.raises(Refused) as caught:
        header(text)
    assert caught.value.reason is Reason.INVALID_SPEC
    assert caught.value.location == Location(version="1", file="1_a.up.sql", line=line)
    assert words in caught.value.sentence


@pytest.mark.parametrize(
    ("kind", "said", "words"),
    [
        (ScriptKind.DOWN, "requires=1", "requires is not for the down script; say it in the up script"),
        (ScriptKind.DOWN, "description=x", "description is not for the down script"),
        (ScriptKind.DOWN, "allow=EmptyScript", "allow is not for the down script"),
        (ScriptKind.DOWN, "nonsense=1", "knows transaction=, copy=, restore=;"),
        (ScriptKind.VERIFY, "transaction=never", "transaction is not for the verify script"),
    ],
)
def test_a_version_is_described_in_its_up_script_alone(kind: ScriptKind, said: str, words: str) -> None:
    with pytest.raises(Refused) as caught:
        header(f"-- schema-operator: {said}", kind)
    assert words in caught.value.sentence


def test_what_headers_say_is_found_in_scripts_and_sources() -> None:
    up = (
        "-- schema-operator: requires=0.9 allow=EmptyScript copy=allow\n-- schema-operator: description=Open the shop\n"
    )
    files = {
        "1_a.up.sql": f"{up}SELECT 1;",
        "1_a.down.sql": "-- schema-operator: transaction=never copy=allow\nSELECT 1;",
    }
    [script] = from_entries([Entry("", name, text.encode()) for name, text in files.items()]).scripts
    assert (script.description, script.requires, script.allow) == ("Open the shop", ("0.9",), ("EmptyScript",))
    assert script.down is not None
    assert (script.up.copy_data_allowed, script.up.transaction) == (True, TransactionMode.AUTO)
    assert (script.down.copy_data_allowed, script.down.transaction) == (True, NEVER)


def test_a_down_script_says_that_nothing_is_put_back() -> None:
    files = {"1_a.up.sql": "SELECT 1;", "1_a.down.sql": "-- schema-operator: restore=never\nSELECT 1;"}
    [script] = from_entries([Entry("", name, text.encode()) for name, text in files.items()]).scripts
    assert script.down is not None
    assert (script.up.restores, script.down.restores) == (True, False)
    assert not from_stored("1_a.down.sql", files["1_a.down.sql"], Version.parse("1")).restores
    with pytest.raises(Refused) as caught:
        header("-- schema-operator: restore=always", ScriptKind.DOWN)
    assert "restore='always' is unknown; restore knows never only" in caught.value.sentence


def test_scripts_written_into_a_resource_have_headers_too() -> None:
    [script] = from_inline(
        [InlineScript(version="1", up="-- schema-operator: description=x requires=1\nSELECT 1")]
    ).scripts
    assert script.description == "x requires=1"


def test_what_stands_before_a_section_belongs_to_the_header_of_the_way_there() -> None:
    up = "\n-- schema-operator: description=x\n-- +goose Up\n-- schema-operator: requires=0.1\nSELECT 1;\n"
    text = f"{up}-- +goose Down\n"
    scripts = from_entries([Entry("", "1_a.sql", f"{text}-- schema-operator: transaction=never\nSELECT 1;".encode())])
    [script] = scripts.scripts
    assert script.down is not None
    assert (script.description, script.requires, script.up.transaction) == ("x", ("0.1",), TransactionMode.AUTO)
    assert script.down.transaction is NEVER
    with pytest.raises(Refused) as caught:
        from_entries([Entry("", "1_a.sql", f"{text}SELECT 1;\n-- schema-operator: copy=allow\n".encode())])
    assert caught.value.location == Location(version="1", file="1_a.sql", line=8)


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("-- schema-operator: transaction=never\nSELECT 1;", NEVER),
        ("SELECT 1;", TransactionMode.AUTO),
        ("-- schema-operator: nonsense\nSELECT 1;", TransactionMode.AUTO),
    ],
)
def test_what_was_stored_is_run_as_its_header_says_and_never_refused(text: str, mode: TransactionMode) -> None:
    source = from_stored("1_a.down.sql", text, Version.parse("1"))
    assert (source.file, source.text, source.transaction) == ("1_a.down.sql", text, mode)
