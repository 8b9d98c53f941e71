"""Which of several controllers works: the one that holds a Lease.

The Lease saves double work and nothing else: that no run is started twice is ensured by the names of Jobs, that no two
runs write by the lock in the database. Two rules make it safe all the same:

* Nobody compares clocks. A Lease is free when it has no holder, or when it was seen unchanged for its duration.
* Who cannot renew stops before others may think so, by ending the process: nothing goes on by accident.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from schema_operator.controller.connection import ApiError

DURATION_SECONDS = 30
RENEW_SECONDS = 10.0
GIVE_UP_SECONDS = 20.0
"""How long after its last renewal a holder stops; the rest of the duration is for what it has begun."""
LOOK_SECONDS = 5.0
"""How often others look whether it is free."""
RETRY_SECONDS = 2.0
_log = logging.getLogger(__name__)


class Leases(Protocol):
    """What is asked of the cluster."""

    async def lease(self, namespace: str, name: str) -> dict[str, Any] | None:
        """Read a Lease; None where there is none."""

    async def create_lease(self, manifest: dict[str, Any]) -> bool:
        """Create a Lease; False where another was quicker."""

    async def replace_lease(self, manifest: dict[str, Any]) -> bool:
        """Write a Lease that has not changed since it was read; False where it has."""


@dataclass(slots=True)
class Elector:
    """One controller's hold of a Lease."""

    namespace: str
    name: str
    identity: str
    """The name of the pod: when its container starts again, it is the same holder."""
    clock: Callable[[], float] = time.monotonic
    _seen: str = ""
    _since: float = 0.0
    _renewed: float = field(default=float("-inf"))

    async def take(self, leases: Leases) -> bool:
        """Take the Lease, or renew it; say whether it is held."""
        asked = self.clock()
        found = await leases.lease(self.namespace, self.name)
        if found is None:
            held = await leases.create_lease(self._manifest(None, self.identity))
        else:
            held = self._free(found) and await leases.replace_lease(self._manifest(found, self.identity))
        if held:
            self._renewed = asked
        return held

    async def wait(self, leases: Leases) -> None:
        """Wait until the Lease is held."""
        while True:
            try:
                if await self.take(leases):
                    return
            except ApiError as error:
                _log.warning("the Lease %s/%s could not be read or written: %s", self.namespace, self.name, error)
            await asyncio.sleep(LOOK_SECONDS)

    async def keep(self, leases: Leases) -> None:
        """Renew the Lease; return when it is lost, or could not be renewed for `GIVE_UP_SECONDS`."""
        while (left := self._left()) > 0:
            pause = RENEW_SECONDS
            try:
                if not await asyncio.wait_for(self.take(leases), left):
                    return
            except (ApiError, TimeoutError) as error:
                _log.warning("the Lease %s/%s could not be renewed: %s", self.namespace, self.name, error)
                pause = RETRY_SECONDS
            await asyncio.sleep(max(min(pause, self._left()), 0))

    async def release(self, leases: Leases) -> None:
        """Let the next one take it at once, if it is held."""
        found = await leases.lease(self.namespace, self.name)
        if found is not None and found["spec"].get("holderIdentity") == self.identity:
            await leases.replace_lease(self._manifest(found, ""))

    def _left(self) -> float:
        return self._renewed + GIVE_UP_SECONDS - self.clock()

    def _free(self, found: dict[str, Any]) -> bool:
        now, version = self.clock(), found["metadata"]["resourceVersion"]
        if version != self._seen:
            self._seen, self._since = version, now
        holder = found["spec"].get("holderIdentity") or ""
        duration = found["spec"].get("leaseDurationSeconds") or DURATION_SECONDS
        return holder in {"", self.identity} or now - self._since > duration

    def _manifest(self, before: dict[str, Any] | None, holder: str) -> dict[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        old = before["spec"] if before is not None else {}
        meta = before["metadata"] if before is not None else {"namespace": self.namespace, "name": self.name}
        same = old.get("holderIdentity") == holder
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": meta,
            "spec": {
                "holderIdentity": holder,
                "leaseDurationSeconds": DURATION_SECONDS,
                "acquireTime": old.get("acquireTime") if same else now,
                "renewTime": now,
                "leaseTransitions": (old.get("leaseTransitions") or 0) + (0 if same or not holder else 1),
            },
        }
