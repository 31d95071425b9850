"""Draw distractors: things that look like codes, so that a detector learns the difference.

Each maker returns (height, width, 3) uint8 BGR, its longer side about `side` pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import cv2
import numpy as np

from edgessd.data.synth.codes import encode
from edgessd.data.synth.printing import Print
from edgessd.data.synth.textures import (
    Field,
    Image,
    blend,
    colorize,
    flat,
    random_color,
    smooth_noise,
    write_line,
    write_paragraph,
)


def random_distractor(rng: np.random.Generator, side: int) -> Print:
    """Draw a distractor of a random kind, its longer side about `side` pixels."""
    maker = MAKERS[int(rng.choice(len(MAKERS), p=_WEIGHTS))]
    image = maker(rng, max(side, 8))
    if rng.random() < 0.25:
        image = np.ascontiguousarray(np.rot90(image))
    return Print(image=image)


def _two_colors(
    rng: np.random.Generator,
) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    if rng.random() < 0.5:
        return (int(rng.integers(60)),) * 3, (int(rng.integers(200, 256)),) * 3
    return random_color(rng, value=(0, 0.45)), random_color(rng, value=(0.55, 1.0))


def _from_modules(rng: np.random.Generator, dark: np.ndarray, side: int) -> Image:
    rows, columns = dark.shape
    width = max(2, round(side * columns / max(rows, columns)))
    height = max(2, round(side * rows / max(rows, columns)))
    upscale = max(1, -(-side // max(rows, columns)))
    mask = cv2.resize(
        dark.astype(np.float32),
        (columns * upscale, rows * upscale),
        interpolation=cv2.INTER_NEAREST,
    )
    ink, ground = _two_colors(rng)
    mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA)
    return colorize(mask, [ground, ink])


def _checkerboard(rng: np.random.Generator, side: int) -> Image:
    rows, columns = rng.integers(2, 11, 2)
    return _from_modules(rng, np.indices((rows, columns)).sum(axis=0) % 2 == 0, side)


def _stripes(rng: np.random.Generator, side: int) -> Image:
    """A zebra crossing, a radiator or blinds: bars of equal width, unlike those of a barcode."""
    count = int(rng.integers(4, 40))
    duty = rng.uniform(0.25, 0.75)
    phase = (np.arange(side) * count / side) % 1.0
    edge = np.clip((duty - phase) * side / count / 1.5 + 0.5, 0, 1).astype(np.float32)
    height = max(3, int(side * rng.uniform(0.3, 1.0)))
    ink, ground = _two_colors(rng)
    field: Field = np.repeat(edge[None], height, axis=0)
    if rng.random() < 0.5:  # the light varies along the slats
        field = field * (0.6 + 0.4 * smooth_noise(rng, (side, height), (3, 4)))
    return colorize(field, [ground, ink])


def _fence(rng: np.random.Generator, side: int) -> Image:
    """Vertical slats of varying width and shade, with rails across."""
    height = max(4, int(side * rng.uniform(0.4, 1.0)))
    image = flat((side, height), random_color(rng))
    x, color = 0.0, random_color(rng)
    step = side / rng.uniform(5, 25)
    while x < side:
        width = step * rng.uniform(0.35, 0.75)
        shade = tuple(int(np.clip(c * rng.uniform(0.7, 1.25), 0, 255)) for c in color)
        top = int(height * rng.uniform(0, 0.12))
        cv2.rectangle(image, (int(x), top), (int(x + width), height), shade, -1)
        x += step
    for _ in range(int(rng.integers(0, 3))):
        y = int(rng.integers(height))
        cv2.rectangle(image, (0, y), (side, y + max(1, height // 14)), color, -1)
    return image


def _bookshelf(rng: np.random.Generator, side: int) -> Image:
    """Spines of books in many colors and widths; a barcode has two colors and one height."""
    height = max(4, int(side * rng.uniform(0.4, 0.9)))
    image = flat((side, height), random_color(rng, value=(0, 0.3)))
    x = 0
    while x < side:
        width = max(2, int(side * rng.uniform(0.02, 0.1)))
        top = int(height * rng.uniform(0, 0.3))
        color = random_color(rng, vivid=0.6)
        cv2.rectangle(image, (x, top), (x + width - 1, height), color, -1)
        if width > 7:
            spine = np.ascontiguousarray(np.rot90(image[top:height, x : x + width]))
            write_line(
                rng,
                spine,
                (2, width // 4, int((height - top) * 0.8), width // 2),
                random_color(rng),
            )
            image[top:height, x : x + width] = np.rot90(spine, -1)[:, : image.shape[1] - x]
        x += width
    return image


def _noise_block(rng: np.random.Generator, side: int) -> Image:
    """Modules as in a QR code, without finder patterns."""
    rows = int(rng.integers(6, 40))
    columns = rows if rng.random() < 0.7 else int(rng.integers(6, 40))
    return _from_modules(rng, rng.random((rows, columns)) < rng.uniform(0.3, 0.7), side)


def _identicon(rng: np.random.Generator, side: int) -> Image:
    """A mirrored pixel picture, such as an avatar or a figure in an old game."""
    half = rng.random((int(rng.integers(5, 13)), int(rng.integers(2, 6)))) < 0.5
    dark = np.concatenate([half, half[:, ::-1]], axis=1)
    return _from_modules(rng, np.pad(dark, 1), side)


def _crossword(rng: np.random.Generator, side: int) -> Image:
    cells = int(rng.integers(5, 14))
    filled = rng.random((cells, cells)) < rng.uniform(0.1, 0.35)
    image = _from_modules(rng, filled, side)
    line = (30, 30, 30)
    for index in range(cells + 1):
        position = min(round(index * side / cells), side - 1)
        cv2.line(image, (position, 0), (position, side - 1), line, 1)
        cv2.line(image, (0, position), (side - 1, position), line, 1)
    cell = side // cells
    if cell >= 9:
        for row, column in zip(*np.nonzero(~filled), strict=True):
            if rng.random() < 0.4:
                corner = (int(column * side / cells) + 3, int(row * side / cells) + 3)
                write_line(rng, image, (*corner, cell // 2, cell - 5), line)
    return image


def _table(rng: np.random.Generator, side: int) -> Image:
    height = max(8, int(side * rng.uniform(0.4, 1.1)))
    ink, ground = _two_colors(rng)
    image = flat((side, height), ground)
    rows = int(rng.integers(3, 14))
    xs = [0, *sorted(rng.integers(0, side, int(rng.integers(1, 7))).tolist()), side - 1]
    for row in range(rows + 1):
        y = min(round(row * height / rows), height - 1)
        cv2.line(image, (0, y), (side, y), ink, 1)
        for left, right in pairwise(xs):
            if right - left > 8 and rng.random() < 0.8:
                text = (left + 2, y + 2, int((right - left - 4) * rng.uniform(0.4, 1)))
                write_line(rng, image, (*text, max(3, int(height / rows) - 4)), ink)
    for x in xs:
        cv2.line(image, (x, 0), (x, height), ink, 1)
    return image


def _keyboard(rng: np.random.Generator, side: int) -> Image:
    rows, columns = int(rng.integers(3, 7)), int(rng.integers(4, 16))
    key = side / columns
    height = max(4, int(key * rows))
    keys, ground = _two_colors(rng)
    image = flat((side, height), ground)
    gap = max(1, int(key * rng.uniform(0.06, 0.2)))
    for row in range(rows):
        shift = key * rng.uniform(0, 0.6)
        for column in range(columns):
            x, y = int(column * key + shift), int(row * key)
            inner = max(2, int(key) - gap)
            cv2.rectangle(image, (x, y), (x + inner, y + inner), keys, -1)
            if key > 10:
                write_line(
                    rng, image, (x + 2, y + inner // 4, inner // 2, max(3, inner // 2)), ground
                )
    return image


def _text(rng: np.random.Generator, side: int) -> Image:
    height = max(6, int(side * rng.uniform(0.3, 1.0)))
    ink, ground = _two_colors(rng)
    image = flat((side, height), ground)
    line = max(4, int(height * rng.uniform(0.05, 0.3)))
    write_paragraph(rng, image, (1, 1, side - 2, height - 2), line, ink)
    return image


def _dots(rng: np.random.Generator, side: int) -> Image:
    """A honeycomb or grid of dots, as in MaxiCode, vents and loudspeakers."""
    ink, ground = _two_colors(rng)
    image = flat((side, side), ground)
    step = max(3.0, side / rng.uniform(6, 30))
    present = rng.uniform(0.5, 1.0)
    radius = max(1, int(step * rng.uniform(0.2, 0.45)))
    shift = rng.random() < 0.5
    for row in range(int(side / step)):
        for column in range(int(side / step)):
            if rng.random() < present:
                x = int((column + 0.5 + (0.5 if shift and row % 2 else 0)) * step)
                cv2.circle(image, (x, int((row + 0.5) * step)), radius, ink, -1, cv2.LINE_AA)
    return image


def foreign_code(rng: np.random.Generator, side: int) -> Image:
    """Draw a code of a symbology that is none of the four classes."""
    kind = str(rng.choice(["Aztec", "PDF417", "MaxiCode"]))
    text = "".join("ABCDEFGHIJ0123456789"[i] for i in rng.integers(0, 20, rng.integers(5, 60)))
    dark = encode(kind, text)
    return _from_modules(rng, np.pad(dark, 2), side)


def _framed_square(rng: np.random.Generator, side: int) -> Image:
    """A thick dark frame around a letter or symbol, as in signs and icons."""
    ink, ground = _two_colors(rng)
    image = flat((side, side), ground)
    margin, frame = int(side * rng.uniform(0.03, 0.12)), max(1, int(side * rng.uniform(0.05, 0.16)))
    cv2.rectangle(image, (margin, margin), (side - 1 - margin, side - 1 - margin), ink, frame)
    inner = margin + frame
    _symbol(rng, image[inner : side - inner, inner : side - inner], ink)
    return image


def _icon(rng: np.random.Generator, side: int) -> Image:
    image = flat((side, side), random_color(rng, vivid=0.7))
    for _ in range(int(rng.integers(1, 4))):
        _symbol(rng, image, random_color(rng, vivid=0.5))
    return image


def _finder_lookalike(rng: np.random.Generator, side: int) -> Image:
    """Concentric squares or rings, without the rest of a QR code."""
    ink, ground = _two_colors(rng)
    image = flat((side, side), ground)
    rings = int(rng.integers(2, 6))
    for ring in range(rings):
        inset = int(side / 2 * (ring + 0.2) / rings)
        color = ink if ring % 2 == 0 else ground
        if rng.random() < 0.02 or rings % 2:
            cv2.circle(image, (side // 2, side // 2), max(1, side // 2 - inset), color, -1)
        else:
            cv2.rectangle(image, (inset, inset), (side - inset, side - inset), color, -1)
    return image


def _windows(rng: np.random.Generator, side: int) -> Image:
    """Front of a house: a grid of bright and dark panes."""
    rows, columns = rng.integers(2, 9, 2)
    wall = random_color(rng, value=(0.3, 0.9), vivid=0.2)
    image = flat((side, max(6, int(side * rows / columns))), wall)
    height = image.shape[0]
    pane = rng.uniform(0.35, 0.75)
    for row in range(rows):
        for column in range(columns):
            x, y = side * (column + 0.15) / columns, height * (row + 0.15) / rows
            right, bottom = x + pane * side / columns, y + pane * height / rows
            color = random_color(rng, value=(0.05, 0.9) if rng.random() < 0.3 else (0.05, 0.4))
            cv2.rectangle(image, (int(x), int(y)), (int(right), int(bottom)), color, -1)
    return image


def _weave(rng: np.random.Generator, side: int) -> Image:
    """Fabric in plaid, knit or gingham."""
    count = rng.uniform(3, 25)
    wave_x = np.sin(np.arange(side) * 2 * np.pi * count / side + rng.uniform(0, 6))
    wave_y = np.sin(np.arange(side) * 2 * np.pi * count / side + rng.uniform(0, 6))
    if rng.random() < 0.5:
        wave_x, wave_y = np.sign(wave_x), np.sign(wave_y)
    field = (0.5 + 0.25 * (wave_x[None] + wave_y[:, None])).astype(np.float32)
    ink, ground = random_color(rng), random_color(rng)
    return colorize(field, [ground, ink])


def _ruler(rng: np.random.Generator, side: int) -> Image:
    height = max(8, int(side * rng.uniform(0.12, 0.3)))
    ink, ground = _two_colors(rng)
    image = flat((side, height), ground)
    ticks = int(rng.integers(10, 80))
    for tick in range(ticks):
        x = int((tick + 0.5) * side / ticks)
        length = height * (0.6 if tick % 10 == 0 else 0.45 if tick % 5 == 0 else 0.3)
        cv2.line(image, (x, 0), (x, int(length)), ink, max(1, side // ticks // 5))
    write_line(rng, image, (2, int(height * 0.62), side - 4, max(3, int(height * 0.33))), ink)
    return image


def _symbol(rng: np.random.Generator, area: Image, color: tuple[int, int, int]) -> None:
    height, width = area.shape[:2]
    if min(height, width) < 4:
        return
    mask = np.zeros((height, width), np.uint8)
    center = (int(width * rng.uniform(0.35, 0.65)), int(height * rng.uniform(0.35, 0.65)))
    radius = max(1, int(min(height, width) * rng.uniform(0.15, 0.45)))
    kind = rng.integers(5)
    if kind == 0:
        cv2.circle(mask, center, radius, 255, -1, cv2.LINE_AA)
    elif kind == 1:
        cv2.circle(mask, center, radius, 255, max(1, radius // 3), cv2.LINE_AA)
    elif kind == 2:
        angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 9))))
        reach = radius * rng.uniform(0.5, 1.2, len(angles))
        points = np.stack([np.cos(angles) * reach, np.sin(angles) * reach], axis=-1) + center
        cv2.fillPoly(mask, [points.astype(np.int32)], 255, cv2.LINE_AA)
    elif kind == 3:
        letter = "ABEHKMPRSXZ?!$%&+i"[int(rng.integers(18))]
        size = radius / 11
        cv2.putText(
            mask,
            letter,
            (center[0] - int(9 * size), center[1] + int(10 * size)),
            cv2.FONT_HERSHEY_DUPLEX,
            size,
            255,
            max(1, radius // 4),
            cv2.LINE_AA,
        )
    else:
        end = (center[0] + radius, center[1] + max(1, radius // 3))
        cv2.arrowedLine(mask, (center[0] - radius, center[1]), end, 255, max(1, radius // 4))
    blend(area, color, mask)


MAKERS: tuple[Callable[[np.random.Generator, int], Image], ...] = (
    _checkerboard,
    _stripes,
    _fence,
    _bookshelf,
    _noise_block,
    _identicon,
    _crossword,
    _table,
    _keyboard,
    _text,
    _dots,
    foreign_code,
    _framed_square,
    _icon,
    _finder_lookalike,
    _windows,
    _weave,
    _ruler,
)
_WEIGHTS = np.array([3, 4, 4, 3, 3, 2, 2, 4, 3, 6, 2, 1.5, 3, 4, 2, 3, 2, 3], np.float64)
_WEIGHTS /= _WEIGHTS.sum()
