"""Scripts from an image that holds nothing but scripts, and ConfigMaps whose change is noticed at once."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from dev.image.builder import Build, builder

from support.operator import Shop, conditions, kubectl_json, message

ONE = {"1_a.up.sql": "CREATE TABLE a ();", "1_a.down.sql": "DROP TABLE a;"}
TWO = ONE | {"2_b.up.sql": "CREATE TABLE b ();", "2_b.down.sql": "DROP TABLE b;"}
BROKEN = ONE | {"2_b.up.sql": "CREATE TABEL b ();"}

Make = Callable[[str, dict[str, str]], str]


@pytest.fixture
def image(shop: Shop, tmp_path: Path, request: pytest.FixtureRequest) -> Make:
    """Give what makes an image `FROM scratch` with scripts in /migrations, on the node, and gives its reference."""
    # The same at each run, so that the builder keeps one and not one a run.
    repository = f"localhost/scripts-of-{request.node.name}"

    def make(tag: str, scripts: dict[str, str]) -> str:
        folder = tmp_path / uuid.uuid4().hex
        (folder / "migrations").mkdir(parents=True)
        # The node names an image by the first repository that it knows the same content of.
        for name, text in {"README": repository, **scripts}.items():
            (folder / "migrations" / name).write_text(text)
        (folder / "Dockerfile").write_text("FROM scratch\nCOPY migrations /migrations\n")
        reference = f"{repository}:{tag}"
        builder().build(Build(reference, folder, folder / "Dockerfile", arguments={}, secrets={}))
        shop.cluster.load_docker_image(reference)
        return reference

    return make


def source(reference: str, path: str = "/migrations", **fields: Any) -> dict[str, Any]:
    return {"image": {"reference": reference, "path": path, **fields}}


def test_a_folder_of_an_image_is_a_source(shop: Shop, image: Make) -> None:
    shop.kubectl("label", "namespace", shop.namespace, "pod-security.kubernetes.io/enforce=restricted")
    tag = image("1", ONE)
    shop.migrate(scripts=source(tag))
    status = shop.settled()
    assert conditions(status)["Ready"] == "True Applied"
    assert shop.versions() == ["1"]
    (run,) = status["runs"]
    digest = run["scriptsImage"]
    assert digest.startswith(f"{tag.rpartition(':')[0]}@sha256:")
    assert digest in message(status, "Validated")
    # The tag moves, and nobody has asked for a run: what it means now is taken by the next work, and not before.
    image("1", TWO)
    shop.kubectl("annotate", "sm", "shop", "schema-operator.dev/requested-at=now")
    status = shop.until(lambda found: found["status"].get("version") == "2")
    assert status["runs"][0]["scriptsImage"] not in ("", digest)
    # By its digest, the image from before is there still.
    shop.migrate(scripts=source(digest), version="1")
    assert conditions(shop.settled())["Ready"] == "True RolledBack"
    assert "digest" not in message(shop.get()["status"], "Validated")
    assert shop.columns("b") == set()


def test_an_attempt_runs_the_image_of_the_one_before_although_the_tag_has_moved(shop: Shop, image: Make) -> None:
    tag = image("1", ONE)
    shop.secret(uri=shop.uri(host="postgres.postgres.svc:5433"))
    shop.migrate(scripts=source(tag))
    first = shop.until(lambda found: found["status"].get("runs"))["runs"][0]
    image("1", TWO)
    shop.secret(uri=shop.uri())
    status = shop.until(lambda found: conditions(found["status"]).get("Ready") == "True Applied")
    assert status["version"] == "1"
    assert [run["scriptsImage"] for run in status["runs"]] == [first["scriptsImage"]] * len(status["runs"])


def test_what_is_wrong_with_an_image_is_told(shop: Shop, image: Make) -> None:
    tag = image("1", BROKEN)
    shop.migrate(scripts=source(tag, "/migratons"))
    status = shop.settled()
    assert conditions(status)["Stalled"] == "True ScriptsNotCopied"
    for part in ("/migratons", "migrations/", "spec.scripts.image.path"):
        assert part in message(status)
    # What is found without a database in other sources is found by the run, with the same reason.
    shop.migrate(scripts=source(tag))
    status = shop.settled()
    assert conditions(status)["Stalled"] == "True SyntaxError"
    for part in ("/migrations/2_b.up.sql", "line 1"):
        assert part in message(status)
    assert not shop.has_history()


def test_an_image_that_does_not_exist_is_named_and_can_be_corrected(shop: Shop, image: Make) -> None:
    began = time.monotonic()
    shop.migrate(scripts=source("localhost/there-is-no-such:image"))
    status = shop.until(lambda found: conditions(found["status"]).get("Ready") == "False ImageNotPulled")
    assert time.monotonic() - began < 30.0
    assert "localhost/there-is-no-such:image" in message(status)
    assert "spec.scripts.image" in message(status)
    shop.migrate(scripts=source(image("1", ONE)))
    assert conditions(shop.settled())["Ready"] == "True Applied"


def test_a_change_of_a_config_map_that_asks_for_it_is_noticed_at_once(shop: Shop) -> None:
    shop.config_map("scripts", ONE)
    shop.kubectl("label", "configmap", "scripts", "schema-operator.dev/watch=true")
    shop.migrate(scripts={"configMaps": [{"name": "scripts"}]})
    shop.settled()
    patch = '{"data": {"2_b.up.sql": "CREATE TABLE b ();"}}'
    shop.kubectl("patch", "configmap", "scripts", "--type=merge", f"--patch={patch}", "--field-manager=the-change")
    assert shop.until(lambda found: found["status"].get("version") == "2")["version"] == "2"
    assert (started(shop) - changed(shop)).total_seconds() <= 2.0


def changed(shop: Shop) -> datetime:
    """Say when the API server took the change."""
    managed = kubectl_json(shop.cluster, "-n", shop.namespace, "get", "configmap", "scripts", "--show-managed-fields")
    (time,) = [one["time"] for one in managed["metadata"]["managedFields"] if one["manager"] == "the-change"]
    return datetime.fromisoformat(time)


def started(shop: Shop) -> datetime:
    """Say when the API server took the newest Job."""
    return max(datetime.fromisoformat(job["metadata"]["creationTimestamp"]) for job in shop.jobs())
