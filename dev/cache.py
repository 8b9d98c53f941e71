"""Where developer tools keep what is expensive to make: outside the checkout, named by what it was made from."""

from __future__ import annotations

import fcntl
import hashlib
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CHECKOUT = Path(__file__).resolve().parents[1]


def cache() -> Path:
    """Give the cache's folder, made if absent: `$SCHEMA_OPERATOR_CACHE`, or `schema-operator` in the user's cache."""
    named = os.environ.get("SCHEMA_OPERATOR_CACHE")
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(named) if named else user / "schema-operator"
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def environment(**settings: str) -> dict[str, str]:
    """Give this process's environment with some settings changed, and with a HOME even where there is none.

    Without it, Go does not start and kubectl keeps its cache in the current folder.
    """
    return {"HOME": str(Path.home()), **os.environ, **settings}


def digest(files: Iterable[Path], *words: str) -> str:
    """Give 16 hexadecimal digits that stand for the files' names and contents and the words.

    Names are taken relative to the checkout, so that two checkouts of the same sources share what is cached.
    """
    total = hashlib.sha256()
    for file in sorted(files):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        total.update(f"{file.relative_to(CHECKOUT)} {content}\n".encode())
    for word in words:
        total.update(f"{word}\n".encode())
    return total.hexdigest()[:16]


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the machine-wide lock of that name; it falls with the process, however that ends."""
    folder = cache() / "locks"
    folder.mkdir(exist_ok=True)
    with (folder / name).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def replace(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file so that a reader finds the old text or the new one, never a part."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.touch(mode=mode)
    draft.write_text(text)
    draft.rename(path)
