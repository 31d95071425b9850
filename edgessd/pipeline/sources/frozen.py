"""A picture that stands still in every pixel: the camera hangs though frames still come."""

from __future__ import annotations

import numpy as np

from edgessd.pipeline.frames import Frame, Image

# Compared first: enough of a picture to tell two frames of a camera that works apart.
_STRIDE = 16
_MOST_PATIENCE = 3600.0


class FrozenPicture:
    """Tells when frames have been identical for too long.

    A sensor's noise changes some pixel of every frame. Dark pictures and some encoders on a still scene
    don't, so each time that opening anew brought the same picture again the patience doubles, up to an
    hour.

    Args:
        seconds: How long a picture may stand still; 0 switches the watch off.
    """

    def __init__(self, seconds: float) -> None:
        self._least = seconds
        self._patience = seconds
        self._image: Image | None = None
        self._since = 0.0

    def sees(self, frame: Frame) -> float | None:
        """Take the next frame; seconds for which the picture has stood still, if that is too long."""
        if not self._least:
            return None
        if self._image is None or not _identical(frame.image, self._image):
            if self._image is not None:
                self._patience = self._least
            self._image, self._since = frame.image, frame.captured_at
            return None
        still = frame.captured_at - self._since
        if still < self._patience:
            return None
        self._patience = min(2 * self._patience, _MOST_PATIENCE)
        # The picture stays for comparison: the same one again after opening isn't worth another try soon.
        self._since = frame.captured_at
        return still


def _identical(a: Image, b: Image) -> bool:
    if a.shape != b.shape:
        return False
    quick = np.array_equal(a[::_STRIDE, ::_STRIDE], b[::_STRIDE, ::_STRIDE])
    return quick and np.array_equal(a, b)
