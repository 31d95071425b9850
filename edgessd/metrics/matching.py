"""Match detections with true boxes by PASCAL VOC's rules, for AP50, curves and thresholds.

Rules of the VOC development kit (Everingham et al., "The PASCAL Visual Object Classes Challenge",
IJCV 2010, section 4.2): detections of a class, best first, each claim the true box that they overlap most;
the first claim at IoU >= 0.5 is a hit, every later claim of the same box is a false alarm. A claim of
an ignored ("difficult") box counts as neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgessd.core.arrays import FloatArray
from edgessd.core.boxes import iou_matrix
from edgessd.core.detections import Detections
from edgessd.metrics.ground_truth import TrueBoxes


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassMatches:
    """Counted detections of one class in all images, best first.

    Attributes:
        label: Name of the class.
        scores: (n,) float32.
        hits: (n,) bool; False is a false alarm.
        boxes: Number of true boxes without the ignored ones.
    """

    label: str
    scores: FloatArray
    hits: NDArray[np.bool_]
    boxes: int

    def recall_precision(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Compute recall and precision, (n,) each, of the best 1, 2, ... n detections.

        Recall is 0 if there is no true box.
        """
        hits = np.cumsum(self.hits)
        recall = hits / max(self.boxes, 1)
        return recall, hits / np.arange(1, len(hits) + 1)


def match_detections(
    truth: Sequence[TrueBoxes],
    found: Sequence[Detections],
    labels: tuple[str, ...],
    *,
    iou_threshold: float = 0.5,
) -> tuple[ClassMatches, ...]:
    """Match the detections of all images, sorted by class and score.

    Args:
        truth: Ground truth, one item an image.
        found: Detections, one item an image, in the same order.
        labels: Names of the classes that `class_ids` of both index.
        iou_threshold: Least IoU of a hit.
    """
    if len(truth) != len(found):
        raise ValueError(f"{len(truth)} images, but detections of {len(found)}")
    pairs = list(zip(truth, found, strict=True))
    outcomes = [_match_image(image, detections, iou_threshold) for image, detections in pairs]
    scores = np.concatenate([np.zeros(0, np.float32), *(item.scores for item in found)])
    classes = np.concatenate([np.zeros(0, np.int64), *(item.class_ids for item in found)])
    hits = np.concatenate([np.zeros(0, bool), *(hit for hit, _ in outcomes)])
    counted = np.concatenate([np.zeros(0, bool), *(count for _, count in outcomes)])
    to_find = np.concatenate(
        [np.zeros(0, np.int64), *(image.class_ids[~image.ignore] for image in truth)]
    )
    order = np.argsort(-scores, kind="stable")
    matches = []
    for class_id, label in enumerate(labels):
        chosen = order[(classes[order] == class_id) & counted[order]]
        matches.append(
            ClassMatches(
                label=label,
                scores=scores[chosen],
                hits=hits[chosen],
                boxes=int((to_find == class_id).sum()),
            )
        )
    return tuple(matches)


def _match_image(
    image: TrueBoxes, detections: Detections, iou_threshold: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return two (n,) bool masks of the detections, best first: hits, and counted ones."""
    hits = np.zeros(len(detections), bool)
    counted = np.ones(len(detections), bool)
    if not len(detections) or not len(image.boxes):
        return hits, counted
    overlaps = iou_matrix(detections.boxes, image.boxes)
    overlaps[detections.class_ids[:, None] != image.class_ids[None, :]] = -1
    claimed = overlaps.argmax(axis=1)
    claims = np.flatnonzero(overlaps.max(axis=1) >= iou_threshold)
    counted[claims] = ~image.ignore[claimed[claims]]
    _, first_claims = np.unique(claimed[claims], return_index=True)
    hits[claims[first_claims]] = True
    return hits & counted, counted
