"""A picture under construction: sheets are laid onto it, and the visible codes become ground truth."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgessd.core.arrays import FloatArray
from edgessd.data.synth.codes import BARCODE, LABELS, random_code
from edgessd.data.synth.distractors import random_distractor
from edgessd.data.synth.polygons import clip_polygon, polygon_area
from edgessd.data.synth.printing import Print, print_code, random_ink
from edgessd.data.synth.sheets import Sheet, bare_sheet, grid_sheet, random_sheet
from edgessd.data.synth.textures import Image, as_color, blend, colorize, random_color
from edgessd.data.synth.warp import (
    Bend,
    Points,
    apply_homography,
    random_bend,
    translate,
    view_matrix,
    warp_into,
)

MIN_VISIBLE = 0.4
"""Smallest visible fraction of a code with a box."""
MIN_SIDE = 4.0
"""Smallest side of a box, in pixels."""
_LARGEST_SHEET = 1.7  # a fraction of the picture's longer side
_LARGEST_TEXTURE = 1400  # pixels


@dataclass(frozen=True, kw_only=True, slots=True)
class _Placed:
    """A code on the canvas.

    Attributes:
        outline: (k, 2) points of its outline in pixels of the picture.
        class_id: Index into LABELS.
        painted: Number of pixels that it covered when it was laid down.
    """

    outline: Points
    class_id: int
    painted: int


class Canvas:
    """A picture under construction.

    Args:
        image: Background, (height, width, 3) uint8 BGR, which is drawn on.
        rng: Source of all random numbers.
        strength: Strength of perspective, bending and unusual inks, from 0 to 1.

    Attributes:
        owner: (height, width) uint8, the number of the code that each pixel shows; 0 for none.
        placed: Codes in the order they were laid down; the first has number 1.
    """

    def __init__(self, image: Image, rng: np.random.Generator, strength: float) -> None:
        self.image = image
        self.rng = rng
        self.strength = strength
        self.height, self.width = image.shape[:2]
        self.owner = np.zeros((self.height, self.width), np.uint8)
        self.placed: list[_Placed] = []

    def add_object(self, *, with_code: bool) -> None:
        """Lay a sheet with codes, or a distractor, at a random place."""
        rng = self.rng
        detail = 1.0
        side = self._random_side()
        if rng.random() < 0.3 * self.strength and side < 260:
            # With more texture pixels than picture pixels, bilinear sampling aliases, as it does when
            # a large photo is shrunk to a network's input.
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
            if rng.random() < 0.85:  # without room, an object seldom hides others
                return
        self.lay(sheet, matrix, bend, outlines)

    def _random_side(self) -> float:
        """Draw the longer side of a code in pixels: 5% to 85% of the picture's shorter side."""
        rng = self.rng
        reach = min(self.width, self.height)
        if rng.random() < 0.25:  # held in front of the camera
            return float(reach * rng.uniform(0.35, 0.85))
        return float(reach * np.exp(rng.uniform(np.log(0.05), np.log(0.6))))

    def _sheet(self, side: int, *, with_code: bool) -> Sheet:
        rng = self.rng
        largest = int(min(_LARGEST_SHEET * max(self.width, self.height), _LARGEST_TEXTURE))
        if not with_code:
            # Smaller distractors can't be told from codes.
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
        # Modules far below a pixel turn gray, so such codes are printed larger.
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
        """Shift a sheet so that its codes lie in the picture, and sometimes across its border."""
        rng = self.rng
        low, high = hull.min(axis=0), hull.max(axis=0)
        extent, room = high - low, np.array([self.width, self.height], np.float64)
        overhang = extent * (0.45 if rng.random() < 0.12 * self.strength else 0.0)
        first = np.minimum(-overhang, (room - extent) / 2)
        last = np.maximum(room - extent + overhang, (room - extent) / 2)
        shift = first + (last - first) * rng.random(2) - low
        return translate(matrix, float(shift[0]), float(shift[1])), shift

    def _is_free(self, hull: Points) -> bool:
        """True if an object at this place hides at most a twentieth of each code's hull."""
        low, high = hull.min(axis=0), hull.max(axis=0)
        for other in self.placed:
            other_low, other_high = other.outline.min(axis=0), other.outline.max(axis=0)
            overlap = np.minimum(high, other_high) - np.maximum(low, other_low)
            if (overlap > 0).all():
                area = np.prod(other_high - other_low)
                if np.prod(overlap) > 0.05 * area:
                    return False
        return True

    def lay(self, sheet: Sheet, matrix: Points, bend: Bend | None, outlines: list[Points]) -> None:
        """Draw a sheet onto the picture and register its codes.

        Args:
            sheet: The sheet with its codes.
            matrix: (3, 3) homography from the sheet's plane to the picture.
            bend: Bending of the sheet; None if it is flat.
            outlines: Outline of each code of the sheet, (k, 2) in pixels of the picture.
        """
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
        # fillPoly's coordinates start at pixel centers and are given in sixteenths.
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
        """Rectangle of the picture that contains a hull; None if the hull is outside."""
        low = np.clip(np.floor(hull.min(axis=0)) - 1, 0, (self.width, self.height)).astype(int)
        high = np.clip(np.ceil(hull.max(axis=0)) + 1, 0, (self.width, self.height)).astype(int)
        if (high - low < 1).any():
            return None
        return int(low[0]), int(low[1]), int(high[0]), int(high[1])

    def add_occluder(self) -> None:
        """Draw a finger, a strap or a blob over the picture."""
        rng = self.rng
        color = random_color(rng)
        thickness = int(min(self.width, self.height) * rng.uniform(0.02, 0.14)) + 1
        room = np.array([self.width, self.height])
        if rng.random() < 0.6:  # a finger that comes from a border
            skin = np.array([110, 150, 205]) * rng.uniform(0.3, 1.15)
            color = as_color(skin)
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
        shading = colorize(soft.astype(np.float32) / 255, [as_color(np.array(color) * 0.55), color])
        blend(self.image[y1:y2, x1:x2], shading, mask)
        self.owner[y1:y2, x1:x2][mask > 127] = 0

    def ground_truth(self) -> tuple[FloatArray, NDArray[np.int64]]:
        """Return boxes (n, 4) and class ids (n,) of the codes that are visible enough."""
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
    """Points along the sheet's border, in pixels of the picture."""
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
