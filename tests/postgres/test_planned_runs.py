"""A run that keeps to a plan: the digest of the plan run, what moves it, and what may be done of it already."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from schema_operator.api import request as requests
from schema_operator.api.report import Action, PlanSummary
from schema_operator.api.request import Acknowledgement, Mode, PlannedWork, Resource, RunRequest, ScriptFolder
from support.faults import SLEEPING, SLOW, quiet
from support.postgres import OLDEST_AND_NEWEST, Database, Ended, Product, write

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping
    from pathlib import Path

pytestmark = [pytest.mark.postgres, OLDEST_AND_NEWEST]

THREE = {
    "1_a.up.sql": "CREATE TABLE a ();",
    "1_a.down.sql": "DROP TABLE a;",
    "2_b.up.sql": "CREATE TABLE b ();",
    "2_b.down.sql": "DROP TABLE b;",
    "3_c.up.sql": "CREATE TABLE c ();",
    "3_c.down.sql": "DROP TABLE c;",
}
APPLIED_BY = "SELECT version, applied_by FROM schema_operator.schema_versions ORDER BY applied_at"


@dataclass
class Team:
    """A resource whose runs are planned before."""

    product: Product
    folder: Path
    name: str = "shop"
    runs: int = 0
    settings: dict[str, Any] = field(default_factory=dict)

    def write(self, files: Mapping[str, str]) -> None:
        write(self.folder / self.name, files)

    def request(self, **extra: Any) -> RunRequest:
        self.runs += 1
        resource = Resource(namespace="shop", name=self.name, uid=f"uid of {self.name}", generation=1)
        values: dict[str, Any] = {
            "run": f"{self.name}-{self.runs}",
            "actor": resource.owner,
            "resource": resource,
            "folders": (ScriptFolder(path=str(self.folder / self.name), label=""),),
        }
        return RunRequest(**(values | self.settings | extra))

    def plan(self, **extra: Any) -> Ended:
        """Ask for a plan, and see that everything in the database is as it was."""
        before = self.product.database.dump()
        ended = self.product.request(self.folder, self.request(mode=Mode.PLAN, **extra))
        assert self.product.database.dump() == before
        return ended

    def planned(self, **extra: Any) -> PlanSummary:
        """Ask for a plan, and give it in short."""
        ended = self.product.request(self.folder, self.request(mode=Mode.PLAN, **extra))
        assert ended.code == 0, ended
        assert ended.report.planned is not None
        return ended.report.planned

    def run(self, summary: PlanSummary, *, may_apply: bool = True, may_roll_back: bool = True, **extra: Any) -> Ended:
        kept = msgspec.structs.replace(_work(summary), may_apply=may_apply, may_roll_back=may_roll_back)
        return self.product.request(self.folder, self.request(planned=kept, **extra))

    def start(self, summary: PlanSummary, **extra: Any) -> subprocess.Popen[str]:
        path = self.folder / f"{self.name}.json"
        path.write_bytes(requests.encode(self.request(planned=_work(summary), **extra)))
        return self.product.start("--request", path)


def _work(summary: PlanSummary) -> PlannedWork:
    return PlannedWork(digest=summary.digest, position=summary.position)


@pytest.fixture
def team(product: Product, tmp_path: Path) -> Team:
    made = Team(product, tmp_path)
    made.write(THREE)
    return made


def refused(ended: Ended) -> str:
    """See that a run has refused another plan than that it was given; give its sentence."""
    assert (ended.code, ended.report.reason, ended.report.versions) == (10, "PlanChanged", ()), ended
    return ended.report.message


def test_what_is_planned_on_an_empty_database_is_what_runs(team: Team, database: Database) -> None:
    ended = team.plan(actor="shop/shop")
    summary = ended.report.planned
    assert summary is not None
    assert (ended.code, ended.report.action, ended.report.version_before) == (0, Action.APPLY, "0")
    assert [one.version for one in ended.report.plan or ()] == ["1", "2", "3"]
    assert (summary.applies, summary.rollbacks, summary.recorded, summary.position) == (3, 0, 0, 0)
    assert database.value("SELECT to_regnamespace('schema_operator') IS NULL")
    assert team.planned().digest == summary.digest

    ended = team.run(summary, actor="alice@example.com")
    assert (ended.code, ended.report.versions) == (0, ("1", "2", "3"))
    assert database.rows(APPLIED_BY) == [(version, "alice@example.com") for version in ("1", "2", "3")]
    events = "SELECT DISTINCT actor, owner FROM schema_operator.events WHERE event = 'Applied'"
    assert database.rows(events) == [("alice@example.com", "shop/shop")]

    assert team.run(summary).report.action is Action.NONE  # nothing is left to do, so there is nothing to refuse
    back = team.plan(version="1").report.planned
    assert back is not None
    assert (back.applies, back.rollbacks, back.position > 0) == (0, 2, True)
    assert team.run(back, version="1", actor="bob").report.versions == ("3", "2")
    assert database.rows(APPLIED_BY)[-2:] == [("3-rollback", "bob"), ("2-rollback", "bob")]


def test_a_run_that_would_do_something_else_changes_nothing(team: Team, database: Database) -> None:
    summary = team.planned()
    other = THREE | {"3_c.up.sql": "CREATE TABLE c (id int);"}
    team.write(other)
    assert "not what they were" in refused(team.run(summary))
    assert database.value("SELECT to_regnamespace('schema_operator') IS NULL")
    team.write(THREE)
    assert team.run(summary, version="1").report.reason == "PlanChanged"
    assert team.run(summary, allow=(Acknowledgement.DELETES_DATA,)).report.reason == "PlanChanged"
    assert "nobody has" in refused(team.run(summary, may_apply=False))
    assert team.run(summary, may_roll_back=False).code == 0

    back = team.planned(version="2")
    assert "nobody has" in refused(team.run(back, version="2", may_roll_back=False))
    rolled = "UPDATE schema_operator.version_scripts SET down_sql = 'SELECT 1' WHERE version = '3'"
    database.execute(f"ALTER TABLE schema_operator.version_scripts DISABLE TRIGGER USER; {rolled}")
    assert "not what they were" in refused(team.run(back, version="2"))
    assert database.applied() == ["1", "2", "3"]


def test_what_others_do_to_the_database_moves_the_plan(team: Team, database: Database) -> None:
    summary = team.planned()
    them = Team(team.product, team.folder, "them")
    them.write({"7_x.up.sql": "CREATE TABLE x ();"})
    assert them.product.request(them.folder, them.request()).code == 0
    assert "the history has moved since: 7 was applied for shop/them" in refused(team.run(summary))
    again = team.planned()
    assert again.digest != summary.digest
    assert team.run(again).code == 0
    assert database.applied() == ["7", "1", "2", "3"]


def test_the_role_of_the_database_is_part_of_the_plan(team: Team, role: str, database: Database) -> None:
    summary = team.planned()
    database.execute(f"GRANT CREATE ON DATABASE {database.name} TO {role}; GRANT ALL ON SCHEMA public TO {role}")
    (team.folder / "uri").write_text(database.uri)
    files = requests.ConnectionFiles(uri=requests.SecretFile(secret="s", key="uri", folder=str(team.folder)), role=role)
    path = team.folder / "role.json"
    path.write_bytes(requests.encode(team.request(planned=_work(summary), connection=files)))
    refused(team.product.run("--request", path, uri=""))


@pytest.mark.parametrize("baseline", [None, "1"])
def test_a_plan_that_was_killed_in_the_middle_goes_on_and_only_so(
    team: Team, database: Database, baseline: str | None
) -> None:
    """Version 1 is committed (or recorded) and 2 is at work when the runner dies: the plan goes on with them."""
    slow = THREE | {"2_b.up.sql": f"CREATE TABLE b (); {SLOW}"}
    team.write(slow)
    team.settings = {"baseline": baseline}
    database.execute("CREATE TABLE patience AS SELECT 600.0::float8 AS seconds")
    summary = team.planned()
    killed = team.start(summary, actor="alice")
    database.wait_for(SLEEPING)
    killed.kill()
    killed.communicate()
    # Before version 14, the server does not notice that its client is gone.
    database.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
    with database.connect() as connection:
        quiet(connection)
    assert database.applied() == ["1"]
    database.execute("UPDATE patience SET seconds = 0")

    assert team.planned().digest != summary.digest
    team.write(slow | {"3_c.up.sql": "CREATE TABLE c (id int);"})
    refused(team.run(summary))
    team.write(slow | {"1_a.verify.sql": "SELECT true;"})
    refused(team.run(summary))  # what is done already was planned otherwise
    team.write(slow)
    refused(team.run(summary, version="2"))
    refused(team.run(msgspec.structs.replace(summary, position=summary.position + 1)))

    ended = team.run(summary, actor="bob")
    assert (ended.code, ended.report.versions) == (0, ("2", "3"))
    assert database.rows(APPLIED_BY) == [("1", "alice"), ("2", "bob"), ("3", "bob")]


def test_a_rollback_goes_on_as_it_was_planned(team: Team, database: Database) -> None:
    assert team.run(team.planned()).code == 0
    summary = team.planned(version="0")
    assert summary.rollbacks == 3
    # What a run that was killed after its first commit leaves behind: one version rolled back by the same resource.
    assert team.product.request(team.folder, team.request(version="2")).code == 0
    refused(team.run(summary, version="1"))
    assert team.run(summary, version="0").report.versions == ("2", "1")
    assert database.applied() == []


def test_a_step_that_a_person_took_by_hand_is_no_step_of_the_plan(team: Team, database: Database) -> None:
    assert team.run(team.planned()).code == 0
    summary = team.planned(version="0")
    database.execute("CALL schema_operator.emergency_rollback('2')")
    sentence = refused(team.run(summary, version="0"))
    assert "3 was rolled back by hand, of shop/shop" in sentence
    assert database.applied() == ["1", "2"]


def test_a_step_of_another_of_the_same_name_is_no_step_of_the_plan(team: Team, database: Database) -> None:
    summary = team.planned()
    ended = team.product.run("--scripts", team.folder / "shop", "--as", "shop/shop", "--version", "1")
    assert ended.code == 0
    assert "1 was applied" in refused(team.run(summary))
    assert database.applied() == ["1"]
