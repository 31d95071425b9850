"""What a camera can deliver, and which of it comes nearest to a wish."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgessd.core.errors import SourceError

# What OpenCV's Video4Linux reader turns into BGR, the cheapest first. Motion JPEG costs a decoder's time
# but passes a USB 2 cable at sizes where raw pictures don't.
DECODABLE = (
    "BGR3", "RGB3", "YUYV", "UYVY", "YVYU", "NV12", "NV21", "YU12", "YV12", "GREY", "Y16 ", "MJPG", "JPEG",
)  # fmt: skip
_RAW_WITH_COLOR = DECODABLE[: DECODABLE.index("GREY")]

# Enough for any detector here, and what every camera has or comes near to.
_DEFAULT_SIZE = (640, 480)
_DEFAULT_FPS = 30.0
# Drivers state 29.97 or 30.00003 for 30.
_RATE_TOLERANCE = 0.98


@dataclass(frozen=True, kw_only=True, slots=True)
class CameraMode:
    """One way in which a camera gives pictures.

    Attributes:
        pixel_format: Four characters, as `MJPG` or `YUYV`.
        width, height: Pixels.
        rates: Frames a second that this size comes at, () where the driver doesn't say.
    """

    pixel_format: str
    width: int
    height: int
    rates: tuple[float, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether OpenCV can decode it."""
        return self.pixel_format in DECODABLE

    def nearest_rate(self, fps: float) -> float | None:
        """The rate next to a wish; of two, the faster."""
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
    """The mode that comes nearest to the wishes; without wishes about 640x480 at 30 FPS.

    The size counts first: an equal one, else the smallest that is larger, else the largest that there is.
    Of formats of that size one that reaches the wished rate counts, raw before compressed.

    Args:
        modes: What the camera has.
        width, height: Pixels; where one is missing, it follows from the other by the modes' shapes.
        fps: Frames a second.
        pixel_format: Four characters; only this one is taken then.

    Raises:
        SourceError: No mode of that format, or none that can be decoded.
    """
    fitting = [mode for mode in modes if mode.usable]
    if pixel_format is not None:
        wanted = pixel_format.upper().ljust(4)
        fitting = [mode for mode in fitting if mode.pixel_format == wanted]
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
    """How far a mode's size is from a wish; smaller than the wish is farther than any that is larger."""
    pairs = [(have, want) for have, want in ((mode.width, width), (mode.height, height)) if want]
    too_small = any(have < want for have, want in pairs)
    away = sum(abs(math.log(have / want)) for have, want in pairs)
    # Of two modes equally wide the one that is nearer to 4:3 wastes least, whichever side was wished.
    shape = abs(math.log(mode.width / mode.height / (4 / 3))) if len(pairs) == 1 else 0.0
    return too_small, round(away + 0.01 * shape, 6)


def _shortfall(mode: CameraMode, fps: float) -> float:
    """By how much a mode misses a rate; where the driver doesn't say, it is believed to reach it."""
    best = mode.nearest_rate(fps)
    if best is None or best >= fps * _RATE_TOLERANCE:
        return 0.0 if best is None or best <= fps / _RATE_TOLERANCE else 0.001 * (best - fps)
    return fps - best


def _expense(pixel_format: str) -> int:
    # Without colour only if there is nothing else.
    if pixel_format in ("GREY", "Y16 "):
        return 100
    return (pixel_format not in _RAW_WITH_COLOR) * 10 + DECODABLE.index(pixel_format)
