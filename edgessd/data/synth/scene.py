"""`render_scene`: one picture of printed codes with its ground truth, from one number.

What a box means: the axis-parallel hull of a code's visible modules, clipped to the picture. The quiet
zone and the digits under a 1-D code are outside. A code of which less than 40% is visible (hidden,
or beyond the picture's border), or whose visible hull is narrower than 4 pixels, has no box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgessd.core.boxes import FloatArray
from edgessd.data.synth.backgrounds import photo_background, random_background
from edgessd.data.synth.codes import BARCODE, LABELS, random_code
from edgessd.data.synth.degrade import degrade
from edgessd.data.synth.distractors import random_distractor
from edgessd.data.synth.printing import Print, print_code, random_ink
from edgessd.data.synth.sheets import Sheet, bare_sheet, grid_sheet, random_sheet
from edgessd.data.synth.textures import Image, as_colour, blend, colourise, random_colour
from edgessd.data.synth.warp import (
    Bend,
    Points,
    apply_homography,
    random_bend,
    translate,
    view_matrix,
    warp_into,
)

_EASY_SHARE = 0.3  # most people hold a sharp, well-lit code straight in front of the camera
_EASY_STRENGTH = 0.3
MIN_VISIBLE = 0.4
MIN_SIDE = 4.0
_LARGEST_SHEET = 1.7  # of the picture's longer side
_LARGEST_TEXTURE = 1400  # pixels


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """A picture and its ground truth.

    Attributes:
        image: (height, width, 3) uint8 BGR.
        boxes: (n, 4) float32 xyxy, continuous pixels; see the module for what they enclose.
        class_ids: (n,) int64, indices into LABELS.
    """

    image: Image
    boxes: FloatArray
    class_ids: NDArray[np.int64]


def render_scene(
    seed: int,
    *,
    size: tuple[int, int] = (640, 480),
    strength: float = 1.0,
    backgrounds: Sequence[Path] = (),
) -> Scene:
    """Render the scene of a seed: the same seed and arguments give the same bytes.

    Args:
        seed: Any non-negative integer.
        size: Width and height in pixels.
        strength: Of perspective, bending, odd inks and everything in `degrade`: 1 is the whole
            variety of real photographs, 0 flat black-on-white codes in a clean picture.
        backgrounds: Photographs that half of the scenes take as background; they must show no code.
    """
    rng = np.random.default_rng(seed)
    if backgrounds and rng.random() < 0.5:
        image = photo_background(rng, size, backgrounds[int(rng.integers(len(backgrounds)))])
    else:
        image = random_background(rng, size)
    if rng.random() < _EASY_SHARE:
        strength *= _EASY_STRENGTH
    canvas = _Canvas(image, rng, strength)
    for is_code in _contents(rng):
        canvas.add_object(with_code=is_code)
    if rng.random() < 0.18 * strength:
        canvas.add_occluder()
    boxes, class_ids = canvas.ground_truth()
    return Scene(
        image=degrade(rng, canvas.image, strength),
        boxes=boxes,
        class_ids=class_ids,
    )


def _contents(rng: np.random.Generator) -> list[bool]:
    """Objects in the order in which they are laid down: True bears codes, False is a distractor."""
    codes = int(rng.choice([0, 1, 2, 3, 4, 5], p=[0.1, 0.46, 0.22, 0.12, 0.06, 0.04]))
    distractors = int(rng.choice([0, 1, 2, 3, 4], p=[0.36, 0.28, 0.2, 0.1, 0.06]))
    if codes == 0:
        distractors += int(rng.integers(0, 4))
    # A distractor laid last would hide codes too often.
    order = rng.permutation([True] * codes + [False] * distractors).tolist()
    return sorted(order) if rng.random() < 0.6 else order


@dataclass(frozen=True, kw_only=True, slots=True)
class _Placed:
    outline: Points  # in the picture
    class_id: int
    painted: int  # pixels of the picture that it covered when it was laid down


class _Canvas:
    """A picture under construction, and which code each of its pixels shows."""

    def __init__(self, image: Image, rng: np.random.Generator, strength: float) -> None:
        self.image = image
        self.rng = rng
        self.strength = strength
        self.height, self.width = image.shape[:2]
        self.owner = np.zeros((self.height, self.width), np.uint8)
        self.placed: list[_Placed] = []

    def add_object(self, *, with_code: bool) -> None:
        """Lay down a sheet with codes, or a distractor, at a random place."""
        rng = self.rng
        detail = 1.0
        side = self._random_side()
        if rng.random() < 0.3 * self.strength and side < 260:
            # More texture than picture pixels: bilinear sampling then aliases, as it does when a
            # large photograph is shrunk to a network's input.
            detail = float(rng.uniform(1.2, 2.6))
        sheet = self._sheet(max(8, int(side * detail)), with_code=with_code)
        linear = BARCODE in sheet.class_ids
        size = (sheet.image.shape[1], sheet.image.shape[0])
        bend = random_bend(rng, size, self.strength)
        for _ in range(6):
            matrix = self._view(size, 1 / detail, linear=linear)
            outlines = [_to_picture(matrix, bend, outline) for outline in sheet.outlines]
            hull = np.concatenate(outlines) if outlines else _corners(matrix, bend, size)
            matrix, shift = self._place(matrix, hull)
            outlines = [outline + shift for outline in outlines]
            if self._is_free(_corners(matrix, bend, size)):
                break
        else:
            if rng.random() < 0.85:  # no room left: hide what lies there only now and then
                return
        self._lay(sheet, matrix, bend, outlines)

    def _random_side(self) -> float:
        """The longer side of a code in picture pixels, 4% to 85% of the shorter picture side."""
        rng = self.rng
        reach = min(self.width, self.height)
        if rng.random() < 0.25:  # held in front of the camera
            return float(reach * rng.uniform(0.35, 0.85))
        return float(reach * np.exp(rng.uniform(np.log(0.05), np.log(0.6))))

    def _sheet(self, side: int, *, with_code: bool) -> Sheet:
        rng = self.rng
        largest = int(min(_LARGEST_SHEET * max(self.width, self.height), _LARGEST_TEXTURE))
        if not with_code:
            # Smaller ones than this can't be told from codes.
            item = random_distractor(rng, max(side, 28))
            return bare_sheet(item) if rng.random() < 0.6 else random_sheet(rng, [item], largest)
        class_id = int(rng.integers(len(LABELS)))
        reach = min(self.width, self.height)
        draw = rng.random()
        if draw < 0.05 and side < reach * 0.25:
            count = int(rng.integers(2, 10))
            items = [self._print(side, class_id) for _ in range(count)]
            return grid_sheet(rng, items, int(rng.integers(1, 4)))
        items = [self._print(side, class_id)]
        if draw < 0.2 and side < reach * 0.4:
            other = int(side * rng.uniform(0.4, 1.3))
            items.append(self._print(other, int(rng.integers(len(LABELS)))))
        elif draw < 0.36 and side < reach * 0.5:
            items.append(random_distractor(rng, int(side * rng.uniform(0.4, 1.3))))
        order = rng.permutation(len(items))
        return random_sheet(rng, [items[index] for index in order], largest)

    def _print(self, side: int, class_id: int) -> Print:
        code = random_code(self.rng, class_id)
        # Modules far below a pixel melt into grey: print such codes larger.
        side = max(side, int(max(code.dark.shape) * (0.7 if code.linear else 0.5)))
        return print_code(self.rng, code, side, random_ink(self.rng, code, strength=self.strength))

    def _view(self, size: tuple[int, int], scale: float, *, linear: bool) -> Points:
        rng, strength = self.rng, self.strength
        draw = rng.random()
        if draw < 0.5:
            rotation = rng.normal(0, 0.12)
        elif draw < 0.62:
            rotation = rng.integers(1, 4) * np.pi / 2 + rng.normal(0, 0.12)
        elif linear and draw < 0.92:
            rotation = rng.uniform(-np.pi / 4, np.pi / 4)
        else:
            rotation = rng.uniform(-np.pi, np.pi)
        tilt = strength * (0.75 if rng.random() < 0.4 else 0.25)
        return view_matrix(
            size,
            scale=scale,
            rotation=float(rotation) * (1 if strength else 0),
            pitch=float(np.clip(rng.normal(0, tilt), -1.0, 1.0)),
            yaw=float(np.clip(rng.normal(0, tilt), -1.0, 1.0)),
            distance=float(rng.uniform(1.3, 4.0)),
        )

    def _place(self, matrix: Points, hull: Points) -> tuple[Points, Points]:
        """Shift a sheet so that its codes lie in the picture, sometimes across its border."""
        rng = self.rng
        low, high = hull.min(axis=0), hull.max(axis=0)
        extent, room = high - low, np.array([self.width, self.height], np.float64)
        overhang = extent * (0.45 if rng.random() < 0.12 * self.strength else 0.0)
        first = np.minimum(-overhang, (room - extent) / 2)
        last = np.maximum(room - extent + overhang, (room - extent) / 2)
        shift = first + (last - first) * rng.random(2) - low
        return translate(matrix, float(shift[0]), float(shift[1])), shift

    def _is_free(self, hull: Points) -> bool:
        """Whether an object there would hide less than a twentieth of any code's box."""
        low, high = hull.min(axis=0), hull.max(axis=0)
        for other in self.placed:
            other_low, other_high = other.outline.min(axis=0), other.outline.max(axis=0)
            overlap = np.minimum(high, other_high) - np.maximum(low, other_low)
            if (overlap > 0).all():
                area = np.prod(other_high - other_low)
                if np.prod(overlap) > 0.05 * area:
                    return False
        return True

    def _lay(self, sheet: Sheet, matrix: Points, bend: Bend | None, outlines: list[Points]) -> None:
        size = (sheet.image.shape[1], sheet.image.shape[0])
        hull = _corners(matrix, bend, size)
        window = self._window(hull)
        if window is None:
            return
        image = sheet.image
        if bend is not None:
            image = bend.shade(image, float(self.rng.uniform(-1, 1)))
        layer = cv2.merge([image, sheet.alpha])
        warped = warp_into(layer, matrix, bend, window)
        x1, y1, x2, y2 = window
        area = self.image[y1:y2, x1:x2]
        if sheet.lift > 0.4 and self.rng.random() < 0.7 * self.strength:
            self._drop_shadow(area, warped[..., 3], sheet.lift)
        weights = warped[..., 3].astype(np.float32) * np.float32(1 / 255)
        area[:] = cv2.blendLinear(
            cv2.cvtColor(warped, cv2.COLOR_BGRA2BGR), area, weights, 1 - weights
        )
        self.owner[y1:y2, x1:x2][warped[..., 3] > 127] = 0
        for outline, class_id in zip(outlines, sheet.class_ids, strict=True):
            self._claim(outline, class_id)

    def _drop_shadow(self, area: Image, alpha: Image, lift: float) -> None:
        reach = max(2.0, lift * 0.02 * max(self.width, self.height))
        dx, dy = self.rng.uniform(-reach, reach, 2)
        moved = cv2.warpAffine(
            alpha, np.array([[1, 0, dx], [0, 1, dy]]), (alpha.shape[1], alpha.shape[0])
        )
        soft = cv2.blur(moved, (2 * int(reach / 2) + 1,) * 2)
        gain = 1 - soft.astype(np.float32) * np.float32(self.rng.uniform(0.2, 0.6) / 255)
        area[:] = cv2.multiply(area, cv2.merge([gain, gain, gain]), dtype=cv2.CV_8U)

    def _claim(self, outline: Points, class_id: int) -> None:
        if len(self.placed) >= 255:
            return
        number = len(self.placed) + 1
        # fillPoly counts from pixel centres, in sixteenths.
        cv2.fillPoly(
            self.owner,
            [np.round((np.clip(outline, -4e3, 4e3) - 0.5) * 16).astype(np.int32)],
            number,
            cv2.LINE_8,
            4,
        )
        painted = int(np.count_nonzero(self.owner == number))
        self.placed.append(_Placed(outline=outline, class_id=class_id, painted=painted))

    def _window(self, hull: Points) -> tuple[int, int, int, int] | None:
        """The part of the picture that a hull covers; None if it lies outside."""
        low = np.clip(np.floor(hull.min(axis=0)) - 1, 0, (self.width, self.height)).astype(int)
        high = np.clip(np.ceil(hull.max(axis=0)) + 1, 0, (self.width, self.height)).astype(int)
        if (high - low < 1).any():
            return None
        return int(low[0]), int(low[1]), int(high[0]), int(high[1])

    def add_occluder(self) -> None:
        """A finger, a strap or a blob over the picture."""
        rng = self.rng
        colour = random_colour(rng)
        thickness = int(min(self.width, self.height) * rng.uniform(0.02, 0.14)) + 1
        room = np.array([self.width, self.height])
        if rng.random() < 0.6:  # a finger reaching in from a border
            skin = np.array([110, 150, 205]) * rng.uniform(0.3, 1.15)
            colour = as_colour(skin)
            start = rng.random(2)
            start[int(rng.integers(2))] = rng.integers(2)
            middle = 0.5 + rng.normal(0, 0.2, 2)
            end = start + (middle - start) * rng.uniform(0.2, 0.7)
            points = np.stack([start, end]) * room
        else:
            points = rng.random((2, 2)) * room
            if rng.random() < 0.5:
                points = points[0] + (points - points[0]) * 3
        points = points.astype(np.int32)
        window = self._window(np.concatenate([points - thickness, points + thickness]))
        if window is None:
            return
        x1, y1, x2, y2 = window
        mask = np.zeros((y2 - y1, x2 - x1), np.uint8)
        first, last = (points - np.array([x1, y1])).tolist()
        cv2.line(mask, first, last, 255, thickness, cv2.LINE_AA)
        soft = cv2.blur(mask, (2 * (thickness // 4) + 1,) * 2)
        shading = colourise(
            soft.astype(np.float32) / 255, [as_colour(np.array(colour) * 0.55), colour]
        )
        blend(self.image[y1:y2, x1:x2], shading, mask)
        self.owner[y1:y2, x1:x2][mask > 127] = 0

    def ground_truth(self) -> tuple[FloatArray, NDArray[np.int64]]:
        """Boxes (n, 4) and class ids (n,) of the codes that are visible enough."""
        boxes, class_ids = [], []
        for number, placed in enumerate(self.placed, start=1):
            box = self._visible_box(number, placed)
            if box is not None:
                boxes.append(box)
                class_ids.append(placed.class_id)
        return (
            np.array(boxes, np.float32).reshape(-1, 4),
            np.array(class_ids, np.int64),
        )

    def _visible_box(self, number: int, placed: _Placed) -> NDArray[np.float64] | None:
        inside = clip_polygon(placed.outline, self.width, self.height)
        if len(inside) < 3 or placed.painted == 0:
            return None
        seen = self.owner == number
        remaining = np.count_nonzero(seen) / placed.painted
        share = remaining * polygon_area(inside) / max(polygon_area(placed.outline), 1e-6)
        if share < MIN_VISIBLE:
            return None
        low, high = inside.min(axis=0), inside.max(axis=0)
        if remaining < 0.98:
            x, y, width, height = cv2.boundingRect(seen.astype(np.uint8))
            low = np.maximum(low, (x, y))
            high = np.minimum(high, (x + width, y + height))
        if (high - low < MIN_SIDE).any():
            return None
        return np.concatenate([low, high])


def _to_picture(matrix: Points, bend: Bend | None, points: Points) -> Points:
    return apply_homography(matrix, points if bend is None else bend.to_plane(points))


def _corners(matrix: Points, bend: Bend | None, size: tuple[int, int]) -> Points:
    """Points around the sheet's rim in the picture."""
    steps = np.linspace(0, 1, 9)
    rim = np.concatenate(
        [
            np.stack([steps, np.zeros(9)], axis=-1),
            np.stack([steps, np.ones(9)], axis=-1),
            np.stack([np.zeros(9), steps], axis=-1),
            np.stack([np.ones(9), steps], axis=-1),
        ]
    )
    return _to_picture(matrix, bend, rim * np.array(size, np.float64))


def polygon_area(points: Points) -> float:
    """Area of a polygon (n, 2), whichever way it turns."""
    x, y = points[:, 0], points[:, 1]
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def clip_polygon(points: Points, width: float, height: float) -> Points:
    """The part of a polygon (n, 2) inside a picture (Sutherland and Hodgman 1974); (0, 2) if none."""
    if (points >= 0).all() and (points <= (width, height)).all():
        return points
    for axis, limit, sign in ((0, 0.0, 1), (0, width, -1), (1, 0.0, 1), (1, height, -1)):
        if len(points) == 0:
            break
        distance = sign * (points[:, axis] - limit)
        kept: list[NDArray[np.float64]] = []
        for index in range(len(points)):
            before, now = distance[index - 1], distance[index]
            if (before >= 0) != (now >= 0):
                share = before / (before - now)
                kept.append(points[index - 1] + share * (points[index] - points[index - 1]))
            if now >= 0:
                kept.append(points[index])
        points = np.array(kept).reshape(-1, 2)
    return points
