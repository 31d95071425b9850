"""Source of frames for a benchmark: images in memory, repeated in turn."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np

from edgessd.core.arrays import ImageArray
from edgessd.pipeline.frames import Frame


class LoopSource:
    """Repeats images in memory, so that no disk or decoder is part of the measurement.

    Args:
        images: (H, W, 3) uint8 BGR images, at least one.
        frames: Total number of frames.
        name: Name of the source.
    """

    live = False
    fps: float | None = None
    length: int | None

    def __init__(self, images: Sequence[ImageArray], *, frames: int, name: str) -> None:
        self.name = name
        self.length = self._frames = frames
        self.skipped: list[tuple[str, str]] = []
        self._images = tuple(images)

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self._frames):
            yield Frame(
                image=self._images[index % len(self._images)],
                source=self.name,
                index=index,
                timestamp=time.time(),
                captured_at=time.perf_counter(),
            )

    def close(self) -> None:
        """Do nothing: there is nothing to close."""


def pattern_image(width: int = 640, height: int = 480) -> ImageArray:
    """Make a color gradient under a checkerboard, (H, W, 3) uint8 BGR."""
    y, x = np.mgrid[0:height, 0:width]
    checker = ((x // 40 + y // 40) % 2) * 60
    channels = (x * 255 // width, y * 255 // height, 255 - x * 255 // width)
    pattern = np.stack([np.clip(channel - checker, 0, 255) for channel in channels], axis=-1)
    return pattern.astype(np.uint8)
