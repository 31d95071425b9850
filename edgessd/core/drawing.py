"""Boxes and captions on BGR images.

Lines and letters grow with the image, so that a 320-pixel and a 4K frame look alike.
"""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray

from edgessd.core.arrays import ImageArray

Color = tuple[int, int, int]
WHITE: Color = (255, 255, 255)
BLACK: Color = (20, 20, 20)


def class_color(class_id: int) -> Color:
    """Return the BGR color of a class, always the same and far from its neighbors' (golden-angle hues)."""
    hue = (0.58 + class_id * 0.618034) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85 if class_id % 2 == 0 else 0.65, 0.95)
    return round(blue * 255), round(green * 255), round(red * 255)


def length_unit(canvas: ImageArray) -> float:
    """Return the factor by which lines and letters grow; 1 for a longer side of 640 pixels."""
    return max(int(canvas.shape[0]), int(canvas.shape[1])) / 640


def line_width(canvas: ImageArray) -> int:
    """Return the width of a box's lines in pixels, at least 1."""
    return max(1, round(1.6 * length_unit(canvas)))


def draw_box(
    canvas: ImageArray,
    box: NDArray[np.float32],
    color: Color,
    caption: str = "",
    *,
    width: int | None = None,
) -> None:
    """Draw one box in place.

    Args:
        canvas: (H, W, 3) BGR.
        box: (4,) xyxy in pixels.
        color: Color of its lines.
        caption: Text above the box; none if empty.
        width: Pixels of its lines; None takes `line_width`.
    """
    import cv2

    left, top, right, bottom = (round(float(corner)) for corner in box)
    width = line_width(canvas) if width is None else width
    # A thin dark outline keeps a bright box visible on a bright background.
    cv2.rectangle(canvas, (left, top), (right, bottom), BLACK, width + 2, cv2.LINE_AA)
    cv2.rectangle(canvas, (left, top), (right, bottom), color, width, cv2.LINE_AA)
    if caption:
        draw_caption(canvas, caption, (left, top), color, above=True)


def draw_caption(
    canvas: ImageArray,
    text: str,
    corner: tuple[int, int],
    background: Color,
    *,
    above: bool = False,
) -> None:
    """Write text on a filled box, in place and inside the image.

    Args:
        canvas: (H, W, 3) BGR.
        text: One line.
        corner: (x, y) pixels of the filled box's upper left corner.
        background: Color of the filled box.
        above: Put the filled box above `corner` where there is room.
    """
    import cv2

    unit = length_unit(canvas)
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
    return BLACK if luminance > 140 else WHITE
