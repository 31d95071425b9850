"""Draw colors, noise fields and text, of which backgrounds, labels and distractors are made.

Images are uint8 BGR (height, width, 3); sizes are (width, height).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

# uint8 and float32; Any, because OpenCV's type stubs name no dtype.
Image = NDArray[Any]
Field = NDArray[Any]

_FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
    cv2.FONT_HERSHEY_SIMPLEX | cv2.FONT_ITALIC,
)
_STRIP_HEIGHT = 36
_STRIPS = 40
_NOISE_SIDE = 1024


def random_color(
    rng: np.random.Generator, *, value: tuple[float, float] = (0.0, 1.0), vivid: float = 0.35
) -> tuple[int, int, int]:
    """Draw a BGR color.

    Args:
        rng: Source of all random numbers.
        value: Range of the brightness (HSV value), from 0 to 1.
        vivid: Probability of a saturated color; other colors are nearly gray.
    """
    saturation = rng.uniform(0.35, 1.0) if rng.random() < vivid else rng.uniform(0.0, 0.2)
    # Warm hues are more frequent, because real surfaces have them.
    hue = rng.uniform(0.02, 0.13) if rng.random() < 0.4 else rng.random()
    brightness = rng.uniform(*value)
    sector, fraction = divmod(hue * 6.0, 1.0)
    low = brightness * (1 - saturation)
    falling = brightness * (1 - saturation * fraction)
    rising = brightness * (1 - saturation * (1 - fraction))
    red, green, blue = (
        (brightness, rising, low),
        (falling, brightness, low),
        (low, brightness, rising),
        (low, falling, brightness),
        (rising, low, brightness),
        (brightness, low, falling),
    )[int(sector) % 6]
    return int(blue * 255), int(green * 255), int(red * 255)


def as_color(values: NDArray[np.floating]) -> tuple[int, int, int]:
    """Clip three numbers to 0..255 and make a color for OpenCV of them."""
    blue, green, red = np.clip(values, 0, 255).astype(int).tolist()
    return blue, green, red


def flat(size: tuple[int, int], color: tuple[int, int, int]) -> Image:
    """Make an image of one color."""
    image = np.empty((size[1], size[0], 3), np.uint8)
    cv2.rectangle(image, (0, 0), size, color, -1)  # many times faster than broadcasting
    return image


def smooth_noise(rng: np.random.Generator, size: tuple[int, int], cells: tuple[int, int]) -> Field:
    """Make value noise in [0, 1], (height, width): a random grid of `cells` (x, y) points, resized."""
    grid = rng.random((max(2, cells[1]), max(2, cells[0])), np.float32)
    return cv2.resize(grid, size, interpolation=cv2.INTER_LINEAR)


def fractal_noise(
    rng: np.random.Generator,
    size: tuple[int, int],
    *,
    cells: tuple[float, float] = (3, 3),
    octaves: int = 4,
    persistence: float = 0.5,
) -> Field:
    """Sum octaves of value noise, scaled to [0, 1], (height, width) float32."""
    small = (max(2, size[0] // 4), max(2, size[1] // 4))
    total, at = np.zeros((small[1], small[0]), np.float32), small
    weight = 1.0
    for octave in range(octaves):
        columns = min(int(cells[0] * 2**octave) + 1, size[0])
        rows = min(int(cells[1] * 2**octave) + 1, size[1])
        if at == small and (columns > small[0] // 2 or rows > small[1] // 2):
            # Coarse octaves are smooth, so they are summed at a quarter of the size.
            total, at = np.asarray(cv2.resize(total, size), np.float32), size
        cv2.scaleAdd(smooth_noise(rng, at, (columns, rows)), weight, total, total)
        weight *= persistence
    low, high, _, _ = cv2.minMaxLoc(total)
    scale = 1 / max(high - low, 1e-6)
    stretched = np.asarray(cv2.resize(total, size), np.float32) if at == small else total
    return np.asarray(cv2.addWeighted(stretched, scale, stretched, 0.0, -low * scale))


def colorize(field: Field, colors: list[tuple[int, int, int]]) -> Image:
    """Map a field in [0, 1] to a gradient of two or more colors."""
    stops = np.linspace(0, 255, len(colors))
    ramp = np.stack(
        [np.interp(np.arange(256), stops, [c[channel] for c in colors]) for channel in range(3)],
        axis=-1,
    ).astype(np.uint8)
    index = cv2.convertScaleAbs(field, alpha=255.0)
    return cv2.applyColorMap(index, ramp.reshape(256, 1, 3))


def add_grain(rng: np.random.Generator, image: Image, strength: float) -> Image:
    """Add gray noise; `strength` is its standard deviation in pixel values."""
    height, width = image.shape[:2]
    grain = noise_crop(rng, (width, height), gray=True)
    return cv2.addWeighted(image, 1.0, grain, strength, 0.0, dtype=cv2.CV_8U)


def noise_crop(rng: np.random.Generator, size: tuple[int, int], *, gray: bool) -> Field:
    """Cut standard normal noise (height, width, 3) from one large tile, which is faster than drawing it.

    Args:
        rng: Source of the position.
        size: Width and height in pixels.
        gray: Make the three channels equal.
    """
    tile = _noise_tile(gray)
    width, height = size
    if width > _NOISE_SIDE or height > _NOISE_SIDE:
        tile = np.tile(tile, (-(-height // _NOISE_SIDE), -(-width // _NOISE_SIDE), 1))
        return tile[:height, :width]
    x = int(rng.integers(0, _NOISE_SIDE - width + 1))
    y = int(rng.integers(0, _NOISE_SIDE - height + 1))
    return tile[y : y + height, x : x + width]


@lru_cache(maxsize=2)
def _noise_tile(gray: bool) -> Field:
    channels = 1 if gray else 3
    rng = np.random.default_rng(20_231)
    tile = rng.standard_normal((_NOISE_SIDE, _NOISE_SIDE, channels), np.float32)
    return np.repeat(tile, 3, axis=2) if gray else tile


@lru_cache(maxsize=1)
def _text_strips() -> tuple[Image, ...]:
    """Lines of invented words, white on black, which are rendered once in each process."""
    rng = np.random.default_rng(7_919)
    letters = "etaoinshrdlucmfwypvbgk"
    strips = []
    for index in range(_STRIPS):
        words = []
        style = rng.random()
        for _ in range(9):
            if style < 0.2 or rng.random() < 0.12:
                word = "".join("0123456789-./"[i] for i in rng.integers(0, 13, rng.integers(2, 9)))
            else:
                word = "".join(letters[int(22 * r**1.6)] for r in rng.random(rng.integers(2, 10)))
                word = word.upper() if style > 0.75 else word
                word = word.capitalize() if rng.random() < 0.2 else word
            words.append(word)
        text = " ".join(words)
        font = _FONTS[index % len(_FONTS)]
        thickness = int(rng.integers(1, 4))
        (width, _), _ = cv2.getTextSize(text, font, 0.95, thickness)
        strip = np.zeros((_STRIP_HEIGHT, width + 6), np.uint8)
        cv2.putText(strip, text, (3, 26), font, 0.95, 255, thickness, cv2.LINE_AA)
        strips.append(strip)
    return tuple(strips)


def write_line(
    rng: np.random.Generator,
    image: Image,
    rectangle: tuple[int, int, int, int],
    color: tuple[int, int, int],
) -> None:
    """Write one line of invented text into (x, y, width, height) of an image, in place."""
    x, y, width, height = rectangle
    x, y = max(x, 0), max(y, 0)
    width, height = min(width, image.shape[1] - x), min(height, image.shape[0] - y)
    if width < 3 or height < 3:
        return
    strips = _text_strips()
    strip = strips[int(rng.integers(len(strips)))]
    length = min(int(width * _STRIP_HEIGHT / height), strip.shape[1])
    start = int(rng.integers(0, strip.shape[1] - length + 1))
    width = max(1, min(width, int(length * height / _STRIP_HEIGHT)))
    mask = cv2.resize(
        strip[:, start : start + length], (width, height), interpolation=cv2.INTER_AREA
    )
    blend(image[y : y + height, x : x + width], color, mask)


def write_paragraph(
    rng: np.random.Generator,
    image: Image,
    rectangle: tuple[int, int, int, int],
    line_height: int,
    color: tuple[int, int, int],
) -> None:
    """Fill (x, y, width, height) of an image with lines of text, in place."""
    x, y, width, height = rectangle
    step = max(4, int(line_height * rng.uniform(1.0, 1.6)))
    ragged = rng.uniform(0, 0.4)
    for top in range(y, y + height - line_height + 1, step):
        length = int(width * (1 - ragged * rng.random()))
        write_line(rng, image, (x, top, length, line_height), color)


def blend(area: Image, color: tuple[int, int, int] | Image, mask: Image) -> None:
    """Blend a color or an image into an area (h, w, 3), in place.

    Args:
        area: (h, w, 3) uint8, which is changed.
        color: A color, or an image of the area's size.
        mask: (h, w) uint8 opacity, 255 for opaque.
    """
    if not isinstance(color, np.ndarray):
        color = flat((area.shape[1], area.shape[0]), color)
    weights = mask.astype(np.float32) * np.float32(1 / 255)
    area[:] = cv2.blendLinear(color, area, weights, 1 - weights)
