"""Images of a training or evaluation, decoded once as far as they fit in memory."""

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
        images: Images that the dataset lists.
        cache_mb: Memory for decoded images in MiB; at most a third of the free memory is used.
        progress: Called after each image that is read into the cache.

    Attributes:
        images: Images without those that were found to be unreadable.
        broken: One paragraph for each unreadable image.

    Raises:
        DataError: None of the images can be read.
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
                expected="at least one readable image",
                found=self.broken[0] if self.broken else "an empty list",
                fix="`edgessd data check` shows what the folder holds",
            )

    def __len__(self) -> int:
        return len(self.images)

    def read(self, index: int) -> NDArray[np.uint8]:
        """Return an image, (H, W, 3) uint8 BGR; the caller must not write to it."""
        cached = self._cache.get(index)
        return read_image(self.images[index].path) if cached is None else cached
