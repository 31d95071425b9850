"""The images of a training or evaluation, decoded once while they fit in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import psutil
from numpy.typing import NDArray

from edgessd.core.errors import DataError
from edgessd.core.images import read_image
from edgessd.metrics.ground_truth import LabeledImage


class Photos:
    """Readable images with their ground truth.

    Args:
        images: What the dataset lists.
        cache_mb: Most memory for decoded images; a third of what is free is never exceeded.
        progress: Called after each image that is read at the start.

    Attributes:
        images: Those that can be read, as far as it is known; the cached ones have been read.
        broken: One paragraph for each image that can't.
    """

    def __init__(
        self,
        images: Sequence[LabeledImage],
        *,
        cache_mb: int,
        progress: Callable[[], None] | None = None,
    ) -> None:
        budget = min(cache_mb * 2**20, psutil.virtual_memory().available // 3)
        self.broken: list[str] = []
        self.images: list[LabeledImage] = []
        self._cache: dict[int, NDArray[np.uint8]] = {}
        used = 0
        for image in images:
            if used < budget:
                try:
                    pixels = read_image(image.path)
                except DataError as error:
                    self.broken.append(error.paragraph())
                    continue
                finally:
                    if progress:
                        progress()
                self._cache[len(self.images)] = pixels
                used += pixels.nbytes
            self.images.append(image)
        if not self.images:
            raise DataError(
                "None of the images can be read",
                expected="at least one",
                found=self.broken[0] if self.broken else "an empty list",
                fix="Run `edgessd data check` on the folder",
            )

    def __len__(self) -> int:
        return len(self.images)

    def read(self, index: int) -> NDArray[np.uint8]:
        """One image, (H, W, 3) uint8 BGR; not to be written to."""
        cached = self._cache.get(index)
        return read_image(self.images[index].path) if cached is None else cached
