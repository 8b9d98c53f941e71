"""The parts of a node as values: how each is started, how it shows that it works, and its configuration."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dev.cluster.cgroups import cgroup_root

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from dev.cluster.layout import Layout
    from dev.cluster.network import Network

SOCKET = "/run/containerd/containerd.sock"
PAUSE = "localhost/pause:1"
# The command line that works on the kubelet's images, within the node.
CTR = ("ctr", "--address", SOCKET, "--namespace", "k8s.io")
ETCD = "http://127.0.0.1:2379"
# Everything runs in the cluster's own network namespace, so every cluster uses the same, usual ports.
API_PORT = 6443

# Who may talk to the API server, by bearer token: user, groups.
USERS: Mapping[str, tuple[str, str]] = {
    "admin": ("kubernetes-admin", "system:masters"),
    "controller-manager": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
    "proxy": ("system:kube-proxy", ""),
    "dns": ("dns", "system:masters"),
    "kubelet": ("system:node:{node}", "system:nodes"),
}


@dataclass(frozen=True, slots=True)
class Part:
    """One long-running program of the node. It works when `health` answers 200, or as a path, is there."""

    name: str
    command: tuple[str, ...]
    health: str


@dataclass(frozen=True, slots=True)
class Node:
    """What the parts of one cluster are configured from."""

    layout: Layout
    network: Network
    programs: Path
    snapshotter: str

    @property
    def name(self) -> str:
        """Name of the Node object."""
        return self.layout.name

    @property
    def server(self) -> str:
        """URL of the API server, the same from the host, the node and its pods."""
        return f"https://{self.network.node}:{API_PORT}"

    def localkube(self, part: str, **flags: str | int | bool | Path) -> tuple[str, ...]:
        """Give the command line of one of our binary's roles."""
        return (str(self.programs / "localkube"), part, *_flags(flags))


def first_parts(node: Node) -> tuple[Part, ...]:
    """Give the parts that need no other."""
    etcd = node.localkube(
        "etcd",
        data_dir=node.layout.var("lib/etcd"),
        # A development cluster is thrown away with its machine, so nothing is won by waiting for the disk.
        unsafe_no_fsync=True,
        listen_client_urls=ETCD,
        advertise_client_urls=ETCD,
        listen_peer_urls="http://127.0.0.1:2380",
    )
    containerd = ("containerd", "--config", str(node.layout.etc / "containerd.toml"))
    return Part("etcd", etcd, f"{ETCD}/health"), Part("containerd", containerd, SOCKET)


def api_server(node: Node) -> Part:
    """Give the API server. It makes its own certificate, for its addresses and its Service's names."""
    etc = node.layout.etc
    command = node.localkube(
        "apiserver",
        etcd_servers=ETCD,
        cert_dir=etc / "pki",
        secure_port=API_PORT,
        bind_address="0.0.0.0",  # noqa: S104 - all interfaces of the cluster's own network namespace
        advertise_address=str(node.network.node),
        service_cluster_ip_range=str(node.network.services),
        allow_privileged=True,
        enable_admission_plugins="NodeRestriction",
        authorization_mode="Node,RBAC",
        token_auth_file=etc / "tokens.csv",
        service_account_issuer="https://kubernetes.default.svc",
        service_account_key_file=etc / "pki/service-account.key",
        service_account_signing_key_file=etc / "pki/service-account.key",
        kubelet_preferred_address_types="InternalIP",
    )
    return Part("apiserver", command, f"https://127.0.0.1:{API_PORT}/readyz")


def other_parts(node: Node) -> tuple[Part, ...]:
    """Give the parts that need the API server."""
    return (_controller_manager(node), _scheduler(node), _kubelet(node), _proxy(node), _dns(node))


def _controller_manager(node: Node) -> Part:
    command = node.localkube(
        "controller-manager",
        kubeconfig=kubeconfig_file(node.layout, "controller-manager"),
        root_ca_file=node.layout.certificate,
        service_account_private_key_file=node.layout.etc / "pki/service-account.key",
        use_service_account_credentials=True,
        leader_elect=False,
    )
    return Part("controller-manager", command, "https://127.0.0.1:10257/healthz")


def _scheduler(node: Node) -> Part:
    command = node.localkube("scheduler", kubeconfig=kubeconfig_file(node.layout, "scheduler"), leader_elect=False)
    return Part("scheduler", command, "https://127.0.0.1:10259/healthz")


def _kubelet(node: Node) -> Part:
    command = node.localkube(
        "kubelet",
        config=node.layout.etc / "kubelet.json",
        kubeconfig=kubeconfig_file(node.layout, "kubelet"),
        hostname_override=node.name,
        node_ip=str(node.network.node),
        cert_dir=node.layout.etc / "pki/kubelet",
    )
    return Part("kubelet", command, "http://127.0.0.1:10248/healthz")


def _proxy(node: Node) -> Part:
    command = node.localkube("proxy", config=node.layout.etc / "proxy.json")
    return Part("proxy", command, "http://127.0.0.1:10256/livez")


def _dns(node: Node) -> Part:
    command = (*node.localkube("dns"), "-conf", str(node.layout.etc / "Corefile"))
    return Part("dns", command, f"http://{node.network.node}:8181/ready")


def kubeconfig_file(layout: Layout, user: str) -> Path:
    """Give the place of a user's kubeconfig within the node."""
    return layout.etc / f"{user}.kubeconfig"


def configuration(node: Node, tokens: Mapping[str, str]) -> dict[str, str]:
    """Give the text of every file below `etc`, by its name. All but the Corefile and the CSV are JSON or TOML."""
    files = {
        "tokens.csv": _tokens_csv(node, tokens),
        "containerd.toml": _containerd(node),
        "cni/10-pods.conflist": json.dumps(_pod_network(node)),
        "kubelet.json": json.dumps(_kubelet_configuration(node)),
        "proxy.json": json.dumps(_proxy_configuration(node)),
        "Corefile": _corefile(node),
        # Empty, so that a pod's names are not searched in the domains of the machine it happens to run on.
        "resolv.conf": "",
    }
    authority = {"certificate-authority": str(node.layout.certificate)}
    for user, token in tokens.items():
        files[kubeconfig_file(node.layout, user).name] = kubeconfig(node, token, authority)
    return files


def kubeconfig(node: Node, token: str, authority: Mapping[str, str]) -> str:
    """Give a kubeconfig whose context is `schema-operator-NAME`; `authority` says how the server is recognised."""
    name = context_name(node.name)
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": {"server": node.server, **authority}}],
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "current-context": name,
        },
        indent=2,
    )


def context_name(cluster: str) -> str:
    """Give the name of the kubectl context of a local cluster."""
    return f"schema-operator-{cluster}"


def name_service(node: Node) -> tuple[tuple[str, dict[str, object]], ...]:
    """Give the objects that make CoreDNS, which runs beside the kubelet, a Service: path in the API, object."""
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]
    service: dict[str, object] = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kube-dns"},
        "spec": {"clusterIP": str(node.network.dns), "ports": ports},
    }
    endpoints: dict[str, object] = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "kube-dns", "labels": {"kubernetes.io/service-name": "kube-dns"}},
        "addressType": "IPv4",
        "ports": ports,
        "endpoints": [{"addresses": [str(node.network.node)]}],
    }
    return (
        ("/api/v1/namespaces/kube-system/services", service),
        ("/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices", endpoints),
    )


def _flags(flags: Mapping[str, str | int | bool | Path]) -> tuple[str, ...]:
    return tuple(
        f"--{name.replace('_', '-')}={str(value).lower() if isinstance(value, bool) else value}"
        for name, value in flags.items()
    )


def _tokens_csv(node: Node, tokens: Mapping[str, str]) -> str:
    rows = []
    for name, token in tokens.items():
        user, groups = USERS[name]
        rows.append(f"{token},{user.format(node=node.name)},{name}" + (f',"{groups}"' if groups else ""))
    return "\n".join(rows) + "\n"


def _containerd(node: Node) -> str:
    return f"""version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "{SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{node.layout.etc}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{node.snapshotter}"
"""


def _pod_network(node: Node) -> dict[str, object]:
    # A veth pair for each pod and routes between them. Through a bridge, a Service's answer could reach a pod past the
    # node's address translation where the br_netfilter module is absent.
    addresses = {
        "type": "host-local",
        "dataDir": "/run/pod-addresses",
        "ranges": [[{"subnet": str(node.network.pods)}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [{"type": "ptp", "ipMasq": False, "ipam": addresses}]}


def _kubelet_configuration(node: Node) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": str(node.network.node),
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup_root(node.layout.name),
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "failCgroupV1": False,
        "containerRuntimeEndpoint": f"unix://{SOCKET}",
        "clusterDNS": [str(node.network.dns)],
        "clusterDomain": "cluster.local",
        "resolvConf": str(node.layout.etc / "resolv.conf"),
        "makeIPTablesUtilChains": False,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        # Images come from no registry, so one that was collected would be gone for good.
        "imageGCHighThresholdPercent": 100,
    }


def _proxy_configuration(node: Node) -> dict[str, object]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(kubeconfig_file(node.layout, "proxy"))},
        "mode": "nftables",
        "clusterCIDR": str(node.network.pods),
        "hostnameOverride": node.name,
        # Connection tracking limits belong to the machine.
        "conntrack": {"maxPerCore": 0, "min": 0},
    }


def _corefile(node: Node) -> str:
    """No cache, so that a Service can be looked up as soon as it exists; names outside the cluster do not exist."""
    return f""".:53 {{
  bind {node.network.node}
  errors
  ready :8181
  kubernetes cluster.local in-addr.arpa {{
    kubeconfig {kubeconfig_file(node.layout, "dns")}
  }}
  template ANY ANY . {{
    rcode NXDOMAIN
  }}
}}
"""
