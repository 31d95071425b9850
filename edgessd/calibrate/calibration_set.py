"""`CalibrationSet`: the images of a calibration, each hashed and decoded once.

Export, calibration, audit, parity gate and every report use the same set, so that each image is read once
for all of them. The set doesn't hold the pixels of a thousand photos: see `CalibrationSet`.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edgessd.core.contract import Preprocess
from edgessd.core.errors import DataError
from edgessd.core.images import decode_image
from edgessd.core.preprocess import fit_image
from edgessd.data.duplicates import Fingerprint, perceptual_hash, require_imagehash

Pixels = NDArray[np.uint8]
Item = TypeVar("Item")

SAMPLES = 32
"""Images whose pixels at the network's size stay in memory, 9 MB at 300x300."""

PHOTO_BYTES = 256 * 2**20
"""Memory for the whole photos that `CalibrationSet.keep` names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownDataset:
    """Labeled dataset that calibration images belong to, as far as the audit needs it.

    Attributes:
        name: Name for messages.
        trained: Number of boxes of each label that the detector is trained on.
        calibrated: Number of boxes of each label in the calibration images.
        evaluation: Images that the detector is evaluated on, by split.
    """

    name: str
    trained: Mapping[str, int]
    calibrated: Mapping[str, int]
    evaluation: Mapping[str, tuple[Path, ...]]


@dataclass(slots=True)
class _Entry:
    """State of one image; `lock` guards it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    sha256: str | None = None
    fingerprint: Fingerprint | None = None
    error: DataError | None = None
    photo: Pixels | None = None
    fitted: tuple[Preprocess, Pixels] | None = None


class CalibrationSet:
    """Images of a calibration: their paths, hashes, fingerprints and pixels.

    Every method may be called by several threads. A file is hashed once and decoded once, with two
    exceptions that keep memory constant for any number of images: pixels at the network's size stay for
    `SAMPLES` images, spread evenly, and whole photos stay for those that `keep` names, up to `PHOTO_BYTES`.
    Any other image is decoded again when its pixels are asked for again.

    Args:
        paths: Image files, in any order.
        source: Description of where they come from.
        dataset: Dataset that they belong to; None for unlabeled photos.

    Attributes:
        paths: Files, sorted, each once.
    """

    def __init__(
        self, paths: Iterable[Path], *, source: str = "", dataset: KnownDataset | None = None
    ) -> None:
        self.paths: tuple[Path, ...] = tuple(sorted(set(paths)))
        self.source = source
        self.dataset = dataset
        self._entries = {path: _Entry() for path in self.paths}
        self._sampled = frozenset(evenly(self.paths, SAMPLES))
        self._kept: frozenset[Path] = frozenset()
        self._free = PHOTO_BYTES
        self._free_lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.paths)

    def with_dataset(self, dataset: KnownDataset) -> CalibrationSet:
        """Return the same images as part of a dataset."""
        return CalibrationSet(self.paths, source=self.source, dataset=dataset)

    def keep(self, paths: Iterable[Path]) -> None:
        """Hold the whole photos of these files in memory from their first decoding on."""
        self._kept |= frozenset(paths)

    def sha256(self, path: Path) -> str:
        """Return the hex sha256 of a file; empty if the file can't be read."""
        entry = self._entries[path]
        with entry.lock:
            if entry.sha256 is None:
                with suppress(DataError):
                    _read(path, entry)
            return entry.sha256 or ""

    def photo(self, path: Path) -> Pixels:
        """Return the decoded image (height, width, 3), uint8 BGR.

        Raises:
            DataError: The file can't be read or decoded.
        """
        entry = self._entries[path]
        with entry.lock:
            return self._photo(path, entry)

    def network_pixels(self, path: Path, preprocess: Preprocess) -> Pixels:
        """Return the image at the network's size (H, W, 3), uint8, channels as the network wants them.

        Raises:
            DataError: The file can't be read or decoded.
        """
        entry = self._entries[path]
        with entry.lock:
            if entry.fitted is not None and _same_pixels(entry.fitted[0], preprocess):
                return entry.fitted[1]
            pixels, _ = fit_image(self._photo(path, entry), preprocess)
            if path in self._sampled:
                entry.fitted = (preprocess, pixels)
            return pixels

    def fingerprint(self, path: Path) -> Fingerprint:
        """Return the fingerprint of an image; one that can't be decoded has a reason in `broken`."""
        entry = self._entries[path]
        with entry.lock:
            if entry.fingerprint is None:
                try:
                    self._photo(path, entry)
                except DataError as error:
                    entry.fingerprint = Fingerprint(
                        path=path,
                        sha256=entry.sha256 or "",
                        look=0,
                        broken=error.found or error.problem,
                    )
            assert entry.fingerprint is not None
            return entry.fingerprint

    def fingerprints(self) -> list[Fingerprint]:
        """Return the fingerprints of all images, in order.

        Raises:
            DataError: The library imagehash isn't installed.
        """
        require_imagehash()
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            return list(pool.map(self.fingerprint, self.paths))

    def _photo(self, path: Path, entry: _Entry) -> Pixels:
        if entry.photo is not None:
            return entry.photo
        if entry.error is not None:
            raise entry.error
        content = _read(path, entry)
        try:
            photo = decode_image(content, path)
        except DataError as error:
            entry.error = error
            raise
        if entry.fingerprint is None:
            look = perceptual_hash(photo)
            entry.fingerprint = Fingerprint(
                path=path, sha256=entry.sha256 or "", look=look, broken=None
            )
        if path in self._kept and self._reserve(photo.nbytes):
            entry.photo = photo
        return photo

    def _reserve(self, size: int) -> bool:
        with self._free_lock:
            if size > self._free:
                return False
            self._free -= size
            return True


def evenly(items: Sequence[Item], count: int) -> list[Item]:
    """Return up to `count` items, spread evenly: neighbors are often frames of one scene."""
    if len(items) <= count:
        return list(items)
    return [items[index * len(items) // count] for index in range(count)]


def _read(path: Path, entry: _Entry) -> bytes:
    """Read a file, and hash it if that wasn't done before."""
    try:
        content = path.read_bytes()
    except OSError as error:
        entry.sha256 = ""
        entry.error = DataError(f"Cannot read the image {path}: {error.strerror or error}")
        raise entry.error from error
    if entry.sha256 is None:
        entry.sha256 = hashlib.sha256(content).hexdigest()
    return content


def _same_pixels(first: Preprocess, second: Preprocess) -> bool:
    """Tell whether two preprocessings fit an image to the same pixels; mean and std come later."""
    fields = ("width", "height", "resize", "color", "fill")
    return all(getattr(first, name) == getattr(second, name) for name in fields)
