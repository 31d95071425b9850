"""Print codes: module shapes, colors, quiet zone, logo, and digits under the bars."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgessd.data.synth.codes import ARUCO, DATAMATRIX, QRCODE, Code
from edgessd.data.synth.textures import Image, colorize, flat, random_color, write_line

_SQUARE, _DOTS, _ROUND = range(3)


@dataclass(frozen=True, kw_only=True, slots=True)
class Print:
    """A printed code or a distractor, flat.

    Attributes:
        image: (h, w, 3) uint8 BGR.
        alpha: (h, w) uint8 opacity, 255 for opaque; None if the whole image is opaque.
        outline: (4, 2) corners of the outermost modules, clockwise, in continuous pixels of `image`,
            without the quiet zone and the digits of a 1-D code. None for a distractor.
        class_id: Index into LABELS; -1 for a distractor.
    """

    image: Image
    alpha: Image | None = None
    outline: NDArray[np.float64] | None = None
    class_id: int = -1


@dataclass(frozen=True, kw_only=True, slots=True)
class Ink:
    """Style of a printed code.

    Attributes:
        dark: BGR of the dark modules.
        light: BGR of the light modules and the quiet zone.
        shape: Shape of the modules.
        quiet_zone: Width of the light border around the code, in modules.
        transparent: Print only the ink, without the light ground.
        spread: Growth of the dark modules, in modules; negative values shrink them.
        logo: Cover the middle of a QR code with a picture.
    """

    dark: tuple[int, int, int]
    light: tuple[int, int, int]
    shape: int
    quiet_zone: float
    transparent: bool
    spread: float
    logo: bool


PLAIN_INK = Ink(
    dark=(20, 20, 20),
    light=(250, 250, 250),
    shape=_SQUARE,
    quiet_zone=4,
    transparent=False,
    spread=0,
    logo=False,
)


def random_ink(rng: np.random.Generator, code: Code, *, strength: float) -> Ink:
    """Draw the style of a code; `strength` 0 always gives black on white with the full quiet zone."""
    if rng.random() > 0.55 * strength:
        gray = int(rng.integers(0, 50))
        white = int(rng.integers(225, 256))
        return Ink(
            dark=(gray, gray, gray),
            light=(white, white, white),
            shape=_SQUARE,
            quiet_zone=code.quiet_zone,
            transparent=False,
            spread=0,
            logo=False,
        )
    dark = random_color(rng, value=(0.0, 0.4), vivid=0.3)
    light = random_color(rng, value=(0.62, 1.0), vivid=0.2)
    if rng.random() < 0.12:  # light modules on dark ground
        dark, light = light, dark
    shape = _SQUARE
    if code.class_id == QRCODE and rng.random() < 0.18:
        shape = _DOTS if rng.random() < 0.45 else _ROUND
    elif code.class_id == DATAMATRIX and rng.random() < 0.25:
        shape = _DOTS
    quiet = code.quiet_zone * (
        rng.uniform(0.1, 0.6) if rng.random() < 0.35 else rng.uniform(0.6, 1.5)
    )
    return Ink(
        dark=dark,
        light=light,
        shape=shape,
        quiet_zone=quiet,
        transparent=bool(rng.random() < 0.18) and code.class_id != ARUCO,
        spread=float(rng.uniform(-0.16, 0.16)) if rng.random() < 0.4 else 0.0,
        logo=code.class_id == QRCODE and bool(rng.random() < 0.15),
    )


def print_code(rng: np.random.Generator, code: Code, long_side: int, ink: Ink) -> Print:
    """Print a code whose modules' longer side is `long_side` pixels.

    The height of a 1-D code is a random fraction of its width, from 0.16 to 0.9.
    """
    rows, columns = code.dark.shape
    if code.linear:
        width = long_side
        height = max(3, round(long_side * float(np.exp(rng.uniform(np.log(0.16), np.log(0.9))))))
    else:
        width = max(3, round(long_side * columns / max(rows, columns)))
        height = max(3, round(long_side * rows / max(rows, columns)))
    mask = _ink_mask(code, (width, height), ink)
    module = width / columns
    margin_x = round(module * ink.quiet_zone)
    margin_y = round(module * (1 + rng.uniform(0, 2))) if code.linear else margin_x
    digits = round(height * rng.uniform(0.1, 0.25)) if code.linear and rng.random() < 0.6 else 0
    above = digits > 0 and rng.random() < 0.12
    full = (width + 2 * margin_x, height + 2 * margin_y + digits)
    top = margin_y + (digits if above else 0)
    ground = np.zeros((full[1], full[0]), np.uint8)
    ground[top : top + height, margin_x : margin_x + width] = mask
    image = colorize(ground.astype(np.float32) * np.float32(1 / 255), [ink.light, ink.dark])
    if digits:
        line_top = margin_y if above else top + height
        line = round(width * rng.uniform(0.4, 1.0))
        write_line(rng, image, (margin_x + (width - line) // 2, line_top, line, digits), ink.dark)
    if ink.logo:
        _paste_logo(rng, image[top : top + height, margin_x : margin_x + width])
    alpha = _transparency(image, ground, ink)
    left, right, bottom = margin_x, margin_x + width, top + height
    outline = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)
    return Print(image=image, alpha=alpha, outline=outline, class_id=code.class_id)


def _transparency(image: Image, ground: Image, ink: Ink) -> Image | None:
    if not ink.transparent:
        return None
    if sum(ink.dark) > sum(ink.light):
        return ground
    # Digits and logo are only in the image, so every pixel that is darker than the ground is ink.
    gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    span = max(1, int(gray.max()) - int(gray.min()))
    alpha: Image = 255 - cv2.convertScaleAbs(
        gray, alpha=255 / span, beta=-int(gray.min()) * 255 / span
    )
    return alpha


def _ink_mask(code: Code, size: tuple[int, int], ink: Ink) -> Image:
    """Amount of ink of each pixel, (height, width) uint8, 255 for full."""
    width, height = size
    rows, columns = code.dark.shape
    dark = code.dark.astype(np.uint8) * 255
    upscale = max(1, -(-width // columns))
    detailed = ink.shape != _SQUARE or ink.spread != 0
    if detailed and not code.linear:
        upscale = max(5, upscale)
        mask = _shaped(code, dark, upscale, ink)
    elif code.linear:
        upscale = max(6, upscale) if detailed else upscale
        mask = cv2.resize(dark, (columns * upscale, rows), interpolation=cv2.INTER_NEAREST)
        mask = _spread(mask, ink.spread * upscale, horizontal_only=True)
        # Rows are repeated and columns are averaged by area, so that the bars keep their widths.
        mask = cv2.resize(mask, (mask.shape[1], height), interpolation=cv2.INTER_NEAREST)
    else:
        grown = (columns * upscale, rows * upscale)
        mask = cv2.resize(dark, grown, interpolation=cv2.INTER_NEAREST)
    return cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA)


def _shaped(code: Code, dark: Image, upscale: int, ink: Ink) -> Image:
    rows, columns = dark.shape
    mask = cv2.resize(dark, (columns * upscale, rows * upscale), interpolation=cv2.INTER_NEAREST)
    if ink.shape == _DOTS:
        center = (upscale - 1) / 2
        y, x = np.mgrid[:upscale, :upscale] - center
        radius = upscale * (0.46 + ink.spread)
        stencil = (np.clip(radius - np.hypot(x, y) + 0.5, 0, 1) * 255).astype(np.uint8)
        dots = np.kron(code.dark.astype(np.uint8), stencil)
        if code.kind == "QRCode":
            side = 7 * upscale  # the three finder patterns keep their shape, as in QR generators
            for top, left in ((0, 0), (0, -side), (-side, 0)):
                bottom = top + side if top == 0 else None
                right = left + side if left == 0 else None
                dots[top:bottom, left:right] = mask[top:bottom, left:right]
        return dots
    if ink.shape == _ROUND:
        blurred = cv2.GaussianBlur(mask, (0, 0), upscale * 0.3)
        mask = np.clip((blurred.astype(np.int16) - 112) * 8, 0, 255).astype(np.uint8)
    return _spread(mask, ink.spread * upscale, horizontal_only=False)


def _spread(mask: Image, pixels: float, *, horizontal_only: bool) -> Image:
    size = 2 * round(abs(pixels)) + 1
    if size < 3:
        return mask
    kernel = np.ones((1 if horizontal_only else size, size), np.uint8)
    return cv2.dilate(mask, kernel) if pixels > 0 else cv2.erode(mask, kernel)


def _paste_logo(rng: np.random.Generator, area: Image) -> None:
    side = int(min(area.shape[:2]) * rng.uniform(0.16, 0.27))
    if side < 5:
        return
    top, left = (area.shape[0] - side) // 2, (area.shape[1] - side) // 2
    logo = flat((side, side), random_color(rng, vivid=0.8))
    cv2.rectangle(logo, (0, 0), (side - 1, side - 1), (255, 255, 255), max(1, side // 10))
    color = random_color(rng, vivid=0.8)
    if rng.random() < 0.5:
        cv2.circle(logo, (side // 2, side // 2), int(side * rng.uniform(0.15, 0.35)), color, -1)
    else:
        points = (rng.uniform(0.2, 0.8, (5, 2)) * side).astype(np.int32)
        cv2.fillPoly(logo, [points], color)
    area[top : top + side, left : left + side] = logo
