"""Box geometry on numpy arrays.

Boxes have two forms: **xyxy** (left, top, right, bottom) and **cxcywh** (center x, center y,
width, height), both continuous: a box one pixel wide has right - left == 1. Coordinates are pixels of
the original image or fractions of the network's input; a function that needs one of them states it.
"""

from __future__ import annotations

import numpy as np

from edgessd.core.arrays import FloatArray


def xyxy_to_cxcywh(boxes: FloatArray) -> FloatArray:
    """Turn corners into center and size, (..., 4) → (..., 4)."""
    top_left, bottom_right = boxes[..., :2], boxes[..., 2:]
    return np.concatenate([(top_left + bottom_right) / 2, bottom_right - top_left], axis=-1)


def cxcywh_to_xyxy(boxes: FloatArray) -> FloatArray:
    """Turn center and size into corners, (..., 4) → (..., 4)."""
    center, half_size = boxes[..., :2], boxes[..., 2:] / 2
    return np.concatenate([center - half_size, center + half_size], axis=-1)


def areas(boxes: FloatArray) -> FloatArray:
    """Compute areas of xyxy boxes, (..., 4) → (...); a box with negative width or height has area 0."""
    sides = np.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    area: FloatArray = sides[..., 0] * sides[..., 1]
    return area


def iou_matrix(first: FloatArray, second: FloatArray) -> FloatArray:
    """Compute the intersection over union of every pair of xyxy boxes.

    Args:
        first: (N, 4).
        second: (M, 4), in the same units.

    Returns:
        (N, M) float32 in [0, 1]; 0 where both boxes are empty.

    Example:
        >>> import numpy as np
        >>> a = np.array([[0, 0, 2, 2]], np.float32)
        >>> iou_matrix(a, np.array([[0, 0, 2, 1], [4, 4, 5, 5]], np.float32))
        array([[0.5, 0. ]], dtype=float32)
    """
    # Whole columns, not (..., 2) pairs: an inner loop of two numbers is ten times slower.
    left, top, right, bottom = (column[:, None] for column in np.ascontiguousarray(first.T))
    return _overlap(left, top, right, bottom, *np.ascontiguousarray(second.T))


def iou_pairs(first: FloatArray, second: FloatArray) -> FloatArray:
    """Compute the intersection over union of each box with its partner, (n, 4) and (n, 4) xyxy → (n,)."""
    return _overlap(*first.T, *second.T)


def _overlap(
    left1: FloatArray,
    top1: FloatArray,
    right1: FloatArray,
    bottom1: FloatArray,
    left2: FloatArray,
    top2: FloatArray,
    right2: FloatArray,
    bottom2: FloatArray,
) -> FloatArray:
    width = np.maximum(np.minimum(right1, right2) - np.maximum(left1, left2), 0)
    height = np.maximum(np.minimum(bottom1, bottom2) - np.maximum(top1, top2), 0)
    intersection = width * height
    area1 = np.maximum(right1 - left1, 0) * np.maximum(bottom1 - top1, 0)
    area2 = np.maximum(right2 - left2, 0) * np.maximum(bottom2 - top2, 0)
    union = area1 + area2 - intersection
    overlap: FloatArray = np.divide(
        intersection, union, out=np.zeros_like(intersection), where=union > 0
    )
    return overlap


def clip_boxes(boxes: FloatArray, width: float, height: float) -> FloatArray:
    """Clip xyxy boxes (..., 4) to an image of `width` x `height`."""
    limits = np.array([width, height, width, height], boxes.dtype)
    # np.clip does the same at three times the cost for a few boxes.
    clipped: FloatArray = np.minimum(np.maximum(boxes, 0), limits)
    return clipped
