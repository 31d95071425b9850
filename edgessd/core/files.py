"""Atomic writes, file hashes, and the cache folder."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp, mkstemp


def cache_directory() -> Path:
    """Return $EDGESSD_CACHE, else the user's cache folder of edgessd."""
    if chosen := os.environ.get("EDGESSD_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgessd"


def sha256_of(path: Path) -> str:
    """Compute the hex sha256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_atomically(path: Path, content: bytes | str, *, mode: int = 0o644) -> None:
    """Write a file under a temporary name and rename it, so that readers see the old or the new file."""
    with replacing(path, mode=mode) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def replacing(path: Path, *, mode: int = 0o644) -> Iterator[Path]:
    """Yield a temporary path with the same folder and suffix; rename it to `path` on success.

    On any error, Ctrl-C included, the temporary file is removed and `path` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_directory(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`; rename it to `path` on success.

    An older folder at `path` is removed only after the new one is complete.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(mkdtemp(dir=path.parent, prefix=f".{path.name}-"))
    try:
        yield temporary
        temporary.chmod(0o755)
        if path.exists():
            retired = Path(mkdtemp(dir=path.parent, prefix=f".{path.name}-old-"))
            path.replace(retired / path.name)
            temporary.replace(path)
            shutil.rmtree(retired)
        else:
            temporary.replace(path)
    finally:
        if temporary.exists():
            shutil.rmtree(temporary)


def sha256_of_set(hashes: Iterable[str]) -> str:
    """Compute the identity of a set of files: sha256 over their sorted hashes, one a line."""
    return hashlib.sha256("\n".join(sorted(hashes)).encode()).hexdigest()
