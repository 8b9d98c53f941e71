"""What a person says yes to: what moves the digest of a plan, and what does not."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import pytest

from schema_operator.api.report import Action
from schema_operator.api.request import (
    Acknowledgement,
    ArchiveMode,
    ArchivePolicy,
    BatchLimits,
    ChecksumPolicy,
    LockLimits,
    OutOfOrder,
    Requirements,
    RunRequest,
    ScriptFolder,
    TransactionMode,
    Verification,
)
from schema_operator.api.version import Version
from schema_operator.history.records import AppliedVersion
from schema_operator.runner.digest import Place, applied, digest, rolled_back
from schema_operator.scripts.script import BatchKey, Script, Source

US = "shop/shop"
PLACE = Place("7", "shop", "owner")
REQUEST = RunRequest(
    run="shop-1",
    actor=US,
    variables={"used": "1", "unused": "2"},
    allow=(Acknowledgement.DELETES_DATA, Acknowledgement.LONG_NAME),
    verify=(Verification(name="n", sql="SELECT true"),),
    requires=Requirements(versions=("0.1", "0.2")),
)
UP = Source.from_bytes("2_b.up.sql", b"SELECT :used;")
DOWN = Source.from_bytes("2_b.down.sql", b"DROP TABLE b;")
SCRIPT = Script(Version.parse("2"), "b", UP, DOWN, Source.from_bytes("2_b.verify.sql", b"SELECT true;"))
LATER = Script(Version.parse("3"), "c", Source.from_bytes("3_c.up.sql", b"CREATE TABLE c ();"))
BATCH = replace(UP, batch=BatchKey(None, "item", "id"))


def version(text: str, owner: str | None = US, checksum: str | None = "c") -> AppliedVersion:
    return AppliedVersion(Version.parse(text), owner, checksum, True)


@dataclass(frozen=True)
class Planned:
    """All that may be part of a plan."""

    place: Place = PLACE
    request: RunRequest = REQUEST
    owner: str | None = US
    history: tuple[AppliedVersion, ...] = (version("0.5", "shop/other"), version("1"))
    recorded: tuple[Script, ...] = ()
    rollbacks: tuple[tuple[str, Source], ...] = (("9", DOWN),)
    applies: tuple[Script, ...] = (SCRIPT, LATER)
    stored: dict[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        variables = self.request.variables
        steps = (
            *(applied(one, variables, Action.NONE) for one in self.recorded),
            *(rolled_back(text, down, variables | self.stored) for text, down in self.rollbacks),
            *(applied(one, variables) for one in self.applies),
        )
        return digest(self.place, self.request, self.owner, self.history, steps)


PLAN = Planned()


def asked(**changes: Any) -> Planned:
    return replace(PLAN, request=msgspec.structs.replace(REQUEST, **changes))


def scripted(**changes: Any) -> Planned:
    return replace(PLAN, applies=(replace(SCRIPT, **changes), LATER))


MOVES = {
    "another system": replace(PLAN, place=Place("8", "shop", "owner")),
    "another database": replace(PLAN, place=Place("7", "stage", "owner")),
    "another role": replace(PLAN, place=Place("7", "shop", "")),
    "another owner": replace(PLAN, owner="shop/other"),
    "a version less is applied": replace(PLAN, history=PLAN.history[:1]),
    "a version of others more is applied": replace(PLAN, history=(*PLAN.history, version("1.5", "shop/other"))),
    "in another order": replace(PLAN, history=PLAN.history[::-1]),
    "from another script": replace(PLAN, history=(PLAN.history[0], version("1", checksum="d"))),
    "for another owner": replace(PLAN, history=(PLAN.history[0], version("1", None))),
    "a row that somebody wrote": replace(PLAN, history=(PLAN.history[0], version("1", checksum=None))),
    "an up script": scripted(up=Source.from_bytes("2_b.up.sql", b"SELECT 2;")),
    "a byte of it": scripted(up=Source.from_bytes("2_b.up.sql", b"SELECT :used; ")),
    "a down script": scripted(down=Source.from_bytes("2_b.down.sql", b"DROP TABLE c;")),
    "no down script": scripted(down=None),
    "a verify script": scripted(verify=Source.from_bytes("2_b.verify.sql", b"SELECT 1 = 1;")),
    "no verify script": scripted(verify=None),
    "down and verify changed places": scripted(down=SCRIPT.verify, verify=DOWN),
    "how it is divided": scripted(up=replace(UP, transaction=TransactionMode.NEVER)),
    "rows may follow COPY": scripted(up=replace(UP, copy_data_allowed=True)),
    "nothing is put back": scripted(down=replace(DOWN, restores=False)),
    "what its header requires": scripted(requires=("1",)),
    "what its header allows": scripted(allow=("DeletesData",)),
    "in batches": scripted(up=BATCH),
    "another version": scripted(version=Version.parse("2.1")),
    "a step less": replace(PLAN, applies=(SCRIPT,)),
    "steps in another order": replace(PLAN, applies=(LATER, SCRIPT)),
    "recorded and not run": replace(PLAN, applies=(LATER,), recorded=(SCRIPT,)),
    "the stored rollback": replace(PLAN, rollbacks=(("9", replace(DOWN, checksum="other")),)),
    "the rollback of another version": replace(PLAN, rollbacks=(("8", DOWN),)),
    "no rollback": replace(PLAN, rollbacks=()),
    "a value that is filled in": asked(variables={"used": "3", "unused": "2"}),
    "a variable that is used no more": asked(variables={"unused": "2"}),
    "something more is allowed": asked(allow=(*REQUEST.allow, Acknowledgement.COPY_DATA)),
    "something less is allowed": asked(allow=()),
    "another check": asked(verify=(Verification(name="n", sql="SELECT 1 = 1"),)),
    "another result is expected": asked(verify=(Verification(name="n", sql="SELECT true", expect="t"),)),
    "no check": asked(verify=()),
    "no archives": asked(archives=ArchivePolicy(mode=ArchiveMode.OFF)),
    "smaller archives": asked(archives=ArchivePolicy(max_bytes=1)),
    "what stays required": asked(requires=Requirements(versions=("0.1",))),
}
STAYS = {
    "another run": asked(run="shop-2"),
    "another approver": asked(actor="alice"),
    "another description": asked(description="for the auditors"),
    "locks": asked(locks=LockLimits(give_up_seconds=1)),
    "patience": asked(lock_wait_seconds=1),
    "rules that only refuse": asked(out_of_order=OutOfOrder.ALLOW, checksums=ChecksumPolicy.WARN),
    "the order of what is allowed": asked(allow=REQUEST.allow[::-1]),
    "the order of what is required": asked(requires=Requirements(versions=("0.2", "0.1"))),
    "extensions, which only refuse": asked(requires=Requirements(versions=("0.1", "0.2"), extensions=("postgis",))),
    "a value that nothing uses": asked(variables={"used": "1", "unused": "other"}),
    "a variable more that nothing uses": asked(variables={**REQUEST.variables, "more": "3"}),
    "batches, where nothing is done in any": asked(batches=BatchLimits(pause_seconds=1)),
    "the digest of all scripts": asked(scripts_digest="other"),
    "where scripts come from": asked(folders=(ScriptFolder(path="p", label="l"),)),
    "the name of a file": scripted(up=replace(UP, file="scripts/2_b.up.sql")),
    "the line it begins on": scripted(up=replace(UP, line=3)),
    "what the version is for": scripted(description="stock", name="stock"),
}


@pytest.mark.parametrize("other", MOVES.values(), ids=MOVES.keys())
def test_what_changes_what_is_done_moves_it(other: Planned) -> None:
    assert other.digest != PLAN.digest


@pytest.mark.parametrize("other", STAYS.values(), ids=STAYS.keys())
def test_what_changes_nothing_of_what_is_done_does_not(other: Planned) -> None:
    assert other != PLAN
    assert other.digest == PLAN.digest


def test_no_two_of_these_are_the_same() -> None:
    digests = [one.digest for one in (PLAN, *MOVES.values())]
    assert len({*digests}) == len(digests)


def test_batches_count_where_something_is_done_in_them() -> None:
    slow = msgspec.structs.replace(REQUEST, batches=BatchLimits(pause_seconds=1))
    for one in (scripted(up=BATCH), replace(PLAN, applies=(), rollbacks=(("9", BATCH),))):
        assert replace(one, request=slow).digest != one.digest


def test_a_rollback_is_filled_in_with_what_was_stored() -> None:
    down = Source.from_bytes("9.down.sql", b"SELECT :old;")
    plan = replace(PLAN, rollbacks=(("9", down),), stored={"old": "1"})
    assert replace(plan, stored={"old": "2"}).digest != plan.digest
    assert replace(plan, stored={"old": "1", "other": "2"}).digest == plan.digest


def test_its_form_is_what_it_was() -> None:
    """Another form voids every approval that was given and is not used yet: it is a change that users must be told."""
    assert PLAN.digest == "ec36465649aa7607ddc1fb4fcfca83b258b2b44b57ff21367b2a32f96a3fca79"
