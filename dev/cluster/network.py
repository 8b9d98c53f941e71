"""The addresses of a local cluster. Each cluster has a network namespace of its own and a slot of private ranges."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, Any

from dev.cluster.failure import ClusterFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SLOTS = range(64)
# A broader route, such as a VPN's for all private addresses, gives way to our more specific ones.
_BROADEST_CONFLICT = 16


@dataclass(frozen=True, slots=True)
class Network:
    """What one slot means in addresses. The host reaches the node, its pods and its services through one veth pair."""

    slot: int

    @property
    def link(self) -> str:
        """Name of the host's end of the veth pair. Its existence is what marks the slot as taken."""
        return f"schema-op{self.slot}"

    @property
    def between(self) -> IPv4Network:
        """Range of the veth pair."""
        return IPv4Network(f"10.201.{self.slot}.0/24")

    @property
    def host(self) -> IPv4Address:
        """Address of the host as the node and its pods see it."""
        return self.between[1]

    @property
    def node(self) -> IPv4Address:
        """Address of the node; the API server listens on its port 6443."""
        return self.between[2]

    @property
    def pods(self) -> IPv4Network:
        """Range of the pods."""
        return IPv4Network(f"10.202.{self.slot}.0/24")

    @property
    def services(self) -> IPv4Network:
        """Range of the cluster IPs. The API server gives itself the first."""
        return IPv4Network(f"10.203.{self.slot}.0/24")

    @property
    def dns(self) -> IPv4Address:
        """Cluster IP of the name service."""
        return self.services[10]


def free_networks(routes: Sequence[IPv4Network]) -> Iterator[Network]:
    """Give the slots none of whose ranges overlaps a route the host has, lowest first."""
    near = [route for route in routes if route.prefixlen >= _BROADEST_CONFLICT]
    for network in map(Network, SLOTS):
        ranges = (network.between, network.pods, network.services)
        if not any(mine.overlaps(other) for mine in ranges for other in near):
            yield network


def host_routes() -> list[IPv4Network]:
    """Give what the host routes somewhere, the default route left out."""
    said = subprocess.run(["ip", "-json", "-4", "route", "show"], check=True, capture_output=True, text=True).stdout
    rows: list[dict[str, Any]] = json.loads(said or "[]")
    return [IPv4Network(row["dst"]) for row in rows if row["dst"] != "default"]


def connect(pid: int) -> Network:
    """Connect the network namespace of a process with the host over the first free slot.

    Creating the link is what takes the slot, and it is atomic: of two runs at once, the later one takes the next.
    Raises `ClusterFailed` where no slot is free.
    """
    for network in free_networks(host_routes()):
        pair = ("link", "add", network.link, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        made = subprocess.run(["ip", *pair], check=False, capture_output=True, text=True)
        if made.returncode == 0:
            _route(network)
            return network
        if "File exists" not in made.stderr:
            raise ClusterFailed(f"The host cannot make a veth pair: {made.stderr.strip()}")
    raise ClusterFailed(
        f"All {len(SLOTS)} slots of addresses are taken. Remove a cluster: python3 -m dev.cluster down NAME"
    )


def _route(network: Network) -> None:
    ip("address", "add", f"{network.host}/{network.between.prefixlen}", "dev", network.link)
    ip("link", "set", network.link, "up")
    for reached in (network.pods, network.services):
        ip("route", "add", str(reached), "via", str(network.node), "dev", network.link)


def ip(*arguments: str) -> None:
    """Run one command of iproute2; its complaint, if any, is shown."""
    subprocess.run(["ip", *arguments], check=True)
