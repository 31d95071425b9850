"""A generated test pattern: `pattern:640x480@30`. It needs no camera, no file and no network."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator

import numpy as np

from edgessd.core.arrays import ImageArray
from edgessd.core.errors import SourceError
from edgessd.pipeline.frames import Frame
from edgessd.pipeline.sources.clock import moment

_TEXT = re.compile(r"(?:(?P<width>\d+)x(?P<height>\d+))?(?:@(?P<fps>\d+(?:\.\d+)?))?")
_LARGEST = 16384
# Marker 0 of OpenCV's dictionary DICT_4X4_50, row by row; 1 is white.
_MARKER = ("1011", "0101", "0011", "0010")


class PatternSource:
    """Printed codes and a ball that move over a colored background, for a detector to find.

    Frame n looks the same in every run. The pattern never ends.

    Args:
        text: `pattern:`, `pattern:WIDTHxHEIGHT`, `pattern:@FPS` or both. With a rate the pattern is live, as
            a camera: frames that aren't taken in time are dropped. Without one no frame is dropped.

    Raises:
        SourceError: The text has another form.
    """

    length: int | None = None

    def __init__(self, text: str = "pattern:") -> None:
        found = _TEXT.fullmatch(text.removeprefix("pattern:"))
        size = (int(found["width"] or 640), int(found["height"] or 480)) if found else (0, 0)
        fps = float(found["fps"]) if found and found["fps"] else None
        if not all(0 < side <= _LARGEST for side in size) or fps == 0:
            raise SourceError(
                f"{text} isn't a test pattern",
                expected=f"pattern:, pattern:640x480 or pattern:640x480@30, up to {_LARGEST} pixels a side",
                found=text.removeprefix("pattern:"),
            )
        self.name = text
        self.live = fps is not None
        self.fps = fps
        self.skipped: list[tuple[str, str]] = []
        self._ending = threading.Event()
        self._scene = Scene(*size)

    def __iter__(self) -> Iterator[Frame]:
        start = time.perf_counter()
        index = 0
        while not self._ending.is_set():
            if self.fps is not None:
                # A late reader gets the frame that is due now, as from a camera.
                index = max(index, int((time.perf_counter() - start) * self.fps))
                if self._ending.wait(max(0.0, start + index / self.fps - time.perf_counter())):
                    return
            at = moment()
            yield Frame(
                image=self._scene.draw(index),
                source=self.name,
                index=index,
                timestamp=at.timestamp,
                captured_at=at.captured_at,
            )
            index += 1

    def interrupt(self) -> None:
        """End the iteration soon. Any thread may call it."""
        self._ending.set()

    def close(self) -> None:
        self.interrupt()


class Scene:
    """Draws the pattern at any frame number.

    Args:
        width, height: Pixels.
    """

    def __init__(self, width: int, height: int) -> None:
        self._ground = _ground(width, height)
        side = min(width, height)
        printed = (
            (_printed(_qr_modules(), round(0.36 * side)), (2.3, 1.1), (0.15, 0.3)),
            (_printed(_marker_modules(), round(0.22 * side)), (1.7, 2.1), (0.8, 0.15)),
        )
        # A picture of a few pixels has no room for them.
        self._codes = [thing for thing in printed if thing[0].size]
        self._radius = round(0.06 * side)

    def draw(self, index: int) -> ImageArray:
        """Draw frame `index`: (height, width, 3) uint8 BGR, a new array."""
        import cv2

        canvas: ImageArray = self._ground.copy()
        height, width = canvas.shape[:2]
        for code, (speed_x, speed_y), (start_x, start_y) in self._codes:
            rows, columns = code.shape[:2]
            left = _bounce(index * speed_x, start_x, width - columns)
            top = _bounce(index * speed_y, start_y, height - rows)
            canvas[top : top + rows, left : left + columns] = code
        radius = self._radius
        if radius:
            middle = (
                radius + _bounce(3.1 * index, 0.6, width - 2 * radius),
                radius + _bounce(2.9 * index, 0.9, height - 2 * radius),
            )
            cv2.circle(canvas, middle, radius, (60, 90, 240), cv2.FILLED, cv2.LINE_AA)
        return canvas


def _bounce(distance: float, start: float, room: int) -> int:
    """Return the position in [0, room] after `distance` back and forth, from `start` as a fraction of it."""
    if room <= 0:
        return 0
    there = (start * room + distance) % (2 * room)
    return round(there if there <= room else 2 * room - there)


def _ground(width: int, height: int) -> ImageArray:
    """Draw a color gradient that shows if a picture was rotated or mirrored."""
    across = np.linspace(60, 190, width, dtype=np.float32)
    down = np.linspace(70, 170, height, dtype=np.float32)
    ground = np.empty((height, width, 3), np.uint8)
    ground[..., 0] = across[None, :]
    ground[..., 1] = down[:, None]
    ground[..., 2] = (across[::-1][None, :] + down[:, None]) / 2
    return ground


def _qr_modules() -> ImageArray:
    """Return the modules of a QR code with the text `edgessd`; 0 is black."""
    import cv2

    return np.asarray(cv2.QRCodeEncoder.create().encode("edgessd"), np.uint8)


def _marker_modules() -> ImageArray:
    """Return the modules of an ArUco marker with its black border and white margin; 0 is black."""
    inner = np.array([[int(bit) * 255 for bit in row] for row in _MARKER], np.uint8)
    return np.pad(np.pad(inner, 1, constant_values=0), 1, constant_values=255)


def _printed(modules: ImageArray, side: int) -> ImageArray:
    """Scale modules to a square of about `side` pixels, all of the same size; empty if too small."""
    scale = side // max(len(modules), 1)
    large = np.kron(modules, np.ones((scale, scale), np.uint8)) if scale else modules[:0, :0]
    return np.repeat(large[..., None], 3, axis=2)
