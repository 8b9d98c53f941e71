"""The examples are what they say: resources the API server takes, names that fit together, scripts that can be run."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from dev import programs

from schema_operator.api.model import API_VERSION, GROUP, ApiModel
from schema_operator.api.schema_migration import SchemaMigrationSpec
from schema_operator.api.target_database import TargetDatabaseSpec
from schema_operator.controller.source import see
from support.judges import HEALTH

EXAMPLES = Path(__file__).parents[3] / "examples"
SPECS: dict[str, type[ApiModel]] = {"SchemaMigration": SchemaMigrationSpec, "TargetDatabase": TargetDatabaseSpec}
WAVE = "argocd.argoproj.io/sync-wave"

Plain = dict[str, Any]


def documents(text: str) -> list[Plain]:
    return [one for one in yaml.safe_load_all(text) if one]


def kustomized(folder: Path) -> list[Plain]:
    command = [str(programs.kubectl()), "kustomize", str(folder)]
    return documents(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def templated(chart: Path, *options: str) -> list[Plain]:
    command = [str(programs.helm()), "template", "shop", str(chart), "--namespace", "shop", *options]
    return documents(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def of_kind(kind: str, found: list[Plain]) -> Plain:
    (one,) = [item for item in found if item["kind"] == kind]
    return one


def plain_files() -> list[Plain]:
    return [one for path in sorted(EXAMPLES.glob("shop/*.yaml")) for one in documents(path.read_text())]


SOURCES: dict[str, Callable[[], list[Plain]]] = {
    "shop": plain_files,
    "kustomize": lambda: kustomized(EXAMPLES / "kustomize/schema"),
    "argocd": lambda: kustomized(EXAMPLES / "argocd/shop"),
    "helm": lambda: templated(EXAMPLES / "helm/shop"),
}


@pytest.mark.parametrize("source", SOURCES)
def test_every_resource_of_ours_is_valid_and_has_no_field_that_is_not_known(source: str) -> None:
    found = [one for one in SOURCES[source]() if one["kind"] in SPECS]
    assert {one["kind"] for one in found} == set(SPECS)
    for one in found:
        assert one["apiVersion"] == f"{GROUP}/{API_VERSION}"
        read = SPECS[one["kind"]].model_validate(one["spec"])
        assert read.model_dump(by_alias=True, exclude_unset=True, mode="json") == one["spec"]


@pytest.mark.parametrize("source", SOURCES)
def test_a_migration_has_its_database_and_scripts_that_can_be_run(source: str) -> None:
    found = SOURCES[source]()
    migration, target = of_kind("SchemaMigration", found), of_kind("TargetDatabase", found)
    assert migration["spec"]["database"]["name"] == target["metadata"]["name"]
    maps = {one["metadata"]["name"]: one for one in found if one["kind"] == "ConfigMap"}
    named = [one["name"] for one in migration["spec"]["scripts"].get("configMaps", [])]
    assert sorted(maps) == sorted(named)
    seen = see(SchemaMigrationSpec.model_validate(migration["spec"]), {name: maps[name] for name in named})
    assert seen.problem is None
    assert seen.digest is not None


@pytest.mark.parametrize("edited", ["1.1.0_stock.up.sql", "1.0.0_products.down.sql"])
def test_a_changed_script_changes_the_spec_of_the_migration(tmp_path: Path, edited: str) -> None:
    copies: dict[str, tuple[str, Callable[[Path], list[Plain]]]] = {
        "kustomize/schema": ("scripts", kustomized),
        "helm/shop": ("migrations", templated),
    }
    for example, (folder, made) in copies.items():
        copy = tmp_path / example
        shutil.copytree(EXAMPLES / example, copy)
        before = of_kind("SchemaMigration", made(copy))["spec"]
        with (copy / folder / edited).open("a") as script:
            script.write("SELECT 1;\n")
        after = of_kind("SchemaMigration", made(copy))["spec"]
        assert before["scripts"] != after["scripts"]
        assert before["version"] == after["version"]


def test_the_chart_can_bring_the_schema_alone_and_the_application_alone() -> None:
    schema = templated(EXAMPLES / "helm/shop", "--set=application.enabled=false")
    assert {one["kind"] for one in schema} == {"ConfigMap", "SchemaMigration", "TargetDatabase"}
    application = templated(EXAMPLES / "helm/shop", "--set=schema.enabled=false")
    assert {one["kind"] for one in application} == {"Deployment"}


def test_all_of_the_schema_is_in_one_wave_before_the_application() -> None:
    found = kustomized(EXAMPLES / "argocd/shop")
    waves = {one["kind"]: one["metadata"].get("annotations", {}).get(WAVE) for one in found}
    assert waves == {"ConfigMap": "-1", "TargetDatabase": "-1", "SchemaMigration": "-1", "Deployment": None}


def test_argo_cds_application_leads_to_its_folder() -> None:
    (application,) = documents((EXAMPLES / "argocd/application.yaml").read_text())
    assert (EXAMPLES.parent / application["spec"]["source"]["path"] / "kustomization.yaml").is_file()
    compared = application["metadata"]["annotations"]["argocd.argoproj.io/compare-options"]
    assert compared == "ServerSideDiff=true"


def test_argo_cds_settings_are_the_health_scripts() -> None:
    (settings,) = documents((EXAMPLES / "argocd/argocd-cm.yaml").read_text())
    scripts = {f"resource.customizations.health.{GROUP}_{path.stem}": path.read_text() for path in HEALTH.glob("*.lua")}
    assert len(scripts) == len(SPECS)
    assert settings["data"] == scripts


def test_flux_waits_for_a_migration_that_is_there_before_the_application() -> None:
    found = [one for path in EXAMPLES.glob("flux/*.yaml") for one in documents(path.read_text())]
    by_name = {one["metadata"]["name"]: one["spec"] for one in found}
    made = {name: kustomized(EXAMPLES.parent / spec["path"]) for name, spec in by_name.items()}
    schema, application = by_name["shop-schema"], by_name["shop"]
    assert application["dependsOn"] == [{"name": "shop-schema"}]
    # Only of one source does Flux compare the revisions.
    assert schema["sourceRef"] == application["sourceRef"]
    (check,) = schema["healthChecks"]
    migration = of_kind("SchemaMigration", made["shop-schema"])
    assert check == {
        "apiVersion": migration["apiVersion"],
        "kind": migration["kind"],
        "name": migration["metadata"]["name"],
        "namespace": migration["metadata"]["namespace"],
    }
    # Flux ignores healthChecks beside it.
    assert "wait" not in schema
    assert {one["kind"] for one in made["shop"]} == {"Deployment"}
