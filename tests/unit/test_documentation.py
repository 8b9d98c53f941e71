"""The documentation says what the product does: every reason has its row, every link leads somewhere."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from schema_operator.api.schema_migration import State
from schema_operator.errors import Reason

CHECKOUT = Path(__file__).parents[2]
PAGES = [CHECKOUT / "README.md", CHECKOUT / "CHANGELOG.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]
EMERGENCY = CHECKOUT / "docs/emergency.md"
STATUS = CHECKOUT / "docs/status.md"
CONTROLLER = CHECKOUT / "operator/schema_operator/controller"
OWN = "Reasons of the controller"
"""Heading of the table for reasons that are no `Reason`."""
SAID_BY_NAME = {"Verdict", "not_started", "Hold"}
"""Calls whose second argument is a reason."""
OF_EVENTS = {"Planned", "UpToDate"}
"""Reasons of Events that stand in no condition."""

_FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_SAID = re.compile(r"^\| (`[^|]+`) \|", re.MULTILINE)
_ROW = re.compile(r"^\| `(\w+)` \|", re.MULTILINE)


def section(text: str, heading: str) -> str:
    """Give what stands below a heading, up to the next of the same or a higher level."""
    level, rest = re.split(rf"^(#+) {re.escape(heading)}$", text, maxsplit=1, flags=re.MULTILINE)[1:]
    return re.split(rf"^#{{1,{len(level)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> list[str]:
    """Give the first cells of the tables in a text, where they are one name."""
    return _ROW.findall(text)


def literals(path: Path) -> Iterator[str]:
    """Give the reasons that a module of the controller writes as text."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SAID_BY_NAME:
            said = [*node.args[1:2], *(one.value for one in node.keywords if one.arg == "reason")]
            yield from (str(one.value) for one in said if isinstance(one, ast.Constant))


def anchors(text: str) -> set[str]:
    """Give what links may point to inside a page, as GitHub makes it of headings."""
    words = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(_FENCE.sub("", text)))
    return {heading.strip().replace(" ", "-") for heading in words}


def test_every_reason_has_one_row_and_no_row_is_unknown() -> None:
    reasons = section(STATUS.read_text(), "Reasons")
    documented = rows(reasons.replace(section(reasons, OWN), ""))
    assert sorted(documented) == sorted(reason.value for reason in Reason)


def test_every_reason_of_the_controller_has_one_row_and_no_row_is_unknown() -> None:
    documented = rows(section(STATUS.read_text(), OWN))
    said = set(chain.from_iterable(literals(path) for path in CONTROLLER.rglob("*.py")))
    assert "Progressing" in said
    assert sorted(documented) == sorted(said | OF_EVENTS | {State.APPLIED.value, State.ROLLED_BACK.value})


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(CHECKOUT)) for page in PAGES])
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in _LINK.findall(_FENCE.sub("", page.read_text())):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            broken.append(link)
    assert broken == []


def test_every_page_is_on_the_map() -> None:
    index = CHECKOUT / "docs/README.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in _LINK.findall(index.read_text())}
    assert {page for page in (CHECKOUT / "docs").rglob("*.md") if page != index} - linked == set()


def test_what_procedures_are_said_to_say_they_say() -> None:
    by_the_server = {"permission denied"}
    text = "".join(path.read_text() for path in (CHECKOUT / "migrations").glob("*.up.sql"))
    cells = " ".join(_SAID.findall(EMERGENCY.read_text()))
    sentences = set(re.findall(r"`([^`]+)`", cells)) - by_the_server
    assert len(sentences) > 15
    missing = {part for one in sentences for part in one.split("…") if part.strip(" ,") and part.strip() not in text}
    assert missing == set()
