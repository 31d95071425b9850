"""Map a flat sheet to the picture: bent, crumpled, turned, and in perspective.

Coordinates are continuous: pixel (i, j) covers [j, j+1) x [i, i+1). The map and its inverse are closed
forms, or a fixed-point iteration for crumples, so that outlines are exact to a fraction of a pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgessd.data.synth.textures import Image

Points = NDArray[Any]  # float64

_COARSE = 4  # the map of a bent sheet is computed at every fourth pixel and interpolated
_PAD = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Bend:
    """Bending of a sheet, as a map from the sheet to its projection on a plane.

    Attributes:
        size: Width and height of the sheet in pixels.
        angle: Half the arc of the cylinder that the sheet lies on, in radians; 0 for a flat sheet.
        bow: Visible height of the arc, a fraction of the sheet's size.
        along_x: True if the sheet curves along x around a vertical axis, else along y.
        waves: (k, 6) crumples: amplitudes in x and y in pixels, wave numbers in x and y per pixel,
            phases in x and y.
    """

    size: tuple[int, int]
    angle: float
    bow: float
    along_x: bool
    waves: NDArray[np.float64]

    def to_plane(self, points: Points) -> Points:
        """Map points of the sheet to the plane, (n, 2) → (n, 2)."""
        guess = points.copy()
        for _ in range(6):  # converges, because amplitude times wave number is below 0.2
            guess = points - self._crumple(guess)
        return self._roll(guess, forward=True)

    def to_sheet(self, points: Points) -> Points:
        """Map points of the plane to the sheet, (n, 2) → (n, 2)."""
        flat = self._roll(points, forward=False)
        sheet: Points = flat + self._crumple(flat)
        return sheet

    def shade(self, image: Image, light: float) -> Image:
        """Darken the sides of the cylinder; `light` in [-1, 1] is the side of the light."""
        if self.angle == 0:
            return image
        count = self.size[0] if self.along_x else self.size[1]
        theta = np.linspace(-self.angle, self.angle, count)
        gain = np.clip(0.35 + 0.65 * np.cos(theta - light * self.angle), 0, 1).astype(np.float32)
        gain = gain[None, :, None] if self.along_x else gain[:, None, None]
        gains = np.broadcast_to(gain, image.shape)
        return cv2.multiply(image, np.ascontiguousarray(gains), dtype=cv2.CV_8U)

    def _crumple(self, points: Points) -> Points:
        shift = np.zeros_like(points)
        for amplitude_x, amplitude_y, kx, ky, phase_x, phase_y in self.waves:
            argument = kx * points[:, 0] + ky * points[:, 1]
            shift[:, 0] += amplitude_x * np.sin(argument + phase_x)
            shift[:, 1] += amplitude_y * np.sin(argument + phase_y)
        return shift

    def _roll(self, points: Points, *, forward: bool) -> Points:
        if self.angle == 0:
            return points
        axis, other = (0, 1) if self.along_x else (1, 0)
        half = self.size[axis] / 2
        rolled: Points = points.copy()
        position = points[:, axis] / half - 1
        sine = np.sin(self.angle)
        if forward:
            theta = np.clip(position * self.angle, -np.pi / 2, np.pi / 2)
            rolled[:, axis] = half * (np.sin(theta) / sine + 1)
            rolled[:, other] += self.bow * self.size[other] * (1 - np.cos(theta))
            return rolled
        theta = np.arcsin(np.clip(position * sine, -1, 1))
        rolled[:, axis] = half * (theta / self.angle + 1)
        # Beyond the edge of the sheet, arcsin saturates; this term keeps such points outside.
        rolled[:, axis] += half * (position - np.clip(position, -1, 1)) * 4
        rolled[:, other] -= self.bow * self.size[other] * (1 - np.cos(theta))
        return rolled


def random_bend(rng: np.random.Generator, size: tuple[int, int], strength: float) -> Bend | None:
    """Draw a bending: a cylinder, crumples or both; None for a flat sheet, which is most frequent."""
    draw = rng.random()
    if draw > 0.32 * strength:
        return None
    cylinder, crumpled = draw < 0.2 * strength, draw > 0.15 * strength
    count = int(rng.integers(2, 5)) if crumpled else 0
    waves = np.empty((count, 6))
    for wave in waves:
        length = max(size) * rng.uniform(0.25, 1.0)
        number = 2 * np.pi / length
        direction = rng.uniform(0, np.pi)
        # The slope of all waves together stays below 0.2.
        amplitude = 0.18 * strength * rng.uniform(0.2, 1.0) / (number * count)
        wave[:] = (
            *(amplitude * rng.uniform(-1, 1, 2)),
            number * np.cos(direction),
            number * np.sin(direction),
            *rng.uniform(0, 2 * np.pi, 2),
        )
    return Bend(
        size=size,
        angle=float(rng.uniform(0.3, 1.15)) if cylinder else 0.0,
        bow=float(rng.uniform(-0.35, 0.35)),
        along_x=bool(rng.random() < 0.7),
        waves=waves,
    )


def view_matrix(
    size: tuple[int, int],
    *,
    scale: float,
    rotation: float,
    pitch: float,
    yaw: float,
    distance: float,
) -> Points:
    """Compute the homography of a sheet in front of a pinhole camera.

    Args:
        size: Width and height of the sheet in pixels.
        scale: Pixels of the picture per pixel of the sheet, at the sheet's center.
        rotation: Rotation in the picture plane, in radians.
        pitch: Tilt around the horizontal axis, in radians.
        yaw: Tilt around the vertical axis, in radians.
        distance: Distance of the camera, in diagonals of the sheet.

    Returns:
        (3, 3) homography from sheet coordinates to picture coordinates with the sheet's center at the
        origin.
    """
    focal = distance * float(np.hypot(*size)) * scale
    cos_r, sin_r = np.cos(rotation), np.sin(rotation)
    cos_p, sin_p = np.cos(pitch), np.sin(pitch)
    cos_y, sin_y = np.cos(yaw), np.sin(yaw)
    around_z = np.array([[cos_r, -sin_r, 0], [sin_r, cos_r, 0], [0, 0, 1]])
    around_x = np.array([[1, 0, 0], [0, cos_p, -sin_p], [0, sin_p, cos_p]])
    around_y = np.array([[cos_y, 0, sin_y], [0, 1, 0], [-sin_y, 0, cos_y]])
    turn = around_y @ around_x @ around_z
    center = np.array(
        [[scale, 0, -scale * size[0] / 2], [0, scale, -scale * size[1] / 2], [0, 0, 1]]
    )
    # A point (x, y, 0) of the sheet turns to (X, Y, Z) and is projected to focal * (X, Y) / (focal + Z).
    project = np.array(
        [
            [turn[0, 0], turn[0, 1], 0],
            [turn[1, 0], turn[1, 1], 0],
            [turn[2, 0] / focal, turn[2, 1] / focal, 1],
        ]
    )
    view: Points = project @ center
    return view


def translate(matrix: Points, x: float, y: float) -> Points:
    """Append a shift to a homography."""
    shifted: Points = np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]]) @ matrix
    return shifted


def apply_homography(matrix: Points, points: Points) -> Points:
    """Map points by a homography, (n, 2) → (n, 2)."""
    mapped = points @ matrix[:, :2].T + matrix[:, 2]
    projected: Points = mapped[:, :2] / mapped[:, 2:]
    return projected


def warp_into(
    image: Image,
    matrix: Points,
    bend: Bend | None,
    window: tuple[int, int, int, int],
) -> Image:
    """Draw a sheet as it appears in a window of the picture; black outside of the sheet.

    Args:
        image: The sheet, (h, w) or (h, w, channels) uint8.
        matrix: (3, 3) homography from the sheet's plane to picture coordinates.
        bend: Bending of the sheet; None if it is flat.
        window: (x1, y1, x2, y2) in pixels of the picture.
    """
    x1, y1, x2, y2 = window
    width, height = x2 - x1, y2 - y1
    if bend is None:
        # OpenCV's coordinates start at pixel centers, those of the matrix at pixel corners.
        to_corner = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
        to_index = np.array([[1, 0, -0.5 - x1], [0, 1, -0.5 - y1], [0, 0, 1]])
        return cv2.warpPerspective(image, to_index @ matrix @ to_corner, (width, height))
    columns = (width + 2 * _PAD + _COARSE - 1) // _COARSE
    rows = (height + 2 * _PAD + _COARSE - 1) // _COARSE
    xs = x1 - _PAD + (np.arange(columns) + 0.5) * _COARSE
    ys = y1 - _PAD + (np.arange(rows) + 0.5) * _COARSE
    grid = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    sheet = bend.to_sheet(apply_homography(np.linalg.inv(matrix), grid)) - 0.5
    coarse = np.clip(sheet, -1e4, 1e4).astype(np.float32).reshape(rows, columns, 2)
    fine = cv2.resize(coarse, (columns * _COARSE, rows * _COARSE), interpolation=cv2.INTER_LINEAR)
    map_x, map_y = (
        np.ascontiguousarray(fine[_PAD : _PAD + height, _PAD : _PAD + width, axis])
        for axis in (0, 1)
    )
    return cv2.remap(image, map_x, map_y, cv2.INTER_LINEAR)
