"""The image of a pod's sandbox, made without a registry or a builder: one static program in one layer."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from typing import TYPE_CHECKING

from dev.cluster.parts import PAUSE

if TYPE_CHECKING:
    from pathlib import Path

# Not root, as in Kubernetes' own image of this purpose.
_USER = "65535:65535"


def write_pause_image(program: Path, archive: Path) -> None:
    """Write an image that runs a static program, as an archive that `docker load` and containerd understand."""
    layer = _tar({"pause": program.read_bytes()})
    config = _config(hashlib.sha256(layer).hexdigest())
    manifest = [{"Config": "config.json", "RepoTags": [PAUSE], "Layers": ["layer.tar"]}]
    archive.write_bytes(
        _tar({"layer.tar": layer, "config.json": _json(config), "manifest.json": _json(manifest)}),
    )


def _config(layer: str) -> dict[str, object]:
    return {
        "architecture": _architecture(),
        "os": "linux",
        "config": {"Entrypoint": ["/pause"], "User": _USER},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer}"]},
    }


def _architecture() -> str:
    machine = os.uname().machine
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o755
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
