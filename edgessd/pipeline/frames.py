"""Frame: a captured picture with its source, number and time."""

from __future__ import annotations

from dataclasses import dataclass

from edgessd.core.arrays import ImageArray


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """A captured picture.

    Attributes:
        image: (height, width, 3) uint8 BGR.
        source: Name of the source: a path, or `camera 0`.
        index: Number of the frame in its source, from 0; dropped frames are counted.
        timestamp: Seconds: Unix time of capture for cameras and images, position in the file for videos.
        captured_at: `time.perf_counter()` at capture, from which the age of a result is computed. It is the
            driver's time of capture if the driver states one, otherwise the time of reading.
        stream: Number of the source in the pipeline, from 0.
    """

    image: ImageArray
    source: str
    index: int
    timestamp: float
    captured_at: float
    stream: int = 0

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.image.shape[1])

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.image.shape[0])
