"""docs/emergency.md, played from its first command to its last, with psql and nothing else.

A block of SQL is sent to psql as it stands on the page: to one psql of the person on call, or, where the block begins
with a comment that says so, to one of another role. The block of text below it is what psql must print, but for dates
and process numbers. What happens meanwhile, in between, stands on the page as a comment that readers do not see.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from dev.postgres.server import PASSWORD, SUPERUSER

from schema_operator.api import request as requests
from schema_operator.api.request import Resource, RunRequest, ScriptFolder
from support.page import Part, Terminal, comparable, parts
from support.postgres import Database, Ended, Product, finish, until, write

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.postgres

_ROLE = re.compile(r"-- as (?:a )?(\w+)")
PAGE = Path(__file__).parents[2] / "docs/emergency.md"
ROLES = ("oncall", "auditor", "shop")
"""Those of the page; the last owns everything, and is what the runner works as."""
SCRIPTS = {
    "1.0.0_shop.up.sql": """
        CREATE TABLE item (id int PRIMARY KEY, name text NOT NULL);
        INSERT INTO item VALUES (1, 'bread'), (2, 'butter'), (3, 'jam');
        CREATE TABLE voucher (code text PRIMARY KEY, percent int NOT NULL);
        INSERT INTO voucher VALUES ('SPRING', 5), ('WINTER', 15);
        CREATE TABLE cart (id int PRIMARY KEY, item int NOT NULL REFERENCES item, amount int NOT NULL);
        INSERT INTO cart VALUES (1, 3, 2), (2, 1, 1);""",
    "1.0.0_shop.down.sql": "DROP TABLE cart, voucher, item;",
    "1.1.0_discount.up.sql": """
        ALTER TABLE item ADD COLUMN discount int;
        UPDATE item SET discount = 10 WHERE id = 2;""",
    "1.1.0_discount.down.sql": "ALTER TABLE item DROP COLUMN discount;",
    "1.2.0_cart_index.up.sql": "CREATE INDEX CONCURRENTLY cart_item ON cart (item);",
    "1.2.0_cart_index.down.sql": "DROP INDEX CONCURRENTLY cart_item;",
    "1.3.0_empty_carts.up.sql": "TRUNCATE cart;",
    "1.4.0_tidy.up.sql": "ALTER TABLE item DROP COLUMN discount;\nDROP TABLE voucher;",
    "1.4.0_tidy.down.sql": "ALTER TABLE item ADD COLUMN discount int;\n"
    "CREATE TABLE voucher (code text PRIMARY KEY, percent int NOT NULL);\n",
    "1.5.0_labels.up.sql": "CREATE VIEW label AS SELECT id, upper(name) AS text FROM item;",
    "1.5.0_labels.down.sql": "DROP VIEW label;",
}
WORKING = {"1.6.0_work.up.sql": "SELECT pg_sleep(60);"}


@dataclass
class Night:
    """The shop, its operator, and the terminals of the people on the page."""

    product: Product
    folder: Path
    terminals: dict[str, Terminal] = field(default_factory=dict)
    at_work: subprocess.Popen[str] | None = None
    told: str = ""
    """What the resource says, for a block of text that shows it."""

    @property
    def database(self) -> Database:
        return self.product.database

    def play(self, part: Part) -> str | None:
        """Do what a part says; give what is printed then, or None for one that prints nothing."""
        match part.kind:
            case "stage":
                STAGES[part.text](self)
                return self.told or None
            case "console":
                self.connect(part.text)
                return None
            case "sql":
                found = _ROLE.match(part.text)
                return self.terminal({"superuser": SUPERUSER}.get(found[1], found[1]) if found else "oncall").answer(
                    part.text
                )
            case _:
                raise AssertionError(f"line {part.line}: nobody plays {part.kind}")

    def connect(self, command: str) -> None:
        """Start psql with the command of the page, at the address the test has."""
        (line,) = command.splitlines()
        here = line.removeprefix("$ ").replace("db.example.com", f"127.0.0.1 port={self.database.server.port}")
        program, *arguments = shlex.split(here.replace("dbname=shop", f"dbname={self.database.name}"))
        assert program == "psql"
        self.open("oncall", *arguments)

    def terminal(self, user: str) -> Terminal:
        if user not in self.terminals:
            self.open(user, self.database.uri_of(user))
        return self.terminals[user]

    def open(self, user: str, *arguments: str) -> None:
        self.terminals[user] = Terminal(*arguments)

    def start(self, generation: int, scripts: Mapping[str, str], version: str | None = None) -> subprocess.Popen[str]:
        """Start a run as the operator's Job does."""
        request = RunRequest(
            run=f"run-{generation}",
            actor="shop/shop",
            resource=Resource(namespace="shop", name="shop", uid="uid", generation=generation),
            folders=(ScriptFolder(path=str(write(self.folder / "scripts", scripts)), label=""),),
            version=version,
        )
        path = self.folder / "request.json"
        path.write_bytes(requests.encode(request))
        return self.product.start("--request", path, uri=self.database.uri_of("shop"))

    def run(self, generation: int, scripts: Mapping[str, str], version: str | None = None) -> Ended:
        return finish(self.start(generation, scripts, version))

    def close(self) -> None:
        for one in self.terminals.values():
            one.close()
        if self.at_work is not None:
            self.at_work.kill()
            self.at_work.communicate()


def _at_1_5_0(night: Night) -> None:
    ended = night.run(1, SCRIPTS)
    assert ended.code == 0, ended


def _begin_to_work(night: Night) -> None:
    night.at_work = night.start(1, SCRIPTS | WORKING)
    sleeping = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep')"
    until(lambda: bool(night.database.value(sleeping)), "the run to be at work")


def _end_of_work(night: Night) -> None:
    assert night.at_work is not None
    ended = finish(night.at_work)
    assert ended.code == 10, ended
    assert night.database.applied()[-1] == "1.5.0"


def _go_on_selling(night: Night) -> None:
    night.database.execute("INSERT INTO cart VALUES (1, 2, 7), (3, 2, 1)")


def _operator_is_back(night: Night) -> None:
    ended = night.run(1, SCRIPTS)
    assert (ended.code, ended.report.reason) == (20, "RolledBackByHand"), ended
    night.told = f"{ended.report.reason}: {ended.report.message}"


def _want_to_stay(night: Night) -> None:
    ended = night.run(2, SCRIPTS, "1.1.0")
    assert (ended.code, ended.report.versions) == (0, ()), ended
    night.told = ""


def _want_everything(night: Night) -> None:
    ended = night.run(3, SCRIPTS)
    assert (ended.code, ended.report.versions) == (0, ("1.2.0", "1.3.0", "1.4.0", "1.5.0")), ended


STAGES: Final[dict[str, Callable[[Night], None]]] = {
    "the shop is at 1.5.0": _at_1_5_0,
    "a run is at work": _begin_to_work,
    "the run has ended": _end_of_work,
    "the shop goes on selling": _go_on_selling,
    "the operator is back": _operator_is_back,
    "somebody wants 1.1.0": _want_to_stay,
    "somebody wants everything again": _want_everything,
}


@contextmanager
def night_of(product: Product, folder: Path) -> Iterator[Night]:
    """Make the role of the runner; afterwards, all roles of the page are gone."""
    database = product.database
    database.execute(f"CREATE ROLE shop LOGIN PASSWORD '{PASSWORD}'; GRANT CREATE ON SCHEMA public TO shop")
    database.execute(f"GRANT CREATE ON DATABASE {database.name} TO shop")
    night = Night(product, folder)
    try:
        yield night
    finally:
        night.close()
        database.execute(f"REASSIGN OWNED BY shop TO {SUPERUSER}")
        for role in ROLES:
            database.execute(f"DO $$BEGIN IF to_regrole('{role}') IS NOT NULL THEN DROP OWNED BY {role}; END IF; END$$")
            database.execute(f"DROP ROLE IF EXISTS {role}")


def test_every_command_of_the_page_does_and_prints_what_the_page_says(product: Product, tmp_path: Path) -> None:
    printed: str | None = None
    with night_of(product, tmp_path) as night:
        for part in parts(PAGE):
            if part.kind == "text":
                assert printed is not None, f"line {part.line}: nothing was printed"
                assert comparable(printed) == comparable(part.text), f"line {part.line}"
                printed = None
                continue
            assert "ERROR" not in (printed or ""), printed
            printed = night.play(part)
            if part.kind == "sql" and "PASSWORD" not in part.text:
                _let_log_in(night, part.text)
    assert set(STAGES) == {part.text for part in parts(PAGE) if part.kind == "stage"}


def _let_log_in(night: Night, text: str) -> None:
    """Give the roles that a block makes the password of the tests; how people log in is not the page's matter."""
    for role in re.findall(r"CREATE ROLE (\w+)", text):
        night.database.execute(f"ALTER ROLE {role} PASSWORD '{PASSWORD}'")
