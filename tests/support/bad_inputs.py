"""Bad inputs: what is run, on what, and what every answer must fulfil. The rows are in `bad_input_rows`."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from dev.postgres.server import PostgresServer

from schema_operator.api.report import Place
from support.postgres import CANARY, CANARY_ENCODED, Database, Ended, Product, write

SECRET = "s3cr3t"
"""Stands in rows and in literals of scripts."""
NUMBER = "47110815"
"""The same, where a number is wanted."""
FORBIDDEN = (SECRET, NUMBER, CANARY, CANARY_ENCODED, "c4n4ry", "w?rd", "w%3Frd")
CLOSED = f"postgresql://owner:{CANARY_ENCODED}@127.0.0.1:1/nowhere"
"""Nobody listens there, so what is found all the same is found before connecting."""

APPLIED = {
    "1.0.0_first.up.sql": "CREATE TABLE first (id int PRIMARY KEY);\n-- line 2\n",
    "1.0.0_first.down.sql": "DROP TABLE first;",
    "1.2.0_price.up.sql": "CREATE TABLE price (first int);",
}
"""Applied by `shop/shop` before each row, and never changed by one."""
BLAMED = re.compile(r"version \S+, file (?:\S+)(?:, statement \d+ of \d+, line \d+, column \d+)?")
"""How a sentence begins that a script is to blame for."""

WORLD = f"""
CREATE TABLE item (id int PRIMARY KEY, code int, name text, "Net Weight" int);
INSERT INTO item VALUES (1, {NUMBER}, '{SECRET}', NULL), (2, {NUMBER}, '{SECRET}', 1), (3, NULL, NULL, 1);
CREATE TABLE "order" (id int, item_id int, note text);
INSERT INTO "order" VALUES (1, {NUMBER}, '{SECRET}');
CREATE VIEW item_names AS SELECT name FROM item;
CREATE VIEW item_list AS SELECT * FROM item_names;
CREATE MATERIALIZED VIEW item_counts AS SELECT name, count(*) FROM item GROUP BY name;
CREATE TABLE used (id int PRIMARY KEY);
CREATE TABLE parted (id int, kind text) PARTITION BY LIST (kind);
CREATE TABLE made (x int, twice int GENERATED ALWAYS AS (x * 2) STORED, id int GENERATED ALWAYS AS IDENTITY);
CREATE TABLE spans (span int4range);
INSERT INTO spans VALUES ('[1,3)'), ('[2,4)');
CREATE TYPE mood AS ENUM ('sad');
CREATE DOMAIN code AS text CHECK (VALUE <> '{SECRET}');
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the name % is taken', NEW.name USING DETAIL = NEW.name, HINT = NEW.name;
END $$;
CREATE FUNCTION refuse_bluntly() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION USING MESSAGE = NEW.name, ERRCODE = 'undefined_table', TABLE = NEW.name, COLUMN = NEW.name;
END $$;
CREATE TABLE guarded (name text);
CREATE TRIGGER guarded BEFORE INSERT ON guarded FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TABLE guarded_bluntly (name text);
CREATE TRIGGER guarded BEFORE INSERT ON guarded_bluntly FOR EACH ROW EXECUTE FUNCTION refuse_bluntly();
CREATE PROCEDURE commits() LANGUAGE plpgsql AS 'BEGIN COMMIT; END';
CREATE SCHEMA app;
CREATE TABLE app.elsewhere (x int);
CREATE SEQUENCE ids;
CREATE FUNCTION hidden() RETURNS int LANGUAGE sql AS 'SELECT 1';
REVOKE ALL ON FUNCTION hidden() FROM PUBLIC;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
{"".join(f"CREATE VIEW use_{number:02} AS SELECT id FROM used;" for number in range(13))}
"""

_CATALOGUES = {
    "pg_class": "oid",
    "pg_attribute": "attrelid, attnum",
    "pg_attrdef": "oid",
    "pg_constraint": "oid",
    "pg_proc": "oid",
    "pg_type": "oid",
    "pg_enum": "oid",
    "pg_namespace": "oid",
    "pg_trigger": "oid",
    "pg_rewrite": "oid",
    "pg_index": "indexrelid",
    "pg_extension": "oid",
    "pg_authid": "oid",
}
_VERSIONS = " UNION ALL ".join(
    f"SELECT ROW('{name}', {key}, xmin)::text FROM {name}" for name, key in _CATALOGUES.items()
)
CATALOGUE = f"SELECT md5(string_agg(line, ',' ORDER BY line)) FROM ({_VERSIONS}) AS v (line)"
"""Changes with every change of a definition, and not with what the server keeps of statistics."""


@dataclass(frozen=True, kw_only=True)
class Bad:
    """One bad input, and what must be said of it."""

    row: int | None = None
    """Its number in the list of bad inputs; None for what is not in the list."""
    reason: str
    says: tuple[str, ...]
    """Parts of the sentence; `{owner}`, `{limited}`, `{database}` and `{port}` are filled in."""
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    """Besides those applied, unless there is another with the same name."""
    whole: bool = False
    """Whether `files` are all there are."""
    code: int = 20
    blames: str | None = None
    """The file that is to blame; None where none is."""
    statement: int | None = None
    line: int | None = None
    column: int | None = None
    sqlstate: str | None = None
    """One, or two with `or` between, where servers differ."""
    arguments: tuple[str, ...] = ()
    limited: bool = False
    """Whether it is run by a role without rights on the world."""
    uri: str | None = None
    """Another address than the world's, with the same names to fill in."""
    blocker: bool = False


def failing(
    row: int | None,
    text: str,
    reason: str,
    sqlstate: str,
    *says: str,
    at: tuple[int, int, int] = (1, 1, 1),
    limited: bool = False,
) -> Bad:
    """Give the row of a script that the server refuses at `(statement, line, column)`."""
    name = "2_bad.up.sql"
    statement, line, column = at
    return Bad(
        row=row,
        reason=reason,
        says=says,
        files={name: text},
        code=21,
        blames=name,
        statement=statement,
        line=line,
        column=column,
        sqlstate=sqlstate,
        limited=limited,
    )


def refused(
    row: int | None,
    text: str | bytes,
    reason: str,
    *says: str,
    at: tuple[int | None, int | None, int | None] = (1, 1, 1),
) -> Bad:
    """Give the row of a script that is refused at `(statement, line, column)` before anything is run."""
    name = "2_bad.up.sql"
    statement, line, column = at
    return Bad(
        row=row,
        reason=reason,
        says=says,
        files={name: text},
        blames=name,
        statement=statement,
        line=line,
        column=column,
    )


@dataclass(frozen=True)
class World:
    """A database with something of everything, and what it looked like at first."""

    database: Database
    owner: str
    limited: str
    """A role that may use the history, and nothing else."""
    folder: Path
    first: str = ""
    """Its catalogue and its rows."""
    catalogue: str = ""
    """The versions of all rows of its catalogue, in short."""

    @property
    def names(self) -> dict[str, str]:
        """What texts of rows may name."""
        return {
            "owner": self.owner,
            "limited": self.limited,
            "database": self.database.name,
            "port": str(self.database.server.port),
            "canary": CANARY_ENCODED,
            "plain": CANARY,
        }

    def run(self, bad: Bad, uri: str | None = None) -> Ended:
        """Run a bad input as a user does."""
        if uri is None and bad.uri is not None:
            uri = bad.uri.format(**self.names)
        return run(
            bad, self.folder, uri or self.database.uri_of(self.limited if bad.limited else self.owner, CANARY_ENCODED)
        )

    def dump(self) -> str:
        """Give everything in it but the history."""
        return self.database.dump("--exclude-schema=schema_operator")

    def is_as_before(self) -> bool:
        """Whether nothing has changed in the catalogue, and nothing is applied; quicker than a dump."""
        return (self.database.value(CATALOGUE), self.database.applied()) == (self.catalogue, ["1.0.0", "1.2.0"])

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold every table of the world, so that whoever touches one waits and fails."""
        with self.database.connect("locks") as session, session.transaction():
            session.execute(
                "DO $$ DECLARE t regclass; BEGIN FOR t IN SELECT oid FROM pg_class WHERE relkind IN ('r', 'p') "
                "AND relnamespace::regnamespace::text IN ('public', 'app') LOOP EXECUTE 'LOCK TABLE ' || t; "
                "END LOOP; END $$"
            )
            yield


def run(bad: Bad, folder: Path, uri: str) -> Ended:
    """Run a bad input; what stands in the termination message afterwards is added to the standard error output."""
    scripts = write(folder / "scripts", {} if bad.whole else APPLIED)
    for name, content in bad.files.items():
        (scripts / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    log = folder / "termination"
    log.write_text("")
    common = ("--scripts", scripts, "--as", "shop/shop", "--termination-log", log)
    ended = Product(Database(PostgresServer(0), "")).run(*common, *bad.arguments, uri=uri)
    return Ended(ended.code, ended.stdout, ended.stderr + log.read_text())


@contextmanager
def world(server: PostgresServer, folder: Path) -> Iterator[World]:
    """Make the world on a server."""
    mark = uuid.uuid4().hex[:8]
    made = World(Database(server, f"bad_{mark}"), f"owner_{mark}", f"limited_{mark}", folder)
    with psycopg.connect(server.uri(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE bad_{mark}".encode())
        admin.execute(f"CREATE ROLE {made.owner} LOGIN SUPERUSER PASSWORD '{CANARY}'".encode())
        admin.execute(f"CREATE ROLE {made.limited} LOGIN PASSWORD '{CANARY}'".encode())
        try:
            yield _furnished(made)
        finally:
            admin.execute(f"DROP DATABASE bad_{mark} WITH (FORCE)".encode())
            admin.execute(f"DROP ROLE {made.owner}".encode())
            admin.execute(f"DROP ROLE {made.limited}".encode())


def _furnished(made: World) -> World:
    made.database.execute(f"SET ROLE {made.owner}; {WORLD}")
    ended = made.run(Bad(reason="", says=()))
    assert ended.code == 0, ended
    made.database.execute(
        f"GRANT USAGE ON SCHEMA schema_operator TO {made.limited}; "
        f"GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA schema_operator TO {made.limited}"
    )
    catalogue = made.database.value(CATALOGUE)
    return World(made.database, made.owner, made.limited, made.folder, made.dump(), catalogue)


def require_well_said(bad: Bad, ended: Ended, names: Mapping[str, str]) -> None:
    """Require of an answer what every answer owes: reason, place, the wanted words, a remedy, and no secret."""
    report = ended.report
    assert (ended.code, report.reason) == (bad.code, bad.reason), ended
    for text in bad.says:
        assert text.format(**names) in report.message, report.message
    _require_place(bad, report.place, report.message)
    require_remedy(report.message)
    require_no_secret(ended)


def _require_place(bad: Bad, place: Place | None, message: str) -> None:
    if bad.blames is None:
        return
    assert place is not None, message
    assert (place.file, place.statement, place.line) == (bad.blames, bad.statement, bad.line), place
    assert place.version, place
    assert bad.column in {None, place.column}, place
    assert place.sqlstate in (bad.sqlstate or "").split(" or ") or place.sqlstate is bad.sqlstate, place
    assert BLAMED.match(message), message


def require_remedy(message: str) -> None:
    """Require that a sentence says what is wrong, then, after a semicolon, what to do."""
    wrong, _, remedy = message.partition("; ")
    assert len(wrong.split()) > 2, message
    assert len(remedy.split()) > 1, message
    assert "\n" not in message
    assert not message.endswith((".", ";", " ")), message


def require_no_secret(ended: Ended) -> None:
    """Require that nothing which a run has written holds a password, a literal or a value of a row."""
    for secret in FORBIDDEN:
        assert secret not in ended.stdout + ended.stderr, secret
