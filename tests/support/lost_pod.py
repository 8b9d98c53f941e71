"""A pod that the network takes away, as it does with the pods of a node that is lost: nobody hears of it again."""

from __future__ import annotations

import json
import time
from typing import Any

from support.operator import Shop, kubectl_json

_TAKE_DOWN = """
import fcntl, socket, struct
SIOCSIFFLAGS = 0x8914
fcntl.ioctl(socket.socket(), SIOCSIFFLAGS, struct.pack("16sh", b"eth0", 0))
"""
_PATIENCE_SECONDS = 30.0


def take_network_away(shop: Shop, pod: str) -> None:
    """Take down the interface of a pod, so that not even the end of a connection leaves it any more.

    A container that is added to the pod does it: it is in the pod's network, and unlike the runner it may.
    """
    manifest = _pod(shop, pod)
    manifest["spec"]["ephemeralContainers"] = [
        {
            "name": "take-down",
            "image": manifest["spec"]["containers"][0]["image"],
            "command": ["python3", "-c", _TAKE_DOWN],
            "securityContext": {
                "runAsUser": 0,
                "runAsNonRoot": False,
                "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]},
            },
        }
    ]
    path = f"/api/v1/namespaces/{shop.namespace}/pods/{pod}/ephemeralcontainers"
    shop.kubectl("replace", "--raw", path, "-f", "-", input=json.dumps(manifest))
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (code := _exit_code(_pod(shop, pod))) is None:
        assert time.monotonic() < deadline, "the container that takes the network down does not start"
        time.sleep(0.1)
    assert code == 0


def _pod(shop: Shop, pod: str) -> Any:
    return kubectl_json(shop.cluster, "-n", shop.namespace, "get", "pod", pod)


def _exit_code(pod: Any) -> int | None:
    ended = [one["state"]["terminated"] for one in _states(pod) if "terminated" in one["state"]]
    return int(ended[0]["exitCode"]) if ended else None


def _states(pod: Any) -> list[dict[str, Any]]:
    return list(pod["status"].get("ephemeralContainerStatuses", []))
