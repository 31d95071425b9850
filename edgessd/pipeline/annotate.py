"""Draw boxes, labels, lines and zones on a frame."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgessd.core.detections import Detections
from edgessd.core.drawing import (
    BLACK,
    Color,
    class_color,
    draw_box,
    draw_caption,
    length_unit,
    line_width,
)
from edgessd.pipeline.events import RegionState

_REGION: Color = (60, 220, 255)
_OCCUPIED: Color = (80, 110, 255)


def annotate(
    image: NDArray[np.uint8], detections: Detections, regions: Sequence[RegionState] = ()
) -> NDArray[np.uint8]:
    """Draw detections, and lines and zones with their counts, on a copy of a BGR image.

    Boxes of low score are drawn first, so that they never cover those of high score.
    """
    canvas: NDArray[np.uint8] = image.copy()
    for region in regions:
        _draw_region(canvas, region)
    tracks = detections.track_ids
    for index in range(len(detections) - 1, -1, -1):
        class_id = int(detections.class_ids[index])
        caption = f"{detections.labels[class_id]} {detections.scores[index]:.2f}"
        if tracks is not None and tracks[index] >= 0:
            caption = f"#{tracks[index]} {caption}"
        draw_box(canvas, detections.boxes[index], class_color(class_id), caption)
    for region in regions:
        _caption_region(canvas, region)
    return canvas


def draw_status(canvas: NDArray[np.uint8], text: str) -> None:
    """Write one line of status into the top left corner of `canvas`, in place."""
    draw_caption(canvas, text, (0, 0), BLACK)


def _draw_region(canvas: NDArray[np.uint8], region: RegionState) -> None:
    """Draw a line with an arrow that points inwards, or a zone, which is filled while it is occupied."""
    import cv2

    points = np.array([[round(x), round(y)] for x, y in region.points], np.int32)
    color, thickness = _region_color(region), line_width(canvas)
    if region.kind == "zone":
        if color == _OCCUPIED:
            filled = canvas.copy()
            cv2.fillPoly(filled, [points], color)
            cv2.addWeighted(filled, 0.15, canvas, 0.85, 0, dst=canvas)
        cv2.polylines(canvas, [points], True, BLACK, thickness + 2, cv2.LINE_AA)
        cv2.polylines(canvas, [points], True, color, thickness, cv2.LINE_AA)
        return
    (x1, y1), (x2, y2) = points.tolist()
    middle = ((x1 + x2) // 2, (y1 + y2) // 2)
    reach = 26 * max(length_unit(canvas), 0.8) / (math.hypot(x2 - x1, y2 - y1) or 1.0)
    tip = (round(middle[0] - (y2 - y1) * reach), round(middle[1] + (x2 - x1) * reach))
    for shade, width in ((BLACK, thickness + 2), (color, thickness)):
        cv2.line(canvas, (x1, y1), (x2, y2), shade, width, cv2.LINE_AA)
        cv2.arrowedLine(canvas, middle, tip, shade, width, cv2.LINE_AA, tipLength=0.4)


def _caption_region(canvas: NDArray[np.uint8], region: RegionState) -> None:
    """Write the name and counts at the upper end of a region, on top of all boxes."""
    entered, left = sum(region.entered.values()), sum(region.left.values())
    if region.kind == "zone":
        inside = sum(region.inside.values())
        text = f"{region.name}: {inside} inside, {entered} entered, {left} left"
        corner = min(region.points, key=sum)
    else:
        text = f"{region.name}: {entered} in, {left} out"
        corner = min(region.points, key=lambda point: (point[1], point[0]))
    place = (round(corner[0]), round(corner[1]))
    draw_caption(canvas, text, place, _region_color(region))


def _region_color(region: RegionState) -> Color:
    return _OCCUPIED if any(region.inside.values()) else _REGION
