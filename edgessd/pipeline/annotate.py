"""Boxes and labels drawn on a frame."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgessd.core.detections import Detections
from edgessd.pipeline.events import RegionState

Color = tuple[int, int, int]
_WHITE: Color = (255, 255, 255)
_BLACK: Color = (20, 20, 20)
_REGION: Color = (60, 220, 255)
_OCCUPIED: Color = (80, 110, 255)


def class_color(class_id: int) -> Color:
    """A BGR colour of a class, always the same and far from its neighbours' (golden-angle hues)."""
    hue = (0.58 + class_id * 0.618034) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85 if class_id % 2 == 0 else 0.65, 0.95)
    return round(blue * 255), round(green * 255), round(red * 255)


def annotate(
    image: NDArray[np.uint8], detections: Detections, regions: Sequence[RegionState] = ()
) -> NDArray[np.uint8]:
    """Draw detections, and lines and zones with their counts, on a copy of a BGR image.

    Lines and letters grow with the image, so that a 320-pixel and a 4K frame look alike. Weak boxes
    are drawn first and never cover strong ones.
    """
    canvas: NDArray[np.uint8] = image.copy()
    unit = max(image.shape[0], image.shape[1]) / 640
    thickness = max(1, round(1.6 * unit))
    for region in regions:
        _draw_region(canvas, region, thickness, unit)
    tracks = detections.track_ids
    for index in range(len(detections) - 1, -1, -1):
        class_id = int(detections.class_ids[index])
        caption = f"{detections.labels[class_id]} {detections.scores[index]:.2f}"
        if tracks is not None and tracks[index] >= 0:
            caption = f"#{tracks[index]} {caption}"
        _draw_box(canvas, detections.boxes[index], caption, class_color(class_id), thickness, unit)
    for region in regions:
        _caption_region(canvas, region, unit)
    return canvas


def draw_status(canvas: NDArray[np.uint8], text: str) -> None:
    """Write one line of status into the top left corner, in place."""
    unit = max(canvas.shape[0], canvas.shape[1]) / 640
    _caption(canvas, text, (0, 0), _BLACK, unit)


def _draw_box(
    canvas: NDArray[np.uint8],
    box: NDArray[np.float32],
    caption: str,
    color: Color,
    thickness: int,
    unit: float,
) -> None:
    import cv2

    left, top, right, bottom = (round(float(corner)) for corner in box)
    # A thin dark outline keeps a bright box visible on a bright background.
    cv2.rectangle(canvas, (left, top), (right, bottom), _BLACK, thickness + 2, cv2.LINE_AA)
    cv2.rectangle(canvas, (left, top), (right, bottom), color, thickness, cv2.LINE_AA)
    _caption(canvas, caption, (left, top), color, unit, above=True)


def _draw_region(
    canvas: NDArray[np.uint8], region: RegionState, thickness: int, unit: float
) -> None:
    """A line with an arrow inwards, or a zone that is filled while somebody is in it."""
    import cv2

    points = np.array([[round(x), round(y)] for x, y in region.points], np.int32)
    color = _region_color(region)
    if region.kind == "zone":
        if color == _OCCUPIED:
            filled = canvas.copy()
            cv2.fillPoly(filled, [points], color)
            cv2.addWeighted(filled, 0.15, canvas, 0.85, 0, dst=canvas)
        cv2.polylines(canvas, [points], True, _BLACK, thickness + 2, cv2.LINE_AA)
        cv2.polylines(canvas, [points], True, color, thickness, cv2.LINE_AA)
        return
    (x1, y1), (x2, y2) = points.tolist()
    middle = ((x1 + x2) // 2, (y1 + y2) // 2)
    reach = 26 * max(unit, 0.8) / (math.hypot(x2 - x1, y2 - y1) or 1.0)
    tip = (round(middle[0] - (y2 - y1) * reach), round(middle[1] + (x2 - x1) * reach))
    for shade, width in ((_BLACK, thickness + 2), (color, thickness)):
        cv2.line(canvas, (x1, y1), (x2, y2), shade, width, cv2.LINE_AA)
        cv2.arrowedLine(canvas, middle, tip, shade, width, cv2.LINE_AA, tipLength=0.4)


def _caption_region(canvas: NDArray[np.uint8], region: RegionState, unit: float) -> None:
    """Name and counts at the upper end, over the boxes: that is what one looks for."""
    entered, left = sum(region.entered.values()), sum(region.left.values())
    if region.kind == "zone":
        inside = sum(region.inside.values())
        text = f"{region.name}: {inside} inside, {entered} came, {left} left"
        corner = min(region.points, key=sum)
    else:
        text = f"{region.name}: {entered} in, {left} out"
        corner = min(region.points, key=lambda point: (point[1], point[0]))
    place = (round(corner[0]), round(corner[1]))
    _caption(canvas, text, place, _region_color(region), unit)


def _region_color(region: RegionState) -> Color:
    return _OCCUPIED if any(region.inside.values()) else _REGION


def _caption(
    canvas: NDArray[np.uint8],
    text: str,
    corner: tuple[int, int],
    background: Color,
    unit: float,
    *,
    above: bool = False,
) -> None:
    """Text on a filled box at `corner`, above it where there is room, kept inside the image."""
    import cv2

    scale = 0.45 * max(unit, 0.8)
    weight = max(1, round(unit))
    (width, height), baseline = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, weight)
    pad = max(2, round(3 * unit))
    box_height = height + baseline + 2 * pad
    left = max(0, min(corner[0], canvas.shape[1] - width - 2 * pad))
    top = corner[1] - box_height if above and corner[1] >= box_height else corner[1]
    top = max(0, min(top, canvas.shape[0] - box_height))
    end = (left + width + 2 * pad, top + box_height)
    cv2.rectangle(canvas, (left, top), end, background, cv2.FILLED)
    cv2.putText(
        canvas,
        text,
        (left + pad, top + pad + height),
        cv2.FONT_HERSHEY_SIMPLEX,
        scale,
        _readable_on(background),
        weight,
        cv2.LINE_AA,
    )


def _readable_on(color: Color) -> Color:
    blue, green, red = color
    luminance = 0.114 * blue + 0.587 * green + 0.299 * red
    return _BLACK if luminance > 140 else _WHITE
