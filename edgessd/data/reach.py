"""Measure which boxes the anchors reach, with an IoU of 0.5 or more.

In training, each box gets its best anchor. A box below 0.5 gets only this anchor, whose shape differs much,
and is learned late or never (Liu et al., 2016, arXiv:1512.02325, section 2.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgessd.core.anchors import AnchorSpec
from edgessd.core.arrays import FloatArray
from edgessd.core.boxes import areas
from edgessd.core.contract import Preprocess
from edgessd.core.errors import ConfigError
from edgessd.core.preprocess import fitted_rectangle
from edgessd.metrics.ground_truth import LabeledImage

REACHED_IOU = 0.5
# Upper limits of the COCO metric's sizes: side of a square of the same area. They are applied to pixels of
# the network's input instead of the photo, because the network sees the input.
SIZES: tuple[tuple[str, float], ...] = (("small", 32.0), ("medium", 96.0), ("large", float("inf")))


@dataclass(frozen=True, kw_only=True, slots=True)
class SizeReach:
    """Fit of the anchors to boxes of one size.

    Attributes:
        size: small, medium or large, by `SIZES`.
        boxes: Number of boxes of this size.
        reached: Number of these boxes with an IoU of at least `REACHED_IOU` with an anchor.
        mean_iou: Mean IoU with the best anchor; 0 without boxes.
    """

    size: str
    boxes: int
    reached: int
    mean_iou: float

    @property
    def share(self) -> float:
        """Fraction of the boxes that are reached; 1 without boxes."""
        return self.reached / self.boxes if self.boxes else 1.0


def boxes_at_input(images: Sequence[LabeledImage], preprocess: Preprocess) -> FloatArray:
    """Return all boxes that aren't ignored, (n, 4) xyxy in fractions of the network's input."""
    if not images:
        return np.zeros((0, 4), np.float32)
    return np.concatenate([_at_input(image, preprocess) for image in images])


def _at_input(image: LabeledImage, preprocess: Preprocess) -> FloatArray:
    left, top, width, height = fitted_rectangle(image.width, image.height, preprocess)
    scale = np.array([width / image.width, height / image.height] * 2, np.float32)
    pixels = image.boxes[~image.ignore] * scale + np.array([left, top] * 2, np.float32)
    input_size = np.array([preprocess.width, preprocess.height] * 2, np.float32)
    return np.asarray(pixels / input_size, np.float32)


def sides_at_input(boxes: FloatArray, preprocess: Preprocess) -> FloatArray:
    """Sides of squares with the boxes' areas, in pixels of the input: (n, 4) → (n,)."""
    pixels = (boxes[:, 2:] - boxes[:, :2]) * np.array(
        [preprocess.width, preprocess.height], np.float32
    )
    sides: FloatArray = np.sqrt(np.maximum(pixels, 0).prod(axis=1))
    return sides


def anchor_reach(
    boxes: FloatArray, anchors: AnchorSpec, preprocess: Preprocess
) -> tuple[SizeReach, ...]:
    """Count the boxes that the anchors reach, by size.

    Args:
        boxes: (n, 4) xyxy in fractions of the input.
        anchors: Anchors of the detector.
        preprocess: Preprocessing with the input's size in pixels.

    Returns:
        One record per size, small first.
    """
    best = best_iou(boxes, anchors)
    sides = sides_at_input(boxes, preprocess)
    reaches, lower = [], -1.0
    for size, upper in SIZES:
        chosen = best[(sides > lower) & (sides <= upper)]
        reaches.append(
            SizeReach(
                size=size,
                boxes=len(chosen),
                reached=int((chosen >= REACHED_IOU).sum()),
                mean_iou=float(chosen.mean()) if len(chosen) else 0.0,
            )
        )
        lower = upper
    return tuple(reaches)


def total_share(reaches: tuple[SizeReach, ...]) -> float:
    """Fraction of all boxes that the anchors reach; 1 without boxes."""
    boxes = sum(reach.boxes for reach in reaches)
    return sum(reach.reached for reach in reaches) / boxes if boxes else 1.0


def best_iou(boxes: FloatArray, anchors: AnchorSpec) -> NDArray[np.float32]:
    """Compute the IoU of each box with its best anchor.

    Among the anchors of one shape, the one with the nearest center has the largest IoU: the overlap
    along each axis falls with the distance on that axis, and the union falls as the overlap grows.
    Therefore only one anchor per level and shape is compared, instead of thousands.

    Args:
        boxes: (n, 4) xyxy in fractions of the input.
        anchors: Anchors that aren't clipped to the input, because clipping changes their shapes.

    Returns:
        (n,) float32 in [0, 1].

    Raises:
        ConfigError: The anchors are clipped.
    """
    if anchors.clip:
        raise ConfigError(
            "The reach of clipped anchors can't be measured",
            expected="anchors with clip = false",
            found="clip = true",
        )
    best = np.zeros(len(boxes), np.float32)
    centers, box_areas = (boxes[:, :2] + boxes[:, 2:]) / 2, areas(boxes)
    for level in anchors.levels:
        step = np.array(level.step, np.float32)
        cells = np.clip(np.rint(centers / step - 0.5), 0, (level.columns - 1, level.rows - 1))
        anchor_centers = (cells + 0.5) * step
        for shape in level.shapes:
            half = np.array(shape, np.float32) / 2
            low = np.maximum(boxes[:, :2], anchor_centers - half)
            high = np.minimum(boxes[:, 2:], anchor_centers + half)
            common = np.maximum(high - low, 0).prod(axis=1)
            union = box_areas + shape[0] * shape[1] - common
            np.maximum(best, common / union, out=best, casting="same_kind")
    return best
