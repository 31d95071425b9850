"""Check the boxes of one image and make a `LabeledImage` of them.

All formats are read through `make_image`, so that they agree on usable boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgessd.core.errors import DataError
from edgessd.core.images import ImageHeader, read_header
from edgessd.data.problems import ProblemLog
from edgessd.metrics.ground_truth import LabeledImage

# YOLO's fractions become pixels of large images, which need more digits than float32 has.
Corners = NDArray[np.float64]

# Annotation tools round, so a box that exceeds the image by one pixel isn't noted.
_TOLERANCE_PIXELS = 1.0


def header_or_none(path: Path, log: ProblemLog) -> ImageHeader | None:
    """Read an image's header; return None and note a problem if it has none."""
    try:
        return read_header(path)
    except DataError as error:
        log.add("broken_image", path, error.found or error.problem)
        return None


def make_image(
    path: Path,
    header: ImageHeader,
    boxes: Sequence[Sequence[float]],
    class_ids: Sequence[int],
    ignore: Sequence[bool],
    log: ProblemLog,
    *,
    stated_size: tuple[int, int] | None = None,
) -> LabeledImage:
    """Check, clip and pack the boxes of one image.

    Args:
        path: The image file.
        header: Header of the file.
        boxes: (n, 4) xyxy in continuous pixels.
        class_ids: n indices into the labels.
        ignore: n flags of boxes that are neither hits nor misses.
        log: Log that receives the problems.
        stated_size: (width, height) in the annotation; None if it has none.
    """
    corners = np.asarray(boxes, np.float64).reshape(-1, 4)
    if stated_size is not None and stated_size != (header.width, header.height):
        turned = stated_size == (header.height, header.width) and 5 <= header.orientation <= 8
        log.add(
            "turned_image" if turned else "size_mismatch",
            path,
            f"{stated_size[0]}x{stated_size[1]} stated, {header.width}x{header.height} in the file",
        )
        if turned:
            corners = turn_boxes(corners, header)
    keep = _usable(path, header, corners, class_ids, ignore, log)
    return LabeledImage(
        path=path,
        width=header.width,
        height=header.height,
        boxes=_clip(corners[keep], header).astype(np.float32),
        class_ids=np.asarray(class_ids, np.int64)[keep],
        ignore=np.asarray(ignore, np.bool_)[keep],
    )


def turn_boxes(boxes: Corners, header: ImageHeader) -> Corners:
    """Turn boxes that were drawn on the stored pixels as EXIF orientations 5 to 8 turn the image.

    Args:
        boxes: (n, 4) xyxy in pixels of the stored image.
        header: Header of the image; its width and height are those of the turned image.

    Returns:
        (n, 4) xyxy in pixels of the turned image. Orientation 6, usual for phones held upright, turns
        by 90 degrees clockwise: (x, y) in the stored image is (width - y, x) in the turned one.
    """
    x, y = boxes[:, 0::2], boxes[:, 1::2]
    seen_x, seen_y = y, x
    if header.orientation in (6, 7):
        seen_x = header.width - y
    if header.orientation in (7, 8):
        seen_y = header.height - x
    return np.stack([seen_x.min(1), seen_y.min(1), seen_x.max(1), seen_y.max(1)], axis=1).reshape(
        -1, 4
    )


def _usable(
    path: Path,
    header: ImageHeader,
    boxes: Corners,
    class_ids: Sequence[int],
    ignore: Sequence[bool],
    log: ProblemLog,
) -> NDArray[np.bool_]:
    """Mask (n,) of the boxes to keep; boxes that are left out or clipped are noted."""
    keep = np.ones(len(boxes), np.bool_)
    clipped = _clip(boxes, header)
    seen: set[tuple[float, ...]] = set()
    for index, box in enumerate(boxes):
        if not (box[2] > box[0] and box[3] > box[1]):
            keep[index] = False
            log.add("degenerate_box", path, _corners(box))
            continue
        if (clipped[index, 2:] <= clipped[index, :2]).any():
            keep[index] = False
            log.add("lost_box", path, _corners(box))
            continue
        identity = (class_ids[index], ignore[index], *box)
        if identity in seen:
            keep[index] = False
            log.add("repeated_box", path, _corners(box))
            continue
        seen.add(identity)
        if np.abs(box - clipped[index]).max() > _TOLERANCE_PIXELS:
            log.add("outside_box", path, f"{_corners(box)} in {header.width}x{header.height}")
    return keep


def _clip(boxes: Corners, header: ImageHeader) -> Corners:
    return np.clip(boxes, 0, [header.width, header.height, header.width, header.height])


def _corners(box: Corners) -> str:
    return "(" + ", ".join(f"{value:g}" for value in box.round(1)) + ")"
