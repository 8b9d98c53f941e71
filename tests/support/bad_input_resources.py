"""Bad inputs as users of a cluster make them: in a SchemaMigration, in its ConfigMaps, in the way to the database."""

from __future__ import annotations

import base64
import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from support.bad_inputs import SECRET
from support.operator import CANARY
from support.relay import OLD_SERVER_PORT, POOLER_PORT

Script = dict[str, str]

FIRST: Final[Script] = {"version": "1", "up": "CREATE TABLE first ();", "down": "DROP TABLE first;"}
ORIGINAL: Final[Script] = {"version": "20", "up": "CREATE TABLE twenty ();\n-- line 2\n"}
EDITED: Final[Script] = ORIGINAL | {"up": ORIGINAL["up"] + f"INSERT INTO twenty VALUES ('{SECRET}');\n"}
SECOND: Final[Script] = {"version": "2", "up": "CREATE TABLE second ();", "down": "DROP TABLE second;"}
ONE_WAY: Final[tuple[Script, ...]] = tuple(
    {"version": version, "up": f"CREATE TABLE one_way_{version} ();"} for version in ("30", "31")
)
NOISE: Final = base64.b64encode(random.Random(0).randbytes(190_000)).decode()  # noqa: S311 (nothing that compresses)


def sha256(text: str) -> str:
    """Give the checksum that the history has of a script."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class BadScripts:
    """Scripts that are refused, and what the sentence must say."""

    row: int | None = None
    """Its number in the list of bad inputs; None for what is not in the list."""
    reason: str
    says: tuple[str, ...]
    spec: Mapping[str, Any] = field(default_factory=dict)
    config_maps: Mapping[str, Mapping[str, str | bytes]] = field(default_factory=dict)
    applied: tuple[Script, ...] = ()
    """What the resource has applied before."""
    run: bool
    """Whether it takes a run to find it, because the history must be read."""


def inline(*scripts: Script, **spec: Any) -> dict[str, Any]:
    """Give the part of a spec that has scripts."""
    return {"scripts": {"inline": list(scripts)}, **spec}


# The order matters: what is applied last can be rolled back.
SCRIPTS: Final[dict[str, BadScripts]] = {
    "only-a-comment": BadScripts(
        row=3,
        reason="EmptyMigration",
        says=("version 40, file spec.scripts.inline[0].up", "no statement", "allow=EmptyScript"),
        spec=inline({"version": "40", "up": f"-- {SECRET}\n"}),
        run=False,
    ),
    "one-version-in-two-spellings": BadScripts(
        row=4,
        reason="DuplicateVersion",
        says=("version 42.0, file spec.scripts.inline[1].up", "42 in spec.scripts.inline[0].up", "another version"),
        spec=inline({"version": "42", "up": "SELECT 1"}, {"version": "42.0", "up": "SELECT 1"}),
        run=False,
    ),
    "one-version-in-two-config-maps": BadScripts(
        row=4,
        reason="DuplicateVersion",
        says=("version 44", "here/44_a.up.sql", "there/44_b.up.sql", "another version"),
        config_maps={"here": {"44_a.up.sql": "SELECT 1"}, "there": {"44_b.up.sql": "SELECT 1"}},
        run=False,
    ),
    "below-what-is-applied": BadScripts(
        row=5,
        reason="OutOfOrder",
        says=("version 1.5, file spec.scripts.inline[1].up", "below 2,", "policy.outOfOrder: Allow"),
        applied=(FIRST, SECOND),
        spec=inline(FIRST, {"version": "1.5", "up": "CREATE TABLE late ();"}, SECOND),
        run=True,
    ),
    "a-script-requires-what-is-missing": BadScripts(
        row=6,
        reason="MissingDependency",
        says=("version 46, file spec.scripts.inline[0].up", "requires 9.9", "add its script"),
        spec=inline({"version": "46", "up": "-- schema-operator: requires=9.9\nSELECT 1;"}),
        run=True,
    ),
    "the-resource-requires-what-is-missing": BadScripts(
        row=6,
        reason="MissingDependency",
        says=("version 9.8 must be there", "spec.requires.versions"),
        spec=inline({"version": "48", "up": "SELECT 1"}, requires={"versions": ["9.8"]}),
        run=True,
    ),
    "scripts-that-require-each-other": BadScripts(
        row=7,
        reason="DependencyCycle",
        says=(
            "version 50, file spec.scripts.inline[0].up",
            "50 requires 51, 51 requires 50",
            "take one of the requirements away",
        ),
        spec=inline(
            {"version": "50", "up": "-- schema-operator: requires=51\nSELECT 1;"},
            {"version": "51", "up": "-- schema-operator: requires=50\nSELECT 1;"},
        ),
        run=True,
    ),
    "an-applied-script-was-edited": BadScripts(
        row=8,
        reason="ChecksumMismatch",
        says=(
            "version 20, file scripts/20.up.sql",
            "line 3",
            sha256(ORIGINAL["up"]),
            sha256(EDITED["up"]),
            "put the old text back",
        ),
        applied=(ORIGINAL,),
        config_maps={"scripts": {"20.up.sql": EDITED["up"], "21.up.sql": "CREATE TABLE next ();"}},
        spec={"description": "edited"},  # so that it is looked at now
        run=True,
    ),
    "a-word-too-many": BadScripts(
        row=19,
        reason="SyntaxError",
        says=("version 52, file spec.scripts.inline[0].up, statement 2 of 3, line 2, column 8", "TABEL", "correct"),
        spec=inline({"version": "52", "up": f"SELECT '{SECRET}';\nCREATE TABEL b ();\nSELECT 1;"}),
        run=False,
    ),
    "a-quote-that-is-never-closed": BadScripts(
        row=20,
        reason="SyntaxError",
        says=("version 54, file spec.scripts.inline[0].up", "line 2, column 8", "never closed"),
        spec=inline({"version": "54", "up": f"SELECT 1;\nSELECT '{SECRET};\n"}),
        run=False,
    ),
    "a-commit-of-its-own": BadScripts(
        row=24,
        reason="TransactionControl",
        says=("version 56, file spec.scripts.inline[0].up, statement 2 of 2, line 2, column 1", "COMMIT"),
        spec=inline({"version": "56", "up": "SELECT 1;\nCOMMIT;"}),
        run=False,
    ),
    "not-utf-8": BadScripts(
        row=28,
        reason="InvalidEncoding",
        says=("version 58, file latin/58_a.up.sql", "line 2", "save the file as UTF-8"),
        config_maps={"latin": {"58_a.up.sql": b"CREATE TABLE a ();\n-- \xff\n"}},
        run=False,
    ),
    "too-large": BadScripts(
        row=29,
        reason="TooLarge",
        says=("200000 are possible", "spec.scripts.configMaps or spec.scripts.image"),
        spec=inline({"version": "60", "up": f"SELECT 1; -- {NOISE}"}),
        run=False,
    ),
    "a-version-that-is-nothing": BadScripts(
        reason="MalformedVersion",
        says=("0.0", "nothing is applied"),
        spec=inline({"version": "0.0", "up": "SELECT 1"}),
        run=False,
    ),
    "back-over-what-has-no-way-back": BadScripts(
        row=44,
        reason="NotReversible",
        says=("30", "31", "write a new version"),
        applied=ONE_WAY,
        spec=inline(*ONE_WAY, version="0"),
        run=True,
    ),
}


@dataclass(frozen=True, kw_only=True)
class BadConnection:
    """A way to the database that does not lead there, and what the sentence must say."""

    row: int
    reason: str
    says: tuple[str, ...]
    """Parts of the sentence; `{name}`, `{namespace}` and `{database}` are filled in."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """What is other than right in the URI; `query` is added to it."""
    secret: str | None = "uri"
    """The key of the Secret; None for no Secret at all."""
    target: bool = True
    """Whether there is a TargetDatabase."""
    retried: bool = False
    """Whether it may pass by itself."""
    mended: bool = True
    """Whether a right Secret is taken without any change of the resource."""


_SERVER: Final = "postgres.postgres.svc:5432"
CONNECTIONS: Final[dict[str, BadConnection]] = {
    "no-target": BadConnection(
        row=9,
        reason="TargetNotFound",
        says=("TargetDatabase no-target", "namespace {namespace}", "create it"),
        target=False,
    ),
    "no-secret": BadConnection(
        row=9,
        reason="SecretNotFound",
        says=("Secret {namespace}/no-secret does not exist", "create it with the key uri"),
        secret=None,
    ),
    "no-key": BadConnection(
        row=9, reason="SecretKeyNotFound", says=("Secret {namespace}/no-key has no key uri", "add it"), secret="url"
    ),
    "malformed": BadConnection(
        row=11,
        reason="InvalidConnection",
        says=("'sslmood'", "correct or remove"),
        parts={"query": "?sslmood=require"},
    ),
    "wrong-password": BadConnection(
        row=12,
        reason="AuthFailed",
        says=("user owner", _SERVER, "check user and password"),
        parts={"password": f"wrong-{CANARY}"},
    ),
    "no-database": BadConnection(
        row=13, reason="DatabaseNotFound", says=("no database nowhere", "create it"), parts={"database": "nowhere"}
    ),
    "no-address": BadConnection(
        row=14,
        reason="Unreachable",
        says=("nowhere.postgres.svc:5432", "its name is not known", "check host"),
        parts={"host": "nowhere.postgres.svc:5432"},
        retried=True,
    ),
    "no-tls": BadConnection(
        row=15,
        reason="TlsFailed",
        says=(_SERVER, "it offers none", "never tried without TLS"),
        parts={"query": "?sslmode=require"},
    ),
    "read-only": BadConnection(
        row=16,
        reason="NotPrimary",
        says=(_SERVER, "name the primary"),
        parts={"query": "?options=-c%20default_transaction_read_only%3Don"},
        retried=True,
    ),
    "pooler": BadConnection(
        row=17,
        reason="PoolerDetected",
        says=("pooler", "the server's own address"),
        parts={"host": f"relay:{POOLER_PORT}"},
    ),
    "old-server": BadConnection(
        row=18,
        reason="UnsupportedServer",
        says=(f"relay:{OLD_SERVER_PORT}", "PostgreSQL 12", "13 is the oldest", "upgrade"),
        parts={"host": f"relay:{OLD_SERVER_PORT}"},
        mended=False,
    ),
}
