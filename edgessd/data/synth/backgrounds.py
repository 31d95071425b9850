"""Draw backgrounds: surfaces, rooms, clutter. Each maker returns (height, width, 3) uint8 BGR."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from edgessd.core.errors import DataError
from edgessd.data.synth.textures import (
    Image,
    add_grain,
    as_color,
    blend,
    colorize,
    flat,
    fractal_noise,
    random_color,
    smooth_noise,
    write_paragraph,
)

Size = tuple[int, int]


def random_background(rng: np.random.Generator, size: Size) -> Image:
    """Draw a background of a random kind."""
    maker = _MAKERS[int(rng.choice(len(_MAKERS), p=_WEIGHTS))]
    return maker(rng, size)


def photo_background(rng: np.random.Generator, size: Size, path: Path) -> Image:
    """Cut a random crop from a photo and mirror it at random.

    Raises:
        DataError: OpenCV can't read the file.
    """
    photo = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if photo is None:
        raise DataError(
            f"The background {path} can't be read",
            expected="a JPEG or PNG file",
            found="a file that OpenCV can't decode",
            fix="Remove it from the folder of backgrounds",
        )
    height, width = photo.shape[:2]
    share = rng.uniform(0.4, 1.0)
    aspect = size[0] / size[1]
    crop_width = max(1, int(min(width, height * aspect) * share))
    crop_height = max(1, min(height, int(crop_width / aspect)))
    x = int(rng.integers(0, width - crop_width + 1))
    y = int(rng.integers(0, height - crop_height + 1))
    crop = photo[y : y + crop_height, x : x + crop_width]
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    return cv2.resize(np.ascontiguousarray(crop), size, interpolation=cv2.INTER_AREA)


def material(rng: np.random.Generator, size: Size) -> Image:
    """Draw a plain surface, the material of sheets, boxes and tables."""
    return _MATERIALS[int(rng.integers(len(_MATERIALS)))](rng, size)


def _plain(rng: np.random.Generator, size: Size) -> Image:
    return add_grain(rng, flat(size, random_color(rng)), rng.uniform(0, 4))


def _gradient(rng: np.random.Generator, size: Size) -> Image:
    colors = [random_color(rng) for _ in range(int(rng.integers(2, 4)))]
    field = smooth_noise(rng, size, (int(rng.integers(2, 4)), int(rng.integers(2, 4))))
    return colorize(field, colors)


def _wall(rng: np.random.Generator, size: Size) -> Image:
    """Plaster, concrete or stone: a mottled surface of similar shades."""
    base = np.array(random_color(rng, value=(0.25, 0.95), vivid=0.15))
    spread = rng.uniform(8, 60)
    colors = [as_color(base + spread * step) for step in (-1, 0, 1)]
    cells = float(rng.uniform(2, 20))
    field = fractal_noise(
        rng, size, cells=(cells, cells), octaves=5, persistence=rng.uniform(0.4, 0.9)
    )
    return add_grain(rng, colorize(field, colors), rng.uniform(0, 10))


def _marbled(rng: np.random.Generator, size: Size) -> Image:
    """Foliage, carpet or abstract prints: strongly colored cloud noise."""
    colors = [random_color(rng, vivid=0.6) for _ in range(int(rng.integers(2, 6)))]
    cells = float(rng.uniform(2, 24))
    field = fractal_noise(
        rng, size, cells=(cells, cells), octaves=5, persistence=rng.uniform(0.4, 0.85)
    )
    return colorize(field, colors)


def _wood(rng: np.random.Generator, size: Size) -> Image:
    grain = rng.uniform(8, 40)
    cells = (rng.uniform(1, 3), grain) if rng.random() < 0.5 else (grain, rng.uniform(1, 3))
    field = fractal_noise(rng, size, cells=cells, octaves=3, persistence=0.7)
    rings = rng.uniform(1, 7)
    field = (0.5 + 0.5 * np.sin(field * rings * 2 * np.pi)).astype(np.float32)
    value = rng.uniform(0.25, 0.9)
    warm = np.array([0.45, 0.7, 1.0]) * 255 * value
    tint = rng.uniform(0.6, 1.0, 3)
    colors = [as_color(warm * tint * shade) for shade in (0.72, 0.9, 1.0)]
    image = colorize(field, colors)
    if rng.random() < 0.5:  # planks
        horizontal = cells[1] > cells[0]
        extent = size[1] if horizontal else size[0]
        step = extent / rng.uniform(2, 7)
        for position in np.arange(step, extent, step).astype(int):
            start, end = ((0, position), (size[0], position))
            if not horizontal:
                start, end = (position, 0), (position, size[1])
            cv2.line(image, start, end, colors[0], int(rng.integers(1, 4)))
    return add_grain(rng, image, rng.uniform(0, 6))


def _cardboard(rng: np.random.Generator, size: Size) -> Image:
    base = np.array([95, 140, 180]) * rng.uniform(0.6, 1.15)
    field = fractal_noise(rng, size, cells=(6, 6), octaves=4)
    flutes = np.sin(np.arange(size[1], dtype=np.float32) * 2 * np.pi / rng.uniform(4, 12))
    field = np.clip(field + 0.12 * flutes[:, None], 0, 1)
    colors = [as_color(base * shade) for shade in (0.85, 1.0, 1.1)]
    image = add_grain(rng, colorize(field, colors), rng.uniform(2, 9))
    if rng.random() < 0.4:  # tape
        x, width = int(rng.integers(size[0])), max(1, int(size[0] * rng.uniform(0.05, 0.2)))
        tape = np.array(random_color(rng, value=(0.4, 1.0))) * 0.5 + base * 0.5
        stripe = image[:, x : x + width]
        stripe[:] = cv2.addWeighted(
            stripe, 0.5, flat((stripe.shape[1], size[1]), as_color(tape)), 0.5, 0
        )
    return image


def _metal(rng: np.random.Generator, size: Size) -> Image:
    cells = (2.0, float(size[1])) if rng.random() < 0.6 else (float(size[0]), 2.0)
    field = fractal_noise(rng, size, cells=cells, octaves=1)
    sheen = smooth_noise(rng, size, (3, 3))
    low, high = rng.uniform(40, 120), rng.uniform(130, 240)
    colors = [(int(low),) * 3, (int(high),) * 3]
    return colorize(0.35 * field + 0.65 * sheen, colors)


def _fabric(rng: np.random.Generator, size: Size) -> Image:
    period = rng.uniform(2.5, 14)
    x = np.sin(np.arange(size[0], dtype=np.float32) * 2 * np.pi / period)
    y = np.sin(np.arange(size[1], dtype=np.float32) * 2 * np.pi / (period * rng.uniform(0.7, 1.4)))
    field = 0.5 + 0.2 * (x[None] * y[:, None]) + 0.3 * (smooth_noise(rng, size, (5, 5)) - 0.5)
    return colorize(np.clip(field, 0, 1), [random_color(rng), random_color(rng)])


def _tiles(rng: np.random.Generator, size: Size) -> Image:
    """A tiled floor or wall; brickwork if the rows are shifted."""
    step_x = rng.uniform(20, 160)
    step_y = step_x * rng.uniform(0.3, 1.0)
    base = np.array(random_color(rng, value=(0.3, 1.0)))
    joint = random_color(rng, vivid=0.1)
    image = flat(size, joint)
    gap = int(rng.integers(1, 6))
    bricks = rng.random() < 0.4
    variation = rng.uniform(2, 40)
    for row in range(int(size[1] / step_y) + 1):
        shift = step_x / 2 if bricks and row % 2 else 0.0
        for column in range(-1, int(size[0] / step_x) + 1):
            x, y = int(column * step_x + shift), int(row * step_y)
            color = np.clip(base + rng.normal(0, variation), 0, 255).astype(int).tolist()
            corner = (int(x + step_x) - gap, int(y + step_y) - gap)
            cv2.rectangle(image, (x, y), corner, color, -1)
    return add_grain(rng, image, rng.uniform(0, 8))


def _clutter(rng: np.random.Generator, size: Size) -> Image:
    """Overlapping shapes whose sizes follow a power law ("dead leaves"), as in natural images."""
    image = material(rng, size)
    reach = min(size)
    count = int(rng.integers(25, 160))
    radii = np.clip(reach * 0.03 / (1 - 0.97 * rng.random(count)) ** 0.8, 3, reach * 0.5)
    for radius in np.sort(radii)[::-1]:
        _leaf(rng, image, float(radius))
    return image


def _leaf(rng: np.random.Generator, image: Image, radius: float) -> None:
    height, width = image.shape[:2]
    center = rng.uniform(0, 1, 2) * (width, height)
    draw = rng.random()
    if draw < 0.3:
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * rng.uniform(0.2, 1, 2) * radius
        angle = rng.normal(0, 0.2) if rng.random() < 0.6 else rng.uniform(0, np.pi)
    elif draw < 0.6:
        around = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        ellipse = np.stack([np.cos(around), np.sin(around)], axis=-1)
        corners = ellipse * rng.uniform(0.3, 1, 2) * radius
        angle = rng.uniform(0, np.pi)
    else:
        around = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 10))))
        reach = radius * rng.uniform(0.5, 1.1, (len(around), 1))
        corners = np.stack([np.cos(around), np.sin(around)], axis=-1) * reach
        angle = 0.0
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (corners @ turn.T + center).astype(np.int32)
    color = random_color(rng)
    if radius < 24 or rng.random() < 0.5:
        cv2.fillConvexPoly(image, points, color, cv2.LINE_AA)
        return
    x1, y1 = np.maximum(points.min(axis=0), 0)
    x2, y2 = np.minimum(points.max(axis=0) + 1, (width, height))
    if x2 - x1 < 2 or y2 - y1 < 2:
        return
    mask = np.zeros((y2 - y1, x2 - x1), np.uint8)
    cv2.fillPoly(mask, [points - np.array([x1, y1], np.int32)], 255, cv2.LINE_AA)
    blend(image[y1:y2, x1:x2], material(rng, (int(x2 - x1), int(y2 - y1))), mask)


def _room(rng: np.random.Generator, size: Size) -> Image:
    """A wall and a floor or table, with a few boxes between them that resemble furniture."""
    image = material(rng, size)
    horizon = int(size[1] * rng.uniform(0.25, 0.8))
    image[horizon:] = material(rng, (size[0], size[1] - horizon))
    for _ in range(int(rng.integers(0, 7))):
        width, height = (rng.uniform(0.05, 0.4, 2) * size).astype(int)
        x = int(rng.integers(-width // 2, size[0]))
        bottom = int(np.clip(horizon + rng.normal(0, 0.15) * size[1], 4, size[1]))
        x1, x2, y1 = max(x, 0), min(x + width, size[0]), max(bottom - height, 0)
        if x2 - x1 > 3 and bottom - y1 > 3:
            image[y1:bottom, x1:x2] = material(rng, (x2 - x1, bottom - y1))
            cv2.rectangle(image, (x1, y1), (x2, bottom), random_color(rng, value=(0, 0.3)), 1)
    return image


def _shelf(rng: np.random.Generator, size: Size) -> Image:
    """Shelf boards with rows of packages above price strips."""
    image = flat(size, random_color(rng, value=(0, 0.4), vivid=0.1))
    boards = int(rng.integers(2, 5))
    step = size[1] / boards
    board_color = random_color(rng, value=(0.4, 1.0), vivid=0.2)
    for board in range(boards):
        bottom = int((board + 1) * step)
        strip = max(3, int(step * rng.uniform(0.08, 0.22)))
        x = 0
        while x < size[0]:
            width = int(size[0] * rng.uniform(0.04, 0.2)) + 4
            top = int(bottom - strip - step * rng.uniform(0.4, 0.85))
            _package(rng, image, (x, max(top, 0), min(x + width, size[0]), bottom - strip))
            x += width + int(rng.integers(0, 6))
        cv2.rectangle(image, (0, bottom - strip), (size[0], bottom), board_color, -1)
    return image


def _package(rng: np.random.Generator, image: Image, box: tuple[int, int, int, int]) -> None:
    x1, y1, x2, y2 = box
    if x2 - x1 < 4 or y2 - y1 < 4:
        return
    area = image[y1:y2, x1:x2]
    area[:] = random_color(rng, vivid=0.7)
    height, width = area.shape[:2]
    band = sorted(rng.integers(0, height, 2).tolist())
    area[band[0] : band[1]] = random_color(rng, vivid=0.6)
    write_paragraph(
        rng,
        area,
        (2, height // 5, width - 4, height // 2),
        max(4, int(height * rng.uniform(0.06, 0.2))),
        random_color(rng),
    )


def _page(rng: np.random.Generator, size: Size) -> Image:
    """A document that fills the picture."""
    ground = random_color(rng, value=(0.8, 1.0), vivid=0.1)
    image = add_grain(rng, flat(size, ground), rng.uniform(0, 4))
    columns = int(rng.integers(1, 4))
    line = int(rng.integers(6, 26))
    ink = random_color(rng, value=(0, 0.35), vivid=0.15)
    for column in range(columns):
        x = int(column * size[0] / columns) + 6
        y = int(rng.integers(0, size[1] // 3))
        while y < size[1] - line:
            height = int(rng.uniform(0.1, 0.4) * size[1])
            width = int(size[0] / columns) - 12
            write_paragraph(rng, image, (x, y, width, min(height, size[1] - y)), line, ink)
            y += height + line
    return image


def _sky(rng: np.random.Generator, size: Size) -> Image:
    """An outdoor scene: a bright sky, buildings and ground."""
    top, low = random_color(rng, value=(0.5, 1.0)), random_color(rng, value=(0.7, 1.0), vivid=0.1)
    field = np.repeat(np.linspace(0, 1, size[1], dtype=np.float32)[:, None], size[0], axis=1)
    image = colorize(field, [top, low])
    horizon = int(size[1] * rng.uniform(0.4, 0.85))
    for _ in range(int(rng.integers(2, 9))):
        x1 = int(rng.integers(-20, size[0]))
        x2, y1 = x1 + int(size[0] * rng.uniform(0.08, 0.4)), int(horizon * rng.uniform(0.1, 0.95))
        cv2.rectangle(image, (x1, y1), (x2, horizon), random_color(rng, vivid=0.2), -1)
        step = int(rng.integers(6, 30))
        pane = random_color(rng, value=(0.05, 0.6))
        for y in range(y1 + step // 2, horizon - step, step):
            for x in range(x1 + step // 2, x2 - step, step):
                cv2.rectangle(image, (x, y), (x + step // 2, y + int(step * 0.6)), pane, -1)
    image[horizon:] = material(rng, (size[0], size[1] - horizon))
    return image


def _desktop(rng: np.random.Generator, size: Size) -> Image:
    """A screenshot with several windows."""
    image = _gradient(rng, size) if rng.random() < 0.5 else flat(size, random_color(rng))
    for _ in range(int(rng.integers(1, 5))):
        width, height = (rng.uniform(0.3, 0.8, 2) * size).astype(int)
        x = int(rng.integers(0, size[0] - width))
        y = int(rng.integers(0, size[1] - height))
        dark = rng.random() < 0.3
        ground = random_color(rng, value=(0.05, 0.25) if dark else (0.85, 1.0), vivid=0.1)
        ink = random_color(rng, value=(0.7, 1.0) if dark else (0.0, 0.4), vivid=0.2)
        cv2.rectangle(image, (x, y), (x + width, y + height), ground, -1)
        bar = max(4, height // 14)
        cv2.rectangle(image, (x, y), (x + width, y + bar), random_color(rng), -1)
        body = (x + 6, y + bar + 4, width - 12, height - bar - 8)
        write_paragraph(rng, image, body, int(rng.integers(6, 16)), ink)
    return image


_MATERIALS = (_plain, _gradient, _wall, _marbled, _wood, _cardboard, _metal, _fabric)
_MAKERS: tuple[Callable[[np.random.Generator, Size], Image], ...] = (
    _plain,
    _gradient,
    _wall,
    _marbled,
    _wood,
    _cardboard,
    _metal,
    _fabric,
    _tiles,
    _clutter,
    _room,
    _shelf,
    _page,
    _sky,
    _desktop,
)
_WEIGHTS = np.array([3, 3, 5, 3, 5, 3, 2, 2, 3, 9, 6, 4, 3, 3, 3], np.float64)
_WEIGHTS /= _WEIGHTS.sum()
