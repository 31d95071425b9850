"""Anchors for the boxes that a dataset really has.

SSD's evenly spaced scales suit photos of large objects. Cells, codes or screws are small and of few
sizes, and boxes that no anchor reaches by IoU 0.5 are learned late or never. So a few spacings are
measured on the training boxes, with and without a head at stride 8, and the cheapest that fits well is
taken.
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
# What stride 8 must add to the fit before its extra anchors are paid for on the device.
_WORTH_STRIDE_8 = 0.06
_WORTH_SMALLER = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class AnchorFit:
    """One choice of anchors and how it fits.

    Attributes:
        settings: `ModelSettings` with `anchors = "given"` and the choice written out.
        reach: Share of boxes reached by IoU 0.5, averaged over the classes.
        fit: Mean of `reach` and the mean best IoU, averaged over the classes.
    """

    settings: ModelSettings
    reach: float
    fit: float


def fit_anchors(
    settings: ModelSettings, labels: Sequence[str], images: Sequence[LabeledImage]
) -> AnchorFit:
    """Choose anchors by the training boxes.

    Of the choices with the head at stride 8, and of those without, the best is taken, larger anchors
    first where it makes no difference; stride 8 only where it fits clearly better.
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
    """The network and contract that the settings describe."""
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
    # At stride 8 three anchors a cell are four times as many as at stride 16 already.
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
            fix='Set anchors = "given" in [model]',
        )
    if len(boxes) > _MOST_BOXES:
        picked = np.linspace(0, len(boxes) - 1, _MOST_BOXES).astype(np.int64)
        boxes, class_ids = boxes[picked], class_ids[picked]
    return boxes, class_ids
