"""Certificates: one of a server, of the authority that signed it, and of another one."""

from __future__ import annotations

import subprocess
from pathlib import Path


def make_certificates(folder: Path, subject: str) -> None:
    """Write right.crt and wrong.crt, two authorities, and server.crt with server.key for a subjectAltName."""
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for name in ("right", "wrong"):
        files = ("-keyout", f"{name}.key", "-out", f"{name}.crt")
        _openssl(folder, "req", "-x509", *key, *files, "-subj", f"/CN={name} authority", "-days", "2")
    _openssl(folder, "req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=server")
    (folder / "san").write_text(f"subjectAltName={subject}")
    authority = ("-CA", "right.crt", "-CAkey", "right.key", "-CAcreateserial")
    _openssl(folder, "x509", "-req", "-in", "server.csr", *authority, "-extfile", "san", "-out", "server.crt")


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
