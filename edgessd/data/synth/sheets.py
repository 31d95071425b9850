"""Draw the sheets that carry codes: labels, pages, parcels, packages, screens, parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgessd.data.synth.backgrounds import material
from edgessd.data.synth.distractors import random_distractor
from edgessd.data.synth.printing import Print
from edgessd.data.synth.textures import (
    Image,
    add_grain,
    blend,
    colorize,
    flat,
    random_color,
    smooth_noise,
    write_line,
    write_paragraph,
)

Size = tuple[int, int]
_SIDE_POINTS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Sheet:
    """A flat carrier of prints.

    Attributes:
        image: (h, w, 3) uint8 BGR.
        alpha: (h, w) uint8 opacity; 0 outside of the sheet.
        outlines: Outline of each code, many points (k, 2) in continuous pixels of the sheet.
        class_ids: Class of each code.
        lift: Height of the sheet above its ground, from 0 to 1, which determines its shadow.
    """

    image: Image
    alpha: Image
    outlines: tuple[NDArray[np.float64], ...]
    class_ids: tuple[int, ...]
    lift: float


def bare_sheet(item: Print) -> Sheet:
    """Make a sheet of a print alone, cut out along its quiet zone."""
    height, width = item.image.shape[:2]
    alpha = item.alpha if item.alpha is not None else np.full((height, width), 255, np.uint8)
    outlines = () if item.outline is None else (_dense(item.outline),)
    class_ids = () if item.outline is None else (item.class_id,)
    return Sheet(image=item.image, alpha=alpha, outlines=outlines, class_ids=class_ids, lift=0.0)


def random_sheet(rng: np.random.Generator, items: list[Print], largest: int) -> Sheet:
    """Arrange prints on a carrier of a random kind, its longer side at most about `largest` pixels."""
    if len(items) == 1 and rng.random() < 0.16:
        return bare_sheet(items[0])
    block, places = _arrange(rng, items)
    roomy = max(block) * 1.25 < largest
    painter, margin = _PAINTERS[int(rng.choice(len(_PAINTERS), p=_WEIGHTS))]
    if not roomy:
        margin = 0.08
    longest = max(float(largest) / max(block) - 1, 0.04)
    extra = np.minimum(rng.uniform(0.04, 1.0, 2) * 2 * margin, longest)
    size = (int(block[0] * (1 + extra[0])) + 2, int(block[1] * (1 + extra[1])) + 2)
    image = painter(rng, size)
    left = int(rng.integers(0, size[0] - block[0] + 1))
    top = int(rng.integers(0, size[1] - block[1] + 1))
    outlines, class_ids = [], []
    for item, (x, y) in zip(items, places, strict=True):
        x, y = x + left, y + top
        # Prints without a ground of their own are used only on even carriers.
        _paste(image, item, x, y, opaque=painter not in (_paper, _part, material))
        if item.outline is not None:
            outlines.append(_dense(item.outline + np.array([x, y])))
            class_ids.append(item.class_id)
    return Sheet(
        image=image,
        alpha=_cut(rng, size),
        outlines=tuple(outlines),
        class_ids=tuple(class_ids),
        lift=float(rng.uniform(0, 1)),
    )


def grid_sheet(rng: np.random.Generator, items: list[Print], columns: int) -> Sheet:
    """Arrange prints in a regular grid, as on a marker board or a sheet of labels."""
    cell_width = max(item.image.shape[1] for item in items)
    cell_height = max(item.image.shape[0] for item in items)
    gap = int(max(cell_width, cell_height) * rng.uniform(0.05, 0.5)) + 1
    rows = -(-len(items) // columns)
    size = (columns * (cell_width + gap) + gap, rows * (cell_height + gap) + gap)
    image = flat(size, random_color(rng, value=(0.75, 1.0), vivid=0.1))
    outlines, class_ids = [], []
    for index, item in enumerate(items):
        x = gap + (index % columns) * (cell_width + gap)
        y = gap + (index // columns) * (cell_height + gap)
        _paste(image, item, x, y)
        if item.outline is not None:
            outlines.append(_dense(item.outline + np.array([x, y])))
            class_ids.append(item.class_id)
    return Sheet(
        image=image,
        alpha=np.full((size[1], size[0]), 255, np.uint8),
        outlines=tuple(outlines),
        class_ids=tuple(class_ids),
        lift=float(rng.uniform(0, 1)),
    )


def _paste(image: Image, item: Print, x: int, y: int, *, opaque: bool = False) -> None:
    height, width = item.image.shape[:2]
    area = image[y : y + height, x : x + width]
    if item.alpha is None or opaque:
        area[:] = item.image
    else:
        blend(area, item.image, item.alpha)


def _dense(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Add points along the sides of a polygon, so that it stays an outline when the sheet bends."""
    steps = np.linspace(0, 1, _SIDE_POINTS, endpoint=False)[:, None]
    following = np.roll(corners, -1, axis=0)
    sides = [
        first + steps * (second - first) for first, second in zip(corners, following, strict=True)
    ]
    return np.concatenate(sides)


def _arrange(rng: np.random.Generator, items: list[Print]) -> tuple[Size, list[tuple[int, int]]]:
    """Arrange prints beside or below each other; return the block's size and each print's corner."""
    gap = int(max(max(item.image.shape[:2]) for item in items) * rng.uniform(0.03, 0.3))
    below = bool(rng.random() < 0.5)
    places, position, breadth = [], 0, 0
    breadth = max(item.image.shape[1 if below else 0] for item in items)
    for item in items:
        height, width = item.image.shape[:2]
        slack = breadth - (width if below else height)
        offset = int(slack * rng.random())
        places.append((offset, position) if below else (position, offset))
        position += (height if below else width) + gap
    length = position - gap
    return ((breadth, length) if below else (length, breadth)), places


def _cut(rng: np.random.Generator, size: Size) -> Image:
    """Opacity of a sheet with sharp or rounded corners."""
    alpha = np.full((size[1], size[0]), 255, np.uint8)
    if rng.random() < 0.3:
        radius = int(min(size) * rng.uniform(0.02, 0.1))
        if radius > 1:
            alpha[:] = 0
            inner = (size[0] - 1 - radius, size[1] - 1 - radius)
            cv2.rectangle(alpha, (radius, 0), (inner[0], size[1]), 255, -1)
            cv2.rectangle(alpha, (0, radius), (size[0], inner[1]), 255, -1)
            for x in (radius, inner[0]):
                for y in (radius, inner[1]):
                    cv2.circle(alpha, (x, y), radius, 255, -1, cv2.LINE_AA)
    return alpha


def _paper(rng: np.random.Generator, size: Size) -> Image:
    ground = random_color(rng, value=(0.78, 1.0), vivid=0.12)
    return add_grain(rng, flat(size, ground), rng.uniform(0, 5))


def _label(rng: np.random.Generator, size: Size) -> Image:
    """Paper with a few lines of text, sometimes with a border."""
    image = _paper(rng, size)
    ink = random_color(rng, value=(0, 0.4), vivid=0.3)
    line = max(4, int(min(size) * rng.uniform(0.04, 0.14)))
    for _ in range(int(rng.integers(0, 6))):
        x, y = (rng.random(2) * size).astype(int)
        write_line(rng, image, (int(x), int(y), int(size[0] * rng.uniform(0.2, 0.8)), line), ink)
    if rng.random() < 0.4:
        inset = int(min(size) * rng.uniform(0.01, 0.04))
        corner = (size[0] - 1 - inset, size[1] - 1 - inset)
        cv2.rectangle(image, (inset, inset), corner, ink, max(1, int(min(size) * 0.008)))
    return image


def _page(rng: np.random.Generator, size: Size) -> Image:
    """A document: heading, paragraphs, pictures and rules."""
    image = _paper(rng, size)
    ink = random_color(rng, value=(0, 0.35), vivid=0.2)
    line = max(4, int(min(size) * rng.uniform(0.018, 0.06)))
    margin = int(min(size) * 0.06)
    heading = (margin, margin, int(size[0] * rng.uniform(0.3, 0.8)), line * 2)
    write_line(rng, image, heading, random_color(rng, value=(0, 0.6)))
    y = margin + line * 4
    while y < size[1] - margin - line:
        height = int(size[1] * rng.uniform(0.08, 0.3))
        height = min(height, size[1] - margin - y)
        if rng.random() < 0.14 and height > 12:
            item = random_distractor(rng, min(height, size[0] - 2 * margin))
            tall, wide = item.image.shape[:2]
            if tall <= height and wide <= size[0] - 2 * margin:
                _paste(image, item, margin, y)
        else:
            body = (margin, y, size[0] - 2 * margin, height)
            write_paragraph(rng, image, body, line, ink)
        y += height + line
        if rng.random() < 0.2:
            cv2.line(image, (margin, y - line // 2), (size[0] - margin, y - line // 2), ink, 1)
    return image


def _parcel(rng: np.random.Generator, size: Size) -> Image:
    """A shipping label: ruled cells with text of many sizes."""
    image = _paper(rng, size)
    ink = (int(rng.integers(50)),) * 3
    thickness = max(1, int(min(size) * 0.008))
    y = 0
    while y < size[1]:
        height = max(12, int(size[1] * rng.uniform(0.1, 0.35)))
        cv2.line(image, (0, y), (size[0], y), ink, thickness)
        split = int(size[0] * rng.uniform(0.2, 0.8)) if rng.random() < 0.5 else size[0]
        cv2.line(image, (split, y), (split, y + height), ink, thickness)
        line = max(4, int(height * rng.uniform(0.12, 0.6)))
        write_paragraph(rng, image, (4, y + 3, split - 8, height - 5), line, ink)
        if rng.random() < 0.15:
            image[y : y + height, split:] = ink
        y += height
    cv2.rectangle(image, (0, 0), (size[0] - 1, size[1] - 1), ink, thickness * 2)
    return image


def _package(rng: np.random.Generator, size: Size) -> Image:
    """A colorful package: areas of color, shapes and lines of text."""
    image = colorize(
        smooth_noise(rng, size, (2, 3)), [random_color(rng, vivid=0.7) for _ in range(2)]
    )
    for _ in range(int(rng.integers(1, 7))):
        center = tuple((rng.random(2) * size).astype(int).tolist())
        axes = tuple((rng.uniform(0.05, 0.5, 2) * size).astype(int).tolist())
        color = random_color(rng, vivid=0.7)
        if rng.random() < 0.5:
            cv2.ellipse(
                image, center, axes, float(rng.uniform(0, 180)), 0, 360, color, -1, cv2.LINE_AA
            )
        else:
            corner = (center[0] + axes[0], center[1] + axes[1])
            cv2.rectangle(image, center, corner, color, -1)
    for _ in range(int(rng.integers(1, 6))):
        x, y = (rng.random(2) * size).astype(int).tolist()
        line = max(4, int(min(size) * rng.uniform(0.03, 0.2)))
        width = int(size[0] * rng.uniform(0.2, 0.8))
        if rng.random() < 0.4:
            write_paragraph(rng, image, (x, y, width, line * 5), line, random_color(rng))
        else:
            write_line(rng, image, (x, y, width, line), random_color(rng))
    return image


def _screen(rng: np.random.Generator, size: Size) -> Image:
    """A phone, tablet or monitor: dark bezel, flat panel, buttons and text."""
    image = flat(size, random_color(rng, value=(0, 0.15), vivid=0.1))
    bezel = max(1, int(min(size) * rng.uniform(0.01, 0.08)))
    dark = rng.random() < 0.25
    ground = random_color(rng, value=(0.05, 0.2) if dark else (0.88, 1.0), vivid=0.15)
    ink = random_color(rng, value=(0.6, 1.0) if dark else (0.0, 0.5), vivid=0.3)
    panel = image[bezel : size[1] - bezel, bezel : size[0] - bezel]
    if min(panel.shape[:2]) < 8:
        return image
    panel[:] = ground
    height, width = panel.shape[:2]
    bar = max(3, height // int(rng.integers(10, 24)))
    panel[:bar] = random_color(rng, vivid=0.6)
    line = max(4, int(height * rng.uniform(0.025, 0.06)))
    write_paragraph(rng, panel, (6, bar + 4, width - 12, height - bar - 4), line * 3, ink)
    for _ in range(int(rng.integers(0, 4))):
        x, y = int(rng.random() * width), int(rng.random() * height)
        corner = (x + int(width * rng.uniform(0.1, 0.5)), y + line * 2)
        cv2.rectangle(panel, (x, y), corner, random_color(rng, vivid=0.8), -1)
    return image


def _part(rng: np.random.Generator, size: Size) -> Image:
    """A circuit board or a machined part, with pads, tracks and small markings."""
    if rng.random() < 0.5:
        image = material(rng, size)
    else:
        image = flat(size, [(50, 90, 20), (90, 50, 15), (30, 30, 30)][int(rng.integers(3))])
        metal = (150, 190, 200)
        for _ in range(int(rng.integers(3, 20))):
            x, y = (rng.random(2) * size).astype(int).tolist()
            reach = int(min(size) * rng.uniform(0.01, 0.05)) + 1
            cv2.rectangle(image, (x, y), (x + reach, y + reach * 2), metal, -1)
            end = tuple((rng.random(2) * size).astype(int).tolist())
            cv2.line(image, (x, y), (end[0], y), (70, 120, 50), 1)
    ink = random_color(rng, value=(0.6, 1.0), vivid=0.1)
    for _ in range(int(rng.integers(0, 4))):
        x, y = (rng.random(2) * size).astype(int).tolist()
        line = max(4, int(min(size) * 0.08))
        write_line(rng, image, (x, y, int(size[0] * 0.4), line), ink)
    return image


_PAINTERS: tuple[tuple[Callable[[np.random.Generator, Size], Image], float], ...] = (
    (_paper, 0.5),
    (_label, 0.6),
    (_page, 2.5),
    (_parcel, 1.2),
    (_package, 1.5),
    (_screen, 0.9),
    (_part, 0.9),
    (material, 0.6),
)
_WEIGHTS = np.array([5, 5, 3.5, 3, 4, 3, 1.5, 1.5], np.float64)
_WEIGHTS /= _WEIGHTS.sum()
