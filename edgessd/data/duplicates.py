"""Images that occur more than once: byte for byte, or to the eye.

The eye's measure is the 64-bit perceptual hash of the low frequencies (`imagehash.phash`). Measured on
929 photographs and micrographs: another JPEG quality, another size or other lighting moves it by up to
6 bits; the closest two different pictures are 10 bits apart. So 6 is the limit. A crop or a mirrored
copy is not found.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgessd.core.errors import DataError
from edgessd.core.images import decode_image
from edgessd.core.union_find import UnionFind

NEAR_BITS = 6

# Two hashes that differ in at most 6 bits agree in at least one of 7 bands.
_BANDS = NEAR_BITS + 1
_BAND_BITS = 64 // _BANDS
_POPCOUNT = np.array([bin(value).count("1") for value in range(256)], np.uint8)
_CHUNK_ROWS = 512


@dataclass(frozen=True, kw_only=True, slots=True)
class Fingerprint:
    """What identifies an image file.

    Attributes:
        path: The file.
        sha256: Of its bytes; empty where it can't be read at all.
        look: Its perceptual hash as a 64-bit number; 0 where it is broken.
        broken: Why it doesn't decode, else None.
    """

    path: Path
    sha256: str
    look: int
    broken: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class DuplicateGroup:
    """Images that are copies of each other, at least two.

    Attributes:
        kind: `exact` (the same bytes) or `near` (they look the same).
        paths: The files, sorted.
    """

    kind: Literal["exact", "near"]
    paths: tuple[Path, ...]


def fingerprint(path: Path) -> Fingerprint:
    """Read, decode and hash one image; a broken one is told, not raised."""
    try:
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
    except OSError as error:
        return Fingerprint(path=path, sha256="", look=0, broken=error.strerror or str(error))
    try:
        image = decode_image(content, path)
    except DataError as error:
        return Fingerprint(path=path, sha256=digest, look=0, broken=error.found or error.problem)
    return Fingerprint(path=path, sha256=digest, look=perceptual_hash(image), broken=None)


def fingerprints(
    paths: Sequence[Path], *, workers: int | None = None, progress: Callable[[], None] | None = None
) -> list[Fingerprint]:
    """Fingerprint many images, in order.

    Args:
        paths: The files.
        workers: Threads; decoding and hashing run outside Python's lock. By default one a core, at
            most 8.
        progress: Called after each image.

    Raises:
        DataError: if the library that hashes isn't installed.
    """
    require_imagehash()
    with _pool(workers or min(8, os.cpu_count() or 1)) as pool:
        found = []
        for item in pool.map(fingerprint, paths):
            found.append(item)
            if progress is not None:
                progress()
        return found


def require_imagehash() -> None:
    """Raise `DataError` if the library that computes perceptual hashes isn't installed."""
    if find_spec("imagehash") is None:
        raise DataError(
            "Finding duplicates needs the library imagehash, which isn't installed",
            fix="pip install 'edgessd[host]'",
        )


def find_duplicates(prints: Sequence[Fingerprint]) -> tuple[DuplicateGroup, ...]:
    """Groups of images that are copies of each other, exact ones first; broken ones take no part.

    A near group is told only where it joins images that aren't exact copies; it then names all.
    """
    whole = [item for item in prints if item.broken is None]
    by_bytes: dict[str, list[Path]] = {}
    by_look: dict[int, list[Path]] = {}
    for item in whole:
        by_bytes.setdefault(item.sha256, []).append(item.path)
        by_look.setdefault(item.look, []).append(item.path)
    groups = [
        DuplicateGroup(kind="exact", paths=tuple(sorted(paths)))
        for paths in by_bytes.values()
        if len(paths) > 1
    ]
    told = {group.paths for group in groups}
    looks = np.array(list(by_look), np.uint64)
    for members in _near_components(looks):
        paths = tuple(sorted(path for index in members for path in by_look[int(looks[index])]))
        if len(paths) > 1 and paths not in told:
            groups.append(DuplicateGroup(kind="near", paths=paths))
    return tuple(sorted(groups, key=lambda group: (group.kind, group.paths)))


@contextmanager
def _pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Threads whose waiting work is dropped on Ctrl-C."""
    pool = ThreadPoolExecutor(workers)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def perceptual_hash(image: NDArray[np.uint8]) -> int:
    """Return the 64-bit perceptual hash of a BGR image."""
    import cv2
    import imagehash
    from PIL import Image

    # Shrinking first is 3 times faster than handing imagehash the photo, and the hash looks at
    # 8 x 8 frequencies of 32 x 32 pixels only.
    small = cv2.resize(image, (128, 128), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
    bits = imagehash.phash(Image.fromarray(grey)).hash.ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _near_components(looks: NDArray[np.uint64]) -> list[list[int]]:
    """Indices of distinct hashes joined by steps of at most `NEAR_BITS`, one list a component."""
    sets = UnionFind(range(len(looks)))
    for band in range(_BANDS):
        key = (looks >> np.uint64(band * _BAND_BITS)) & np.uint64((1 << _BAND_BITS) - 1)
        order = np.argsort(key, kind="stable")
        edges = np.flatnonzero(np.diff(key[order])) + 1
        for bucket in np.split(order, edges):
            for first, second in _near_pairs(looks, bucket):
                sets.join(first, second)
    return sets.groups()


def _near_pairs(looks: NDArray[np.uint64], bucket: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Pairs within one bucket that differ in at most `NEAR_BITS` bits."""
    for start in range(0, len(bucket), _CHUNK_ROWS):
        rows = bucket[start : start + _CHUNK_ROWS]
        others = bucket[start:]
        different = (looks[rows][:, None] ^ looks[others][None]).view(np.uint8)
        bits = _POPCOUNT[different.reshape(len(rows), len(others), 8)].sum(axis=-1)
        for row, column in zip(*np.nonzero(bits <= NEAR_BITS), strict=True):
            if column > row:
                yield int(rows[row]), int(others[column])
