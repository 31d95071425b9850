"""Modes of a camera, and the choice of the one nearest to a request."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgessd.core.errors import SourceError

# Formats that OpenCV's Video4Linux reader converts to BGR, the cheapest first. Motion JPEG costs decoding
# time, but its large pictures pass through a USB 2 cable that is too slow for raw ones.
DECODABLE = (
    "BGR3", "RGB3", "YUYV", "UYVY", "YVYU", "NV12", "NV21", "YU12", "YV12", "GREY", "Y16 ", "MJPG", "JPEG",
)  # fmt: skip
_RAW_WITH_COLOR = DECODABLE[: DECODABLE.index("GREY")]

# Enough for any detector here; every camera has this mode or a similar one.
_DEFAULT_SIZE = (640, 480)
_DEFAULT_FPS = 30.0
# Drivers state 29.97 or 30.00003 instead of 30.
_RATE_TOLERANCE = 0.98


@dataclass(frozen=True, kw_only=True, slots=True)
class CameraMode:
    """Format, size and rates in which a camera gives pictures.

    Attributes:
        pixel_format: Four characters, such as `MJPG` or `YUYV`.
        width, height: Size in pixels.
        rates: Frames per second of this size; () if the driver doesn't list them.
    """

    pixel_format: str
    width: int
    height: int
    rates: tuple[float, ...] = ()

    @property
    def usable(self) -> bool:
        """True if OpenCV can decode the format."""
        return self.pixel_format in DECODABLE

    def nearest_rate(self, fps: float) -> float | None:
        """Return the rate nearest to `fps`; of two equally near ones the higher."""
        return min(self.rates, key=lambda rate: (abs(rate - fps), -rate), default=None)

    def __str__(self) -> str:
        rates = "/".join(f"{rate:g}" for rate in self.rates)
        return f"{self.pixel_format.strip()} {self.width}x{self.height}" + (
            f" @ {rates}" if rates else ""
        )


def choose_mode(
    modes: Sequence[CameraMode],
    *,
    width: int | None = None,
    height: int | None = None,
    fps: float | None = None,
    pixel_format: str | None = None,
) -> CameraMode:
    """Choose the mode nearest to a request; without a request about 640x480 at 30 FPS.

    The size is chosen first: an equal one, otherwise the smallest larger one, otherwise the largest. Among
    the formats of that size, one that reaches the requested rate is preferred, then a raw one.

    Args:
        modes: Modes of the camera.
        width, height: Requested size in pixels. If one is missing, it follows from the shapes of the modes.
        fps: Requested frames per second.
        pixel_format: Four characters; only modes of this format are considered.

    Raises:
        SourceError: No mode has that format, or none can be decoded.
    """
    fitting = [mode for mode in modes if mode.usable]
    if pixel_format is not None:
        code = pixel_format.upper().ljust(4)
        fitting = [mode for mode in fitting if mode.pixel_format == code]
    if not fitting:
        offered = sorted({mode.pixel_format.strip() for mode in modes})
        raise SourceError(
            "The camera has no picture format that can be used"
            if pixel_format is None
            else f"The camera has no format {pixel_format}",
            expected=", ".join(name.strip() for name in DECODABLE),
            found=", ".join(offered) or "none",
            fix="`edgessd run --list` shows what each camera has.",
        )
    size = (width, height) if width or height else _DEFAULT_SIZE
    distance = min(_distance(mode, *size) for mode in fitting)
    fitting = [mode for mode in fitting if _distance(mode, *size) == distance]
    rate = fps or _DEFAULT_FPS
    return min(fitting, key=lambda mode: (_shortfall(mode, rate), _expense(mode.pixel_format)))


def _distance(mode: CameraMode, width: int | None, height: int | None) -> tuple[bool, float]:
    """Return the distance of a mode's size from the request. Larger sizes are nearer than smaller ones."""
    pairs = [(have, want) for have, want in ((mode.width, width), (mode.height, height)) if want]
    too_small = any(have < want for have, want in pairs)
    away = sum(abs(math.log(have / want)) for have, want in pairs)
    # If only one side was requested, the mode nearest to 4:3 is preferred.
    shape = abs(math.log(mode.width / mode.height / (4 / 3))) if len(pairs) == 1 else 0.0
    return too_small, round(away + 0.01 * shape, 6)


def _shortfall(mode: CameraMode, fps: float) -> float:
    """Return by how much a mode misses a rate; a mode without listed rates is assumed to reach it."""
    best = mode.nearest_rate(fps)
    if best is None or best >= fps * _RATE_TOLERANCE:
        return 0.0 if best is None or best <= fps / _RATE_TOLERANCE else 0.001 * (best - fps)
    return fps - best


def _expense(pixel_format: str) -> int:
    # Gray only if there is nothing else.
    if pixel_format in ("GREY", "Y16 "):
        return 100
    return (pixel_format not in _RAW_WITH_COLOR) * 10 + DECODABLE.index(pixel_format)
