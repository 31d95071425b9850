"""Detection of a frozen picture: frames come, but no pixel changes, because the camera hangs."""

from __future__ import annotations

import numpy as np

from edgessd.core.arrays import ImageArray
from edgessd.pipeline.frames import Frame

# Stride of the pixels compared first; they differ in nearly all frames of a working camera.
_STRIDE = 16
_LONGEST_ALLOWED = 3600.0


class FrozenPicture:
    """Notices frames that are identical for too long.

    The noise of a sensor changes some pixel in every frame. Dark pictures and some encoders of a still scene
    are an exception. So each time that the source gives the same picture after it was opened again, the
    allowed time doubles, up to an hour.

    Args:
        seconds: Allowed time without a change; 0 allows any.
    """

    def __init__(self, seconds: float) -> None:
        self._shortest = seconds
        self._allowed = seconds
        self._image: ImageArray | None = None
        self._since = 0.0

    def update(self, frame: Frame) -> float | None:
        """Compare the next frame; return the seconds without a change if they are too long, else None."""
        if not self._shortest:
            return None
        if self._image is None or not _identical(frame.image, self._image):
            if self._image is not None:
                self._allowed = self._shortest
            self._image, self._since = frame.image, frame.captured_at
            return None
        still = frame.captured_at - self._since
        if still < self._allowed:
            return None
        self._allowed = min(2 * self._allowed, _LONGEST_ALLOWED)
        # The picture is kept for comparison with the first one after the source was opened again.
        self._since = frame.captured_at
        return still


def _identical(a: ImageArray, b: ImageArray) -> bool:
    if a.shape != b.shape:
        return False
    quick = np.array_equal(a[::_STRIDE, ::_STRIDE], b[::_STRIDE, ::_STRIDE])
    return quick and np.array_equal(a, b)
