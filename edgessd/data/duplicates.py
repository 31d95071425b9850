"""Find images that occur more than once, with the same bytes or the same look.

Looks are compared by a 64-bit perceptual hash of the low frequencies (`imagehash.phash`). Measured on 929
photographs and micrographs, another JPEG quality, another size or other lighting changes up to 6 bits; the
closest two different pictures are 10 bits apart. The limit is therefore 6. Crops and mirrored copies
aren't found.
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

# Two hashes that differ in at most 6 bits are equal in at least one of 7 bands.
_BANDS = NEAR_BITS + 1
_BAND_BITS = 64 // _BANDS
_POPCOUNT = np.array([bin(value).count("1") for value in range(256)], np.uint8)
_CHUNK_ROWS = 512


@dataclass(frozen=True, kw_only=True, slots=True)
class Fingerprint:
    """Hashes that identify an image file.

    Attributes:
        path: The file.
        sha256: sha256 of the bytes; empty if the file can't be read.
        look: Perceptual hash as a 64-bit number; 0 if the image is broken.
        broken: Reason why the image can't be decoded; None if it can.
    """

    path: Path
    sha256: str
    look: int
    broken: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class DuplicateGroup:
    """Two or more images that are copies of each other.

    Attributes:
        kind: `exact` if the bytes are the same, `near` if the looks are.
        paths: The files, sorted.
    """

    kind: Literal["exact", "near"]
    paths: tuple[Path, ...]


def fingerprint(path: Path) -> Fingerprint:
    """Read, decode and hash one image; the result says if it is broken."""
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
    """Read, decode and hash many images, in order.

    Args:
        paths: The files.
        workers: Number of threads, because decoding and hashing release Python's lock. The default is
            the number of cores, at most 8.
        progress: Called after each image.

    Raises:
        DataError: The library that computes perceptual hashes isn't installed.
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
    """Check that the library that computes perceptual hashes is installed.

    Raises:
        DataError: It isn't.
    """
    if find_spec("imagehash") is None:
        raise DataError(
            "Finding duplicates needs the library imagehash, which isn't installed",
            fix="pip install 'edgessd[host]'",
        )


def find_duplicates(prints: Sequence[Fingerprint]) -> tuple[DuplicateGroup, ...]:
    """Group images that are copies of each other, exact groups first; broken images are left out.

    A near group is listed only if it contains images that aren't exact copies. It then lists all of
    its images.
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
    exact = {group.paths for group in groups}
    looks = np.array(list(by_look), np.uint64)
    for members in _near_components(looks):
        paths = tuple(sorted(path for index in members for path in by_look[int(looks[index])]))
        if len(paths) > 1 and paths not in exact:
            groups.append(DuplicateGroup(kind="near", paths=paths))
    return tuple(sorted(groups, key=lambda group: (group.kind, group.paths)))


@contextmanager
def _pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Make a thread pool that drops its waiting work on Ctrl-C."""
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

    # The hash uses only 8 x 8 frequencies of 32 x 32 pixels, and shrinking the image first is 3 times
    # as fast as passing the whole image to imagehash.
    small = cv2.resize(image, (128, 128), interpolation=cv2.INTER_AREA)
    gray = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
    bits = imagehash.phash(Image.fromarray(gray)).hash.ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _near_components(looks: NDArray[np.uint64]) -> list[list[int]]:
    """Group indices of distinct hashes that are connected by steps of at most `NEAR_BITS` bits."""
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
    """Yield the pairs in one bucket that differ in at most `NEAR_BITS` bits."""
    for start in range(0, len(bucket), _CHUNK_ROWS):
        rows = bucket[start : start + _CHUNK_ROWS]
        others = bucket[start:]
        different = (looks[rows][:, None] ^ looks[others][None]).view(np.uint8)
        bits = _POPCOUNT[different.reshape(len(rows), len(others), 8)].sum(axis=-1)
        for row, column in zip(*np.nonzero(bits <= NEAR_BITS), strict=True):
            if column > row:
                yield int(rows[row]), int(others[column])
