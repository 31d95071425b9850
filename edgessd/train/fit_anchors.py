"""Choose anchors that fit the boxes of a dataset.

SSD's evenly spaced scales suit photos of large objects. Cells, codes or screws are small and of few
sizes, and a box that no anchor overlaps with IoU 0.5 or more is learned late or never. A few spacings
are therefore measured on the training boxes, with and without a head at stride 8. The cheapest spacing
that fits well is chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from edgessd.core.anchors import AnchorSpec
from edgessd.core.contract import Contract
from edgessd.core.errors import ConfigError
from edgessd.data.reach import REACHED_IOU, best_iou, boxes_at_input
from edgessd.metrics.ground_truth import LabeledImage
from edgessd.model.config import ModelConfig
from edgessd.model.new_detector import evenly_spaced, new_detector
from edgessd.train.config import ModelSettings

_MIN_SCALES = (0.2, 0.15, 0.1, 0.08, 0.06, 0.05, 0.04)
_MOST_BOXES = 2000
# The head at stride 8 costs the device time, so it must improve the fit by this much.
_WORTH_STRIDE_8 = 0.06
_WORTH_SMALLER = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class AnchorFit:
    """One choice of anchors with its fit to the boxes.

    Attributes:
        settings: Model settings with `anchors = "given"` and the chosen scales.
        reach: Fraction of boxes that an anchor overlaps with IoU 0.5 or more; mean over classes.
        fit: Mean of `reach` and of the boxes' best IoU; mean over classes.
    """

    settings: ModelSettings
    reach: float
    fit: float


def fit_anchors(
    settings: ModelSettings, labels: Sequence[str], images: Sequence[LabeledImage]
) -> AnchorFit:
    """Choose anchors by the training boxes.

    The best choice without a head at stride 8 competes with the best choice with one. Among choices
    that fit equally well, larger anchors win. Stride 8 wins only if it fits clearly better.

    Raises:
        ConfigError: The images have no boxes.
    """
    _, contract = detector_of(settings, labels)
    boxes, class_ids = _boxes(images, contract)
    chosen: AnchorFit | None = None
    for stride_8 in (False, True):
        best: AnchorFit | None = None
        for candidate in _candidates(settings, labels, stride_8=stride_8):
            found = _measure(candidate, labels, boxes, class_ids)
            if best is None or found.fit > best.fit + _WORTH_SMALLER:
                best = found
        if best and (chosen is None or best.fit > chosen.fit + _WORTH_STRIDE_8):
            chosen = best
    assert chosen is not None
    return chosen


def detector_of(settings: ModelSettings, labels: Sequence[str]) -> tuple[ModelConfig, Contract]:
    """Make the network configuration and contract that the settings describe."""
    return new_detector(
        labels,
        width=settings.width,
        input_size=settings.input_size,
        scoring=settings.scoring,
        resize=settings.resize,
        padding=settings.padding,
        min_scale=settings.min_scale,
        max_scale=settings.max_scale,
        scales=settings.scales or None,
        stride_8=settings.stride_8,
        first_anchors=settings.first_anchors,
    )


def _candidates(
    settings: ModelSettings, labels: Sequence[str], *, stride_8: bool
) -> list[ModelSettings]:
    given = msgspec.structs.replace(
        settings, anchors="given", stride_8=stride_8, first_anchors=3, scales=()
    )
    levels = len(detector_of(given, labels)[1].anchors.levels)
    spacings = [
        tuple(round(scale, 4) for scale in scales)
        for smallest in _MIN_SCALES
        for scales in (
            evenly_spaced(smallest, settings.max_scale, levels),
            np.geomspace(smallest, settings.max_scale, levels).tolist(),
        )
    ]
    # Three anchors per cell at stride 8 are already four times as many as at stride 16.
    counts = (3,) if stride_8 else (3, 6)
    return [
        msgspec.structs.replace(given, scales=scales, first_anchors=count)
        for scales in spacings
        for count in counts
    ]


def _measure(
    settings: ModelSettings,
    labels: Sequence[str],
    boxes: np.ndarray,
    class_ids: np.ndarray,
) -> AnchorFit:
    anchors: AnchorSpec = detector_of(settings, labels)[1].anchors
    best = best_iou(boxes, anchors)
    classes = np.unique(class_ids)
    reach = float(np.mean([(best[class_ids == one] >= REACHED_IOU).mean() for one in classes]))
    overlap = float(np.mean([best[class_ids == one].mean() for one in classes]))
    return AnchorFit(settings=settings, reach=reach, fit=(reach + overlap) / 2)


def _boxes(images: Sequence[LabeledImage], contract: Contract) -> tuple[np.ndarray, np.ndarray]:
    boxes = boxes_at_input(images, contract.preprocess)
    class_ids = np.concatenate([image.class_ids[~image.ignore] for image in images])
    if not len(boxes):
        raise ConfigError(
            "Anchors can't be fitted to a dataset without boxes",
            fix='Set anchors = "given" in the section [model] of a --config file',
        )
    if len(boxes) > _MOST_BOXES:
        picked = np.linspace(0, len(boxes) - 1, _MOST_BOXES).astype(np.int64)
        boxes, class_ids = boxes[picked], class_ids[picked]
    return boxes, class_ids
