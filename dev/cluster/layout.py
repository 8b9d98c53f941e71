"""Where the files of one local cluster are, and its names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dev.cache import cache

if TYPE_CHECKING:
    from pathlib import Path

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Layout:
    """The folder of one cluster. Everything in it goes when the cluster is deleted."""

    name: str
    home: Path

    @property
    def record(self) -> Path:
        """Who the node's first process is, as `processes.Record`."""
        return self.home / "record.json"

    @property
    def status(self) -> Path:
        """How far the node has come, as `status.Status`."""
        return self.home / "status.json"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig, usable from the host and without any other file."""
        return self.home / "kubeconfig"

    @property
    def etc(self) -> Path:
        """Configuration, keys and tokens of the parts."""
        return self.home / "etc"

    @property
    def logs(self) -> Path:
        """What each part says, one file each."""
        return self.home / "log"

    @property
    def loaded(self) -> Path:
        """One file per image that was loaded, holding its id."""
        return self.home / "loaded"

    @property
    def certificate(self) -> Path:
        """The API server's certificate and the authority that signed it, both made by the API server itself."""
        return self.etc / "pki/apiserver.crt"

    def log(self, part: str) -> Path:
        """Give the file one part writes to."""
        return self.logs / f"{part}.log"

    def var(self, name: str) -> Path:
        """Give the folder that the node sees as /var/NAME (`lib/etcd`, `lib/kubelet`, …)."""
        return self.home / "var" / name


def layout(name: str) -> Layout:
    """Give the places of the cluster of that name: lower case letters, digits and `-`, 30 at most."""
    if _NAME.fullmatch(name) is None:
        raise ValueError(f"{name!r} cannot name a cluster: use up to 30 lower case letters, digits and '-'")
    return Layout(name, cache() / "clusters" / name)
