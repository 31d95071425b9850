"""One picture on its way through the pipeline."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """A captured picture.

    Attributes:
        image: (height, width, 3) uint8 BGR.
        source: Name of where it comes from: a path, or `camera 0`.
        index: Counts from 0, dropped frames included.
        timestamp: Seconds. Unix time of capture for a camera and for images, the position in the
            file for a video.
        captured_at: `time.perf_counter()` at capture, for how old a result is: when the driver had the
            picture where it tells, else when it was read.
        stream: Number of the source among those that the pipeline reads.
    """

    image: Image
    source: str
    index: int
    timestamp: float
    captured_at: float
    stream: int = 0

    @property
    def width(self) -> int:
        """Pixels."""
        return int(self.image.shape[1])

    @property
    def height(self) -> int:
        """Pixels."""
        return int(self.image.shape[0])
